/** The subscriptions that subscribers have at a cache, for when it begins to serve. Pure. */

/** Subscriptions from which on those that have ended are looked for. */
const MIN_PRUNE = 1_024;

export class Subscriptions<P> {
  readonly #wants: (peer: P, prefix: string) => boolean;
  readonly #prefixes = new Map<P, Set<string>>();
  #count = 0;
  #pruneAt = MIN_PRUNE;

  /** @param wants whether a subscriber is there and has the prefix still: nothing else says when a subscription ends */
  constructor(wants: (peer: P, prefix: string) => boolean) {
    this.#wants = wants;
  }

  /** How many are kept, some of which may have ended: at most twice those that are there, and a thousand. */
  get size(): number {
    return this.#count;
  }

  add(peer: P, prefix: string): void {
    let prefixes = this.#prefixes.get(peer);
    if (prefixes === undefined) {
      prefixes = new Set();
      this.#prefixes.set(peer, prefixes);
    }
    if (prefixes.has(prefix)) return;
    prefixes.add(prefix);
    this.#count += 1;
    if (this.#count >= this.#pruneAt) this.#prune();
  }

  /** Calls back for each that is there still. */
  forEach(callback: (peer: P, prefix: string) => void): void {
    this.#prune();
    for (const [peer, prefixes] of this.#prefixes) for (const prefix of prefixes) callback(peer, prefix);
  }

  #prune(): void {
    for (const [peer, prefixes] of this.#prefixes) {
      for (const prefix of prefixes) {
        if (this.#wants(peer, prefix)) continue;
        prefixes.delete(prefix);
        this.#count -= 1;
      }
      if (prefixes.size === 0) this.#prefixes.delete(peer);
    }
    this.#pruneAt = MIN_PRUNE + 2 * this.#count;
  }
}
