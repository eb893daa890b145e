/**
 * Signals, and how they end a command.
 *
 *   running --signal--> requested ---------- GRACE ms --> forced
 *            takes nothing new,   |            gives up what
 *            delivers and prints  |            still waits
 *            what it has          +--signal--> insisted, and forced
 *
 * A serving command drains after the first signal (operation.ts).
 */
import { once } from "node:events";
import { terminal } from "./terminal.js";

/** ms to deliver after the first signal. */
export const GRACE = 1_000;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export class Stop {
  readonly #signals = terminal().signals;
  readonly #requested = new AbortController();
  readonly #forced = new AbortController();
  readonly #insisted = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** First signal: take nothing new. */
  get requested(): AbortSignal {
    return this.#requested.signal;
  }

  /** Second signal, or GRACE ms after the first: stop waiting. */
  get forced(): AbortSignal {
    return this.#forced.signal;
  }

  /** Second signal: end at once. */
  get insisted(): AbortSignal {
    return this.#insisted.signal;
  }

  /** Settles at the first signal. Keeps a process without connections alive. */
  async wait(): Promise<void> {
    const keepAlive = setInterval(() => undefined, 60_000);
    if (!this.requested.aborted) await once(this.requested, "abort");
    clearInterval(keepAlive);
  }

  /** Until `dispose`. */
  listen(): this {
    for (const signal of SIGNALS) this.#signals.on(signal, this.#onSignal);
    return this;
  }

  dispose(): void {
    for (const signal of SIGNALS) this.#signals.off(signal, this.#onSignal);
    clearTimeout(this.#timer);
  }

  #onSignal = (): void => {
    if (this.#requested.signal.aborted) this.#insisted.abort();
    this.request();
  };

  /** Stops without a signal; a second call forces. */
  request = (): void => {
    if (this.#requested.signal.aborted) {
      this.#forced.abort();
      return;
    }
    this.#requested.abort();
    this.#timer = setTimeout(() => this.#forced.abort(), GRACE);
  };
}

/** Settles with the promise, or with `undefined` when the signal is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
