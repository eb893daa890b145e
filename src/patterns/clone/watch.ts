/** Watches of a client: changes of keys with a prefix, with bounded queues. */
import { PushIterator } from "../../core/push-iterator.js";
import type { ClientCoder } from "./client-coder.js";
import type { CloneChange } from "./client-options.js";

/**
 * Reads the changes of a map; see `CloneClient.watch`. It ends when it is left, or the client closes.
 *
 * @example
 * ```ts
 * import { CloneClient, CloneServer } from "shoal/clone";
 *
 * const server = new CloneServer();
 * const map = new CloneClient(await server.bind("tcp://127.0.0.1:*"));
 * await map.ready();
 * const watch = map.watch("/prices/");
 * await map.set("/prices/eel", "7.90");
 * for await (const { key } of watch) {
 *   console.log(key); // /prices/eel
 *   break;
 * }
 * await map.close();
 * await server.close();
 * ```
 */
export class CloneWatch<V> extends PushIterator<CloneChange<V>> {
  /** @internal */
  readonly prefix: Buffer;
  readonly #max: number;
  readonly #onEnd: (watch: CloneWatch<V>) => void;
  readonly #onLost: () => void;
  #lost = 0;

  /** @internal */
  constructor(prefix: Buffer, max: number, onEnd: (watch: CloneWatch<V>) => void, onLost: () => void) {
    super();
    this.prefix = prefix;
    this.#max = max;
    this.#onEnd = onEnd;
    this.#onLost = onLost;
  }

  /** Changes dropped from a full queue, the oldest first. */
  get lost(): number {
    return this.#lost;
  }

  /** @internal */
  matches(key: Buffer): boolean {
    const { prefix } = this;
    return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
  }

  /** @internal */
  override push(change: CloneChange<V>): void {
    if (this.queue.length >= this.#max) {
      this.queue.shift();
      this.#lost += 1;
      this.#onLost();
    }
    super.push(change);
  }

  /** @internal */
  protected read(change: CloneChange<V>): CloneChange<V> {
    return change;
  }

  /** @internal */
  protected override onEnd(): void {
    this.#onEnd(this);
  }
}

export interface RawChange {
  readonly key: Buffer;
  readonly old: Buffer | undefined;
  readonly value: Buffer | undefined;
  readonly sequence: number;
  readonly own: boolean;
  readonly resync: boolean;
}

/** Each change is decoded once. */
export class ClientWatches<V> {
  readonly #coder: ClientCoder;
  readonly #onOverflow: (lost: number) => void;
  readonly #watches = new Set<CloneWatch<V>>();
  #lost = 0;

  /** @param onOverflow called with the lost changes of a watch */
  constructor(coder: ClientCoder, onOverflow: (lost: number) => void) {
    this.#coder = coder;
    this.#onOverflow = onOverflow;
  }

  get size(): number {
    return this.#watches.size;
  }

  get lost(): number {
    return this.#lost;
  }

  add(prefix: Buffer, max: number): CloneWatch<V> {
    const watch = new CloneWatch<V>(
      prefix,
      max,
      (ended) => this.#watches.delete(ended),
      () => {
        this.#lost += 1;
        this.#onOverflow(watch.lost);
      },
    );
    this.#watches.add(watch);
    return watch;
  }

  changed({ key, old, value, sequence, own, resync }: RawChange): void {
    let text: string | undefined;
    let values: { readonly old: V | undefined; readonly value: V | undefined } | undefined;
    for (const watch of this.#watches) {
      if (!watch.matches(key)) continue;
      text ??= this.#coder.text(key);
      if (text === undefined) return;
      values ??= {
        old: old === undefined ? undefined : this.#coder.decode<V>(key, old),
        // A queued change must not retain its chunk.
        value: value === undefined ? undefined : this.#coder.decode<V>(key, Buffer.from(value)),
      };
      if (value !== undefined && values.value === undefined) return;
      const type = value === undefined ? "delete" : "set";
      watch.push({ type, key: text, ...values, sequence, own, resync });
    }
  }

  end(): void {
    for (const watch of [...this.#watches]) watch.end();
  }
}
