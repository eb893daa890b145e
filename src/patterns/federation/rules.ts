/**
 * Broker of a site in a federation (the Guide's chapter 3, peering).
 *
 *   clients --> local queue --> a local worker, if one is free        local flow
 *                     \-------> the site with most free workers       cloud flow, out
 *   sites   --> cloud queue --> a local worker that no client wants   cloud flow, in
 *   how many workers are free, to all sites, whenever it changes      state flow
 *
 * Other sites' requests let eight local ones go first, and are never forwarded. A request sent to another site is kept
 * here until its reply arrives; when that site is lost, it returns to the front of the queue. A site without workers
 * hands back others' requests with an error reply for brokers.
 *
 * The passive half of a pair (../binary-star/) publishes zero idle workers and hands back other sites' requests, even
 * with an answer: the other half may have handled them, too.
 */
import { type EventsOf, event } from "../../core/event-stream.js";
import { keyOf } from "../../core/memory.js";
import { type BrokerEffects, REPLY_DROPPED } from "../../kit/broker-driver.js";
import { Dispatcher, type DispatcherOptions, Job, reasonOf, WORKER_EVENTS } from "../../kit/dispatcher.js";
import { ENDPOINT_SOURCE_EVENTS } from "../../kit/endpoint-list.js";
import { errorReply, parseErrorReply } from "../../kit/errors.js";
import { parseFromClient } from "../../kit/worker-protocol.js";
import type { FEDERATION, JobDropReason } from "../../statistics/patterns.js";
import type { StatisticsOf } from "../../statistics/rows.js";

/** Priorities. */
export const LOCAL = 0;
export const CLOUD = 1;

/** Peers choose the names in their state messages. */
const MAX_SITES = 1_024;

export const EVENTS = {
  "site:joined": event<{ readonly site: string }>(),
  /** `returned` requests came back from a lost site. */
  "site:left": event<{
    readonly site: string;
    readonly reason: "silent" | "disconnected" | "too-many";
    readonly returned: number;
  }>(),
  ...WORKER_EVENTS,
  "request:dropped": event<{ readonly from: "client" | "site"; readonly reason: JobDropReason }>(),
  ...REPLY_DROPPED,
  "message:invalid": event<{ readonly from: "client" | "worker" | "site" }>(),
  ...ENDPOINT_SOURCE_EVENTS,
};

export type FederationEvent = EventsOf<typeof EVENTS>;

/** requests = replies + queued + at workers + atSites + dropped, per priority. */
export type FederationStats = StatisticsOf<typeof FEDERATION>;

export interface FederationEffects extends Pick<BrokerEffects<FederationEvent>, "toWorker" | "event"> {
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  /** @returns whether the site is connected */
  siteRequest(site: string, address: Buffer, body: readonly Buffer[]): boolean;
  siteReply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  publish(capacity: number): void;
  /** True without a pair. */
  isServing(): boolean;
}

export interface FederationRulesOptions
  extends Pick<DispatcherOptions, "maxQueue" | "maxQueueBytes" | "maxDeliveries"> {
  readonly stateInterval: number;
  /** 0: never by silence. */
  readonly liveness: number;
}

interface Site {
  /** Published idle workers, minus requests sent since. */
  spare: number;
  expiry: number;
  readonly inFlight: Map<string, Job>;
  bytes: number;
}

