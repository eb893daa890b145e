/**
 * Pirate worker (6/PPP, Worker).
 *
 *            start, or back-off over                 request
 *   waiting -------------------------> idle -------------------------> working
 *      ^                                | ^                               |
 *      |   queue silent for `liveness`  | |   READY on a new connection   |
 *      +---------- intervals -----------+ +---------- reply --------------+
 *
 * While working it neither sends heartbeats nor counts the queue's silence: queues send heartbeats only to idle
 * workers, and the Guide's takes any message as "ready".
 */

import { type EventsOf, event } from "../../core/event-stream.js";
import { backOff } from "../../core/timers.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import { choice, codec, integer, object, type Settings } from "../../kit/options.js";
import type { Malformed, QueueCommand } from "../../kit/worker-protocol.js";
import type { DealerOptions } from "../../sockets/request-reply.js";
import type { PIRATE_WORKER } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

export const OPTIONS = {
  /** `"paranoid"` exchanges heartbeats (6/PPP); `"simple"` is the Guide's REQ worker. Default `"paranoid"`. */
  dialect: choice(["paranoid", "simple"], "paranoid"),
  /** Concurrent requests: a queue sends each connection one. Default 1. */
  concurrency: integer({ default: 1 }),
  /** ms between heartbeats; the same on both sides. Default 1,000. */
  heartbeatInterval: integer({ default: 1_000 }),
  /** Intervals of silence before a queue is reconnected. Default 3. */
  liveness: integer({ default: 3 }),
  /** First reconnect delay; doubled each time, half of it random. Default 1,000. */
  reconnectInterval: integer({ default: 1_000 }),
  /** Largest reconnect delay. Default 32,000. */
  reconnectMaxInterval: integer({ default: 32_000 }),
  requestCodec: codec(),
  replyCodec: codec(),
  /** Options of the DEALERs, such as security. */
  socketOptions: object<DealerOptions>(["codec"]),
};

