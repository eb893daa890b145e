/**
 * State machine of a serving node: concurrency, queue, refusals, early ends.
 *
 *   CALL ──> queued ──a slot is free──> running ──reply──> replying ──the link has it──> over
 *     │         │ CANCEL, lost, late       │ CANCEL, lost, late: the signal aborts, and the reply is dropped
 *     v         v                          v
 *   refused: no-service, stopping, overloaded       over
 *
 * A refused request has not run. A slot is free when the link has the reply: a caller that does not read fills
 * only its own slots. Requests with the same idempotency key run once.
 */

import { createHash } from "node:crypto";
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { NumberTable } from "../../core/collections/number-table.js";
import { SendCredit } from "../../core/credit.js";
import { Deadlines, type Due } from "../../core/deadlines.js";
import { IdleWaits } from "../../core/idle-waits.js";
import type { FailureReason } from "../../patterns/kit/errors.js";
import { MAX_QUEUED_BYTES, MAX_QUEUED_ITEMS } from "../messaging/bounds.js";
import { dataBytes } from "../messaging/items.js";
import type { NodeQueues } from "../messaging/node-queues.js";
import { MAX_SILENCE } from "./bounds.js";
import type { ServeSettings } from "./options.js";
import {
  type CallItem,
  type CreditItem,
  type EncodedBody,
  encodeEnd,
  encodeFailure,
  encodePart,
  encodeReply,
  encodeSign,
  type RequestItem,
  RequestOp,
  type ServiceLoad,
} from "./wire.js";

export type ServingSettings = Omit<ServeSettings, "schema">;

/** Runs the handlers. */
export interface JobRunner {
  /** Ends with `reply`, `part`, `end` or `fail`. */
  start(job: Job): void;
  /** Aborts the handler's signal. */
  aborted(job: Job, reason: "cancelled" | "expired" | "lost"): void;
}

/**
 * `joined`: waits for another's reply with the same idempotency key. `abandoned`: runs, and its caller no longer waits.
 * `replying`: its last item waits for the link.
 */
type JobState = "queued" | "joined" | "running" | "abandoned" | "replying" | "over";

export class Job implements Due {
  readonly from: string;
  readonly item: CallItem;
  readonly service: ServedQueue;
  /** Infinite: no limit. */
  readonly until: number;
  readonly link: Link<Job> = new Link(this);
  readonly place: Link<Job> = new Link(this);
  deadline = 0;
  state: JobState = "queued";
  holdsSlot = false;
  /** Credit of a streamed reply. */
  readonly credit: SendCredit | undefined;
  /** When a silent caller of a streamed reply has given it up; infinite: never. */
  silentAt = Number.POSITIVE_INFINITY;
  context: unknown = undefined;

  constructor(from: string, item: CallItem, service: ServedQueue, now: number) {
    this.from = from;
    this.item = item;
    this.service = service;
    this.until = item.timeout === 0 ? Number.POSITIVE_INFINITY : now + item.timeout;
    this.credit = item.parts > 0 ? new SendCredit(item.parts, item.bytes) : undefined;
    if (this.credit !== undefined) this.silentAt = now + MAX_SILENCE;
  }

