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

interface SourceState {
  readonly source: DiscoverySource;
  isUp: boolean;
  error: Error | undefined;
}

export class Discovery {
  readonly #sources: readonly SourceState[];
  readonly #runtime: DiscoveryRuntime;
  readonly #sockets: DiscoverySockets;
  readonly #lists = new Map<string, readonly string[]>();
  /** Of seeds, lists and connection managers, which are called when another address is found. */
  readonly names: Names;
  readonly watchers = new Set<() => void>();
  readonly #stopping = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
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
    this.#sources = sources.map((source) => ({ source, isUp: false, error: undefined }));
    this.names = namesOf(
      (error) => (error === undefined ? this.#onFound() : sockets.count("seed:unknown")),
      () => runtime.membership?.live.length === 0,
      (name) => sockets.resolve(name),
    );
  }

  start(self: DiscoverySelf): void {
    this.#started = true;
    this.#update();
    this.#running = Promise.all(this.#sources.map((state) => this.#run(state, self)));
  }

  get seeds(): readonly string[] {
    return this.#lists.get(SEEDS) ?? [];
  }

  setSeeds(seeds: readonly string[]): void {
    this.#lists.set(SEEDS, seeds);
    this.#update();
  }

  status(): DiscoveryStatus[] {
    const { seeds } = this;
    const sources = this.#sources.map(({ source: { name }, isUp, error }): DiscoveryStatus => {
      const addresses = [...(this.#lists.get(name) ?? [])];
      const own = error === undefined ? this.#nameError(addresses) : { error };
      return { name, state: isUp ? "up" : "down", addresses, ...own };
    });
    if (seeds.length === 0) return sources;
    const own = { name: SEEDS, state: "up", addresses: [...seeds] } as const;
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
    this.#stopping.abort();
    await withTimeout(this.#running, wait < 0 ? 1_000 : Math.min(wait, 1_000));
  }

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

  // --- Sources: one that ended or failed is called again -------------------------------------------------------------

  async #run(state: SourceState, self: DiscoverySelf): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = performance.now();
      const attempt = new AbortController();
      signal.addEventListener("abort", () => attempt.abort(), { signal: attempt.signal });
      let failure: Error | undefined;
      try {
        if (!(await this.#read(state, self, attempt.signal)))
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
        this.#down(state, failure);
        await sleep(backOff(failures, 500, LONGEST_RESTART, Math.random), signal);
        failures += 1;
      }
    }
  }

  /** @param signal aborts when the node leaves @returns whether the source yielded a list */
  async #read(state: SourceState, self: DiscoverySelf, signal: AbortSignal): Promise<boolean> {
    const lists: unknown = state.source.discover(self, signal);
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
        if (!Array.isArray(result.value)) throw new TypeError("the source must yield arrays of addresses");
        hasList = true;
        this.#up(state, result.value);
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

  #up(state: SourceState, list: readonly unknown[]): void {
    const { name } = state.source;
    this.#lists.set(name, this.#checked(list));
    this.#update();
    if (state.isUp) return;
    state.isUp = true;
    state.error = undefined;
    this.#runtime.report({ type: "discovery:up", source: name });
  }

  /** Emits one event per outage; the status has the latest error. */
  #down(state: SourceState, error: Error): void {
    const isChange = state.isUp || state.error === undefined;
    state.isUp = false;
    state.error = error;
    if (isChange) this.#runtime.report({ type: "discovery:down", source: state.source.name, error });
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

export type Names = ReturnType<typeof namesOf>;

/**
 * Looks host names up periodically. Known addresses stay while a lookup fails.
 *
 * @param onLookUp called when a lookup failed, or with `undefined` when it found other addresses
 * @param isAlone names are looked up more often then
 * @param resolve an empty list or an error: unknown name
 */
export function namesOf(
  onLookUp: (error: Error | undefined) => void,
  isAlone: () => boolean,
  resolve: (name: HostPort) => Promise<readonly string[]>,
) {
  const known = new Map<string, readonly string[]>();
  const errors = new Map<string, Error>();
  let waiting: string[] = [];
  let running = 0;
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;

  const next = (): void => {
    // Lookups occupy the thread pool of files.
    while (running < 2) {
      const name = waiting.shift();
      if (name === undefined) break;
      running += 1;
      void lookUp(name).finally(() => {
        running -= 1;
        next();
      });
    }
    if (running === 0) schedule();
  };

  const lookUp = async (name: string): Promise<void> => {
    const parts = readAddress(name);
    let found: readonly string[] = [];
    let failure = new Error(`${name} has no address`);
    try {
      if (parts !== undefined) found = await resolve(parts);
    } catch (error) {
      failure = error as Error;
    }
    const before = known.get(name);
    if (isStopped || before === undefined) return;
    if (found.length === 0) {
      errors.set(name, failure);
      onLookUp(failure);
      return;
    }
    errors.delete(name);
    if (found.length !== before.length || !found.every((address) => before.includes(address))) {
      known.set(name, found);
      onLookUp(undefined);
    }
  };

  /** Frequent changes must not postpone lookups forever. */
  const schedule = (): void => {
    if (isStopped || timer !== undefined || known.size === 0) return;
    const pause = isAlone() ? 5_000 : 60_000;
    timer = setTimeout(
      () => {
        timer = undefined;
        waiting = [...known.keys()];
        next();
      },
      pause * (0.75 + Math.random() / 2),
    );
    timer.unref();
  };

  return {
    get: (name: string): readonly string[] => known.get(name) ?? [],
    errorOf: (name: string): Error | undefined => errors.get(name),
    /** New names are looked up at once. */
    set(names: ReadonlySet<string>): void {
      for (const name of known.keys()) {
        if (names.has(name)) continue;
        known.delete(name);
        errors.delete(name);
      }
      waiting = waiting.filter((name) => names.has(name));
      for (const name of names) {
        if (known.has(name)) continue;
        known.set(name, []);
        waiting.push(name);
      }
      next();
    },
    stop(): void {
      isStopped = true;
      waiting = [];
      known.clear();
      errors.clear();
      clearTimeout(timer);
    },
  };
}