export const WORKER_EVENTS = {
  /** The queue was silent. It is reconnected after `delay` ms. */
  "queue:lost": event<{ readonly reason: "silent"; readonly delay: number }>(),
  "handler:failed": event<{ readonly error: unknown }>(),
  /** A request to a busy worker, which violates the protocol. */
  "request:dropped": event(),
  "message:invalid": event<{ readonly reason: Malformed }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type PirateWorkerEvent = EventsOf<typeof WORKER_EVENTS>;

/** Statistics: requests = replies + 1 while working. */
export type PirateWorkerStats = StatisticsOf<typeof PIRATE_WORKER>;

export type WorkerCounts = { -readonly [K in keyof PirateWorkerStats]: number };

export function workerCounts(): WorkerCounts {
  return { requests: 0, replies: 0, failed: 0, dropped: 0, invalid: 0, silences: 0 };
}

export interface WorkerEffects {
  /** With a new socket and routing id. */
  open(): void;
  abandon(): void;
  ready(): void;
  heartbeat(): void;
  /** Ends with `finished`. */
  handle(address: Buffer, body: readonly Buffer[]): void;
  reply(address: Buffer, body: readonly Buffer[]): void;
  event(event: PirateWorkerEvent): void;
}

export type WorkerRulesOptions = Pick<
  Settings<typeof OPTIONS>,
  "dialect" | "heartbeatInterval" | "liveness" | "reconnectInterval" | "reconnectMaxInterval"
>;

type State = "waiting" | "idle" | "working" | "closed";

export class WorkerRules {
  readonly #options: WorkerRulesOptions;
  readonly #effects: WorkerEffects;
  readonly #random: () => number;
  #state: State = "waiting";
  #failures = 0;
  /** Time to reconnect (waiting), or to give up the queue (idle). */
  #deadline = Number.POSITIVE_INFINITY;
  #nextBeat = Number.POSITIVE_INFINITY;
  #link: "none" | "up" | "down" = "none";
  /** The last reply waits for the next link. */
  #owesReply = false;
  readonly #counts: WorkerCounts;

  /** @param random from 0 up to 1. @param counts perhaps of several connections */
  constructor(
    options: WorkerRulesOptions,
    effects: WorkerEffects,
    random: () => number,
    counts: WorkerCounts,
  ) {
    this.#counts = counts;
    this.#options = options;
    this.#effects = effects;
    this.#random = random;
  }

  get working(): boolean {
    return this.#state === "working";
  }

  start(now: number): void {
    this.#link = "none";
    this.#owesReply = false;
    this.#effects.open();
    this.#effects.ready();
    this.#idle(now);
  }

  connected(now: number): void {
    // A restarted queue may not know this worker. A waiting reply counts as READY, too: a second READY would cost the
    // worker the request that follows the first.
    if (this.#link !== "none" && this.#state === "idle") {
      if (!this.#owesReply) this.#effects.ready();
      this.#idle(now);
    }
    this.#link = "up";
    this.#owesReply = false;
  }

  disconnected(): void {
    this.#link = "down";
  }

  receive(command: QueueCommand, now: number): void {
    if (this.#state === "closed" || this.#state === "waiting") return;
    if (command.kind === "invalid") {
      this.#counts.invalid += 1;
      this.#effects.event({ type: "message:invalid", reason: command.reason });
      return;
    }
    this.#failures = 0;
    if (this.#state === "idle") this.#deadline = this.#silenceEnds(now);
    if (command.kind === "heartbeat") return;
    if (this.#state === "working") {
      this.#counts.dropped += 1;
      this.#effects.event({ type: "request:dropped" });
      return;
    }
    this.#counts.requests += 1;
    this.#state = "working";
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#nextBeat = Number.POSITIVE_INFINITY;
    this.#effects.handle(command.address, command.body);
  }

  finished(address: Buffer, body: readonly Buffer[], now: number): void {
    if (this.#state !== "working") return;
    this.#counts.replies += 1;
    this.#owesReply = this.#link === "down";
    this.#effects.reply(address, body);
    this.#idle(now);
  }

  tick(now: number): void {
    if (this.#state === "waiting") {
      if (now >= this.#deadline) this.start(now);
      return;
    }
    if (this.#state !== "idle") return;
    if (now >= this.#deadline) {
      this.#giveUp(now);
      return;
    }
    if (now >= this.#nextBeat) {
      // A heartbeat that waits for a link would come before READY.
      if (this.#link !== "down") this.#effects.heartbeat();
      this.#nextBeat = now + this.#options.heartbeatInterval;
    }
  }

  nextWakeUp(): number | undefined {
    const next = Math.min(this.#deadline, this.#nextBeat);
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  close(): void {
    this.#state = "closed";
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#nextBeat = Number.POSITIVE_INFINITY;
  }

  #idle(now: number): void {
    this.#state = "idle";
    this.#deadline = this.#silenceEnds(now);
    const hasHeartbeats = this.#options.dialect === "paranoid";
    this.#nextBeat = hasHeartbeats ? now + this.#options.heartbeatInterval : Number.POSITIVE_INFINITY;
  }

  /** A Simple Pirate's queue is always silent. */
  #silenceEnds(now: number): number {
    if (this.#options.dialect === "simple") return Number.POSITIVE_INFINITY;
    return now + this.#options.heartbeatInterval * this.#options.liveness;
  }

  #giveUp(now: number): void {
    const { reconnectInterval, reconnectMaxInterval } = this.#options;
    const delay = backOff(this.#failures, reconnectInterval, reconnectMaxInterval, this.#random);
    this.#failures += 1;
    this.#state = "waiting";
    this.#deadline = now + delay;
    this.#nextBeat = Number.POSITIVE_INFINITY;
    this.#counts.silences += 1;
    this.#effects.abandon();
    this.#effects.event({ type: "queue:lost", reason: "silent", delay });
  }
}
