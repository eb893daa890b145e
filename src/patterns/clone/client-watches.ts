/** The watches of a client: each change is decoded once, for all that want it. */
import type { ClientCoder } from "./client-coder.js";
import { CloneWatch } from "./watch.js";

/** A change as the rules see it. */
export interface RawChange {
  readonly key: Buffer;
  readonly old: Buffer | undefined;
  readonly value: Buffer | undefined;
  readonly sequence: number;
  readonly own: boolean;
  readonly resync: boolean;
}

export class ClientWatches<V> {
  readonly #coder: ClientCoder;
  readonly #onOverflow: (lost: number) => void;
  readonly #watches = new Set<CloneWatch<V>>();
  #lost = 0;

  /** @param onOverflow told how many changes a watch has lost, each time that it loses one */
  constructor(coder: ClientCoder, onOverflow: (lost: number) => void) {
    this.#coder = coder;
    this.#onOverflow = onOverflow;
  }

  get size(): number {
    return this.#watches.size;
  }

  /** Changes that were not read in time, over all watches. */
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
        // What was received is part of a larger memory, which a change that waits must not hold.
        value: value === undefined ? undefined : this.#coder.decode<V>(key, Buffer.from(value)),
      };
      if (value !== undefined && values.value === undefined) return;
      const type = value === undefined ? "delete" : "set";
      watch.push({ type, key: text, ...values, sequence, own, resync });
    }
  }

  /** No change comes any more. */
  end(): void {
    for (const watch of [...this.#watches]) watch.end();
  }
}
