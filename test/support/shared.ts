/**
 * Files of the project "shared" (vitest.config.ts) share a process and its modules. What a failing test may have left
 * replaced is put back after each file: timers, spies, the environment.
 */
import "./equality.js";
import { afterAll, vi } from "vitest";
import { keepEnvironment } from "./environment.js";

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
});
