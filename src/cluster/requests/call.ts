/** A request in flight: its terms, state and sink. calls.ts has the rules. */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { Due } from "../../core/deadlines.js";
import type { ShoalError } from "../../core/errors.js";
import type { Balancer, Candidate, NodeLoad } from "./balancer.js";
import type { BodySource } from "./body-source.js";
import type { RetryBudget } from "./retries.js";
import type { BodyForm, CallExtras, EncodedBody, Headers } from "./wire.js";

export const NO_NODES: readonly string[] = [];

/** Limits and options of a request. */
export interface CallTerms {
  readonly service: string;
  readonly extras: CallExtras | undefined;
  readonly body: EncodedBody;
  /** ms; negative: no limit. */
  readonly timeout: number;
  /** ms per attempt, of a streamed reply until its first part; negative: no limit. */
  readonly attemptTimeout: number;
  readonly retries: number;
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
  /** Whether it may be repeated if a node may have run it. */
  readonly idempotent: boolean;
  /** Whether to wait for a node that serves it. */
  readonly waitForReady: boolean;
  /** Whether this node may serve it. */
  readonly self: boolean;
  /** Target node; `undefined`: any that serves it. */
  readonly node: string | undefined;
}

/** Receives a request's results: parts, then one `reply`, `end` or `fail`. */
export interface CallSink {
  reply(form: BodyForm, body: Buffer, headers: Headers | undefined): void;
  /** @returns why the part is refused */
  part(form: BodyForm, body: Buffer): string | undefined;
  end(): void;
  fail(error: ShoalError): void;
  /** The request is over, before its result. */
  over?(): void;
}

export type CallState = "waiting" | "sent" | "backing-off" | "over";

export class Call implements Due {
  readonly terms: CallTerms;
  readonly sink: CallSink;
  /** Source of a streamed body, which is stopped when the request is over. */
  readonly source: BodySource | undefined;
  readonly target: Target;
  readonly link: Link<Call> = new Link(this);
  /** Its place in the queue for room, and the node's last-use order. */
  readonly place: Link<Call> = new Link(this);
  queue: RoomQueue | undefined = undefined;
  /** Time when it is given up; infinite: never. */
  readonly until: number;
  /** A buffer ending with the body, never modified: the program may reuse its bytes after the first attempt. */
  #kept: Buffer | undefined = undefined;
  deadline = 0;
  state: CallState = "waiting";
  /** Id of the current attempt. */
  id = 0;
  node: NodeLoad | undefined = undefined;
  sentAt = 0;
  retryAt = 0;
  /** Next time to ask the node whether it still has it, and the following interval in ms. */
  checkAt = 0;
  checkAfter = 0;
  /** Attempts, including refused ones. */
  sends = 0;
  /** The last attempt's node no longer serves it. */
  isUnserved = false;
  /** Counted attempts, which may have cost a node something. */
  attempts = 0;
  /** Whether a part of a streamed reply has arrived. */
  hasBegun = false;
  /** Whether parts of a streamed body may have been sent. */
  isGranted = false;
  /** How often its node could not be sent to. */
  holds = 0;
  tried: readonly string[] = NO_NODES;
  error: ShoalError | undefined = undefined;

  constructor(terms: CallTerms, sink: CallSink, source: BodySource | undefined, target: Target, now: number) {
    this.terms = terms;
    this.sink = sink;
    this.source = source;
    this.target = target;
    this.until = terms.timeout < 0 ? Number.POSITIVE_INFINITY : now + terms.timeout;
  }

  /** Bytes to send. */
  get body(): EncodedBody {
    const { body } = this.terms;
    const { data } = body;
    if (this.#kept === undefined || typeof data === "string") return body;
    return { form: body.form, data: this.#kept.subarray(this.#kept.length - data.length) };
  }

  /** An encoded item that contains the body. */
  keep(item: Buffer): void {
    this.#kept ??= item;
  }

  /** Copies the body before waiting without an attempt. */
  keepCopy(): void {
    const { data } = this.terms.body;
    if (typeof data !== "string") this.#kept ??= Buffer.from(data);
  }
}

/** Requests waiting for room, roughly in order of creation: refused ones are older than the rest. */
export class RoomQueue {
  /** By number of attempts. */
  readonly #lists: readonly LinkedList<Call>[] = [new LinkedList(), new LinkedList(), new LinkedList()];

  get first(): Call | undefined {
    const [others, refused, refusedAgain] = this.#lists;
    return refusedAgain?.first ?? refused?.first ?? others?.first;
  }

  has({ place }: Call): boolean {
    return place.list !== undefined && this.#lists.includes(place.list);
  }

  push(call: Call): void {
    call.queue = this;
    this.#listOf(call).push(call.place);
  }

  /** Restores the first one. */
  putBack(call: Call): void {
    this.#listOf(call).unshift(call.place);
  }

  #listOf({ sends }: Call): LinkedList<Call> {
    return this.#lists[Math.min(sends, this.#lists.length - 1)] as LinkedList<Call>;
  }
}

export interface Target {
  readonly name: string;
  readonly balancer: Balancer;
  readonly budget: RetryBudget;
  /** Requests waiting for room at any node, and at any other node. */
  readonly waiting: RoomQueue;
  readonly waitingForOthers: RoomQueue;
  candidates: readonly Candidate[];
}

/** With an idempotency key: another node would run it again. */
export function staysWithItsNode({ terms }: Call): boolean {
  return terms.node === undefined && terms.extras !== undefined && terms.extras.key !== "";
}

/** Whether its reply may be streamed. */
export function isStreamed({ terms }: Call): boolean {
  return terms.extras !== undefined && terms.extras.parts > 0;
}

/** ms left for the node; 0: no limit. */
export function timeoutOf(now: number, call: Call): number {
  const { attemptTimeout } = call.terms;
  // The limit until the first part, of reply or body, applies only here.
  const isOfStart = isStreamed(call) || call.terms.extras?.isStreamed === true;
  const limit = attemptTimeout < 0 || isOfStart ? Number.POSITIVE_INFINITY : attemptTimeout;
  const left = Math.min(call.until - now, limit);
  return left === Number.POSITIVE_INFINITY ? 0 : Math.max(1, Math.ceil(left));
}
