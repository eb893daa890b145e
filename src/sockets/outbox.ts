/**
 * Sending: the queue of sends that wait for room, in front of an engine that
 * takes or refuses each message at once.
 *
 *              engine takes it
 *   send() ------------------------------> delivered
 *     |  mute                                 ^
 *     v            engine writable            |
 *   waiting ----------------------------------+
 *     |  time-out, abort, the end of close's linger
 *     v
 *   withdrawn: the message was not sent at all
 *
 * Messages leave in the order of their `send` calls: nothing overtakes a waiting
 * one, and `trySend` says no while one waits.
 */
import { systemClock } from "../core/clock.js";
import { RingBuffer } from "../core/collections/ring-buffer.js";
import {
  ClosedError,
  InvalidStateError,
  type ShoalError,
  TimeoutError,
  TransportError,
  UnroutableError,
} from "../core/errors.js";
import { costOfMessage } from "../core/frame-cost.js";
import { TurnBudget } from "../core/turn-budget.js";
import { refusedWait, Waiter, type WaitOptions } from "../core/waiter.js";
import {
  type EngineSocket,
  type MessageMemory,
  OfferResult,
  type OutgoingMessage,
} from "../engine/engine.js";
import type { DropReason } from "../engine/events.js";
import { owned } from "./copy-option.js";
import { KEEPS_COPIES } from "./leases.js";
import { byteLengthOf } from "./message.js";
import type { Counters } from "./stats.js";

/** ms of sends that settle at once between two turns of the event loop. */
export const SEND_TIME = 0.5;

/** How a message is sent. */
export interface SendOptions extends WaitOptions {
  /**
   * The message is copied within the call, and the program may write to its memory again as soon as that returns: for large
   * messages from one buffer. The memory of the copies is used again (engine `zmtp`). Default false: the bytes belong to the socket.
   */
  readonly copy?: boolean | undefined;
  /**
   * The program gives the message's memory away: once the message is sent, it must neither read nor write that memory, nor send it
   * again. Over `inproc` within a thread the receiver gets the frames themselves, which are its own (engine `zmtp`), where that is
   * connected; from Publisher, XPublisher, XSubscriber and Radio, and over other transports, it is as without the option. Not with
   * `copy`. Where the message is not sent, the memory stays the program's. Default false.
   */
  readonly transfer?: boolean | undefined;
}

/** Withdrawn messages that may stay in the queue before it is cleared of them. */
const SLACK = 16;

const SENT = Promise.resolve();

/**
 * What became of a message for one peer: `sent`, the engine has it; `full`, the peer's queue is at its high-water mark, or
 * earlier sends still wait; `gone`, no peer has this routing id, or the socket is closed.
 */
export type DeliveryResult = "sent" | "full" | "gone";

/** What the socket decides for its outbox. */
export interface OutboxRules {
  readonly sendTimeout: number;
  readonly maxPendingSends: number;
  readonly maxPendingSendBytes: number;
  /** Whether a message to an unknown or full peer is refused with an error, not dropped. */
  readonly mandatory: boolean;
  /** Whether the socket has to receive before it can send (REQ, REP), and no receive is waiting: the call is refused. */
  readonly sendsOutOfTurn: boolean;
  /** Whether what moves messages without calls for each waits for room, too. */
  readonly isRoomAwaited: boolean;
  dropped(reason: DropReason, message: OutgoingMessage): void;
}

interface Pending {
  readonly message: OutgoingMessage;
  /** With `copy` the engine has the memory of what waits. */
  readonly options: MessageMemory | undefined;
  /** In `maxPendingSendBytes`. */
  readonly cost: number;
  readonly strict: boolean;
  readonly waiter: Waiter<void>;
}

export class Outbox {
  readonly #engine: EngineSocket;
  readonly #rules: OutboxRules;
  readonly #counters: Counters;
  readonly #pending = new RingBuffer<Pending>(2);
  readonly #budget = new TurnBudget(SEND_TIME, systemClock);
  #waiting = 0;
  #waitingCost = 0;
  #onDrained: (() => void) | undefined;

  constructor(engine: EngineSocket, rules: OutboxRules, counters: Counters) {
    this.#engine = engine;
    this.#rules = rules;
    this.#counters = counters;
  }

  /** Sends that wait for room. */
  get waiting(): number {
    return this.#waiting;
  }

