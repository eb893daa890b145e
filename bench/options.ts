/** Converts the command line into a plan. Everything invalid is refused here, before anything runs. */
import { ENGINE_NAMES } from "shoal";
import { BadInput, pick } from "./bad-input.js";
import { type Contender, type Scenario, TRANSPORTS, type Transport } from "./contract.js";
import { PAGE_PEERS, PAGE_ROUNDS, PAGE_SECONDS, pageCases } from "./page.js";
import { CONTENDERS } from "./peers/index.js";
import { casesOf, type Selection, type SuitePlan } from "./runner/suite.js";
import { SCENARIOS } from "./scenarios/index.js";
import type { StoppingRule } from "./statistics/stopping.js";

/** Options of the command line; lists are words with commas. */
export interface BenchOptions {
  /** Scenarios, or `all`, `page`, `list`, `compare BEFORE AFTER [SCENARIO…]`, `report FILE…`. */
  readonly what: readonly string[];
  readonly engine?: string;
  readonly transport?: string;
  readonly size?: string;
  readonly peers?: string;
  /** `NAME=VALUE,VALUE` for parameters of a scenario. */
  readonly set?: readonly string[];
  readonly runs?: string;
  readonly time?: string;
  readonly smoke?: boolean;
  /** Measure although the machine is not idle. */
  readonly busy?: boolean;
  readonly reference?: string;
  /** Default true. */
  readonly pin?: boolean;
  readonly json?: string;
  readonly html?: string;
  readonly markdown?: string;
  readonly svg?: string;
  readonly threshold?: string;
  readonly relativeTo?: string;
  readonly role?: string;
  readonly bind?: string;
  readonly connect?: string;
}

const LARGEST_SIZE = 2 ** 30;
const DEFAULTS = { most: 20, seconds: 60, narrow: 0.03, least: 5, runSeconds: 1 } as const;
export const RUN_SECONDS = DEFAULTS.runSeconds;

/** @param contenders default: those of the options */
export function planOf(options: BenchOptions, contenders?: readonly Contender[]): SuitePlan {
  const smoke = options.smoke ?? false;
  if (options.what[0] === "page") {
    const peers = options.peers ?? PAGE_PEERS;
    const chosen = contenders ?? contendersOf({ ...options, peers });
    return { cases: pageCases(SCENARIOS, smoke), contenders: chosen, seconds: PAGE_SECONDS };
  }
  const scenarios = options.what.includes("all")
    ? SCENARIOS
    : [...new Set(options.what)].map((name) => pick("scenario", SCENARIOS, name));
  const selection: Selection = {
    transports: options.transport === undefined ? undefined : transportsOf(options.transport, scenarios),
    sizes: options.size === undefined ? undefined : sizesOf(options.size, scenarios),
    parameters: parametersOf(options.set ?? [], scenarios),
  };
  const cases = scenarios.flatMap((scenario) =>
    casesOf(scenario, selection, smoke).map((chosen) => ({ scenario, chosen })),
  );
  // These make scenarios refuse unknown values.
  for (const { scenario, chosen } of cases) {
    const { count, warmup } = scenario.count(chosen, true);
    scenario.roles(chosen, count, warmup);
  }
  return { cases, contenders: contenders ?? contendersOf(options) };
}

export function ruleOf(options: BenchOptions): StoppingRule {
  const { least, most } = options.what[0] === "page" ? PAGE_ROUNDS : DEFAULTS;
  // One round shows whether everything works.
  const mostRounds = numberOf("runs", options.runs, options.smoke ? 1 : most, true);
  return {
    mostRounds,
    // A given number of runs is exact.
    leastRounds: options.runs === undefined ? Math.min(least, mostRounds) : mostRounds,
    seconds: numberOf("time", options.time, DEFAULTS.seconds, false),
    narrow: DEFAULTS.narrow,
  };
}

export function referenceOf({ reference }: BenchOptions): string | undefined {
  return reference === undefined ? undefined : pick("implementation", CONTENDERS, reference).name;
}

