/**
 * Records of a few words each in chunks of 1 MiB: to the garbage collector ten million of them are some hundred
 * objects. A record's `ref` is chunk << 18 | word; 0: none.
 *
 *   word 0    bits 0–15 bytes of the text, 16–29 words of the payload, 31 dead
 *   payload   as many words
 *   text      UTF-8, filled up to a word
 *
 * When the dead have half the size of the living, the owner moves the living out of the chunk with most of the dead,
 * some with each change, and drops the chunk.
 */

/** Bits of a ref for the word; the others are the chunk's. */
export const CHUNK_SHIFT = 18;
export const WORD_MASK = (1 << CHUNK_SHIFT) - 1;
const CHUNK_WORDS = 1 << CHUNK_SHIFT;

export const DEAD = 0x8000_0000;

export class RecordArena {
  /** By number; a dropped chunk has length 0. */
  readonly words: Uint32Array[] = [];
  readonly bytes: Uint8Array[] = [];
  readonly #used: number[] = [];
  readonly #dead: number[] = [];
  readonly #free: number[] = [];
  #live = 0;
  #deadWords = 0;
  #head = -1;

  /** @param words at most a chunk */
  allocate(words: number): number {
    let chunk = this.#head;
    while (
      chunk === -1 ||
      (this.#used[chunk] as number) + words > (this.words[chunk] as Uint32Array).length
    ) {
      if (chunk === 0 && (this.words[0] as Uint32Array).length < CHUNK_WORDS) this.#growFirst();
      else this.#begin();
      chunk = this.#head;
    }
    const at = this.#used[chunk] as number;
    this.#used[chunk] = at + words;
    this.#live += words;
    return ((chunk << CHUNK_SHIFT) | at) >>> 0;
  }

  free(ref: number, words: number): void {
    const chunk = ref >>> CHUNK_SHIFT;
    const memory = this.words[chunk] as Uint32Array;
    memory[ref & WORD_MASK] = (memory[ref & WORD_MASK] as number) | DEAD;
    this.#dead[chunk] = (this.#dead[chunk] as number) + words;
    this.#deadWords += words;
    this.#live -= words;
  }

  /** The chunk to move records out of, or -1 while the dead are few. */
  victim(): number {
    if (this.#deadWords <= CHUNK_WORDS || this.#deadWords * 2 <= this.#live) return -1;
    let most = -1;
    for (let chunk = 0; chunk < this.#dead.length; chunk++) {
      if (chunk === this.#head) continue;
      if (most === -1 || (this.#dead[chunk] as number) > (this.#dead[most] as number)) most = chunk;
    }
    return most === -1 || this.#dead[most] === 0 ? -1 : most;
  }

  end(chunk: number): number {
    return this.#used[chunk] as number;
  }

  drop(chunk: number): void {
    this.#deadWords -= this.#dead[chunk] as number;
    this.#dead[chunk] = 0;
    this.#used[chunk] = CHUNK_WORDS;
    this.words[chunk] = new Uint32Array(0);
    this.bytes[chunk] = new Uint8Array(0);
    this.#free.push(chunk);
  }

  memory(): number {
    return this.words.reduce((bytes, words) => bytes + words.byteLength, 0);
  }

  #give(chunk: number, length: number): void {
    const memory = new ArrayBuffer(length * 4);
    this.words[chunk] = new Uint32Array(memory);
    this.bytes[chunk] = new Uint8Array(memory);
  }

  #growFirst(): void {
    const before = this.words[0] as Uint32Array;
    this.#give(0, before.length * 2);
    (this.words[0] as Uint32Array).set(before);
  }

  #begin(): void {
    // The rest of the last chunk stays unused.
    if (this.#head !== -1) {
      const rest = CHUNK_WORDS - (this.#used[this.#head] as number);
      this.#dead[this.#head] = (this.#dead[this.#head] as number) + rest;
      this.#deadWords += rest;
    }
    const chunk = this.#free.pop() ?? this.words.length;
    if (chunk === 2 ** (32 - CHUNK_SHIFT)) throw new RangeError("An arena of records has at most 16 GiB");
    this.#give(chunk, this.words.length === 0 ? 1_024 : CHUNK_WORDS);
    // Ref 0: none.
    this.#used[chunk] = chunk === 0 ? 1 : 0;
    this.#dead[chunk] = 0;
    this.#head = chunk;
  }
}
