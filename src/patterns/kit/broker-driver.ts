/**
 * What every broker here has around its rules: a ROUTER for clients, one for workers,
 * a timer, events, and an end in good order.
 *
 *   open --close--> draining --nothing pending, or linger over--> closed
 *                   no request is taken,
 *                   those in hand are finished
 */

import { DriverTimer, type TimedRules } from "../../core/driver-timer.js";
import { ClosedError, InvalidArgumentError, ShoalError } from "../../core/errors.js";
import { EventStream, type TypedEvent } from "../../core/event-stream.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import { supportedDefaults } from "./engine-defaults.js";
import { checkCount } from "./options.js";
import { RouterReader } from "./router-reader.js";
import type { ServerGate } from "./server-gate.js";

/** ms that `close` gives to the requests in hand, unless it is told otherwise. */
const CLOSE_LINGER = 1_000;

/** ms that a worker may be silent while its system acknowledges what is sent to it. */
const WORKER_STALL_TIMEOUT = 30_000;

/** What `close` of a pattern takes. */
export interface CloseBrokerOptions {
  /** ms to finish what is in hand; 0: nothing is waited for, -1: without limit. Default 1,000. */
  readonly linger?: number;
}

/** Options of the two sockets, such as security. */
export interface BrokerSocketOptions {
  /** Of both sockets. */
  readonly socketOptions?: RouterOptions;
  /** Of the one for clients, over those of both. */
  readonly frontendOptions?: RouterOptions;
  /** Of the one for workers, over those of both. */
  readonly backendOptions?: RouterOptions;
}

/** Options of a broker that can be one of a pair. */
export interface BrokerDriverOptions extends BrokerSocketOptions {
  /** Makes the broker one of a pair: a `BinaryStarGate`. Default: it always serves. */
  readonly gate?: ServerGate;
  /**
   * ms that a worker may be stopped or hang, its connection up and its event loop blocked: then its connection ends, and
   * its request goes to another. The `heartbeatStallTimeout` of the socket for workers, and like it no shorter than
   * `heartbeatTimeout`. Default 30,000 where the engine has that option; elsewhere `NOT_SUPPORTED`, and a silent worker
   * is lost after `heartbeatTimeout`.
   */
  readonly workerStallTimeout?: number;
}

/** A reply that its client, or the site that asked, could not take: it is gone, or at its high-water mark. */
export interface ReplyDropped {
  readonly type: "reply:dropped";
  readonly client: Buffer;
  readonly reason: "client-gone" | "client-full";
}

/** What a broker counts beside its rules. */
interface DriverStats {
  readonly repliesDropped: number;
}

/** What a broker's rules are to its driver. */
export interface DrivenRules<Stats> extends TimedRules {
  /** How many more requests are taken now. */
  readonly room: number;
  /** Requests accepted and not answered. */
  readonly pending: number;
  clientMessage(frames: readonly Buffer[], now: number): void;
  workerMessage(from: Buffer, frames: readonly Buffer[], now: number): void;
  clientLeft(client: Buffer, now: number): void;
  workerLeft(worker: Buffer, now: number): void;
  close(): void;
  stats(): Stats;
}

/** What a broker's driver does for its rules. */
export interface BrokerLinks<E extends TypedEvent> {
  /** @returns whether the worker is connected and has room */
  toWorker(frames: readonly Buffer[]): boolean;
  toClient(frames: readonly Buffer[]): void;
  event(event: E): void;
}

/** A broker between clients and workers. */
export abstract class BrokerDriver<E extends TypedEvent, Stats extends DriverStats> {
  /** What happens in the broker. */
  readonly events: EventStream<E> = new EventStream<E>();
  readonly #frontend: Router;
  readonly #backend: Router;
  readonly #timer: DriverTimer;
  readonly #rules: DrivenRules<Omit<Stats, "repliesDropped">>;
  readonly #clients: RouterReader;
  readonly #workers: RouterReader;
  #closing: Promise<void> | undefined;
  #whenDrained: (() => void) | undefined;
  #repliesDropped = 0;

