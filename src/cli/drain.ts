/**
 * How a command that serves runs and ends.
 *
 *   running --signal--> draining: nothing new, what is in hand ends --> 0
 *                          |  a second signal: at once --> 1
 */
import { Failure } from "./failure.js";
import { type Stop, unlessAborted } from "./signals.js";

/** ms that what is in hand has to end after the first signal. */
const DRAIN = 10_000;

/** What drains when it is closed; closing it twice is closing it once. */
export interface Service {
  close(options: { readonly linger: number }): Promise<void>;
}

/**
 * Runs a service until a signal comes, then drains it. It is closed however this ends.
 *
 * @param begin opens what it listens at
 * @throws Failure when a second signal came before everything in hand had ended; what `begin` throws
 */
export async function serve(service: Service, stop: Stop, begin: () => Promise<void> | void): Promise<void> {
  try {
    await begin();
    await stopped(stop.requested);
    await drained(service.close({ linger: DRAIN }));
  } finally {
    service.close({ linger: 0 }).catch(() => undefined); // The first call's failure was told.
    stop.dispose();
  }
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // A command whose sockets are all away has nothing else that keeps the process.
  const hold = setInterval(() => undefined, 60_000);
  return new Promise((resolve) => {
    const onAbort = (): void => {
      clearInterval(hold);
      resolve();
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** The second signal ends it at once; time alone does not, since what is in hand may take long. */
async function drained(closing: Promise<void>): Promise<void> {
  const insisted = new AbortController();
  const insist = (): void => insisted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, insist);
  try {
    await unlessAborted(closing, insisted.signal);
    if (insisted.signal.aborted) throw new Failure("stopped before everything in hand had ended");
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, insist);
  }
}
