/**
 * One case: rounds of all implementations, in turns of a quarter second, or one after the other (A B C, B C A, …) where
 * a pause would change the figure, until the stopping rule ends it. The first runs of each do not count. They find the
 * number of messages for the wanted duration and, unless the sides warm themselves, the warm-up after which more makes
 * no difference. A failing implementation leaves the case; the others continue.
 */
import { type Case, type Contender, deliveriesOf, type Scenario, type SideReport } from "../contract.js";
import type { CaseKey, CaseRecord, FailedRecord, RunRecord } from "../report/records.js";
import { type StoppingRule, whyStop } from "../statistics/stopping.js";
import { type RunSettings, run } from "./run.js";
import { SideFailure } from "./side-process.js";
import { Turn } from "./turns.js";

export interface CaseSettings extends Omit<RunSettings, "timeout"> {
  readonly smoke: boolean;
  readonly rule: StoppingRule;
  /** Wanted seconds of a run. */
  readonly runSeconds: number;
  /** Implementation that the others are compared with, if it takes part. */
  readonly reference: string | undefined;
  /** These get the messages and the warm-up of the one with most: builds of one program. */
  readonly sameWork?: readonly Contender[];
  /** Bound of a run's timeout in seconds. Default: none. */
  readonly mostSeconds?: number;
}

/** Receives the events of a case. */
export interface CaseListener {
  record(record: RunRecord | FailedRecord | CaseRecord): void;
  /** `share`: finished part of the case, 0 … 1. */
  progress(what: string, share: number): void;
}

