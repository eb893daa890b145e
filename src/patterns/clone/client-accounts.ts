/** What a client counts, and tells at the same time. */
import type { ClientOutbox } from "./client-outbox.js";
import type { CloneFault } from "./protocol.js";

export class ClientAccounts {
  readonly #outbox: Pick<ClientOutbox, "event">;
  readonly #counts = { received: 0, applied: 0, old: 0, gaps: 0, snapshots: 0, faults: 0 };
  #oldInRow = false;

  constructor(outbox: Pick<ClientOutbox, "event">) {
    this.#outbox = outbox;
  }

  get counts(): Readonly<Record<"received" | "applied" | "old" | "gaps" | "snapshots" | "faults", number>> {
    return this.#counts;
  }

  received(): void {
    this.#counts.received += 1;
  }

  applied(): void {
    this.#counts.applied += 1;
  }

  /** An update that is later than the map: the next one that is not begins a row of its own. */
  later(): void {
    this.#oldInRow = false;
  }

  /** An update that is not later than the map. @param last what the map has */
  old(sequence: number, last: number): void {
    this.#counts.old += 1;
    if (this.#oldInRow) return;
    this.#oldInRow = true;
    this.#outbox.event({ type: "old", sequence, last });
  }

  gap(expected: number, got: number): void {
    this.#counts.gaps += 1;
    this.#outbox.event({ type: "gap", expected, got });
  }

  /** The map was loaded. */
  snapshot(server: string, entries: number, sequence: number, duration: number): void {
    this.#counts.snapshots += 1;
    this.#oldInRow = false;
    this.#outbox.event({ type: "snapshot", server, entries, sequence, duration });
  }

  fault(port: "snapshot" | "publisher", fault: CloneFault | "too-large"): void {
    this.#counts.faults += 1;
    this.#outbox.event({ type: "fault", port, fault });
  }
}
