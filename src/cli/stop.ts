/**
 * Signals, and how a command ends by them.
 *
 *   running --signal--> requested ---------- GRACE ms --> forced
 *            takes nothing new,   |            gives up what
 *            delivers and prints  |            still waits
 *            what it has          +--signal--> insisted, and forced
 *
 * A command that serves drains after the first signal for up to DRAIN ms (exit code 0), and ends at once at the second (1).
 */
import { Failure } from "./failure.js";
import { terminal } from "./terminal.js";

/** How long a command may take after the first signal to deliver what it has, in ms. */
export const GRACE = 1_000;
/** How long a service may take after the first signal to finish what is in flight, in ms. */
const DRAIN = 10_000;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export class Stop {
  readonly #signals = terminal().signals;
  readonly #requested = new AbortController();
  readonly #forced = new AbortController();
  readonly #insisted = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** Take nothing new: aborted by the first signal. */
  get requested(): AbortSignal {
    return this.#requested.signal;
  }

  /** Give up waiting: aborted by the second signal, or GRACE ms after the first. */
  get forced(): AbortSignal {
    return this.#forced.signal;
  }

  /** End at once: aborted by the second signal only. */
  get insisted(): AbortSignal {
    return this.#insisted.signal;
  }

  /** Listens to SIGINT and SIGTERM until `dispose`. */
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

  /** The command's own reason to stop: the first call asks, a further one forces. */
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

/** What a serving command runs. Closing drains it; linger 0 closes it at once. */
export interface Service {
  close(options: { readonly linger: number }): Promise<void>;
}

/**
 * Runs a service until a signal comes, then drains it. It is closed however this ends.
 *
 * @param begin opens its endpoints
 * @throws Failure when a second signal came before the service had drained; what `begin` throws
 */
export async function untilStopped(
  service: Service,
  stop: Stop,
  begin: () => Promise<void> | void,
): Promise<void> {
  try {
    await begin();
    await requested(stop);
    // Time alone does not end it: a service may need longer for what is in flight.
    await unlessAborted(service.close({ linger: DRAIN }), stop.insisted);
    if (stop.insisted.aborted) throw new Failure("stopped before everything in flight was finished");
  } finally {
    service.close({ linger: 0 }).catch(() => undefined); // The first call's failure was thrown.
    stop.dispose();
  }
}

function requested({ requested: signal }: Stop): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // A command without any connection has nothing else that keeps the process alive.
  const keepAlive = setInterval(() => undefined, 60_000);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      clearInterval(keepAlive);
      resolve();
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
