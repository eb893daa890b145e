/**
 * Files of the project "shared" (vitest.config.ts) share a process and its modules. What a failing test may have left
 * replaced is put back after each file: timers, spies, the environment.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { afterAll, expect, vi } from "vitest";

declare global {
  /** Files share a process, and its testers of equality. */
  var shoalComparesBytes: true | undefined;
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

/**
 * Equal bytes are compared as bytes: `toEqual` alone looks at them one by one, as at elements of an array, which takes seconds
 * for a megabyte. What differs is compared, and shown, as ever. @returns `undefined`: not decided here
 */
function sameBytes(one: unknown, other: unknown): true | undefined {
  if (!(one instanceof Uint8Array && other instanceof Uint8Array)) return undefined;
  if (one.constructor !== other.constructor || one.length !== other.length) return undefined;
  return Buffer.compare(one, other) === 0 ? true : undefined;
}

if (globalThis.shoalComparesBytes === undefined) {
  globalThis.shoalComparesBytes = true;
  expect.addEqualityTesters([sameBytes]);
}

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = globalThis;
const environment = { ...process.env };
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
  // In its place: an object of ours would keep values as they are, where the environment has texts, and native code sees its own.
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  // Before Node.js 24 a storage that was run once doubles the price of every promise in the process, until it is disabled.
  for (const storage of globalThis.shoalStorages ?? []) storage.disable();
  globalThis.shoalStorages?.clear();
});
