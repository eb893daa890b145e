/**
 * The Guide's Black Box (chapter 5, High-Speed Subscribers).
 *
 *                    the program's thread                worker threads
 *   PUB ──> SUB ──> hash of the topic ──> queue 0 ──> handler of the user's module
 *                                     └─> queue 1 ──> handler …
 */

import { ClosedError } from "../../core/errors.js";
import { type EventsOf, event } from "../../core/event-stream.js";
import { IdleWaits, withTimeout } from "../../core/waiter.js";
import { Driver } from "../../kit/driver.js";
import { ENDPOINT_SOURCE_EVENTS, relaySourceEvents } from "../../kit/endpoint-list.js";
import { Subscriber } from "../../sockets/pub-sub.js";
import type { SocketStats } from "../../sockets/stats.js";
import { fromPlain, pack } from "./messages.js";
import { type BlackBoxOptions, resolveBox } from "./options.js";
import { BoxRules, type BoxRulesStats } from "./rules.js";
import { ShardThread, type ThreadOwner } from "./threads.js";

/** Messages per read. */
const READ = 1_000;
/** ms for a module's `teardown`. */
const TEARDOWN_TIME = 1_000;

export interface BlackBoxContext {
  /** From 0. */
  readonly shard: number;
  readonly shards: number;
}

/**
 * Default export of a handler's module. Called with one message at a time; a returned promise delays the next. Frames
 * are views of one batch (about 1 MiB): copy a frame to keep it.
 *
 * The module may also export `teardown(context)`, awaited after the thread's last message, for 1 s at most.
 */
export type BlackBoxHandler = (frames: Buffer[], context: BlackBoxContext) => unknown;

const EVENTS = {
  /** Of one batch, when it is finished. */
  "handler:failed": event<{
    readonly shard: number;
    readonly messages: number;
    /** First frame of the first one, 256 bytes at most. */
    readonly topic: Buffer;
    readonly error: Error;
  }>(),
  /** A worker thread ended. The Black Box closes. */
  "worker:crashed": event<{ readonly shard: number; readonly error: Error }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type BlackBoxEvent = EventsOf<typeof EVENTS>;

/** `received = handled + failed + queued + inFlight + dropped{…} + lost`. */
export interface BlackBoxStats extends BoxRulesStats {
  readonly socket: SocketStats;
}

/**
 * Subscriber for streams too fast for one thread: receives in the thread that makes it and handles messages in others,
 * in order per topic. Where the program's thread is busy, make the Black Box in a worker thread.
 *
 * @example
 * ```ts no-run
 * import { BlackBox } from "shoal/black-box";
 *
 * const box = new BlackBox({
 *   handler: new URL("./handler.js", import.meta.url), // export default ([topic, body], context) => …
 *   workers: 4,
 *   connect: "tcp://127.0.0.1:5556",
 * });
 * await box.start();
 * ```
 */
export class BlackBox extends Driver<BlackBoxEvent, BlackBoxStats> {
  readonly #options: ReturnType<typeof resolveBox>;
  readonly #socket: Subscriber;
  readonly #rules: BoxRules;
  #threads: ShardThread[] = [];
  #starting: Promise<void> | undefined;
  readonly #unblocked = new IdleWaits();
  readonly #idle = new IdleWaits();
  /** Messages in flight to the crashed thread never finish. */
  #hasCrashed = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BlackBoxOptions) {
    super("BlackBox", EVENTS);
    this.#options = resolveBox(options);
    const { rules, socketOptions } = this.#options;
    this.#rules = new BoxRules(rules, (shard, messages) => this.#threads[shard]?.send(pack(messages)));
    this.#socket = new Subscriber({ linger: 0, ...socketOptions });
    relaySourceEvents(this.#socket, (event) => this.events.emit(event));
  }

  /** Endpoint of the last `bind` or `connect`; `null` before {@link start} settles. */
  get endpoint(): string | null {
    return this.#socket.lastEndpoint;
  }

  /**
   * Loads the module in each thread, then opens the socket. Closes on failure.
   * @throws InvalidArgumentError `EINVAL` for an unusable module (`cause`) or a bad prefix; TransportError as a
   *   socket's `bind`; ClosedError `EBADF` when closed
   */
  start(): Promise<void> {
    try {
      this.assertOpen();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#starting ??= this.#start().catch(async (error: unknown) => {
      const isClosed = this.closed;
      await this.close({ linger: 0 });
      throw isClosed ? new ClosedError("EBADF", "The Black Box is closed") : error;
    });
    return this.#starting;
  }

  stats(): BlackBoxStats {
    return { ...this.#rules.stats(), socket: this.#socket.stats() };
  }

  async #start(): Promise<void> {
    const { module, rules, bind, subscribe, connect } = this.#options;
    const { shards } = rules;
    this.#threads = Array.from(
      { length: shards },
      (_, shard) => new ShardThread({ module, shard, shards }, this.#owner),
    );
    await Promise.all(this.#threads.map((thread) => thread.ready));
    for (const endpoint of bind) await this.#socket.bind(endpoint);
    this.#socket.subscribe(...subscribe);
    for (const endpoint of connect) this.#socket.connect(endpoint);
    void this.#read();
  }

  async #read(): Promise<void> {
    const socket = this.#socket;
    for (;;) {
      let messages: Buffer[][];
      try {
        messages = await socket.receiveMany({ max: READ, timeout: -1 });
      } catch {
        return; // It closed.
      }
      this.#rules.receive(messages);
      while (this.#rules.blocked && !socket.closed) await this.#unblocked.wait(false);
    }
  }

  protected override async onDrain(): Promise<void> {
    await this.#stopReading();
    await this.#whenIdle();
  }

  /**
   * Waits at most `linger` ms until all read messages are handled, drops the rest (`closed`), and ends the threads.
   * A crash ends the wait.
   */
  protected async onClose(linger: number): Promise<void> {
    await this.#stopReading();
    if (linger !== 0) await withTimeout(this.#whenIdle(), linger);
    this.#rules.close();
    this.#moved();
    await Promise.all(this.#threads.map((thread) => thread.close(linger === 0 ? 0 : TEARDOWN_TIME)));
  }

  #whenIdle(): Promise<void> {
    return this.#idle.wait(this.#rules.idle || this.#hasCrashed);
  }

  async #stopReading(): Promise<void> {
    await this.#socket.close({ linger: 0 });
    this.#unblocked.end();
  }

  #moved(): void {
    if (!this.#rules.blocked) this.#unblocked.end();
    if (this.#rules.idle) this.#idle.end();
  }

  readonly #owner: ThreadOwner = {
    batchFinished: (shard, messages, first) => {
      this.#rules.finished(shard, messages);
      if (first !== undefined)
        this.events.emit({
          type: "handler:failed",
          shard,
          messages,
          topic: Buffer.from(first.topic),
          error: fromPlain(first.error),
        });
      this.#moved();
    },
    threadCrashed: (shard, error) => {
      this.#hasCrashed = true;
      this.events.emit({ type: "worker:crashed", shard, error });
      this.#idle.end();
      void this.close({ linger: 0 });
    },
  };
}
