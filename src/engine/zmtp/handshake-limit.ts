/**
 * Limits the handshakes in progress at a socket or port. Pure.
 *
 *   add --more than the limit--> the excess ends after the input of this turn of the event loop was read
 *      `--more than twice--> at once
 *
 * The oldest handshake of the network with the most handshakes ends. Peers that the program is asked about do not
 * count: Admission bounds them by the same limit, and their eviction would let nobody in when the hook is slow.
 * Many connections are accepted before any input is read, so ending an excess at once would end peers among a flood.
 */
export class HandshakeLimit<K> {
  readonly #keys = new Map<string, Set<K>>();
  readonly #networks = new Map<K, string>();
  readonly #limit: () => number;
  readonly #evict: (key: K, limit: number) => void;
  /** Upper bound on one network's handshakes. */
  #most = 0;
  #isScheduled = false;

  /** @param evict ends a handshake, and calls `delete` */
  constructor(limit: () => number, evict: (key: K, limit: number) => void) {
    this.#limit = limit;
    this.#evict = evict;
  }

  get size(): number {
    return this.#networks.size;
  }

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

  delete(key: K): void {
    const network = this.#networks.get(key);
    if (network === undefined) return;
    this.#networks.delete(key);
    const keys = this.#keys.get(network);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(network);
  }

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

/** An IPv4 address, or the 64 bits of an IPv6 one that one customer gets. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.replace(/%.*$/, "").split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const end = tail === "" ? [] : tail.split(":");
    while (groups.length + end.length < 8) groups.push("0");
    groups.push(...end);
  }
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}
