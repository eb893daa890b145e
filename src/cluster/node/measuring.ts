/** Round trips to members, and who reaches whom: asked of the rules, as promises. */
import { InvalidArgumentError, TimeoutError, UnroutableError } from "../../core/errors.js";
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
  if (!Number.isSafeInteger(timeout) || timeout < 1 || timeout > MAX_MEASURE_TIMEOUT)
    throw new InvalidArgumentError(
      `timeout is a whole number of ms from 1 to ${MAX_MEASURE_TIMEOUT}; got ${timeout}`,
    );
  return timeout;
}

/** @returns ms @throws UnroutableError, TimeoutError */
export async function measureRtt({ id, name }: Named, timeout: number, measure: Measure): Promise<number> {
  const measured = await promised(measure, id, undefined, timeout);
  if (measured === undefined) throw new UnroutableError(`no live member is called ${JSON.stringify(name)}`);
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
  const own = others.map((to) => ({ from: self, to }));
  const all = others.flatMap((from) => others.filter((to) => to !== from).map((to) => ({ from, to })));
  // This node's own come first, whatever is left out.
  const asked = [...own, ...chosen(all, Math.max(0, MAX_PAIRS - own.length), random)].slice(0, MAX_PAIRS);
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
    skipped: own.length + all.length - asked.length,
  };
}

/** As many of a list, at random. */
function chosen<T>(items: readonly T[], count: number, random: () => number): readonly T[] {
  if (items.length <= count) return items;
  const rest = [...items];
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(random() * (rest.length - i));
    [rest[i], rest[j]] = [rest[j] as T, rest[i] as T];
  }
  return rest.slice(0, count);
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
