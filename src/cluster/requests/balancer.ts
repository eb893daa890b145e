/**
 * Chooses the least loaded of the nearest nodes with room, and avoids nodes that fail while others do not.
 *
 *   candidates ── not ejected ── nearest with room ── two at random ── the cheaper
 *
 * A node's cost is its requests (this node's count or its own last report) times its latency. Requests with
 * an idempotency key go to the node with the highest hash with the key, even if it fails or is full: all
 * callers choose alike.
 *
 *   in ──five failures in a row, while others do not───────────> ejected ──time──> on trial: one request at a time
 *   ^────────────────────────────────────success──────────────────────────────────────────┘ │
 *                                        ejected ^──failure, twice the time──────────────────┘
 *
 * At most half of a service's nodes are ejected, and they serve if no others are left.
 */

import { fnv1a } from "../../core/bytes.js";
import { backOff } from "../../core/timers.js";
import type { RequestsEvent } from "./types.js";

export interface Candidate {
  readonly id: string;
  /** 0: this node. Nearer nodes with room are preferred. */
  readonly distance: number;
}

/** `refused` is not a failure: it reports the load. */
export type AttemptResult = "ok" | "failed" | "refused" | "given-up";

/** Weight of the newest sample in averages. */
const NEWEST = 0.2;

export class NodeLoad {
  readonly id: string;
  distance: number;
  /** Requests in flight. */
  outstanding = 0;
  /** Last report. */
  busy = 0;
  slots = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;
  /** Average in ms; 0: unknown. */
  latency = 0;
  failuresInRow = 0;
  ejections = 0;
  ejectedUntil = Number.NEGATIVE_INFINITY;

  constructor({ id, distance }: Candidate) {
    this.id = id;
    this.distance = distance;
  }

  report(now: number, busy: number, slots: number): void {
    this.busy = busy;
    this.slots = slots;
    this.#reportedAt = now;
  }

  load(now: number): number {
    return now - this.#reportedAt <= 1_000 ? Math.max(this.outstanding, this.busy) : this.outstanding;
  }

  hasRoom(now: number): boolean {
    return this.slots === 0 || this.load(now) < this.slots;
  }

  /** Among nodes that answer at once, the count decides. */
  cost(now: number): number {
    return (1 + this.load(now)) * Math.max(this.latency, 0.05);
  }

  isEjected(now: number): boolean {
    return now < this.ejectedUntil;
  }

  /** Ejected, or on trial with a request in flight. */
  isAvoided(now: number): boolean {
    return this.isEjected(now) || (this.ejections > 0 && this.outstanding > 0);
  }
}

export class Balancer {
  readonly #service: string;
  readonly #random: () => number;
  readonly #report: (event: RequestsEvent) => void;
  nodes: ReadonlyMap<string, NodeLoad> = new Map();
  /** Nearest first. */
  #tiers: readonly (readonly NodeLoad[])[] = [];
  #failureRate = 0;

  /** @param random 0 ≤ x < 1 */
  constructor(service: string, random: () => number, report: (event: RequestsEvent) => void) {
    this.#service = service;
    this.#random = random;
    this.#report = report;
  }

  /** Known nodes keep their state. */
  setCandidates(candidates: readonly Candidate[]): void {
    const nodes = new Map<string, NodeLoad>();
    const tiers = new Map<number, NodeLoad[]>();
    for (const candidate of candidates) {
      const node = this.nodes.get(candidate.id) ?? new NodeLoad(candidate);
      node.distance = candidate.distance;
      nodes.set(node.id, node);
      const tier = tiers.get(node.distance);
      if (tier === undefined) tiers.set(node.distance, [node]);
      else tier.push(node);
    }
    this.nodes = nodes;
    this.#tiers = [...tiers].sort(([one], [other]) => one - other).map(([, tier]) => tier);
  }

