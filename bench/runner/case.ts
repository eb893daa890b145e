/**
 * One case: its implementations alternate round by round (A B C, B C A, …) until the stopping rule ends it. The first
 * run of each does not count: it fills caches, and its duration gives the number of messages for the wanted duration.
 * If it was much shorter, it was cold for most of the time, so a second one repeats this. A failing implementation
 * leaves the case; the others continue.
 */
import { type Case, type Contender, deliveriesOf, type Scenario, type SideReport } from "../contract.js";
import type { CaseKey, CaseRecord, FailedRecord, RunRecord } from "../report/records.js";
import { type StoppingRule, whyStop } from "../statistics/stopping.js";
import { type RunSettings, run } from "./run.js";
import { SideFailure } from "./side-process.js";

export interface CaseSettings extends Omit<RunSettings, "timeout"> {
  readonly smoke: boolean;
  readonly rule: StoppingRule;
  /** Wanted seconds of a run. */
  readonly runSeconds: number;
  /** Implementation that the others are compared with, if it takes part. */
  readonly reference: string | undefined;
}

/** Receives the events of a case. */
export interface CaseListener {
  record(record: RunRecord | FailedRecord | CaseRecord): void;
  /** `share`: finished part of the case, 0 … 1. */
  progress(what: string, share: number): void;
}

/** Maximum messages of a run, as a multiple of the planned ones. */
const MOST_SCALE = 50;
/** Minimum duration, as a share of the wanted one, for a run that determines the number of messages. */
const LONG_ENOUGH = 0.5;
const TIMEOUT = { full: 60, smoke: 20 } as const;

interface Lane {
  readonly contender: Contender;
  count: number;
  /** Messages before the counted ones. */
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
          // The warm-up is as long: a compiler that works next to the program takes most of a second.
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

/** An estimate, since the rounds may end earlier. */
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
    at: new Date().toISOString(),
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
