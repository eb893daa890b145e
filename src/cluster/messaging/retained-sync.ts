/**
 * Makes this node's copies of retained values as late as those of another one, in what its subscriptions want. The other sends what this one lacks
 * (retained-answers.ts), this one takes what is later (retained.ts): so it does not matter how often they do this, nor in which order. It is done
 * again whenever one of the two sees the cluster otherwise than before (retention.ts).
 *
 *   want ──> waiting ──> ASK with sums ──> END with the buckets that differ ──> ASK with their fingerprints ──> VALUE … END ──┐
 *               ^                                └── none, and no more filters ──> over <─────────────────────────────────────┘
 *               └────────────── wanted meanwhile, once `SYNC_INTERVAL` is over ─────┘
 *
 * Compared is what the other answers for: its own values, and those of nodes that are not there. Where this node has none of these, it asks
 * for all. Fingerprints are of all that it has in their buckets: what the other sees as gone, and this one does not, is not sent for nothing.
 */
import { systemClock } from "../../core/clock.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { ASK_TIMEOUT, MAX_ASK_BYTES, MAX_ASK_FILTERS, MAX_SYNCS, SYNC_INTERVAL } from "./bounds.js";
import type { RetainedValue, RetainedValues } from "./retained.js";
import { BucketSums, bucketOf, digestBits, FINGERPRINT_BYTES, fingerprintOf } from "./retained-digest.js";
import { encodeAsk, type KnownValues } from "./retained-items.js";
import { type RetainedSender, turn } from "./retained-sender.js";
import { matches } from "./topics.js";

/** ms of comparing values between two turns of the event loop. */
const COMPARE_TIME = 1;

/** Why a node is asked: it may have what this one lacks; it may lack this node's routes as well; it has also forgotten what it was asked. */
export type SyncWish = "values" | "interest" | "forgotten";

/** What is asked of one node. */
export interface Sync {
  readonly peer: string;
  /** The first one with it: what it has may be earlier than what was evicted here, and was given to nobody all the same. */
  readonly isFirst: boolean;
  /** Whether the filters count as this node's interest there. */
  readonly isInterest: boolean;
  /** Topics that were evicted here and given once more, and their stamps. */
  readonly given: Map<string, number>;
  /** Filters that are to be asked for. */
  readonly groups: string[][];
  /** Those that were asked for last. */
  filters: readonly string[];
  /** The question without an answer. */
  request: number;
  /** Whether that has sums, to be answered by the buckets that differ. */
  hasSums: boolean;
  /** Of the sums that were sent last, and their buckets that differ and were not asked for. */
  bits: number;
  differing: number[];
  isOver: boolean;
  isRested: boolean;
  /** It counts as one that is under way. */
  isCounted: boolean;
  /** It is wanted once more. */
  again: SyncWish | undefined;
  timer: NodeJS.Timeout | undefined;
}

export interface RetainedSyncEffects {
  isLive(id: string): boolean;
  /** Filters of all subscriptions that want values, each once. */
  filters(): string[];
  /** A number for a question. */
  nextNumber(): number;
  /** It cannot be asked. */
  onUnsent(id: string): void;
  /** A node has forgotten what it was asked, and is asked from the front. */
  onForgotten(id: string): void;
}

export class RetainedSync {
  readonly #self: string;
  readonly #values: RetainedValues;
  readonly #sender: RetainedSender;
  readonly #effects: RetainedSyncEffects;
  /** Nodes that are to be asked. */
  readonly #wanted = new Map<string, SyncWish>();
  /** By node, also those that are over and rest. */
  readonly #syncs = new Map<string, Sync>();
  /** By question. */
  readonly #requests = new Map<number, Sync>();
  /** Nodes that had all asked once. */
  readonly #met = new Set<string>();
  readonly #budget = new TurnBudget(COMPARE_TIME, systemClock);
  #count = 0;

  constructor(self: string, values: RetainedValues, sender: RetainedSender, effects: RetainedSyncEffects) {
    this.#self = self;
    this.#values = values;
    this.#sender = sender;
    this.#effects = effects;
  }

  /** A node may have what this one lacks. */
  want(peer: string, wish: SyncWish): void {
    const sync = this.#syncs.get(peer);
    if (sync !== undefined && !(sync.isRested && wish === "forgotten")) {
      sync.again = stronger(sync.again, wish);
      return;
    }
    this.#end(peer);
    this.#wanted.set(peer, stronger(this.#wanted.get(peer), wish));
    this.#fill();
  }

  /** What a question belongs to. */
  get(request: number): Sync | undefined {
    return this.#requests.get(request);
  }

  has(request: number): boolean {
    return this.#requests.has(request);
  }

  /** @param differing buckets */
  onEnd(from: string, request: number, differing: number[]): void {
    const sync = this.#requests.get(request);
    if (sync === undefined || sync.peer !== from) return;
    this.#requests.delete(request);
    if (sync.hasSums) sync.differing = differing.filter((bucket) => bucket < 2 ** sync.bits);
    sync.hasSums = false;
    void this.#next(sync);
  }

  /** A node is not there any more. @param isLost it may come back */
  onGone(peer: string, isLost: boolean): void {
    if (!isLost) this.#met.delete(peer);
    this.#wanted.delete(peer);
    this.#end(peer);
    this.#fill();
  }

