/** Subscribers' subscriptions, for when the cache becomes active. Pure. */

const MIN_PRUNE = 1_024;

export class Subscriptions<P> {
  readonly #wants: (peer: P, prefix: string) => boolean;
  readonly #prefixes = new Map<P, Set<string>>();
  #count = 0;
  #pruneAt = MIN_PRUNE;

  /**
   * @param wants whether a subscriber is connected and still has the prefix: the end of a subscription is not reported
   */
  constructor(wants: (peer: P, prefix: string) => boolean) {
    this.#wants = wants;
  }

  /** At most twice the active ones plus a thousand. */
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
