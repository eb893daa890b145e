/**
 * A service of this node: its requests wait for a slot, run in its handler, and are answered. Schemas are checked around
 * the handler.
 *
 *   CALL ──> queued ──a slot is free──> running ──reply──> replying ──the link has it──> over
 *     │         │ CANCEL, lost, late       │ CANCEL, lost, late: the signal aborts, and the reply is dropped
 *     v         v                          v
 *   refused: stopping, overloaded          over
 *
 * A refused request has not run. A slot is free when the link has the reply: a caller that does not read fills
 * only its own slots. Requests with the same idempotency key run once.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { invalidArgument, isAsyncIterable, isThenable, thrownText } from "../../core/arguments.js";
import { Link } from "../../core/collections/queues.js";
import { SendCredit } from "../../core/credit.js";
import { AbortedError, InvalidArgumentError } from "../../core/errors.js";
import { type StandardSchemaV1, validate } from "../../core/standard-schema.js";
import type { Clock, Due } from "../../core/timers.js";
import { ignore } from "../../core/waiter.js";
import {
  checkedRequest,
  checkSchema,
  contractHandler,
  eachPiece,
  type ServiceContract,
} from "../../kit/contract.js";
import {
  type FailureReason,
  failure,
  type HandlerFailure,
  refuse,
  type ServiceError,
} from "../../kit/errors.js";
import { CANCELLED, HandlerJob, HandlerRuntime, type Observed } from "../../kit/handler-runtime.js";
import { MAX_QUEUED_BYTES, MAX_QUEUED_ITEMS } from "../messaging/bounds.js";
import { dataBytes } from "../messaging/items.js";
import type { NodeQueues } from "../messaging/node-queues.js";
import type { Member } from "../node/member.js";
import type { ServeSettings } from "./options.js";
import { MAX_CHECK_AFTER, type ServeMiddleware, type ServiceRequest } from "./types.js";
import {
  type CallItem,
  decodeBody,
  type EncodedBody,
  encodeBody,
  encodeEnd,
  encodeFailure,
  encodePart,
  encodeReply,
  type Headers,
  type ServiceLoad,
} from "./wire.js";

// --- Handlers ----------------------------------------------------------------------------------------------

export type AnyHandler = (body: unknown, request: ServiceRequest) => unknown;

export interface Served {
  readonly handler: AnyHandler;
  /** Gets raw bytes. */
  readonly isRaw: boolean;
  /** Neither middleware nor observers see its requests. */
  readonly isInternal?: boolean;
}

/** A handler of `serve` by name, with its schema checked around it. */
export function byName(name: string, handler: unknown, { schema }: ServeSettings): Served {
  if (typeof handler !== "function")
    throw invalidArgument(`the handler of ${name} must be a function`, handler);
  const { request, reply } = schema ?? {};
  if (request !== undefined) checkSchema("schema.request", request);
  if (reply !== undefined) checkSchema("schema.reply", reply);
  return { isRaw: false, handler: checked(name, handler as AnyHandler, request, reply as never) };
}

export function byContract(contract: ServiceContract, handlers: unknown, { schema }: ServeSettings): Served {
  if (schema !== undefined) throw new InvalidArgumentError("a contract has its schemas; got schema as well");
  const call = contractHandler<ServiceContract, ServiceRequest>(contract, handlers as never);
  return {
    isRaw: true,
    handler: (body, request) => call([Buffer.from(request.method), body as Buffer], request),
  };
}

function checked(
  service: string,
  handler: AnyHandler,
  request: StandardSchemaV1 | undefined,
  reply: StandardSchemaV1 | undefined,
): AnyHandler {
  if (request === undefined && reply === undefined) return handler;
  const checkReply = (value: unknown): unknown => {
    if (reply === undefined) return value;
    if (isAsyncIterable(value)) return eachPiece(value, checkReply);
    const { issues } = validate(reply, value);
    if (issues === undefined) return value;
    throw refuse("invalid-reply", service, "The reply does not conform to its schema", {}, { cause: issues });
  };
  return (body, context) => {
    const value = request === undefined ? body : checkedRequest(request, body, service);
    const answer = handler(value, context);
    return isThenable(answer) ? answer.then(checkReply) : checkReply(answer);
  };
}

