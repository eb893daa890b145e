/** Effects, counters and state of both roles of a server. */
import type { CommitQueue, Operation } from "./operation.js";
import type { CloneFault } from "./protocol.js";
import type { LoadedMap, ServerMap } from "./server-map.js";
import type { CloneRefusalReason, CloneServerEvent, ServerRulesOptions } from "./server-options.js";
import type { ServerStanding } from "./standing.js";

/** "full": no room now; "gone": no such peer. */
export type SendResult = "sent" | "full" | "gone";

export interface ServerEffects {
  publish(frames: Buffer[]): void;
  reply(routingId: Buffer, frames: Buffer[]): SendResult;
  replicate(routingId: Buffer, frames: Buffer[]): SendResult;
  follow(frames: Buffer[]): void;
  /** Ends in `committed` or `commitFailed`. One commit or replacement at a time. */
  commit(operations: readonly Operation[]): void;
  /** Ends in `replaced` or `replaceFailed`. The table does not change meanwhile. */
  replace(loaded: LoadedMap, wanted: () => boolean): void;
  /** Ends in `marked` or `markFailed`, after each commit before it. */
  mark(standing: Buffer): void;
  /** Publishes the position. */
  announce(): void;
  event(event: CloneServerEvent): void;
}

export interface ServerState {
  readonly options: ServerRulesOptions;
  readonly effects: ServerEffects;
  readonly map: ServerMap;
  readonly queue: CommitQueue;
  readonly statistics: ServerStatistics;
  readonly standing: ServerStanding;
}

export class ServerStatistics {
  readonly #effects: Pick<ServerEffects, "event">;
  readonly faults: Record<CloneFault, number> = {
    frames: 0,
    command: 0,
    key: 0,
    "reserved-key": 0,
    sequence: 0,
    uuid: 0,
    properties: 0,
    subtree: 0,
  };
  readonly refused: Record<CloneRefusalReason, number> = { overloaded: 0, full: 0, store: 0 };
  readonly counts = {
    received: 0,
    applied: 0,
    repeated: 0,
    conflicts: 0,
    published: 0,
    expired: 0,
    commits: 0,
  };

  constructor(effects: Pick<ServerEffects, "event">) {
    this.#effects = effects;
  }

  refuse(reason: CloneRefusalReason, count: number): void {
    if (count === 0) return;
    this.refused[reason] += count;
    this.#effects.event({ type: "update:refused", reason, count });
  }

  fault(port: "snapshot" | "collector" | "replication", fault: CloneFault): void {
    this.faults[fault] += 1;
    this.#effects.event({ type: "message:invalid", port, reason: fault });
  }
}
