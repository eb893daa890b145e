/**
 * How far a node trusts its own view (Lifeguard's local health): 0 is sound; each sign that the node itself is late or deaf
 * adds, each successful probe takes away. Its probes are slower and more patient by the score plus 1.
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
