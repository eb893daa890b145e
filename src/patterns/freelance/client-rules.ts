/**
 * Server selection of a model 3 client (10/FLP), without sockets, timers or a clock.
 *
 *   server   unknown ── PONG ──> alive ── silent for `timeToLive`, stopping, or its link lost ──> dead ── PONG ──> alive
 *   request  waiting for a live server with room ──> asked ── reply ──> done
 *                ^                            │
 *                └── its server died, or gave no reply within `attemptTimeout`: the next one. A server that answers
 *                    others meanwhile may have a queue, which repetitions would keep long: there, one request is
 *                    repeated for ten replies
 *
 * Every server gets a PING each `pingInterval`, and the time to its PONG measures its speed. A pending PING counts as
 * at least that slow, so a hanging server is avoided early. A request goes to the fastest live server that has not had
 * it, and when all had it, to all in turn again.
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { Link } from "../../core/collections/queues.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { Deadlines } from "../../core/timers.js";
import { DealerServer } from "../../kit/dealer-client.js";
import type { MessageLike } from "../../sockets/message.js";
import type { FREELANCE_CLIENT } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { type ClientCommand, errorTextOf, PING, STOPPING } from "./protocol.js";

/** Weight of the newest sample. */
const NEWEST = 0.3;
/** Requests that are repeated though their servers answer others: at once; for each reply. */
const MAX_REPEATS = 10;
const REPEATS_PER_REPLY = 0.1;

type LeftReason =
  | "silent"
  | "disconnected"
  /** It closes or drains. */
  | "stopping";

export const SERVER_EVENTS = {
  /** A server answered for the first time, or again. */
  "server:joined": event<{ readonly server: string }>(),
  "server:left": event<{ readonly server: string; readonly reason: LeftReason }>(),
  /** A request goes to another server. */
  "request:retried": event<{ readonly from: string; readonly reason: "timeout" | "dead" }>(),
};

/** @typeParam P a caller's promise */
export interface FreelanceOutbox<P> {
  /** @param call of a request. @returns `false`: the server is full; `proceed` follows */
  send(server: Server, frames: MessageLike[], call?: FreelanceCall<P>): boolean;
  replied(call: FreelanceCall<P>, body: Buffer[]): void;
  /** The server's handler failed. */
  failed(call: FreelanceCall<P>, server: string, text: string): void;
  event(event: EventsOf<typeof SERVER_EVENTS>): void;
}

/** Times in ms. */
export interface FreelanceRulesOptions {
  readonly pingInterval: number;
  readonly timeToLive: number;
  readonly attemptTimeout: number;
}

export type FreelanceRulesStats = Omit<StatisticsOf<typeof FREELANCE_CLIENT>, "pendingBytes" | "invalid">;

export interface FreelanceServerStatus {
  readonly endpoint: string;
  readonly alive: boolean;
  /** Smoothed ms from PING to PONG. */
  readonly roundTrip: number | undefined;
  /** Unanswered requests at this server. */
  readonly asked: number;
}

export class Server extends DealerServer {
  alive = false;
  pingAt = 0;
  expiresAt = Number.POSITIVE_INFINITY;
  roundTrip: number | undefined = undefined;
  /** When the unanswered PING was sent. */
  pingedAt: number | undefined = undefined;
  repliedAt = Number.NEGATIVE_INFINITY;
}

export class FreelanceCall<P> {
  readonly body: readonly MessageLike[];
  readonly pending: P;
  /** Given when it begins. */
  sequence = 0;
  /** Start and end of the attempt. */
  askedAt = 0;
  deadline = 0;
  server: Server | undefined = undefined;
  /** Servers asked in this round. */
  tried: readonly Server[] = [];
  /** Replies of these servers count. */
  mayAnswer: readonly Server[] = [];
  readonly link: Link<FreelanceCall<P>> = new Link<FreelanceCall<P>>(this);

