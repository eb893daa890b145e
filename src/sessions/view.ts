/**
 * What an operation sees of the store: values that were read, and over them what it and earlier ones of its batch have
 * written. A value that was not read yet ends the operation; it runs again when it is there.
 */
import type { SessionStoreCheck, SessionStoreValue, SessionStoreWrite } from "./store.js";

/** An operation needs keys that were not read. */
export class Unread extends Error {
  readonly keys: readonly string[];

  constructor(keys: readonly string[]) {
    super("unread");
    this.keys = keys;
  }
}

/** An operation needs something else before it can run again. */
export class NotPrepared extends Error {
  readonly prepare: () => Promise<void>;

  constructor(prepare: () => Promise<void>) {
    super("not prepared");
    this.prepare = prepare;
  }
}

export class View {
  readonly #known: ReadonlyMap<string, SessionStoreValue | undefined>;
  readonly #used = new Set<string>();
  readonly #written = new Map<string, Buffer | undefined>();
  /** Of the operation that runs. */
  readonly #own = new Map<string, Buffer | undefined>();

  constructor(known: ReadonlyMap<string, SessionStoreValue | undefined>) {
    this.#known = known;
  }

  /** Says which values an operation is about to read, so that they come together. @throws Unread */
  need(keys: Iterable<string>): void {
    const unread: string[] = [];
    for (const key of keys) if (!this.#has(key)) unread.push(key);
    if (unread.length > 0) throw new Unread(unread);
  }

  /** @throws Unread */
  get(key: string): Buffer | undefined {
    if (this.#own.has(key)) return this.#own.get(key);
    if (this.#written.has(key)) return this.#written.get(key);
    if (!this.#known.has(key)) throw new Unread([key]);
    this.#used.add(key);
    return this.#known.get(key)?.value;
  }

  set(key: string, value: Buffer | undefined): void {
    this.#own.set(key, value);
  }

  /** The operation is done: those after it see what it has written. */
  keep(): void {
    for (const [key, value] of this.#own) this.#written.set(key, value);
    this.#own.clear();
  }

  /** The operation has failed. What it has read counts: it may have failed for that. */
  discard(): void {
    this.#own.clear();
  }

  /** What has to be as it was read. */
  checks(): SessionStoreCheck[] {
    return Array.from(this.#used, (key) => ({ key, version: this.#known.get(key)?.version ?? 0 }));
  }

  writes(): SessionStoreWrite[] {
    return Array.from(this.#written, ([key, value]) => ({ key, value }));
  }

  #has(key: string): boolean {
    return this.#own.has(key) || this.#written.has(key) || this.#known.has(key);
  }
}
