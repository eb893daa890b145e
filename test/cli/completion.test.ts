/** Completions and the manual: all commands are in them, and a shell takes them. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { run } from "./in-process.js";
import { file, useFolder } from "./support.js";

useFolder();

/** Every command as the help of each has it. */
async function commands(...path: string[]): Promise<string[]> {
  const { stdout } = await run("", ...path, "--help");
  const [, listed = ""] =
    String(stdout).split(/^(?:[A-Z][a-z ]+):\n(?= {2}[a-z])/m).length > 1 ? ["", String(stdout)] : [];
  const names = Array.from(listed.matchAll(/^ {2}([a-z]+)(?= )/gm), ([, name = ""]) => name);
  return [...new Set(names)].filter((name) => name !== "shoal" && name !== "echo");
}

/** What bash offers for a line whose last word is not finished. */
function offers(script: string, ...lines: readonly (readonly string[])[]): string[][] {
  const path = file();
  const asks = lines.map(
    (words) =>
      `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; COMPREPLY=(); _shoal; echo "\${COMPREPLY[*]}"`,
  );
  writeFileSync(path, `${script}\n${asks.join("\n")}\n`);
  const out = execFileSync("/bin/bash", ["-u", path], { encoding: "utf8", timeout: 10_000 });
  return out
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" "));
}

describe("completion", () => {
  let script = "";
  beforeAll(async () => {
    const { code, stdout } = await run("", "completion", "bash");
    expect(code).toBe(0);
    script = String(stdout);
  });

  test("bash offers commands, options of the one command, and words of an option", () => {
    const [all = [], pu, broker, level, ends = [], shells, endpoint] = offers(
      script,
      ["shoal", ""],
      ["shoal", "pu"],
      ["shoal", "majordomo", "b"],
      ["shoal", "push", "--log-level", ""],
      ["shoal", "majordomo", "broker", "--bind", "x", "--"],
      ["shoal", "completion", ""],
      ["shoal", "pull", "--connect", "i"],
    );
    expect(all).toEqual(expect.arrayContaining(["push", "majordomo", "node", "completion", "--help"]));
    expect(pu).toEqual(["pub", "push", "pull"]);
    expect(broker).toEqual(["broker"]);
    expect(level).toEqual(["error", "warn", "info", "debug"]);
    expect(ends).toEqual(expect.arrayContaining(["--bind", "--titanic", "--log-format"]));
    expect(ends).not.toContain("--connect"); // The broker refuses it, and its help has none.
    expect(shells?.slice(0, 3)).toEqual(["bash", "zsh", "fish"]);
    expect(endpoint).toEqual(["ipc://"]);
  });

  test("bash offers files where an option takes one", () => {
    const path = file();
    writeFileSync(path, "");
    expect(offers(script, ["shoal", "push", "--tls-cert", path.slice(0, -1)])[0]).toContain(path);
  });

  test.each(["bash", "zsh", "fish"])("%s has every command, and every option of each", async (shell) => {
    const text = String((await run("", "completion", shell)).stdout);
    const names = await commands();
    expect(names.length).toBeGreaterThan(25);
    for (const name of names) expect(text, name).toContain(`"shoal ${name}"`);
    for (const name of ["broker", "worker", "call"]) expect(text).toContain(`"shoal majordomo ${name}"`);
    const { stdout } = await run("", "push", "--help");
    for (const [, option = ""] of String(stdout).matchAll(/^\s+(?:-\w, )?--([a-z-]+)/gm))
      expect(text).toMatch(new RegExp(shell === "fish" ? `-l ${option} ` : `--${option}\\b`));
  });
});

describe("the manual", () => {
  test("has every command with its options and examples, and roff reads each line as it is meant", async () => {
    const { code, stdout } = await run("", "man");
    const text = String(stdout);
    expect(code).toBe(0);
    expect(text).toMatch(/^\.TH SHOAL 1 "" "shoal \d+\.\d+\.\d+" "User Commands"\n/);
    for (const name of await commands()) expect(text).toContain(`.SS shoal ${name}\n`);
    expect(text).toContain("    seq 100 | shoal push \\-\\-bind tcp://127.0.0.1:5557\n");
    for (const line of text.split("\n")) {
      if (/^[.']/.test(line)) expect(line).toMatch(/^\.(?:TH|SH|SS|TP|PP|B|I|RI|nf|fi|br)\b/);
      expect(line.replaceAll(/\\[-e&]/g, "")).not.toContain("\\");
    }
  });
});
