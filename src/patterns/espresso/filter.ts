/** Which messages a tap copies: by topic, size and sample. */
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { anything, checkOptions, choice, func, type Given, integer } from "../../kit/options.js";
import type { ProxySide } from "../../sockets/pump.js";

const FILTER = {
  /** Side of the proxy. Default: both. */
  from: choice(["frontend", "backend"]),
  /** Prefixes of the first frame. Default: all. */
  topics: anything<string | Uint8Array | readonly (string | Uint8Array)[]>(),
  /**
   * Runs last. An error counts as `false`: event `predicate:failed` of a tap, `predicateFailures` in a listener's
   * statistics. Must not keep the frames.
   */
  where: func<(frames: readonly Buffer[], from: ProxySide | undefined) => boolean>(),
};

const SAMPLE = {
  /** Every Nth, starting with the first. Default 1: all. */
  oneIn: integer({ default: 1 }),
};

/** Selects messages that pass all conditions. */
export type EspressoFilter = Given<typeof FILTER>;

export type EspressoSample = Given<typeof SAMPLE>;

export type Verdict = "taken" | "filtered" | "sampled";

/** @throws InvalidArgumentError `EINVAL` */
export function prefixesOf(topics: EspressoFilter["topics"]): Buffer[] {
  if (topics === undefined) return [];
  const list = typeof topics === "string" || isBytes(topics) ? [topics] : topics;
  if (!Array.isArray(list))
    throw new InvalidArgumentError(`topics must be a list of prefixes; got ${typeof topics}`);
  return list.map((topic: unknown) => {
    if (typeof topic === "string" || isBytes(topic)) return Buffer.from(topic as string);
    throw new InvalidArgumentError(`A topic prefix must be a string or bytes; got ${typeof topic}`);
  });
}

export function startsWith(frame: Buffer, prefix: Buffer): boolean {
  const { length } = prefix;
  if (frame.length < length) return false;
  // Most mismatches differ in the first byte.
  if (length === 0) return true;
  return frame[0] === prefix[0] && frame.compare(prefix, 0, length, 0, length) === 0;
}

export function sizeOf(frames: readonly Buffer[]): number {
  let size = 0;
  for (let i = 0; i < frames.length; i++) size += (frames[i] as Buffer).length;
  return size;
}

export class Filter {
  failures = 0;
  readonly #from: ProxySide | undefined;
  readonly #prefixes: readonly Buffer[];
  readonly #where: EspressoFilter["where"];
  readonly #oneIn: number;
  readonly #whereOnFailed: (error: unknown) => void;
  #wanted = 0;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(
    filter: EspressoFilter,
    sample: EspressoSample,
    whereOnFailed: (error: unknown) => void = () => undefined,
  ) {
    const { from, topics, where } = checkOptions("a tap's filter", FILTER, filter);
    const { oneIn } = checkOptions("a tap's sample", SAMPLE, sample);
    this.#from = from;
    this.#prefixes = prefixesOf(topics);
    this.#where = where;
    this.#oneIn = oneIn;
    this.#whereOnFailed = whereOnFailed;
  }

  /** @param frames perhaps truncated */
  decide(from: ProxySide | undefined, frames: readonly Buffer[]): Verdict {
    if (!this.#wants(from, frames)) return "filtered";
    this.#wanted += 1;
    return this.#oneIn > 1 && (this.#wanted - 1) % this.#oneIn !== 0 ? "sampled" : "taken";
  }

  #wants(from: ProxySide | undefined, frames: readonly Buffer[]): boolean {
    if (this.#from !== undefined && from !== this.#from) return false;
    const prefixes = this.#prefixes;
    if (prefixes.length > 0) {
      const topic = frames[0] as Buffer;
      let matches = false;
      for (let i = 0; i < prefixes.length && !matches; i++)
        matches = startsWith(topic, prefixes[i] as Buffer);
      if (!matches) return false;
    }
    if (this.#where === undefined) return true;
    try {
      return this.#where(frames, from) === true;
    } catch (error) {
      this.failures += 1;
      this.#whereOnFailed(error);
      return false;
    }
  }
}
