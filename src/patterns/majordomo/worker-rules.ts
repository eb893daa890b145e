/**
 * A worker's rules towards one broker (7/MDP and 18/MDP, Opening and Closing, Heartbeating).
 *
 *           open, ask            answer: READY
 *   away ------------> asking ------------------> ready
 *    ^                    |                         |
 *    |  later, longer     |  no answer              |  DISCONNECT, silence, or its connection's end
 *    +--------------------+-------------------------+
 *
 * Each READY is on a new connection, so what a broker meant for the former
 * registration never meets this one. Answers of a former registration are stale.
 */

import { backOff } from "../../core/back-off.js";
import { ERROR_MARK } from "../kit/errors.js";
import type { SendTicket } from "../kit/send-queue.js";
import {
  type AtWorker,
  Body,
  beatInterval,
  type Delivery,
  Dialect,
  type Failure,
  type FromWorker,
  type Reply,
  replyTo,
} from "./wire.js";

/** What a worker is to its brokers. Times in ms. */
export interface SessionOptions {
  readonly service: Buffer;
  /** Requests handled at once. */
  readonly concurrency: number;
  /** Those, and the ones that wait here for a handler. */
  readonly capacity: number;
  readonly name: string;
  /** The dialect to speak; `undefined`: ask. */
  readonly dialect: Dialect | undefined;
  readonly heartbeatInterval: number;
  readonly liveness: number;
  /** ms until the first attempt to come back; doubled each time, with jitter. */
  readonly reconnectInterval: number;
  readonly reconnectMaxInterval: number;
}

/** What the rules ask of their driver. */
export interface SessionEffects {
  /** A new connection to the broker; the former one is closed already. */
  open(): void;
  close(): void;
  /** Sends, in order; waits for room where there is none. */
  send(message: FromWorker): void;
  /** Sends a heartbeat, which is of no use behind what waits. */
  beat(message: FromWorker): void;
  /** Sends an answer or a piece of it. @returns `false`: it waits, and the ticket hears what becomes of it */
  reply(message: Reply | Failure, ticket: SendTicket): boolean;
  start(delivery: Delivery): void;
  cancel(tag: number): void;
  /** The client of a request wants so many bytes more of its pieces. */
  credit(tag: number, bytes: number): void;
  /** Registered. */
  joined(dialect: Dialect): void;
  /** No longer registered; what is in flight is stale. */
  left(reason: "disconnect" | "expired" | "lost", retryIn: number): void;
  fault(): void;
}

/** What became of an answer: it waits for room, or it is of no use, since the registration that it belongs to is over. */
export type SendOutcome = "sent" | "waits" | "stale";

type State = "away" | "asking" | "ready" | "ended";

export class WorkerSession {
  readonly #options: SessionOptions;
  readonly #effects: SessionEffects;
  readonly #random: () => number;
  #state: State = "away";
  #dialect: Dialect = Dialect.Mdp01;
  #epoch = 0;
  #inFlight = 0;
  /** Something was answered since the last beat. */
  #worked = false;
  #lastSeen = 0;
  /** ms between heartbeats to the broker. */
  #interval: number;
  /** When to beat, to ask again or to come back. */
  #next = 0;
  #attempts = 0;
  #draining = false;

  /** @param random from 0 up to 1, for jitter */
  constructor(options: SessionOptions, effects: SessionEffects, random: () => number) {
    this.#options = options;
    this.#interval = options.heartbeatInterval;
    this.#effects = effects;
    this.#random = random;
  }

  get ready(): boolean {
    return this.#state === "ready";
  }

  /** Requests that it has and has not answered. */
  get inFlight(): number {
    return this.#state === "ready" ? this.#inFlight : 0;
  }

  /** Opens the first connection. */
  start(now: number): void {
    this.#connect(now);
  }