  /** Its caller waits. */
  heard(now: number): void {
    if (this.silentAt !== Number.POSITIVE_INFINITY) this.silentAt = now + MAX_SILENCE;
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

export class ServedQueue {
  readonly name: string;
  readonly settings: ServingSettings;
  readonly queue = new LinkedList<Job>();
  readonly keyed = new Map<string, Keyed>();
  running = 0;
  joined = 0;
  /** Bytes of queued and joined jobs. */
  queuedBytes = 0;
  keptBytes = 0;
  isDraining = false;
  isStarting = false;
  handled = 0;
  failed = 0;
  refused = 0;
  abandoned = 0;
  readonly idle = new IdleWaits();
  context: unknown = undefined;

  constructor(name: string, settings: ServingSettings) {
    this.name = name;
    this.settings = settings;
  }

  get queued(): number {
    return this.queue.length;
  }

  get isIdle(): boolean {
    return this.running === 0 && this.queued === 0;
  }

  whenIdle(): Promise<void> {
    return this.idle.wait(this.isIdle);
  }

  get load(): ServiceLoad {
    return { busy: this.running + this.queued, slots: this.settings.concurrency };
  }
}

export class RequestServing {
  readonly refused: Record<string, number> = {};
  readonly #runner: JobRunner;
  readonly #queues: Pick<NodeQueues, "sendLater" | "answer">;
  readonly #services = new Map<string, ServedQueue>();
  /** Jobs by caller and id. */
  readonly #jobs = new Map<string, NumberTable<Job>>();
  readonly #deadlines = new Deadlines<Job>();
  #now = 0;

  constructor(runner: JobRunner, queues: Pick<NodeQueues, "sendLater" | "answer">) {
    this.#runner = runner;
    this.#queues = queues;
  }

  add(name: string, settings: ServingSettings): ServedQueue {
    const service = new ServedQueue(name, settings);
    this.#services.set(name, service);
    return service;
  }

  /** Refuses queued and new requests, for other nodes. */
  drain(service: ServedQueue): void {
    service.isDraining = true;
    for (let job = service.queue.shift(); job !== undefined; job = service.queue.shift()) {
      service.queuedBytes -= job.item.body.length;
      this.#refuseJob(job, "stopping", "the node is draining");
    }
    if (service.isIdle) service.idle.end();
  }

  /** Running requests continue. */
  remove(service: ServedQueue): void {
    if (!service.isDraining) this.drain(service);
    if (this.#services.get(service.name) === service) this.#services.delete(service.name);
  }

  /** @returns whether it is a caller's */
  onItem(now: number, from: string, item: RequestItem): boolean {
    this.#now = now;
    switch (item.op) {
      case RequestOp.CALL:
        this.#onCall(now, from, item);
        return true;
      case RequestOp.CREDIT:
        this.#onCredit(from, item);
        return true;
      case RequestOp.CANCEL: {
        const job = this.#jobOf(from, item.id);
        if (job !== undefined) this.#abandon(job, "cancelled");
        return true;
      }
      case RequestOp.CHECK: {
        const job = this.#jobOf(from, item.id);
        job?.heard(now);
        if (job !== undefined) return true;
        this.#count("gone");
        this.#queues.answer(from, encodeSign(RequestOp.GONE, item.id));
        return true;
      }
      default:
        return false;
    }
  }

  #jobOf(from: string, id: number): Job | undefined {
    return this.#jobs.get(from)?.get(id);
  }

  #onCall(now: number, from: string, item: CallItem): void {
    const service = this.#services.get(item.service);
    if (service === undefined) {
      this.#refuseCall(from, item, { busy: 0, slots: 0 }, "no-service", "this node does not serve it");
      return;
    }
    if (service.isDraining) {
      this.#refuseCall(from, item, service.load, "stopping", "the node is draining");
      return;
    }
    if (this.#jobOf(from, item.id) !== undefined) {
      this.#count("again");
      return;
    }
    const { concurrency, maxQueue, maxQueueBytes, keepReplies } = service.settings;
    const job = new Job(from, item, service, now);
    if (item.key !== "" && item.parts > 0) {
      this.#refuseJob(job, "invalid-request", "a streamed reply has no idempotency key");
      return;
    }
    if (item.key !== "" && keepReplies > 0 && this.#byKey(job)) return;
    if (service.running < concurrency) {
      this.#take(now, job);
      this.#start(job);
      return;
    }
    if (service.queued >= maxQueue || service.queuedBytes + item.body.length > maxQueueBytes) {
      service.refused += 1;
      this.#refuseJob(job, "overloaded", "too many requests wait");
      return;
    }
    this.#take(now, job);
    service.queue.push(job.place);
    service.queuedBytes += item.body.length;
  }

  #onCredit(from: string, { id, parts, bytes }: CreditItem): void {
    const job = this.#jobOf(from, id);
    if (job?.credit === undefined) return;
    job.heard(this.#now);
    job.credit.granted(parts, bytes);
  }

  onGone(now: number, from: string): void {
    this.#now = now;
    for (const job of this.#jobs.get(from)?.values() ?? []) this.#abandon(job, "lost");
    this.#jobs.delete(from);
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  tick(now: number): void {
    this.#now = now;
    for (const job of this.#deadlines.take(now)) {
      if (now >= job.until) this.#abandon(job, "expired");
      // A caller that considered this node lost during a pause sends no credit and no CANCEL.
      else if (now >= job.silentAt) this.#abandon(job, "lost");
      else this.#schedule(now, job);
    }
  }

  // --- Results -----------------------------------------------------------------------------------------------------------

  reply(now: number, job: Job, body: EncodedBody): void {
    this.#now = now;
    this.#settleKey(job, body);
    if (this.#ends(job)) return;
    job.service.handled += 1;
    this.#finish(job, encodeReply(job.item.id, loadAfter(job), body));
  }

  /** @param done called when the next may be sent, or the job is over */
  part(job: Job, body: EncodedBody, done: () => void): void {
    if (job.state !== "running") {
      done();
      return;
    }
    job.credit?.sent(dataBytes(body.data));
    this.#queues.sendLater(job.from, encodePart(job.item.id, body), (result) => {
      if (result === "too-large")
        this.fail(this.#now, job, "too-large", "a part of the reply is larger than a message may be");
      else if (result === "unreachable") this.#over(job);
      else if (result === "dropped") this.#overUnread(job);
      done();
    });
  }

  end(now: number, job: Job): void {
    this.#now = now;
    if (this.#ends(job)) return;
    job.service.handled += 1;
    this.#finish(job, encodeEnd(job.item.id, loadAfter(job)));
  }

  fail(now: number, job: Job, reason: FailureReason, text: string, details?: Uint8Array): void {
    this.#now = now;
    this.#settleKey(job, undefined);
    if (this.#ends(job)) return;
    job.service.failed += 1;
    this.#finish(job, encodeFailure(job.item.id, loadAfter(job), reason, text, details));
  }

  #ends(job: Job): boolean {
    if (job.state === "running") return false;
    if (job.state === "abandoned") this.#over(job);
    return true;
  }

  #finish(job: Job, item: Buffer): void {
    this.#forget(job);
    job.state = "replying";
    this.#queues.sendLater(job.from, item, (result) => {
      if (result === "too-large") {
        this.#count("too-large");
        const text = `the reply of ${item.length} bytes is larger than a message may be`;
        this.#queues.answer(job.from, encodeFailure(job.item.id, job.service.load, "too-large", text));
      } else if (result === "unreachable") this.#count("reply");
      if (result === "dropped") this.#overUnread(job);
      else this.#release(job);
    });
  }

  /** The small refusal may still fit. */
  #overUnread(job: Job): void {
    this.#over(job);
    const text = `its node reads too slowly: at most ${MAX_QUEUED_ITEMS} items of ${MAX_QUEUED_BYTES} bytes may wait for it`;
    const refusal = encodeFailure(job.item.id, job.service.load, "slow-reader", text);
    this.#queues.sendLater(job.from, refusal, () => undefined);
  }

  // --- Jobs ------------------------------------------------------------------------------------------------------------

  #take(now: number, job: Job): void {
    let jobs = this.#jobs.get(job.from);
    if (jobs === undefined) {
      jobs = new NumberTable();
      this.#jobs.set(job.from, jobs);
    }
    jobs.set(job.item.id, job);
    this.#schedule(now, job);
  }

