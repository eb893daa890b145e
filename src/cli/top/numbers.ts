/** Numbers and names as they are shown. Pure. */

const UNITS = ["", "k", "M", "G", "T", "P", "E"] as const;

/** In at most six characters: `0`, `0.5`, `12`, `1.23k`, `12.3M`; `-` for what is not known. */
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

/** ms, s: `0.4 ms`, `12 ms`, `1.5 s`. @param seconds how long it took */
export function duration(seconds: number): string {
  return seconds < 1 ? `${short(seconds * 1_000)} ms` : `${short(seconds)} s`;
}

/** A text of a remote program, with nothing in it that a terminal would obey. */
export function harmless(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "?");
}
