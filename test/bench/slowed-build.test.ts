/** Whether `compare` sees a slowed build, and only that: real runs of the package and of copies of it. With SHOAL_LONG=1. */

import { execFile } from "node:child_process";
import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { MAIN, ROOT, requireBuild } from "./build.js";

const run = promisify(execFile);

/** Each receive of a slowed build takes this much longer; one of the real build takes 2 to 10 µs. */
const SLOWER = `
import { Pull as SlowedPull } from "./index.js";
const spin = () => {
  for (const end = process.hrtime.bigint() + 100_000n; process.hrtime.bigint() < end; );
};
const receive = SlowedPull.prototype.receive;
Object.defineProperty(SlowedPull.prototype, "receive", {
  value(options) {
    spin();
    return receive.call(this, options);
  },
});
const iterate = SlowedPull.prototype[Symbol.asyncIterator];
Object.defineProperty(SlowedPull.prototype, Symbol.asyncIterator, {
  value() {
    const messages = iterate.call(this);
    const next = messages.next.bind(messages);
    messages.next = () => {
      spin();
      return next();
    };
    return messages;
  },
});
`;

let folder = "";
beforeAll(async () => {
  requireBuild();
  folder = await mkdtemp(join(tmpdir(), "shoal-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A copy of the package as it is built, with its dependencies. */
async function copy(name: string): Promise<string> {
  const to = join(folder, name);
  await cp(join(ROOT, "dist"), join(to, "dist"), { recursive: true });
  await cp(join(ROOT, "package.json"), join(to, "package.json"));
  await symlink(join(ROOT, "node_modules"), join(to, "node_modules"));
  return to;
}

describe.runIf(LONG)("compare", () => {
  it("flags a slowed build, and not an unchanged one", { timeout: 90_000 }, async () => {
    const [same, slowed] = await Promise.all([copy("same"), copy("slowed")]);
    await appendFile(join(slowed, "dist/index.js"), SLOWER);
    const builds = { before: ROOT, same, slowed };
    const lines = { before: "", same: "", slowed: "" };
    // In turn, so that a change of the machine's load is a change for all.
    for (let round = 0; round < 4; round++) {
      for (const name of ["before", "same", "slowed"] as const) {
        const json = join(folder, "runs.jsonl");
        const args = [
          "bench",
          "throughput",
          "--smoke",
          "--runs",
          "2",
          "--peers",
          "shoal-libzmq",
          "--json",
          json,
        ];
        await run(process.execPath, [join(builds[name], "dist/cli/main.js"), ...args], { timeout: 30_000 });
        lines[name] += await readFile(json, "utf8");
      }
    }
    for (const [name, text] of Object.entries(lines)) await writeFile(join(folder, `${name}.jsonl`), text);
    const compare = (after: string) =>
      run(process.execPath, [
        MAIN,
        "bench",
        "compare",
        join(folder, "before.jsonl"),
        join(folder, after),
      ]).then(
        ({ stdout }) => ({ code: 0, stdout }),
        ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
      );
    const flagged = await compare("slowed.jsonl");
    expect(flagged.stdout).toContain("WORSE");
    expect(flagged.code).toBe(1);
    const unchanged = await compare("same.jsonl");
    expect(unchanged.stdout).not.toContain("WORSE");
    expect(unchanged.code).toBe(0);
  });
});
