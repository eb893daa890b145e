/** All addresses at one moment: as lines, JSON, and the numbers and names in them. Pure. */
import { COUNTS, type CountName, type RatedReading, type RatedSide } from "../../metrics/readings.js";

/** One address. */
export type AddressView = {
  readonly address: string;
} & (
  | { readonly up: true /** ms of its answer. */; readonly latency: number; readonly reading: RatedReading }
  | { readonly up: false /** ms since 1970. */; readonly since: number; readonly reason: string }
);

export interface View {
  /** ms since 1970. */
  readonly time: number;
  /** Seconds between two readings. */
  readonly interval: number;
  readonly addresses: readonly AddressView[];
}

/** "2 of 3 answer". */
export function summary({ addresses }: View): string {
  const up = addresses.filter((address) => address.up).length;
  return up === addresses.length
    ? `${up} address${up === 1 ? "" : "es"}`
    : `${up} of ${addresses.length} addresses answer`;
}

/** One line per side; an address that is away has a line of its own. */
export function plainLines({ time, addresses }: View): string[] {
  const when = new Date(time).toISOString();
  return addresses.flatMap((address) => {
    const where = `${when} ${harmless(address.address)}`;
    if (!address.up) return [`${where} away: ${harmless(address.reason)}`];
    const { sources } = address.reading;
    if (sources.length === 0) return [`${where} nothing runs`];
    return sources.flatMap(({ name, kind, state, sides }) =>
      sides.map((side) => `${where} ${harmless(`${name} ${kind} ${state}`)} ${plainSide(side)}`),
    );
  });
}

const WORDS: Readonly<Record<CountName, string>> = {
  in: "in",
  out: "out",
  inBytes: "in-bytes",
  outBytes: "out-bytes",
  dropped: "dropped",
  refused: "refused",
};

function plainSide({ side, peers, queued, rates, ...counts }: RatedSide): string {
  const parts = [side];
  if (peers !== undefined) parts.push(`peers=${peers}`);
  for (const count of COUNTS) {
    if (counts[count] === undefined) continue;
    if (count === "dropped" || count === "refused") parts.push(`${WORDS[count]}=${counts[count]}`);
    else parts.push(`${WORDS[count]}=${short(rates[count])}/s`);
  }
  if (queued !== undefined) parts.push(`queued=${queued}`);
  return parts.join(" ");
}

/** One object per address. */
export function jsonLines({ time, addresses }: View): string[] {
  const when = new Date(time).toISOString();
  return addresses.map((address) => JSON.stringify({ time: when, ...jsonOf(address) }, rounded));
}

/** Three digits after the point: what is measured has no more. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Math.round(value * 1_000) / 1_000 : value;
}

function jsonOf(view: AddressView): object {
  if (!view.up) {
    const { address, up, reason } = view;
    return { address, up, since: new Date(view.since).toISOString(), reason };
  }
  const { address, up, latency, reading } = view;
  return { address, up, latency, ...reading };
}

const UNITS = ["", "k", "M", "G", "T", "P", "E"] as const;

/** In at most six characters: `0`, `0.5`, `12`, `1.23k`, `12.3M`; `-` for `undefined`. */
export function short(value: number | undefined): string {
  if (value === undefined) return "-";
  if (value < 0) return `-${short(-value)}`;
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  if (value < 9.95) return trimmed(value.toFixed(1));
  if (value < 999.5) return value.toFixed(0);
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1_000;
    unit += 1;
  }
  return `${rest < 9.995 ? rest.toFixed(2) : rest < 99.95 ? rest.toFixed(1) : rest.toFixed(0)}${UNITS[unit]}`;
}

function trimmed(text: string): string {
  return text.endsWith(".0") ? text.slice(0, -2) : text;
}

/** `0.4 ms`, `12 ms`, `1.5 s`. */
export function duration(seconds: number): string {
  return seconds < 1 ? `${short(seconds * 1_000)} ms` : `${short(seconds)} s`;
}

/** A text of a remote program without control characters. */
export function harmless(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it removes
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "?");
}
