/** Work that is put off: to the end of this turn of the event loop, or to the next one; once, however often it is asked for. */
export class TurnScheduler {
  readonly #flush: () => void;
  readonly #pump: () => void;
  #flushing = false;
  #pumping = false;
  #ended = false;

  /** @param flush at the end of this turn. @param pump in the next one */
  constructor(flush: () => void, pump: () => void) {
    this.#flush = flush;
    this.#pump = pump;
  }

  flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (!this.#ended) this.#flush();
    });
  }

  pumpSoon(): void {
    if (this.#pumping || this.#ended) return;
    this.#pumping = true;
    setImmediate(this.#nextTurn);
  }

  /** Nothing of it happens any more. */
  end(): void {
    this.#ended = true;
  }

  #nextTurn = (): void => {
    this.#pumping = false;
    if (!this.#ended) this.#pump();
  };
}
