/**
 * Signals, and how they end a command.
 *
 *   running --signal--> requested ---------- GRACE ms --> forced
 *            takes nothing new,   |            gives up what
 *            delivers and prints  |            still waits
 *            what it has          +--signal--> insisted, and forced
 *
 * A serving command drains after the first signal for up to DRAIN ms (exit code 0), and ends at the second
 * (1).
 */
import { Failure } from "./failure.js";
import { terminal } from "./terminal.js";

/** ms to deliver after the first signal. */
export const GRACE = 1_000;
/** ms for a service to finish after the first signal. */
const DRAIN = 10_000;

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

/** Closing drains it; linger 0 closes at once. */
export interface Service {
  close(options: { readonly linger: number }): Promise<void>;
}

/**
 * Runs a service until a signal, then drains it. It is always closed.
 *
 * @param begin opens its endpoints
 * @throws Failure for a second signal during the drain; errors of `begin`
 */
export async function untilStopped(
  service: Service,
  stop: Stop,
  begin: () => Promise<void> | void,
): Promise<void> {
  try {
    await begin();
    await requested(stop);
    // Only a second signal ends it early: a service may need time.
    await unlessAborted(service.close({ linger: DRAIN }), stop.insisted);
    if (stop.insisted.aborted) throw new Failure("stopped before everything in flight was finished");
  } finally {
    service.close({ linger: 0 }).catch(() => undefined); // The first call's failure was thrown.
    stop.dispose();
  }
}

function requested({ requested: signal }: Stop): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // Keeps a process without connections alive.
  const keepAlive = setInterval(() => undefined, 60_000);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      clearInterval(keepAlive);
      resolve();
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
