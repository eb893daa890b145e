/**
 * One case: its contenders in turn, round after round (A B C, B C A, …), until the stopping rule says enough.
 * Each contender has a first run that does not count: caches fill, and its length shows how many messages make a run
 * of the wanted length. One that ran for much less was cold for most of it, so a second one shows it better. A contender
 * that fails leaves the case; the others go on.
 */
import { type Case, type Contender, deliveriesOf, type Scenario, type SideReport } from "../contract.js";
import type { CaseKey, CaseRecord, FailedRecord, RunRecord } from "../report/records.js";
import { type StoppingRule, whyStop } from "../statistics/stopping.js";
import { type RunSettings, run } from "./run.js";
import { SideFailure } from "./side-process.js";

export interface CaseSettings extends Omit<RunSettings, "timeout"> {
  readonly smoke: boolean;
  readonly rule: StoppingRule;
  /** Seconds that a run should measure. */
  readonly runSeconds: number;
  /** The others are compared with it, if it is there. */
  readonly reference: string | undefined;
}

/** What happens in a case, as it happens. */
export interface CaseListener {
  record(record: RunRecord | FailedRecord | CaseRecord): void;
  /** What runs now, and the share of the case that is over, 0 … 1. */
  progress(what: string, share: number): void;
}

/** A run may take this many times the planned messages, and no more. */
const MOST_SCALE = 50;
/** The share of the wanted length that a run has to have to show how many messages make one. */
const LONG_ENOUGH = 0.5;
const TIMEOUT = { full: 60, smoke: 20 } as const;

interface Lane {
  readonly contender: Contender;
  count: number;
  /** Messages before those that count. */
  warmup: number;
  readonly samples: number[];
}

export async function runCase(
  scenario: Scenario,
  chosen: Case,
  contenders: readonly Contender[],
  settings: CaseSettings,
  listener: CaseListener,
): Promise<void> {
  const key: CaseKey = { scenario: scenario.name, ...chosen };
  const { count, warmup } = scenario.count(chosen, settings.smoke);
  const lanes = contenders.map((contender): Lane => ({ contender, count, warmup, samples: [] }));
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1_000;
  const timeout = 1_000 * (scenario.timeout ?? (settings.smoke ? TIMEOUT.smoke : TIMEOUT.full));

  const tried = async (lane: Lane): Promise<SideReport[] | undefined> => {
    listener.progress(`${scenario.name} ${lane.contender.title}`, share(settings.rule, lanes, elapsed()));
    try {
      const request = { scenario, contender: lane.contender, chosen, count: lane.count, warmup: lane.warmup };
      return await run(request, { ...settings, timeout });
    } catch (error) {
      settings.signal.throwIfAborted();
      const output = error instanceof SideFailure ? error.output : [];
      const reason = (error as Error).message;
      listener.record({ type: "failed", ...key, contender: lane.contender.name, reason, output });
      lanes.splice(lanes.indexOf(lane), 1);
      return undefined;
    }
  };

  let stopped: CaseRecord["stopped"] | undefined;
  try {
    if (!settings.smoke && scenario.scales !== false) {
      for (const lane of [...lanes]) {
        for (let look = 0; look < 2; look++) {
          const [report] = (await tried(lane)) ?? [];
          if (report === undefined) break;
          const factor = settings.runSeconds / Math.max(report.seconds, 1e-6);
          lane.count = Math.max(1, Math.round(Math.min(lane.count * factor, count * MOST_SCALE)));
          // As long a warm-up: a compiler that works alongside the program takes most of a second.
          lane.warmup = Math.max(warmup, lane.count * (scenario.warmups ?? 1));
          if (report.seconds >= settings.runSeconds * LONG_ENOUGH) break;
        }
      }
    }
    for (let round = 0; stopped === undefined && lanes.length > 0; round++) {
      for (const lane of rotated(lanes, round)) {
        const reports = await tried(lane);
        if (reports === undefined) continue;
        const record = runRecord(key, lane, round, reports, scenario);
        lane.samples.push(record.figures[scenario.metric.name] as number);
        listener.record(record);
      }
      const samples = new Map(lanes.map((lane) => [lane.contender.name, lane.samples]));
      stopped = whyStop(settings.rule, samples, settings.reference, elapsed());
    }
  } finally {
    const reference = settings.reference ?? null;
    listener.record({ type: "case", ...key, reference, stopped: stopped ?? "interrupted" });
  }
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const at = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

/** An estimate: the rounds may end sooner. */
function share(rule: StoppingRule, lanes: readonly Lane[], seconds: number): number {
  const runs = lanes.reduce((sum, { samples }) => sum + samples.length, 0);
  const byRuns = runs / Math.max(1, lanes.length * rule.mostRounds);
  return Math.min(1, Math.max(byRuns, seconds / rule.seconds));
}

function runRecord(
  key: CaseKey,
  lane: Lane,
  round: number,
  reports: readonly SideReport[],
  scenario: Scenario,
): RunRecord {
  const latency = reports.find((report) => report.latency !== undefined)?.latency;
  return {
    type: "run",
    ...key,
    contender: lane.contender.name,
    round,
    count: lane.count,
    figures: scenario.result(reports, key),
    sides: reports.map((report) => ({
      role: report.role,
      index: report.index,
      messages: deliveriesOf(report),
      seconds: report.seconds,
      cpuSeconds: report.cpuSeconds,
      peakRss: report.peakRss,
      gcSeconds: report.gcSeconds,
    })),
    ...(latency === undefined ? {} : { latency }),
  };
}
