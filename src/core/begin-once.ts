/** Calls that run once, and whose events may call them again. */
import { ignore } from "./ignore.js";

/** @param keep gets the promise before `begin` runs, so that calls within it find the promise */
export function beginOnce<T>(keep: (promise: Promise<T>) => void, begin: () => Promise<T>): Promise<T> {
  let settle: (result: Promise<T>) => void = ignore;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  keep(promise);
  settle(begin());
  return promise;
}
