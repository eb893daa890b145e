/** Every example runs as its reader would run it, asserts its own result, and ends by itself. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Child } from "../process/child.js";

const FOLDER = fileURLToPath(new URL("../../examples/", import.meta.url));
/** ms; far more than any needs, for a busy machine. */
const LIMIT = 35_000;
const examples = readdirSync(FOLDER).filter((name) => name.endsWith(".js"));

// Most of their time is waiting: several at once.
test.concurrent.each(examples)("the example %s runs, asserts its result, and ends", async (name) => {
  expect(readFileSync(FOLDER + name, "utf8")).toMatch(/^import assert from "node:assert\/strict";$/m);
  // On a slow machine a peer that an example has ended itself is missing for more than a second.
  const args = ["--disable-warning=SHOAL_UNREACHABLE", FOLDER + name];
  const { code, signal, stdout, stderr } = await new Child(process.execPath, args, { limit: LIMIT }).outcome;
  expect([code, signal, stderr]).toEqual([0, null, ""]);
  expect(stdout).not.toBe("");
});
