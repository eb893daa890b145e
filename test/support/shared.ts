/**
 * Files of the project "shared" (vitest.config.ts) share a process and its modules. What a failing test may have left
 * replaced is put back after each file: timers, spies, the environment.
 */
import { afterAll, vi } from "vitest";

const environment = { ...process.env };
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  // In its place: an object of ours would keep values as they are, where the environment has texts, and native code sees its own.
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
});
