/**
 * The queue of calls that wait for messages.
 *
 * A message leaves the engine only for a call that gets it at once, so aborted and timed-out calls lose nothing.
 * Messages refused by the codec are counted, reported and skipped.
 */
import { Link, LinkedList } from "../core/collections/queues.js";
import { ClosedError, InvalidStateError, type ShoalError, TimeoutError } from "../core/errors.js";
import { costOf } from "../core/memory.js";
import type { OptionValues } from "../core/option-table.js";
import { TurnBudget } from "../core/turn-budget.js";
import { ignore, refusedWait, rejectNextTurn, Waiter, type WaitOptions } from "../core/waiter.js";
import type { EngineSocket, Lease, TakenMessages } from "../engine/engine.js";
import type { Counters } from "./stats.js";

/** Cost of messages (core/memory.ts) for one `receiveMany`; more exceeds the processor's cache and is slower. */
const MAX_MANY_COST = 524_288;

export interface InboxRules<T> {
  readonly options: Readonly<Pick<OptionValues, "receiveTimeout" | "maxPendingReceives">>;
  /** Whether a REQ or REP must send first. */
  readonly receivesOutOfTurn: boolean;
  readonly closed: boolean;
  /** Whether `decode` returns messages unchanged. */
  readonly isPlain: boolean;
  /**
   * @param delivered the counter before the message was taken
   * @returns `undefined` for a refused message, reported after this call
   */
  decode(frames: Buffer[], delivered: number): T | undefined;
}

interface Pending<T> {
  /** Most messages; 0 for a single message instead of an array. */
  readonly max: number;
  /** Lends the memory; `undefined`: the program owns it. */
  readonly lease: Lease | undefined;
  readonly waiter: Waiter<T | T[]>;
}

export class Inbox<T> {
  readonly #engine: EngineSocket;
  readonly #rules: InboxRules<T>;
  readonly #counters: Counters;
  readonly #pending = new LinkedList<Pending<T>>();
  readonly #budget = new TurnBudget();
  readonly share = new BatchShare();
  /** Messages of a call that its codec aborted. */
  #kept: T[] | undefined = undefined;
  /** Waiting calls are served after the next turn of the event loop. */
  #resting = false;

  constructor(engine: EngineSocket, rules: InboxRules<T>, counters: Counters) {
    this.#engine = engine;
    this.#rules = rules;
    this.#counters = counters;
  }

  get waiting(): number {
    return this.#pending.length;
  }

