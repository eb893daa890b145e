/** Round trips to members, and who reaches whom: asked of the rules, as promises. */
import { checkInteger, quoted } from "../../core/arguments.js";
import { TimeoutError, UnroutableError } from "../../core/errors.js";
import type { Measured } from "../membership/survey.js";

/** The default time-out of one measurement, in ms. */
const MEASURE_TIMEOUT = 1_000;
/** Its longest, in ms: measurements are bounded in number, and so in time. */
const MAX_MEASURE_TIMEOUT = 60_000;
/** Measurements of a survey at a time. */
const SURVEY_WIDTH = 32;
/** Pairs of members that a survey asks; of more, as many at random. */
const MAX_PAIRS = 1_024;

/** What `rtt` and `reachability` take. */
export interface MeasureOptions {
  /** ms of each measurement, 1 to 60,000. Default 1,000. */
  readonly timeout?: number | undefined;
}

/** Whether one member reaches another: an answer came; none did; the first one itself did not answer. */
export type ReachState = "reached" | "unreached" | "unknown";

/** What a survey found. */
export interface Reachability {
  /** The names of those that were asked, this node's first. */
  readonly members: readonly string[];
  /** For each ordered pair that was asked, whether `from` got an answer of `to`; `ms` for this node's own. */
  readonly pairs: readonly {
    readonly from: string;
    readonly to: string;
    readonly state: ReachState;
    readonly ms?: number;
  }[];
  /** Pairs that were not asked: there are more than 1,024. */
  readonly skipped: number;
}

interface Named {
  readonly id: string;
  readonly name: string;
}

/** Starts a measurement; `false`: it cannot be. */
export type Measure = (
  id: string,
  helperId: string | undefined,
  timeout: number,
  done: (measured: Measured) => void,
) => boolean;

/** @throws InvalidArgumentError `EINVAL` */
export function measureTimeout({ timeout = MEASURE_TIMEOUT }: MeasureOptions): number {
  return checkInteger("timeout", timeout, 1, MAX_MEASURE_TIMEOUT);
}

/** @returns ms @throws UnroutableError, TimeoutError */
export async function measureRtt({ id, name }: Named, timeout: number, measure: Measure): Promise<number> {
  const measured = await promised(measure, id, undefined, timeout);
  if (measured === undefined) throw new UnroutableError(`no live member is called ${quoted(name)}`);
  if (measured.result !== "reached")
    throw new TimeoutError("ETIMEDOUT", `${name} did not answer within ${timeout} ms`);
  return measured.ms;
}

/** @param random from 0 up to 1 */
export async function survey(
  self: Named,
  others: readonly Named[],
  timeout: number,
  measure: Measure,
  random: () => number,
): Promise<Reachability> {
  // This node's own come first, whatever is left out.
  const own = others.slice(0, MAX_PAIRS).map((to) => ({ from: self, to }));
  const asked = [...own, ...somePairs(others, MAX_PAIRS - own.length, random)];
  const pairs: Reachability["pairs"][number][] = new Array(asked.length);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < asked.length; at = next++) {
      const { from, to } = asked[at] as (typeof asked)[number];
      const measured = await promised(measure, to.id, from === self ? undefined : from.id, timeout);
      pairs[at] = { from: from.name, to: to.name, ...stateOf(measured, from === self) };
    }
  };
  await Promise.all(Array.from({ length: SURVEY_WIDTH }, work));
  return {
    members: [self, ...others].map(({ name }) => name),
    pairs,
    skipped: others.length * others.length - asked.length,
  };
}

/** Pairs of two different ones: all, or as many at random. Ten thousand members have a hundred million: no list is made of them. */
function somePairs<T>(items: readonly T[], most: number, random: () => number): { from: T; to: T }[] {
  const all = items.length * (items.length - 1);
  // Pair k: the first is k / (n - 1), the second the rest, counted without the first.
  const pairOf = (k: number): { from: T; to: T } => {
    const first = Math.floor(k / (items.length - 1));
    const second = k % (items.length - 1);
    return { from: items[first] as T, to: items[second < first ? second : second + 1] as T };
  };
  if (all <= most) return Array.from({ length: all }, (_, k) => pairOf(k));
  // Floyd's sampling: each set of so many is as likely.
  const chosen = new Set<number>();
  for (let k = all - most; k < all; k++) {
    const drawn = Math.floor(random() * (k + 1));
    chosen.add(chosen.has(drawn) ? k : drawn);
  }
  return Array.from(chosen, pairOf);
}

function stateOf(
  measured: Measured | undefined,
  isOwn: boolean,
): { readonly state: ReachState; readonly ms?: number } {
  switch (measured?.result) {
    case "reached":
      return isOwn ? { state: "reached", ms: measured.ms } : { state: "reached" };
    case "unreached":
      return { state: "unreached" };
    default:
      return { state: isOwn && measured !== undefined ? "unreached" : "unknown" };
  }
}

function promised(
  measure: Measure,
  id: string,
  helperId: string | undefined,
  timeout: number,
): Promise<Measured | undefined> {
  return new Promise((resolve) => {
    if (!measure(id, helperId, timeout, resolve)) resolve(undefined);
  });
}
