/**
 * A worker whose sockets have a thread of their own, seen from the main thread,
 * which has the handler (`thread: true` of worker.ts).
 *
 *   starting ──> up ──close──> draining ──closed──> ended
 *      └──────────┴──────────────┴── it fails ────> ended: the event `thread:failed`, and `close` rejects
 */

import { Worker } from "node:worker_threads";
import { builtFile } from "../../core/built-file.js";
import { isBytes } from "../../core/bytes.js";
import { ClosedError, InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import type { Codec } from "../../sockets/codec.js";
import { type MessageLike, toMessage } from "../../sockets/message.js";
import {
  type FailureReason,
  type HandlerFailure,
  handlerFailure,
  isRefusedRequest,
  requestFailure,
} from "../kit/errors.js";
import { type PlainError, toError } from "../kit/plain-error.js";
import type { MajordomoHandler, MajordomoRequestContext, MajordomoWorkerEvent } from "./worker-options.js";

/** Frames in one piece of memory, one after the other. */
export interface Packed {
  readonly lengths: readonly number[];
  readonly bytes: ArrayBuffer;
}

/** What a handler gets in addition to the request. */
export type CallContext = Omit<MajordomoRequestContext, "service" | "signal">;

/**
 * What a worker's two threads post to each other: the main thread has the handler,
 * the other the sockets (worker-thread.ts, worker-thread-entry.ts).
 *
 *   sockets' thread                       main thread
 *   up          names of the statistics
 *   request     number, id, frames  --->  the handler runs
 *                                   <---  reply, or failed
 *                                   <---  stream: the answer comes in pieces
 *   next        number              --->
 *                                   <---  piece, or end, or failed
 *   return      number              --->  nobody wants more pieces
 *                                   <---  watch: the handler asks for its signal
 *   abort       number              --->
 *   event       event               --->
 *   refused     endpoint, error     --->
 *                                   <---  endpoints: what the source has now
 *                                   <---  drain
 *   drained                         --->
 *                                   <---  close: linger
 *   closed                          --->
 *
 * A request is posted once a handler is free for it, and a piece once it is asked
 * for: so what is under way between the threads has a bound, however long either
 * is held up. Events have one of their own (MAX_UNTAKEN).
 *
 * Frames are packed into memory of their own, one copy, and that is transferred:
 * cloned, a frame would take with it the whole chunk that it was received in.
 */
export type FromSockets =
  | { readonly type: "up"; readonly names: readonly string[] }
  | {
      readonly type: "request";
      readonly number: number;
      readonly context: CallContext;
      readonly frames: Packed;
    }
  | { readonly type: "next" | "return" | "abort"; readonly number: number }
  | { readonly type: "event"; readonly event: MajordomoWorkerEvent }
  /** An endpoint of the source cannot be connected to. */
  | { readonly type: "refused"; readonly endpoint: string; readonly error: PlainError }
  | { readonly type: "drained" | "closed" };

/** What becomes of a request, or of the question for the next piece. */
export type Outcome =
  | { readonly type: "reply" | "piece"; readonly number: number; readonly frames: Packed }
  | { readonly type: "stream"; readonly number: number }
  /** Without frames: the pieces are all there is. */
  | { readonly type: "end"; readonly number: number; readonly frames: Packed | undefined }
  | {
      readonly type: "failed";
      readonly number: number;
      readonly reason: FailureReason;
      readonly text: string;
      readonly details: Uint8Array | undefined;
    };

export type FromHandler =
  | Outcome
  | { readonly type: "watch"; readonly number: number }
  | { readonly type: "endpoints"; readonly endpoints: readonly string[] }
  | { readonly type: "drain" }
  | { readonly type: "close"; readonly linger: number };

/** What the sockets' thread begins with. */
export interface ThreadData {
  /** `undefined`: those that the main thread posts, of a source. */
  readonly endpoints: readonly string[] | undefined;
  readonly service: string;
  /** Options of the worker that can be cloned. */
  readonly options: { readonly socketOptions: object };
  /** The statistics, in the order of the names that `up` has. */
  readonly statistics: Float64Array;
  /** [0]: events that the main thread has taken. */
  readonly taken: Int32Array;
}

/** Statistics that there is room for. */
export const MAX_STATISTICS = 64;

/** Events on their way to a main thread that is held up; further ones are dropped, and `events:lost` says how many. */
export const MAX_UNTAKEN = 1_000;

/** Copies frames into memory that can be transferred. */
export function pack(frames: readonly (Uint8Array | string)[]): Packed {
  const lengths = frames.map((frame) =>
    typeof frame === "string" ? Buffer.byteLength(frame) : frame.length,
  );
  const bytes = new ArrayBuffer(lengths.reduce((sum, length) => sum + length, 0));
  const target = Buffer.from(bytes);
  let at = 0;
  for (const [index, frame] of frames.entries()) {
    if (typeof frame === "string") target.write(frame, at);
    else target.set(frame, at);
    at += lengths[index] as number;
  }
  return { lengths, bytes };
}

/** Packs what a handler gave. @throws InvalidArgumentError `EINVAL` for what is not a message */
export function packReply(reply: MessageLike | MessageLike[]): Packed {
  const message = toMessage(reply);
  return pack(Array.isArray(message) ? message : [message as Uint8Array | string]);
}

/** The frames, as views on the memory that came. */
export function unpack({ lengths, bytes }: Packed): Buffer[] {
  let at = 0;
  return lengths.map((length) => {
    const frame = Buffer.from(bytes, at, length);
    at += length;
    return frame;
  });
}

/** What the handler works with; none of it crosses to the thread. */
export interface ThreadHandler {
  readonly service: string;
  readonly handler: MajordomoHandler<unknown, unknown>;
  readonly requestCodec: Codec<unknown> | undefined;
  readonly replyCodec: Codec<unknown> | undefined;
  readonly exposeErrors: boolean;
  emit(event: MajordomoWorkerEvent): void;
}

/** A request in the handler's hands. */
class Call implements MajordomoRequestContext {
  readonly service: string;
  readonly id: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly deadline: Date | undefined;
  readonly attempt: number;
  readonly number: number;
  /** Its pieces, when the answer comes in some. */
  pieces: AsyncGenerator<unknown, unknown> | undefined = undefined;
  aborted = false;
  readonly #watch: (number: number) => void;
  #controller: AbortController | undefined = undefined;

  constructor(service: string, context: CallContext, number: number, watch: (number: number) => void) {
    this.service = service;
    this.id = context.id;
    this.headers = context.headers;
    this.deadline = context.deadline;
    this.attempt = context.attempt;
    this.number = number;
    this.#watch = watch;
  }

  /** Made, and listened for in the other thread, when it is asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted) this.#controller.abort();
      else this.#watch(this.number);
    }
    return this.#controller.signal;
  }

  abort(): void {
    this.aborted = true;
    this.#controller?.abort();
  }
}

export class WorkerThread {
  readonly #work: ThreadHandler;
  readonly #thread: Worker;
  readonly #statistics = new Float64Array(
    new SharedArrayBuffer(MAX_STATISTICS * Float64Array.BYTES_PER_ELEMENT),
  );
  readonly #taken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  readonly #calls = new Map<number, Call>();
  readonly #ended: Promise<void>;
  #names: readonly string[] = [];
  #failure: Error | undefined;
  #closed = false;
  #drained: (() => void) | undefined;

  /**
   * @param endpoints `undefined`: those that {@link follow} brings
   * @param options of the worker in the thread
   * @throws InvalidArgumentError `EINVAL` for an endpoint or an option that cannot be used from another thread
   */
  constructor(
    endpoints: readonly string[] | undefined,
    options: { readonly socketOptions: object | undefined },
    work: ThreadHandler,
  ) {
    this.#work = work;
    const data: ThreadData = {
      endpoints,
      service: work.service,
      options: { ...options, socketOptions: plainOptions(options.socketOptions) },
      statistics: this.#statistics,
      taken: this.#taken,
    };
    this.#thread = new Worker(builtFile("dist/patterns/majordomo/worker-thread-entry.js"), {
      workerData: data,
      name: `shoal worker ${work.service}`,
      // Flags that began this program, such as --input-type, need not fit another file.
      execArgv: [],
    });
    this.#thread.on("message", this.#threadOnMessage);
    this.#thread.on("error", (error) => this.#failed(error));
    this.#ended = new Promise((resolve) => {
      this.#thread.on("exit", (code) => {
        if (!this.#closed) this.#failed(new Error(`it ended with exit code ${code}`));
        resolve();
      });
    });
  }

  /** The source of endpoints has another list. */
  follow(endpoints: readonly string[]): void {
    this.#post({ type: "endpoints", endpoints });
  }

  /** The thread's statistics over `none`, which stands until it has some. */
  stats<S extends object>(none: S): S {
    const known = this.#names.map((name, index) => [name, this.#statistics[index]] as const);
    return { ...none, ...Object.fromEntries(known) };
  }

  /** Settles when no handler runs, or the thread ends. */
  async drain(): Promise<void> {
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#post({ type: "drain" });
    await Promise.race([drained, this.#ended]);
  }

  /** @throws ClosedError `EBADF` when the thread failed; `cause` says why */
  async close(linger: number): Promise<void> {
    if (this.#failure === undefined) this.#post({ type: "close", linger });
    await this.#ended;
    if (this.#failure === undefined) return;
    throw new ClosedError("EBADF", "The thread of the worker's sockets failed", { cause: this.#failure });
  }

  #post(message: FromHandler, packed?: Packed): void {
    this.#thread.postMessage(message, packed === undefined ? [] : [packed.bytes]);
  }

  #failed(error: unknown): void {
    if (this.#failure !== undefined || this.#closed) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    for (const call of this.#calls.values()) this.#drop(call);
    this.#work.emit({ type: "thread:failed", error: this.#failure });
  }

  #threadOnMessage = (message: FromSockets): void => {
    switch (message.type) {
      case "up":
        this.#names = message.names;
        break;
      case "request":
        this.#start(message.number, message.context, unpack(message.frames));
        break;
      case "next":
        void this.#next(this.#calls.get(message.number));
        break;
      case "return": {
        const call = this.#calls.get(message.number);
        if (call !== undefined) this.#drop(call);
        break;
      }
      case "abort":
        this.#calls.get(message.number)?.abort();
        break;
      case "event":
        Atomics.add(this.#taken, 0, 1);
        this.#work.emit(message.event);
        break;
      case "refused":
        Atomics.add(this.#taken, 0, 1);
        this.#work.emit({
          type: "endpoint:refused",
          endpoint: message.endpoint,
          error: toError(message.error) as ShoalError,
        });
        break;
      case "drained":
        this.#drained?.();
        break;
      case "closed":
        this.#closed = true;
        for (const call of this.#calls.values()) this.#drop(call);
        void this.#thread.terminate();
        break;
    }
  };

  #start(number: number, context: CallContext, frames: Buffer[]): void {
    const call = new Call(this.#work.service, context, number, (asked) =>
      this.#post({ type: "watch", number: asked }),
    );
    this.#calls.set(number, call);
    let request: unknown;
    try {
      request = this.#decode(frames);
    } catch (error) {
      this.#work.emit({ type: "request:invalid", error });
      this.#fail(call, requestFailure(error));
      return;
    }
    try {
      const result = this.#work.handler(request, call);
      if (isPromise(result)) {
        result.then(
          (reply) => this.#replied(call, reply),
          (error: unknown) => this.#threw(call, error),
        );
      } else this.#replied(call, result);
    } catch (error) {
      this.#threw(call, error);
    }
  }

  #replied(call: Call, reply: unknown): void {
    if (!this.#calls.has(call.number)) return;
    try {
      if (isGenerator(reply)) {
        call.pieces = reply;
        this.#post({ type: "stream", number: call.number });
        return;
      }
      const frames = this.#encode(reply);
      this.#calls.delete(call.number);
      this.#post({ type: "reply", number: call.number, frames }, frames);
    } catch (error) {
      this.#threw(call, error);
    }
  }

  async #next(call: Call | undefined): Promise<void> {
    if (call?.pieces === undefined) return;
    const { number } = call;
    try {
      const { value, done } = await call.pieces.next();
      if (!this.#calls.has(number)) return;
      const frames = done === true && value === undefined ? undefined : this.#encode(value);
      if (done === true) {
        this.#calls.delete(number);
        this.#post({ type: "end", number, frames }, frames);
      } else if (frames !== undefined) this.#post({ type: "piece", number, frames }, frames);
    } catch (error) {
      this.#threw(call, error);
    }
  }

  #threw(call: Call, error: unknown): void {
    if (!this.#calls.has(call.number)) return;
    if (isRefusedRequest(error)) this.#work.emit({ type: "request:invalid", error });
    else if (!call.aborted) this.#work.emit({ type: "handler:failed", error });
    this.#fail(call, handlerFailure(error, this.#work.exposeErrors));
  }

  #fail(call: Call, failure: HandlerFailure): void {
    this.#calls.delete(call.number);
    this.#post({ type: "failed", number: call.number, ...failure });
  }

  /** Nobody is there to have its answer. */
  #drop(call: Call): void {
    this.#calls.delete(call.number);
    call.abort();
    call.pieces
      ?.return(undefined)
      .catch((error: unknown) => this.#work.emit({ type: "handler:failed", error }));
  }

  #decode(frames: Buffer[]): unknown {
    const { requestCodec } = this.#work;
    if (requestCodec === undefined) return frames;
    if (frames.length !== 1) throw new Error(`expected a body of 1 frame; got ${frames.length}`);
    return requestCodec.decode(frames[0] as Buffer);
  }

  #encode(reply: unknown): Packed {
    const { replyCodec } = this.#work;
    if (replyCodec === undefined) return packReply(reply as MessageLike);
    return pack([replyCodec.encode(reply) as Uint8Array | string]);
  }
}

/** @throws InvalidArgumentError `EINVAL` for what means nothing in another thread */
function plainOptions(options: object = {}): object {
  for (const [name, value] of Object.entries(options)) {
    const usable = value === null || typeof value !== "object" || isBytes(value);
    if (usable && typeof value !== "function") continue;
    throw new InvalidArgumentError(
      `With thread: true, socketOptions cannot have ${name}: it stays in its thread`,
    );
  }
  return options;
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Partial<Promise<unknown>> | null | undefined)?.then === "function";
}

function isGenerator(value: unknown): value is AsyncGenerator<unknown, unknown> {
  const generator = value as Partial<AsyncGenerator<unknown>> | null | undefined;
  return typeof generator?.next === "function" && typeof generator[Symbol.asyncIterator] === "function";
}
