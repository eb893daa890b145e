/**
 * Stopping in two steps.
 *
 *   running --signal--> requested --signal, or GRACE ms--> forced
 *            takes nothing new,                 gives up what
 *            delivers and prints what it has    still waits
 */

/** How long a command that was told to stop may take to deliver what it has, in ms. */
export const GRACE = 1_000;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export class Stop {
  readonly #requested = new AbortController();
  readonly #forced = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** Take nothing new: aborted by the first signal. */
  get requested(): AbortSignal {
    return this.#requested.signal;
  }

  /** Give up waiting. */
  get forced(): AbortSignal {
    return this.#forced.signal;
  }

  /** Hears SIGINT and SIGTERM until `dispose`. */
  listen(): this {
    for (const signal of SIGNALS) process.on(signal, this.request);
    return this;
  }

  dispose(): void {
    for (const signal of SIGNALS) process.off(signal, this.request);
    clearTimeout(this.#timer);
  }

  /** The first call asks, the second insists. */
  request = (): void => {
    if (this.#requested.signal.aborted) {
      this.#forced.abort();
      return;
    }
    this.#requested.abort();
    this.#timer = setTimeout(() => this.#forced.abort(), GRACE);
  };
}

/** Settles with the promise, or with `undefined` when the signal comes first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
