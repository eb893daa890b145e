/** What a broker around a dispatcher counts, and how a request that is dropped ends. */

import type { Dispatcher, Job, JobDropReason } from "./dispatcher.js";
import { errorReply, reasonOf } from "./errors.js";

/** A load balancer's accounts: requests = replies + queued + busyWorkers + dropped, but for requests of clients that left. */
export interface BalancerStats {
  readonly idleWorkers: number;
  readonly busyWorkers: number;
  readonly queued: number;
  readonly requests: number;
  readonly replies: number;
  readonly dropped: Readonly<Record<JobDropReason, number>>;
  readonly lateReplies: number;
  /** Replies, of those counted, that their clients could not take: gone, or at their high-water mark. */
  readonly repliesDropped: number;
  readonly invalid: number;
  readonly workersLost: number;
}

/** Who hears of a request's end without a reply. */
interface DropOutbox {
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  event(event: {
    readonly type: "request:dropped";
    readonly client: Buffer;
    readonly reason: JobDropReason;
  }): void;
}

export class Accounts {
  requests = 0;
  replies = 0;
  lateReplies = 0;
  invalid = 0;
  workersLost = 0;
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };

  /** A request ends without a reply: its client is told why, if it is there. */
  drop({ envelope }: Job, reason: JobDropReason, outbox: DropOutbox): void {
    this.#dropped[reason] += 1;
    outbox.event({ type: "request:dropped", client: envelope[0] as Buffer, reason });
    if (reason !== "client-left") outbox.reply(envelope, errorReply(reasonOf(reason)));
  }

  /** At this moment. */
  of(dispatcher: Dispatcher): Omit<BalancerStats, "repliesDropped"> {
    return {
      idleWorkers: dispatcher.idle,
      busyWorkers: dispatcher.busy,
      queued: dispatcher.queued,
      requests: this.requests,
      replies: this.replies,
      dropped: { ...this.#dropped },
      lateReplies: this.lateReplies,
      invalid: this.invalid,
      workersLost: this.workersLost,
    };
  }
}
