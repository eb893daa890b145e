/**
 * The handshakes under way at a socket or a port, and which of them ends when there are too many. Pure.
 *
 *   of the network that has the most of them --> those that have got least far --> the oldest
 *
 * If the newest ended, a program that opens connections and stops there would keep all others out; if just the oldest did,
 * one that opens them fast enough would. So it ends its own: peers of other networks are left alone, and of its own those
 * that have sent something. A network is an address of IPv4, or the 64 bits of IPv6 that one customer gets.
 */

/** How far a peer has got: it is refused, has sent nothing, has sent something, or has completed the transport's own handshake. */
export const HandshakeStage = { refused: 0, silent: 1, begun: 2, secured: 3 } as const;
export type HandshakeStage = (typeof HandshakeStage)[keyof typeof HandshakeStage];

const STAGES = 4;

interface Network<K> {
  readonly name: string;
  /** By stage, as it was when somebody last looked; the oldest first. */
  readonly stages: readonly Set<K>[];
  count: number;
}

export class PendingHandshakes<K> {
  readonly #stageOf: (key: K) => HandshakeStage;
  readonly #networks = new Map<string, Network<K>>();
  readonly #of = new Map<K, Network<K>>();
  /** Networks by their counts, so that the largest is found without a look at all. */
  readonly #byCount: Set<Network<K>>[] = [];
  #most = 0;

  /** @param stageOf only grows */
  constructor(stageOf: (key: K) => HandshakeStage) {
    this.#stageOf = stageOf;
  }

  get size(): number {
    return this.#of.size;
  }

  /** In no order. */
  keys(): IterableIterator<K> {
    return this.#of.keys();
  }

  /** @param address of the peer */
  add(key: K, address: string): void {
    const name = networkOf(address);
    let network = this.#networks.get(name);
    if (network === undefined) {
      network = { name, stages: Array.from({ length: STAGES }, () => new Set<K>()), count: 0 };
      this.#networks.set(name, network);
    }
    network.stages[HandshakeStage.refused]?.add(key);
    this.#of.set(key, network);
    this.#count(network, 1);
  }

  /** It is over. @returns whether it was here */
  delete(key: K): boolean {
    const network = this.#of.get(key);
    if (network === undefined) return false;
    this.#of.delete(key);
    for (const stage of network.stages) if (stage.delete(key)) break;
    this.#count(network, -1);
    if (network.count === 0) this.#networks.delete(network.name);
    return true;
  }

  /** The one that ends, if one has to; `undefined`: there is none. */
  weakest(): K | undefined {
    const [largest] = this.#byCount[this.#most] ?? [];
    if (largest === undefined) return undefined;
    for (const [stage, keys] of largest.stages.entries()) {
      for (const key of keys) {
        const now = this.#stageOf(key);
        if (now <= stage) return key;
        // Each key moves once per stage: a look costs no more than the steps that the peers have made.
        keys.delete(key);
        largest.stages[now]?.add(key);
      }
    }
    return undefined;
  }

  #count(network: Network<K>, by: 1 | -1): void {
    this.#byCount[network.count]?.delete(network);
    network.count += by;
    if (network.count > 0) {
      this.#byCount[network.count] ??= new Set();
      this.#byCount[network.count]?.add(network);
    }
    if (network.count > this.#most) this.#most = network.count;
    // The network that had the most has one less now, and is the largest still.
    else if (this.#byCount[this.#most]?.size === 0) this.#most -= 1;
  }
}

/** What counts as one source of connections: an address of IPv4, or the first 64 bits of one of IPv6. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const end = tail === "" ? 0 : tail.split(":").length;
    while (groups.length + end < 8) groups.push("0");
  }
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}
