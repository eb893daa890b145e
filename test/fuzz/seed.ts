/**
 * How much a fuzz test does, and from which seed: a few seconds by default; in the long form
 * a million each of frames, WebSocket frames, upgrades and datagrams. SHOAL_SEED repeats a run; every run prints its own.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LONG } from "../support/long.js";
import { SEEDS_NOW } from "../support/seed.js";

export const SEED = SEEDS_NOW.base;

/** Bytes that the collector may leave for later: what a million inputs would keep of 200 bytes each. */
const MAX_GROWTH = 200_000_000;

/** Inputs kept for good: each was once found interesting, and is tried in every run. */
const CORPUS = fileURLToPath(new URL("./corpus/", import.meta.url));

/** @param long inputs of the long form */
export function runs(short: number, long: number): number {
  return LONG ? long : short;
}

/** ms for a test of a million inputs, on a machine that has other things to do. */
export const LONG_TIMEOUT = runs(300_000, 3_600_000);

/** Fails when memory grows with the number of inputs: what is kept of each adds up. The long form reports each tenth, since it takes minutes. */
export class MemoryBound {
  readonly #interval: number;
  #first: number | undefined = undefined;

  /** @param inputs the whole number of inputs: a tenth of them may warm caches and the compiler */
  constructor(inputs: number) {
    this.#interval = Math.ceil(inputs / 10);
  }

  /** @param done inputs so far */
  check(done: number): void {
    if (done === 0 || done % this.#interval !== 0) return;
    // At once: the test does not turn the event loop, so what a console is given would wait for its end.
    if (LONG) writeSync(2, `fuzz: ${done.toLocaleString("en")} inputs, SHOAL_SEED=${SEED}\n`);
    const { rss } = process.memoryUsage();
    if (this.#first === undefined) this.#first = rss;
    else if (rss > this.#first + MAX_GROWTH)
      throw new Error(`${rss - this.#first} bytes more are in use after ${done} inputs, SHOAL_SEED=${SEED}`);
  }
}

/** Reports what was done, with the seed to do it again. */
export function told(what: string, inputs: number): void {
  console.log(`fuzz: ${what}: ${inputs.toLocaleString("en")} inputs, SHOAL_SEED=${SEED}`);
}

/** Tries so many inputs that `one` makes of the seed's numbers, and reports it. @returns how many */
export function tries(
  what: string,
  [short, long]: readonly [short: number, long: number],
  one: (random: Random, i: number) => void,
): number {
  const [random, inputs] = [new Random(SEED), runs(short, long)];
  const memory = new MemoryBound(inputs);
  for (let i = 0; i < inputs; i++) {
    memory.check(i);
    one(random, i);
  }
  told(what, inputs);
  return inputs;
}

/** The inputs of one kind, by file name; `#` begins a comment in a file, the rest is hex. */
export function corpus(kind: string): [name: string, bytes: Buffer][] {
  return readdirSync(join(CORPUS, kind))
    .sort()
    .map((name) => {
      const text = readFileSync(join(CORPUS, kind, name), "utf8").replace(/#.*$/gm, "");
      return [name, Buffer.from(text.replace(/\s/g, ""), "hex")];
    });
}

/** Keeps an input that failed, so that it is tried from now on. */
export function keep(kind: string, bytes: Uint8Array, why: string): void {
  mkdirSync(join(CORPUS, kind), { recursive: true });
  const hex = Buffer.from(bytes).toString("hex");
  const comment = why.split("\n")[0]?.slice(0, 100) ?? "";
  writeFileSync(join(CORPUS, kind, `found-${SEED}-${hex.slice(0, 16)}.hex`), `# ${comment}\n${hex}\n`);
}

/** A quick generator of reproducible numbers (xorshift), for bytes in bulk; fast-check is for structure. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** 0 to `below` - 1. */
  below(below: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % below;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }

  /** `bytes` with a few of them changed, cut out, doubled or cut off. */
  mutate(bytes: Buffer): Buffer {
    let result: Buffer = Buffer.from(bytes);
    for (let changes = 1 + this.below(3); changes > 0 && result.length > 0; changes--) {
      const at = this.below(result.length);
      const before = result.subarray(0, at);
      const how = this.below(6);
      if (how === 0) result[at] = this.below(256);
      else if (how === 1) result[at] = [0, 0x01, 0x02, 0x04, 0x06, 0x7f, 0x80, 0xff][this.below(8)] as number;
      else if (how === 2) result[at] = (result[at] as number) ^ (1 << this.below(8));
      else if (how === 3) result = Buffer.concat([before, result.subarray(at + 1 + this.below(8))]);
      else if (how === 4)
        result = Buffer.concat([before, this.bytes(1 + this.below(8)), result.subarray(at)]);
      else result = before;
    }
    return result;
  }

  /** The bytes in pieces, cut anywhere; each in memory of its own. */
  pieces(bytes: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const size = this.below(3) === 0 ? 1 + this.below(4) : 1 + this.below(bytes.length - at);
      pieces.push(Buffer.from(bytes.subarray(at, at + size)));
      at += size;
    }
    return pieces;
  }
}