  /**
   * @param tried nodes to skip
   * @param key idempotency key, or ""
   * @returns `undefined`: no untried node
   */
  pick(now: number, tried: readonly string[], key: string): NodeLoad | undefined {
    if (key !== "") return this.#pickByKey(tried, key);
    let full: NodeLoad | undefined;
    for (const tier of this.#tiers) {
      const drawn = this.#draw(now, tier, tried);
      if (drawn !== undefined) return drawn;
      const usable = tier.filter((node) => !node.isAvoided(now) && !tried.includes(node.id));
      const free = usable.filter((node) => node.hasRoom(now));
      if (free.length > 0) return cheapest(now, free);
      full ??= cheapest(now, usable);
    }
    if (full !== undefined) return full;
    // Ejected nodes.
    return cheapest(
      now,
      this.#tiers.flat().filter(({ id }) => !tried.includes(id)),
    );
  }

  /** @param ms duration; 0: unknown */
  ended(now: number, node: NodeLoad, result: AttemptResult, ms: number): void {
    node.outstanding -= 1;
    if (result === "given-up" || result === "refused") return;
    if (ms > 0) node.latency = node.latency === 0 ? ms : node.latency + NEWEST * (ms - node.latency);
    const failed = result === "failed";
    this.#failureRate += NEWEST * ((failed ? 1 : 0) - this.#failureRate);
    if (!failed) {
      node.failuresInRow = 0;
      if (node.ejections > 0 && !node.isEjected(now)) {
        node.ejections = 0;
        this.#report({ type: "service:restored", service: this.#service, node: node.id });
      }
      return;
    }
    node.failuresInRow += 1;
    const isOnTrial = node.ejections > 0 && !node.isEjected(now);
    if ((node.failuresInRow >= 5 || isOnTrial) && !node.isEjected(now)) this.#eject(now, node);
  }

  #eject(now: number, node: NodeLoad): void {
    if (this.nodes.get(node.id) !== node) return;
    let ejected = 0;
    let healthy = 0;
    for (const each of this.nodes.values()) {
      if (each === node) continue;
      if (each.isEjected(now)) ejected += 1;
      else if (each.failuresInRow === 0) healthy += 1;
    }
    if (2 * (ejected + 1) > this.nodes.size) return;
    // A failing dependency or request is the cause, not a node.
    if (healthy === 0 || (this.#failureRate >= 0.5 && 2 * healthy < this.nodes.size - 1)) return;
    const ms = backOff(node.ejections, 1_000, 60_000, this.#random);
    node.ejections += 1;
    node.ejectedUntil = now + ms;
    this.#report({ type: "service:ejected", service: this.#service, node: node.id, ms });
  }

  /** @returns the cheaper of two random usable nodes; `undefined`: neither is usable */
  #draw(now: number, tier: readonly NodeLoad[], tried: readonly string[]): NodeLoad | undefined {
    let found: NodeLoad | undefined;
    const draws = tier.length === 1 ? 1 : 8;
    for (let i = 0; i < draws; i++) {
      const node = tier[Math.floor(this.#random() * tier.length)] as NodeLoad;
      if (
        node === found ||
        node.isAvoided(now) ||
        !node.hasRoom(now) ||
        tried.includes(node.id)
      )
        continue;
      if (found !== undefined) return isCheaper(now, node, found) ? node : found;
      found = node;
    }
    return found;
  }

  #pickByKey(tried: readonly string[], key: string): NodeLoad | undefined {
    let found: NodeLoad | undefined;
    let highest = 0;
    for (const node of this.nodes.values()) {
      if (tried.includes(node.id)) continue;
      const rank = rankOf(key, node.id);
      if (found !== undefined && (rank < highest || (rank === highest && node.id < found.id))) continue;
      found = node;
      highest = rank;
    }
    return found;
  }
}

function cheapest(now: number, nodes: readonly NodeLoad[]): NodeLoad | undefined {
  let found: NodeLoad | undefined;
  for (const node of nodes) if (found === undefined || isCheaper(now, node, found)) found = node;
  return found;
}

/** Compares loads until both latencies are known. */
function isCheaper(now: number, one: NodeLoad, other: NodeLoad): boolean {
  if (one.latency === 0 || other.latency === 0) return one.load(now) < other.load(now);
  return one.cost(now) < other.cost(now);
}

/** Rank of a node for a key: 32 bits, equal at all callers. */
export function rankOf(key: string, id: string): number {
  const bytes = Buffer.from(`${key}\0${id}`);
  let hash = fnv1a(bytes, 0, bytes.length);
  // MurmurHash3's finalizer: FNV's low bits are weak, and ids differ in few bytes.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
