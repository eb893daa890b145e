/**
 * A timeout in time that this process ran: while it stood still it received nothing, so a peer is not late by it. A wait is cut
 * into steps, and each is a turn of the event loop at least: what had come before is read between two of them.
 */
const STEPS = 12;

export class RunningTimeout {
  readonly #step: number;
  readonly #onEnd: () => void;
  #left = STEPS;
  #timer: NodeJS.Timeout;

  /** It does not keep the process alive. @param ms without stalls; a stall of any length counts as one step, a twelfth of it */
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