  /** @param maxStep ms of a stall of this process that count, at most */
  protected constructor(
    options: BrokerDriverOptions,
    maxStep: number,
    createRules: (links: BrokerLinks<E>, now: number) => DrivenRules<Omit<Stats, "repliesDropped">>,
  ) {
    const { socketOptions, frontendOptions, backendOptions, gate } = options;
    const stall = stallOptions(options);
    // A reply that its client cannot take is to be known, too.
    this.#frontend = new Router({
      linger: CLOSE_LINGER,
      ...socketOptions,
      ...frontendOptions,
      mandatory: true,
    });
    // A worker that is not there any more has to be known at once: its request goes to another.
    this.#backend = new Router({
      linger: CLOSE_LINGER,
      ...stall.byDefault,
      ...socketOptions,
      ...backendOptions,
      ...stall.asked,
      mandatory: true,
    });
    this.#timer = new DriverTimer(maxStep);
    this.#rules = createRules(
      {
        toWorker: (frames) => offer(this.#backend, frames) === "sent",
        toClient: (frames) => {
          if (gate === undefined || gate.isServing()) this.reply(this.#frontend, frames);
        },
        event: (event) => this.events.emit(event),
      },
      this.#timer.now(),
    );
    this.#clients = new RouterReader(this.#frontend, {
      room: () => this.#rules.room,
      message: (frames) => {
        if (gate === undefined || gate.admit(frames, true))
          this.#rules.clientMessage(frames, this.#timer.now());
      },
      left: (id) => this.#rules.clientLeft(id, this.#timer.now()),
      afterBatch: this.#changed,
    });
    this.#workers = new RouterReader(this.#backend, {
      room: () => Number.POSITIVE_INFINITY,
      message: (frames) => this.#rules.workerMessage(frames[0] as Buffer, frames.slice(1), this.#timer.now()),
      left: (id) => this.#rules.workerLeft(id, this.#timer.now()),
      afterBatch: this.#changed,
    });
    gate?.passTo((frames) => {
      this.#rules.clientMessage(frames, this.#timer.now());
      this.#changed();
    });
    // Bound sockets hold the process; the timer alone has no reason to.
    this.#timer.hold(false);
    this.#timer.start(this.#rules);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Listens for clients.
   *
   * @returns the endpoint, wildcards filled in
   * @throws as {@link Router} `bind` does
   */
  async bindFrontend(endpoint: string): Promise<string> {
    return this.#bind(this.#frontend, endpoint);
  }

  /** Listens for workers. @returns the endpoint, wildcards filled in */
  async bindBackend(endpoint: string): Promise<string> {
    return this.#bind(this.#backend, endpoint);
  }

  /** The accounts at this moment. */
  stats(): Stats {
    return { ...this.#rules.stats(), repliesDropped: this.#repliesDropped } as unknown as Stats;
  }

  /**
   * Takes no more requests, finishes those it has, and closes. What is not finished
   * within `linger` is dropped, and its clients are told. Closing twice is closing once.
   */
  close(options: CloseBrokerOptions = {}): Promise<void> {
    const { linger = CLOSE_LINGER } = options;
    if (!Number.isInteger(linger) || linger < -1)
      throw new InvalidArgumentError(`linger is a whole number of ms, or -1; got ${String(linger)}`);
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #bind(socket: Router, endpoint: string): Promise<string> {
    if (this.closed) throw new ClosedError("EBADF", "The broker is closed");
    await socket.bind(endpoint);
    return socket.lastEndpoint as string;
  }

  async #close(linger: number): Promise<void> {
    this.#clients.stop();
    await this.#drained(linger);
    this.#rules.close();
    this.#timer.stop();
    this.#workers.stop();
    await Promise.all([
      this.#frontend.close({ linger: Math.min(linger < 0 ? CLOSE_LINGER : linger, CLOSE_LINGER) }),
      this.#backend.close({ linger: 0 }),
      this.closeOthers(),
    ]);
    this.events.close();
  }

  #drained(linger: number): Promise<void> {
    if (this.#rules.pending === 0 || linger === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = linger < 0 ? undefined : setTimeout(resolve, linger);
      this.#whenDrained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** What else a broker has open: closed with its ROUTERs. */
  protected async closeOthers(): Promise<void> {}

  /** Sends a reply; one that cannot be taken is counted, and an event. */
  protected reply(socket: Router, frames: readonly Buffer[]): void {
    const result = offer(socket, frames);
    if (result === "sent") return;
    this.#repliesDropped += 1;
    const reason = result === "gone" ? "client-gone" : "client-full";
    const event: ReplyDropped = { type: "reply:dropped", client: frames[0] as Buffer, reason };
    // The events of every such broker have this one among them.
    this.events.emit(event as unknown as E);
  }

  /** The rules' time. */
  protected now(): number {
    return this.#timer.now();
  }

  /** To be called after every call of the rules, or a batch of them. */
  protected changed(): void {
    this.#changed();
  }

  #changed = (): void => {
    this.#timer.update();
    if (this.#rules.room > 0) this.#clients.resume();
    if (this.#whenDrained !== undefined && this.#rules.pending === 0) this.#whenDrained();
  };
}

/** Sends over a ROUTER with `mandatory`, which takes or refuses each message at once. */
export function offer(socket: Router, frames: readonly Buffer[]): "sent" | "gone" | "full" {
  try {
    socket.trySend(frames as Buffer[]);
    return "sent";
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
    return error.code === "EAGAIN" ? "full" : "gone"; // EHOSTUNREACH, or EBADF while it closes.
  }
}

type StallOptions = Pick<RouterOptions, "heartbeatStallTimeout">;

/** @throws InvalidArgumentError `EINVAL` unless it is a number of ms */
function stallOptions({ socketOptions, backendOptions, workerStallTimeout }: BrokerDriverOptions): {
  readonly byDefault: StallOptions;
  readonly asked: StallOptions;
} {
  if (workerStallTimeout !== undefined)
    return {
      byDefault: {},
      asked: { heartbeatStallTimeout: checkCount("workerStallTimeout", workerStallTimeout, 1) },
    };
  const { context } = { ...socketOptions, ...backendOptions };
  return {
    byDefault: supportedDefaults(context, { heartbeatStallTimeout: WORKER_STALL_TIMEOUT }),
    asked: {},
  };
}
