/** A Pirate's worker: connections to queues around worker-rules.ts, and a function that answers. */

import { DriverTimer } from "../../core/driver-timer.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { EventStream } from "../../core/event-stream.js";
import type { Codec } from "../../sockets/codec.js";
import { Dealer, type DealerOptions } from "../../sockets/request-reply.js";
import type { Raw } from "../../sockets/shape.js";
import { type BodyFor, type BodyOf, BodyShape } from "../kit/body.js";
import { handlerErrorReply } from "../kit/errors.js";
import { numbers } from "../kit/options.js";
import { SendQueue } from "../kit/send-queue.js";
import {
  addressedFrames,
  type Dialect,
  heartbeatFrames,
  parseFromQueue,
  readyFrames,
} from "../kit/worker-protocol.js";
import { type WorkerEvent, WorkerRules, type WorkerRulesOptions, type WorkerStats } from "./worker-rules.js";

/** ms that `close` gives to the requests in hand, unless it is told otherwise. */
const CLOSE_LINGER = 1_000;

const DEFAULTS = Object.freeze({
  concurrency: 1,
  heartbeatInterval: 1_000,
  liveness: 3,
  reconnectDelay: 1_000,
  reconnectMaxDelay: 32_000,
});

/** Options of {@link PirateWorker}. Times are in ms. */
export interface PirateWorkerOptions<Req = Raw, Rep = Raw> {
  /** `"paranoid"` beats and hears beats (6/PPP); `"simple"` is the Guide's REQ worker. Default `"paranoid"`. */
  readonly dialect?: Dialect;
  /** Requests handled at once: a connection of its own for each, since a queue gives each one request. Default 1. */
  readonly concurrency?: number;
  /** ms between two heartbeats; the same on both sides. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Intervals of a queue's silence after which it is connected to anew. Default 3. */
  readonly liveness?: number;
  /** The first wait before connecting anew; doubled each time, with up to a quarter of jitter. Default 1,000. */
  readonly reconnectDelay?: number;
  /** Where the doubling ends. Default 32,000. */
  readonly reconnectMaxDelay?: number;
  /** Decodes a request, of one frame. Default: frames as they are. */
  readonly requestCodec?: Codec<Req>;
  /** Encodes a reply, as one frame. Default: frames as they are. */
  readonly replyCodec?: Codec<Rep>;
  /** Options of the DEALERs, such as security. */
  readonly socketOptions?: DealerOptions;
}

/** Answers one request. What it throws, or rejects with, becomes an error reply. */
export type PirateHandler<Req = Raw, Rep = Raw> = (
  request: BodyOf<Req>,
  context: { readonly signal: AbortSignal },
) => BodyFor<Rep> | Promise<BodyFor<Rep>>;

/**
 * A function behind one or more queues. It begins at once, and goes on through
 * whatever happens to the queues, until it is closed.
 *
 * A request may be handled twice: by this worker and by another, when a client tried
 * again or a queue took this one for lost.
 */
export class PirateWorker<Req = Raw, Rep = Raw> {
  /** What happens in the worker, on all its connections. */
  readonly events: EventStream<WorkerEvent> = new EventStream<WorkerEvent>();
  readonly #seats: Seat[];
  #closing: Promise<void> | undefined;

  /**
   * @param endpoints of the queues' workers' side
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(
    endpoints: string | readonly string[],
    handler: PirateHandler<Req, Rep>,
    options: PirateWorkerOptions<Req, Rep> = {},
  ) {
    const { dialect = "paranoid", requestCodec, replyCodec, socketOptions, ...given } = options;
    if (dialect !== "paranoid" && dialect !== "simple")
      throw new InvalidArgumentError(`dialect is "paranoid" or "simple"; got ${String(dialect)}`);
    if (typeof handler !== "function")
      throw new InvalidArgumentError(`A worker's handler is a function; got ${typeof handler}`);
    const { concurrency, ...times } = numbers("PirateWorker", DEFAULTS, given);
    const list = typeof endpoints === "string" ? [endpoints] : endpoints;
    if (list.length === 0) throw new InvalidArgumentError("A worker has at least one endpoint to connect to");
    const requests = new BodyShape(requestCodec);
    const replies = new BodyShape(replyCodec);
    const work: Work = async (body, signal) =>
      replies.encode(await handler(requests.decode([...body]), { signal }));
    const rules = { dialect, ...times };
    this.#seats = list.flatMap((endpoint) =>
      Array.from(
        { length: concurrency },
        () => new Seat(endpoint, rules, work, socketOptions, (event) => this.events.emit(event)),
      ),
    );
    try {
      for (const seat of this.#seats) seat.start();
    } catch (error) {
      for (const seat of this.#seats) void seat.close(0);
      throw error;
    }
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** The accounts at this moment, of all connections together. */
  stats(): WorkerStats {
    const all = this.#seats.map((seat) => seat.stats());
    const sum = { ...(all[0] as WorkerStats) } as Record<keyof WorkerStats, number>;
    for (const stats of all.slice(1)) {
      for (const name of Object.keys(sum) as (keyof WorkerStats)[]) sum[name] += stats[name];
    }
    return sum;
  }

