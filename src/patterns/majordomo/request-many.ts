/** Asking all workers of a service: who has answered, who has not, and when it is enough. */
import { type ShoalError, TimeoutError } from "../../core/errors.js";
import { ServiceError, toReason } from "../kit/errors.js";
import type { CallSink, Taken } from "./client-call.js";
import type { Decode } from "./client-sinks.js";

/** When a request to many ends, beside the last answer. */
export interface RequestManyOptions<T> {
  /** ms for all of it; -1: no limit. Default 30,000. */
  readonly timeout?: number;
  /** Replies that are enough, 1 or more. Default: those of all workers. */
  readonly count?: number;
  /** ms without a reply, once the workers were asked, after which no more is expected; -1: no limit, the default. */
  readonly silence?: number;
  /** Called with each reply; `true` ends it, with that reply. */
  readonly until?: (reply: ManyReply<T>) => boolean;
  /** Gives it up: the promise is rejected. */
  readonly signal?: AbortSignal;
}

/** What one worker said. */
export interface ManyReply<T> {
  /** The worker's name. */
  readonly worker: string;
  readonly body: T;
}

/** What came of it. Every worker that was asked is in one of the lists. */
export interface ManyResult<T> {
  /** In the order in which they came. */
  readonly replies: ManyReply<T>[];
  /** Workers that were asked and have not answered. */
  readonly missing: string[];
  /** Workers that failed, and why. */
  readonly failed: { readonly worker: string; readonly error: ServiceError }[];
}

/** ms of a request to many that names no time. */
const TIMEOUT = 30_000;

export class ManySink<T> implements CallSink {
  /** What the caller holds. */
  promise: Promise<unknown> | undefined = undefined;
  readonly #service: string;
  readonly #options: RequestManyOptions<T>;
  readonly #decode: Decode<T>;
  readonly #finish: (result: ManyResult<T>) => void;
  readonly #reject: (error: ShoalError) => void;
  readonly #replies: ManyReply<T>[] = [];
  readonly #failed: { worker: string; error: ServiceError }[] = [];
  /** Names, and how many of each were asked: two workers may have one name. */
  readonly #open = new Map<string, number>();
  #silence: NodeJS.Timeout | undefined;
  #timeout: NodeJS.Timeout | undefined;
  /** The broker has said who was asked. */
  #asked = false;
  #over = false;

  /** @param finish told once, with what there is; the call is over for the caller then */
  constructor(
    service: string,
    options: RequestManyOptions<T>,
    decode: Decode<T>,
    finish: (result: ManyResult<T>) => void,
    reject: (error: ShoalError) => void,
  ) {
    this.#service = service;
    this.#options = options;
    this.#decode = decode;
    this.#finish = finish;
    this.#reject = reject;
    const { timeout = TIMEOUT } = options;
    if (timeout >= 0) this.#timeout = setTimeout(() => this.#late(timeout), timeout);
  }

  asked(workers: readonly string[]): void {
    this.#asked = true;
    for (const worker of workers) this.#open.set(worker, (this.#open.get(worker) ?? 0) + 1);
    this.#listen();
  }

  one(worker: string, ok: boolean, body: Buffer[]): void {
    if (this.#over) return;
    const left = (this.#open.get(worker) ?? 1) - 1;
    if (left === 0) this.#open.delete(worker);
    else this.#open.set(worker, left);
    this.#listen();
    let reply: ManyReply<T>;
    try {
      if (!ok) throw new ServiceError(toReason(String(body[0])), this.#service, String(body[1]));
      reply = { worker, body: this.#decode(body) };
    } catch (cause) {
      const error =
        cause instanceof ServiceError
          ? cause
          : new ServiceError("worker-failed", this.#service, (cause as Error).message);
      this.#failed.push({ worker, error });
      return;
    }
    this.#replies.push(reply);
    const { count = Number.POSITIVE_INFINITY, until } = this.#options;
    try {
      if (this.#replies.length >= count || until?.(reply) === true) this.#end();
    } catch (error) {
      this.failed(error as ShoalError);
    }
  }

  answer(_body: Buffer[], final: boolean): Taken {
    if (final) this.#end();
    return "read";
  }

  failed(error: ShoalError, closing = false): void {
    if (closing) this.promise?.catch(ignore);
    // The broker is gone: what came before is worth as much as ever.
    if (error instanceof ServiceError && this.#asked) this.#end();
    else if (this.#stop()) this.#reject(error);
  }

  /** The caller has given it up. */
  abandon(): void {
    this.#stop();
  }

  /** Without a word of who was asked there is no result: nobody was reached who could have asked them. */
  #late(timeout: number): void {
    if (this.#asked) this.#end();
    else if (this.#stop()) {
      const text = `${this.#service}: no broker has asked its workers within ${timeout} ms`;
      this.#reject(new TimeoutError("ETIMEDOUT", text));
    }
  }

  #listen(): void {
    const { silence = -1 } = this.#options;
    if (silence < 0 || this.#over) return;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#end(), silence);
  }

  #stop(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#silence);
    clearTimeout(this.#timeout);
    return true;
  }

  #end(): void {
    if (!this.#stop()) return;
    const missing = [...this.#open].flatMap(([worker, count]) => new Array<string>(count).fill(worker));
    this.#finish({ replies: this.#replies, missing, failed: this.#failed });
  }
}

function ignore(): void {}
