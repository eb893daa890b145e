import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Sockets and native code: processes apart, and no second try for a test that fails.
    pool: "forks",
    // One more than the cores that it is meant for: a third of the time a test waits for processes and timers.
    maxWorkers: 3,
    retry: 0,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 5_000,
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text-summary", "html"] },
  },
});
