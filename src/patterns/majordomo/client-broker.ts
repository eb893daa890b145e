/**
 * Which of several brokers a client uses, what it speaks, and whether it lives.
 *
 *            answer: shoal's              silence, while something is asked
 *   asking -----------------> extended ------------------------------------> asking the next broker
 *     |  answer: a plain one
 *     +-----------------> plain
 */
import type { ClientLimits, ClientOutbox } from "./client-outbox.js";
import type { Frames } from "./messages-broker.js";
import { Dialect, EMPTY } from "./protocol.js";
import { heartbeatMessage } from "./protocol-client.js";
import { beatInterval, type Negotiated, negotiation } from "./protocol-worker.js";

export class ClientBroker {
  mode: "asking" | "extended" | "plain" = "asking";
  /** What a plain broker is spoken to. */
  plain: Dialect = Dialect.Mdp01;
  /** The connection to be asked on, or for all requests of the extended form; 0: a plain broker's are many. */
  main = 0;
  /** The main connection has no room now. */
  mute = false;
  readonly #limits: ClientLimits;
  readonly #outbox: ClientOutbox;
  #connections = 0;
  #endpoint = 0;
  #incarnation: Buffer = EMPTY;
  #lastSeen = 0;
  /** ms between heartbeats to the broker in use. */
  #interval: number;
  /** When to beat or to ask again; `undefined` while nothing is wanted of the broker. */
  #beatAt: number | undefined;

  constructor(limits: ClientLimits, outbox: ClientOutbox) {
    this.#limits = limits;
    this.#outbox = outbox;
    this.#interval = limits.heartbeatInterval;
  }

  get endpoint(): string {
    return this.#limits.endpoints[this.#endpoint % this.#limits.endpoints.length] as string;
  }

  get nextBeat(): number | undefined {
    return this.#beatAt;
  }

  /** A new connection to the broker in use. */
  open(): number {
    const connection = ++this.#connections;
    this.#outbox.open(connection, this.endpoint);
    return connection;
  }

  /** Asks the broker in use what it is. @param wanted there are requests for it */
  ask(now: number, wanted: boolean): void {
    this.mode = "asking";
    this.mute = false;
    this.main = this.open();
    this.#outbox.send(this.main, negotiation());
    if (wanted) this.#wakeUp(now);
  }

  /** Something is wanted of the broker: from now on its silence counts, if it did not yet. */
  wanted(now: number): void {
    if (this.#beatAt === undefined) this.#wakeUp(now);
  }

  /** Something came over this connection. */
  heard(connection: number, now: number): void {
    if (connection === this.main) this.#lastSeen = now;
  }

  /** Sends over the main connection. */
  send(message: Frames): void {
    if (!this.#outbox.send(this.main, message)) this.mute = true;
  }

  /** The broker says what it is. @returns the connection that is free for a plain broker's requests; 0: none */
  negotiated({ extended, incarnation, heartbeatInterval }: Negotiated): number {
    const { main } = this;
    this.#beatAt = undefined;
    if (extended) {
      this.mode = "extended";
      this.#incarnation = incarnation;
      this.#interval = beatInterval(this.#limits.heartbeatInterval, heartbeatInterval);
    } else {
      this.speak(Dialect.Mdp01);
      this.main = 0;
    }
    this.#outbox.event({ type: "broker:join", endpoint: this.endpoint, extended });
    return extended ? 0 : main;
  }

  /** The broker is a plain one. */
  speak(dialect: Dialect): void {
    this.mode = "plain";
    this.plain = dialect;
  }

  /** Whether a broker's beat is of another life behind the same endpoint: that one knows nothing of what was asked. */
  isRestarted(incarnation: Buffer): boolean {
    if (this.mode !== "extended" || incarnation.equals(this.#incarnation)) return false;
    this.#incarnation = Buffer.from(incarnation);
    this.#outbox.event({ type: "broker:leave", endpoint: this.endpoint, reason: "restarted" });
    return true;
  }

  /** The next one is to be used. */
  advance(): void {
    this.#endpoint += 1;
  }

  /** The broker in use is lost: {@link ask} asks the next one. */
  lose(): void {
    const reason = this.mode === "asking" ? "no-answer" : "silent";
    this.#outbox.event({ type: "broker:leave", endpoint: this.endpoint, reason });
    this.#outbox.close(this.main);
    this.mode = "asking";
    this.advance();
  }

  /** @param wanted there are requests for it. @returns whether the broker is lost */
  tick(now: number, wanted: boolean): boolean {
    if (this.#beatAt === undefined || this.#beatAt > now) return false;
    this.#beatAt = undefined;
    if (!wanted || this.mode === "plain") return false;
    if (this.mode === "asking") return true;
    const { heartbeatInterval, liveness } = this.#limits;
    if (now - this.#lastSeen >= heartbeatInterval * liveness) return true;
    this.#outbox.send(this.main, heartbeatMessage());
    this.#beatAt = now + this.#interval;
    return false;
  }

  #wakeUp(now: number): void {
    this.#lastSeen = now;
    this.#beatAt = now + (this.mode === "extended" ? this.#interval : this.#limits.heartbeatInterval);
  }
}
