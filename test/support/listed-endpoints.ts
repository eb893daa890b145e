import type { EndpointSource } from "../../src/index.js";

/** A source of endpoints whose list a test sets. Any number of readers; each gets the latest list. */
export class ListedEndpoints implements EndpointSource {
  #list: readonly string[] | undefined;
  readonly #readers = new Set<(error?: Error) => void>();
  /** Calls of `endpoints` so far. */
  reads = 0;

  /** @param list absent: it is not known yet */
  constructor(list?: readonly string[]) {
    this.#list = list;
  }

  /** Readers now. */
  get readers(): number {
    return this.#readers.size;
  }

  set(...list: string[]): void {
    this.#list = list;
    for (const reader of [...this.#readers]) reader();
  }

  /** The readers there are get this error. */
  fail(error: Error): void {
    for (const reader of [...this.#readers]) reader(error);
  }

  async *endpoints(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    this.reads += 1;
    let changed = true;
    let failure: Error | undefined;
    let wake: () => void = () => undefined;
    const reader = (error?: Error): void => {
      changed = true;
      failure = error;
      wake();
    };
    this.#readers.add(reader);
    signal.addEventListener("abort", () => wake());
    try {
      while (!signal.aborted) {
        if (failure !== undefined) throw failure;
        if (changed) {
          changed = false;
          if (this.#list !== undefined) yield this.#list;
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      this.#readers.delete(reader);
    }
  }
}