/** Maximum messages of a run, as a multiple of the planned ones. */
const MOST_SCALE = 50;
/** The least warm-up of a run, as a multiple of its counted messages. */
const WARMUP = 2;
/** An implementation is warm when twice the warm-up makes its figure better by no more than this factor. */
const STEADY = 1.1;
/** The time of a case has room for this many rounds, or the least of the rule, and for the runs that do not count. */
const ROUNDS = 5;
const FIRST_RUNS = 3;
/** A run that needs a long warm-up may take twice its share: compiled programs leave most of theirs. */
const LONG_RUN = 2;
/** Shortest counted part of a run in seconds. */
const SHORTEST = 0.2;
const TIMEOUT = { full: 60, smoke: 20 } as const;
/** Seconds of a run that begins shortly before the time of all cases is over. */
const LEAST_TIMEOUT = 10;

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
  const usual = scenario.timeout ?? (settings.smoke ? TIMEOUT.smoke : TIMEOUT.full);
  const timeout = 1_000 * Math.min(usual, Math.max(LEAST_TIMEOUT, settings.mostSeconds ?? usual));

  // Windows has no signal that stops a process. The figures of a smoke run mean nothing.
  const isInTurns = scenario.scales !== false && !settings.smoke && process.platform !== "win32";

  const tried = async (lane: Lane, turn?: Turn): Promise<SideReport[] | undefined> => {
    listener.progress(`${scenario.name} ${lane.contender.title}`, share(settings.rule, lanes, elapsed()));
    try {
      const request = { scenario, contender: lane.contender, chosen, count: lane.count, warmup: lane.warmup };
      return await run(request, { ...settings, timeout, ...(turn && { turn }) });
    } catch (error) {
      settings.signal.throwIfAborted();
      const output = error instanceof SideFailure ? error.output : [];
      const reason = (error as Error).message;
      listener.record({ type: "failed", ...key, contender: lane.contender.name, reason, output });
      lanes.splice(lanes.indexOf(lane), 1);
      return undefined;
    }
  };

  const rounds = Math.min(ROUNDS, settings.rule.leastRounds) + FIRST_RUNS;
  const secondsOfRun = settings.rule.seconds / rounds / lanes.length;
  /** @returns the seconds that the processes take to start; `undefined` for an implementation that failed */
  const scale = async (lane: Lane): Promise<number | undefined> => {
    for (;;) {
      const from = elapsed();
      const [report] = (await tried(lane)) ?? [];
      if (report === undefined) return undefined;
      const perSecond = lane.count / Math.max(report.seconds, 1e-6);
      const starting = Math.max(0, elapsed() - from - (lane.count + lane.warmup) / perSecond);
      const room = (secondsOfRun - starting) / (1 + WARMUP);
      const wanted = Math.min(settings.runSeconds, Math.max(SHORTEST, room));
      const isShort = report.seconds < wanted / 2 && lane.count < count * MOST_SCALE;
      lane.count = Math.max(1, Math.min(Math.round(perSecond * wanted), count * MOST_SCALE));
      lane.warmup = Math.max(warmup, WARMUP * lane.count);
      if (!isShort) return starting;
    }
  };
  const warm = async (lane: Lane, starting: number): Promise<void> => {
    const { name, better } = scenario.metric;
    let from = elapsed();
    let reports = await tried(lane);
    let isWarm = false;
    // By the time that the last run took: the rates of colder ones say nothing of this one's.
    while (reports !== undefined && !isWarm && 2 * (elapsed() - from) - starting <= LONG_RUN * secondsOfRun) {
      const figure = scenario.result(reports, key)[name] as number;
      lane.warmup *= 2;
      from = elapsed();
      reports = await tried(lane);
      if (reports === undefined) return;
      const longer = scenario.result(reports, key)[name] as number;
      isWarm = (better === "higher" ? longer / figure : figure / longer) <= STEADY;
      if (isWarm) lane.warmup /= 2;
    }
    // The count was found by colder runs.
    const shortest = Math.min(settings.runSeconds, SHORTEST);
    const { seconds = shortest } = reports?.[0] ?? {};
    if (seconds < shortest) lane.count = Math.round((lane.count * shortest) / Math.max(seconds, 1e-6));
  };

  let stopped: CaseRecord["stopped"] | undefined;
  try {
    if (!settings.smoke && scenario.scales !== false)
      for (const lane of [...lanes]) {
        const starting = await scale(lane);
        if (starting !== undefined && !scenario.warms) await warm(lane, starting);
      }
    const same = lanes.filter(({ contender }) => settings.sameWork?.includes(contender));
    for (const part of ["count", "warmup"] as const) {
      const most = Math.max(...same.map((lane) => lane[part]));
      for (const lane of same) lane[part] = most;
    }
    for (let round = 0; stopped === undefined && lanes.length > 0; round++) {
      const from = elapsed();
      const counted = async (lane: Lane, turn?: Turn): Promise<void> => {
        const reports = await tried(lane, turn);
        if (reports === undefined) return;
        const record = runRecord(key, lane, round, reports, scenario);
        lane.samples.push(record.figures[scenario.metric.name] as number);
        listener.record(record);
      };
      const order = rotated(lanes, round);
      if (isInTurns) await Turn.all(order.map((lane) => (turn) => counted(lane, turn)));
      else for (const lane of order) await counted(lane);
      const samples = new Map(lanes.map((lane) => [lane.contender.name, lane.samples]));
      // A fourth round that would end too late is not begun.
      stopped = whyStop(settings.rule, samples, settings.reference, 2 * elapsed() - from);
    }
  } finally {
    const reference = settings.reference ?? null;
    stopped ??= lanes.length === 0 ? "failed" : "interrupted";
    listener.record({ type: "case", ...key, reference, stopped });
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
  const promoted = reports.flatMap(({ extra }) => extra?.promotedBytes ?? []);
  const messages = reports.filter(({ role }) => role === reports[0]?.role).map(deliveriesOf);
  return {
    type: "run",
    ...key,
    contender: lane.contender.name,
    round,
    count: lane.count,
    at: new Date().toISOString(),
    figures: {
      ...scenario.result(reports, key),
      ...(promoted.length === 0 ? {} : { promotedBytes: sum(promoted) / sum(messages) }),
    },
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

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
