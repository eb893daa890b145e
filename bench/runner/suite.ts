/** Runs scenarios one after the other with their cases. Unavailable implementations are reported. */
import type { Case, Contender, Parameters, Scenario, Transport } from "../contract.js";
import type { BenchRecord } from "../report/records.js";
import { type CaseListener, type CaseSettings, runCase } from "./case.js";

export interface SuitePlan {
  readonly scenarios: readonly Scenario[];
  readonly contenders: readonly Contender[];
  /** Default: the first of each scenario. */
  readonly transports: readonly Transport[] | undefined;
  /** Default: those of each scenario. */
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
export function casesOf(scenario: Scenario, plan: SuitePlan, smoke: boolean): Case[] {
  const transports = plan.transports ?? scenario.transports.slice(0, 1);
  const own = smoke ? scenario.smokeSizes : scenario.sizes;
  const sizes = scenario.sizes.length === 0 ? [0] : (plan.sizes ?? own);
  const parameters = combinations(scenario, plan, smoke);
  return transports
    .filter((transport) => scenario.transports.includes(transport))
    .flatMap((transport) =>
      parameters.flatMap((chosen) => sizes.map((size) => ({ transport, size, parameters: chosen }))),
    );
}

function combinations(scenario: Scenario, plan: SuitePlan, smoke: boolean): Parameters[] {
  let all: Parameters[] = [{}];
  for (const [name, spec] of Object.entries(scenario.parameters)) {
    const values = plan.parameters[name] ?? (smoke ? spec.smoke : spec.values);
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
  const total = plan.scenarios.reduce((sum, one) => sum + casesOf(one, plan, settings.smoke).length, 0);
  let over = 0;
  for (const scenario of plan.scenarios) {
    try {
      for (const chosen of casesOf(scenario, plan, settings.smoke)) {
        settings.signal.throwIfAborted();
        const key = { scenario: scenario.name, ...chosen };
        const able: Contender[] = [];
        for (const contender of present) {
          const reason = broken.get(contender.name);
          if (!contender.supports(scenario.name, chosen.transport)) {
            listener.record({ type: "unsupported", ...key, contender: contender.name });
          } else if (reason !== undefined) {
            const why = `could not be prepared: ${reason}`;
            listener.record({ type: "failed", ...key, contender: contender.name, reason: why, output: [] });
          } else able.push(contender);
        }
        const heard: CaseListener = {
          record: (record) => listener.record(record),
          progress: (what, share) => listener.progress(what, (over + share) / total),
        };
        await runCase(scenario, chosen, able, settings, heard);
        over++;
      }
    } finally {
      listener.scenarioDone(scenario);
    }
  }
}
