/**
 * A client of model 3 (10/FLP): which of its servers it asks, and which it asks
 * next, without sockets, timers or a clock.
 *
 *   server   unknown ── heard of ──> alive ── silent for `timeToLive`, or its link lost ──> dead ── heard of ──> alive
 *   request  waiting for a live server ──> asked ── reply ──> done
 *                ^                            │
 *                └── its server died, or gave no reply within `attemptTimeout`: the next one
 *            `deadline` over: failed
 *
 * Every server gets a PING each `pingInterval`. The time to its PONG shows how
 * fast it is; a PING that waits for its PONG counts as that slow already, so a
 * server that hangs is passed over before it is dead. Asked is the fastest live
 * server that has not had this request yet; when all had it, it starts over after a
 * pause, longer each time: clients whose servers hang do not ask in step.
 */

import { backOff } from "../../core/back-off.js";
import { Link } from "../../core/collections/linked-list.js";
import { Deadlines } from "../../core/deadlines.js";
import type { MessageLike } from "../../sockets/message.js";
import { type ClientCommand, errorTextOf, ping } from "./protocol.js";

/** The weight of the newest measurement in a server's round-trip time. */
const NEWEST = 0.3;

/** Why a request failed. */
export type FreelanceFailure = "timeout" | "server-error";

/** What the rules bring about. */
export interface FreelanceOutbox {
  /** @returns whether it could be sent: the server's link stands and has room */
  send(server: string, frames: MessageLike[]): boolean;
  replied(sequence: number, server: string, body: Buffer[]): void;
  failed(sequence: number, server: string | undefined, why: FreelanceFailure, text: string): void;
  alive(server: string): void;
  dead(server: string, why: "silent" | "disconnected"): void;
  /** A request goes to another server than before. */
  failedOver(sequence: number, from: string, why: "timeout" | "dead"): void;
}

/** How the rules run; all in ms. */
export interface FreelanceRulesOptions {
  readonly pingInterval: number;
  readonly timeToLive: number;
  readonly attemptTimeout: number;
  /** Until a request is sent a second time to a server; doubled each round up to `maxRetryDelay`. */
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
}

/** Counts since the start. */
export interface FreelanceRulesStats {
  readonly requests: number;
  readonly replies: number;
  readonly failures: number;
  readonly failOvers: number;
  /** Replies to requests that were answered or given up before. */
  readonly late: number;
  readonly pending: number;
}

/** A server as its client sees it. */
export interface FreelanceServerStatus {
  readonly endpoint: string;
  readonly alive: boolean;
  /** ms from PING to PONG, smoothed; `undefined` until measured. */
  readonly roundTrip: number | undefined;
  /** Requests it was asked last that are not answered. */
  readonly asked: number;
}

interface Server {
  readonly endpoint: string;
  readonly order: number;
  alive: boolean;
  pingAt: number;
  expiresAt: number;
  roundTrip: number | undefined;
  /** When the PING went out whose PONG has not come. */
  pingedAt: number | undefined;
  readonly asked: Set<Pending>;
}

interface Pending {
  readonly sequence: number;
  readonly body: readonly MessageLike[];
  readonly endsAt: number;
  /** For {@link Deadlines}: the end of the attempt or of all. */
  deadline: number;
  server: Server | undefined;
  /** Those that had it in this round: asked again only when all had it. */
  readonly tried: Set<Server>;
  /** Rounds that are over. */
  rounds: number;
  /** When the next one begins; `undefined` while one is under way. */
  nextRound: number | undefined;
  /** Those that may answer it. */
  readonly mayAnswer: Set<Server>;
  link: Link<Pending>;
}

export class FreelanceRules {
  readonly #outbox: FreelanceOutbox;
  readonly #options: FreelanceRulesOptions;
  readonly #random: () => number;
  readonly #servers = new Map<string, Server>();
  readonly #pending = new Map<number, Pending>();
  readonly #waiting = new Set<Pending>();
  readonly #deadlines = new Deadlines<Pending>();
  #sequence = 0;
  #order = 0;
  readonly #counts = { requests: 0, replies: 0, failures: 0, failOvers: 0, late: 0 };

