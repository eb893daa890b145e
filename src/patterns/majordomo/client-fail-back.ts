/**
 * Returns a client to a preferred broker, which is looked for in the background.
 *
 *   resting --due--> asking mmi.serving --200-------> negotiating --extended--> the client moves
 *      ^                 |                                |
 *      +-- refused, silent or stopping: all of them ------+
 *
 * Each broker is asked for one interval, in order of preference. A pause follows, doubled up to LONGEST_PAUSE
 * intervals; it starts longer after moves that did not last. The first question is mmi.serving: a negotiation would
 * vote for the passive broker of a pair (binary-star/gate.ts), which does not answer mmi.serving.
 */

import { backOff } from "../../core/back-off.js";
import type { Connection } from "./client-calls.js";
import type { ClientConnections, ClientEffects, ClientLimits } from "./client-connections.js";
import { type AtClient, type Negotiated, SERVING } from "./wire.js";

/** In intervals. A move that lasts as long counts as stable. */
export const LONGEST_PAUSE = 8;

export class FailBack {
  readonly #limits: Pick<ClientLimits, "heartbeatInterval">;
  readonly #effects: Pick<ClientEffects, "send">;
  readonly #connections: ClientConnections;
  readonly #random: () => number;
  #preceding: readonly string[] = [];
  /** Index of the broker asked now or next. */
  #at = 0;
  #connection: Connection | undefined = undefined;
  /** Whether mmi.serving was answered with 200. */
  #serves = false;
  /** Of the next round, or end of the question. */
  #dueAt: number | undefined;
  /** Failed ones in a row. */
  #rounds = 0;
  /** Unstable moves in a row, and the time of the last one. */
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

  has(connection: Connection): boolean {
    return connection === this.#connection;
  }

  /** @param hasNewcomer a preferred broker is new: it is asked at once */
  watch(preceding: readonly string[], now: number, hasNewcomer = false): void {
    this.#preceding = preceding;
    const isWatching = this.#dueAt !== undefined;
    const asked = this.#connection?.endpoint;
    const isWithdrawn = asked !== undefined && !preceding.includes(asked);
    if (preceding.length > 0 && isWatching && !hasNewcomer && !isWithdrawn) return;
    this.stop();
    if (preceding.length === 0) return;
    // The last move was stable.
    if (now - this.#movedAt >= LONGEST_PAUSE * this.#limits.heartbeatInterval) this.#moves = 0;
    this.#rounds = hasNewcomer ? 0 : this.#moves;
    if (hasNewcomer) this.#ask(now);
    else this.#rest(now);
  }

  /** No broker is in use. */
  stop(): void {
    this.#hangUp();
    this.#at = 0;
    this.#dueAt = undefined;
  }

  /** @returns the broker's answer if the client should move there: the connection is then the caller's */
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

  /** The broker is unreachable, not serving or a plain one. */
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
