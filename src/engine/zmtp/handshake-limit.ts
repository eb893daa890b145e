/**
 * Keeps the handshakes under way within a limit (pending-handshakes.ts says which of them end).
 *
 *   add --more than the limit--> once what has come in this turn of the event loop is read: the weakest end
 *      `--more than twice--> at once
 *
 * Connections are accepted many at once, before anything that their peers sent is read: if they ended there and then, a
 * peer among a flood would never be looked at.
 */
import { type HandshakeStage, PendingHandshakes } from "./pending-handshakes.js";

export class HandshakeLimit<K> {
  readonly #pending: PendingHandshakes<K>;
  readonly #limit: () => number;
  readonly #evict: (key: K, limit: number) => void;
  #isScheduled = false;

  /**
   * @param limit as it is now
   * @param evict ends a handshake, which it deletes here
   */
  constructor(
    stageOf: (key: K) => HandshakeStage,
    limit: () => number,
    evict: (key: K, limit: number) => void,
  ) {
    this.#pending = new PendingHandshakes(stageOf);
    this.#limit = limit;
    this.#evict = evict;
  }

  get size(): number {
    return this.#pending.size;
  }

  keys(): IterableIterator<K> {
    return this.#pending.keys();
  }

  /** @param address of the peer */
  add(key: K, address: string): void {
    const limit = this.#limit();
    if (this.size >= 2 * limit) this.evictOne();
    this.#pending.add(key, address);
    if (this.size <= limit || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#trim).unref();
  }

  /** It is over. */
  delete(key: K): void {
    this.#pending.delete(key);
  }

  /** @returns whether one has ended */
  evictOne(): boolean {
    const weakest = this.#pending.weakest();
    if (weakest === undefined) return false;
    this.#evict(weakest, this.#limit());
    return true;
  }

  #trim = (): void => {
    this.#isScheduled = false;
    while (this.size > this.#limit() && this.evictOne());
  };
}
