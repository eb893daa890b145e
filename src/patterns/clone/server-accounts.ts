/** What a server counts, and tells at the same time. */
import type { CloneFault } from "./protocol.js";
import type { RefusalReason } from "./server-events.js";
import type { ServerOutbox } from "./server-outbox.js";

export class ServerAccounts {
  readonly #outbox: Pick<ServerOutbox, "event">;
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
  readonly #refused: Record<RefusalReason, number> = {
    overloaded: 0,
    full: 0,
    store: 0,
    "no-uuid": 0,
    stale: 0,
  };
  received = 0;
  repeated = 0;
  paired = 0;
  published = 0;
  expired = 0;
  commits = 0;

  constructor(outbox: Pick<ServerOutbox, "event">) {
    this.#outbox = outbox;
  }

  get faults(): Readonly<Record<CloneFault, number>> {
    return { ...this.#faults };
  }

  get refused(): Readonly<Record<RefusalReason, number>> {
    return { ...this.#refused };
  }

  /** Updates were not taken. */
  refuse(reason: RefusalReason, count: number): void {
    if (count === 0) return;
    this.#refused[reason] += count;
    this.#outbox.event({ type: "refused", reason, count });
  }

  /** A message that 12/CHP does not allow. */
  fault(port: "snapshot" | "collector" | "replication", fault: CloneFault): void {
    this.#faults[fault] += 1;
    this.#outbox.event({ type: "fault", port, fault });
  }
}
