/** A bounded log that a reader polls over a control socket. Entries that a slow reader misses are counted. */

export interface KeptEntries<T> {
  readonly entries: readonly T[];
  /** Pass it as `seq` next time. */
  readonly next: number;
  /** Dropped entries before these. */
  readonly missed: number;
  /** No more entries follow. */
  readonly ended?: true;
}

export class KeptLog<T> {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #kept: { readonly seq: number; readonly entry: T; readonly bytes: number }[] = [];
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #last = 0;
  #ended = false;

  /** One entry is kept whatever its size. */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  /** Number of the last entry, from 1; 0: none. */
  get last(): number {
    return this.#last;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(entry: T, bytes: number): void {
    this.#last += 1;
    this.#kept.push({ seq: this.#last, entry, bytes });
    this.#bytes += bytes;
    while (this.#kept.length > 1 && (this.#kept.length > this.#maxEntries || this.#bytes > this.#maxBytes))
      this.#drop();
    this.#wake();
  }

  forget(seq: number): void {
    while ((this.#kept[0]?.seq ?? Number.POSITIVE_INFINITY) <= seq) this.#drop();
  }

  /** Waits up to `wait` ms for entries after a number. @param maxBytes of them; one is returned whatever its size */
  async after(given: number, wait: number, maxBytes = Number.POSITIVE_INFINITY): Promise<KeptEntries<T>> {
    // A number from before a restart of the node is ahead of this one's.
    const seq = given > this.#last ? 0 : given;
    if (this.#last <= seq && !this.#ended)
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, wait);
        this.#waiting.add(done);
      });
    const later = this.#kept.filter((each) => each.seq > seq);
    const entries: T[] = [];
    let next = seq;
    let left = maxBytes;
    for (const { seq: own, entry, bytes } of later) {
      left -= bytes;
      if (entries.length > 0 && left < 0) break;
      entries.push(entry);
      next = own;
    }
    const missed = Math.max(0, (later[0]?.seq ?? 0) - seq - 1);
    return { entries, next, missed, ...(this.#ended ? { ended: true } : {}) };
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  #drop(): void {
    this.#bytes -= this.#kept.shift()?.bytes ?? 0;
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
