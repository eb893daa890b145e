/**
 * The handshakes under way at a socket or a port, and which of them ends when there are too many. Pure; handshake-limit.ts
 * drives it.
 *
 *   groups: peers of one network that have got equally far; of the largest group the oldest ends, but first who is refused
 *
 * If the newest ended, a program that opens connections and stops there would keep all others out; if just the oldest did,
 * one that opens them fast enough would. So it ends its own: peers of other networks are left alone, and of its own those
 * that have got further, or less far, than its many. A network is an address of IPv4, or the 64 bits of IPv6 that one
 * customer gets.
 */

/** How far a peer has got: it is refused, has sent nothing, has sent something, or has completed the transport's own handshake. */
export const HandshakeStage = { refused: 0, silent: 1, begun: 2, secured: 3 } as const;
export type HandshakeStage = (typeof HandshakeStage)[keyof typeof HandshakeStage];

interface Group<K> {
  readonly name: string;
  readonly network: string;
  readonly stage: HandshakeStage;
  /** The oldest first. */
  readonly keys: Set<K>;
}

export class PendingHandshakes<K> {
  readonly #stageOf: (key: K) => HandshakeStage;
  readonly #groups = new Map<string, Group<K>>();
  readonly #of = new Map<K, Group<K>>();
  /** Groups by their sizes, so that the largest is found without a look at all. */
  readonly #bySize: Set<Group<K>>[] = [];
  #largest = 0;
  readonly #refused = new Set<Group<K>>();

  /** @param stageOf asked again when its key may have to end */
  constructor(stageOf: (key: K) => HandshakeStage) {
    this.#stageOf = stageOf;
  }

  get size(): number {
    return this.#of.size;
  }

  /** In the order in which they came. */
  keys(): IterableIterator<K> {
    return this.#of.keys();
  }

  /** @param address of the peer */
  add(key: K, address: string): void {
    this.#put(key, networkOf(address), this.#stageOf(key));
  }

  /** It is over. @returns whether it was here */
  delete(key: K): boolean {
    const group = this.#of.get(key);
    if (group === undefined) return false;
    this.#of.delete(key);
    this.#take(key, group);
    return true;
  }

  /** The one that ends, if one has to; `undefined`: there is none. */
  weakest(): K | undefined {
    for (;;) {
      const [group] = this.#refused.size > 0 ? this.#refused : (this.#bySize[this.#largest] ?? []);
      const [key] = group?.keys ?? [];
      if (group === undefined || key === undefined) return undefined;
      const stage = this.#stageOf(key);
      if (stage === group.stage) return key;
      // Each key moves once per stage: looks cost no more than the steps that the peers have made.
      this.#take(key, group);
      this.#put(key, group.network, stage);
    }
  }

  #put(key: K, network: string, stage: HandshakeStage): void {
    const name = `${stage} ${network}`;
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { name, network, stage, keys: new Set() };
      this.#groups.set(name, group);
      if (stage === HandshakeStage.refused) this.#refused.add(group);
    }
    this.#bySize[group.keys.size]?.delete(group);
    group.keys.add(key);
    this.#of.set(key, group);
    const { size } = group.keys;
    this.#bySize[size] ??= new Set();
    this.#bySize[size]?.add(group);
    this.#largest = Math.max(this.#largest, size);
  }

  #take(key: K, group: Group<K>): void {
    this.#bySize[group.keys.size]?.delete(group);
    group.keys.delete(key);
    if (group.keys.size === 0) {
      this.#groups.delete(group.name);
      this.#refused.delete(group);
    } else this.#bySize[group.keys.size]?.add(group);
    // The group that was the largest has one less now, and is the largest still.
    if (this.#bySize[this.#largest]?.size === 0) this.#largest -= 1;
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
