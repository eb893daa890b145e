/** Parts of a state: filtered sources, rows, totals, problems, and their numbers as text. Pure. */

import { REFUSALS, type SourceReading } from "../../metrics/reading.js";
import type {
  DashboardCounts,
  DashboardProcess,
  DashboardSide,
  DashboardSource,
  DashboardState,
} from "../state.js";

const UNITS = ["", "k", "M", "G", "T", "P", "E"] as const;

export interface Shown {
  readonly process: DashboardProcess;
  readonly source: DashboardSource;
}

export interface Row extends Shown {
  readonly key: string;
  /** All sides as one, or one of several. */
  readonly side: DashboardSide;
  readonly isWhole: boolean;
}

/** Sources with all words of the filter in name, kind, state, address or endpoints. */
export function matching(state: DashboardState, filter: string): Shown[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const all = state.processes.flatMap((process) => process.sources.map((source) => ({ process, source })));
  if (words.length === 0) return all;
  return all.filter(({ process, source }) => {
    const ends = source.sides.flatMap(({ bound = [], connected = [] }) => [...bound, ...connected]);
    const text = [source.name, source.kind, source.state, process.address, ...ends].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Rows of an open source's sides follow its own. */
export function withSides(whole: Row, isOpen: boolean): Row[] {
  const { process, source } = whole;
  const sides = isOpen && source.sides.length > 1 ? source.sides : [];
  return [
    whole,
    ...sides.map((side) => ({ process, source, side, key: `${source.id} ${side.side}`, isWhole: false })),
  ];
}

export function rowOf({ process, source }: Shown): Row {
  return { process, source, side: wholeOf(source.sides), key: source.id, isWhole: true };
}

/** Sums of what is known of the sides. */
function wholeOf(sides: readonly DashboardSide[]): DashboardSide {
  const whole: Record<string, number> = {};
  const rates: Record<string, number> = {};
  for (const side of sides) {
    addTo(whole, hasPeers(side) ? side : { ...side, peers: undefined });
    addTo(rates, side.rates);
  }
  const refusing = sides.find(isRefusing)?.refusing;
  return { ...whole, side: "", rates, ...(refusing === undefined ? {} : { refusing }) };
}

function addTo(sums: Record<string, number>, counts: object): void {
  for (const [name, value] of Object.entries(counts))
    if (typeof value === "number") sums[name] = (sums[name] ?? 0) + value;
}

/** A cluster counts suspected and gone members apart. */
export function hasPeers({ side }: DashboardSide): boolean {
  return side !== "suspects" && side !== "stopped";
}

/** Its address, version and uptime. */
export function programOf({ address, version, started }: DashboardProcess): string {
  const up = started === undefined ? [] : [`up ${since(Date.now() - started * 1_000)}`];
  return [address, ...(version === undefined ? [] : [`shoal ${version}`]), ...up].join(", ");
}

export function isRefusing({ refusing }: DashboardSide): boolean {
  return refusing !== undefined;
}

export interface Total {
  readonly name: string;
  readonly value: string;
  readonly mark: "bad" | undefined;
}

export function totalsOf(state: DashboardState): Total[] {
  const sides = state.processes.flatMap(({ sources }) => sources.flatMap(({ sides }) => sides));
  const isWhole = state.processes.every(({ up }) => up === true);
  const total = (
    values: readonly (number | undefined)[],
  ): { readonly value: string; readonly sum: number } => {
    const known = values.filter((value) => value !== undefined);
    const sum = known.reduce((all, value) => all + value, 0);
    if (known.length === 0) return { value: short(undefined), sum };
    return { value: isWhole && known.length === values.length ? short(sum) : `≥ ${short(sum)}`, sum };
  };
  const gauge = (of: (side: DashboardSide) => number | undefined): string =>
    total(sides.map(of).filter((value) => value !== undefined)).value;
  // Rates are missing after the first reading and after a gap.
  const rate = (name: keyof DashboardCounts): ReturnType<typeof total> =>
    total(
      sides.filter((side) => (side[name] ?? side.rates[name]) !== undefined).map(({ rates }) => rates[name]),
    );
  const up = state.processes.filter(({ up }) => up === true).length;
  const all = state.processes.length;
  const dropped = rate("dropped");
  const line = (name: string, value: string, isBad = false): Total => ({
    name,
    value,
    mark: isBad ? "bad" : undefined,
  });
  return [
    line("Addresses", up === all ? String(all) : `${up} of ${all}`, up < all),
    line("Watched", short(state.processes.reduce((n, { sources }) => n + sources.length, 0))),
    line(
      "Peers",
      gauge((side) => (hasPeers(side) ? side.peers : undefined)),
    ),
    line("In /s", rate("in").value),
    line("Out /s", rate("out").value),
    line(
      "Queued",
      gauge(({ queued }) => queued),
    ),
    line("Dropped /s", dropped.value, dropped.sum > 0),
    line(
      "Refused",
      gauge(({ refused }) => refused),
      sides.some(isRefusing),
    ),
  ];
}

const WELL = new Set(["running", "serving", "open", "standby"]);

export function isWell({ state }: DashboardSource): boolean {
  return WELL.has(state);
}

export interface Problem {
  readonly text: string;
  readonly mark: "warn" | "bad";
}

/** Sources whose unacknowledged drops are kept while they are away. */
const MAX_AWAY = 4_000;

/** Messages that sources dropped while the page is open, until they are acknowledged. */
export class Drops {
  readonly #counts = new Map<string, { last: number; fresh: number }>();

  update(shown: readonly Shown[]): void {
    const present = new Set<string>();
    for (const { source } of shown) {
      present.add(source.id);
      const { dropped } = wholeOf(source.sides);
      if (dropped === undefined) continue;
      const count = this.#counts.get(source.id) ?? { last: dropped, fresh: 0 };
      // A program that was restarted counts from 0.
      count.fresh += dropped < count.last ? dropped : dropped - count.last;
      count.last = dropped;
      this.#counts.set(source.id, count);
    }
    for (const [id, { fresh }] of this.#counts)
      if (!present.has(id) && (fresh === 0 || this.#counts.size > MAX_AWAY)) this.#counts.delete(id);
  }

  of(id: string): number {
    return this.#counts.get(id)?.fresh ?? 0;
  }

  acknowledge(): void {
    for (const count of this.#counts.values()) count.fresh = 0;
  }
}

/** The worst first. @param now ms since 1970 */
export function problemsOf(state: DashboardState, now: number, drops: Drops): Problem[] {
  const away = state.processes
    .filter(({ up }) => up === false)
    .map(({ address, reason = "", since: from = now }): Problem => {
      return { text: `${address} does not answer, for ${since(now - from)}: ${reason}`, mark: "bad" };
    });
  const sources = matching(state, "").flatMap(({ source }): Problem[] => {
    const { id, name, kind, state: word, sides } = source;
    const dropped = drops.of(id);
    const { dropped: rate = 0 } = wholeOf(sides).rates;
    const texts = refusalTexts(source);
    if (dropped > 0)
      texts.unshift(`${name} (${kind}) dropped ${counted(dropped, "message")}, ${short(rate)} /s now`);
    const troubles = texts.map((text): Problem => ({ text, mark: "bad" }));
    return isWell(source) ? troubles : [...troubles, { text: `${name} (${kind}) is ${word}`, mark: "warn" }];
  });
  const omitted: Problem[] =
    state.omitted === 0
      ? []
      : [{ text: `${counted(state.omitted, "source")} more than the page can show`, mark: "warn" }];
  const rank = ({ mark }: Problem): number => (mark === "bad" ? 0 : 1);
  return [...away, ...sources, ...omitted].sort((a, b) => rank(a) - rank(b));
}

/** ms that charts show. */
export const CHART_TIME = 300_000;

/** A source at a time, in ms since 1970; rates are per second. */
export interface Point extends Readonly<Record<"in" | "out" | "dropped" | "queued", number | undefined>> {
  readonly time: number;
}

export class History {
  readonly #points = new Map<string, Point[]>();

  add(shown: readonly Shown[], time: number): void {
    const present = new Set(shown.map(({ source }) => source.id));
    for (const id of this.#points.keys()) if (!present.has(id)) this.#points.delete(id);
    for (const { source } of shown) {
      const { queued, rates } = wholeOf(source.sides);
      const points = this.#points.get(source.id) ?? [];
      points.push({ time, in: rates.in, out: rates.out, dropped: rates.dropped, queued });
      while (time - (points[0]?.time ?? time) > CHART_TIME) points.shift();
      this.#points.set(source.id, points);
    }
  }

  of(id: string): readonly Point[] {
    return this.#points.get(id) ?? [];
  }
}

/** `0`, `0.5`, `12`, `1.23k`, `12.3M`; `–` for unknown. */
export function short(value: number | undefined): string {
  if (value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  if (value < 9.95) return value.toFixed(1).replace(/\.0$/, "");
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest < 9.995 ? 2 : 1;
  return `${rest.toFixed(digits)}${UNITS[unit]}`;
}

/** `3 s`, `12 min`, `5 h`. @param ms */
export function since(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

/** `1 peer`, `2 peers`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${short(count)} ${count === 1 ? one : many}`;
}

/** A sentence for each side and reason of the last minute. */
export function refusalTexts({ name, kind, sides }: Omit<SourceReading, "state">): string[] {
  return sides.flatMap(({ side, refusals = {}, refusing = {} }) =>
    Object.keys(refusing).map((reason) => {
      const count = refusals[reason] ?? 0;
      const times = count === 1 ? "once" : `${count} times`;
      return `${name} (${kind}) refuses ${REFUSALS[reason]} at its ${side}, ${times} so far`;
    }),
  );
}
