/**
 * Registration of a worker with one broker (7/MDP and 18/MDP, Opening and Closing, Heartbeating).
 *
 *           open, ask            answer: READY
 *   away ------------> asking ------------------> ready
 *    ^                    |                         |
 *    |  later, longer     |  no answer              |  DISCONNECT, silence, or its connection's end
 *    +--------------------+-------------------------+
 *
 * Each READY uses a new connection, so messages for an earlier registration never arrive here.
 */

import { NumberTable } from "../../core/collections/number-table.js";
import { backOff } from "../../core/timers.js";
import type { HandlerJob } from "../../kit/handler-runtime.js";
import type { Sending } from "../../kit/sockets.js";
import {
  type Answer,
  type AtWorker,
  type Body,
  beatInterval,
  Dialect,
  type Failed,
  type Failure,
  type FromWorker,
  type Mutable,
  NO_ADDRESS,
  NO_BODY,
  newAnswer,
  type Request,
} from "./protocol.js";
import type { WorkerSettings } from "./worker-options.js";

/** A request as a worker keeps it. */
export interface Delivery extends Mutable<Omit<Request, "kind" | "service">> {
  /** Number of the registration. */
  readonly epoch: number;
  /** Monotonic time of arrival. Starts as a double, so that all deliveries have one shape. */
  receivedAt: number;
}

/** Times are in ms. */
export interface SessionOptions
  extends Pick<
    WorkerSettings,
    "concurrency" | "heartbeatInterval" | "liveness" | "reconnectInterval" | "reconnectMaxInterval"
  > {
  readonly service: Buffer;
  /** Concurrent handlers plus prefetched requests. */
  readonly capacity: number;
  readonly name: string;
  /** `undefined`: negotiate. */
  readonly dialect: Dialect | undefined;
}

export interface SessionEffects {
  /** The former connection is closed. @returns `false`: there is no socket, which counts as its end */
  open(): boolean;
  close(): void;
  /** Queues without room, but for heartbeats. */
  send(message: FromWorker): void;
  /** The message is valid during the call. */
  reply(message: Answer | Failure): Sending;
  start(delivery: Delivery): void;
  cancel(tag: number): void;
  credit(tag: number, bytes: number): void;
  joined(dialect: Dialect): void;
  /** Requests in flight are now stale. */
  left(reason: "disconnect" | "expired" | "lost", retryIn: number): void;
  fault(): void;
}

export interface Replying {
  readonly delivery: Delivery;
  /** Sent ones. */
  readonly pieces: number;
}

/** `false`: the registration is over. */
export type ReplySending = Sending | false;

type State = "away" | "asking" | "ready" | "ended";

export class WorkerSession {
  /** Unanswered requests by tag. */
  readonly jobs = new NumberTable<HandlerJob>();
  readonly #options: SessionOptions;
  readonly #effects: SessionEffects;
  readonly #random: () => number;
  readonly #answer = newAnswer();
  #state: State = "away";
  #dialect: Dialect = Dialect.Mdp01;
  #epoch = 0;
  #inFlight = 0;
  /** An answer was sent since the last heartbeat. */
  #worked = false;
  #lastSeen = 0;
  /** ms between heartbeats. */
  #interval: number;
  /** Time of the next heartbeat, timeout or reconnect. */
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

  get inFlight(): number {
    return this.#state === "ready" ? this.#inFlight : 0;
  }

  start(now: number): void {
    const { dialect, heartbeatInterval } = this.#options;
    this.#state = "asking";
    this.#lastSeen = now;
    this.#next = now + heartbeatInterval;
    if (!this.#effects.open()) this.disconnected(now);
    else if (dialect === undefined) this.#effects.send({ kind: "negotiation" });
    else this.#register(dialect, now);
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
        this.#effects.start(deliveryOf(input, this.#epoch));
        break;
      }
      case "cancel":
        this.#effects.cancel(input.number);
        break;
      case "credit":
        this.#effects.credit(input.number, input.bytes);
        break;
      case "heartbeat":
        this.#attempts = 0;
        break;
      case "disconnect":
        this.#leave("disconnect", now);
        break;
    }
  }

  /** On a reconnected socket the broker would not know this worker. */
  disconnected(now: number): void {
    if (this.#state === "asking" || this.#state === "ready") this.#leave("lost", now);
  }

  nextWakeUp(): number | undefined {
    return this.#state === "ended" ? undefined : this.#next;
  }

  tick(now: number): void {
    if (this.#state === "ended" || now < this.#next) return;
    if (this.#state === "away") {
      this.start(now);
      return;
    }
    const { heartbeatInterval, liveness } = this.#options;
    // 0.1 brokers send no heartbeats to a busy worker.
    if (this.#dialect !== Dialect.Shoal && (this.#inFlight > 0 || this.#worked)) this.#lastSeen = now;
    this.#worked = false;
    if (now - this.#lastSeen >= heartbeatInterval * liveness) {
      this.#leave("expired", now);
      return;
    }
    this.#next = now + this.#interval;
    if (this.#state === "ready") this.#effects.send({ kind: "heartbeat", dialect: this.#dialect });
  }

  /**
   * @param final the end of the answer, not a piece
   * @throws InvalidArgumentError `EINVAL`, without effect, for a message that the socket refuses
   */
  reply({ delivery, pieces }: Replying, final: boolean, body: Body): ReplySending {
    if (!this.#isCurrent(delivery)) return false;
    const answer = this.#answer;
    answer.dialect = delivery.dialect;
    answer.number = delivery.number;
    answer.address = delivery.address;
    answer.final = final;
    answer.pieces = pieces;
    answer.body = body;
    try {
      return this.#reply(answer);
    } finally {
      answer.address = NO_ADDRESS;
      answer.body = NO_BODY;
    }
  }

  /** Plain brokers get an error reply. Throws as {@link reply}. */
  failure(delivery: Delivery, { reason, text, details }: Failed): ReplySending {
    if (!this.#isCurrent(delivery)) return false;
    const { dialect, number, address } = delivery;
    return this.#reply({ kind: "failure", dialect, number, address, reason, text, details });
  }

  #reply(reply: Answer | Failure): Sending {
    const isPiece = reply.kind === "answer" && !reply.final;
    const sending = this.#effects.reply(reply);
    if (isPiece) return sending;
    this.#inFlight -= 1;
    this.#worked = true;
    if (this.#draining && this.#inFlight === 0 && this.#dialect !== Dialect.Shoal) this.end();
    return sending;
  }

  #isCurrent(delivery: Delivery): boolean {
    return delivery.epoch === this.#epoch && this.#state === "ready";
  }

  /** Plain brokers get DISCONNECT, after the last answer. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#state !== "ready") return;
    if (this.#dialect === Dialect.Shoal) this.#effects.send({ kind: "drain" });
    else if (this.#inFlight === 0) this.end();
  }

  end(): void {
    if (this.#state === "ready") this.#effects.send({ kind: "disconnect", dialect: this.#dialect });
    this.#state = "ended";
    this.#epoch += 1;
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

/** The message is used for the next one. A spread costs six times as much as a literal. */
function deliveryOf(request: Request, epoch: number): Delivery {
  const { dialect, number, address, clientId, sequence, oldest, attempt, time, headers, body } = request;
  return {
    dialect,
    number,
    address,
    clientId,
    sequence,
    oldest,
    attempt,
    time,
    headers,
    body,
    epoch,
    receivedAt: Number.MIN_VALUE,
  };
}
