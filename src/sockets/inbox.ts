/**
 * Receiving: the queue of calls that wait for messages, in front of an engine
 * that is asked for them.
 *
 * A message leaves the engine only when a call can have it at once, so a call
 * that is aborted or times out loses nothing. Calls get messages in the order
 * in which they were made. A message that the codec refuses is counted and
 * reported, and the next one takes its place.
 */
import { systemClock } from "../core/clock.js";
import { RingBuffer } from "../core/collections/ring-buffer.js";
import { ClosedError, InvalidStateError, type ShoalError, TimeoutError } from "../core/errors.js";
import { costOf } from "../core/frame-cost.js";
import { TurnBudget } from "../core/turn-budget.js";
import { refusedWait, rejectNextTurn, Waiter, type WaitOptions } from "../core/waiter.js";
import type { EngineSocket, TakenMessages } from "../engine/engine.js";
import type { Lease } from "../engine/lease.js";
import { BatchShare, MAX_MANY } from "./batch-share.js";
import { TAKES_MANY } from "./leases.js";
import type { Counters } from "./stats.js";

/** ms of receives that settle at once between two turns of the event loop. */
const RECEIVE_TIME = 0.5;

/**
 * What messages cost (core/frame-cost.ts) after which a `receiveMany` takes no more: what does not fit the processor's cache is slower
 * in one go.
 */
const MAX_MANY_COST = 524_288;

/** Calls given up that may stay in the queue before it is cleared of them. */
const SLACK = 16;

/** What the socket decides for its inbox. */
export interface InboxRules<T> {
  readonly receiveTimeout: number;
  readonly maxPendingReceives: number;
  /** Whether the socket has to send before it can receive (REQ, REP), and no send is waiting. */
  readonly receivesOutOfTurn: boolean;
  /** Whether `decode` would give all messages as they are, and do nothing else. */
  readonly isPlain: boolean;
  /**
   * @param delivered the counter's value before the message was taken: a send that waited for that may have left since
   * @returns what the program gets, or `undefined` for a message that it must not get.
   *   It is reported when this call is over, since a listener may call the socket.
   */
  decode(frames: Buffer[], delivered: number): T | undefined;
}

interface Pending<T> {
  /** 0: the call wants one message; otherwise an array of at most so many. */
  readonly max: number;
  /** What the messages' memory is lent by; undefined: it is the program's. */
  readonly lease: Lease | undefined;
  readonly waiter: Waiter<T | T[]>;
}

export class Inbox<T> {
  readonly #engine: EngineSocket;
  readonly #rules: InboxRules<T>;
  readonly #counters: Counters;
  readonly #pending = new RingBuffer<Pending<T>>(2);
  readonly #budget = new TurnBudget(RECEIVE_TIME, systemClock);
  /** A constant decides, so that a page's build has none of it: a page has few sockets. */
  declare readonly share: BatchShare;
  #waiting = 0;
  /** Waiting calls are served again after a turn of the event loop. */
  #resting = false;
  /** Takes what is there with `next`, in place of calls (reader.ts). */
  reader: (() => void) | undefined = undefined;

  constructor(engine: EngineSocket, rules: InboxRules<T>, counters: Counters) {
    this.#engine = engine;
    this.#rules = rules;
    this.#counters = counters;
    if (TAKES_MANY) this.share = new BatchShare();
  }

  /** Calls that wait for a message. */
  get waiting(): number {
    return this.#waiting;
  }

