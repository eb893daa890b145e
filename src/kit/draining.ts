/**
 * Delays a worker's disconnect from a server that its source dropped: a draining server still needs workers.
 *
 *   start ──quiet for QUIET_TIME, and not busy──> leave()          cancel: the server is in the list again
 */

/** ms. */
const QUIET_TIME = 5_000;

export class Draining {
  readonly #isBusy: () => boolean;
  readonly #leave: () => void;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param isBusy whether requests are being handled
   * @param leave called at most once per `start`
   */
  constructor(isBusy: () => boolean, leave: () => void) {
    this.#isBusy = isBusy;
    this.#leave = leave;
  }

  /** A server that hangs up now is not reconnected. */
  get hasStarted(): boolean {
    return this.#timer !== undefined;
  }

  start(): void {
    this.#timer ??= setTimeout(() => {
      if (this.#isBusy()) this.#timer?.refresh();
      else this.#leave();
    }, QUIET_TIME).unref();
  }

  onRequest(): void {
    this.#timer?.refresh();
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
