/** Looks host names up periodically. Known addresses stay while a lookup fails. */
import { type HostPort, readAddress, resolveAddress } from "../net/addresses.js";

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
    resolve: (name: HostPort) => Promise<readonly string[]> = resolveAddress,
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
