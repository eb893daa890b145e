/**
 * A site's broker in a federation (the Guide's chapter 3, peering).
 *
 *   clients --> local queue --> a local worker, if one is free        local flow
 *                     \-------> the site with most free workers       cloud flow, out
 *   sites   --> cloud queue --> a local worker that no client wants   cloud flow, in
 *   how many workers are free, to all sites, whenever it changes      state flow
 *
 * Local work first: requests of other sites wait behind all of this site's own, and are never passed on.
 * A request that is at another site stays here, too, until its reply comes: when that site is silent or its
 * connection ends, the request stands in front of the queue again. A site whose last worker has gone hands back what
 * it has of the others', with an error reply that only a broker sees: it would wait there forever.
 *
 * One of a pair (../binary-star/) that does not serve publishes that it has nothing to spare, and hands back what other
 * sites give it all the same, the answers of its workers included: the other one of the pair may have done it, too.
 */
import type { ReplyDropped } from "../kit/broker-driver.js";
import { createJob, Dispatcher, type Job, type JobDropReason, keyOf, reasonOf } from "../kit/dispatcher.js";
import { errorReply, parseErrorReply } from "../kit/errors.js";
import type { BalancedCommand } from "../kit/worker-protocol.js";

/** The class of this site's own requests, and that of the others'. */
export const LOCAL = 0;
export const CLOUD = 1;

/** Sites that are known at a time: those who publish states choose the names in them. */
const MAX_SITES = 1_024;

/** What happens in a federated broker. */
export type FederationEvent =
  | { readonly type: "site:joined"; readonly site: string }
  /** A site is silent or its connection ended; so many requests came back from it. */
  | {
      readonly type: "site:left";
      readonly site: string;
      readonly reason: "silent" | "disconnected";
      readonly returned: number;
    }
  | { readonly type: "worker:joined"; readonly worker: Buffer }
  | { readonly type: "worker:left"; readonly worker: Buffer; readonly reason: "disconnected" | "unreachable" }
  | { readonly type: "request:dropped"; readonly from: "client" | "site"; readonly reason: JobDropReason }
  /** A reply to a request that has ended, or has come back. */
  | { readonly type: "reply:ignored"; readonly from: "worker" | "site" }
  | ReplyDropped
  | { readonly type: "message:invalid"; readonly from: "client" | "worker" | "site" };

/** A federated broker's statistics: requests = replies + queued + at workers + atSites + dropped, for each class. */
export interface FederationStats {
  readonly idleWorkers: number;
  readonly busyWorkers: number;
  readonly queuedLocal: number;
  readonly queuedCloud: number;
  /** Requests of own clients that other sites have now. */
  readonly atSites: number;
  readonly requestsLocal: number;
  readonly requestsCloud: number;
  /** To own clients, of own workers and of other sites. */
  readonly repliesLocal: number;
  /** To other sites. */
  readonly repliesCloud: number;
  /** Requests that were given to other sites. */
  readonly sentToSites: number;
  /** Other sites' requests that were handed back, since no worker is here, or this broker does not serve. */
  readonly handedBack: number;
  /** Own requests that came back: their site was lost, or had no worker any more. */
  readonly returned: number;
  readonly dropped: Readonly<Record<JobDropReason, number>>;
  readonly lateReplies: number;
  /** Replies, of those counted, that their clients or sites could not take: gone, or at their high-water mark. */
  readonly repliesDropped: number;
  readonly invalid: number;
  /** Sites that publish now, with the free workers they are believed to have. */
  readonly sites: Readonly<Record<string, number>>;
}

/** What the rules do to the world. */
export interface FederationEffects {
  /** @returns whether the worker is connected */
  request(worker: Buffer, address: Buffer, body: readonly Buffer[]): boolean;
  reply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  /** @returns whether the site is connected */
  siteRequest(site: string, address: Buffer, body: readonly Buffer[]): boolean;
  siteReply(envelope: readonly Buffer[], body: readonly Buffer[]): void;
  publish(capacity: number): void;
  /** Whether this broker serves now; one alone always does. */
  isServing(): boolean;
  event(event: FederationEvent): void;
}

/** What the rules are bounded by. */
export interface FederationRulesOptions {
  /** ms between two state messages, when nothing changes. */
  readonly stateInterval: number;
  /** Intervals of silence after which a site is lost; 0: never by silence. */
  readonly liveness: number;
  /** Requests that wait, of own clients, and as many of other sites. */
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  readonly maxDeliveries: number;
}

interface Site {
  /** Free workers, as it last published, less what it was given since. */
  spare: number;
  expiry: number;
  /** Requests it has, by address. */
  readonly inFlight: Map<string, Job>;
}

