/** Sorted keys, in pieces of bounded length: adding or removing one moves at most a few hundred others. */

/** Keys of a piece; a longer one is split. */
const MAX_PIECE = 512;

export class SortedKeys {
  readonly #pieces: string[][] = [];

  /** The key must be new. */
  add(key: string): void {
    const at = Math.max(0, this.#pieceOf(key));
    const piece = this.#pieces[at];
    if (piece === undefined) {
      this.#pieces.push([key]);
      return;
    }
    if ((piece.at(-1) as string) < key) piece.push(key);
    else piece.splice(firstAtLeast(piece, key), 0, key);
    if (piece.length > MAX_PIECE) this.#pieces.splice(at + 1, 0, piece.splice(MAX_PIECE >> 1));
  }

  delete(key: string): void {
    const at = this.#pieceOf(key);
    const piece = this.#pieces[at];
    if (piece === undefined) return;
    const index = firstAtLeast(piece, key);
    if (piece[index] !== key) return;
    piece.splice(index, 1);
    if (piece.length === 0) this.#pieces.splice(at, 1);
  }

  clear(): void {
    this.#pieces.length = 0;
  }

  /** Equal and greater keys. */
  *from(key: string): IterableIterator<string> {
    const first = Math.max(0, this.#pieceOf(key));
    for (let at = first; at < this.#pieces.length; at++) {
      const piece = this.#pieces[at] as string[];
      for (let i = at === first ? firstAtLeast(piece, key) : 0; i < piece.length; i++)
        yield piece[i] as string;
    }
  }

  /** The last piece whose first key is equal or less; -1: none. */
  #pieceOf(key: string): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#pieces[middle]?.[0] as string) <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function firstAtLeast(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
