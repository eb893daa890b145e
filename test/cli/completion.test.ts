/** Completions and the manual: all commands are in them, and a shell takes them. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
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

/** What may stand in place of the last word. */
async function offers(...words: string[]): Promise<string[]> {
  const { code, stdout } = await run("", "complete", "--", ...words);
  expect(code).toBe(0);
  return String(stdout)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t")[0] as string);
}

describe("completion", () => {
  test("offers commands, options of the one command, and words of an option", async () => {
    expect(await offers("")).toEqual(
      expect.arrayContaining(["push", "majordomo", "node", "completion", "--help"]),
    );
    expect(await offers("pu")).toEqual(["pub", "push", "pull"]);
    expect(await offers("compl")).toEqual(["completion"]); // The command behind the scripts is hidden.
    expect(await offers("majordomo", "b")).toEqual(["broker"]);
    expect(await offers("push", "--log-level", "")).toEqual(["error", "warn", "info", "debug"]);
    const ends = await offers("majordomo", "broker", "--bind", "x", "--");
    expect(ends).toEqual(expect.arrayContaining(["--bind", "--titanic", "--log-format"]));
    expect(ends).not.toContain("--connect"); // The broker has no such option.
    expect((await offers("completion", "")).slice(0, 3)).toEqual(["bash", "zsh", "fish"]);
    expect(await offers("pull", "--connect", "i")).toContain("ipc://");
    expect(await offers("push", "--tls-cert", "")).toEqual([]); // The shell completes a file.
  });

  test("bash asks for the words before the cursor, and offers those that fit", async () => {
    const path = file();
    const { stdout } = await run("", "completion", "bash");
    const fake = "shoal() { local IFS=' '; printf '%s\\thelp\\n' \"$*\" pull push; }";
    const ask =
      "COMP_WORDS=(shoal -q pu); COMP_CWORD=2; _shoal; printf '%s ' $COMPREPLY; shoal complete -- -q pu";
    writeFileSync(path, `${stdout}\n${fake}\n${ask}\n`);
    const out = execFileSync("/bin/bash", ["-u", path], { encoding: "utf8", timeout: 10_000 });
    expect(out).toMatch(/^pull complete/);
    expect(out).toContain("complete -- -q pu\thelp");
  });

  test.each(["bash", "zsh", "fish"])("%s has a script", async (shell) => {
    expect(String((await run("", "completion", shell)).stdout)).toContain("shoal complete -- ");
  });
});

test("the manual has every command with its options and examples, and roff reads each line as it is meant", async () => {
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