  /** @param strict an unroutable message is an error, whatever `mandatory` says */
  send(message: OutgoingMessage, options: SendOptions | undefined, strict: boolean): Promise<void> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.#waiting === 0) {
      let result: OfferResult;
      try {
        result = this.#offer(message, options);
      } catch (error) {
        return Promise.reject(error);
      }
      if (result !== OfferResult.Mute) {
        this.#countSent(message);
        if (result === OfferResult.Accepted) this.#counters.delivered += 1;
        else {
          const error = this.#settle(result, message, strict, undefined);
          if (error !== undefined) return Promise.reject(error);
        }
        return this.#budget.spend() ? new Promise((resolve) => setImmediate(resolve)) : SENT;
      }
    }
    if (this.#rules.sendsOutOfTurn) return Promise.reject(outOfTurn());
    const timeout = options?.timeout ?? this.#rules.sendTimeout;
    if (timeout === 0) return Promise.reject(this.#timedOut());
    const cost = costOfMessage(message);
    const refusal = this.#tooMany(cost);
    if (refusal !== undefined) return Promise.reject(refusal);
    // One that waits has memory of its own: the program writes to its own again as soon as the call has returned.
    let kept: OutgoingMessage | undefined;
    let waiting: OutgoingMessage;
    try {
      if (KEEPS_COPIES && options?.copy) kept = this.#engine.keep?.(message);
      waiting = kept ?? owned(message, options);
    } catch (error) {
      return Promise.reject(withCode(error));
    }
    this.#countSent(message);
    const waiter = new Waiter<void>(timeout, options?.signal, this.#timedOut, (why) => {
      this.#counters.dropped[why] += 1;
      this.#left(cost);
      this.#prune();
      // The next one may be for others: where all have room, nothing else asks again.
      if (this.#waiting > 0) queueMicrotask(() => this.pump());
    });
    this.#waiting += 1;
    this.#waitingCost += cost;
    this.#pending.push({
      message: waiting,
      // Copied by this side: it is not the program's that waits.
      options: KEEPS_COPIES && kept === undefined && options?.copy ? undefined : options,
      cost,
      strict,
      waiter,
    });
    this.#engine.wantWritable(true);
    return waiter.promise;
  }

  /** @param memory as of the engine's `offer` @returns whether the message was taken; `false` changes nothing */
  trySend(message: OutgoingMessage, memory?: MessageMemory): boolean {
    if (this.#waiting > 0) return false;
    const result = this.#offer(message, memory);
    if (result === OfferResult.Mute) return false;
    this.#countSent(message);
    if (result === OfferResult.Accepted) {
      this.#counters.delivered += 1;
      return true;
    }
    const error = this.#settle(result, message, false, undefined);
    if (error !== undefined) throw error;
    return true;
  }

  /**
   * @param memory as of the engine's `offer`
   * @returns what became of a message for one peer; `full` and `gone` change nothing, and are not counted
   */
  tryDeliver(message: OutgoingMessage, memory?: MessageMemory): DeliveryResult {
    if (this.#waiting > 0) return "full";
    const result = this.#offer(message, memory);
    if (result === OfferResult.Unroutable) return "gone";
    if (result !== OfferResult.Accepted) return "full";
    this.#countSent(message);
    this.#counters.delivered += 1;
    return "sent";
  }

  /** The engine has room again. */
  pump(): void {
    for (let head = this.#pending.peek(); head !== undefined; head = this.#pending.peek()) {
      if (head.waiter.settled) {
        this.#pending.shift();
        continue;
      }
      let result: OfferResult;
      try {
        result = this.#offer(head.message, head.options);
      } catch (error) {
        this.#refuse(head, error);
        continue;
      }
      if (result === OfferResult.Mute) {
        if (this.#onDrained !== undefined && this.#rules.sendsOutOfTurn) this.#onDrained();
        else this.#engine.wantWritable(true);
        return;
      }
      this.#pending.shift();
      this.#left(head.cost);
      this.#settle(result, head.message, head.strict, head.waiter);
    }
  }

  /** The socket closes: settles when nothing waits any more that could still leave. What waits for its turn cannot. */
  drained(): Promise<void> {
    if (this.#waiting === 0 || this.#rules.sendsOutOfTurn) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /** The socket closes: what still waits is refused. @returns how many messages that were */
  abandon(): number {
    let refused = 0;
    for (let head = this.#pending.shift(); head !== undefined; head = this.#pending.shift()) {
      if (head.waiter.settled) continue;
      refused += 1;
      this.#counters.dropped.closed += 1;
      this.#left(head.cost);
      head.waiter.abandon(new ClosedError("EAGAIN", "The socket closed before the message could be sent"));
    }
    return refused;
  }

  /**
   * Counts a message that the engine took or refused for good, and settles its waiter.
   *
   * @returns the error for the caller, or `undefined` for one taken, or dropped by rule
   */
  #settle(
    result: OfferResult,
    message: OutgoingMessage,
    strict: boolean,
    waiter: Waiter<void> | undefined,
  ): ShoalError | undefined {
    if (result === OfferResult.Accepted) {
      this.#counters.delivered += 1;
      waiter?.resolve();
      return undefined;
    }
    const reason: DropReason = result === OfferResult.Unroutable ? "unroutable" : "peer-full";
    this.#counters.dropped[reason] += 1;
    const error = strict || this.#rules.mandatory ? refusal(reason) : undefined;
    if (error === undefined) waiter?.resolve();
    else waiter?.reject(error);
    // Last, when all is in order: a listener may send, abort or close.
    this.#rules.dropped(reason, message);
    return error;
  }

  /** @throws TransportError `ENOMEM`; nothing has changed then */
  #offer(message: OutgoingMessage, memory: MessageMemory | undefined): OfferResult {
    try {
      return this.#engine.offer(message, memory);
    } catch (error) {
      throw withCode(error);
    }
  }

  /** The engine could not take the first of those that wait: it counts as never sent, as one that did not wait. */
  #refuse({ message, cost, waiter }: Pending, error: unknown): void {
    this.#pending.shift();
    this.#counters.sent -= 1;
    this.#counters.bytesSent -= byteLengthOf(message);
    waiter.reject(error as ShoalError);
    this.#left(cost);
  }

  #countSent(message: OutgoingMessage): void {
    this.#counters.sent += 1;
    this.#counters.bytesSent += byteLengthOf(message);
  }

  /** Why not one more may wait; the first may, whatever its size. */
  #tooMany(cost: number): ShoalError | undefined {
    const { maxPendingSends, maxPendingSendBytes } = this.#rules;
    if (this.#waiting === 0) return undefined;
    const most =
      this.#waiting >= maxPendingSends
        ? "maxPendingSends"
        : this.#waitingCost + cost > maxPendingSendBytes
          ? "maxPendingSendBytes"
          : undefined;
    if (most === undefined) return undefined;
    return new InvalidStateError(
      "ERR_TOO_MANY_PENDING",
      `${this.#waiting} sends that count ${this.#waitingCost} bytes wait for room already (${most}): await send, or look at its result`,
    );
  }

  #left(cost: number): void {
    this.#waiting -= 1;
    this.#waitingCost -= cost;
    if (this.#waiting > 0) return;
    if (!this.#rules.isRoomAwaited) this.#engine.wantWritable(false);
    this.#onDrained?.();
  }

  /** Withdrawn messages give their memory back: never more of them are kept than of those that wait. */
  #prune(): void {
    if (this.#waiting === 0) this.#pending.clear();
    else if (this.#pending.length > 2 * this.#waiting + SLACK) this.#pending.retain(isWaiting);
  }

  #timedOut = (): ShoalError =>
    this.#rules.sendsOutOfTurn
      ? outOfTurn()
      : new TimeoutError("EAGAIN", "The message could not be sent in time: no peer has room (sendTimeout)");
}

/** The platform's error where it has no memory, with a code. */
export function withCode(error: unknown): unknown {
  if (!(error instanceof RangeError) || !/memory|allocation/i.test(error.message)) return error;
  return new TransportError("ENOMEM", "The process has no memory for the message", { cause: error });
}

function outOfTurn(): ShoalError {
  return new InvalidStateError("EFSM", "This socket sends and receives in turn; now it has to receive");
}

function refusal(reason: DropReason): ShoalError {
  return reason === "unroutable"
    ? new UnroutableError("No peer with this routing id is connected")
    : new TimeoutError("EAGAIN", "The peer with this routing id is at its high-water mark");
}

function isWaiting(pending: Pending): boolean {
  return !pending.waiter.settled;
}
