/** Watches of a client: changes of keys with a prefix, with bounded queues. */
import { frameCost } from "../../core/memory.js";
import { PushIterator } from "../../core/push-iterator.js";
import type { ClientCoder, CloneChange, WatchSettings } from "./client-options.js";
import { hasPrefix } from "./protocol.js";

interface QueuedChange<V> {
  readonly change: CloneChange<V>;
  readonly bytes: number;
}

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
export class CloneWatch<V> extends PushIterator<QueuedChange<V>, CloneChange<V>> {
  /** @internal */
  readonly prefix: Buffer;
  readonly #settings: WatchSettings;
  readonly #watches: ClientWatches<V>;
  #bytes = 0;
  #lost = 0;

  /** @internal */
  constructor(prefix: Buffer, settings: WatchSettings, watches: ClientWatches<V>) {
    super();
    this.prefix = prefix;
    this.#settings = settings;
    this.#watches = watches;
  }

  /** Changes dropped from a full queue, the oldest first. */
  get lost(): number {
    return this.#lost;
  }

  /** @internal */
  override push(queued: QueuedChange<V>): void {
    this.#bytes += queued.bytes;
    super.push(queued);
    while (this.queue.length > 1 && this.#isFull()) {
      this.#bytes -= (this.queue.shift() as QueuedChange<V>).bytes;
      this.#lost += 1;
      this.#watches.overflowed(this.#lost);
    }
  }

  /** @internal */
  protected read({ change, bytes }: QueuedChange<V>): CloneChange<V> {
    this.#bytes -= bytes;
    return change;
  }

  /** @internal */
  protected override onEnd(): void {
    this.#watches.remove(this);
  }

  #isFull(): boolean {
    const { maxQueue, maxQueueBytes } = this.#settings;
    return this.queue.length > maxQueue || this.#bytes > maxQueueBytes;
  }
}

export interface RawChange extends Omit<CloneChange<Buffer>, "type" | "key"> {
  readonly key: Buffer;
}

/** Each change is decoded once. */
export class ClientWatches<V> {
  readonly #coder: ClientCoder;
  readonly #onOverflow: (lost: number) => void;
  readonly #watches = new Set<CloneWatch<V>>();
  /** Changes that all watches lost. */
  lost = 0;

  /** @param onOverflow called with the lost changes of a watch */
  constructor(coder: ClientCoder, onOverflow: (lost: number) => void) {
    this.#coder = coder;
    this.#onOverflow = onOverflow;
  }

  get size(): number {
    return this.#watches.size;
  }

  add(prefix: Buffer, settings: WatchSettings): CloneWatch<V> {
    const watch = new CloneWatch<V>(prefix, settings, this);
    this.#watches.add(watch);
    return watch;
  }

  remove(watch: CloneWatch<V>): void {
    this.#watches.delete(watch);
  }

  overflowed(lost: number): void {
    this.lost += 1;
    this.#onOverflow(lost);
  }

  changed({ key, old, value, sequence, own, resync }: RawChange): void {
    let text: string | undefined;
    let values: { readonly old: V | undefined; readonly value: V | undefined } | undefined;
    for (const watch of this.#watches) {
      if (!hasPrefix(key, watch.prefix)) continue;
      text ??= this.#coder.text(key);
      if (text === undefined) return;
      values ??= {
        old: old === undefined ? undefined : this.#coder.decode<V>(key, old),
        // A queued change must not retain its chunk.
        value: value === undefined ? undefined : this.#coder.decode<V>(key, Buffer.from(value)),
      };
      if (value !== undefined && values.value === undefined) return;
      const type = value === undefined ? "delete" : "set";
      const bytes = frameCost(key.length) + frameCost(old?.length ?? 0) + frameCost(value?.length ?? 0);
      watch.push({ change: { type, key: text, ...values, sequence, own, resync }, bytes });
    }
  }

  end(): void {
    for (const watch of [...this.#watches]) watch.end();
  }
}
