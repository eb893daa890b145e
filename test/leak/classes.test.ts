/**
 * Every public class: made, used and closed, nothing of it stays. What makes and uses it is the example in its comment, which
 * the tests of the pages run, too; of a class whose example is only to be read, or that has none, the table below has it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { classesWithExample, examplesOf, ROOT, read, sources } from "../docs/blocks.js";
import { Child, ENTRIES } from "../process/child.js";
import { LONG } from "../support/long.js";

/** Classes whose example does not run, by programs that do. */
const PROGRAMS: Readonly<Record<string, string>> = {
  LmdbSessionStore: `
    import { mkdtempSync, rmSync } from "node:fs";
    import { LmdbSessionStore, SessionServer } from "shoal/sessions";
    const folder = mkdtempSync("/tmp/shoal-");
    const store = await LmdbSessionStore.open(folder);
    const server = new SessionServer({ store });
    await server.bind("tcp://127.0.0.1:*");
    await server.close();
    await store.close();
    rmSync(folder, { recursive: true });`,
  BlackBox: `
    import { BlackBox } from "shoal/black-box";
    import { Publisher } from "shoal";
    const publisher = new Publisher();
    const connect = await publisher.bind("tcp://127.0.0.1:*");
    const box = new BlackBox({ handler: new URL("data:text/javascript,export default () => undefined"), workers: 1, connect });
    await box.start();
    await box.close();
    await publisher.close();`,
};

/** Classes that nothing here makes, and why. */
const NOT_MADE: Readonly<Record<string, string>> = {
  PostgresStore: "needs PostgreSQL: test/patterns/titanic",
  PostgresSessionStore: "needs PostgreSQL: test/sessions",
};

/** Classes that a program gets from what it makes: the instances of all public classes are counted, theirs among them. */
const MADE_BY_OTHERS: Readonly<Record<string, string>> = {
  Driver: "every pattern",
  LinkChannel: "MultiplexLink",
  BinaryStarClient: "BinaryStarServer",
  BinaryStarGate: "BinaryStar",
  CloneServer: "CloneClient",
  EspressoListener: "EspressoTap",
  FreelanceServer: "FreelanceClient",
  LoadBalancerClient: "LoadBalancer",
  MajordomoBroker: "MajordomoClient",
  MajordomoWorker: "MajordomoClient",
  MemorySessionStore: "SessionServer",
  PirateClient: "PirateQueue",
  PirateWorker: "PirateQueue",
  SequencedSubscriber: "SequencedPublisher",
  Disk: "SimulatedNode",
  NodeClock: "SimulatedNode",
  RulesTimer: "World",
  HookAnswer: "ClusterNode",
  ZrePlane: "ClusterNode with zre",
  Operation: "whoever listens to the tracing channels",
};

interface Program {
  readonly names: readonly string[];
  readonly code: string;
}

function programs(): readonly Program[] {
  const byCode = new Map<string, string[]>();
  for (const file of sources()) {
    const text = read(file);
    const blocks = examplesOf(file, text).filter(({ info }) => !info.includes("no-run"));
    for (const name of classesWithExample(text)) {
      // The comment of a class ends where the class begins: its example is the last one before that.
      const line = text
        .slice(0, text.search(new RegExp(`^export (?:abstract )?class ${name}\\b`, "m")))
        .split("\n").length;
      const block = blocks.filter((each) => each.line < line).at(-1);
      if (block === undefined || name in PROGRAMS || name in NOT_MADE) continue;
      byCode.set(block.code, [...(byCode.get(block.code) ?? []), name]);
    }
  }
  for (const [name, code] of Object.entries(PROGRAMS)) byCode.set(code, [name]);
  return Array.from(byCode, ([code, names]) => ({ names, code }));
}

/** A program as a function that can run again: its modules are read once. */
function toFunction({ names, code }: Program): string {
  const { ESNext } = ts.ModuleKind;
  const { outputText } = ts.transpileModule(code.replaceAll(/^\s+import /gm, "import "), {
    compilerOptions: { module: ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
  });
  const body = outputText
    .replaceAll(/^export .*$/gm, "")
    .replaceAll(/^import \{([^}]*)\} from ("[^"]+");/gm, (_, list: string, from: string) => {
      const named = list.replaceAll(/\btype \w+,?/g, "").replaceAll(" as ", ": ");
      return `const {${named}} = await import(${from});`;
    });
  return `{ names: ${JSON.stringify(names)}, run: async () => {\n${body}\n} }`;
}

describe("every public class", () => {
  const all = programs();

  it("is made by a program, or is known to be made by others", () => {
    const folder = join(ROOT, "test/types/snapshots");
    const names = ts.sys
      .readDirectory(folder, [".txt", ".snap", ".ts", ".md"])
      .flatMap((file) =>
        Array.from(readFileSync(file, "utf8").matchAll(/^class (\w+)/gm), ([, name = ""]) => name),
      );
    expect(names.length).toBeGreaterThan(80);
    const others = [...Object.keys(NOT_MADE), ...Object.keys(MADE_BY_OTHERS)];
    const known = new Set([...all.flatMap((program) => program.names), ...others]);
    expect([...new Set(names)].filter((name) => !/Error$/.test(name) && !known.has(name))).toEqual([]);
  });

  it("leaves no instance behind when it is closed", async () => {
    const folder = mkdtempSync(join(ROOT, ".leak-test-"));
    try {
      const module = join(folder, "programs.mjs");
      const entries = `export const entries = ${JSON.stringify(ENTRIES)};`;
      writeFileSync(module, `${entries}\nexport const programs = [${all.map(toFunction).join(",\n")}];\n`);
      const rounds = LONG ? 12 : 1;
      const program = join(ROOT, "test/leak/classes.js");
      const args = ["--no-warnings", "--unhandled-rejections=strict", program, module, String(rounds)];
      const { code, stdout, stderr } = await new Child(process.execPath, args, { limit: 300_000 }).outcome;
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const { alive, objects } = JSON.parse(stdout) as { alive: string[]; objects: number[] };
      expect(alive).toEqual([]);
      // Caches fill for some rounds; then less than an object for each program and round is left.
      const last = objects.slice(-10);
      const grown = (last.at(-1) ?? 0) - (last[0] ?? 0);
      if (last.length > 1) expect(grown / (last.length - 1), String(objects)).toBeLessThan(all.length);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 310_000);
});
