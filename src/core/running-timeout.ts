/** A timeout that excludes pauses of the process. Queued input is read between its steps. */
const STEPS = 12;

export class RunningTimeout {
  readonly #step: number;
  readonly #onEnd: () => void;
  #left = STEPS;
  #timer: NodeJS.Timeout;

  /** @param ms a pause counts as a twelfth of it */
  constructor(ms: number, onEnd: () => void) {
    this.#step = ms / STEPS;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(this.#onStep, this.#step).unref();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #onStep = (): void => {
    this.#left -= 1;
    if (this.#left === 0) this.#onEnd();
    else this.#timer = setTimeout(this.#onStep, this.#step).unref();
  };
}
