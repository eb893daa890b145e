/**
 * Random numbers from a seed, or from a recorded tape of choices, so that runs shrink (shrink.ts).
 *
 * A choice is a number from 0 up to 1, smaller is simpler: 0 is a range's minimum, the first item, and `false`, so no
 * choices mean no faults.
 *
 * @example
 * ```ts
 * import { Random } from "shoal/testing";
 *
 * const [one, two] = [new Random(7), new Random(7)];
 * console.log(one.integer(0, 1_000) === two.integer(0, 1_000)); // true
 * ```
 */
export class Random {
  #state: number;
  readonly #tape: readonly number[] | undefined;
  readonly #limit: number;
  #read = 0;
  /** The choices so far, if recorded. */
  readonly choices: number[] | undefined;

  /**
   * @param source a seed, or choices to repeat before zeros
   * @param limit choices until a tape throws TapeOverrun, since a run without random numbers may not end
   */
  constructor(source: number | readonly number[], record = false, limit?: number) {
    this.#state = typeof source === "number" ? source >>> 0 : 0;
    this.#tape = typeof source === "number" ? undefined : source;
    this.#limit = limit ?? 4 * (this.#tape?.length ?? 0) + 10_000;
    this.choices = record ? [] : undefined;
  }

  next(): number {
    const choice = this.#tape === undefined ? this.#mix() : this.#fromTape();
    this.choices?.push(choice);
    return choice;
  }

  /** Both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    // A choice of 0 is `false` for any probability.
    return this.next() >= 1 - probability;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error("Nothing to pick from");
    return items[this.integer(0, items.length - 1)] as T;
  }

  /** Mixes a counter; period 2³². */
  #mix(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(this.next() * 256);
  }

  #fromTape(): number {
    const choice = this.#tape?.[this.#read++] ?? 0;
    if (this.#read > this.#limit) throw new TapeOverrun();
    return choice;
  }
}

/** Makes parts of a run draw independently. */
export function seedFor(seed: number, name: string): number {
  let hash = (seed ^ 0x811c9dc5) >>> 0;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return new Random(hash).integer(0, 0xffff_ffff);
}

/** The story needs random numbers to end, which shows nothing about the tested code. */
export class TapeOverrun extends Error {}
