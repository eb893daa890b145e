/**
 * Values by topic, in byte order, in chunks: a new or removed topic moves at most one chunk. Pure.
 *
 * Names have one character per byte, so they compare as their bytes do.
 */

/** A chunk above this is split in two. */
const MAX_CHUNK = 1_024;

export class SortedTopics<V extends { readonly name: string }> {
  /** In order, none empty. */
  readonly #chunks: V[][] = [];

  set(value: V): void {
    const { name } = value;
    const index = this.#chunkOf(name);
    const chunk = this.#chunks[index];
    if (chunk === undefined) {
      this.#chunks.push([value]);
      return;
    }
    const at = countBelow(chunk, name);
    chunk.splice(at, chunk[at]?.name === name ? 1 : 0, value);
    if (chunk.length > MAX_CHUNK) this.#chunks.splice(index + 1, 0, chunk.splice(MAX_CHUNK / 2));
  }

  delete(name: string): void {
    const index = this.#chunkOf(name);
    const chunk = this.#chunks[index];
    if (chunk === undefined) return;
    const at = countBelow(chunk, name);
    if (chunk[at]?.name !== name) return;
    chunk.splice(at, 1);
    if (chunk.length === 0) this.#chunks.splice(index, 1);
  }

  /**
   * Values under a prefix, at most `max`.
   * @param last topic where an earlier call ended; perhaps removed since
   */
  beneath(prefix: string, last: string | undefined, max: number): V[] {
    const found: V[] = [];
    const from = last !== undefined && last > prefix ? last : prefix;
    let index = this.#chunkOf(from);
    let chunk = this.#chunks[index] ?? [];
    let at = countBelow(chunk, from);
    if (last !== undefined && chunk[at]?.name === last) at += 1;
    while (found.length < max) {
      if (at === chunk.length) {
        index += 1;
        const next = this.#chunks[index];
        if (next === undefined) break;
        chunk = next;
        at = 0;
      }
      const value = chunk[at] as V;
      if (!value.name.startsWith(prefix)) break;
      found.push(value);
      at += 1;
    }
    return found;
  }

  /** Index of the chunk that has this name, or would have it. */
  #chunkOf(name: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#chunks[middle] as V[])[0] as V).name <= name) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** How many names are lower. */
function countBelow(values: readonly { readonly name: string }[], name: string): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as { readonly name: string }).name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