/** For seconds, runs and percent: a timer holds 24 days. */
const LARGEST_NUMBER = 2_000_000;

export function numberOf(name: string, text: string | undefined, otherwise: number, whole: boolean): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  const kind = whole ? "whole number" : "number";
  if (text.trim() === "" || !(value > 0) || (whole && !Number.isInteger(value)))
    throw new BadInput(`--${name} must be a ${kind} above 0; got ${JSON.stringify(text)}`);
  if (value > LARGEST_NUMBER)
    throw new BadInput(`--${name} must be a ${kind} of at most ${LARGEST_NUMBER}; got ${text.slice(0, 20)}`);
  return value;
}

function words(text: string): string[] {
  return [...new Set(text.split(",").map((word) => word.trim()))].filter((word) => word !== "");
}

export function contendersOf({ peers, engine }: BenchOptions): readonly Contender[] {
  const engines = engine === undefined ? ENGINE_NAMES : words(engine);
  for (const name of engines)
    pick(
      "engine",
      ENGINE_NAMES.map((known) => ({ name: known })),
      name,
    );
  const named = peers === undefined ? undefined : words(peers);
  if (named?.length === 0) throw new BadInput(`--peers has no names; known are ${namesOf(CONTENDERS)}`);
  const chosen = named?.map((name) => pick("implementation", CONTENDERS, name)) ?? CONTENDERS;
  const left = chosen.filter(({ name }) => {
    const own = /^shoal-([^-]+)/.exec(name)?.[1];
    return own === undefined || engines.includes(own);
  });
  if (left.length === 0) throw new BadInput(`--engine ${engine} leaves none of ${namesOf(chosen)}`);
  return left;
}

function transportsOf(text: string, scenarios: readonly Scenario[]): Transport[] {
  const known = TRANSPORTS.map((name) => ({ name }));
  const chosen = words(text).map((word) => pick("transport", known, word).name);
  for (const { name, transports } of scenarios) {
    if (scenarios.length === 1 && !chosen.some((transport) => transports.includes(transport))) {
      throw new BadInput(`${name} has no transport ${text}; known are ${transports.join(", ")}`);
    }
  }
  return chosen;
}

function sizesOf(text: string, scenarios: readonly Scenario[]): number[] {
  const sized = scenarios.filter(({ sizes }) => sizes.length > 0);
  const own = [...new Set(sized.flatMap(({ sizes }) => sizes))].sort((a, b) => a - b);
  if (sized.length === 0) throw new BadInput(`--size does not apply to ${namesOf(scenarios)}`);
  const chosen = words(text).map((word) => {
    const size = Number(word);
    if (!Number.isInteger(size) || size < 1 || size > LARGEST_SIZE) {
      const known = `a size must be a whole number of bytes from 1 to ${LARGEST_SIZE}; the usual ones are ${own.join(", ")}`;
      throw new BadInput(`unknown size ${JSON.stringify(word)}; ${known}`);
    }
    return size;
  });
  if (chosen.length === 0) throw new BadInput(`--size needs a number; the usual ones are ${own.join(", ")}`);
  return chosen;
}

function parametersOf(
  given: readonly string[],
  scenarios: readonly Scenario[],
): Record<string, readonly (number | string)[]> {
  const known = [...new Set(scenarios.flatMap(({ parameters }) => Object.keys(parameters)))];
  return Object.fromEntries(
    given.map((text) => {
      const [name = "", values = ""] = text.split("=", 2);
      const list = words(values).map((word) => (Number.isFinite(Number(word)) ? Number(word) : word));
      if (!known.includes(name)) {
        const names = known.length === 0 ? "none here" : known.join(", ");
        throw new BadInput(`unknown parameter ${JSON.stringify(name)}; known are ${names}`);
      }
      if (list.length === 0)
        throw new BadInput(`--set must be NAME=VALUE,VALUE; got ${JSON.stringify(text)}`);
      return [name, list];
    }),
  );
}

function namesOf(list: readonly { readonly name: string }[]): string {
  return list.map(({ name }) => name).join(", ");
}
