/** Messages for parsers of frames: good ones, good ones with something wrong, and rubbish. */
import { expect } from "vitest";
import { Random, runs, SEED, told } from "./seed.js";

/** One parser, with messages that it takes and what has to hold of whatever it makes of any. */
export interface Target {
  readonly name: string;
  readonly good: readonly (readonly (Uint8Array | string)[])[];
  /** Those that it just does not take, which chance would hardly find. */
  readonly bad?: readonly (readonly (Uint8Array | string)[])[];
  /** Parses them; fails when what comes out does not fit what went in. @returns whether they were taken */
  check(frames: Buffer[]): boolean;
}

type Frames = readonly Buffer[];

/** Frames with a few of them changed, lost, doubled, swapped, emptied or put in. */
export function mutated(random: Random, frames: Frames, others: readonly Frames[]): Buffer[] {
  const result: Buffer[] = frames.map((frame) => Buffer.from(frame));
  for (let changes = 1 + random.below(2); changes > 0; changes--) {
    const at = random.below(result.length + 1);
    const frame = result[at];
    const how = random.below(9);
    if (how === 0) result.splice(at, 1);
    else if (how === 1) result.splice(at, 0, Buffer.alloc(0));
    else if (how === 2) result.splice(at, 0, random.bytes(1 + random.below(40)));
    else if (how === 4) {
      const other = others[random.below(others.length)] ?? [];
      const [taken] = other.slice(random.below(other.length + 1));
      if (taken !== undefined) result.splice(at, 0, Buffer.from(taken));
    } else if (frame === undefined) continue;
    else if (how === 3) result.splice(at, 0, Buffer.from(frame));
    else if (how === 5) result[at] = Buffer.concat([frame, random.bytes(1 + random.below(3))]);
    else result[at] = frame.length > 0 ? random.mutate(frame) : random.bytes(random.below(3));
  }
  return result;
}

/** Gives the target its good messages, then many that are near them. */
export function fuzz({ name, good, bad = [], check }: Target, short = 400, long = 30_000): void {
  const seeds = good.map((frames) => frames.map((frame) => Buffer.from(frame as Uint8Array)));
  for (const frames of seeds) {
    const asked = frames.map((frame) => Buffer.from(frame));
    expect(check(asked), `${name}: ${show(frames)}`).toBe(true);
  }
  for (const frames of bad) {
    const asked = frames.map((frame) => Buffer.from(frame as Uint8Array));
    expect(check(asked), `${name}: ${show(asked)}`).toBe(false);
    seeds.push(asked);
  }
  const random = new Random(SEED);
  const count = runs(short, long);
  let taken = 0;
  for (let i = 0; i < count; i++) {
    const from = seeds[random.below(seeds.length)] as Buffer[];
    const frames = random.below(20) === 0 ? rubbish(random) : mutated(random, from, seeds);
    const copy = frames.map((frame) => Buffer.from(frame));
    try {
      if (check(frames)) taken += 1;
      // A parser reads.
      expect(frames.map(hex)).toEqual(copy.map(hex));
    } catch (error) {
      throw new Error(`${name}, SHOAL_SEED=${SEED}: ${show(copy)}`, { cause: error });
    }
  }
  told(`${name}, ${taken.toLocaleString("en")} of them taken`, count);
}

function rubbish(random: Random): Buffer[] {
  return Array.from({ length: random.below(7) }, () => random.bytes(random.below(4) * random.below(20)));
}

export const hex = (frame: Uint8Array | string): string => Buffer.from(frame as Uint8Array).toString("hex");

function show(frames: readonly Buffer[]): string {
  return `[${frames.map((frame) => JSON.stringify(frame.toString("latin1"))).join(", ")}]`;
}

/** Fails unless the same frames come out again. */
export function same(encoded: readonly (Uint8Array | string)[], frames: readonly Buffer[]): void {
  expect(encoded.map(hex)).toEqual(frames.map(hex));
}
