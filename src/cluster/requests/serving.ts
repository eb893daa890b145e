/** Requests of other nodes at the services of this one: by caller and id, with their deadlines. */

import { NumberTable } from "../../core/collections/number-table.js";
import { type Clock, Deadlines } from "../../core/timers.js";
import type { FailureReason } from "../../kit/errors.js";
import { Job, type ServedService, type ServiceHost, type ServingEffects } from "./service.js";
import type { ServeMiddleware } from "./types.js";
import {
  type CallItem,
  encodeFailure,
  encodeSign,
  type RequestItem,
  RequestOp,
  type ServiceLoad,
} from "./wire.js";

export class RequestServing implements ServiceHost {
  readonly refused: Record<string, number> = {};
  readonly effects: ServingEffects;
  readonly queues: ServiceHost["queues"];
  readonly clock: Clock;
  /** Replaced, not changed. */
  middleware: readonly ServeMiddleware[] = [];
  readonly #serviceOf: (name: string) => ServedService | undefined;
  /** By caller and id. */
  readonly #jobs = new Map<string, NumberTable<Job>>();
  readonly #deadlines = new Deadlines<Job>();

  constructor(
    effects: ServingEffects,
    queues: ServiceHost["queues"],
    clock: Clock,
    serviceOf: (name: string) => ServedService | undefined,
  ) {
    this.effects = effects;
    this.queues = queues;
    this.clock = clock;
    this.#serviceOf = serviceOf;
  }

  /** @returns whether it is a caller's */
  onItem(now: number, from: string, item: RequestItem): boolean {
    const job = item.op === RequestOp.CALL ? undefined : this.#jobOf(from, item.id);
    switch (item.op) {
      case RequestOp.CALL:
        this.#onCall(now, from, item);
        return true;
      case RequestOp.CREDIT:
        if (job?.credit === undefined) return true;
        job.heard(now);
        job.credit.granted(item.parts, item.bytes);
        return true;
      case RequestOp.CANCEL:
        job?.owner.abandon(job, "cancelled");
        return true;
      case RequestOp.CHECK:
        job?.heard(now);
        if (job !== undefined) return true;
        this.count("gone");
        this.queues.answer(from, encodeSign(RequestOp.GONE, item.id));
        return true;
      default:
        return false;
    }
  }

  #jobOf(from: string, id: number): Job | undefined {
    return this.#jobs.get(from)?.get(id);
  }

  #onCall(now: number, from: string, item: CallItem): void {
    const service = this.#serviceOf(item.service);
    if (service === undefined)
      this.refuse(from, item.id, { busy: 0, slots: 0 }, "no-service", "this node does not serve it");
    else if (this.#jobOf(from, item.id) !== undefined) this.count("again");
    else service.receive(new Job(from, item, service, now), now);
  }

  onGone(from: string): void {
    for (const job of this.#jobs.get(from)?.values() ?? []) job.owner.abandon(job, "lost");
    this.#jobs.delete(from);
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  tick(now: number): void {
    for (const job of this.#deadlines.take(now)) {
      if (now >= job.until) job.owner.abandon(job, "expired");
      // A caller that considered this node lost during a pause sends no credit and no CANCEL.
      else if (now >= job.silentAt) job.owner.abandon(job, "lost");
      else this.#schedule(now, job);
    }
  }

  #schedule(now: number, job: Job): void {
    const next = Math.min(job.until, job.silentAt);
    if (next !== Number.POSITIVE_INFINITY) this.#deadlines.set(job.link, now, Math.round(next - now));
  }

  // --- What services call ----------------------------------------------------------------------------------------------

  keep(job: Job, now: number): void {
    let jobs = this.#jobs.get(job.from);
    if (jobs === undefined) {
      jobs = new NumberTable();
      this.#jobs.set(job.from, jobs);
    }
    jobs.set(job.item.id, job);
    this.#schedule(now, job);
  }

  forget(job: Job): void {
    job.link.unlink();
    const jobs = this.#jobs.get(job.from);
    // Removing empty maps would dominate a request's cost.
    if (jobs?.get(job.item.id) === job) jobs.delete(job.item.id);
  }

  refuse(from: string, id: number, load: ServiceLoad, reason: FailureReason, text: string): void {
    this.count(reason);
    this.queues.answer(from, encodeFailure(id, load, reason, text));
  }

  count(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }
}