  close(): void {
    this.#wanted.clear();
    for (const peer of [...this.#syncs.keys()]) this.#end(peer);
  }

  // --- One node --------------------------------------------------------------------------------------------------------

  #fill(): void {
    for (const [peer, wish] of this.#wanted) {
      if (this.#count >= MAX_SYNCS) return;
      this.#wanted.delete(peer);
      this.#start(peer, wish);
    }
  }

  #start(peer: string, wish: SyncWish): void {
    if (wish === "forgotten") this.#effects.onForgotten(peer);
    const sync: Sync = {
      peer,
      isFirst: !this.#met.has(peer),
      isInterest: wish !== "values",
      given: new Map(),
      groups: groupsOf(this.#effects.filters()),
      filters: [],
      request: -1,
      hasSums: false,
      bits: 0,
      differing: [],
      isOver: false,
      isRested: false,
      isCounted: true,
      again: undefined,
      timer: undefined,
    };
    this.#syncs.set(peer, sync);
    this.#count += 1;
    sync.timer = setTimeout(() => {
      sync.isRested = true;
      if (sync.isOver || sync.again === "forgotten") {
        this.#conclude(sync);
        return;
      }
      // It goes on, and holds up no other one any longer.
      sync.timer = setTimeout(() => this.#uncount(sync), ASK_TIMEOUT - SYNC_INTERVAL).unref();
    }, SYNC_INTERVAL).unref();
    void this.#next(sync);
  }

  async #next(sync: Sync): Promise<void> {
    let known: KnownValues | undefined;
    if (sync.differing.length > 0) known = await this.#fingerprints(sync);
    else {
      const filters = sync.groups.shift();
      if (filters !== undefined) {
        sync.filters = filters;
        known = await this.#sums(sync);
      }
    }
    if (this.#syncs.get(sync.peer) !== sync) return;
    if (known === undefined) {
      this.#met.add(sync.peer);
      sync.isOver = true;
      this.#uncount(sync);
      if (sync.isRested) this.#conclude(sync);
      return;
    }
    sync.request = this.#effects.nextNumber();
    this.#requests.set(sync.request, sync);
    const item = encodeAsk(sync.request, sync.isInterest, sync.filters, known);
    if ((await this.#sender.send(sync.peer, item)) === "sent" || this.#syncs.get(sync.peer) !== sync) return;
    this.#end(sync.peer);
    this.#effects.onUnsent(sync.peer);
    this.#fill();
  }

  /** What this node has of what the other one answers for. */
  async #sums(sync: Sync): Promise<KnownValues> {
    const fingerprints: number[] = [];
    // Many nodes are asked at the same time, and each answers for few of these: values of the others cost nothing.
    const answered = this.#values.of(
      (node) => node === sync.peer || (node !== this.#self && !this.#effects.isLive(node)),
    );
    await this.#collect(sync, answered, (fingerprint) => fingerprints.push(fingerprint));
    if (fingerprints.length === 0) {
      return { is: "nothing" };
    }
    sync.bits = digestBits(fingerprints.length);
    const sums = new BucketSums(sync.bits);
    for (const fingerprint of fingerprints) sums.add(fingerprint);
    sync.hasSums = true;
    return { is: "sums", sums };
  }

  /** All that this node has in some of the buckets that differ. */
  async #fingerprints(sync: Sync): Promise<KnownValues> {
    const { bits } = sync;
    const all = new Map(sync.differing.map((bucket) => [bucket, new Set<number>()]));
    await this.#collect(sync, this.#values.values(), (fingerprint) =>
      all.get(bucketOf(fingerprint, bits))?.add(fingerprint),
    );
    const buckets = new Map<number, Set<number>>();
    let bytes = 0;
    for (const [bucket, fingerprints] of all) {
      bytes += FINGERPRINT_BYTES * (fingerprints.size + 1);
      if (bytes > MAX_ASK_BYTES && buckets.size > 0) break;
      buckets.set(bucket, fingerprints);
    }
    sync.differing = sync.differing.slice(buckets.size);
    return { is: "fingerprints", bits, buckets };
  }

  async #collect(
    { filters }: Sync,
    values: Iterable<RetainedValue>,
    take: (fingerprint: number) => void,
  ): Promise<void> {
    for (const value of [...values]) {
      if (this.#budget.spend()) await turn();
      if (filters.some((filter) => matches(filter, value.topic))) take(fingerprintOf(value));
    }
  }

  #uncount(sync: Sync): void {
    if (!sync.isCounted) return;
    sync.isCounted = false;
    this.#count -= 1;
    this.#fill();
  }

  /** It is over, and its node may be asked again. */
  #conclude(sync: Sync): void {
    const { peer, again } = sync;
    this.#end(peer);
    if (again !== undefined) this.want(peer, again);
    this.#fill();
  }

  #end(peer: string): void {
    const sync = this.#syncs.get(peer);
    if (sync === undefined) return;
    this.#syncs.delete(peer);
    this.#requests.delete(sync.request);
    clearTimeout(sync.timer);
    if (sync.isCounted) this.#count -= 1;
    sync.isCounted = false;
  }
}

const WISHES: readonly (SyncWish | undefined)[] = [undefined, "values", "interest", "forgotten"];

function stronger(one: SyncWish | undefined, other: SyncWish): SyncWish {
  return WISHES.indexOf(one) > WISHES.indexOf(other) ? (one as SyncWish) : other;
}

/** Filters in as many questions as it takes. */
function groupsOf(filters: readonly string[]): string[][] {
  const groups: string[][] = [];
  let group: string[] = [];
  let bytes = 0;
  for (const filter of filters) {
    bytes += Buffer.byteLength(filter);
    if (group.length > 0 && (bytes > MAX_ASK_BYTES || group.length >= MAX_ASK_FILTERS)) {
      groups.push(group);
      group = [];
      bytes = Buffer.byteLength(filter);
    }
    group.push(filter);
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