  constructor(body: readonly MessageLike[], pending: P) {
    this.body = body;
    this.pending = pending;
  }
}

export class FreelanceRules<P> {
  readonly #outbox: FreelanceOutbox<P>;
  readonly #options: FreelanceRulesOptions;
  /** Connected ones. */
  readonly #servers = new Set<Server>();
  readonly #pending = new NumberTable<FreelanceCall<P>>();
  readonly #waiting = new Set<FreelanceCall<P>>();
  readonly #deadlines = new Deadlines<FreelanceCall<P>>();
  #sequence = 0;
  #repeats = MAX_REPEATS;
  readonly #counts = { requests: 0, replies: 0, failures: 0, failOvers: 0, late: 0 };

  constructor(options: FreelanceRulesOptions, outbox: FreelanceOutbox<P>) {
    this.#options = options;
    this.#outbox = outbox;
  }

  joined(server: Server, now: number): void {
    this.#servers.add(server);
    server.isFull = false;
    this.#ping(server, now);
  }

  left(server: Server, now: number): void {
    this.#servers.delete(server);
    server.pingedAt = undefined;
    if (server.alive) this.#died(server, "disconnected", now);
  }

  request(call: FreelanceCall<P>, now: number): void {
    this.#sequence += 1;
    call.sequence = this.#sequence;
    this.#counts.requests += 1;
    this.#pending.set(call.sequence, call);
    this.#dispatch(call, now);
  }

  /** The caller gave it up. */
  cancel(call: FreelanceCall<P>, isLate: boolean): void {
    if (isLate) this.#counts.failures += 1;
    this.#forget(call);
  }

  receive(server: Server, command: ClientCommand, now: number): void {
    if (command.type === "pong") this.#measure(server, now);
    // Requests that wait must not go to it again.
    else if (errorTextOf(3, command.body) === STOPPING) {
      if (server.alive) this.#died(server, "stopping", now);
      return;
    }
    // A stopping one still answers what it has begun.
    if (server.alive || command.type === "pong") this.#heard(server, now);
    if (command.type === "reply") this.#reply(server, command.sequence, command.body, now);
  }