export class FederationRules {
  readonly #options: FederationRulesOptions;
  readonly #effects: FederationEffects;
  readonly #dispatcher: Dispatcher;
  /** Only sites that publish now. */
  readonly #sites = new Map<string, Site>();
  #nextState: number;
  #published = 0;
  #address = 0;
  #closed = false;
  #requests = [0, 0];
  #replies = [0, 0];
  #sent = 0;
  #handedBack = 0;
  #returned = 0;
  #late = 0;
  #invalid = 0;
  readonly #dropped: Record<JobDropReason, number> = { "client-left": 0, deliveries: 0, closed: 0 };
  /** Distinguishes this broker's addresses from those of the process that had its name before. */
  readonly #incarnation: Buffer;

  /** @param incarnation bytes that differ with each start */
  constructor(options: FederationRulesOptions, effects: FederationEffects, now: number, incarnation: Buffer) {
    this.#options = options;
    this.#effects = effects;
    this.#incarnation = incarnation;
    this.#nextState = now;
    this.#dispatcher = new Dispatcher(
      { ...options, priorities: 2 },
      {
        deliver: (worker, job) => effects.request(worker, job.address, job.body),
        unreachable: (worker) => this.#loseWorker(worker, "unreachable"),
        dropped: (job, reason) => this.#drop(job, reason),
      },
    );
  }

  /** How many more requests of own clients it takes now. */
  get room(): number {
    return this.#dispatcher.room(LOCAL);
  }

  /** The same for other sites. */
  get cloudRoom(): number {
    return this.#dispatcher.room(CLOUD);
  }

  /** Requests accepted and not answered. */
  get pending(): number {
    return this.#dispatcher.queued + this.#dispatcher.busy + this.#atSites();
  }

  /** A request, of an own client or of another site. */
  request(envelope: readonly Buffer[], body: readonly Buffer[], from: typeof LOCAL | typeof CLOUD): void {
    (this.#requests[from] as number)++;
    this.#dispatcher.accept(createJob(envelope, body, from));
    this.#settle();
  }

  /** Anything from a worker. */
  receive(from: Buffer, command: BalancedCommand): void {
    if (command.kind === "invalid") {
      this.invalid("worker");
      return;
    }
    const known = this.#dispatcher.isIdle(from) || this.#dispatcher.isBusy(from);
    if (command.kind === "reply") {
      const job = this.#dispatcher.complete(from, command.address);
      if (job !== undefined) this.#answer(job, command.body);
      else {
        this.#isLate("worker");
        if (this.#dispatcher.isBusy(from) || this.#dispatcher.isIdle(from)) return;
      }
    }
    if (!known) this.#effects.event({ type: "worker:joined", worker: from });
    this.#dispatcher.ready(from);
    this.#settle();
  }

  /** A site publishes what it has to spare. */
  siteState(name: string, capacity: number, now: number): void {
    const { stateInterval, liveness } = this.#options;
    const expiry = liveness === 0 ? Number.POSITIVE_INFINITY : now + stateInterval * liveness;
    const site = this.#sites.get(name);
    if (site === undefined) {
      if (this.#sites.size >= MAX_SITES) {
        this.invalid("site");
        return;
      }
      this.#sites.set(name, { spare: capacity, expiry, inFlight: new Map() });
      this.#effects.event({ type: "site:joined", site: name });
    } else {
      site.spare = capacity;
      site.expiry = expiry;
    }
    this.#settle();
  }

  /** A site's reply to a request it was given. */
  siteReplied(name: string, address: Buffer, body: readonly Buffer[]): void {
    const site = this.#sites.get(name);
    const job = site?.inFlight.get(keyOf(address));
    site?.inFlight.delete(keyOf(address));
    if (job === undefined || job.over) {
      this.#isLate("site");
      return;
    }
    const reason = parseErrorReply(body, name)?.reason;
    if (reason === "no-service" || reason === "stopping") {
      (site as Site).spare = 0; // Until it publishes otherwise.
      this.#returned += 1;
      this.#dispatcher.giveBack(job);
      this.#dispatcher.dispatch();
      this.#settle();
      return;
    }
    this.#dispatcher.end(job);
    this.#answer(job, body);
  }

  /** The connection to a site, which takes requests there, has ended. */
  siteLeft(name: string): void {
    this.#loseSite(name, "disconnected");
    this.#settle();
  }

  /** A site's connection, which brings its requests here, has ended: it gives them to others. */
  askingSiteLeft(routingId: Buffer): void {
    this.#dispatcher.clientLeft(routingId, CLOUD);
    this.#settle();
  }

  clientLeft(client: Buffer): void {
    this.#dispatcher.clientLeft(client, LOCAL);
    this.#settle();
  }

  workerLeft(worker: Buffer): void {
    this.#loseWorker(worker, "disconnected");
    this.#settle();
  }

  /** A message that the protocol does not allow. */
  invalid(from: "client" | "worker" | "site"): void {
    this.#invalid += 1;
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

  /** Takes nothing new from other sites: it publishes that nothing is free. */
  close(): void {
    this.#closed = true;
    this.#publish();
    this.#dispatcher.close();
  }

  stats(): Omit<FederationStats, "repliesDropped"> {
    return {
      idleWorkers: this.#dispatcher.idle,
      busyWorkers: this.#dispatcher.busy,
      queuedLocal: this.#dispatcher.queuedOf(LOCAL),
      queuedCloud: this.#dispatcher.queuedOf(CLOUD),
      atSites: this.#atSites(),
      requestsLocal: this.#requests[LOCAL] as number,
      requestsCloud: this.#requests[CLOUD] as number,
      repliesLocal: this.#replies[LOCAL] as number,
      repliesCloud: this.#replies[CLOUD] as number,
      sentToSites: this.#sent,
      handedBack: this.#handedBack,
      returned: this.#returned,
      dropped: { ...this.#dropped },
      lateReplies: this.#late,
      invalid: this.#invalid,
      sites: Object.fromEntries([...this.#sites].map(([name, { spare }]) => [name, spare])),
    };
  }

  /** After anything that may have freed a worker or brought work: spill over, and publish. */
  #settle(): void {
    if (this.#closed) return;
    while (this.#dispatcher.idle === 0 && this.#dispatcher.queuedOf(LOCAL) > 0) {
      const name = this.#mostSpare();
      if (name === undefined) break;
      this.#give(name);
    }
    if (this.#dispatcher.idle + this.#dispatcher.busy === 0 || !this.#effects.isServing())
      this.#handBackAll();
    if (this.#capacity() !== this.#published) this.#publish();
  }

  #handBackAll(): void {
    for (let job = this.#dispatcher.shift(CLOUD); job !== undefined; job = this.#dispatcher.shift(CLOUD)) {
      this.#dispatcher.end(job);
      this.#handBack(job);
    }
  }

  #handBack(job: Job): void {
    this.#handedBack += 1;
    this.#effects.siteReply(job.envelope, errorReply("no-service"));
  }

  #mostSpare(): string | undefined {
    let best: string | undefined;
    let most = 0;
    for (const [name, { spare }] of this.#sites) {
      if (spare <= most) continue;
      best = name;
      most = spare;
    }
    return best;
  }

  #give(name: string): void {
    const site = this.#sites.get(name) as Site;
    const job = this.#dispatcher.shift(LOCAL) as Job;
    const address = this.#nextAddress();
    site.inFlight.set(keyOf(address), job);
    site.spare -= 1;
    if (this.#effects.siteRequest(name, address, job.body)) this.#sent += 1;
    else this.#loseSite(name, "disconnected");
  }

  #nextAddress(): Buffer {
    const address = Buffer.alloc(this.#incarnation.length + 8);
    this.#incarnation.copy(address);
    address.writeBigUInt64BE(BigInt(++this.#address), this.#incarnation.length);
    return address;
  }

  /** What it had may go elsewhere as soon as everything is settled. */
  #loseSite(name: string, reason: "silent" | "disconnected"): void {
    const site = this.#sites.get(name);
    if (site === undefined) return;
    this.#sites.delete(name);
    // Each goes to the front, so the oldest last.
    const jobs = [...site.inFlight.values()].filter((job) => !job.over).reverse();
    this.#returned += jobs.length;
    this.#effects.event({ type: "site:left", site: name, reason, returned: jobs.length });
    for (const job of jobs) this.#dispatcher.giveBack(job);
    this.#dispatcher.dispatch();
  }

  #loseWorker(worker: Buffer, reason: "disconnected" | "unreachable"): void {
    if (!this.#dispatcher.lost(worker) && reason === "disconnected") return;
    this.#effects.event({ type: "worker:left", worker, reason });
  }

  #answer(job: Job, body: readonly Buffer[]): void {
    if (job.priority === CLOUD && !this.#effects.isServing()) {
      this.#handBack(job);
      return;
    }
    (this.#replies[job.priority] as number)++;
    if (job.priority === LOCAL) this.#effects.reply(job.envelope, body);
    else this.#effects.siteReply(job.envelope, body);
  }

  #drop(job: Job, reason: JobDropReason): void {
    this.#dropped[reason] += 1;
    const from = job.priority === LOCAL ? "client" : "site";
    this.#effects.event({ type: "request:dropped", from, reason });
    if (reason === "client-left") return;
    const body = errorReply(reasonOf(reason));
    if (from === "client") this.#effects.reply(job.envelope, body);
    else this.#effects.siteReply(job.envelope, body);
  }

  #isLate(from: "worker" | "site"): void {
    this.#late += 1;
    this.#effects.event({ type: "reply:ignored", from });
  }

  #capacity(): number {
    return this.#closed || !this.#effects.isServing() ? 0 : this.#dispatcher.idle;
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
