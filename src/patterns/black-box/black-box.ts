/**
 * The Guide's Black Box (chapter 5, High-Speed Subscribers): reception in one thread, work in others.
 *
 *                    receiver thread                     worker threads
 *   PUB ──> SUB ──> hash of the key ──> queue 0 ──> handler of the user's module
 *                                   └─> queue 1 ──> handler …
 *
 *   new ──start──> open ──close──> closing ──drained, or linger──> closed
 */
import type { MessagePort, Worker } from "node:worker_threads";
import { ClosedError, InvalidStateError, type ShoalError } from "../../core/errors.js";
import { Driver } from "../kit/driver.js";
import {
  ENDPOINT_SOURCE_EVENTS,
  EndpointList,
  type EndpointSourceEvent,
  THREAD_TRANSPORTS,
} from "../kit/endpoint-list.js";
import { toError } from "../kit/plain-error.js";
import type { FromReceiver, ReceiverStats, ToReceiver } from "./messages.js";
import { type BlackBoxOptions, type ResolvedBox, resolveBox } from "./options.js";
import type { BlackBoxDropReason, BlackBoxShardStats } from "./shard.js";
import { ShardThread, startThread, type ThreadOwner } from "./threads.js";

/** ms that a module's `teardown` has after the linger of `close`. */
const TEARDOWN_TIME = 1_000;

/** What a handler's module gets in addition to the message. */
export interface BlackBoxContext<D = unknown> {
  /** From 0. */
  readonly shard: number;
  readonly shards: number;
  /** The option `data`. */
  readonly data: D;
}

/**
 * The default export of a handler's module. Called with one message at a time; the next one waits for a promise.
 * The frames are views of one batch: a frame that is kept holds the whole batch (about 1 MiB), a copy does not.
 *
 * The module may export `setup(context)` and `teardown(context)`, too, which are awaited before the first and after
 * the last message of the thread: the place for sockets of its own.
 */
export type BlackBoxHandler<D = unknown> = (frames: Buffer[], context: BlackBoxContext<D>) => unknown;

/** What happens to a Black Box. */
export type BlackBoxEvent =
  | { readonly type: "peer:joined"; readonly address: string }
  | { readonly type: "peer:left"; readonly address: string }
  /** Messages were dropped since the last such event, a tenth of a second ago or more. */
  | {
      readonly type: "messages:dropped";
      readonly shard: number;
      readonly reason: BlackBoxDropReason;
      readonly messages: number;
    }
  /** The handler threw or rejected; the first at once, further ones together each tenth of a second. */
  | {
      readonly type: "handler:failed";
      readonly shard: number;
      readonly messages: number;
      /** The first frame of the first of them, 256 bytes at most. */
      readonly topic: Buffer;
      readonly error: Error;
    }
  /** A worker thread is gone, and the message that it was at, if any, is lost. */
  | {
      readonly type: "worker:crashed";
      readonly shard: number;
      readonly error: Error;
      readonly lost: number;
      /** ms until its successor starts. */
      readonly restartIn: number;
    }
  | { readonly type: "worker:restarted"; readonly shard: number }
  /** The receiver thread is gone: the Black Box closes. */
  | { readonly type: "receiver:crashed"; readonly error: Error }
  | EndpointSourceEvent;

/**
 * A Black Box's statistics, all since it was started:
 *
 *   received = held + handled + failed + queued + inFlight + dropped{…} + lost
 */
export interface BlackBoxStats extends ReceiverStats {
  readonly handled: number;
  /** Messages whose handler threw or rejected. */
  readonly failed: number;
  readonly queued: number;
  readonly queuedBytes: number;
  /** Messages with the worker threads. */
  readonly inFlight: number;
  /** Messages that worker threads were at when they crashed, or were ended by `close`. */
  readonly lost: number;
  readonly dropped: Readonly<Record<BlackBoxDropReason, number>>;
  /** Worker threads that crashed. */
  readonly crashes: number;
}

