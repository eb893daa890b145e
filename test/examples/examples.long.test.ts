/** Every example runs as its reader would run it, asserts its own result, and ends by itself. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const FOLDER = fileURLToPath(new URL("../../examples/", import.meta.url));
/** ms; far more than any needs, for a busy machine. */
const LIMIT = 35_000;
const examples = readdirSync(FOLDER).filter((name) => name.endsWith(".js"));

/** Runs a module; rejects when it fails or has to be ended. */
function run(path: string): Promise<{ out: string; err: string }> {
  return new Promise((resolve, reject) => {
    // On a slow machine a peer that an example has ended itself is missing for more than a second.
    const args = ["--disable-warning=SHOAL_UNREACHABLE", path];
    execFile(process.execPath, args, { timeout: LIMIT, killSignal: "SIGKILL" }, (error, out, err) => {
      if (error === null) resolve({ out, err });
      else reject(new Error(`${path}: ${error.killed ? `did not end in ${LIMIT} ms` : err}`));
    });
  });
}

// Most of their time is waiting: several at once.
test.concurrent.each(examples)("the example %s runs, asserts its result, and ends", async (name) => {
  expect(readFileSync(FOLDER + name, "utf8")).toMatch(/^import assert from "node:assert\/strict";$/m);
  const { out, err } = await run(FOLDER + name);
  expect(err).toBe("");
  expect(out).not.toBe("");
});
