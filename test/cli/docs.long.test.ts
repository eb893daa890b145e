/** docs/cli.md is true: its scripts run, and print what it says. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Child, type Ended, file, MAIN, useShoal } from "./support.js";

useShoal(afterAll);

/** Examples that run at the same time: much of each is waiting for its processes. */
const LANES = 3;

const page = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8");
const examples = Array.from(
  page.matchAll(/^```sh\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/gm),
  ([, script = "", output = ""]) => ({ script, output }),
);

describe("docs/cli.md", () => {
  test("has an example of every command, and says what it prints", () => {
    expect(page.match(/^```sh$/gm)).toHaveLength(examples.length);
    const scripts = examples.map(({ script }) => script).join("");
    for (const command of "pub sub xpub xsub push pull req rep dealer router pair keygen bench".split(" ")) {
      expect(scripts).toMatch(new RegExp(`\\bshoal ${command} `));
    }
  });

  let outcomes: readonly Promise<Ended>[] | undefined;

  test.each(examples.map((example, index) => ({ ...example, index })))("$script", async ({
    output,
    index,
  }) => {
    outcomes ??= executeAll();
    const { code, stdout } = (await outcomes[index]) as Ended;
    expect(stdout.toString()).toBe(output);
    expect(code).toBe(0);
  });
});

/** Runs all examples in their order, `LANES` of them at the same time. */
function executeAll(): readonly Promise<Ended>[] {
  let free = LANES;
  const waiting: (() => void)[] = [];
  const inTurn = async (script: string): Promise<Ended> => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await execute(script);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
  return examples.map(({ script }) => inTurn(script));
}

function execute(script: string): Promise<Ended> {
  const folder = file();
  mkdirSync(folder);
  const shoal = join(folder, "shoal");
  writeFileSync(shoal, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
  chmodSync(shoal, 0o755);
  const path = `PATH="${folder}:$PATH"\n`;
  // The ports of the page may be taken here: ipc in the example's own folder instead.
  const own = path + script.replaceAll(/tcp:\/\/127\.0\.0\.1:(\d+)/g, "ipc://p$1");
  return new Child("/bin/bash", ["-ec", own], { cwd: folder, group: true }).end().ended;
}