  /**
   * Takes nothing new, ends what it has in hand, and closes.
   *
   * @param options linger: ms for that, after which the handlers' signals are aborted; -1: no limit. Default 1,000
   */
  close(options: { readonly linger?: number } = {}): Promise<void> {
    const { linger = CLOSE_LINGER } = options;
    if (!Number.isInteger(linger) || linger < -1)
      throw new InvalidArgumentError(`linger is a whole number of ms, or -1; got ${String(linger)}`);
    this.#closing ??= Promise.all(this.#seats.map((seat) => seat.close(linger))).then(() =>
      this.events.close(),
    );
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

type Work = (body: readonly Buffer[], signal: AbortSignal) => Promise<Buffer[]>;

/** One connection, and the one request that it can have. */
class Seat {
  readonly #endpoint: string;
  readonly #dialect: Dialect;
  readonly #socketOptions: DealerOptions;
  readonly #work: Work;
  readonly #timer: DriverTimer;
  readonly #rules: WorkerRules;
  #dealer: Dealer | undefined;
  #queue: SendQueue | undefined;
  #abort: AbortController | undefined;
  #whenFree: (() => void) | undefined;

  constructor(
    endpoint: string,
    options: WorkerRulesOptions,
    work: Work,
    socketOptions: DealerOptions | undefined,
    emit: (event: WorkerEvent) => void,
  ) {
    this.#endpoint = endpoint;
    this.#dialect = options.dialect;
    this.#socketOptions = { ...socketOptions };
    this.#work = work;
    this.#timer = new DriverTimer(options.heartbeatInterval);
    this.#rules = new WorkerRules(options, {
      open: () => this.#open(),
      abandon: () => {
        this.#queue?.close();
        void this.#dealer?.close({ linger: 0 });
      },
      ready: () => this.#send(readyFrames(this.#dialect)),
      heartbeat: () => {
        // What waits proves as much, and leaves before it would.
        if (this.#queue?.length === 0) this.#send(heartbeatFrames());
      },
      handle: (address, body) => void this.#handle(address, body),
      reply: (address, body) => this.#send(addressedFrames(this.#dialect, address, body)),
      event: emit,
    });
  }

  start(): void {
    this.#rules.start(this.#timer.now());
    this.#timer.start(this.#rules);
  }

  stats(): WorkerStats {
    return this.#rules.stats();
  }

  async close(linger: number): Promise<void> {
    if (this.#rules.drain() && linger !== 0) {
      await new Promise<void>((resolve) => {
        const timer = linger < 0 ? undefined : setTimeout(resolve, linger);
        this.#whenFree = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#abort?.abort();
    this.#rules.close();
    this.#timer.stop();
    const last = linger < 0 ? CLOSE_LINGER : linger;
    await this.#queue?.drained(last);
    this.#queue?.close();
    await this.#dealer?.close({ linger: last });
  }

  /** Another socket has another routing id: what a queue still sends to the old one reaches nobody. */
  #open(): void {
    const dealer = new Dealer(this.#socketOptions);
    this.#dealer = dealer;
    this.#queue = new SendQueue(dealer);
    dealer.connect(this.#endpoint);
    dealer.events.on("peer:join", () => {
      if (this.#dealer !== dealer) return;
      this.#rules.connected(this.#timer.now());
      this.#timer.update();
    });
    void this.#read(dealer);
  }

  async #read(dealer: Dealer): Promise<void> {
    for (;;) {
      let frames: Buffer[];
      try {
        frames = await dealer.receive({ timeout: -1 });
      } catch {
        return; // It was closed: nothing else ends a receive without limit.
      }
      if (this.#dealer !== dealer) return;
      this.#rules.receive(parseFromQueue(frames, this.#dialect), this.#timer.now());
      this.#timer.update();
    }
  }

  /** What there is no room for waits, in order; when the queue is found silent it is given up with the socket. */
  #send(frames: Buffer[]): void {
    this.#queue?.send(frames);
  }

  async #handle(address: Buffer, body: readonly Buffer[]): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    let reply: readonly Buffer[];
    let failure: { readonly cause: unknown } | undefined;
    try {
      reply = await this.#work(body, abort.signal);
    } catch (error) {
      failure = { cause: error };
      reply = handlerErrorReply(error);
    }
    this.#abort = undefined;
    this.#rules.finished(address, reply, this.#timer.now(), failure);
    this.#timer.update();
    this.#whenFree?.();
  }
}