// --- Services ----------------------------------------------------------------------------------------------

export type ServingSettings = Omit<ServeSettings, "schema">;

/** What the services of a node share. */
export interface ServiceHost {
  /** A live member, including this node. */
  find(id: string): Member | undefined;
  handlerFailed(caller: Member, error: unknown): void;
  readonly queues: Pick<NodeQueues, "sendLater" | "answer">;
  readonly clock: Clock;
  readonly middleware: readonly ServeMiddleware[];
  /** A taken job is found by its caller and id until it is forgotten. */
  keep(job: Job, now: number): void;
  forget(job: Job): void;
  refuse(from: string, id: number, load: ServiceLoad, reason: FailureReason, text: string): void;
  count(reason: string): void;
}

const ABORT_REASONS = {
  cancelled: "the caller gave the request up",
  expired: "the caller's time is over",
  lost: "the caller's node is gone",
} as const;
type AbortReason = keyof typeof ABORT_REASONS;

/**
 * `joined`: waits for another's reply with the same idempotency key. `abandoned`: runs, and its caller no longer waits.
 * `replying`: its last item waits for the link.
 */
type JobState = "queued" | "joined" | "running" | "abandoned" | "replying" | "over";

export class Job extends HandlerJob implements Due, ServiceRequest {
  readonly from: string;
  readonly item: CallItem;
  readonly service: string;
  readonly method: string;
  readonly headers: Headers;
  readonly idempotencyKey: string;
  /** Both are set before its handler runs. */
  sender: Member = undefined as never;
  body: unknown = undefined;
  readonly owner: ServedService;
  /** Infinite: no limit. */
  readonly until: number;
  readonly link: Link<Job> = new Link<Job>(this);
  deadline = 0;
  state: JobState = "queued";
  /** When a silent caller of a streamed reply has given it up; infinite: never. */
  silentAt = Number.POSITIVE_INFINITY;
  /** Ends a wait for the link. Credit must not: each would queue another part. */
  leave: (() => void) | undefined = undefined;

  constructor(from: string, item: CallItem, owner: ServedService, now: number) {
    super();
    this.from = from;
    this.item = item;
    this.service = item.service;
    const { method, headers, key, parts, bytes } = item.extras;
    this.method = method;
    this.headers = headers;
    this.idempotencyKey = key;
    this.owner = owner;
    this.until = item.timeout === 0 ? Number.POSITIVE_INFINITY : now + item.timeout;
    if (parts === 0) return;
    this.credit = new SendCredit(parts, bytes);
    this.heard(now);
  }

  get remaining(): number {
    const left = this.until - this.owner.now();
    return left === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.floor(left));
  }

  /** The caller of a streamed reply waits, and asks again within `MAX_CHECK_AFTER`: two of its questions may be lost. */
  heard(now: number): void {
    if (this.credit !== undefined) this.silentAt = now + 3 * MAX_CHECK_AFTER;
  }

  override abort(reason: unknown): void {
    super.abort(reason);
    this.leave?.();
  }
}

interface Keyed {
  readonly digest: string;
  reply: EncodedBody | undefined;
  keptAt: number;
  bytes: number;
  /** `undefined`: ended. */
  job: Job | undefined;
  /** Jobs waiting for its reply. */
  joined: Set<Job> | undefined;
}

export class ServedService extends HandlerRuntime<Job> {
  readonly name: string;
  readonly #settings: ServingSettings;
  readonly #served: Served;
  readonly #host: ServiceHost;
  readonly keyed = new Map<string, Keyed>();
  #joined = 0;
  /** Bytes of queued and joined jobs. */
  queuedBytes = 0;
  #keptBytes = 0;
  #isDraining = false;
  handled = 0;
  failed = 0;
  refused = 0;
  abandoned = 0;

