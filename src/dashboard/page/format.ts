/** Short readable numbers and texts. Pure. */
import { REFUSALS, type SourceReading } from "../../metrics/reading.js";

const UNITS = ["", "k", "M", "G", "T", "P", "E"] as const;

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
