/**
 * Local health (Lifeguard): 0 is healthy. Signs that this node is late or deaf raise the score, successful probes lower
 * it. Probe intervals and timeouts are multiplied by the score plus 1.
 */
const MAX_SCORE = 8;

export class Health {
  #score = 0;
  readonly #enabled: boolean;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  get score(): number {
    return this.#score;
  }

  change(by: number): void {
    if (this.#enabled) this.#score = Math.max(0, Math.min(MAX_SCORE, this.#score + by));
  }

  scale(ms: number): number {
    return ms * (this.#score + 1);
  }
}
