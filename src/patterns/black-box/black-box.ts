/**
 * The Guide's Black Box (chapter 5, High-Speed Subscribers).
 *
 *                    receiver thread                     worker threads
 *   PUB ──> SUB ──> hash of the key ──> queue 0 ──> handler of the user's module
 *                                   └─> queue 1 ──> handler …
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
import { type FromReceiver, type ReceiverStats, type ToReceiver, toError } from "./messages.js";
import { type BlackBoxOptions, type ResolvedBox, resolveBox } from "./options.js";
import type { BlackBoxDropReason, BlackBoxShardStats } from "./shard.js";
import { ShardThread, startThread, type ThreadOwner } from "./threads.js";

/** ms for a module's `teardown`. */
const TEARDOWN_TIME = 1_000;

export interface BlackBoxContext<D = unknown> {
  /** From 0. */
  readonly shard: number;
  readonly shards: number;
  /** The option `data`. */
  readonly data: D;
}

/**
 * Default export of a handler's module. Called with one message at a time; a returned promise delays the next. Frames
 * are views of one batch (about 1 MiB): copy a frame to keep it.
 *
 * The module may also export `setup(context)` and `teardown(context)`, awaited before the thread's first and after its
 * last message.
 */
export type BlackBoxHandler<D = unknown> = (frames: Buffer[], context: BlackBoxContext<D>) => unknown;

export type BlackBoxEvent =
  | { readonly type: "peer:joined"; readonly address: string }
  | { readonly type: "peer:left"; readonly address: string }
  /** Drops since the last such event, at least 100 ms ago. */
  | {
      readonly type: "messages:dropped";
      readonly shard: number;
      readonly reason: BlackBoxDropReason;
      readonly messages: number;
    }
  /** The first failure is reported at once, further ones together every 100 ms. */
  | {
      readonly type: "handler:failed";
      readonly shard: number;
      readonly messages: number;
      /** First frame of the first one, 256 bytes at most. */
      readonly topic: Buffer;
      readonly error: Error;
    }
  /** A worker thread ended; its current message is lost. */
  | {
      readonly type: "worker:crashed";
      readonly shard: number;
      readonly error: Error;
      readonly lost: number;
      /** ms until it is replaced. */
      readonly restartIn: number;
    }
  | { readonly type: "worker:restarted"; readonly shard: number }
  /** The receiver thread ended: the Black Box closes. */
  | { readonly type: "receiver:crashed"; readonly error: Error }
  | EndpointSourceEvent;

/** `received = held + handled + failed + queued + inFlight + dropped{…} + lost`. */
export interface BlackBoxStats extends ReceiverStats {
  readonly handled: number;
  readonly failed: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly inFlight: number;
  /** Being handled when their thread crashed or was ended by `close`. */
  readonly lost: number;
  readonly dropped: Readonly<Record<BlackBoxDropReason, number>>;
  readonly crashes: number;
}

/**
 * Subscriber for streams too fast for one thread: receives in one and handles messages in others, in order per key.
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
    // inproc names reach threads on the process-wide context only.
    const transports = THREAD_TRANSPORTS.filter((name) => receiver.engine === undefined || name !== "inproc");
    this.#source = new EndpointList("BlackBox", source, { transports });
  }

  /** Endpoint of the last `bind` or `connect`; `null` before {@link start} settles. */
  get endpoint(): string | null {
    return this.#endpoint;
  }

  /**
   * Loads the module in each thread, then opens the socket. Closes on failure.
   * @throws InvalidArgumentError `EINVAL` for an unusable module (`cause`), a bad endpoint or socket option;
   *   TransportError as a socket's `bind`; ClosedError `EBADF` when closed
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
   * The last statistics after close.
   * @throws InvalidStateError `EFSM` before start; ClosedError `EBADF` if starting failed
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
    // The receiver may refuse its options.
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

  protected override onDrain(): Promise<void> {
    this.#source?.stop();
    if (this.#receiver === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
      this.#post({ type: "drain" });
    });
  }

  /**
   * Waits at most `linger` ms until all read messages are handled, drops the rest (`closed`), and ends the threads.
   * Messages unread in the SUB are counted in `unread`.
   */
  protected async onClose(linger: number): Promise<void> {
    this.#source?.stop();
    if (this.#receiver !== undefined) {
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
    if (crash === undefined) return;
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