/**
 * A subscriber for streams that one thread cannot deal with: messages are received in a thread of their own, and
 * handled in others, those of one key in order.
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
export class BlackBox extends Driver<BlackBoxEvent, Promise<BlackBoxStats>> {
  readonly #options: ResolvedBox;
  /** Of a source in the option `connect`. */
  readonly #source: EndpointList | undefined;
  #receiver: Worker | undefined;
  #threads: ShardThread[] = [];
  #endpoint: string | null = null;
  #starting: Promise<void> | undefined;
  #final: ReceiverStats | undefined;
  #crashes = 0;
  readonly #asked: { resolve: (stats: ReceiverStats) => void; reject: (error: Error) => void }[] = [];
  readonly #crashed = new Map<number, { error: Error; restartIn: number }>();
  #opened: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #receiverExited: Promise<void> = Promise.resolve();
  #drained: (() => void) | undefined;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: BlackBoxOptions) {
    super("BlackBox", {
      "peer:joined": true,
      "peer:left": true,
      "messages:dropped": true,
      "handler:failed": true,
      "worker:crashed": true,
      "worker:restarted": true,
      "receiver:crashed": true,
      ...ENDPOINT_SOURCE_EVENTS,
    });
    this.#options = resolveBox(options);
    const { source, receiver } = this.#options;
    if (source === undefined) return;
    // With an engine of its own, the SUB is not on the process-wide context, whose names reach threads.
    const transports = THREAD_TRANSPORTS.filter((name) => receiver.engine === undefined || name !== "inproc");
    this.#source = new EndpointList("BlackBox", source, { transports });
  }

  /** The endpoint of the last `bind` (wildcards filled in) or `connect`; `null` before {@link start} settles. */
  get endpoint(): string | null {
    return this.#endpoint;
  }

  /**
   * Loads the module in each thread, then opens the socket.
   *
   * @throws InvalidArgumentError `EINVAL` for a module that cannot be used (`cause` says why) or a bad endpoint or
   *   socket option; TransportError as a socket's `bind` does; ClosedError `EBADF` when it is closed. It is closed then.
   */
  start(): Promise<void> {
    try {
      this.assertOpen();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#starting ??= this.#start().catch(async (error: unknown) => {
      await this.close({ linger: 0 });
      throw error;
    });
    return this.#starting;
  }

  /**
   * The statistics: at this moment, or the last ones of a Black Box that is closed.
   *
   * @throws InvalidStateError `EFSM` before it was started; ClosedError `EBADF` when it failed to
   */
  async stats(): Promise<BlackBoxStats> {
    const receiver = this.#receiver;
    if (this.#final !== undefined) return this.#summed(this.#final);
    if (receiver === undefined) {
      if (this.closed) throw closed();
      throw new InvalidStateError("EFSM", "The Black Box is not started");
    }
    const answer = new Promise<ReceiverStats>((resolve, reject) => {
      this.#asked.push({ resolve, reject });
    });
    this.#post({ type: "stats" });
    return this.#summed(await answer);
  }

  async #start(): Promise<void> {
    const { module, workers, data } = this.#options;
    const opened = new Promise<void>((resolve, reject) => {
      this.#opened = { resolve, reject };
    });
    this.#startReceiver();
    this.#threads = Array.from(
      { length: workers },
      (_, shard) => new ShardThread({ module, shard, shards: workers, data }, this.#owner),
    );
    // The receiver may refuse its options, or end, while the other threads begin.
    await Promise.race([opened, Promise.all(this.#threads.map((thread) => thread.ready))]);
    this.#post({ type: "start" });
    await opened;
    this.#source?.start({
      changed: (endpoints) => this.#post({ type: "endpoints", endpoints }),
      event: (event) => this.events.emit(event),
    });
  }

  #startReceiver(): void {
    const worker = startThread("receiver-thread.js", "black box", this.#options.receiver);
    let cause: Error | undefined;
    this.#receiver = worker;
    worker.on("message", this.#receiverOnMessage);
    worker.on("error", (error) => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    this.#receiverExited = new Promise((resolve) => {
      worker.once("exit", (code) => {
        this.#receiver = undefined;
        resolve();
        const error = cause ?? new Error(`The receiver thread ended with exit code ${code}`);
        for (const asked of this.#asked.splice(0)) asked.reject(closed());
        this.#drained?.();
        this.#opened?.reject(this.closed ? closed() : error);
        if (this.closed) return;
        this.events.emit({ type: "receiver:crashed", error });
        void this.close({ linger: 0 });
      });
    });
  }

  /** Reads nothing more, and waits until everything that was read is handled. */
  protected override onDrain(): Promise<void> {
    this.#source?.stop();
    if (this.#receiver === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
      this.#post({ type: "drain" });
    });
  }

  /**
   * Reads nothing more, waits for at most `linger` ms until everything that was read is handled, drops the rest (`closed`),
   * and ends the threads. What the SUB had received and was not read is thrown away: `unread` counts it.
   */
  protected async onClose(linger: number): Promise<void> {
    this.#source?.stop();
    if (this.#receiver !== undefined) {
      // Without a limit it ends by itself, or when its threads have been ended.
      this.#post({ type: "close", linger });
      await this.#receiverExited;
    }
    await Promise.all(this.#threads.map((thread) => thread.close(linger === 0 ? 0 : TEARDOWN_TIME)));
  }

  #post(message: ToReceiver, transfer: MessagePort[] = []): void {
    this.#receiver?.postMessage(message, transfer);
  }

  #receiverOnMessage = (message: FromReceiver): void => {
    switch (message.type) {
      case "open":
        this.#endpoint = message.endpoint;
        this.#opened?.resolve();
        return;
      case "drained":
        this.#drained?.();
        return;
      case "refused":
        this.#opened?.reject(toError(message.error));
        return;
      case "endpoint:refused":
        this.events.emit({ ...message, error: toError(message.error) as ShoalError });
        return;
      case "stats":
        this.#asked.shift()?.resolve(message.stats);
        return;
      case "closed":
        this.#final = message.stats;
        return;
      case "lost":
        this.#lost(message.shard, message.messages);
        return;
      case "drops":
        for (const drop of message.drops) this.events.emit({ type: "messages:dropped", ...drop });
        return;
      default:
        this.events.emit(message);
    }
  };

  #lost(shard: number, lost: number): void {
    const crash = this.#crashed.get(shard);
    if (crash === undefined) return; // It was ended by `close`.
    this.#crashed.delete(shard);
    this.events.emit({ type: "worker:crashed", shard, lost, ...crash });
  }

  readonly #owner: ThreadOwner = {
    threadUp: (shard, port, progress, again) => {
      if (this.#receiver === undefined) port.close();
      else this.#post({ type: "up", shard, port, progress }, [port]);
      if (again) this.events.emit({ type: "worker:restarted", shard });
    },
    threadCrashed: (shard, wasUp, error, restartIn) => {
      this.#crashes += 1;
      if (wasUp && this.#receiver !== undefined) {
        this.#crashed.set(shard, { error, restartIn });
        this.#post({ type: "down", shard });
      } else this.events.emit({ type: "worker:crashed", shard, error, lost: 0, restartIn });
    },
    handlerFailed: (shard, messages, topic, error) =>
      this.events.emit({ type: "handler:failed", shard, messages, topic: Buffer.from(topic), error }),
  };

  #summed(stats: ReceiverStats): BlackBoxStats {
    const dropped = { newest: 0, oldest: 0, conflated: 0, "too-large": 0, closed: 0 };
    const sum = (name: Exclude<keyof BlackBoxShardStats, "dropped">): number =>
      stats.shards.reduce((total, shard) => total + shard[name], 0);
    for (const shard of stats.shards) {
      for (const reason of Object.keys(dropped) as BlackBoxDropReason[])
        dropped[reason] += shard.dropped[reason];
    }
    return {
      ...stats,
      handled: sum("handled"),
      failed: sum("failed"),
      queued: sum("queued"),
      queuedBytes: sum("queuedBytes"),
      inFlight: sum("inFlight"),
      lost: sum("lost"),
      dropped,
      crashes: this.#crashes,
    };
  }
}

function closed(): ClosedError {
  return new ClosedError("EBADF", "The Black Box is closed");
}
