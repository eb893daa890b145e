/** Lines of `--json`: all data for reports and comparisons, one object per line. */
import { readFile } from "node:fs/promises";
import { BadInput } from "../bad-input.js";
import type { Case, Parameters } from "../contract.js";

export interface MachineRecord {
  readonly type: "machine";
  /** Start of the suite, ISO 8601. */
  readonly started: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly shoal: string;
  /** Commit of the checkout, with "+" for uncommitted changes; null outside of a checkout. */
  readonly commit: string | null;
  /** Cores that sides were pinned to, separate for each role; null: not pinned. */
  readonly pinned: readonly number[] | null;
  readonly smoke: boolean;
}

export interface ContenderRecord {
  readonly type: "contender";
  readonly contender: string;
  readonly title: string;
  readonly version: string | null;
}

export interface AbsentRecord {
  readonly type: "absent";
  readonly contender: string;
  readonly reason: string;
}

/** Identifies a case in the lines. */
export interface CaseKey extends Case {
  readonly scenario: string;
}

export interface SideFigures {
  readonly role: string;
  readonly index: number;
  /** Messages within the measured time (deliveriesOf). */
  readonly messages: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRss: number;
  readonly gcSeconds: number | null;
}

export interface RunRecord extends CaseKey {
  readonly type: "run";
  readonly contender: string;
  /** From 0. The same round of two implementations ran one after the other. */
  readonly round: number;
  readonly count: number;
  /** End of the run, ISO 8601. */
  readonly at: string;
  readonly figures: Readonly<Record<string, number>>;
  readonly sides: readonly SideFigures[];
  readonly latency?: Readonly<Record<string, number>>;
}

export interface FailedRecord extends CaseKey {
  readonly type: "failed";
  readonly contender: string;
  readonly reason: string;
  readonly output: readonly string[];
}

/** An implementation without support for the case. */
export interface UnsupportedRecord extends CaseKey {
  readonly type: "unsupported";
  readonly contender: string;
}

/** A finished or interrupted case. */
export interface CaseRecord extends CaseKey {
  readonly type: "case";
  readonly reference: string | null;
  /** "failed": no implementation was left. */
  readonly stopped: "narrow" | "rounds" | "time" | "failed" | "interrupted";
}

export type BenchRecord =
  | MachineRecord
  | ContenderRecord
  | AbsentRecord
  | RunRecord
  | FailedRecord
  | UnsupportedRecord
  | CaseRecord;

/** Equal for equal cases, whatever the order of parameters. */
export function keyOf({ scenario, transport, size, parameters }: CaseKey): string {
  return [scenario, transport, size, ...parameterList(parameters)].join(" ");
}

export function parameterList(parameters: Parameters): string[] {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}=${value}`)
    .sort();
}

/**
 * Reads files written by `--json`; the rounds of a case continue from file to file.
 * @throws BadInput for any other file
 */
export async function readRecords(...files: readonly string[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  const rounds = new Map<string, number>();
  for (const file of files) {
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      throw new BadInput(`cannot read ${file}: ${(error as Error).message}`);
    }
    const before = new Map(rounds);
    for (const [i, line] of text.split("\n").entries()) {
      if (line.trim() === "") continue;
      const record = parseRecord(line, `${file}, line ${i + 1}`);
      if (record.type === "run") {
        const key = keyOf(record);
        const round = record.round + (before.get(key) ?? 0);
        rounds.set(key, Math.max(rounds.get(key) ?? 0, round + 1));
        records.push({ ...record, round });
      } else records.push(record);
    }
    if (!records.some(({ type }) => type === "run" || type === "failed")) {
      throw new BadInput(`${file} has no results: it was not written by --json, or nothing was measured`);
    }
  }
  return records;
}

function parseRecord(line: string, where: string): BenchRecord {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new BadInput(`${where}: no JSON`);
  }
  const { type, figures, sides, scenario, contender, parameters } = (value ?? {}) as Record<string, unknown>;
  if (typeof type !== "string") throw new BadInput(`${where}: not a line of a report`);
  const whole =
    type !== "run" ||
    (typeof scenario === "string" &&
      typeof contender === "string" &&
      typeof figures === "object" &&
      figures !== null &&
      typeof parameters === "object" &&
      parameters !== null &&
      Array.isArray(sides));
  if (!whole) throw new BadInput(`${where}: the run has no figures`);
  return value as BenchRecord;
}
