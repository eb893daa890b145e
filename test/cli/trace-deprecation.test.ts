/** An option that every command has. */
import { afterEach, expect, it } from "vitest";
import { applyCommonOptions } from "../../src/cli/options.js";

afterEach(() => {
  process.traceDeprecation = false;
});

it("--trace-deprecation has deprecations printed with their place", async () => {
  await applyCommonOptions({ traceDeprecation: true });
  expect(process.traceDeprecation).toBe(true);
});