export class FederationRules extends Dispatcher {
  readonly #options: FederationRulesOptions;
  readonly #effects: FederationEffects;
  readonly #sites = new Map<string, Site>();
  #nextState: number;
  #published = 0;
  #address = 0;
  #closed = false;
  readonly #counts = {
    requestsLocal: 0,
    requestsCloud: 0,
    repliesLocal: 0,
    repliesCloud: 0,
    sentToSites: 0,
    handedBack: 0,
    returned: 0,
    invalid: 0,
  };
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };
  /** Distinguishes addresses from those of an earlier process. */
  readonly #incarnation: Buffer;

  /** @param incarnation differs with each start */
  constructor(options: FederationRulesOptions, effects: FederationEffects, now: number, incarnation: Buffer) {
    // Workers are Simple Pirates, which have no heartbeat, and so need no time.
    super({ ...options, priorities: 2, dialect: "simple" }, effects);
    this.#options = options;
    this.#effects = effects;
    this.#incarnation = incarnation;
    this.#nextState = now;
  }

  get cloudRoom(): number {
    return this.roomOf(CLOUD);
  }

  override get pending(): number {
    return super.pending + this.#atSites();
  }

  /** @param frames routing id first */
  clientMessage(frames: readonly Buffer[]): void {
    const command = parseFromClient(frames);
    if (command.kind === "request") this.request(command.envelope, command.body, LOCAL);
    else this.invalid("client");
  }

  request(envelope: readonly Buffer[], body: readonly Buffer[], from: typeof LOCAL | typeof CLOUD): void {
    this.#counts[from === LOCAL ? "requestsLocal" : "requestsCloud"] += 1;
    const job = new Job(envelope, body, from);
    if (from === CLOUD && !this.#isOpen) this.#handBack(job);
    else {
      this.accept(job);
      this.#settle();
    }
  }

  override workerMessage(from: Buffer, frames: readonly Buffer[]): void {
    super.workerMessage(from, frames, 0);
    this.#settle();
  }

  siteState(name: string, capacity: number, now: number): void {
    const { stateInterval, liveness } = this.#options;
    const expiry = liveness === 0 ? Number.POSITIVE_INFINITY : now + stateInterval * liveness;
    const site = this.#sites.get(name);
    if (site === undefined) {
      if (this.#sites.size >= MAX_SITES && !this.#evict()) {
        this.invalid("site");
        return;
      }
      this.#sites.set(name, { spare: capacity, expiry, inFlight: new Map(), bytes: 0 });
      this.#effects.event({ type: "site:joined", site: name });
    } else {
      site.spare = capacity;
      site.expiry = expiry;
    }
    this.#settle();
  }

  siteReplied(name: string, address: Buffer, body: readonly Buffer[]): void {
    const site = this.#sites.get(name);
    const job = site?.inFlight.get(keyOf(address));
    if (site?.inFlight.delete(keyOf(address))) site.bytes -= (job as Job).bytes;
    if (job === undefined || job.over) {
      this.lateReplies += 1;
      return;
    }
    const reason = parseErrorReply(body, name)?.reason;
    if (reason === "no-service" || reason === "stopping") {
      (site as Site).spare = 0; // Until it publishes otherwise.
      this.#counts.returned += 1;
      this.giveBack(job);
      this.dispatch();
      this.#settle();
      return;
    }
    this.end(job);
    this.answered(job, body);
  }

  /** The connection to a site ended. */
  siteLeft(name: string): void {
    this.#loseSite(name, "disconnected");
    this.#settle();
  }

  /** The connection from a site ended. */
  askingSiteLeft(routingId: Buffer): void {
    super.clientLeft(routingId, CLOUD);
    this.#settle();
  }

  override clientLeft(client: Buffer): void {
    super.clientLeft(client, LOCAL);
    this.#settle();
  }

  override workerLeft(worker: Buffer): void {
    super.workerLeft(worker, 0);
    this.#settle();
  }

  invalid(from: "client" | "worker" | "site"): void {
    this.#counts.invalid += 1;
    this.#effects.event({ type: "message:invalid", from });
  }

  tick(now: number): void {
    for (const [name, site] of [...this.#sites]) if (site.expiry <= now) this.#loseSite(name, "silent");
    this.#settle();
    if (now >= this.#nextState) {
      this.#publish();
      this.#nextState = now + this.#options.stateInterval;
    }
  }

  nextWakeUp(): number {
    return this.#nextState;
  }

  override drain(): void {
    super.drain();
    this.#settle();
  }

  /** Publishes zero idle workers. */
  override close(): void {
    this.#closed = true;
    this.#publish();
    super.close();
  }

  stats(): Omit<FederationStats, "repliesDropped"> {
    return {
      idleWorkers: this.idle,
      busyWorkers: this.busy,
      queuedLocal: this.queuedOf(LOCAL),
      queuedCloud: this.queuedOf(CLOUD),
      atSites: this.#atSites(),
      ...this.#counts,
      lateReplies: this.lateReplies,
      dropped: { ...this.#dropped },
      sites: Object.fromEntries([...this.#sites].map(([name, { spare }]) => [name, spare])),
    };
  }

  /** Sends requests to other sites, and publishes. */
  #settle(): void {
    if (this.#closed) return;
    while (this.idle === 0 && this.queuedOf(LOCAL) > 0) {
      const name = this.#mostSpare();
      if (name === undefined) break;
      this.#give(name);
    }
    if (this.idle + this.busy === 0 || !this.#isOpen) this.#handBackAll();
    if (this.#capacity() !== this.#published) this.#publish();
  }

  protected override malformed(): void {
    this.invalid("worker");
  }

  #handBackAll(): void {
    for (let job = this.shift(CLOUD); job !== undefined; job = this.shift(CLOUD)) {
      this.end(job);
      this.#handBack(job);
    }
  }

  #handBack(job: Job): void {
    this.#counts.handedBack += 1;
    this.#effects.siteReply(job.envelope, errorReply("no-service"));
  }

  /** A site may publish any number, and answer nothing: it has no more than a queue. */
  #mostSpare(): string | undefined {
    const { maxQueue, maxQueueBytes } = this.#options;
    let best: string | undefined;
    let most = 0;
    for (const [name, { spare, inFlight, bytes }] of this.#sites) {
      if (spare <= most || inFlight.size >= maxQueue || bytes >= maxQueueBytes) continue;
      best = name;
      most = spare;
    }
    return best;
  }

  #give(name: string): void {
    const site = this.#sites.get(name) as Site;
    const job = this.shift(LOCAL) as Job;
    const address = this.#nextAddress();
    site.inFlight.set(keyOf(address), job);
    site.bytes += job.bytes;
    site.spare -= 1;
    if (this.#effects.siteRequest(name, address, job.body)) this.#counts.sentToSites += 1;
    else this.#loseSite(name, "disconnected");
  }

  #nextAddress(): Buffer {
    const address = Buffer.alloc(this.#incarnation.length + 8);
    this.#incarnation.copy(address);
    address.writeBigUInt64BE(BigInt(++this.#address), this.#incarnation.length);
    return address;
  }

  /** Removes a site that offers nothing: names may be made up, and `liveness` may be 0. */
  #evict(): boolean {
    for (const [name, { spare, inFlight }] of this.#sites) {
      if (spare > 0 || inFlight.size > 0) continue;
      this.#loseSite(name, "too-many");
      return true;
    }
    return false;
  }

  /** Its requests can go elsewhere once everything is settled. */
  #loseSite(name: string, reason: "silent" | "disconnected" | "too-many"): void {
    const site = this.#sites.get(name);
    if (site === undefined) return;
    this.#sites.delete(name);
    // Each goes to the front.
    const jobs = [...site.inFlight.values()].filter((job) => !job.over).reverse();
    this.#counts.returned += jobs.length;
    this.#effects.event({ type: "site:left", site: name, reason, returned: jobs.length });
    for (const job of jobs) this.giveBack(job);
    this.dispatch();
  }

  protected override answered(job: Job, body: readonly Buffer[]): void {
    if (job.priority === CLOUD && !this.#effects.isServing()) {
      this.#handBack(job);
      return;
    }
    this.#counts[job.priority === LOCAL ? "repliesLocal" : "repliesCloud"] += 1;
    if (job.priority === LOCAL) this.#effects.reply(job.envelope, body);
    else this.#effects.siteReply(job.envelope, body);
  }

  protected override dropped(job: Job, reason: JobDropReason): void {
    this.#dropped[reason] += 1;
    const from = job.priority === LOCAL ? "client" : "site";
    this.#effects.event({ type: "request:dropped", from, reason });
    if (reason === "client-left") return;
    const body = errorReply(reasonOf(reason));
    if (from === "client") this.#effects.reply(job.envelope, body);
    else this.#effects.siteReply(job.envelope, body);
  }

  /** Whether it works for other sites. */
  get #isOpen(): boolean {
    return !this.draining && !this.#closed && this.#effects.isServing();
  }

  #capacity(): number {
    return this.#isOpen ? this.idle : 0;
  }

  #publish(): void {
    this.#published = this.#capacity();
    this.#effects.publish(this.#published);
  }

  #atSites(): number {
    let sum = 0;
    for (const { inFlight } of this.#sites.values()) sum += inFlight.size;
    return sum;
  }
}
