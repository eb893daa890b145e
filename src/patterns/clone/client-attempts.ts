/**
 * Which server a client is at, and until when something has to come of it.
 *
 *   open ──> connecting ──> connected          lost, nothing came ──> a pause, or at once ──> the next server
 */
import type { ClientOutbox } from "./client-outbox.js";

/**
 * ms between a lost connection and the next server, at first and at most: neither dead servers nor those that refuse
 * this client become a busy loop.
 */
const PAUSE = 50;
const MAX_PAUSE = 1_000;

/** Why the next server is asked. */
export type TurnReason = "silent" | "disconnected" | "no-snapshot" | "refused";

export class ClientAttempts {
  readonly #servers: readonly string[];
  readonly #patience: number;
  readonly #maxPause: number;
  readonly #outbox: Pick<ClientOutbox, "open" | "event">;
  #reason: TurnReason = "silent";
  #number = 0;
  #server = 0;
  #openAt: number | undefined;
  #connected = false;
  #pause = PAUSE;
  failOvers = 0;
  /** While connecting and loading: when it has failed. */
  until = 0;

  /** @param patience ms without progress until it has failed. @param interval ms between two heartbeats */
  constructor(
    servers: readonly string[],
    patience: number,
    interval: number,
    outbox: Pick<ClientOutbox, "open" | "event">,
  ) {
    this.#servers = servers;
    this.#patience = patience;
    this.#maxPause = Math.min(MAX_PAUSE, Math.max(PAUSE, interval));
    this.#outbox = outbox;
  }

  /** Of this attempt: what comes of an earlier one has another. */
  get number(): number {
    return this.#number;
  }

  /** The server in use, by its place in the list. */
  get server(): number {
    return this.#server;
  }

  get name(): string {
    return this.#servers[this.#server] as string;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** When the next attempt begins, once it is known that this one is over. */
  get openAt(): number | undefined {
    return this.#openAt;
  }

  open(now: number): void {
    this.#number += 1;
    this.#connected = false;
    this.#openAt = undefined;
    this.progress(now);
    this.#outbox.open(this.#number, this.#server);
  }

  connect(): void {
    this.#connected = true;
    this.#openAt = undefined;
  }

  /** Something came of it. */
  progress(now: number): void {
    this.until = now + this.#patience;
  }

  /** The map is whole. */
  succeed(): void {
    this.#pause = PAUSE;
  }

  /** It is over; the next one begins after a pause. @param pause ms; left out: longer each time, until one succeeds */
  end(reason: TurnReason, now: number, pause?: number): void {
    this.#connected = false;
    this.#reason = reason;
    this.#openAt = now + (pause ?? this.#pause);
    if (pause === undefined) this.#pause = Math.min(2 * this.#pause, this.#maxPause);
  }

  /** To the next server; to the same, if there is no other. {@link open} has to follow. */
  turn(reason: TurnReason = this.#reason): void {
    const from = this.name;
    this.#reason = reason;
    this.#server = (this.#server + 1) % this.#servers.length;
    if (this.#servers.length <= 1) return;
    this.failOvers += 1;
    this.#outbox.event({ type: "fail-over", from, to: this.name, reason });
  }
}