  receive(options: WaitOptions | undefined): Promise<T> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.waiting === 0) {
      const message = this.next();
      if (message !== undefined) return this.#handOver(message, 1);
    }
    return this.#wait(0, options, undefined) as Promise<T>;
  }

  /** @returns `undefined` without a message, while calls wait, or if the event loop has to turn first */
  tryReceive(): T | undefined {
    if (this.waiting > 0 || this.#budget.exhausted) return undefined;
    const message = this.next();
    if (message !== undefined) this.#budget.note();
    return message;
  }

  /** @returns the available messages, or the next: 1 to `max` @param lease see the engine's `take` */
  receiveMany(max: number, options: WaitOptions | undefined, lease?: Lease): Promise<T[]> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.waiting === 0) {
      const messages = this.#takeUpTo(max, lease);
      if (messages.length > 0) return this.#handOver(messages, messages.length);
    }
    return this.#wait(max, options, lease) as Promise<T[]>;
  }

  /** Ends a waiting call, so that it takes no message. */
  withdraw(call: Promise<unknown>): void {
    for (const { waiter } of this.#pending)
      if (waiter.promise === call) return void waiter.withdraw(closedMeanwhile());
  }

  pump(): void {
    if (!this.#resting) this.#serve();
  }

  #afterTurn = (): void => {
    this.#resting = false;
    this.#serve();
  };

  #serve(): void {
    for (;;) {
      const head = this.#pending.first;
      if (head === undefined) return;
      const value = head.max === 0 ? this.next() : this.#takeUpTo(head.max, head.lease);
      if (value === undefined || (head.max > 0 && (value as T[]).length === 0)) {
        this.#engine.wantReadable(Math.max(1, head.max));
        return;
      }
      // The codec aborted the call, or closed the socket.
      if (head.waiter.settled) {
        // A reply belongs to its request.
        if (!this.#rules.receivesOutOfTurn) this.#kept = head.max === 0 ? [value as T] : (value as T[]);
        continue;
      }
      this.#pending.shift();
      head.waiter.resolve(value);
      // A busy engine would serve calls within this turn forever.
      if (this.#budget.spend(head.max === 0 ? 1 : (value as T[]).length)) {
        this.#resting = true;
        setImmediate(this.#afterTurn);
        return;
      }
    }
  }

  abandon(): void {
    this.fail(closedMeanwhile);
  }

  fail(make: () => ShoalError): void {
    for (let head = this.#pending.shift(); head !== undefined; head = this.#pending.shift())
      head.waiter.abandon(make());
  }

  #wait(max: number, options: WaitOptions | undefined, lease: Lease | undefined): Promise<T | T[]> {
    const timeout = options?.timeout ?? this.#rules.options.receiveTimeout;
    // What decoded the last message may have closed it.
    if (this.#rules.closed) {
      const refused = rejectNextTurn(closedMeanwhile());
      refused.catch(ignore);
      return refused;
    }
    if (this.waiting >= this.#rules.options.maxPendingReceives) {
      return rejectNextTurn(
        new InvalidStateError(
          "ERR_TOO_MANY_PENDING",
          `${this.waiting} receives wait already (maxPendingReceives)`,
        ),
      );
    }
    const waiter = new Waiter<T | T[]>(timeout, options?.signal, this.#timedOut, () => {
      link.unlink();
      if (this.waiting === 0) this.#engine.wantReadable(0);
    });
    const link = new Link<Pending<T>>({ max, lease, waiter });
    this.#pending.push(link);
    if (this.waiting === 1) this.#engine.wantReadable(Math.max(1, max));
    return waiter.promise;
  }

  #handOver<V>(value: V, messages: number): Promise<V> {
    if (!this.#budget.spend(messages)) return Promise.resolve(value);
    return new Promise((resolve) => setImmediate(resolve, value));
  }

  #takeUpTo(max: number, lease: Lease | undefined): T[] {
    const taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
    const most = Math.min(max, this.share.next());
    const counters = this.#counters;
    let together = this.#rules.isPlain;
    while (taken.messages.length < most && taken.cost < MAX_MANY_COST) {
      if (together) {
        const before = taken.messages.length;
        const { bytes } = taken;
        this.#engine.takeMany?.(taken, most, MAX_MANY_COST, lease);
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

  /** @param taken gets the message's cost */
  next(lease?: Lease, taken?: TakenMessages): T | undefined {
    const kept = this.#kept?.shift();
    if (kept !== undefined) return kept;
    for (;;) {
      const counters = this.#counters;
      const { delivered } = counters;
      const frames = this.#engine.take(lease);
      if (frames === undefined) return undefined;
      const message = this.#rules.decode(frames, delivered);
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

function closedMeanwhile(): ClosedError {
  return new ClosedError("EAGAIN", "The socket closed while the call waited for a message");
}

const MAX_MANY = 1_000;
/** Most messages in all sockets' last batches, unless MIN_MANY applies. */
const MAX_HELD = 6_400;
/** Each socket's minimum; fewer are not worth a call. */
const MIN_MANY = 64;
/** Sockets at which each gets MIN_MANY. */
const MAX_SHARERS = MAX_HELD / MIN_MANY;

let made = 0;
let last = -1;
/** Times that the receiving socket changed. */
let switches = 0;

/**
 * Limits the messages of one receive, so that the batches of all sockets stay small together.
 *
 * A loop holds its last batch until the next, and V8 copies what is held at each collection. Sockets that receive by
 * turns therefore share one budget: 50 subscribers of a process take 0.83 of the processor time.
 *
 *   a a a a          1,000 each
 *   a b c … a b c …  divided by the number of receives since the socket's last one; grows while no other socket receives
 */
export class BatchShare {
  readonly #id = made++;
  /** `switches` at this socket's last turn. */
  #at = switches;
  #others = 0;

  next(): number {
    if (last !== this.#id) {
      last = this.#id;
      switches += 1;
      this.#others = Math.min(switches - this.#at, MAX_SHARERS);
      this.#at = switches;
    } else if (this.#others > 1) this.#others -= 1;
    return this.#others <= 1 ? MAX_MANY : Math.min(MAX_MANY, Math.floor(MAX_HELD / this.#others));
  }
}
