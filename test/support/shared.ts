/**
 * Files of the project "shared" (vitest.config.ts) share a process and its modules. What a failing test may have left
 * replaced is put back after each file: timers, spies, the environment.
 */
import "./equality.js";
import { afterAll, vi } from "vitest";
import { keepEnvironment } from "./environment.js";

const restoreEnvironment = keepEnvironment();
afterAll(() => {
  // Spies first: one on a faked timer would put that back.
  vi.restoreAllMocks();
  vi.useRealTimers();
  restoreEnvironment();
});
