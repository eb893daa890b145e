/**
 * How many requests a queue waits for replies to. Pure, and nothing a message: it is told the totals now and then.
 *
 * Replies are counted against the newest requests. So one that will never be answered, since its worker died, becomes
 * the oldest, and is forgotten after `KEPT` ticks; a drain years later does not wait for it.
 */

/** Ticks for which a request is remembered. */
const KEPT = 60;

export class Unanswered {
  /** Requests without reply by the tick they came in, the newest last. */
  readonly #ticks: number[] = [];
  #asked = 0;
  #answered = 0;

  /**
   * Another tick is over.
   *
   * @param asked requests that were passed on, in all
   * @param answered replies that came, in all
   */
  tick(asked: number, answered: number): void {
    this.#ticks.push(asked - this.#asked);
    this.#take(answered - this.#answered);
    this.#asked = asked;
    this.#answered = answered;
    if (this.#ticks.length > KEPT) this.#ticks.shift();
  }

  /** Requests that are likely to be answered yet. */
  count(asked: number, answered: number): number {
    let open = asked - this.#asked - (answered - this.#answered);
    for (const requests of this.#ticks) open += requests;
    return Math.max(0, open);
  }

  #take(replies: number): void {
    let left = replies;
    for (let i = this.#ticks.length - 1; i >= 0 && left > 0; i--) {
      const taken = Math.min(left, this.#ticks[i] as number);
      this.#ticks[i] = (this.#ticks[i] as number) - taken;
      left -= taken;
    }
  }
}
