/**
 * Replies of many nodes to one request, one per node, until enough have arrived, the timeout ends, or the caller
 * gives up.
 */
import { AbortedError, ClosedError, TimeoutError } from "../../core/errors.js";
import type { Service } from "../node/service.js";
import { decodeBody } from "./body.js";
import type { Call, CallSink } from "./call.js";
import type { ServiceManyResult } from "./types.js";

export interface ManyEffects {
  /** Calls a node; the sink may be called before this returns. */
  begin(node: Service, sink: CallSink): Call;
  giveUp(call: Call): void;
}

/** A node that has not answered, and its call. */
interface Waiting {
  readonly service: Service;
  call: Call | undefined;
}

export class ManyReplies {
  readonly promise: Promise<ServiceManyResult>;
  readonly #count: number;
  readonly #signal: AbortSignal | undefined;
  readonly #effects: ManyEffects;
  readonly #replies: { readonly service: Service; readonly body: unknown }[] = [];
  readonly #failed: { readonly service: Service; readonly error: Error }[] = [];
  /** Nodes without an answer, including timed-out ones. */
  readonly #waiting = new Map<string, Waiting>();
  /** Calls that have not started or ended. */
  #left: number;
  #isOver = false;
  #resolve!: (result: ServiceManyResult) => void;
  #reject!: (error: Error) => void;

  /**
   * Asks all nodes.
   * @param count enough replies
   */
  constructor(
    nodes: readonly Service[],
    count: number,
    signal: AbortSignal | undefined,
    effects: ManyEffects,
  ) {
    this.#count = count;
    this.#signal = signal;
    this.#effects = effects;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // It may have aborted during the lookup of nodes.
    if (signal?.aborted === true) this.#signalOnAbort();
    signal?.addEventListener("abort", this.#signalOnAbort);
    for (const service of nodes) this.#waiting.set(service.id, { service, call: undefined });
    this.#left = this.#waiting.size;
    try {
      for (const each of [...this.#waiting.values()]) {
        if (this.#isOver) break;
        const call = effects.begin(each.service, this.#sinkOf(each));
        if (call.state !== "over") each.call = call;
      }
    } catch (error) {
      // Too many calls.
      this.#finish(error as Error);
    }
  }

  #signalOnAbort = (): void => this.#finish(new AbortedError(this.#signal?.reason));

  #sinkOf(of: Waiting): CallSink {
    return {
      reply: (form, data) => this.#settled(of, undefined, () => decodeBody(form, data)),
      part: () => "not-a-stream",
      end: () => this.#settled(of, undefined, () => undefined),
      fail: (error) => this.#settled(of, error, () => undefined),
    };
  }

  #settled(of: Waiting, error: Error | undefined, reply: () => unknown): void {
    const { service } = of;
    of.call = undefined;
    this.#left -= 1;
    if (this.#isOver) return;
    if (error instanceof ClosedError) {
      this.#finish(error);
      return;
    }
    // Nodes without an answer in time are missing.
    if (!(error instanceof TimeoutError)) {
      this.#waiting.delete(service.id);
      try {
        if (error !== undefined) throw error;
        this.#replies.push({ service, body: reply() });
      } catch (thrown) {
        this.#failed.push({ service, error: thrown as Error });
      }
    }
    if (this.#left === 0 || this.#replies.length >= this.#count) this.#finish();
  }

  #finish(error?: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal?.removeEventListener("abort", this.#signalOnAbort);
    const missing = [...this.#waiting.values()];
    for (const { call } of missing) if (call !== undefined) this.#effects.giveUp(call);
    if (error !== undefined) this.#reject(error);
    else
      this.#resolve({
        replies: this.#replies,
        failed: this.#failed,
        missing: missing.map(({ service }) => service),
      });
  }
}
