/** Entry point of `shoal bench`. */
import { statSync } from "node:fs";
import { BadInput } from "./bad-input.js";
import {
  type ComparisonRow,
  compareRecords,
  comparisonCode,
  comparisonText,
  recordsOfBuild,
} from "./compare.js";
import { whyBusy } from "./idle.js";
import { runOneSide } from "./one-side.js";
import {
  type BenchOptions,
  contendersOf,
  numberOf,
  planOf,
  RUN_SECONDS,
  referenceOf,
  ruleOf,
} from "./options.js";
import { openSink, writeReport } from "./output.js";
import { CONTENDERS } from "./peers/index.js";
import { shoalBuild } from "./peers/node-contender.js";
import { describeMachine } from "./report/machine.js";
import { type BenchRecord, readRecords } from "./report/records.js";
import { absentText, scenarioText } from "./report/table.js";
import type { CaseSettings } from "./runner/case.js";
import { findPinning } from "./runner/pinning.js";
import { createProgress } from "./runner/progress.js";
import { runSuite, type SuitePlan } from "./runner/suite.js";
import { SCENARIOS } from "./scenarios/index.js";

export type { BenchOptions } from "./options.js";

/**
 * @returns the exit code: 0 done; 1 something failed, was interrupted, or became worse; 2 nothing can be said
 * @throws BadInput for an invalid command line: exit code 2
 */
export async function bench(options: BenchOptions): Promise<number> {
  const [, ...rest] = options.what;
  const work = workOf(options.what);
  checkWork(work, options);
  if (work === "list") return list();
  if (work === "compare") return compare(rest, options);
  if (work === "report") return report(rest, options);
  return withSignals(async (signal) => {
    if (work === "builds") return compareBuilds(rest, options, signal);
    if (options.role !== undefined) return runOneSide(options, options.role, signal);
    for (const side of ["bind", "connect"] as const)
      if (options[side] !== undefined) throw new BadInput(`--${side} requires --role`);
    if (work === "page") await refuseBusy(options);
    const { code, records } = await measure(options, planOf(options), signal);
    await writeReports(options, records);
    return code;
  });
}

function workOf([word, first = ""]: readonly string[]): Work {
  if (word === "list" || word === "report" || word === "page") return word;
  if (word !== "compare") return "measure";
  return statSync(first, { throwIfNoEntry: false })?.isDirectory() === true ? "builds" : "compare";
}

/** @throws BadInput if other work would change the figures */
async function refuseBusy({ busy, smoke }: BenchOptions): Promise<void> {
  if (busy === true || smoke === true) return;
  const reason = await whyBusy();
  if (reason !== undefined)
    throw new BadInput(`the machine is not idle: ${reason}; wait, or measure all the same with --busy`);
}

async function measure(
  options: BenchOptions,
  plan: SuitePlan,
  signal: AbortSignal,
  settings: Pick<CaseSettings, "reference" | "sameWork"> = { reference: referenceOf(options) },
): Promise<{ code: number; records: readonly BenchRecord[] }> {
  const rule = ruleOf(options);
  const smoke = options.smoke ?? false;
  const pinning = options.pin === false ? undefined : findPinning();
  // Before its file is opened, which may be a tracked one.
  const machine = await describeMachine({ pinned: pinning?.cores ?? null, smoke });
  const sink = openSink(options.json);
  const progress = createProgress(process.stderr);
  const print = (text: string) => {
    progress.clear();
    if (options.json !== "-" && text !== "") process.stdout.write(`${text}\n`);
  };
  try {
    sink.write(machine);
    await runSuite(
      plan,
      { smoke, rule, runSeconds: RUN_SECONDS, ...settings, pinning, signal },
      {
        record: (record) => sink.write(record),
        progress: (what, share) => progress.update(what, share),
        scenarioDone: (scenario) => print(scenarioText(sink.records, scenario, settings.reference)),
      },
    );
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.clear();
    sink.close();
  }
  print(absentText(sink.records));
  const { records } = sink;
  const measured = records.some(({ type }) => type === "run");
  const failed = records.filter(({ type }) => type === "failed").length;
  if (signal.aborted) process.stderr.write("shoal bench: interrupted; the results above are incomplete\n");
  else if (failed > 0) process.stderr.write(`shoal bench: ${failed} failed, see above\n`);
  else if (!measured) process.stderr.write("shoal bench: nothing was measured\n");
  return { code: signal.aborted || failed > 0 || !measured ? 1 : 0, records };
}

