/**
 * Merges the lists of a node's sources into the addresses that membership dials.
 *
 *            list                          throws, or returns without a list
 *   down ───────────> up        up, down ────────────────────────────────────> down, its last list stays; called again
 *
 *   list of a source ──cut, checked──> in turns, up to the bound ──> names and addresses ──looked up──> addresses
 *
 * A source never removes a member.
 */

import { isIP } from "node:net";
import { isInstance, isThenable, thrownText } from "../../core/arguments.js";
import { backOff } from "../../core/timers.js";
import { ignore, neverLate, sleep, waitFor, withTimeout } from "../../core/waiter.js";
import { MAX_SEEDS } from "../bounds.js";
import {
  canonicalAddress,
  type HostPort,
  joinAddress,
  readAddress,
  splitIpAddress,
} from "../net/addresses.js";
import type { DiscoverySelf, DiscoverySource, DiscoveryStatus } from "./source.js";

/** ms; also the pause after a source returned, and the run time that resets the delay. */
const LONGEST_RESTART = 30_000;
/** Configured addresses, and those of `join`. */
const SEEDS = "seeds";

/** The rules that dial the addresses. */
export interface DiscoveryRuntime {
  readonly membership: { readonly live: readonly unknown[] } | undefined;
  run(call: (rules: { setSeeds(now: number, addresses: Iterable<string>): void }, now: number) => void): void;
  report(event: { type: "discovery:up"; source: string }): void;
  report(event: { type: "discovery:down"; source: string; error: Error }): void;
}

export interface DiscoverySockets {
  accepts(address: string): boolean;
  resolve(name: HostPort): Promise<readonly string[]>;
  count(reason: string): void;
}

export class Discovery {
  readonly #sources: readonly RunningSource[];
  readonly #runtime: DiscoveryRuntime;
  readonly #sockets: DiscoverySockets;
  readonly #lists = new Map<string, readonly string[]>();
  /** Of seeds, lists and connection managers, which are called when another address is found. */
  readonly names: Names;
  readonly watchers = new Set<() => void>();
  #since = Date.now();
  #started = false;

