/**
 * Endpoints that come and go: what a socket, or a pattern's client, takes in place of an endpoint that is fixed.
 *
 *   source ──whole list──> SourceReader ──what is valid, each once, at most MAX_SOURCE_ENDPOINTS──> socket, pattern
 *              throws ──> its last list stands, and it is read again after a pause that doubles
 *              ends   ──> its last list stands
 *
 * A list may be a remote's word: what is wrong in it never throws into the program. It is left out and reported.
 */
import { backOff } from "../core/back-off.js";
import { InvalidArgumentError, type ShoalError, TransportError } from "../core/errors.js";
import { checkEndpoint } from "../core/schemes/schemes.js";

/** Endpoints of one list that are used; further ones are refused. */
export const MAX_SOURCE_ENDPOINTS = 1_024;
/** ms before a source that threw is read again, doubled up to the second with each failure in a row. */
const RETRY_DELAY = 100;
const MAX_RETRY_DELAY = 10_000;

/** Endpoints that come and go: `node.resolver(…)` of `shoal/cluster` is one, and so is any object with this method. */
export interface EndpointSource {
  /**
   * The endpoints there are, a whole list each time they change, the first as soon as it is known. What ends leaves its last
   * list in use. What throws is called again after a pause, and its last list stays in use meanwhile.
   *
   * @param signal aborted when nobody needs the endpoints any more
   */
  endpoints(signal: AbortSignal): AsyncIterable<readonly string[]>;
}

/** Whether something is a source. */
export function isEndpointSource(value: unknown): value is EndpointSource {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as Partial<EndpointSource>).endpoints === "function"
  );
}

/** What a reader reports. What a listener of the program throws there is the process's, as in any event, and not the source's failure. */
export interface SourceEffects {
  /** Another list: valid endpoints, each once, in the source's order. */
  sourceOnList(endpoints: readonly string[]): void;
  /** An endpoint of the list cannot be used. Once for as long as it is in the lists. */
  sourceOnRefused(endpoint: string, error: ShoalError): void;
  /** The source threw, which is the `cause`, and is read again in so many ms. */
  sourceOnFailed(error: ShoalError, interval: number): void;
}

/** Reads one source until it is stopped. It does not hold the process. */
export class SourceReader {
  readonly #source: EndpointSource;
  readonly #effects: SourceEffects;
  readonly #transports: readonly string[];
  readonly #check: (endpoint: string) => void;
  readonly #stopped = new AbortController();
  #refused: ReadonlySet<string> = new Set();
  #failures = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /**
   * @param transports those that an endpoint may have
   * @param check throws for an endpoint that is refused for another reason
   */
  constructor(
    source: EndpointSource,
    transports: readonly string[],
    effects: SourceEffects,
    check: (endpoint: string) => void = ignore,
  ) {
    this.#source = source;
    this.#transports = transports;
    this.#check = check;
    this.#effects = effects;
  }

  start(): void {
    void this.#read();
  }

  /** Nothing is reported any more; the source's signal is aborted. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }

  async #read(): Promise<void> {
    const { signal } = this.#stopped;
    let iterator: AsyncIterator<readonly string[]> | undefined;
    const stop = (): void => {
      // One that waits for a change may not look at the signal.
      iterator?.return?.().then(undefined, ignore);
    };
    signal.addEventListener("abort", stop);
    try {
      iterator = this.#source.endpoints(signal)[Symbol.asyncIterator]();
      for (;;) {
        const next = await iterator.next();
        if (signal.aborted || next.done === true) return;
        const list = this.#checked(next.value);
        this.#failures = 0;
        report(() => this.#effects.sourceOnList(list));
        // One that gives lists without end must not keep the event loop from turning.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      if (!signal.aborted) this.#retry(error);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #retry(cause: unknown): void {
    const interval = Math.round(backOff(this.#failures++, RETRY_DELAY, MAX_RETRY_DELAY, Math.random));
    this.#timer = setTimeout(() => void this.#read(), interval).unref();
    const why = cause instanceof Error ? cause.message : String(cause);
    const error = new TransportError("ERR_SOURCE", `A source of endpoints failed: ${why}`, { cause });
    report(() => this.#effects.sourceOnFailed(error, interval));
  }

  /** @throws InvalidArgumentError for what is not a list */
  #checked(list: unknown): readonly string[] {
    if (!Array.isArray(list))
      throw new InvalidArgumentError(`A source gives arrays of endpoints; got ${typeof list}`);
    const valid = new Set<string>();
    const refused = new Set<string>();
    const refuse = (endpoint: unknown, error: ShoalError): void => {
      const text = String(endpoint).slice(0, 255);
      if (!refused.has(text) && !this.#refused.has(text))
        report(() => this.#effects.sourceOnRefused(text, error));
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
        checkEndpoint(endpoint, "connect", this.#transports);
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

function report(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function ignore(): void {}
