/** Counts missed records by their numbers. Pure. */
import type { RecordNumber } from "./protocol.js";

/** One per prefix and tap. */
const MAX_GENERATIONS = 1_024;

export class Gaps {
  readonly #last = new Map<number, number>();

  /**
   * @param prefix length of the one subscribed prefix that the record matches
   * @returns records missed just before this one
   */
  note(prefix: number, numbers: readonly RecordNumber[]): number {
    for (const { length, generation, number } of numbers) {
      if (length !== prefix) continue;
      const last = this.#last.get(generation);
      if (last === undefined && this.#last.size >= MAX_GENERATIONS) {
        const [oldest] = this.#last.keys();
        this.#last.delete(oldest as number);
      }
      this.#last.set(generation, number);
      return last === undefined ? 0 : Math.max(0, number - last - 1);
    }
    return 0;
  }
}
