/**
 * Server selection of a model 3 client (10/FLP), without sockets, timers or a clock.
 *
 *   server   unknown ── PONG ──> alive ── silent for `timeToLive`, stopping, or its link lost ──> dead ── PONG ──> alive
 *   request  waiting for a live server with room ──> asked ── reply ──> done
 *                ^                            │
 *                └── its server died, or gave no reply within `attemptTimeout`: the next one. A server that answers
 *                    others meanwhile may have a queue, which repetitions would keep long: there, one request is
 *                    repeated for ten replies
 *            its timeout over: failed. Here, as a timer for each call takes 7 % more processor time
 *
 * Every server gets a PING each `pingInterval`, and the time to its PONG measures its speed. A pending PING counts as
 * at least that slow, so a hanging server is avoided early. A request goes to the fastest live server that has not had
 * it, and when all had it, to all in turn again.
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { Link } from "../../core/collections/queues.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { Deadlines } from "../../core/timers.js";
import type { DeliveryResult } from "../../sockets/index.js";
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

/** @typeParam C a caller's call */
export interface FreelanceOutbox<C> {
  send(server: string, frames: MessageLike[]): DeliveryResult;
  replied(call: C, server: string, body: Buffer[]): void;
  /** The server's handler failed. */
  failed(call: C, server: string, text: string): void;
  timedOut(call: C): void;
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

class Server {
  readonly endpoint: string;
  alive = false;
  /** Its queue had no room, and nothing was heard of it since. */
  full = false;
  pingAt: number;
  expiresAt = Number.POSITIVE_INFINITY;
  roundTrip: number | undefined = undefined;
  /** When the unanswered PING was sent. */
  pingedAt: number | undefined = undefined;
  repliedAt = Number.NEGATIVE_INFINITY;

  constructor(endpoint: string, now: number) {
    this.endpoint = endpoint;
    this.pingAt = now;
  }
}

class Pending<C> {
  readonly call: C;
  readonly sequence: number;
  readonly body: readonly MessageLike[];
  readonly endsAt: number;
  /** Start of the attempt. */
  askedAt = 0;
  /** End of the attempt or the whole request. */
  deadline = 0;
  server: Server | undefined = undefined;
  /** Servers asked in this round. */
  tried: readonly Server[] = [];
  /** Replies of these servers count. */
  mayAnswer: readonly Server[] = [];
  readonly link: Link<Pending<C>> = new Link<Pending<C>>(this);

  constructor(call: C, sequence: number, body: readonly MessageLike[], endsAt: number) {
    this.call = call;
    this.sequence = sequence;
    this.body = body;
    this.endsAt = endsAt;
  }
}

export class FreelanceRules<C> {
  readonly #outbox: FreelanceOutbox<C>;
  readonly #options: FreelanceRulesOptions;
  readonly #servers = new Map<string, Server>();
  readonly #pending = new NumberTable<Pending<C>>();
  readonly #waiting = new Set<Pending<C>>();
  readonly #deadlines = new Deadlines<Pending<C>>();
  #sequence = 0;
  #repeats = MAX_REPEATS;
  readonly #counts = { requests: 0, replies: 0, failures: 0, failOvers: 0, late: 0 };

  constructor(options: FreelanceRulesOptions, outbox: FreelanceOutbox<C>) {
    this.#options = options;
    this.#outbox = outbox;
  }

