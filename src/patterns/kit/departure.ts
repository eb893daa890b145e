/**
 * How a worker leaves a server that its source of endpoints no longer has: not at once, since one that drains still needs its workers
 * for the requests that wait in it.
 *
 *   begin ──quiet for QUIET_TIME, and not busy──> leave()          cancel: the server is in the list again
 */

/** ms without a request after which a worker leaves such a server. */
const QUIET_TIME = 5_000;

export class Departure {
  readonly #isBusy: () => boolean;
  readonly #leave: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param isBusy whether requests are being handled @param leave called once at most for each `begin` */
  constructor(isBusy: () => boolean, leave: () => void) {
    this.#isBusy = isBusy;
    this.#leave = leave;
  }

  /** Whether it has begun: a server that hangs up now is not connected to again. */
  get hasBegun(): boolean {
    return this.#timer !== undefined;
  }

  /** Begins, where it has not. */
  begin(): void {
    this.#timer ??= setTimeout(() => {
      if (this.#isBusy()) this.#timer?.refresh();
      else this.#leave();
    }, QUIET_TIME).unref();
  }

  /** A request came. */
  onRequest(): void {
    this.#timer?.refresh();
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