  /** A server has room. */
  proceed(now: number): void {
    for (const call of this.#waiting) if (!this.#dispatch(call, now)) return;
  }

  tick(now: number): void {
    for (const server of [...this.#servers]) {
      if (server.alive && now >= server.expiresAt) this.#died(server, "silent", now);
      if (now >= server.pingAt) this.#ping(server, now);
    }
    for (const call of this.#deadlines.take(now)) {
      if ((call.server as Server).repliedAt < call.askedAt) this.#failOver(call, "timeout", now);
      else if (this.#repeats >= 1) {
        this.#repeats -= 1;
        this.#failOver(call, "timeout", now);
      } else this.#startAttempt(call, now);
    }
  }

  nextWakeUp(): number | undefined {
    let next = this.#deadlines.next() ?? Number.POSITIVE_INFINITY;
    for (const server of this.#servers) {
      next = Math.min(next, server.pingAt, server.alive ? server.expiresAt : next);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  status(server: Server): FreelanceServerStatus {
    const { endpoint, alive, roundTrip } = server;
    return { endpoint, alive, roundTrip, asked: this.#askedOf(server).length };
  }

  stats(): FreelanceRulesStats {
    return { ...this.#counts, pending: this.#pending.size };
  }

  #ping(server: Server, now: number): void {
    server.pingAt = now + this.#options.pingInterval;
    // The first PONG answers an earlier PING.
    if (!server.isFull && this.#outbox.send(server, [PING])) server.pingedAt ??= now;
  }

  #measure(server: Server, now: number): void {
    if (server.pingedAt === undefined) return;
    const measured = now - server.pingedAt;
    server.pingedAt = undefined;
    server.roundTrip =
      server.roundTrip === undefined ? measured : server.roundTrip + NEWEST * (measured - server.roundTrip);
  }

  #heard(server: Server, now: number): void {
    server.expiresAt = now + this.#options.timeToLive;
    if (server.alive) return;
    server.alive = true;
    this.#outbox.event({ type: "server:joined", server: server.endpoint });
    this.proceed(now);
  }

  #died(server: Server, reason: LeftReason, now: number): void {
    server.alive = false;
    this.#outbox.event({ type: "server:left", server: server.endpoint, reason });
    // A listener may cancel one.
    for (const call of this.#askedOf(server).sort((one, other) => one.sequence - other.sequence))
      if (call.server === server) this.#failOver(call, "dead", now);
  }

  #askedOf(server: Server): FreelanceCall<P>[] {
    return this.#pending.values().filter((call) => call.server === server);
  }

  #reply(server: Server, sequence: number, body: Buffer[], now: number): void {
    server.repliedAt = now;
    this.#repeats = Math.min(MAX_REPEATS, this.#repeats + REPEATS_PER_REPLY);
    const call = this.#pending.get(sequence);
    if (call === undefined || !call.mayAnswer.includes(server)) {
      this.#counts.late += 1;
      return;
    }
    this.#forget(call);
    const text = errorTextOf(3, body);
    if (text !== undefined) {
      this.#counts.failures += 1;
      this.#outbox.failed(call, server.endpoint, text);
      return;
    }
    this.#counts.replies += 1;
    this.#outbox.replied(call, body);
  }

  #failOver(call: FreelanceCall<P>, reason: "timeout" | "dead", now: number): void {
    const { endpoint: from } = call.server as Server;
    call.server = undefined;
    call.link.unlink();
    this.#counts.failOvers += 1;
    this.#outbox.event({ type: "request:retried", from, reason });
    this.#dispatch(call, now);
  }

  /** @returns `false`: it waits for a server with room */
  #dispatch(call: FreelanceCall<P>, now: number): boolean {
    while (this.#pending.has(call.sequence)) {
      const server = this.#choose(call, now);
      if (server === undefined) {
        this.#waiting.add(call);
        return false;
      }
      if (!this.#outbox.send(server, [String(call.sequence), ...call.body], call)) continue;
      // A listener may have given it up within the send.
      if (!this.#pending.has(call.sequence)) break;
      this.#waiting.delete(call);
      call.server = server;
      call.tried = [...call.tried, server];
      if (!call.mayAnswer.includes(server)) call.mayAnswer = [...call.mayAnswer, server];
      this.#startAttempt(call, now);
      break;
    }
    return true;
  }

  #startAttempt(call: FreelanceCall<P>, now: number): void {
    call.askedAt = now;
    this.#deadlines.set(call.link, now, this.#options.attemptTimeout);
  }

  /** The fastest live server with room that has not had the request; if all had it, the fastest of all. */
  #choose(call: FreelanceCall<P>, now: number): Server | undefined {
    let best: Server | undefined;
    let bestAgain: Server | undefined;
    for (const server of this.#servers) {
      if (!server.alive || server.isFull) continue;
      if (!call.tried.includes(server)) best = faster(best, server, now);
      else bestAgain = faster(bestAgain, server, now);
    }
    if (best === undefined) call.tried = [];
    return best ?? bestAgain;
  }

  #forget(call: FreelanceCall<P>): void {
    this.#pending.delete(call.sequence);
    this.#waiting.delete(call);
    call.server = undefined;
    call.link.unlink();
  }
}

function faster(best: Server | undefined, server: Server, now: number): Server {
  if (best === undefined) return server;
  return slowness(server, now) < slowness(best, now) ? server : best;
}

/** ms. A pending PING counts once it exceeds the measured time. */
function slowness({ roundTrip, pingedAt }: Server, now: number): number {
  return Math.max(roundTrip ?? 0, pingedAt === undefined ? 0 : now - pingedAt);
}
