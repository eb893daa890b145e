/** The lines of `--json`: everything that a report or a comparison needs, one object a line. */
import { readFile } from "node:fs/promises";
import { BadInput } from "../bad-input.js";
import type { Case, Parameters } from "../contract.js";

export interface MachineRecord {
  readonly type: "machine";
  /** ISO 8601, when the suite began. */
  readonly started: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly shoal: string;
  /** The checkout's commit, with "+" for one with changes; null outside of a checkout. */
  readonly commit: string | null;
  /** The cores that sides were pinned to, each role to its own; null: not pinned. */
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

/** What identifies a case in the lines. */
export interface CaseKey extends Case {
  readonly scenario: string;
}

export interface SideFigures {
  readonly role: string;
  readonly index: number;
  /** Within the measured time (deliveriesOf). */
  readonly messages: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRss: number;
  readonly gcSeconds: number | null;
}

export interface RunRecord extends CaseKey {
  readonly type: "run";
  readonly contender: string;
  /** From 0; the same round of two contenders ran one after the other. */
  readonly round: number;
  readonly count: number;
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

/** A contender that has no such thing. */
export interface UnsupportedRecord extends CaseKey {
  readonly type: "unsupported";
  readonly contender: string;
}

/** A case that was measured to its end, or as far as it came. */
export interface CaseRecord extends CaseKey {
  readonly type: "case";
  readonly reference: string | null;
  readonly stopped: "narrow" | "rounds" | "time" | "interrupted";
}

export type BenchRecord =
  | MachineRecord
  | ContenderRecord
  | AbsentRecord
  | RunRecord
  | FailedRecord
  | UnsupportedRecord
  | CaseRecord;

/** The same text for the same case, whatever the order of its parameters. */
export function keyOf({ scenario, transport, size, parameters }: CaseKey): string {
  return [scenario, transport, size, ...parameterList(parameters)].join(" ");
}

export function parameterList(parameters: Parameters): string[] {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}=${value}`)
    .sort();
}

/** Reads files that `--json` wrote; the rounds of a case go on from file to file. @throws BadInput for any other file */
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
      throw new BadInput(`${file} has no results: it is no file that --json wrote, or nothing was measured`);
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
  if (typeof type !== "string") throw new BadInput(`${where}: no line of a report`);
  const whole =
    type !== "run" ||
    (typeof scenario === "string" &&
      typeof contender === "string" &&
      typeof figures === "object" &&
      figures !== null &&
      typeof parameters === "object" &&
      parameters !== null &&
      Array.isArray(sides));
  if (!whole) throw new BadInput(`${where}: a run without its figures`);
  return value as BenchRecord;
}