  /** @param seeds "host:port"; names are allowed */
  constructor(
    seeds: readonly string[],
    sources: readonly DiscoverySource[],
    runtime: DiscoveryRuntime,
    sockets: DiscoverySockets,
  ) {
    this.#runtime = runtime;
    this.#sockets = sockets;
    this.#lists.set(SEEDS, seeds);
    this.#sources = sources.map((source) => new RunningSource(source, runtime, this.#onSourceList));
    this.names = new Names(
      (error) => (error === undefined ? this.#onFound() : sockets.count("seed:unknown")),
      () => runtime.membership?.live.length === 0,
      (name) => sockets.resolve(name),
    );
  }

  start(self: DiscoverySelf): void {
    this.#started = true;
    this.#since = Date.now();
    this.#update();
    for (const source of this.#sources) source.start(self);
  }

  get seeds(): readonly string[] {
    return this.#lists.get(SEEDS) ?? [];
  }

  setSeeds(seeds: readonly string[]): void {
    this.#lists.set(SEEDS, seeds);
    this.#since = Date.now();
    this.#update();
  }

  status(): DiscoveryStatus[] {
    const { seeds } = this;
    const sources = this.#sources.map((source) => {
      const addresses = this.#lists.get(source.name) ?? [];
      return { ...this.#nameError(addresses), ...source.status(addresses) };
    });
    if (seeds.length === 0) return sources;
    const own = { name: SEEDS, state: "up", addresses: [...seeds], since: this.#since } as const;
    return [{ ...own, ...this.#nameError(seeds) }, ...sources];
  }

  #nameError(addresses: readonly string[]): { readonly error?: Error } {
    for (const address of addresses) {
      const error = this.names.errorOf(address);
      if (error !== undefined) return { error };
    }
    return {};
  }

  /** Settles when the sources have withdrawn their data, after 1 s at most. @param wait ms; -1: 1,000 */
  async stop(wait: number): Promise<void> {
    this.#started = false;
    this.names.stop();
    const ended = Promise.all(this.#sources.map((source) => source.stop()));
    await withTimeout(ended, wait < 0 ? 1_000 : Math.min(wait, 1_000));
  }

  #onSourceList = (source: string, given: unknown): boolean => {
    if (!Array.isArray(given)) return false;
    this.#lists.set(source, this.#checked(given));
    this.#update();
    return true;
  };

  #checked(given: readonly unknown[]): readonly string[] {
    const addresses = new Set<string>();
    for (const address of given.slice(0, MAX_SEEDS)) {
      const parts = readAddress(address);
      if (parts === undefined) this.#sockets.count("seed:junk");
      else
        addresses.add(
          isIP(parts.host) === 0
            ? joinAddress(parts.host.toLowerCase(), parts.port)
            : canonicalAddress(address as string),
        );
    }
    if (given.length > MAX_SEEDS) this.#sockets.count("seed:full");
    return [...addresses];
  }

  #onFound(): void {
    this.#update();
    for (const watcher of this.watchers) watcher();
  }

  #update(): void {
    if (!this.#started) return;
    const names = new Set<string>();
    const { addresses, overflows } = merged([...this.#lists.values()], (entry) => {
      if (splitIpAddress(entry) !== undefined) return [canonicalAddress(entry)];
      names.add(entry);
      return this.names.get(entry);
    });
    if (overflows) this.#sockets.count("seed:full");
    for (const address of addresses) {
      if (this.#sockets.accepts(address)) continue;
      addresses.delete(address);
      this.#sockets.count("seed:outside");
    }
    this.#runtime.run((rules, now) => rules.setSeeds(now, addresses));
    this.names.set(names);
  }
}

/** Restarts a source that ended or failed. */
class RunningSource {
  readonly name: string;
  readonly #source: DiscoverySource;
  readonly #runtime: DiscoveryRuntime;
  readonly #onList: (source: string, list: unknown) => boolean;
  #isUp = false;
  #error: Error | undefined;
  #since = Date.now();
  #ended: Promise<void> | undefined;
  readonly #stopping = new AbortController();

  constructor(
    source: DiscoverySource,
    runtime: DiscoveryRuntime,
    onList: (source: string, list: unknown) => boolean,
  ) {
    this.name = source.name;
    this.#source = source;
    this.#runtime = runtime;
    this.#onList = onList;
  }

  status(addresses: readonly string[]): DiscoveryStatus {
    const state = this.#isUp ? "up" : "down";
    const error = this.#error === undefined ? undefined : { error: this.#error };
    return { name: this.name, state, addresses: [...addresses], ...error, since: this.#since };
  }

  start(self: DiscoverySelf): void {
    this.#since = Date.now();
    this.#ended = this.#run(self);
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    return this.#ended ?? Promise.resolve();
  }

  async #run(self: DiscoverySelf): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = performance.now();
      const attempt = new AbortController();
      signal.addEventListener("abort", () => attempt.abort(), { signal: attempt.signal });
      let failure: Error | undefined;
      try {
        if (!(await this.#read(self, attempt.signal)))
          failure = new Error("the source returned without a list");
      } catch (error) {
        failure = isInstance(error, Error) ? error : new Error(thrownText(error));
      }
      attempt.abort();
      if (signal.aborted) return;
      if (performance.now() - startedAt >= LONGEST_RESTART) failures = 0;
      if (failure === undefined)
        await sleep(backOff(0, LONGEST_RESTART, LONGEST_RESTART, Math.random), signal);
      else {
        this.#down(failure);
        await sleep(backOff(failures, 500, LONGEST_RESTART, Math.random), signal);
        failures += 1;
      }
    }
  }

  /** @param signal aborts when the node leaves @returns whether the source yielded a list */
  async #read(self: DiscoverySelf, signal: AbortSignal): Promise<boolean> {
    const lists: unknown = this.#source.discover(self, signal);
    // The promise of an async function, a mistake for an async generator, may reject.
    if (isThenable(lists)) Promise.resolve(lists).catch(ignore);
    if (typeof lists !== "object" || lists === null || !(Symbol.asyncIterator in lists))
      throw new TypeError("the source must return an async iterable, as an async generator does");
    const iterator = (lists as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    let hasList = false;
    let ended = false;
    try {
      while (!signal.aborted) {
        const result = await waitFor(Promise.resolve(iterator.next()), { signal }, neverLate);
        if (result.done === true) {
          ended = true;
          break;
        }
        if (!this.#onList(this.name, result.value))
          throw new TypeError("the source must yield arrays of addresses");
        hasList = true;
        this.#up();
        // An endless source must not block the event loop.
        await sleep(10, signal);
      }
      return hasList;
    } finally {
      // Only a leaving node waits; a generator that threw has ended.
      if (!ended) {
        // The cause is reported, or the node leaves.
        const returned = (async () => iterator.return?.())().catch(() => undefined);
        if (signal.aborted) await returned;
      }
    }
  }

  #up(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    this.#error = undefined;
    this.#since = Date.now();
    this.#runtime.report({ type: "discovery:up", source: this.name });
  }

  /** Emits one event per outage; the status has the latest error. */
  #down(error: Error): void {
    const isChange = this.#isUp || this.#error === undefined;
    this.#isUp = false;
    this.#error = error;
    if (!isChange) return;
    this.#since = Date.now();
    this.#runtime.report({ type: "discovery:down", source: this.name, error });
  }
}

// --- Lists -----------------------------------------------------------------------------------------------------------

/**
 * Merges lists in turns: above `MAX_SEEDS` distinct addresses each gets an equal share.
 *
 * @param resolve called for all entries: returns the address itself, or the known addresses of a name
 */
export function merged(
  lists: readonly (readonly string[])[],
  resolve: (entry: string) => readonly string[],
): { readonly addresses: Set<string>; readonly overflows: boolean } {
  const addresses = new Set<string>();
  let overflows = false;
  const longest = lists.reduce((most, { length }) => Math.max(most, length), 0);
  for (let i = 0; i < longest; i++) {
    for (const list of lists) {
      const entry = list[i];
      if (entry === undefined) continue;
      for (const address of resolve(entry)) {
        if (addresses.size < MAX_SEEDS) addresses.add(address);
        else if (!addresses.has(address)) overflows = true;
      }
    }
  }
  return { addresses, overflows };
}

// --- Names -----------------------------------------------------------------------------------------------------------

/** Looks host names up periodically. Known addresses stay while a lookup fails. */
export class Names {
  readonly #onLookUp: (error: Error | undefined) => void;
  readonly #isAlone: () => boolean;
  readonly #resolve: (name: HostPort) => Promise<readonly string[]>;
  readonly #known = new Map<string, readonly string[]>();
  readonly #errors = new Map<string, Error>();
  #waiting: string[] = [];
  #running = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /**
   * @param onLookUp called when a lookup failed, or with `undefined` when it found other addresses
   * @param isAlone names are looked up more often then
   * @param resolve an empty list or an error: unknown name
   */
  constructor(
    onLookUp: (error: Error | undefined) => void,
    isAlone: () => boolean,
    resolve: (name: HostPort) => Promise<readonly string[]>,
  ) {
    this.#onLookUp = onLookUp;
    this.#isAlone = isAlone;
    this.#resolve = resolve;
  }

  get(name: string): readonly string[] {
    return this.#known.get(name) ?? [];
  }

  errorOf(name: string): Error | undefined {
    return this.#errors.get(name);
  }

  /** New names are looked up at once. */
  set(names: ReadonlySet<string>): void {
    for (const name of this.#known.keys()) {
      if (names.has(name)) continue;
      this.#known.delete(name);
      this.#errors.delete(name);
    }
    this.#waiting = this.#waiting.filter((name) => names.has(name));
    for (const name of names) {
      if (this.#known.has(name)) continue;
      this.#known.set(name, []);
      this.#waiting.push(name);
    }
    this.#next();
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting = [];
    this.#known.clear();
    this.#errors.clear();
    clearTimeout(this.#timer);
  }

  #next(): void {
    // Lookups occupy the thread pool of files.
    while (this.#running < 2) {
      const name = this.#waiting.shift();
      if (name === undefined) break;
      this.#running += 1;
      void this.#lookUp(name).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
    if (this.#running === 0) this.#schedule();
  }

  async #lookUp(name: string): Promise<void> {
    const parts = readAddress(name);
    let found: readonly string[] = [];
    let failure = new Error(`${name} has no address`);
    try {
      if (parts !== undefined) found = await this.#resolve(parts);
    } catch (error) {
      failure = error as Error;
    }
    const known = this.#known.get(name);
    if (this.#stopped || known === undefined) return;
    if (found.length === 0) {
      this.#errors.set(name, failure);
      this.#onLookUp(failure);
      return;
    }
    this.#errors.delete(name);
    if (found.length !== known.length || !found.every((address) => known.includes(address))) {
      this.#known.set(name, found);
      this.#onLookUp(undefined);
    }
  }

  /** Frequent changes must not postpone lookups forever. */
  #schedule(): void {
    if (this.#stopped || this.#timer !== undefined || this.#known.size === 0) return;
    const pause = this.#isAlone() ? 5_000 : 60_000;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#waiting = [...this.#known.keys()];
        this.#next();
      },
      pause * (0.75 + Math.random() / 2),
    );
    this.#timer.unref();
  }
}