  get endpoints(): readonly string[] {
    return [...this.#servers.keys()];
  }

  addServer(endpoint: string, now: number): void {
    this.#servers.set(endpoint, new Server(endpoint, now));
  }

  removeServer(endpoint: string, now: number): void {
    const server = this.#servers.get(endpoint);
    if (server === undefined) return;
    this.#servers.delete(endpoint);
    if (server.alive) this.#died(server, "disconnected", now);
  }

  /** @param endpoint the server's, if known */
  joined(endpoint: string | undefined, now: number): void {
    for (const server of this.#servers.values()) {
      if (!server.alive && (endpoint === undefined || endpoint === server.endpoint)) this.#ping(server, now);
    }
  }

  left(endpoint: string, now: number): void {
    const server = this.#servers.get(endpoint);
    if (server === undefined) return;
    server.pingedAt = undefined;
    if (server.alive) this.#died(server, "disconnected", now);
  }

  /** The sequence of the next request. */
  get next(): number {
    return this.#sequence + 1;
  }

  /** @returns the request's sequence */
  request(call: C, body: readonly MessageLike[], timeout: number, now: number): number {
    this.#sequence += 1;
    const request = new Pending(call, this.#sequence, body, now + timeout);
    this.#counts.requests += 1;
    this.#pending.set(request.sequence, request);
    this.#dispatch(request, now);
    return request.sequence;
  }

  /** @returns the call, if it was pending */
  cancel(sequence: number): C | undefined {
    const request = this.#pending.get(sequence);
    if (request !== undefined) this.#forget(request);
    return request?.call;
  }

  /** @returns whether the server is one of this client's */
  receive(endpoint: string, command: ClientCommand, now: number): boolean {
    const server = this.#servers.get(endpoint);
    if (server === undefined) return false;
    if (command.type === "pong") this.#measure(server, now);
    // Requests that wait must not go to it again.
    else if (errorTextOf(3, command.body) === STOPPING) {
      if (server.alive) this.#died(server, "stopping", now);
      return true;
    }
    // A stopping one still answers what it has begun.
    if (server.alive || command.type === "pong") this.#heard(server, now);
    if (command.type === "reply") this.#reply(server, command.sequence, command.body, now);
    return true;
  }

  tick(now: number): void {
    for (const server of [...this.#servers.values()]) {
      if (server.alive && now >= server.expiresAt) this.#died(server, "silent", now);
      if (now >= server.pingAt) this.#ping(server, now);
    }
    for (const request of this.#deadlines.take(now)) {
      const { server } = request;
      if (now >= request.endsAt || server === undefined) {
        this.#forget(request);
        this.#counts.failures += 1;
        this.#outbox.timedOut(request.call);
      } else if (server.repliedAt < request.askedAt) this.#failOver(request, "timeout", now);
      else if (this.#repeats >= 1) {
        this.#repeats -= 1;
        this.#failOver(request, "timeout", now);
      } else this.#startAttempt(request, now);
    }
  }

  nextWakeUp(): number | undefined {
    let next = this.#deadlines.next() ?? Number.POSITIVE_INFINITY;
    for (const server of this.#servers.values()) {
      next = Math.min(next, server.pingAt, server.alive ? server.expiresAt : next);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  servers(): FreelanceServerStatus[] {
    return [...this.#servers.values()].map((server) => {
      const { endpoint, alive, roundTrip } = server;
      return { endpoint, alive, roundTrip, asked: this.#askedOf(server).length };
    });
  }

  stats(): FreelanceRulesStats {
    return { ...this.#counts, pending: this.#pending.size };
  }

  #ping(server: Server, now: number): void {
    server.pingAt = now + this.#options.pingInterval;
    // The first PONG answers an earlier PING.
    if (this.#outbox.send(server.endpoint, [PING]) === "sent") server.pingedAt ??= now;
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
    if (server.alive && !server.full) return;
    server.full = false;
    if (!server.alive) {
      server.alive = true;
      this.#outbox.event({ type: "server:joined", server: server.endpoint });
    }
    for (const request of this.#waiting) {
      this.#dispatch(request, now);
      if (server.full) break;
    }
  }

  #died(server: Server, reason: LeftReason, now: number): void {
    server.alive = false;
    server.full = false;
    server.expiresAt = Number.POSITIVE_INFINITY;
    this.#outbox.event({ type: "server:left", server: server.endpoint, reason });
    // A listener may cancel one.
    for (const request of this.#askedOf(server).sort((one, other) => one.sequence - other.sequence))
      if (request.server === server) this.#failOver(request, "dead", now);
  }

  #askedOf(server: Server): Pending<C>[] {
    return this.#pending.values().filter((request) => request.server === server);
  }

  #reply(server: Server, sequence: number, body: Buffer[], now: number): void {
    server.repliedAt = now;
    this.#repeats = Math.min(MAX_REPEATS, this.#repeats + REPEATS_PER_REPLY);
    const request = this.#pending.get(sequence);
    if (request === undefined || !request.mayAnswer.includes(server)) {
      this.#counts.late += 1;
      return;
    }
    this.#forget(request);
    const text = errorTextOf(3, body);
    if (text !== undefined) {
      this.#counts.failures += 1;
      this.#outbox.failed(request.call, server.endpoint, text);
      return;
    }
    this.#counts.replies += 1;
    this.#outbox.replied(request.call, server.endpoint, body);
  }

  #failOver(request: Pending<C>, reason: "timeout" | "dead", now: number): void {
    const { endpoint: from } = request.server as Server;
    request.server = undefined;
    this.#counts.failOvers += 1;
    this.#outbox.event({ type: "request:retried", from, reason });
    this.#dispatch(request, now);
  }

  #dispatch(request: Pending<C>, now: number): void {
    while (this.#pending.has(request.sequence)) {
      const server = this.#choose(request, now);
      if (server === undefined) {
        this.#waiting.add(request);
        this.#deadlines.set(request.link, now, Math.max(0, request.endsAt - now));
        return;
      }
      const result = this.#outbox.send(server.endpoint, [String(request.sequence), ...request.body]);
      if (result === "sent") {
        // A transport of the program may have given it up.
        if (!this.#pending.has(request.sequence)) return;
        this.#waiting.delete(request);
        request.server = server;
        request.tried = [...request.tried, server];
        if (!request.mayAnswer.includes(server)) request.mayAnswer = [...request.mayAnswer, server];
        this.#startAttempt(request, now);
        return;
      }
      // What is heard of the server next changes that.
      if (result === "full") server.full = true;
      else this.#died(server, "disconnected", now);
    }
  }

  #startAttempt(request: Pending<C>, now: number): void {
    request.askedAt = now;
    const left = Math.max(0, request.endsAt - now);
    this.#deadlines.set(request.link, now, Math.min(this.#options.attemptTimeout, left));
  }

  /** The fastest live server with room that has not had the request; if all had it, the fastest of all. */
  #choose(request: Pending<C>, now: number): Server | undefined {
    let best: Server | undefined;
    let bestAgain: Server | undefined;
    for (const server of this.#servers.values()) {
      if (!server.alive || server.full) continue;
      if (!request.tried.includes(server)) best = faster(best, server, now);
      else bestAgain = faster(bestAgain, server, now);
    }
    if (best === undefined) request.tried = [];
    return best ?? bestAgain;
  }

  #forget(request: Pending<C>): void {
    this.#pending.delete(request.sequence);
    this.#waiting.delete(request);
    request.server = undefined;
    request.link.unlink();
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
