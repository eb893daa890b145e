/**
 * An operation's view of the store: values read, under the writes of this operation and earlier ones of its batch. A
 * missing value ends the operation, to run again after a read.
 */
import { after, decodeJson, encodeJson } from "./records.js";
import type {
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";

export type KeyRange = Omit<SessionStoreScan, "maxBytes">;

export class Unread extends Error {
  readonly keys: readonly string[];
  readonly range: KeyRange | undefined;

  constructor(keys: readonly string[], range?: KeyRange) {
    super("unread");
    this.keys = keys;
    this.range = range;
  }
}

/** An operation must run again after a preparation. */
export class NotPrepared extends Error {
  readonly prepare: () => Promise<void>;

  constructor(prepare: () => Promise<void>) {
    super("not prepared");
    this.prepare = prepare;
  }
}

export class View {
  readonly #known: ReadonlyMap<string, SessionStoreValue | undefined>;
  /** By the ranges' beginnings. */
  readonly #found: ReadonlyMap<string, readonly SessionStoreEntry[]>;
  readonly #used = new Set<string>();
  readonly #written = new Map<string, Buffer | undefined>();
  readonly #own = new Map<string, Buffer | undefined>();

  constructor(
    known: ReadonlyMap<string, SessionStoreValue | undefined>,
    found: ReadonlyMap<string, readonly SessionStoreEntry[]> = new Map(),
  ) {
    this.#known = known;
    this.#found = found;
  }

  /** @throws Unread */
  need(keys: readonly string[]): void {
    const unread = keys.filter(
      (key) => !this.#own.has(key) && !this.#written.has(key) && !this.#known.has(key),
    );
    if (unread.length > 0) throw new Unread(unread);
  }

  get(key: string): Buffer | undefined {
    if (this.#own.has(key)) return this.#own.get(key);
    if (this.#written.has(key)) return this.#written.get(key);
    if (!this.#known.has(key)) throw new Unread([key]);
    this.#used.add(key);
    return this.#known.get(key)?.value;
  }

  /**
   * The first keys with a value, about `limit`, and where the next ones begin. A commit does not check that there are no
   * others: their writers must write a key that the operation reads.
   *
   * @throws Unread
   */
  keysIn(range: KeyRange): { readonly keys: readonly string[]; readonly end: string } {
    const found = this.#found.get(range.from);
    if (found === undefined) throw new Unread([], range);
    const last = found.at(-1);
    const end = last === undefined ? range.to : after(last.key);
    const keys = new Set(found.map(({ key }) => key));
    for (const writes of [this.#written, this.#own])
      for (const [key, value] of writes) {
        if (value === undefined) keys.delete(key);
        else if (key >= range.from && key < end) keys.add(key);
      }
    return { keys: [...keys].sort(), end };
  }

  /** @throws Unread; StoreError `damaged` */
  getJson<T>(key: string): T | undefined {
    const bytes = this.get(key);
    return bytes === undefined ? undefined : (decodeJson(key, bytes) as T);
  }

  /** @param value `undefined` removes the key */
  set(key: string, value: Buffer | undefined): void {
    this.#own.set(key, value);
  }

  setJson(key: string, value: unknown): void {
    this.#own.set(key, encodeJson(value));
  }

  /** The operation is done: later ones see its writes. */
  keep(): void {
    for (const [key, value] of this.#own) this.#written.set(key, value);
    this.#own.clear();
  }

  /** The operation failed. Its reads stay checked, as the possible reason. */
  discard(): void {
    this.#own.clear();
  }

  checks(): SessionStoreCheck[] {
    return Array.from(this.#used, (key) => ({ key, version: this.#known.get(key)?.version ?? 0 }));
  }

  writes(): SessionStoreWrite[] {
    return Array.from(this.#written, ([key, value]) => ({ key, value }));
  }
}
