/**
 * Files of the project "shared" (vitest.config.ts) share a process and its modules. What a failing test may have left
 * replaced is put back after each file: timers, spies, the environment.
 */
import "./equality.js";
import { AsyncLocalStorage } from "node:async_hooks";
import { afterAll, vi } from "vitest";
import { keepEnvironment } from "./environment.js";

declare global {
  /** Storages that were run in this process since the last file: files share it. */
  var shoalStorages: Set<AsyncLocalStorage<unknown>> | undefined;
}

if (globalThis.shoalStorages === undefined) {
  const storages = new Set<AsyncLocalStorage<unknown>>();
  globalThis.shoalStorages = storages;
  const { run } = AsyncLocalStorage.prototype;
  AsyncLocalStorage.prototype.run = function (this: AsyncLocalStorage<unknown>, ...args: never[]) {
    storages.add(this);
    return Reflect.apply(run, this, args);
  } as typeof run;
}

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = globalThis;
const restoreEnvironment = keepEnvironment();
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  // A spy on a faked timer has put that back.
  Object.assign(globalThis, {
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    setImmediate,
    clearImmediate,
  });
  restoreEnvironment();
  // Before Node.js 24 a storage that was run once doubles the price of every promise in the process, until it is disabled.
  for (const storage of globalThis.shoalStorages ?? []) storage.disable();
  globalThis.shoalStorages?.clear();
});