  /** @param random for the jitter, from 0 up to 1 */
  constructor(options: FreelanceRulesOptions, outbox: FreelanceOutbox, random: () => number = Math.random) {
    this.#options = options;
    this.#outbox = outbox;
    this.#random = random;
  }

  get pending(): number {
    return this.#pending.size;
  }

  addServer(endpoint: string, now: number): void {
    if (this.#servers.has(endpoint)) return;
    this.#servers.set(endpoint, {
      endpoint,
      order: this.#order++,
      alive: false,
      pingAt: now,
      expiresAt: Number.POSITIVE_INFINITY,
      roundTrip: undefined,
      pingedAt: undefined,
      asked: new Set(),
    });
  }

  removeServer(endpoint: string, now: number): void {
    const server = this.#servers.get(endpoint);
    if (server === undefined) return;
    this.#servers.delete(endpoint);
    if (server.alive) this.#died(server, "disconnected", now);
  }

  /** A link stands: who is there, is asked at once. @param endpoint the server's, if known */
  joined(endpoint: string | undefined, now: number): void {
    for (const server of this.#servers.values()) {
      if (!server.alive && (endpoint === undefined || endpoint === server.endpoint)) this.#ping(server, now);
    }
  }

  /** A server's link is lost. */
  left(endpoint: string, now: number): void {
    const server = this.#servers.get(endpoint);
    if (server === undefined) return;
    server.pingedAt = undefined;
    if (server.alive) this.#died(server, "disconnected", now);
  }

  /** @returns the request's sequence, by which its outcome is reported */
  request(body: readonly MessageLike[], deadline: number, now: number): number {
    this.#sequence += 1;
    const request: Pending = {
      sequence: this.#sequence,
      body,
      endsAt: now + deadline,
      deadline: 0,
      server: undefined,
      tried: new Set(),
      rounds: 0,
      nextRound: undefined,
      mayAnswer: new Set(),
      link: undefined as never,
    };
    request.link = new Link(request);
    this.#counts.requests += 1;
    this.#pending.set(request.sequence, request);
    this.#dispatch(request, now);
    return request.sequence;
  }

  /** The caller no longer wants the reply. */
  cancel(sequence: number): void {
    const request = this.#pending.get(sequence);
    if (request !== undefined) this.#forget(request);
  }

  /** @returns whether the server is one of this client's */
  receive(endpoint: string, command: ClientCommand, now: number): boolean {
    const server = this.#servers.get(endpoint);
    if (server === undefined) return false;
    if (command.type === "pong") this.#measure(server, now);
    this.#heard(server, now);
    if (command.type === "reply") this.#reply(server, command.sequence, command.body);
    return true;
  }

  tick(now: number): void {
    for (const server of [...this.#servers.values()]) {
      if (server.alive && now >= server.expiresAt) this.#died(server, "silent", now);
      if (now >= server.pingAt) this.#ping(server, now);
    }
    for (const request of this.#deadlines.take(now)) {
      if (now >= request.endsAt) this.#fail(request, "timeout", "no server replied in time");
      else if (request.server !== undefined) this.#failOver(request, "timeout", now);
      else this.#dispatch(request, now);
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
    return [...this.#servers.values()].map(({ endpoint, alive, roundTrip, asked }) => ({
      endpoint,
      alive,
      roundTrip,
      asked: asked.size,
    }));
  }

  stats(): FreelanceRulesStats {
    return { ...this.#counts, pending: this.#pending.size };
  }

  #ping(server: Server, now: number): void {
    server.pingAt = now + this.#options.pingInterval;
    // An earlier one that waits measures on: the first PONG is its own.
    if (this.#outbox.send(server.endpoint, ping())) server.pingedAt ??= now;
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
    this.#outbox.alive(server.endpoint);
    for (const request of [...this.#waiting]) this.#dispatch(request, now);
  }

  #died(server: Server, why: "silent" | "disconnected", now: number): void {
    server.alive = false;
    server.expiresAt = Number.POSITIVE_INFINITY;
    this.#outbox.dead(server.endpoint, why);
    // One may be given up by a listener that hears of another.
    for (const request of [...server.asked])
      if (server.asked.has(request)) this.#failOver(request, "dead", now);
  }

  #reply(server: Server, sequence: number, body: Buffer[]): void {
    const request = this.#pending.get(sequence);
    if (request === undefined || !request.mayAnswer.has(server)) {
      this.#counts.late += 1;
      return;
    }
    const text = errorTextOf(3, body);
    if (text !== undefined) {
      this.#fail(request, "server-error", text, server);
      return;
    }
    this.#forget(request);
    this.#counts.replies += 1;
    this.#outbox.replied(sequence, server.endpoint, body);
  }

  #failOver(request: Pending, why: "timeout" | "dead", now: number): void {
    const from = request.server as Server;
    from.asked.delete(request);
    request.server = undefined;
    this.#counts.failOvers += 1;
    this.#outbox.failedOver(request.sequence, from.endpoint, why);
    this.#dispatch(request, now);
  }

  #dispatch(request: Pending, now: number): void {
    this.#waiting.delete(request);
    const left = Math.max(0, request.endsAt - now);
    // Its caller may give it up when it hears of a server's death: then it goes to no other.
    while (this.#pending.has(request.sequence)) {
      const server = this.#choose(request, now);
      if (server === undefined) {
        this.#waiting.add(request);
        const { nextRound } = request;
        const wait = nextRound === undefined ? left : Math.min(nextRound - now, left);
        this.#deadlines.set(request.link, now, wait);
        return;
      }
      if (this.#outbox.send(server.endpoint, [String(request.sequence), ...request.body])) {
        request.server = server;
        request.tried.add(server);
        request.mayAnswer.add(server);
        server.asked.add(request);
        this.#deadlines.set(request.link, now, Math.min(this.#options.attemptTimeout, left));
        return;
      }
      // Its link is gone or full, whatever was heard of it: the next PONG brings it back.
      this.#died(server, "disconnected", now);
    }
  }

  /** The fastest live server that did not have the request; when all had it, the fastest, once a pause is over. */
  #choose(request: Pending, now: number): Server | undefined {
    let best: Server | undefined;
    let bestAgain: Server | undefined;
    for (const server of this.#servers.values()) {
      if (!server.alive) continue;
      if (!request.tried.has(server)) best = faster(best, server, now);
      else bestAgain = faster(bestAgain, server, now);
    }
    if (best !== undefined || bestAgain === undefined) return best;
    const { retryDelay, maxRetryDelay } = this.#options;
    request.nextRound ??= now + backOff(request.rounds, retryDelay, maxRetryDelay, this.#random);
    if (now < request.nextRound) return undefined;
    request.nextRound = undefined;
    request.rounds += 1;
    request.tried.clear();
    return bestAgain;
  }

  #fail(request: Pending, why: FreelanceFailure, text: string, server = request.server): void {
    this.#forget(request);
    this.#counts.failures += 1;
    this.#outbox.failed(request.sequence, server?.endpoint, why, text);
  }

  #forget(request: Pending): void {
    this.#pending.delete(request.sequence);
    this.#waiting.delete(request);
    request.server?.asked.delete(request);
    request.link.unlink();
  }
}

function faster(best: Server | undefined, server: Server, now: number): Server {
  if (best === undefined) return server;
  const difference = slowness(server, now) - slowness(best, now);
  return difference < 0 || (difference === 0 && server.order < best.order) ? server : best;
}

/** ms; a PING that waits longer than the others took counts for what it is. */
function slowness({ roundTrip, pingedAt }: Server, now: number): number {
  return Math.max(roundTrip ?? 0, pingedAt === undefined ? 0 : now - pingedAt);
}
