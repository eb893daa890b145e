/** What the two roles of a server share: the effects of its rules, its counters, and its state. */
import type { LoadedMap } from "./loading.js";
import type { CommitQueue, Operation } from "./operation.js";
import type { CloneFault } from "./protocol.js";
import type { ServerMap } from "./server-map.js";
import type { CloneRefusalReason, CloneServerEvent, ServerRulesOptions } from "./server-options.js";
import type { ServerStanding } from "./standing.js";

/** What became of a message to one peer: it left, there is no room now, or the peer is not there. */
export type SendResult = "sent" | "full" | "gone";

export interface ServerEffects {
  publish(frames: Buffer[]): void;
  /** To a client, by its routing id. */
  reply(routingId: Buffer, frames: Buffer[]): SendResult;
  /** Bytes of replies to a client that its system has not taken; 0 where the engine cannot know. */
  queued(routingId: Buffer): number;
  /** To the server that stands by. */
  replicate(routingId: Buffer, frames: Buffer[]): SendResult;
  /** To the server that serves. */
  follow(frames: Buffer[]): void;
  /** Has to end in `committed` or `commitFailed`, later. Only with a store; one at a time, `replace` included. */
  commit(operations: readonly Operation[]): void;
  /**
   * Has to end in `replaced` or `commitFailed`, later. The table does not change meanwhile.
   *
   * @param aside what was set after this sequence is kept aside first; `undefined`: nothing
   */
  replace(loaded: LoadedMap, wanted: () => boolean, aside: number | undefined): void;
  /** Has to end in `marked` or `markFailed`, later, after each commit before it. Only with a store. */
  mark(standing: Buffer): void;
  /** The peer has to know at once how new this server's map is. */
  announce(): void;
  event(event: CloneServerEvent): void;
}

/** What a server has, whether it serves or stands by. */
export interface ServerState {
  readonly options: ServerRulesOptions;
  readonly effects: ServerEffects;
  readonly map: ServerMap;
  readonly queue: CommitQueue;
  readonly statistics: ServerStatistics;
  readonly standing: ServerStanding;
}

/** Counters of a server; what is counted is an event at the same time. */
export class ServerStatistics {
  readonly #effects: Pick<ServerEffects, "event">;
  readonly #faults: Record<CloneFault, number> = {
    frames: 0,
    command: 0,
    key: 0,
    "reserved-key": 0,
    sequence: 0,
    uuid: 0,
    properties: 0,
    subtree: 0,
  };
  readonly #refused: Record<CloneRefusalReason, number> = {
    overloaded: 0,
    full: 0,
    store: 0,
    "no-uuid": 0,
    stale: 0,
  };
  received = 0;
  repeated = 0;
  conflicts = 0;
  paired = 0;
  published = 0;
  expired = 0;
  commits = 0;

  constructor(effects: Pick<ServerEffects, "event">) {
    this.#effects = effects;
  }

  get faults(): Readonly<Record<CloneFault, number>> {
    return { ...this.#faults };
  }

  get refused(): Readonly<Record<CloneRefusalReason, number>> {
    return { ...this.#refused };
  }

  /** Updates were not taken. */
  refuse(reason: CloneRefusalReason, count: number): void {
    if (count === 0) return;
    this.#refused[reason] += count;
    this.#effects.event({ type: "update:refused", reason, count });
  }

  /** A message that 12/CHP does not allow. */
  fault(port: "snapshot" | "collector" | "replication", fault: CloneFault): void {
    this.#faults[fault] += 1;
    this.#effects.event({ type: "message:invalid", port, reason: fault });
  }
}
