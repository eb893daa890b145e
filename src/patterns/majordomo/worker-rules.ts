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
import type { SendTicket } from "../kit/send-queue.js";
import { beatInterval, negotiation } from "./client-messages.js";
import { taggedHead, workerSignalHead } from "./header.js";
import { Dialect, type Frames, LEVEL, RETURN_LEVEL, RUN_LEVEL, WorkerCommand } from "./protocol.js";
import { borrowWriter, fitsRun, type RunWriter, returnWriter, runBytes } from "./runs.js";
import {
  type Delivery,
  drainMessage,
  failureMessage,
  readyMessage,
  replyMessage,
  returnMessage,
  signalMessage,
  type WorkerInput,
} from "./worker-messages.js";

/** What a worker is to its brokers. Times in ms. */
export interface SessionOptions {
  readonly service: Buffer;
  /** Requests handled at once. */
  readonly concurrency: number;
  /** Those, and the ones that wait here for a handler. */
  readonly capacity: number;
  /** The same at a broker that takes none of them back; default: as many. */
  readonly capacityWithoutReturn?: number;
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
  send(message: Frames): void;
  /** The same for a heartbeat, which is of no use behind what waits. */
  beat(message: Frames): void;
  /** The same for an answer, or a piece of it. @returns `false`: it waits, and the ticket hears what becomes of it */
  reply(message: Frames, ticket: SendTicket): boolean;
  start(delivery: Delivery): void;
  /** `flush` is to be called at the end of this turn, before what is sent in it is written. */
  flushSoon?(): void;
  /** Answers may wait for the end of the turn: there is room, and `reply` copies them. */
  joins?(): boolean;
  /** The highest level that the connection's options allow. Default: LEVEL. */
  level?(): number;
  cancel(tag: number): void;
  /** `reply` has copied a message's head when it returns, so that one can be written again for all. */
  reusesHeads(): boolean;
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

/** Hears of nothing: what was joined counts as sent. */
const NOBODY: SendTicket = { settled: () => undefined };

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
  /** Of the third dialect, with the broker. */
  #level = 1;
  /** Answers of this turn. */
  #answers: RunWriter | undefined;
  /** The tag of the first of them. */
  #firstTag = 0;
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

  get dialect(): Dialect {
    return this.#dialect;
  }

  /** Opens the first connection. */
  start(now: number): void {
    this.#connect(now);
  }

