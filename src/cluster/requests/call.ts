/** Request in flight; calls.ts has its rules. */
import { Link } from "../../core/collections/queues.js";
import type { ShoalError } from "../../core/errors.js";
import type { Due } from "../../core/timers.js";
import type { Balancer, NodeLoad } from "./balancer.js";
import type { BodyForm, CallExtras, EncodedBody } from "./wire.js";

export const NO_NODES: readonly string[] = [];

export interface CallTerms {
  readonly service: string;
  readonly extras: CallExtras | undefined;
  readonly body: EncodedBody;
  /** ms; negative: no limit. */
  readonly timeout: number;
  /** ms; for a streamed reply until its first part; negative: no limit. */
  readonly attemptTimeout: number;
  readonly retries: number;
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
  /** Whether to repeat it after a node may have run it. */
  readonly idempotent: boolean;
  readonly waitForReady: boolean;
  readonly self: boolean;
  /** `undefined`: any serving node. */
  readonly node: string | undefined;
}

/** Gets one `reply` or `fail`; of a streamed reply parts, then `reply`, `end` or `fail`. */
export interface CallSink {
  reply(form: BodyForm, body: Buffer): void;
  /** @returns why the part is refused */
  part?(form: BodyForm, body: Buffer): string | undefined;
  end?(): void;
  fail(error: ShoalError): void;
  /** Called before the result. */
  over?(): void;
}

export type CallState = "waiting" | "sent" | "over";

export class Call implements Due {
  readonly terms: CallTerms;
  readonly sink: CallSink;
  readonly balancer: Balancer;
  readonly link: Link<Call> = new Link(this);
  /** Infinite: no limit. */
  readonly until: number;
  /** Ends with the body. */
  #kept: Buffer | undefined = undefined;
  readonly #bytes: number;
  deadline = 0;
  state: CallState = "waiting";
  /** Current attempt. */
  id = 0;
  node: NodeLoad | undefined = undefined;
  sentAt = 0;
  retryAt = 0;
  /** When the node was asked last, or got the request. */
  checkedAt = 0;
  /** When to ask the node whether it has the request, and the next interval in ms. */
  checkAt = 0;
  checkAfter = 0;
  /** The last node no longer serves it. */
  isUnserved = false;
  /** Attempts that may have cost a node work. */
  attempts = 0;
  /** A part of the reply arrived: it stays with its node. */
  hasBegun = false;
  /** Waits for the last serving node. */
  holds = 0;
  tried: readonly string[] = NO_NODES;
  error: ShoalError | undefined = undefined;

  constructor(terms: CallTerms, sink: CallSink, balancer: Balancer, now: number) {
    this.terms = terms;
    this.#bytes = terms.body.data.length;
    this.sink = sink;
    this.balancer = balancer;
    this.until = terms.timeout < 0 ? Number.POSITIVE_INFINITY : now + terms.timeout;
  }

  /**
   * The program may reuse its bytes, or transfer their memory, after the first attempt.
   *
   * @param item ends with the body; without it the body is copied
   */
  keepBody(item?: Buffer): void {
    const { data } = this.terms.body;
    if (typeof data !== "string") this.#kept ??= item ?? Buffer.from(data);
  }

  get body(): EncodedBody {
    const { body } = this.terms;
    const kept = this.#kept;
    return kept === undefined ? body : { form: body.form, data: kept.subarray(kept.length - this.#bytes) };
  }
}

export function isStreamed({ terms }: Call): boolean {
  return terms.extras !== undefined && terms.extras.parts > 0;
}

/** ms left for the node; 0: no limit. */
export function timeoutOf(now: number, call: Call): number {
  const { attemptTimeout } = call.terms;
  // The limit until a first part applies only here.
  const limit = attemptTimeout < 0 || isStreamed(call) ? Number.POSITIVE_INFINITY : attemptTimeout;
  const left = Math.min(call.until - now, limit);
  return left === Number.POSITIVE_INFINITY ? 0 : Math.max(1, Math.round(left));
}
