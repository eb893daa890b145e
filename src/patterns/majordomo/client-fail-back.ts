/**
 * How a client goes back to a broker that precedes the one in use: brokers share the clients by the order of each client's list, and
 * one that has returned is found by asking it, in the background.
 *
 *   resting --due--> asking mmi.serving --200-------> negotiating --extended--> the client moves
 *      ^                 |                                |
 *      +-- all refused, none answered in time, stopping --+
 *
 * One connection at a time, one interval for each broker, in the list's order; then a pause, which doubles up to
 * LONGEST_PAUSE intervals, and begins longer after moves that did not last. No request goes over the connection before the client moves. The question is one of monitoring and not a
 * negotiation at once: a negotiation votes for the passive broker of a pair (binary-star/gate.ts), which does not answer the former.
 */

import { backOff } from "../../core/back-off.js";
import type { Connection } from "./client-calls.js";
import type { ClientConnections, ClientEffects, ClientLimits } from "./client-connections.js";
import { type AtClient, type Negotiated, SERVING } from "./wire.js";

/** Intervals between two rounds of questions at most. A move lasts when the client is still there after so many. */
export const LONGEST_PAUSE = 8;

export class FailBack {
  readonly #limits: Pick<ClientLimits, "heartbeatInterval">;
  readonly #effects: Pick<ClientEffects, "send">;
  readonly #connections: ClientConnections;
  readonly #random: () => number;
  /** Those that precede the broker in use, the preferred first. */
  #preceding: readonly string[] = [];
  /** Which of them is asked, or is to be asked next. */
  #at = 0;
  /** The connection that one is asked on; `undefined`: none is. */
  #connection: Connection | undefined = undefined;
  /** Whether it has answered that it serves. */
  #serves = false;
  /** When the next round begins, or the one that is asked has had its time. */
  #dueAt: number | undefined;
  /** Rounds in a row that have found none. */
  #rounds = 0;
  /** Moves in a row that did not last, and the time of the last one. */
  #moves = 0;
  #movedAt = Number.NEGATIVE_INFINITY;

  /** @param random for the jitter, from 0 up to 1 */
  constructor(
    limits: Pick<ClientLimits, "heartbeatInterval">,
    effects: Pick<ClientEffects, "send">,
    connections: ClientConnections,
    random: () => number,
  ) {
    this.#limits = limits;
    this.#effects = effects;
    this.#connections = connections;
    this.#random = random;
  }

  get nextWakeUp(): number | undefined {
    return this.#dueAt;
  }

  /** Whether one is asked over this connection. */
  has(connection: Connection): boolean {
    return connection === this.#connection;
  }

  /**
   * A broker is in use, and these precede it.
   *
   * @param hasNewcomer whether one of them was not in the list before: then they are asked at once
   */
  watch(preceding: readonly string[], now: number, hasNewcomer = false): void {
    this.#preceding = preceding;
    const isWatching = this.#dueAt !== undefined;
    const asked = this.#connection?.endpoint;
    const isWithdrawn = asked !== undefined && !preceding.includes(asked);
    if (preceding.length > 0 && isWatching && !hasNewcomer && !isWithdrawn) return;
    this.stop();
    if (preceding.length === 0) return;
    // Where the last move lasted, the broker was left for something new.
    if (now - this.#movedAt >= LONGEST_PAUSE * this.#limits.heartbeatInterval) this.#moves = 0;
    this.#rounds = hasNewcomer ? 0 : this.#moves;
    if (hasNewcomer) this.#ask(now);
    else this.#rest(now);
  }

  /** There is no broker in use that others could precede: the client looks for one itself. */
  stop(): void {
    this.#hangUp();
    this.#at = 0;
    this.#dueAt = undefined;
  }

  /** Something came from the one that is asked. @returns its answer if it is to be used: its connection is the caller's then */
  receive(input: AtClient, now: number): Negotiated | undefined {
    if (input.kind === "negotiated" && this.#serves) {
      if (input.extended) return this.#take(input, now);
      this.failed(now);
    } else if (input.kind === "answer" && !this.#serves && input.service.equals(SERVING)) {
      this.#serves = String(input.body.frames[0]) === "200";
      if (this.#serves) this.#send("negotiation");
      else this.failed(now);
    } else if (input.kind === "fault") this.failed(now);
    return undefined;
  }

  /** The one that is asked cannot be reached, does not serve, or is a plain one. */
  failed(now: number): void {
    this.#hangUp();
    this.#at += 1;
    if (this.#at < this.#preceding.length) this.#ask(now);
    else this.#rest(now);
  }

  tick(now: number): void {
    if (this.#dueAt === undefined || this.#dueAt > now) return;
    if (this.#connection === undefined) this.#ask(now);
    else this.failed(now);
  }

  #ask(now: number): void {
    this.#dueAt = now + this.#limits.heartbeatInterval;
    this.#serves = false;
    this.#connection = this.#connections.connect(this.#preceding[this.#at] as string);
    this.#send("serving");
  }

  #rest(now: number): void {
    const { heartbeatInterval } = this.#limits;
    this.#at = 0;
    const longest = LONGEST_PAUSE * heartbeatInterval;
    this.#dueAt = now + backOff(this.#rounds, heartbeatInterval, longest, this.#random);
    this.#rounds += 1;
  }

  #take(negotiated: Negotiated, now: number): Negotiated {
    this.#connection = undefined;
    this.stop();
    this.#moves += 1;
    this.#movedAt = now;
    return negotiated;
  }

  #hangUp(): void {
    if (this.#connection !== undefined) this.#connections.close(this.#connection);
    this.#connection = undefined;
  }

  #send(kind: "serving" | "negotiation"): void {
    if (this.#connection !== undefined) this.#effects.send(this.#connection.number, { kind });
  }
}
