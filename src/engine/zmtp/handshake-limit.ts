/**
 * Keeps the handshakes under way at a socket or a port within a limit. Pure.
 *
 *   add --more than the limit--> once what has come in this turn of the event loop is read: some end
 *      `--more than twice--> at once
 *
 * The oldest handshake of the network that has the most of them ends. If the newest ended, a program that opens connections
 * and stops there would keep all others out; if the oldest of all did, one that opens them fast enough would. So it ends
 * its own. A network is an address of IPv4, or the 64 bits of IPv6 that one customer gets.
 *
 * Connections are accepted many at once, before anything that their peers sent is read: if they ended there and then, a
 * peer among a flood would never be looked at.
 */
export class HandshakeLimit<K> {
  /** By network, the oldest first. */
  readonly #keys = new Map<string, Set<K>>();
  readonly #networks = new Map<K, string>();
  readonly #limit: () => number;
  readonly #evict: (key: K, limit: number) => void;
  /** No network has more: of a flood from many networks, the first one looked at has as many. */
  #most = 0;
  #isScheduled = false;

  /**
   * @param limit as it is now
   * @param evict ends a handshake, which it deletes here
   */
  constructor(limit: () => number, evict: (key: K, limit: number) => void) {
    this.#limit = limit;
    this.#evict = evict;
  }

  get size(): number {
    return this.#networks.size;
  }

  /** @param address of the peer */
  add(key: K, address: string): void {
    const limit = this.#limit();
    if (this.size >= 2 * limit) this.evictOne();
    const network = networkOf(address);
    this.#networks.set(key, network);
    const keys = this.#keys.get(network) ?? new Set();
    this.#keys.set(network, keys.add(key));
    this.#most = Math.max(this.#most, keys.size);
    if (this.size <= limit || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#trim).unref();
  }

  /** It is over. */
  delete(key: K): void {
    const network = this.#networks.get(key);
    if (network === undefined) return;
    this.#networks.delete(key);
    const keys = this.#keys.get(network);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(network);
  }

  /** @returns whether one has ended */
  evictOne(): boolean {
    let largest: Set<K> | undefined;
    for (const keys of this.#keys.values()) {
      if (largest === undefined || keys.size > largest.size) largest = keys;
      if (largest.size === this.#most) break;
    }
    if (largest === undefined) return false;
    this.#most = largest.size;
    const [oldest] = largest;
    this.#evict(oldest as K, this.#limit());
    return true;
  }

  #trim = (): void => {
    this.#isScheduled = false;
    while (this.size > this.#limit() && this.evictOne());
  };
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
