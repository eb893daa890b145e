/**
 * Sending: a queue of sends that wait for room.
 *
 *              engine takes it
 *   send() ------------------------------> delivered
 *     |  mute                                 ^
 *     v            engine writable            |
 *   waiting ----------------------------------+
 *     |  timeout, abort, the end of close's linger
 *     v
 *   withdrawn: the message was not sent at all
 *
 * Messages leave in the order of their `send` calls. `trySend` returns `false` while a send waits.
 */
import { invalidArgument } from "../core/arguments.js";
import { copyOf } from "../core/bytes.js";
import { Link, LinkedList } from "../core/collections/queues.js";
import {
  ClosedError,
  InvalidArgumentError,
  InvalidStateError,
  type ShoalError,
  TimeoutError,
  TransportError,
  UnroutableError,
} from "../core/errors.js";
import { costOfMessage } from "../core/memory.js";
import type { OptionValues } from "../core/option-table.js";
import { TurnBudget } from "../core/turn-budget.js";
import { refusedWait, WAIT_OPTIONS, Waiter, type WaitOptions } from "../core/waiter.js";
import {
  type EngineSocket,
  type MessageMemory,
  OfferResult,
  type OutgoingMessage,
} from "../engine/engine.js";
import type { DropReason } from "../engine/events.js";
import { byteLengthOf } from "./message.js";
import type { Counters } from "./stats.js";

export interface SendOptions extends WaitOptions {
  /**
   * Copies the message within the call, so that the program may reuse its memory; for large messages from one buffer.
   * Engine `zmtp` recycles the copies' memory. Default false: the socket owns the bytes.
   */
  readonly copy?: boolean | undefined;
  /**
   * Gives the memory away: after a successful send the program must not read, write or resend it. A connected `inproc`
   * receiver in the same thread owns the same frames (engine `zmtp`). Other transports, and Publisher, XPublisher,
   * XSubscriber and Radio, ignore it. Not with `copy`. Unsent memory stays with the program. Default false.
   */
  readonly transfer?: boolean | undefined;
}

const SENT = Promise.resolve();

/**
 * Outcome for one peer. `sent`: the engine has the message; `full`: the peer is at its high-water mark, or earlier
 * sends wait; `gone`: no peer has this routing id, or the socket is closed.
 */
export type DeliveryResult = "sent" | "full" | "gone";

export interface OutboxRules {
  readonly options: Readonly<Pick<OptionValues, "sendTimeout" | "maxPendingSends" | "maxPendingSendBytes">>;
  /** Whether a message to an unknown or full peer is an error instead of a drop. */
  readonly mandatory: boolean;
  /** Whether a REQ or REP must receive first and no receive waits; sends then fail. */
  readonly sendsOutOfTurn: boolean;
  /** Whether a relay also waits for room. */
  readonly isRoomAwaited: boolean;
  dropped(reason: DropReason, message: OutgoingMessage): void;
}

interface Pending {
  readonly message: OutgoingMessage;
  /** With `copy` the engine owns the memory. */
  readonly options: MessageMemory | undefined;
  readonly cost: number;
  readonly strict: boolean;
  readonly waiter: Waiter<void>;
  /** Counted as dropped for this reason. */
  givenUp: "timeout" | "aborted" | "closed" | undefined;
}

export class Outbox {
  readonly #engine: EngineSocket;
  readonly #rules: OutboxRules;
  readonly #counters: Counters;
  readonly #pending = new LinkedList<Pending>();
  readonly #budget = new TurnBudget();
  #waitingCost = 0;
  #isOffering = false;
  /** Sends rejected by `abandon`, without those that the engine took all the same. */
  abandoned = 0;
  #onDrained: (() => void) | undefined;

  constructor(engine: EngineSocket, rules: OutboxRules, counters: Counters) {
    this.#engine = engine;
    this.#rules = rules;
    this.#counters = counters;
  }

  get waiting(): number {
    return this.#pending.length;
  }