  #schedule(now: number, job: Job): void {
    const next = Math.min(job.until, job.silentAt);
    if (next !== Number.POSITIVE_INFINITY) this.#deadlines.set(job.link, now, Math.round(next - now));
  }

  #start(job: Job): void {
    job.state = "running";
    job.holdsSlot = true;
    job.service.running += 1;
    this.#runner.start(job);
  }

  #abandon(job: Job, reason: "cancelled" | "expired" | "lost"): void {
    const { service, state } = job;
    const keyed = job.item.key === "" ? undefined : service.keyed.get(keyOf(job));
    job.link.unlink();
    service.abandoned += 1;
    if (state === "queued" || state === "joined") {
      service.queuedBytes -= job.item.body.length;
      if (state === "joined" && keyed !== undefined) this.#leave(job, keyed, reason);
      this.#settleKey(job, undefined);
      this.#over(job);
      job.place.unlink();
      return;
    }
    this.#forget(job);
    job.state = "abandoned";
    if ((keyed?.joined?.size ?? 0) === 0) this.#runner.aborted(job, reason);
  }

  #leave(job: Job, { job: runs, joined }: Keyed, reason: "cancelled" | "expired" | "lost"): void {
    joined?.delete(job);
    job.service.joined -= 1;
    // It ran only for joined jobs.
    if (joined?.size === 0 && runs?.state === "abandoned") this.#runner.aborted(runs, reason);
  }

  #over(job: Job): void {
    this.#forget(job);
    this.#release(job);
  }

  #forget(job: Job): void {
    job.link.unlink();
    const jobs = this.#jobs.get(job.from);
    if (jobs?.get(job.item.id) !== job) return;
    // Removing empty maps would dominate a request's cost.
    jobs.delete(job.item.id);
  }

  #release(job: Job): void {
    job.state = "over";
    if (!job.holdsSlot) return;
    job.holdsSlot = false;
    const { service } = job;
    service.running -= 1;
    // The loop that started them continues.
    if (service.isStarting) return;
    service.isStarting = true;
    while (service.running < service.settings.concurrency) {
      const next = service.queue.shift();
      if (next === undefined) break;
      service.queuedBytes -= next.item.body.length;
      if (this.#now >= next.until) {
        this.#settleKey(next, undefined);
        service.abandoned += 1;
        this.#over(next);
        continue;
      }
      this.#start(next);
    }
    service.isStarting = false;
    if (service.isIdle) service.idle.end();
  }

  // --- Idempotency -------------------------------------------------------------------------------------------------------

  /** @returns whether a request with its key answers it */
  #byKey(job: Job): boolean {
    const { service, item } = job;
    const digest = digestOf(item);
    const key = keyOf(job);
    const known = service.keyed.get(key);
    const isOld = known?.reply !== undefined && this.#now - known.keptAt >= service.settings.keepReplies;
    if (known === undefined || isOld) {
      if (known !== undefined) this.#forgetKey(service, key, known);
      this.#evictKeys(service);
      service.keyed.set(key, {
        digest,
        reply: undefined,
        keptAt: this.#now,
        bytes: 0,
        job,
        joined: undefined,
      });
      return false;
    }
    if (known.digest !== digest) {
      this.#refuseJob(job, "duplicate", "another request had this idempotency key");
      return true;
    }
    if (known.reply !== undefined) {
      this.#queues.answer(job.from, encodeReply(item.id, service.load, known.reply));
      return true;
    }
    const { maxQueue, maxQueueBytes } = service.settings;
    if (service.joined >= maxQueue || service.queuedBytes + item.body.length > maxQueueBytes) {
      this.#refuseJob(job, "overloaded", "too many requests wait");
      return true;
    }
    known.joined ??= new Set();
    known.joined.add(job);
    this.#take(this.#now, job);
    job.state = "joined";
    service.joined += 1;
    service.queuedBytes += item.body.length;
    return true;
  }

  /** Joined jobs get the reply; `undefined`: they are refused. */
  #settleKey(job: Job, reply: EncodedBody | undefined): void {
    const { service, item } = job;
    if (item.key === "") return;
    const key = keyOf(job);
    const known = service.keyed.get(key);
    if (known === undefined || known.reply !== undefined || known.job !== job) return;
    const others = [...(known.joined ?? [])];
    service.joined -= others.length;
    for (const each of others) service.queuedBytes -= each.item.body.length;
    known.job = undefined;
    known.joined = undefined;
    if (reply === undefined) {
      service.keyed.delete(key);
      for (const each of others) {
        this.#forget(each);
        this.#refuseJob(each, "overloaded", "the request with this idempotency key failed");
      }
      return;
    }
    known.reply = kept(reply);
    known.keptAt = this.#now;
    known.bytes = dataBytes(reply.data);
    service.keptBytes += known.bytes;
    // Newest last.
    service.keyed.delete(key);
    service.keyed.set(key, known);
    this.#evictKeys(service);
    for (const each of others) {
      this.#forget(each);
      each.state = "over";
      service.handled += 1;
      this.#queues.answer(each.from, encodeReply(each.item.id, service.load, reply));
    }
  }

  #evictKeys(service: ServedQueue): void {
    for (const [key, known] of service.keyed) {
      const isOld = known.reply !== undefined && this.#now - known.keptAt >= service.settings.keepReplies;
      const isPast = service.keyed.size > 10_000 || service.keptBytes > 16_777_216;
      if (!isOld && !isPast) break;
      // Running ones are bounded by slots.
      if (known.reply !== undefined) this.#forgetKey(service, key, known);
    }
  }

  #forgetKey(service: ServedQueue, key: string, known: Keyed): void {
    service.keyed.delete(key);
    service.keptBytes -= known.bytes;
  }

  // --- Refusals ----------------------------------------------------------------------------------------------------------

  #refuseJob(job: Job, reason: FailureReason, text: string): void {
    this.#forget(job);
    this.#settleKey(job, undefined);
    job.state = "over";
    this.#refuseCall(job.from, job.item, job.service.load, reason, text);
  }

  #refuseCall(from: string, { id }: CallItem, load: ServiceLoad, reason: FailureReason, text: string): void {
    this.#count(reason);
    this.#queues.answer(from, encodeFailure(id, load, reason, text));
  }

  #count(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }
}

/** Load without the answered request. */
function loadAfter({ service, holdsSlot }: Job): ServiceLoad {
  const { busy, slots } = service.load;
  return { busy: holdsSlot ? busy - 1 : busy, slots };
}

/** The length first: both texts may contain any characters. */
function keyOf({ item }: Job): string {
  return `${item.method.length} ${item.method}${item.key}`;
}

/** SHA-256: callers choose bodies, and a collision must not get another's reply. */
function digestOf({ form, body }: CallItem): string {
  return createHash("sha256").update(Uint8Array.of(form)).update(body).digest("base64");
}

/** The program may reuse its bytes. */
function kept({ form, data }: EncodedBody): EncodedBody {
  return { form, data: typeof data === "string" ? data : Buffer.from(data) };
}