  receive(input: WorkerInput, now: number): void {
    if (this.#state === "away" || this.#state === "ended") return;
    if (input.kind === "fault") {
      this.#effects.fault();
      return;
    }
    this.#lastSeen = now;
    if (input.kind === "negotiated") {
      if (this.#state !== "asking") return;
      this.#interval = beatInterval(this.#options.heartbeatInterval, input.heartbeatInterval);
      this.#level = input.level;
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
        this.#begin(input);
        break;
      }
      case "requests":
        if (this.#dialect !== Dialect.Shoal) {
          this.#effects.fault();
          return;
        }
        this.#attempts = 0;
        input.each(this.#begin);
        break;
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

  #begin = (delivery: Delivery): void => {
    // The handler of one in front of it, in its run, has closed the worker.
    if (this.#state !== "ready") return;
    this.#inFlight += 1;
    delivery.epoch = this.#epoch;
    this.#effects.start(delivery);
  };

  /** Sends the answers of this turn. */
  flush(): void {
    const answers = this.#answers;
    if (answers === undefined) return;
    this.#answers = undefined;
    // Somebody may observe what is sent since the first of them was joined.
    const copies = this.#joins;
    const message =
      answers.members === 1
        ? [taggedHead(WorkerCommand.Final, this.#firstTag, copies), answers.only()]
        : answers.message([workerSignalHead(WorkerCommand.Replies)]);
    if (!this.#effects.reply(message, NOBODY) || !copies) answers.giveAway();
    returnWriter(answers);
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
    if (this.#state === "ready") this.#effects.beat(signalMessage(this.#dialect, "Heartbeat"));
  }

  /** Whether an answer can still be of use: the registration that the request came to is not over. */
  waitsFor(delivery: Delivery): boolean {
    return delivery.epoch === this.#epoch && this.#state === "ready";
  }

  /** A piece of an answer. @param pieces that were sent before */
  partial(
    delivery: Delivery,
    body: readonly (Buffer | string)[],
    pieces: number,
    ticket: SendTicket,
  ): SendOutcome {
    if (!this.waitsFor(delivery)) return "stale";
    return this.#reply(replyMessage(delivery, false, body, pieces), ticket);
  }

  /** The answer, or its end. @param pieces that were sent before */
  final(
    delivery: Delivery,
    body: readonly (Buffer | string)[],
    pieces: number,
    ticket: SendTicket,
  ): SendOutcome {
    if (!this.#settle(delivery)) return "stale";
    const isShort = pieces === 0 && this.#level >= RUN_LEVEL && fitsRun(body);
    const joins = isShort && (this.#answers !== undefined || this.#joins);
    if (joins && this.#join(delivery.tag, body[0] as Buffer | string)) return "sent";
    const outcome = this.#reply(
      replyMessage(delivery, true, body, pieces, this.#effects.reusesHeads()),
      ticket,
    );
    if (this.#draining && this.#inFlight === 0 && this.#dialect !== Dialect.Shoal) this.end();
    return outcome;
  }

  /** There is no answer; in the third dialect only, which can say so. */
  failure(
    delivery: Delivery,
    reason: string,
    text: string,
    details: Buffer | undefined,
    ticket: SendTicket,
  ): SendOutcome {
    if (!this.#settle(delivery)) return "stale";
    return this.#reply(
      failureMessage(delivery.head, reason, text, this.#level > 1 ? details : undefined),
      ticket,
    );
  }

  /**
   * Whether its broker takes back what has not begun: no more than what it gave beyond `concurrency`. The rest is for handlers that the
   * broker counts as free, which work for another broker: given back, it would come again at once.
   */
  get takesBack(): boolean {
    const { concurrency } = this.#options;
    const isKnown = this.#dialect === Dialect.Shoal && this.#level >= RETURN_LEVEL;
    return isKnown && this.#state === "ready" && this.#inFlight > concurrency;
  }

  /** No handler has begun the request, and another worker may have one free. @returns `false`: its registration is over */
  giveBack(delivery: Delivery): boolean {
    if (!this.#settle(delivery)) return false;
    this.#effects.send(returnMessage(delivery.head));
    return true;
  }

  get #joins(): boolean {
    return this.#effects.joins?.() === true;
  }

  /** It leaves at the end of the turn, with others. @returns `false`: it has to go alone */
  #join(tag: number, body: Buffer | string): boolean {
    if (this.#answers?.hasRoom(runBytes(body)) === false) this.flush();
    if (this.#answers === undefined) {
      this.#answers = borrowWriter();
      if (this.#answers === undefined) return false;
      this.#firstTag = tag;
      this.#effects.flushSoon?.();
    }
    this.#answers.number(tag);
    this.#answers.body(body);
    return true;
  }

  /** Nobody is there to have them. */
  #drop(): void {
    if (this.#answers !== undefined) returnWriter(this.#answers);
    this.#answers = undefined;
  }

  #reply(message: Frames, ticket: SendTicket): SendOutcome {
    return this.#effects.reply(message, ticket) ? "sent" : "waits";
  }

  /**
   * Takes nothing new. A plain broker cannot be asked for that: it gets DISCONNECT, behind the last answer where there is
   * one to come.
   */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#state !== "ready") return;
    if (this.#dialect === Dialect.Shoal) this.#effects.send(drainMessage());
    else if (this.#inFlight === 0) this.end();
  }

  /** Says DISCONNECT and ends. */
  end(): void {
    this.flush();
    if (this.#state === "ready") this.#effects.send(signalMessage(this.#dialect, "Disconnect"));
    this.#state = "ended";
    this.#epoch += 1;
  }

  #settle(delivery: Delivery): boolean {
    if (!this.waitsFor(delivery)) return false;
    this.#inFlight -= 1;
    this.#worked = true;
    return true;
  }

  #connect(now: number): void {
    const { dialect, heartbeatInterval } = this.#options;
    this.#effects.open();
    this.#lastSeen = now;
    this.#next = now + heartbeatInterval;
    if (dialect === undefined) {
      this.#state = "asking";
      this.#effects.send(negotiation("worker"));
    } else this.#register(dialect, now);
  }

  #register(dialect: Dialect, now: number): void {
    const { service, concurrency, name } = this.#options;
    const most = this.#options.capacity;
    const capacity = this.#level >= RETURN_LEVEL ? most : (this.#options.capacityWithoutReturn ?? most);
    if (this.#draining && dialect !== Dialect.Shoal) {
      this.end();
      return;
    }
    this.#state = "ready";
    this.#dialect = dialect;
    this.#epoch += 1;
    this.#inFlight = 0;
    this.#next = now + this.#interval;
    this.#effects.send(
      readyMessage(
        dialect,
        service,
        { concurrency, capacity },
        name,
        Math.min(this.#level, this.#effects.level?.() ?? LEVEL),
      ),
    );
    this.#effects.joined(dialect);
    if (this.#draining) this.#effects.send(drainMessage());
  }

  #leave(reason: "disconnect" | "expired" | "lost", now: number): void {
    const { reconnectInterval, reconnectMaxInterval } = this.#options;
    const wait = backOff(this.#attempts, reconnectInterval, reconnectMaxInterval, this.#random);
    this.#attempts += 1;
    this.#state = "away";
    this.#epoch += 1;
    this.#drop();
    this.#next = now + wait;
    this.#effects.close();
    this.#effects.left(reason, wait);
  }
}
