/**
 * Load of the nodes that serve a service, and the choice of one for a request.
 *
 * Of two random nodes among the nearest with room, the one with the shorter wait is chosen: its requests (plus one)
 * times its latency.
 *
 * After five failures in a row a node gets requests only if no other is left, for a second after each failure.
 */

export interface Candidate {
  readonly id: string;
  /** 0: this node. Nearer nodes with room are preferred. */
  readonly distance: number;
}

/** `refused` is not a failure: it reports the load. */
export type AttemptResult = "ok" | "failed" | "refused" | "given-up";

/** Weight of the newest sample of a latency. */
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
  #failuresInRow = 0;
  #failedAt = Number.NEGATIVE_INFINITY;

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

  isAvoided(now: number): boolean {
    return this.#failuresInRow >= 5 && now - this.#failedAt < 1_000;
  }

  /** @param ms duration; 0: unknown */
  ended(now: number, result: AttemptResult, ms: number): void {
    this.outstanding -= 1;
    if (result === "given-up" || result === "refused") return;
    if (ms > 0) this.latency = this.latency === 0 ? ms : this.latency + NEWEST * (ms - this.latency);
    if (result === "ok") this.#failuresInRow = 0;
    else {
      this.#failuresInRow += 1;
      this.#failedAt = now;
    }
  }
}

/** The nodes of a service. */
export class Balancer {
  readonly #random: () => number;
  nodes: ReadonlyMap<string, NodeLoad> = new Map();
  /** Of the candidates. */
  version = -1;
  /** Nearest first. */
  #tiers: readonly (readonly NodeLoad[])[] = [];

  /** @param random 0 ≤ x < 1 */
  constructor(random: () => number) {
    this.#random = random;
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
   * @param self whether this node may answer
   * @returns `undefined`: no untried node
   */
  pick(now: number, tried: readonly string[], self: boolean): NodeLoad | undefined {
    return this.#pick(now, tried, self, false) ?? this.#pick(now, tried, self, true);
  }

  /** @param any whether nodes that fail are taken, too */
  #pick(now: number, tried: readonly string[], self: boolean, any: boolean): NodeLoad | undefined {
    let full: NodeLoad | undefined;
    for (const tier of this.#tiers) {
      if (!self && tier[0]?.distance === 0) continue;
      const drawn = this.#draw(now, tier, tried, any);
      if (drawn !== undefined) return drawn;
      const usable = tier.filter((node) => (any || !node.isAvoided(now)) && !tried.includes(node.id));
      const free = usable.filter((node) => node.hasRoom(now));
      if (free.length > 0) return cheapest(now, free);
      full ??= cheapest(now, usable);
    }
    return full;
  }

  /** Nearest first. */
  untried(tried: readonly string[], self: boolean): NodeLoad[] {
    return this.#tiers.flat().filter(({ id, distance }) => (self || distance > 0) && !tried.includes(id));
  }

  /** @returns the cheaper of two random usable nodes; `undefined`: neither is usable */
  #draw(
    now: number,
    tier: readonly NodeLoad[],
    tried: readonly string[],
    any: boolean,
  ): NodeLoad | undefined {
    let found: NodeLoad | undefined;
    const draws = tier.length === 1 ? 1 : 8;
    for (let i = 0; i < draws; i++) {
      const node = tier[Math.floor(this.#random() * tier.length)] as NodeLoad;
      if (node === found || !node.hasRoom(now) || tried.includes(node.id)) continue;
      if (!any && node.isAvoided(now)) continue;
      if (found !== undefined) return isCheaper(now, node, found) ? node : found;
      found = node;
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
