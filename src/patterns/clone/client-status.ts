/** How far a client's map can be trusted, and since when nothing was heard of its server. */
import type { CloneState } from "./client-events.js";
import type { ClientOutbox } from "./client-outbox.js";

export class ClientStatus {
  readonly #outbox: Pick<ClientOutbox, "event">;
  readonly #patience: number;
  #state: CloneState = "syncing";
  #heardAt: number;
  #wasLive = false;

  /** @param patience ms of silence after which the server counts as gone */
  constructor(outbox: Pick<ClientOutbox, "event">, patience: number, now: number) {
    this.#outbox = outbox;
    this.#patience = patience;
    this.#heardAt = now;
  }

  get state(): CloneState {
    return this.#state;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** When the server counts as gone, unless it is heard before. */
  get silentAt(): number {
    return this.#heardAt + this.#patience;
  }

  silentFor(now: number): number {
    return Math.max(0, now - this.#heardAt);
  }

  heard(now: number): void {
    this.#heardAt = now;
  }

  become(state: CloneState, now: number): void {
    if (state === "live") this.#wasLive = true;
    if (state === this.#state) return;
    this.#state = state;
    this.#outbox.event({ type: "state", state, silentFor: this.silentFor(now) });
  }

  /** The connection or the server is lost. A map that never was whole cannot become old. */
  lose(now: number): void {
    if (this.#wasLive) this.become("stale", now);
  }
}
