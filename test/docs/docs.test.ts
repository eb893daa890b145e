/**
 * The pages are true: their code runs as it stands, what it says it prints it prints, and their links lead somewhere, in a
 * checkout and in the package. So are the examples in the comments of the classes that a program imports.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Child } from "../process/child.js";
import { LONG } from "../support/long.js";
import { anchors, type Block, links, pages, programs, ROOT, read, split } from "./blocks.js";

/** ms; far more than the blocks of a process need, for a busy machine. */
const LIMIT = 90_000;

/** The programs; those that are only to be read are compiled all the same, parts of one are parsed: test/types has that. */
const code = programs();
/** Those that are run: by default what a reader sees first, in the long form all. */
const runnable = code.filter(
  ({ info, page }) =>
    !info.includes("no-run") && (LONG || page === "README.md" || page === "docs/getting-started.md"),
);

/** JavaScript that this Node.js runs. */
function toJavaScript({ code }: Block): string {
  const { ESNext } = ts.ModuleKind;
  return ts.transpileModule(code, { compilerOptions: { module: ESNext, target: ts.ScriptTarget.ES2023 } })
    .outputText;
}

/** Processes that run the blocks. A process for each block costs more than the blocks themselves. */
const PROCESSES = LONG ? 6 : 1;

/**
 * Runs modules, one after the other, in one process. What each prints is a line of JSON with its number, and so is its end:
 * when nothing of it would keep a process alive any more.
 */
const RUNNER = `
import { setTimeout } from "node:timers/promises";
import { format } from "node:util";
const files = process.argv.slice(2);
const alive = () => process.getActiveResourcesInfo().length;
const { stdout } = process;
const before = alive();
let number = 0;
const report = (line) => stdout.write(JSON.stringify({ number, ...line }) + "\\n");
console.log = (...values) => report({ text: format(...values) });
process.stderr.write = (text) => report({ err: String(text) });
for (; number < files.length; number++) {
  await import(files[number]);
  do await setTimeout(2); while (alive() > before);
  report({ ended: true });
}
`;

/** What became of a block. */
interface Outcome {
  readonly printed: string[];
  /** What came on standard error while it ran. */
  err: string;
  ended: boolean;
}

/** What became of a process, which has to end by itself after the last of its blocks. */
interface Run {
  readonly blocks: ReadonlyMap<Block, Outcome>;
  readonly status: number | NodeJS.Signals | null;
  /** The block that did not end; those behind it did not begin. */
  readonly stuck: Block | undefined;
}

let folder = "";
/** For what the blocks make among the temporary files: its name is short, since sockets are in it. */
let temporary = "";

/** Runs modules in a process of their own, in the project's folder, so that they import "shoal" as this package. */
async function run(blocks: readonly Block[], number: number): Promise<Run> {
  const outcomes = blocks.map((): Outcome => ({ printed: [], err: "", ended: false }));
  const files = blocks.map((block, index) => {
    const file = join(folder, `${number}-${index}.mjs`);
    writeFileSync(file, toJavaScript(block).replaceAll('"/tmp/', `"${temporary}/`));
    return file;
  });
  // On a slow machine a peer that a program has ended itself is missing for more than a second.
  const args = ["--disable-warning=SHOAL_UNREACHABLE", join(folder, "runner.mjs"), ...files];
  const options = { stdin: "ignore", env: { TMPDIR: temporary }, limit: LIMIT } as const;
  const { code, signal, stdout, stderr } = await new Child(process.execPath, args, options).outcome;
  for (const line of stdout.split("\n")) {
    // What else is there is Node's own, such as the reports of node:test.
    if (!line.startsWith('{"number":')) continue;
    const { number, text, err, ended } = JSON.parse(line);
    const outcome = outcomes[number] as Outcome;
    if (ended) outcome.ended = true;
    else if (err !== undefined) outcome.err += err;
    else outcome.printed.push(...text.split("\n"));
  }
  const at = outcomes.findIndex(({ ended }) => !ended);
  // What Node.js writes itself, such as an exception that nobody caught.
  (outcomes[at] ?? (outcomes.at(-1) as Outcome)).err += stderr;
  const results = new Map(blocks.map((block, index) => [block, outcomes[index] as Outcome]));
  return { blocks: results, status: code ?? signal, stuck: blocks[at] };
}

/** What a block says it prints: the comments at the end of its lines with console.log. */
function promised(code: string): string[] {
  return Array.from(code.matchAll(/^.*console\.log\(.*\); \/\/ (.+)$/gm), ([, text = ""]) => text);
}

describe("the code in the pages", () => {
  const started = new Map<Block, Promise<Run>>();
  beforeAll(() => {
    folder = mkdtempSync(join(ROOT, ".docs-test-"));
    temporary = mkdtempSync(join(tmpdir(), "shoal-docs-"));
    // Once, before the first process: one that finds it half written does nothing, and ends well.
    writeFileSync(join(folder, "runner.mjs"), RUNNER);
    for (let number = 0; number < PROCESSES; number++) {
      const own = runnable.filter((_, index) => index % PROCESSES === number);
      const outcome = run(own, number);
      for (const block of own) started.set(block, outcome);
    }
  });
  afterAll(async () => {
    await Promise.allSettled(started.values());
    for (const each of [folder, temporary]) rmSync(each, { recursive: true, force: true });
  }, LIMIT + 5_000); // The processes have as long.

  test.each(runnable.map((block) => [`${block.page}:${block.line}`, block] as const))(
    "%s runs and prints what it says",
    async (_, block) => {
      const { blocks, status, stuck } = (await started.get(block)) as Run;
      const { printed, err, ended } = blocks.get(block) as Outcome;
      expect(err).toBe("");
      if (!ended && stuck !== undefined)
        throw new Error(
          `${stuck === block ? "It" : `${stuck.page}:${stuck.line}, before it,`} did not end: ${status}`,
        );
      if (stuck === undefined) expect(status).toBe(0);
      for (const line of promised(block.code)) expect(printed).toContain(line);
    },
    LIMIT + 5_000,
  );
});

/** Whether the package has a file, by what package.json says: patterns of folders, extensions, or names. */
function isPacked(file: string): boolean {
  const { files } = JSON.parse(read("package.json")) as { files: readonly string[] };
  return files
    .filter((pattern) => !pattern.startsWith("!"))
    .some((pattern) => {
      const parts = pattern.split(/(\*\*\/|\*)/).map((part) => {
        if (part === "**/") return "(?:.+/)?";
        return part === "*" ? "[^/]*" : part.replaceAll(".", "\\.");
      });
      return new RegExp(`^${parts.join("")}(?:/|$)`).test(file);
    });
}

describe("the links in the pages", () => {
  test.each(pages().filter(isPacked))("%s links to what the package has", (page) => {
    const lost = links(split(page).prose).flatMap((link) => {
      const [path = ""] = link.split("#");
      const target = path === "" ? page : normalize(join(dirname(page), path)).replaceAll("\\", "/");
      return isPacked(target) ? [] : [link];
    });
    expect(lost).toEqual([]);
  });

  test.each(pages())("%s links to what is there", (page) => {
    const broken = links(split(page).prose).filter((link) => {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : normalize(join(dirname(page), path));
      if (target.startsWith("..") || !existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && !anchors(split(target, read(target)).prose).has(anchor);
    });
    expect(broken).toEqual([]);
  });
});