  /** @param strict an unroutable message is an error, whatever `mandatory` is */
  send(message: OutgoingMessage, options: SendOptions | undefined, strict: boolean): Promise<void> {
    const refused = refusedWait(options);
    if (refused !== undefined) return refused;
    if (this.waiting === 0) {
      let result: OfferResult;
      try {
        result = this.#offer(message, options);
      } catch (error) {
        return Promise.reject(error);
      }
      if (result !== OfferResult.Mute) {
        this.#countSent(message);
        if (result !== OfferResult.Accepted) {
          const error = this.#settle(result, message, strict, undefined);
          if (error !== undefined) return Promise.reject(error);
        }
        return this.#budget.spend() ? new Promise((resolve) => setImmediate(resolve)) : SENT;
      }
    }
    if (this.#rules.sendsOutOfTurn) return Promise.reject(outOfTurn());
    const timeout = options?.timeout ?? this.#rules.options.sendTimeout;
    if (timeout === 0) return Promise.reject(this.#timedOut());
    const cost = costOfMessage(message);
    const refusal = this.#tooMany(cost);
    if (refusal !== undefined) return Promise.reject(refusal);
    let waiting: OutgoingMessage;
    try {
      // The program may reuse its memory after the call.
      waiting = options?.copy ? copyOf(message) : message;
    } catch (error) {
      return Promise.reject(withCode(error));
    }
    this.#countSent(message);
    const waiter = new Waiter<void>(timeout, options?.signal, this.#timedOut, (why) => {
      pending.givenUp = why;
      this.#counters.dropped[why] += 1;
      link.unlink();
      this.#left(cost);
      // The next message may fit other peers, and if all have room nothing else asks again.
      if (this.waiting > 0) queueMicrotask(() => this.pump());
    });
    this.#waitingCost += cost;
    const pending: Pending = {
      message: waiting,
      // Already copied here.
      options: options?.copy ? undefined : options,
      cost,
      strict,
      waiter,
      givenUp: undefined,
    };
    const link = new Link(pending);
    this.#pending.push(link);
    this.#engine.wantWritable(true);
    return waiter.promise;
  }

  /** @returns `false`, without effect, if there is no room */
  trySend(message: OutgoingMessage, memory?: MessageMemory): boolean {
    if (this.waiting > 0) return false;
    const result = this.#offer(message, memory);
    if (result === OfferResult.Mute) return false;
    this.#countSent(message);
    if (result === OfferResult.Accepted) return true;
    const error = this.#settle(result, message, false, undefined);
    if (error !== undefined) throw error;
    return true;
  }

  /** @returns `full` and `gone` are not counted */
  tryDeliver(message: OutgoingMessage, memory?: MessageMemory): DeliveryResult {
    if (this.waiting > 0) return "full";
    const result = this.#offer(message, memory);
    if (result === OfferResult.Unroutable) return "gone";
    if (result !== OfferResult.Accepted) return "full";
    this.#countSent(message);
    return "sent";
  }

  pump(): void {
    // A listener that an offer calls may send, and find room: the message in hand would be offered twice.
    if (this.#isOffering) return;
    for (let head = this.#pending.first; head !== undefined; head = this.#pending.first) {
      let result: OfferResult;
      this.#isOffering = true;
      try {
        result = this.#offer(head.message, head.options);
      } catch (error) {
        if (!head.waiter.settled) this.#refuse(head, error);
        continue;
      } finally {
        this.#isOffering = false;
      }
      // A listener that the offer called gave it up.
      if (head.waiter.settled) {
        // It is delivered, and not dropped.
        if (result === OfferResult.Accepted && head.givenUp !== undefined) {
          this.#counters.dropped[head.givenUp] -= 1;
          if (head.givenUp === "closed") this.abandoned -= 1;
        }
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

  /** Settles when no waiting message can leave; messages out of turn never can. */
  drained(): Promise<void> {
    if (this.waiting === 0 || this.#rules.sendsOutOfTurn) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  abandon(): void {
    for (let head = this.#pending.shift(); head !== undefined; head = this.#pending.shift()) {
      this.abandoned += 1;
      head.givenUp = "closed";
      this.#counters.dropped.closed += 1;
      this.#left(head.cost);
      head.waiter.abandon(new ClosedError("EAGAIN", "The socket closed before the message could be sent"));
    }
  }

  /**
   * Counts a message and settles its waiter.
   *
   * @returns the caller's error, if any
   */
  #settle(
    result: OfferResult,
    message: OutgoingMessage,
    strict: boolean,
    waiter: Waiter<void> | undefined,
  ): ShoalError | undefined {
    if (result === OfferResult.Accepted) {
      waiter?.resolve();
      return undefined;
    }
    const reason: DropReason = result === OfferResult.Unroutable ? "unroutable" : "peer-full";
    this.#counters.dropped[reason] += 1;
    const error = strict || this.#rules.mandatory ? refusal(reason) : undefined;
    if (error === undefined) waiter?.resolve();
    else waiter?.reject(error);
    // Last, since a listener may send, abort or close.
    this.#rules.dropped(reason, message);
    return error;
  }

  /** Counts what is delivered. @throws TransportError `ENOMEM`, without effect */
  #offer(message: OutgoingMessage, memory: MessageMemory | undefined): OfferResult {
    // First, because a reply may be taken within the offer of its request.
    this.#counters.delivered += 1;
    try {
      const result = this.#engine.offer(message, memory);
      if (result !== OfferResult.Accepted) this.#counters.delivered -= 1;
      return result;
    } catch (error) {
      this.#counters.delivered -= 1;
      throw withCode(error);
    }
  }

  /** Rejects the first waiting send, which was never sent. */
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

  /** The first send may wait whatever its size. */
  #tooMany(cost: number): ShoalError | undefined {
    const { maxPendingSends, maxPendingSendBytes } = this.#rules.options;
    if (this.waiting === 0) return undefined;
    const most =
      this.waiting >= maxPendingSends
        ? "maxPendingSends"
        : this.#waitingCost + cost > maxPendingSendBytes
          ? "maxPendingSendBytes"
          : undefined;
    if (most === undefined) return undefined;
    return new InvalidStateError(
      "ERR_TOO_MANY_PENDING",
      `${this.waiting} sends that count ${this.#waitingCost} bytes wait for room already (${most}): await send, or look at its result`,
    );
  }

  /** One has left the queue. */
  #left(cost: number): void {
    this.#waitingCost -= cost;
    if (this.waiting > 0) return;
    if (!this.#rules.isRoomAwaited) this.#engine.wantWritable(false);
    this.#onDrained?.();
  }

  #timedOut = (): ShoalError =>
    this.#rules.sendsOutOfTurn
      ? outOfTurn()
      : new TimeoutError("EAGAIN", "The message could not be sent in time: no peer has room (sendTimeout)");
}

function withCode(error: unknown): unknown {
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

// --- Options about the ownership of memory ---------------------------------------------------------------------------

export const TRY_OPTIONS: readonly string[] = ["copy", "transfer"];
export const SEND_OPTIONS: readonly string[] = [...TRY_OPTIONS, ...WAIT_OPTIONS];

/** @throws InvalidArgumentError `EINVAL` for an invalid `copy` or `transfer`, or both */
export function checkMemory(
  options: { readonly copy?: unknown; readonly transfer?: unknown } | undefined,
): void {
  const copy = options?.copy;
  if (copy !== undefined && typeof copy !== "boolean")
    throw invalidArgument("copy must be true or false", copy);
  const transfer = options?.transfer;
  if (transfer !== undefined && typeof transfer !== "boolean")
    throw invalidArgument("transfer must be true or false", transfer);
  if (transfer && copy === true)
    throw new InvalidArgumentError(
      "What is copied stays the program's: copy and transfer exclude each other",
    );
}