  constructor(name: string, settings: ServingSettings, served: Served, host: ServiceHost) {
    super(settings.concurrency);
    this.name = name;
    this.#settings = settings;
    this.#served = served;
    this.#host = host;
  }

  get load(): ServiceLoad {
    return { busy: this.running + this.queued, slots: this.#settings.concurrency };
  }

  now(): number {
    return this.#host.clock.now();
  }

  /** Refuses queued and new requests, for other nodes. Running ones continue. */
  drain(): void {
    this.#isDraining = true;
    for (let job = this.queue.shift(); job !== undefined; job = this.queue.shift()) {
      this.queuedBytes -= job.item.size;
      this.#refuseNew(job, "stopping", "the node is draining");
    }
  }

  receive(job: Job, now: number): void {
    const { maxQueue, maxQueueBytes, keepReplies } = this.#settings;
    const { size, extras } = job.item;
    const { key, parts } = extras;
    if (this.#isDraining) this.#refuseNew(job, "stopping", "the node is draining");
    else if (key !== "" && parts > 0)
      this.#refuseNew(job, "invalid-request", "a streamed reply has no idempotency key");
    else if (key !== "" && keepReplies > 0 && this.#byKey(job, now)) return;
    else if (!this.hasSlot && (this.queued >= maxQueue || this.queuedBytes + size > maxQueueBytes)) {
      this.refused += 1;
      this.#refuseNew(job, "overloaded", "too many requests wait");
    } else {
      this.#host.keep(job, now);
      if (!this.hasSlot) this.queuedBytes += size;
      this.take(job);
    }
  }

  abandon(job: Job, reason: AbortReason): void {
    const { state } = job;
    const keyed = job.item.extras.key === "" ? undefined : this.keyed.get(keyOf(job));
    job.link.unlink();
    this.abandoned += 1;
    if (state === "queued" || state === "joined") {
      this.queuedBytes -= job.item.size;
      if (state === "joined" && keyed !== undefined) this.#leave(job, keyed, reason);
      this.#settleKey(job, undefined);
      job.place.unlink();
      this.#over(job);
      return;
    }
    this.#host.forget(job);
    job.state = "abandoned";
    if ((keyed?.joined?.size ?? 0) === 0) job.abort(new AbortedError(ABORT_REASONS[reason]));
  }

  #leave(job: Job, { job: runs, joined }: Keyed, reason: AbortReason): void {
    joined?.delete(job);
    this.#joined -= 1;
    // It ran only for joined jobs.
    if (joined?.size === 0 && runs?.state === "abandoned")
      runs.abort(new AbortedError(ABORT_REASONS[reason]));
  }

  // --- Handlers --------------------------------------------------------------------------------------------------------

  protected override begin(job: Job): void {
    job.state = "running";
    const sender = this.#host.find(job.from);
    if (sender === undefined) {
      // Without a slot: its link may be full, and then has no room until the caller is back or forgotten.
      this.refuse(job, failure("stopping", "the caller is gone"));
      return;
    }
    job.sender = sender;
    super.begin(job);
  }

  protected override isWanted(job: Job): boolean {
    this.queuedBytes -= job.item.size;
    if (this.now() < job.until) return true;
    this.#settleKey(job, undefined);
    this.abandoned += 1;
    this.#over(job);
    return false;
  }

  protected override decode({ item }: Job): unknown {
    return this.#served.isRaw ? item.body : decodeBody(item.form, item.body);
  }

  /** Through middleware: the first is the outermost. */
  protected override handle(job: Job, body: unknown): unknown {
    const { handler, isInternal } = this.#served;
    const { middleware } = this.#host;
    job.body = body;
    if (isInternal === true || middleware.length === 0) return handler(body, job);
    return middleware.reduceRight<() => unknown>(
      (next, each) => () =>
        each(job, (...given) => {
          if (given.length > 0) [job.body] = given;
          return next();
        }),
      () => handler(job.body, job),
    )();
  }

  protected override properties({ service, method, headers }: Job): Observed {
    return this.#served.isInternal === true ? undefined : { system: "cluster", service, method, headers };
  }

  protected override report({ sender }: Job, error: unknown, isRequest: boolean): void {
    if (!isRequest) this.#host.handlerFailed(sender, error);
  }

  protected override reply(job: Job, value: unknown): void {
    let body: EncodedBody;
    try {
      body = encodeBody(value);
    } catch (error) {
      job.operation?.end(error);
      this.report(job, error, false);
      this.refuse(job, failure("invalid-reply", thrownText(error)));
      return;
    }
    this.#settleKey(job, body);
    if (this.#ends(job)) return;
    this.handled += 1;
    this.#finish(job, encodeReply(job.item.id, this.#loadAfter(job), body));
  }

  protected override streams({ service, credit }: Job, parts: AsyncIterable<unknown>): SendCredit {
    if (credit === undefined) throw unasked(service, parts);
    return credit;
  }

  protected override part(job: Job, value: unknown): Promise<HandlerFailure | undefined> {
    const body = encodeBody(value);
    job.credit?.sent(dataBytes(body.data));
    return new Promise((resolve) => {
      job.leave = () => resolve(job.state === "running" ? undefined : CANCELLED);
      this.#host.queues.sendLater(job.from, encodePart(job.item.id, body), (result) => {
        if (result !== "sent") job.operation?.end(new Error(`a part of the reply is ${result}`));
        if (result === "too-large")
          this.refuse(job, failure("too-large", "a part of the reply is larger than a message may be"));
        else if (result === "unreachable") this.#over(job);
        else if (result === "dropped") this.#overUnread(job);
        job.leave?.();
      });
    });
  }

  protected override end(job: Job): void {
    if (this.#ends(job)) return;
    this.handled += 1;
    this.#finish(job, encodeEnd(job.item.id, this.#loadAfter(job)));
  }

  protected override refuse(job: Job, { reason, text, details }: HandlerFailure): void {
    this.#settleKey(job, undefined);
    if (this.#ends(job)) return;
    this.failed += 1;
    this.#finish(job, encodeFailure(job.item.id, this.#loadAfter(job), reason, text, details));
  }

  // --- Results ---------------------------------------------------------------------------------------------------------

  #ends(job: Job): boolean {
    if (job.state === "running") return false;
    if (job.state === "abandoned") this.#over(job);
    return true;
  }

  #finish(job: Job, item: Buffer): void {
    const { queues } = this.#host;
    this.#host.forget(job);
    job.state = "replying";
    queues.sendLater(job.from, item, (result) => {
      if (result === "too-large") this.#refuseLarge(job, item);
      else if (result === "unreachable") this.#host.count("reply");
      if (result === "dropped") this.#overUnread(job);
      else this.release(job);
    });
  }

  #refuseLarge({ from, item }: Job, { length }: Buffer): void {
    const text = `the reply of ${length} bytes is larger than a message may be`;
    this.#host.refuse(from, item.id, this.load, "too-large", text);
  }

