/** Filter and sample of the tap and the listener. Pure. */
import { isBytes } from "../../core/bytes.js";
import type { Clock } from "../../core/clock.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { ProxySide } from "../../sockets/pump.js";
import { checkCount, checkFunction, checkKeys } from "../kit/options.js";

/** Largest size that a filter accepts, in bytes. */
const MAX_SIZE = Number.MAX_SAFE_INTEGER;

/** Selects messages that pass all given conditions. */
export interface EspressoFilter {
  /** Side of the proxy that the message came from. Default: both. */
  readonly from?: ProxySide;
  /** Prefixes of the first frame. Default: all. */
  readonly topics?: string | Uint8Array | readonly (string | Uint8Array)[];
  /** Minimum bytes of all frames. Default 0. */
  readonly minSize?: number;
  /** Maximum bytes of all frames. Default: no limit. */
  readonly maxSize?: number;
  /** Runs last. An error counts as `false`, with an event at most once per second. Must not keep the frames. */
  readonly where?: (frames: readonly Buffer[], from: ProxySide | undefined) => boolean;
}

/** How many of the selected messages are taken. */
export interface EspressoSample {
  /** Every Nth, starting with the first. Default 1: all. */
  readonly oneIn?: number;
  /** Limit per second. Default: no limit. */
  readonly perSecond?: number;
}

/** Outcome for a message. */
export type Verdict = "taken" | "filtered" | "sampled";

/** @throws InvalidArgumentError `EINVAL` unless a prefix or a list of them */
export function prefixesOf(topics: EspressoFilter["topics"]): Buffer[] {
  if (topics === undefined) return [];
  const list = typeof topics === "string" || isBytes(topics) ? [topics] : topics;
  if (!Array.isArray(list))
    throw new InvalidArgumentError(`topics is a list of prefixes; got ${typeof topics}`);
  return list.map((topic: unknown) => {
    if (typeof topic === "string" || isBytes(topic)) return Buffer.from(topic as string);
    throw new InvalidArgumentError(`A topic prefix is a string or bytes; got ${typeof topic}`);
  });
}

export function startsWith(frame: Buffer, prefix: Buffer): boolean {
  const { length } = prefix;
  if (frame.length < length) return false;
  // Most mismatches differ in the first byte, and the call costs more than the comparison.
  if (length === 0) return true;
  return frame[0] === prefix[0] && frame.compare(prefix, 0, length, 0, length) === 0;
}

export function sizeOf(frames: readonly Buffer[]): number {
  let size = 0;
  for (let i = 0; i < frames.length; i++) size += (frames[i] as Buffer).length;
  return size;
}

export class Filter {
  /** Times that `where` threw. */
  failures = 0;
  readonly #from: ProxySide | undefined;
  readonly #prefixes: readonly Buffer[];
  readonly #minSize: number;
  readonly #maxSize: number;
  readonly #where: EspressoFilter["where"];
  readonly #oneIn: number;
  readonly #perSecond: number;
  readonly #clock: Clock;
  readonly #whereOnFailed: (error: unknown) => void;
  #wanted = 0;
  #second = Number.NEGATIVE_INFINITY;
  #inSecond = 0;

  /** @throws InvalidArgumentError `EINVAL` for an unknown name or a bad value */
  constructor(
    filter: EspressoFilter,
    sample: EspressoSample,
    clock: Clock,
    whereOnFailed: (error: unknown) => void = () => undefined,
  ) {
    checkKeys("a tap's filter", filter, ["from", "topics", "minSize", "maxSize", "where"]);
    checkKeys("a tap's sample", sample, ["oneIn", "perSecond"]);
    const { from, topics, minSize = 0, maxSize = MAX_SIZE, where } = filter;
    const { oneIn = 1, perSecond } = sample;
    if (from !== undefined && from !== "frontend" && from !== "backend")
      throw new InvalidArgumentError(`Option from is "frontend" or "backend"; got ${String(from)}`);
    if (where !== undefined) checkFunction("where", where);
    this.#from = from;
    this.#prefixes = prefixesOf(topics);
    this.#minSize = checkCount("minSize", minSize, 0, MAX_SIZE);
    this.#maxSize = checkCount("maxSize", maxSize, 0, MAX_SIZE);
    this.#where = where;
    this.#oneIn = checkCount("oneIn", oneIn, 1);
    this.#perSecond = perSecond === undefined ? 0 : checkCount("perSecond", perSecond, 1);
    this.#clock = clock;
    this.#whereOnFailed = whereOnFailed;
  }

  /** @param size bytes of the whole message; `frames` may be truncated */
  decide(from: ProxySide | undefined, frames: readonly Buffer[], size: number): Verdict {
    if (!this.#wants(from, frames, size)) return "filtered";
    this.#wanted += 1;
    if (this.#oneIn > 1 && (this.#wanted - 1) % this.#oneIn !== 0) return "sampled";
    return this.#perSecond > 0 && !this.#hasRoom() ? "sampled" : "taken";
  }

  #wants(from: ProxySide | undefined, frames: readonly Buffer[], size: number): boolean {
    if (this.#from !== undefined && from !== this.#from) return false;
    if (size < this.#minSize || size > this.#maxSize) return false;
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

  #hasRoom(): boolean {
    const now = this.#clock.now();
    if (now - this.#second >= 1_000) {
      this.#second = now;
      this.#inSecond = 0;
    }
    this.#inSecond += 1;
    return this.#inSecond <= this.#perSecond;
  }
}
