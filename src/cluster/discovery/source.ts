/** What a source of discovery is, and what every source is made of. */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";

/** Bytes of a source's name. */
const MAX_SOURCE_NAME = 128;

/** The node that asks: a source may publish it, and need not leave it out of its lists. */
export interface DiscoverySelf {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  /** Name of the cluster. */
  readonly group: string;
  /** Where the others reach it, "host:port"; another one when the host's address changes. */
  readonly address: string;
  /** Counts what the source refused, by a reason such as "beacon:junk", in `stats().dropped`. */
  readonly count?: (reason: string) => void;
}

/** Addresses at which nodes of a cluster may be. */
export interface DiscoverySource {
  /** 1 to 128 bytes, such as "dns:billing.svc": in events, logs, metrics and `node.discovery()`. */
  readonly name: string;
  /**
   * The lists of addresses, "host:port" each; every one is whole, and replaces the one before. A host may be a name: the node
   * looks it up, and looks again every minute.
   *
   * When it throws, or returns without a list, the source is down: its last list stands, and it is called again after 0.5 s, twice
   * as long each time, up to 30 s. When it returns after a list, it is called again after 30 s, and is not down.
   *
   * What it published is to be withdrawn in a `finally`: a node that leaves calls `return` of the iterator, and waits for it for at
   * most a second.
   *
   * @param self the node that asks
   * @param signal aborts when the node leaves, and when this call threw
   */
  discover(self: DiscoverySelf, signal: AbortSignal): AsyncIterable<readonly string[]>;
}

/** A source of one's own. The name of the function is the name of the source. */
export type DiscoveryFunction = DiscoverySource["discover"];

/** How a source is doing. */
export interface DiscoveryStatus {
  /** Of the source; those of one name have a number behind it: "static", "static#2". */
  readonly name: string;
  /** `down`: it failed, or has given no list yet. */
  readonly state: "up" | "down";
  /** Its last list, without what is not an address. It stands while the source is down. */
  readonly addresses: readonly string[];
  /** Why it is down; of one that is up, why the last look-up of a name in its list failed. */
  readonly error?: Error;
  /** Wall clock in ms since when it has been in this state. */
  readonly since: number;
}

/** The sources that were given, with names of which no two are equal. @throws InvalidArgumentError `EINVAL` */
export function sourcesOf(given: unknown, most: number): DiscoverySource[] {
  if (!Array.isArray(given))
    throw new InvalidArgumentError(`discovery is an array of sources; got ${describe(given)}`);
  if (given.length > most)
    throw new InvalidArgumentError(`a node has ${most} sources of discovery at most; got ${given.length}`);
  const names = new Map<string, number>();
  return given.map((each: unknown) => {
    const source = sourceOf(each);
    const count = (names.get(source.name) ?? 0) + 1;
    names.set(source.name, count);
    if (count === 1) return source;
    return { name: `${source.name}#${count}`, discover: (self, signal) => source.discover(self, signal) };
  });
}

function sourceOf(given: unknown): DiscoverySource {
  if (typeof given === "function") {
    const discover = given as DiscoveryFunction;
    return { name: discover.name.slice(0, MAX_SOURCE_NAME / 4) || "function", discover };
  }
  const { name, discover } = (typeof given === "object" && given !== null ? given : {}) as {
    readonly name?: unknown;
    readonly discover?: unknown;
  };
  if (typeof discover !== "function")
    throw new InvalidArgumentError(
      `a source of discovery is a function, or an object with name and discover; got ${describe(given)}`,
    );
  if (typeof name !== "string" || name === "" || Buffer.byteLength(name) > MAX_SOURCE_NAME)
    throw new InvalidArgumentError(
      `the name of a source is a text of 1 to ${MAX_SOURCE_NAME} bytes; got ${describe(name)}`,
    );
  return given as DiscoverySource;
}

/**
 * The lists of a source that learns of changes one by one. A list that was not read yet is replaced by the next one, so a slow reader
 * has the newest.
 *
 * @example
 * ```ts
 * import { AddressFeed, type DiscoveryFunction } from "shoal/cluster";
 *
 * // A source that learns of changes by callbacks.
 * const registry: DiscoveryFunction = (self, signal) => {
 *   const feed = new AddressFeed(signal);
 *   feed.set(["10.0.0.1:7946"]); // Again with each change; `fail` ends it.
 *   return feed;
 * };
 * console.log(typeof registry); // function
 * ```
 */
export class AddressFeed implements AsyncIterable<readonly string[]> {
  readonly #signal: AbortSignal;
  #list: readonly string[] | undefined;
  #error: unknown;
  #failed = false;
  #wake: (() => void) | undefined;

  /** @param signal ends the lists */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** The whole list as it is now. */
  set(list: readonly string[]): void {
    this.#list = list;
    this.#wake?.();
  }

  /** Ends the lists by an error, behind a list that was not read yet. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#error = error;
    this.#failed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly string[], void, undefined> {
    const wake = (): void => this.#wake?.();
    this.#signal.addEventListener("abort", wake, { once: true });
    try {
      while (!this.#signal.aborted) {
        const list = this.#list;
        if (list !== undefined) {
          this.#list = undefined;
          yield list;
        } else if (this.#failed) throw this.#error;
        else
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
      }
    } finally {
      this.#signal.removeEventListener("abort", wake);
    }
  }
}

/** A signal that aborts after a time, or with another one. */
export class Scope {
  readonly #outer: AbortSignal;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #abort = (): void => this.#controller.abort();
  /** Whether its time was over before it ended otherwise. */
  isLate = false;

  /** @param time ms; without it, it ends with the other one or by `end()` */
  constructor(outer: AbortSignal, time?: number) {
    this.#outer = outer;
    if (time !== undefined)
      this.#timer = setTimeout(() => {
        this.isLate = true;
        this.#abort();
      }, time);
    if (outer.aborted) this.#abort();
    else outer.addEventListener("abort", this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** It has no time any more. */
  stopTimer(): void {
    clearTimeout(this.#timer);
  }

  /** Aborts it, if it has not; the other one keeps no listener. */
  end(): void {
    this.stopTimer();
    this.#outer.removeEventListener("abort", this.#abort);
    this.#abort();
  }
}

/** Waits for so many ms, or until the signal aborts. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