  /** One message. */
  receive(options: WaitOptions | undefined): Promise<T> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.#waiting === 0) {
      const message = this.next();
      if (message !== undefined) return this.#handOver(message, 1);
    }
    return this.#wait(0, options, undefined) as Promise<T>;
  }

  /** A message that can be had at once; `undefined` also when the event loop has to turn first, or others wait. */
  tryReceive(): T | undefined {
    if (this.#waiting > 0 || this.#budget.exhausted) return undefined;
    const message = this.next();
    if (message !== undefined) this.#budget.note();
    return message;
  }

  /** 1 to `max` messages: what is there, or the first that comes. @param lease as of the engine's `take` */
  receiveMany(max: number, options: WaitOptions | undefined, lease?: Lease): Promise<T[]> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.#waiting === 0) {
      const messages = this.#takeUpTo(max, lease);
      if (messages.length > 0) return this.#handOver(messages, messages.length);
    }
    return this.#wait(max, options, lease) as Promise<T[]>;
  }

  /** The engine has something. */
  pump(): void {
    if (this.reader !== undefined) this.reader();
    else if (!this.#resting) this.#serve();
  }

  #afterTurn = (): void => {
    this.#resting = false;
    this.#serve();
  };

  #serve(): void {
    for (;;) {
      const head = this.#pending.peek();
      if (head === undefined) return;
      if (head.waiter.settled) {
        this.#pending.shift();
        continue;
      }
      const value = head.max === 0 ? this.next() : this.#takeUpTo(head.max, head.lease);
      if (value === undefined || (head.max > 0 && (value as T[]).length === 0)) {
        this.#engine.wantReadable(Math.max(1, head.max));
        return;
      }
      this.#pending.shift();
      this.#waiting -= 1;
      head.waiter.resolve(value);
      // An engine that always has more would otherwise serve its callers within this very turn forever.
      if (this.#budget.spend(head.max === 0 ? 1 : (value as T[]).length)) {
        this.#resting = true;
        setImmediate(this.#afterTurn);
        return;
      }
    }
  }

  /** The socket closes: every waiting call ends. */
  abandon(): void {
    this.reader = undefined;
    this.fail(() => new ClosedError("EAGAIN", "The socket closed while the call waited for a message"));
  }

  /** Every waiting call ends with an error. @param make makes one for each */
  fail(make: () => ShoalError): void {
    for (let head = this.#pending.shift(); head !== undefined; head = this.#pending.shift()) {
      if (head.waiter.settled) continue;
      this.#waiting -= 1;
      head.waiter.abandon(make());
    }
  }

  #wait(max: number, options: WaitOptions | undefined, lease: Lease | undefined): Promise<T | T[]> {
    const timeout = options?.timeout ?? this.#rules.receiveTimeout;
    if (this.#waiting >= this.#rules.maxPendingReceives) {
      return rejectNextTurn(
        new InvalidStateError(
          "ERR_TOO_MANY_PENDING",
          `${this.#waiting} receives wait already (maxPendingReceives)`,
        ),
      );
    }
    const waiter = new Waiter<T | T[]>(timeout, options?.signal, this.#timedOut, this.#waiterOnGivenUp);
    this.#waiting += 1;
    this.#pending.push({ max, lease, waiter });
    if (this.#waiting === 1) this.#engine.wantReadable(Math.max(1, max));
    return waiter.promise;
  }

  #waiterOnGivenUp = (): void => {
    this.#waiting -= 1;
    if (this.#waiting > 0) {
      if (this.#pending.length > 2 * this.#waiting + SLACK) {
        this.#pending.retain((pending) => !pending.waiter.settled);
      }
      return;
    }
    this.#pending.clear();
    this.#engine.wantReadable(0);
  };

  #handOver<V>(value: V, messages: number): Promise<V> {
    if (!this.#budget.spend(messages)) return Promise.resolve(value);
    return new Promise((resolve) => setImmediate(resolve, value));
  }

  #takeUpTo(max: number, lease: Lease | undefined): T[] {
    let taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
    const most = Math.min(max, TAKES_MANY ? this.share.next() : MAX_MANY);
    const counters = this.#counters;
    let together = TAKES_MANY && (lease === undefined || lease.plain) && this.#rules.isPlain;
    while (taken.messages.length < most && taken.cost < MAX_MANY_COST) {
      if (TAKES_MANY && together) {
        const before = taken.messages.length;
        const { bytes } = taken;
        // The very list that they waited in, where that is all there is so far.
        const list = before === 0 ? this.#engine.framePassing?.takeList(most, MAX_MANY_COST) : undefined;
        if (list !== undefined) taken = { messages: list.messages, bytes: list.size, cost: list.cost };
        else this.#engine.takeMany?.(taken, most, MAX_MANY_COST, lease);
        counters.received += taken.messages.length - before;
        counters.bytesReceived += taken.bytes - bytes;
        together = taken.messages.length > before;
        continue;
      }
      const message = this.next(lease, taken);
      if (message === undefined) break;
      (taken.messages as T[]).push(message);
    }
    return taken.messages as T[];
  }

  /** What the engine has, decoded and counted. @param taken what it is taken for: its cost is added */
  next(lease?: Lease, taken?: TakenMessages): T | undefined {
    for (;;) {
      const counters = this.#counters;
      const { delivered } = counters;
      const frames = this.#engine.take(lease);
      if (frames === undefined) return undefined;
      const message = this.#rules.decode(lease === undefined ? frames : lease.received(frames), delivered);
      if (message === undefined) continue;
      counters.received += 1;
      for (let i = 0; i < frames.length; i++) counters.bytesReceived += (frames[i] as Buffer).length;
      if (taken !== undefined) taken.cost += costOf(frames);
      return message;
    }
  }

  #timedOut = (): ShoalError =>
    this.#rules.receivesOutOfTurn
      ? new InvalidStateError("EFSM", "This socket sends and receives in turn; now it has to send")
      : new TimeoutError("EAGAIN", "No message came in time (receiveTimeout)");
}
