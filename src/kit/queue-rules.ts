/**
 * Queue of the Pirates (6/PPP, Queue) and of the load balancer, which serves Simple Pirates only (the Guide's chapter
 * 3, lbbroker): clients' requests to the least recently used worker, and its replies back.
 */

import { type EventsOf, event } from "../core/event-stream.js";
import { type BROKER_OPTIONS, type BrokerEffects, REPLY_DROPPED } from "./broker-driver.js";
import { Dispatcher, Job, type JobDropReason, reasonOf, WORKER_EVENTS } from "./dispatcher.js";
import { errorReply } from "./errors.js";
import type { Settings } from "./options.js";
import { type Dialect, type Malformed, parseFromClient, replyFrames } from "./worker-protocol.js";

export const QUEUE_EVENTS = {
  ...WORKER_EVENTS,
  "request:dropped": event<{ readonly client: Buffer; readonly reason: JobDropReason }>(),
  ...REPLY_DROPPED,
  "message:invalid": event<{
    readonly from: "client" | "worker";
    readonly routingId: Buffer;
    readonly reason: Malformed;
  }>(),
};

/** Events. Routing ids are bytes. */
export type PirateQueueEvent = EventsOf<typeof QUEUE_EVENTS>;

/**
 * Statistics: requests = replies + queued + busyWorkers + dropped, except requests of disconnected clients.
 */
export interface PirateQueueStats {
  readonly idleWorkers: number;
  readonly busyWorkers: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly requests: number;
  readonly replies: number;
  readonly dropped: Readonly<Record<JobDropReason, number>>;
  readonly lateReplies: number;
  /** Counted replies that their clients could not take. */
  readonly repliesDropped: number;
  readonly invalid: number;
  readonly workersLost: number;
  readonly repeated: number;
}

export interface QueueRulesOptions
  extends Pick<Settings<typeof BROKER_OPTIONS>, "maxQueue" | "maxQueueBytes" | "maxDeliveries"> {
  /** Default: both. */
  readonly dialect?: Dialect | undefined;
  /** ms between heartbeats. */
  readonly heartbeatInterval: number;
  /** Intervals of silence before an idle worker is lost. */
  readonly liveness: number;
}

export class QueueRules extends Dispatcher {
  readonly #options: QueueRulesOptions;
  readonly #effects: BrokerEffects<PirateQueueEvent>;
  #nextBeat: number;
  readonly #counters = { requests: 0, replies: 0, invalid: 0 };
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };

  constructor(options: QueueRulesOptions, effects: BrokerEffects<PirateQueueEvent>, now: number) {
    super(
      { ...options, silence: options.heartbeatInterval * options.liveness },
      {
        toWorker: (frames) => effects.toWorker(frames),
        answered: ({ envelope }, body) => {
          this.#counters.replies += 1;
          effects.toClient(replyFrames(envelope, body));
        },
        dropped: (job, reason) => this.#drop(job, reason),
        invalid: (worker, reason) => this.#invalid("worker", worker, reason),
        event: (event) => effects.event(event),
      },
    );
    this.#options = options;
    this.#effects = effects;
    this.#nextBeat = now + options.heartbeatInterval;
  }

  /** @param frames routing id first */
  clientMessage(frames: readonly Buffer[], now: number): void {
    this.now = now;
    const command = parseFromClient(frames);
    if (command.kind === "invalid") {
      this.#invalid("client", frames[0] as Buffer, command.reason);
      return;
    }
    this.#counters.requests += 1;
    this.accept(new Job(command.envelope, command.body));
  }

  tick(now: number): void {
    this.now = now;
    if (now < this.#nextBeat) return;
    this.heartbeat();
    this.#nextBeat = now + this.#options.heartbeatInterval;
  }

  /** Simple Pirates have no heartbeat. */
  nextWakeUp(): number | undefined {
    return this.#options.dialect === "simple" ? undefined : this.#nextBeat;
  }

  stats(): Omit<PirateQueueStats, "repliesDropped"> {
    const { idle: idleWorkers, busy: busyWorkers, queued, queuedBytes } = this;
    const { lateReplies, workersLost, repeated } = this;
    const counters = { ...this.#counters, lateReplies, workersLost, repeated };
    return { ...counters, idleWorkers, busyWorkers, queued, queuedBytes, dropped: { ...this.#dropped } };
  }

  #invalid(from: "client" | "worker", routingId: Buffer, reason: Malformed): void {
    this.#counters.invalid += 1;
    this.#effects.event({ type: "message:invalid", from, routingId, reason });
  }

  /** The client gets an error reply if connected. */
  #drop({ envelope }: Job, reason: JobDropReason): void {
    this.#dropped[reason] += 1;
    this.#effects.event({ type: "request:dropped", client: envelope[0] as Buffer, reason });
    if (reason !== "client-left") this.#effects.toClient(replyFrames(envelope, errorReply(reasonOf(reason))));
  }
}
