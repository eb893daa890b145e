/**
 *   source ──whole list──> SourceReader ──valid endpoints, each once, at most MAX_SOURCE_ENDPOINTS──> socket, pattern
 *              throws ──> its last list stays; it is read again after a pause that doubles
 *              ends   ──> its last list stays
 *
 * Lists may come from untrusted peers: invalid endpoints are skipped and reported.
 */
import { isThenable, thrownText } from "../core/arguments.js";
import { InvalidArgumentError, type ShoalError, TransportError } from "../core/errors.js";
import { backOff } from "../core/timers.js";
import { ignore } from "../core/waiter.js";

/** Most endpoints of one list. */
export const MAX_SOURCE_ENDPOINTS = 1_024;
/** ms before a failed source is read again, or a failed endpoint retried; doubles up to MAX_RETRY_DELAY. */
export const RETRY_DELAY = 100;
export const MAX_RETRY_DELAY = 10_000;

/** A source of changing endpoints, such as `node.resolver(…)` of `shoal/cluster`. */
export interface EndpointSource {
  /**
   * Yields the complete list of endpoints at first and after each change. The last list stays in use after the end, and
   * after an error until another call.
   */
  endpoints(signal: AbortSignal): AsyncIterable<readonly string[]>;
}

export function isEndpointSource(value: unknown): value is EndpointSource {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as Partial<EndpointSource>).endpoints === "function"
  );
}

export interface SourceEffects {
  /** A new list: valid endpoints, each once, in the source's order. */
  sourceOnList(endpoints: readonly string[]): void;
  /** An unusable endpoint, reported once while listed. */
  sourceOnRefused(endpoint: string, error: ShoalError): void;
  /** The source threw the error's `cause`, and is read again in `interval` ms. */
  sourceOnFailed(error: ShoalError, interval: number): void;
}

/** Reads one source until stopped, without keeping the process alive. */
export class SourceReader {
  readonly #source: EndpointSource;
  readonly #effects: SourceEffects;
  readonly #check: (endpoint: string) => void;
  readonly #stopped = new AbortController();
  #refused: ReadonlySet<string> = new Set();
  #failures = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param check throws for an endpoint to refuse, which may not be a string */
  constructor(source: EndpointSource, check: (endpoint: string) => void, effects: SourceEffects) {
    this.#source = source;
    this.#check = check;
    this.#effects = effects;
  }

  get stopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  start(): void {
    void this.#read();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }

  async #read(): Promise<void> {
    const { signal } = this.#stopped;
    let iterator: AsyncIterator<readonly string[]> | undefined;
    const stop = (): void => {
      // A waiting source may ignore the signal.
      (async () => iterator?.return?.())().catch(ignore);
    };
    signal.addEventListener("abort", stop);
    try {
      // The promise of an async function, a mistake for an async generator, may reject.
      const lists = this.#source.endpoints(signal);
      if (isThenable(lists)) Promise.resolve(lists).catch(ignore);
      if (typeof lists?.[Symbol.asyncIterator] !== "function")
        throw new TypeError("it must return an async iterable, as an async generator does");
      iterator = lists[Symbol.asyncIterator]();
      for (;;) {
        const next = await iterator.next();
        if (signal.aborted || next.done === true) return;
        const list = this.#checked(next.value);
        this.#failures = 0;
        // A listener of a refused endpoint may have stopped it.
        if (!this.stopped) this.#effects.sourceOnList(list);
        // An endless source must not starve the event loop.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      if (signal.aborted) return;
      stop(); // What it gave was no list.
      this.#retry(error);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #retry(cause: unknown): void {
    const interval = Math.round(backOff(this.#failures++, RETRY_DELAY, MAX_RETRY_DELAY, Math.random));
    this.#timer = setTimeout(() => void this.#read(), interval).unref();
    const text = `A source of endpoints failed: ${thrownText(cause)}`;
    const error = new TransportError("ERR_SOURCE", text, { cause });
    this.#effects.sourceOnFailed(error, interval);
  }

  #checked(list: unknown): readonly string[] {
    if (!Array.isArray(list))
      throw new InvalidArgumentError(`A source gives arrays of endpoints; got ${typeof list}`);
    const valid = new Set<string>();
    const refused = new Set<string>();
    const refuse = (endpoint: unknown, error: ShoalError): void => {
      const text = thrownText(endpoint).slice(0, 255);
      if (!refused.has(text) && !this.#refused.has(text)) this.#effects.sourceOnRefused(text, error);
      refused.add(text);
    };
    for (const endpoint of list as readonly unknown[]) {
      if (valid.has(endpoint as string)) continue;
      if (valid.size === MAX_SOURCE_ENDPOINTS) {
        const text = `A source has ${MAX_SOURCE_ENDPOINTS} endpoints at most; got ${list.length}`;
        refuse(endpoint, new TransportError("ERR_SOURCE", text));
        break;
      }
      try {
        this.#check(endpoint as string);
        valid.add(endpoint as string);
      } catch (error) {
        refuse(endpoint, error as ShoalError);
        if (refused.size === MAX_SOURCE_ENDPOINTS) break;
      }
    }
    this.#refused = refused;
    return [...valid];
  }
}