  receive(input: AtWorker, now: number): void {
    if (this.#state === "away" || this.#state === "ended") return;
    if (input.kind === "fault") {
      this.#effects.fault();
      return;
    }
    this.#lastSeen = now;
    if (input.kind === "negotiated") {
      if (this.#state !== "asking") return;
      this.#interval = beatInterval(this.#options.heartbeatInterval, input.heartbeatInterval);
      this.#register(input.extended ? Dialect.Shoal : Dialect.Mdp01, now);
      return;
    }
    if (this.#state !== "ready") return;
    switch (input.kind) {
      case "request": {
        if (input.dialect !== this.#dialect) {
          this.#effects.fault();
          return;
        }
        this.#attempts = 0;
        this.#inFlight += 1;
        input.epoch = this.#epoch;
        this.#effects.start(input);
        break;
      }
      case "cancel":
        this.#effects.cancel(input.tag);
        break;
      case "credit":
        this.#effects.credit(input.tag, input.bytes);
        break;
      case "heartbeat":
        this.#attempts = 0;
        break;
      case "disconnect":
        this.#leave("disconnect", now);
        break;
    }
  }

  /** The connection has ended. Made again it would be that of a stranger to the broker, whom no READY made a worker. */
  disconnected(now: number): void {
    if (this.#state === "asking" || this.#state === "ready") this.#leave("lost", now);
  }

  nextWakeUp(): number | undefined {
    return this.#state === "ended" ? undefined : this.#next;
  }

  tick(now: number): void {
    if (this.#state === "ended" || now < this.#next) return;
    if (this.#state === "away") {
      this.#connect(now);
      return;
    }
    const { heartbeatInterval, liveness } = this.#options;
    // 0.1 brokers do not beat to a worker that works; its own long job is not their silence.
    if (this.#dialect !== Dialect.Shoal && (this.#inFlight > 0 || this.#worked)) this.#lastSeen = now;
    this.#worked = false;
    if (now - this.#lastSeen >= heartbeatInterval * liveness) {
      this.#leave("expired", now);
      return;
    }
    this.#next = now + this.#interval;
    if (this.#state === "ready") this.#effects.beat({ kind: "heartbeat", dialect: this.#dialect });
  }

  /** An answer to a delivery, or a piece of it ({@link replyTo}). */
  reply(delivery: Delivery, reply: Reply, ticket: SendTicket): SendOutcome {
    if (!this.#isCurrent(delivery)) return "stale";
    if (reply.final) this.#settle();
    return this.#reply(reply, ticket);
  }

  /** There is no answer. A plain broker gets an error reply. */
  failure(
    delivery: Delivery,
    { reason, text, details }: Pick<Failure, "reason" | "text"> & { readonly details?: Buffer | undefined },
    ticket: SendTicket,
  ): SendOutcome {
    if (!this.#isCurrent(delivery)) return "stale";
    this.#settle();
    if (delivery.dialect !== Dialect.Shoal) {
      const body = Body.of([ERROR_MARK, reason, text]);
      return this.#reply(replyTo(delivery, true, 0, body), ticket);
    }
    const { tag } = delivery;
    return this.#effects.reply({ kind: "failure", tag, reason, text, details }, ticket) ? "sent" : "waits";
  }

  /**
   * Whether its broker takes back what has not begun: no more than what it gave beyond `concurrency`. The rest is for
   * handlers that the broker counts as free, which work for another broker: given back, it would come again at once.
   */
  get takesBack(): boolean {
    const { concurrency } = this.#options;
    return this.#dialect === Dialect.Shoal && this.#state === "ready" && this.#inFlight > concurrency;
  }

  /** No handler has begun the request, and another worker may have one free. @returns `false`: its registration is over */
  giveBack(delivery: Delivery): boolean {
    if (!this.#isCurrent(delivery)) return false;
    this.#settle();
    this.#effects.send({ kind: "return", tag: delivery.tag });
    return true;
  }

  #reply(reply: Reply, ticket: SendTicket): SendOutcome {
    const outcome = this.#effects.reply(reply, ticket) ? "sent" : "waits";
    const isLast = reply.final && this.#draining && this.#inFlight === 0;
    if (isLast && reply.dialect !== Dialect.Shoal) this.end();
    return outcome;
  }

  /** Whether an answer can still be of use: the registration that the request came to is not over. */
  #isCurrent(delivery: Delivery): boolean {
    return delivery.epoch === this.#epoch && this.#state === "ready";
  }

  #settle(): void {
    this.#inFlight -= 1;
    this.#worked = true;
  }

  /**
   * Takes nothing new. A plain broker cannot be asked for that: it gets DISCONNECT, behind the last answer where there is
   * one to come.
   */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#state !== "ready") return;
    if (this.#dialect === Dialect.Shoal) this.#effects.send({ kind: "drain" });
    else if (this.#inFlight === 0) this.end();
  }

  /** Sends DISCONNECT and ends. */
  end(): void {
    if (this.#state === "ready") this.#effects.send({ kind: "disconnect", dialect: this.#dialect });
    this.#state = "ended";
    this.#epoch += 1;
  }

  #connect(now: number): void {
    const { dialect, heartbeatInterval } = this.#options;
    this.#effects.open();
    this.#lastSeen = now;
    this.#next = now + heartbeatInterval;
    if (dialect === undefined) {
      this.#state = "asking";
      this.#effects.send({ kind: "negotiation" });
    } else this.#register(dialect, now);
  }

  #register(dialect: Dialect, now: number): void {
    const { service, concurrency, capacity, name } = this.#options;
    if (this.#draining && dialect !== Dialect.Shoal) {
      this.end();
      return;
    }
    this.#state = "ready";
    this.#dialect = dialect;
    this.#epoch += 1;
    this.#inFlight = 0;
    this.#next = now + this.#interval;
    this.#effects.send({ kind: "ready", dialect, service, concurrency, capacity, name });
    this.#effects.joined(dialect);
    if (this.#draining) this.#effects.send({ kind: "drain" });
  }

  #leave(reason: "disconnect" | "expired" | "lost", now: number): void {
    const { reconnectInterval, reconnectMaxInterval } = this.#options;
    const wait = backOff(this.#attempts, reconnectInterval, reconnectMaxInterval, this.#random);
    this.#attempts += 1;
    this.#state = "away";
    this.#epoch += 1;
    this.#next = now + wait;
    this.#effects.close();
    this.#effects.left(reason, wait);
  }
}
