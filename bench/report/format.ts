/** Readable figures. Pure. */
import type { Metric } from "../contract.js";
import type { Interval } from "../statistics/bootstrap.js";
import { LEAST_ROUNDS } from "../statistics/stopping.js";
import { type CaseKey, parameterList } from "./records.js";

/** Three significant digits, and k or M for large ones: 1.23 M, 45.6 k, 0.789. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${digits(value / 1e6)} M`;
  if (size >= 1e4) return `${digits(value / 1e3)} k`;
  return digits(value);
}

export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : size >= 0.1 || size === 0 ? value.toFixed(2) : value.toPrecision(2);
}

/** `0.97 × (0.95 – 0.99)`, or why there is no ratio. */
export function ratio(interval: Interval | undefined, rounds: number): string {
  if (interval === undefined) return "no reference";
  if (rounds < LEAST_ROUNDS) return `needs ${LEAST_ROUNDS} runs`;
  const { value, low, high } = interval;
  return `${digits(value)} × (${digits(low)} – ${digits(high)})`;
}

/** `± 3 %`: half the interval; empty for one round. */
export function spread({ value, low, high }: Interval, rounds: number): string {
  if (rounds < 2) return "";
  const half = (high - low) / 2 / Math.abs(value);
  return Number.isFinite(half) ? `± ${(100 * half).toFixed(half < 0.0995 ? 1 : 0)} %` : "";
}

/** 1 KiB, 64 KiB, 1 MiB; bytes otherwise. */
export function bytes(size: number): string {
  if (size >= 2 ** 20 && size % 2 ** 20 === 0) return `${size / 2 ** 20} MiB`;
  if (size >= 2 ** 10 && size % 2 ** 10 === 0) return `${size / 2 ** 10} KiB`;
  return `${size} B`;
}

/** `tcp, 64 B, clients=10` */
export function caseTitle({ transport, size, parameters }: Omit<CaseKey, "scenario">): string {
  return [transport, ...(size === 0 ? [] : [bytes(size)]), ...parameterList(parameters)].join(", ");
}

export function megabytes(value: number): string {
  return digits(value / 1e6);
}

export function percent(share: number | undefined): string {
  return share === undefined ? "" : `${(100 * share).toFixed(1)} %`;
}

/** Statistic in a latency's column, unless it is the median of a run. */
const STATISTICS: Readonly<Record<string, string>> = { p99: "99th percentile" };

/** A metric's unit with its statistic, unless the unit implies it: `msg/s`, `99th percentile, µs`. */
export function metricText({ name, unit }: Pick<Metric, "name" | "unit">): string {
  const statistic = STATISTICS[name];
  return statistic === undefined ? unit : `${statistic}, ${unit}`;
}

const WORDS: Readonly<Record<string, string>> = {
  "msg/s": "messages a second",
  "req/s": "requests a second",
  "upd/s": "updates a second",
  "conn/s": "new connections a second",
  "ms of CPU/s": "milliseconds of processor time a second",
  µs: "microseconds",
  ms: "milliseconds",
  s: "seconds",
  kB: "kilobytes",
  MB: "megabytes",
};

/** The metric for an axis: `messages a second`, `99th percentile in microseconds`. */
export function wordsOf({ name, unit }: Pick<Metric, "name" | "unit">): string {
  const statistic = STATISTICS[name];
  const words = WORDS[unit] ?? unit;
  return statistic === undefined ? words : `${statistic} in ${words}`;
}

export function directionOf({ better }: Pick<Metric, "better">): string {
  return better === "higher" ? "more is better" : "less is better";
}
