/**
 * Whether a socket holds the process. Its streams, servers and timers never do by
 * themselves: one timer does, for as long as there is a reason.
 *
 * It is let go at the end of the turn only, since a program that receives in a loop
 * gives up its reason to wait and has it again for every message.
 */
const FOREVER = 2_147_483_647;

export class KeepAlive {
  #timer: NodeJS.Timeout | undefined = undefined;
  #held = false;
  #scheduled = false;
  #ended = false;
  readonly #reasons: () => boolean;

  /** @param reasons whether there is a reason now */
  constructor(reasons: () => boolean) {
    this.#reasons = reasons;
  }

  /** A reason may have come or gone. */
  changed(): void {
    if (this.#ended) return;
    if (this.#reasons()) {
      if (this.#held) return;
      this.#held = true;
      if (this.#timer === undefined) this.#timer = setInterval(nothing, FOREVER);
      else this.#timer.ref();
    } else if (this.#held && !this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#release);
    }
  }

  /** The socket is gone, for good: what its last connections still do holds nobody. */
  end(): void {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#held = false;
  }

  #release = (): void => {
    this.#scheduled = false;
    if (!this.#held || this.#reasons()) return;
    this.#held = false;
    this.#timer?.unref();
  };
}

function nothing(): void {}