  /** The reply of another request with its key. */
  #answerAgain(job: Job, reply: EncodedBody): void {
    const item = encodeReply(job.item.id, this.load, reply);
    this.#host.queues.answer(job.from, item, (result) => {
      if (result === "too-large") this.#refuseLarge(job, item);
    });
  }

  /** The small refusal may still fit. */
  #overUnread(job: Job): void {
    this.#over(job);
    const text = `its node reads too slowly: at most ${MAX_QUEUED_ITEMS} items of ${MAX_QUEUED_BYTES} bytes may wait for it`;
    const refusal = encodeFailure(job.item.id, this.load, "slow-reader", text);
    this.#host.queues.sendLater(job.from, refusal, ignore);
  }

  #over(job: Job): void {
    this.#host.forget(job);
    this.release(job);
  }

  protected override release(job: Job): void {
    job.state = "over";
    super.release(job);
  }

  #refuseNew(job: Job, reason: FailureReason, text: string): void {
    this.#host.forget(job);
    this.#settleKey(job, undefined);
    job.state = "over";
    this.#host.refuse(job.from, job.item.id, this.load, reason, text);
  }

  /** Without the answered request. */
  #loadAfter({ hasSlot }: Job): ServiceLoad {
    const { busy, slots } = this.load;
    return { busy: hasSlot ? busy - 1 : busy, slots };
  }

  // --- Idempotency -------------------------------------------------------------------------------------------------------

  /** @returns whether a request with its key answers it */
  #byKey(job: Job, now: number): boolean {
    const { item } = job;
    const digest = digestOf(item);
    const key = keyOf(job);
    const known = this.keyed.get(key);
    const isOld = known?.reply !== undefined && this.#isOld(known);
    if (known === undefined || isOld) {
      if (known !== undefined) this.#forgetKey(key, known);
      this.#evictKeys();
      this.keyed.set(key, { digest, reply: undefined, keptAt: 0, bytes: 0, job, joined: undefined });
      return false;
    }
    const { maxQueue, maxQueueBytes } = this.#settings;
    if (known.digest !== digest)
      this.#refuseNew(job, "duplicate", "another request had this idempotency key");
    else if (known.reply !== undefined) this.#answerAgain(job, known.reply);
    else if (this.#joined >= maxQueue || this.queuedBytes + item.size > maxQueueBytes)
      this.#refuseNew(job, "overloaded", "too many requests wait");
    else {
      known.joined ??= new Set();
      known.joined.add(job);
      this.#host.keep(job, now);
      job.state = "joined";
      this.#joined += 1;
      this.queuedBytes += item.size;
    }
    return true;
  }

  /** Joined jobs get the reply; `undefined`: they are refused. */
  #settleKey(job: Job, reply: EncodedBody | undefined): void {
    if (job.item.extras.key === "") return;
    const key = keyOf(job);
    const known = this.keyed.get(key);
    if (known === undefined || known.reply !== undefined || known.job !== job) return;
    const others = [...(known.joined ?? [])];
    this.#joined -= others.length;
    for (const each of others) this.queuedBytes -= each.item.size;
    known.job = undefined;
    known.joined = undefined;
    // Newest last.
    this.keyed.delete(key);
    if (reply === undefined) {
      for (const each of others)
        this.#refuseNew(each, "overloaded", "the request with this idempotency key failed");
      return;
    }
    known.reply = kept(reply);
    known.keptAt = this.now();
    known.bytes = dataBytes(reply.data);
    this.#keptBytes += known.bytes;
    this.keyed.set(key, known);
    this.#evictKeys();
    for (const each of others) {
      this.#host.forget(each);
      each.state = "over";
      this.handled += 1;
      this.#answerAgain(each, reply);
    }
  }

  #isOld({ keptAt }: Keyed): boolean {
    return this.now() - keptAt >= this.#settings.keepReplies;
  }

  #evictKeys(): void {
    for (const [key, known] of this.keyed) {
      const isPast = this.keyed.size > 10_000 || this.#keptBytes > 16_777_216;
      if (!isPast && (known.reply === undefined || !this.#isOld(known))) break;
      // Running ones are bounded by slots.
      if (known.reply !== undefined) this.#forgetKey(key, known);
    }
  }

  #forgetKey(key: string, known: Keyed): void {
    this.keyed.delete(key);
    this.#keptBytes -= known.bytes;
  }
}

/** The length first: both texts may contain any characters. */
function keyOf({ item: { extras } }: Job): string {
  return `${extras.method.length} ${extras.method}${extras.key}`;
}

/** SHA-256: callers choose bodies, and a collision must not get another's reply. */
function digestOf({ form, body }: CallItem): string {
  return createHash("sha256").update(Uint8Array.of(form)).update(body).digest("base64");
}

/** The program may reuse its bytes. */
function kept({ form, data }: EncodedBody): EncodedBody {
  return { form, data: typeof data === "string" ? data : Buffer.from(data) };
}

function unasked(service: string, parts: AsyncIterable<unknown>): ServiceError {
  // A stream that is not read keeps its file open, and its error would end the process.
  if (parts instanceof Readable) parts.on("error", ignore).destroy();
  return refuse("invalid-request", service, "the reply comes in parts: it is asked for by requestStream");
}
