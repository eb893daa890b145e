/** Looks at promises from the outside: what became of each, without waiting for it. */
import { getEventListeners } from "node:events";

export interface Outcome<T> {
  state: "pending" | "fulfilled" | "rejected";
  value?: T;
  /** The error's `code`, or `name` without one. */
  code?: string;
  error?: Error;
}

/** Keeps `outcome` equal to what became of `promise`. Its rejection counts as handled. */
export function watch<T>(promise: Promise<T>): Outcome<T> {
  const outcome: Outcome<T> = { state: "pending" };
  promise.then(
    (value) => {
      outcome.state = "fulfilled";
      outcome.value = value;
    },
    (error: Error & { code?: string }) => {
      outcome.state = "rejected";
      outcome.error = error;
      outcome.code = error.code ?? error.name;
    },
  );
  return outcome;
}

const realSetImmediate = setImmediate;

/** Lets everything happen that waits for promises only, whatever timers are faked. */
export function turn(): Promise<void> {
  return new Promise((resolve) => realSetImmediate(resolve));
}

/** How many abort listeners are left on a signal. */
export function abortListeners(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}
