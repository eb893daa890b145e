/** A request under way: what it is, what has become of it, and where what comes of it goes. The rules are in calls.ts. */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import type { Due } from "../../core/deadlines.js";
import type { ShoalError } from "../../core/errors.js";
import type { Balancer, Candidate, NodeLoad } from "./balancer.js";
import type { RetryBudget } from "./retries.js";
import type { BodyForm, CallExtras, EncodedBody, Headers } from "./wire.js";

export const NO_NODES: readonly string[] = [];

/** What a request is, and how far it may go. */
export interface CallTerms {
  readonly service: string;
  readonly extras: CallExtras | undefined;
  readonly body: EncodedBody;
  /** ms; negative: no limit. */
  readonly timeout: number;
  /** ms of one attempt, of a streamed reply until its first part; negative: no limit. */
  readonly attemptTimeout: number;
  readonly retries: number;
  readonly retryDelay: number;
  readonly maxRetryDelay: number;
  /** Whether it may be repeated where a node may have run it. */
  readonly idempotent: boolean;
  /** Whether it waits for a node that serves it. */
  readonly waitForReady: boolean;
  /** Whether this node may serve it. */
  readonly self: boolean;
  /** The node that it is for; `undefined`: one of those that serve it. */
  readonly node: string | undefined;
}

/** Where what comes of a request goes: parts, and then one `reply`, `end` or `fail`. */
export interface CallSink {
  reply(form: BodyForm, body: Buffer, headers: Headers | undefined): void;
  /** @returns why the part is refused */
  part(form: BodyForm, body: Buffer): string | undefined;
  end(): void;
  fail(error: ShoalError): void;
  /** So much of the streamed body may be sent; 0 and 0: no more of it is read. Absent: there is none. */
  granted?(parts: number, bytes: number): void;
}

export type CallState = "waiting" | "sent" | "backing-off" | "over";

/** A request under way. */
export class Call implements Due {
  readonly terms: CallTerms;
  readonly sink: CallSink;
  readonly target: Target;
  readonly link: Link<Call> = new Link(this);
  /** Among those that wait for room at a node, and with whom it did last. */
  readonly place: Link<Call> = new Link(this);
  queue: RoomQueue | undefined = undefined;
  readonly bytes: number;
  /** When it is given up; infinite: never. */
  readonly until: number;
  /** Ends with the body, and is never changed: the program may use its bytes again after the first attempt. */
  #kept: Buffer | undefined = undefined;
  deadline = 0;
  state: CallState = "waiting";
  /** Of the attempt under way. */
  id = 0;
  node: NodeLoad | undefined = undefined;
  sentAt = 0;
  retryAt = 0;
  /** When its node is asked whether it still has it, and ms until it is asked after that. */
  checkAt = 0;
  checkAfter = 0;
  /** Attempts, those included that were refused. */
  sends = 0;
  /** The last attempt was refused by a node that serves it no more. */
  isUnserved = false;
  /** Attempts that were counted: those that may have cost a node something. */
  attempts = 0;
  /** Whether a part of a streamed reply came. */
  hasBegun = false;
  /** Whether parts of a streamed body may have been sent. */
  isGranted = false;
  /** How often its node could not be sent to. */
  holds = 0;
  tried: readonly string[] = NO_NODES;
  error: ShoalError | undefined = undefined;

  constructor(terms: CallTerms, sink: CallSink, target: Target, bytes: number, now: number) {
    this.terms = terms;
    this.sink = sink;
    this.target = target;
    this.bytes = bytes;
    this.until = terms.timeout < 0 ? Number.POSITIVE_INFINITY : now + terms.timeout;
  }

  /** What is sent, also again. */
  get body(): EncodedBody {
    const { body } = this.terms;
    const { data } = body;
    if (this.#kept === undefined || typeof data === "string") return body;
    return { form: body.form, data: this.#kept.subarray(this.#kept.length - data.length) };
  }

  /** An item that was made of it. */
  keep(item: Buffer): void {
    this.#kept ??= item;
  }

  /** Before it waits without an attempt. */
  keepCopy(): void {
    const { data } = this.terms.body;
    if (typeof data !== "string") this.#kept ??= Buffer.from(data);
  }
}

/** Requests that wait for room, nearly in the order in which they were made: those that were sent, and refused, are older than the others. */
export class RoomQueue {
  /** By how often they were sent. */
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

  /** It was the first, and remains that. */
  putBack(call: Call): void {
    this.#listOf(call).unshift(call.place);
  }

  #listOf({ sends }: Call): LinkedList<Call> {
    return this.#lists[Math.min(sends, this.#lists.length - 1)] as LinkedList<Call>;
  }
}

/** A service that this node has called. */
export interface Target {
  readonly name: string;
  readonly balancer: Balancer;
  readonly budget: RetryBudget;
  /** Requests that wait for room at any node; at any other node than this one. */
  readonly waiting: RoomQueue;
  readonly waitingForOthers: RoomQueue;
  candidates: readonly Candidate[];
}

/** With an idempotency key: another node would run it as well. */
export function staysWithItsNode({ terms }: Call): boolean {
  return terms.node === undefined && terms.extras !== undefined && terms.extras.key !== "";
}

/** Whether its reply may come in parts. */
export function isStreamed({ terms }: Call): boolean {
  return terms.extras !== undefined && terms.extras.parts > 0;
}

/** ms that the node has for it; 0: no limit. */
export function timeoutOf(now: number, call: Call): number {
  const { attemptTimeout } = call.terms;
  // The first part, of the reply or of the body, has a limit here alone.
  const isOfStart = isStreamed(call) || call.terms.extras?.isStreamed === true;
  const limit = attemptTimeout < 0 || isOfStart ? Number.POSITIVE_INFINITY : attemptTimeout;
  const left = Math.min(call.until - now, limit);
  return left === Number.POSITIVE_INFINITY ? 0 : Math.max(1, Math.ceil(left));
}
