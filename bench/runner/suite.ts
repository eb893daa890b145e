/** Runs scenarios one after the other with their cases. Unavailable implementations are reported. */
import type { Case, Contender, Parameters, Scenario, Transport } from "../contract.js";
import type { BenchRecord } from "../report/records.js";
import { type CaseListener, type CaseSettings, runCase } from "./case.js";

export interface PlannedCase {
  readonly scenario: Scenario;
  readonly chosen: Case;
}

export interface SuitePlan {
  /** Those of one scenario follow each other. */
  readonly cases: readonly PlannedCase[];
  readonly contenders: readonly Contender[];
  /** Seconds for all cases, divided by their implementations. Default: each case has those of the stopping rule. */
  readonly seconds?: number;
}

/** The user's choice among the cases of a scenario. */
export interface Selection {
  /** Default: the first of the scenario. */
  readonly transports: readonly Transport[] | undefined;
  /** Default: those of the scenario. */
  readonly sizes: readonly number[] | undefined;
  /** Values that replace a scenario's, by parameter. */
  readonly parameters: Readonly<Record<string, readonly (number | string)[]>>;
}

export interface SuiteListener {
  record(record: BenchRecord): void;
  progress(what: string, share: number): void;
  /** All records of this scenario were passed on. */
  scenarioDone(scenario: Scenario): void;
}

/** Cases of a scenario, in the order of the table. */
export function casesOf(scenario: Scenario, selection: Selection, smoke: boolean): Case[] {
  const transports = selection.transports ?? scenario.transports.slice(0, 1);
  const [first = 0] = scenario.sizes;
  const own = smoke ? [scenario.sizes.includes(64) ? 64 : first] : scenario.sizes;
  const sizes = scenario.sizes.length === 0 ? [0] : (selection.sizes ?? own);
  const parameters = combinations(scenario, selection, smoke);
  return transports
    .filter((transport) => scenario.transports.includes(transport))
    .flatMap((transport) =>
      parameters.flatMap((chosen) => sizes.map((size) => ({ transport, size, parameters: chosen }))),
    );
}

function combinations(scenario: Scenario, selection: Selection, smoke: boolean): Parameters[] {
  let all: Parameters[] = [{}];
  for (const [name, spec] of Object.entries(scenario.parameters)) {
    const values = selection.parameters[name] ?? (smoke ? spec.smoke : spec.values);
    all = all.flatMap((chosen) => values.map((value) => ({ ...chosen, [name]: value })));
  }
  return all;
}

/** @throws the signal's reason on abort; finished measurements are recorded by then */
export async function runSuite(
  plan: SuitePlan,
  settings: CaseSettings,
  listener: SuiteListener,
): Promise<void> {
  const prepared: Contender[] = [];
  const broken = new Map<string, string>();
  try {
    const present: Contender[] = [];
    for (const contender of plan.contenders) {
      settings.signal.throwIfAborted();
      const reason = await contender.absent();
      if (reason === undefined) present.push(contender);
      else listener.record({ type: "absent", contender: contender.name, reason });
    }
    for (const contender of present) {
      settings.signal.throwIfAborted();
      listener.progress(`preparing ${contender.title}`, 0);
      prepared.push(contender);
      try {
        await contender.prepare?.();
      } catch (error) {
        broken.set(contender.name, (error as Error).message);
      }
      const version = (await contender.version?.().catch(() => undefined)) ?? null;
      const { name, title } = contender;
      listener.record({ type: "contender", contender: name, title, version });
    }
    await runScenarios(plan, present, broken, settings, listener);
  } finally {
    for (const contender of prepared) await contender.dispose?.().catch(() => undefined);
  }
}

async function runScenarios(
  plan: SuitePlan,
  present: readonly Contender[],
  broken: ReadonlyMap<string, string>,
  settings: CaseSettings,
  listener: SuiteListener,
): Promise<void> {
  const started = performance.now();
  const total = plan.cases.length;
  const lanesOf = ({ scenario, chosen }: PlannedCase): number =>
    Math.max(1, present.filter((one) => one.supports(scenario.name, chosen.transport)).length);
  let lanes = plan.cases.reduce((sum, one) => sum + lanesOf(one), 0);
  for (const [over, planned] of plan.cases.entries()) {
    const { scenario, chosen } = planned;
    try {
      settings.signal.throwIfAborted();
      const key = { scenario: scenario.name, ...chosen };
      const left = (plan.seconds ?? Number.POSITIVE_INFINITY) - (performance.now() - started) / 1e3;
      const able: Contender[] = [];
      for (const contender of present) {
        const { name } = contender;
        const fails = (reason: string) =>
          listener.record({ type: "failed", ...key, contender: name, reason, output: [] });
        const reason = broken.get(name);
        if (!contender.supports(scenario.name, chosen.transport))
          listener.record({ type: "unsupported", ...key, contender: name });
        else if (reason !== undefined) fails(`could not be prepared: ${reason}`);
        else if (left <= 0) fails(`not measured: the ${plan.seconds} s for all cases were over`);
        else able.push(contender);
      }
      const heard: CaseListener = {
        record: (record) => listener.record(record),
        progress: (what, share) => listener.progress(what, (over + share) / total),
      };
      const seconds = Math.min(settings.rule.seconds, (left * lanesOf(planned)) / lanes);
      lanes -= lanesOf(planned);
      const bounded = { ...settings, rule: { ...settings.rule, seconds }, mostSeconds: left };
      await runCase(scenario, chosen, able, bounded, heard);
    } finally {
      const next = plan.cases[over + 1]?.scenario;
      if (settings.signal.aborted || next !== scenario) listener.scenarioDone(scenario);
    }
  }
}