async function list(): Promise<number> {
  const lines = ["Scenarios:"];
  for (const { name, question, transports, sizes, parameters } of SCENARIOS) {
    lines.push(`  ${name}`, `      ${question}`, `      transports: ${transports.join(", ")}`);
    if (sizes.length > 0) lines.push(`      sizes: ${sizes.join(", ")}`);
    for (const [parameter, { values, help }] of Object.entries(parameters)) {
      lines.push(`      --set ${parameter}=${values.join(",")}: ${help}`);
    }
  }
  lines.push("", "Implementations:");
  for (const contender of CONTENDERS) {
    const reason = await contender.absent();
    lines.push(
      `  ${contender.name.padEnd(20)} ${contender.title}${reason === undefined ? "" : `; absent: ${reason}`}`,
    );
  }
  process.stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

type Work = "list" | "compare" | "builds" | "report" | "page" | "measure";
type Named = Exclude<keyof BenchOptions, "what" | "pin">;

/** Kinds of work that each option applies to. */
const WORKS: Readonly<Record<Named, readonly Work[]>> = {
  engine: ["measure"],
  transport: ["measure", "builds"],
  size: ["measure", "builds"],
  peers: ["measure", "page", "builds"],
  set: ["measure", "builds"],
  runs: ["measure", "builds"],
  time: ["measure", "builds"],
  smoke: ["measure", "page", "builds"],
  busy: ["page", "builds"],
  role: ["measure"],
  bind: ["measure"],
  connect: ["measure"],
  reference: ["measure", "report"],
  html: ["measure", "page", "report"],
  json: ["measure", "page", "builds", "compare"],
  markdown: ["page", "report"],
  svg: ["page", "report"],
  threshold: ["builds", "compare"],
  relativeTo: ["compare"],
};

const WORK_NAMES: Readonly<Partial<Record<Work, string>>> = {
  measure: "measuring",
  builds: "compare of builds",
};

/** @throws BadInput for an option that this work would ignore */
function checkWork(work: Work, options: BenchOptions): void {
  for (const [name, works] of Object.entries(WORKS) as [Named, readonly Work[]][]) {
    const value = options[name];
    if (works.includes(work) || value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const names = works.map((one) => WORK_NAMES[one] ?? one);
    throw new BadInput(`--${flag} goes with ${names.join(" and ")}`);
  }
}

async function compare(files: readonly string[], options: BenchOptions): Promise<number> {
  const [before, after] = files;
  if (before === undefined || after === undefined || files.length > 2)
    throw new BadInput(
      "compare needs two files written by --json, or two folders of shoal: compare BEFORE AFTER",
    );
  const { relativeTo } = options;
  const settings = { threshold: thresholdOf(options), relativeTo };
  const rows = compareRecords(await readRecords(before), await readRecords(after), settings);
  if (rows.length === 0)
    throw new BadInput(`${before} and ${after} have no case of an implementation in common`);
  return printComparison(rows, options, options.json === "-");
}

/** Measures two builds, and the implementations of `--peers`, in turns; without scenarios, the cases of the page. */
async function compareBuilds(
  [before = "", after = "", ...scenarios]: readonly string[],
  options: BenchOptions,
  signal: AbortSignal,
): Promise<number> {
  const builds = [shoalBuild("before", before), shoalBuild("after", after)];
  const what = scenarios.length === 0 ? ["page"] : scenarios;
  const others = options.peers === undefined ? [] : contendersOf(options);
  const plan = planOf({ ...options, what }, [...builds, ...others]);
  await refuseBusy(options);
  const { code, records } = await measure(options, plan, signal, {
    reference: "before",
    sameWork: builds,
  });
  const [then, now] = builds.map(({ name }) => recordsOfBuild(records, name));
  const rows = compareRecords(then ?? [], now ?? [], { threshold: thresholdOf(options), paired: true });
  return rows.length === 0 ? code : printComparison(rows, options, false);
}

const thresholdOf = (options: BenchOptions): number =>
  numberOf("threshold", options.threshold, 5, false) / 100;

function printComparison(rows: readonly ComparisonRow[], options: BenchOptions, isJson: boolean): number {
  const lines = rows.map((row) => JSON.stringify(row)).join("\n");
  process.stdout.write(`${isJson ? lines : comparisonText(rows, thresholdOf(options))}\n`);
  return comparisonCode(rows);
}

/** The library of charts is loaded on use. */
async function writeReports(options: BenchOptions, records: readonly BenchRecord[]): Promise<void> {
  const { html, markdown, svg } = options;
  if (html !== undefined) {
    const { htmlReport } = await import("./report/html.js");
    await writeReport(html, htmlReport(records, referenceOf(options)));
  }
  if (markdown === undefined && svg === undefined) return;
  const { replaceResults, writeOverview } = await import("./report/markdown.js");
  // The overview refuses records without its cases, and the page then keeps its tables.
  if (svg !== undefined) await writeOverview(svg, records);
  if (markdown !== undefined) await replaceResults(markdown, records);
}

async function report(files: readonly string[], options: BenchOptions): Promise<number> {
  if (files.length === 0)
    throw new BadInput("report needs files written by --json: shoal bench report FILE…");
  const records = await readRecords(...files);
  const reference = referenceOf(options);
  const { html, markdown, svg } = options;
  await writeReports(options, records);
  if (html === undefined && markdown === undefined && svg === undefined) {
    for (const scenario of SCENARIOS) {
      const has = records.some((record) => "scenario" in record && record.scenario === scenario.name);
      if (has) process.stdout.write(`${scenarioText(records, scenario, reference)}\n`);
    }
    process.stdout.write(absentText(records));
  }
  return 0;
}

/** The first signal ends the run in order; the second ends the program at once. */
async function withSignals(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort(new Error("interrupted"));
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
