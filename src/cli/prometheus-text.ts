/** A parser of Prometheus's text format. Pure. */
import type { Sample } from "../metrics/sources.js";

/** Maximum samples of an answer; a process has a few hundred. */
const MAX_SAMPLES = 100_000;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$/;
const LABEL = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;

/** Skips invalid lines: the text comes from a remote program. @param wanted by name */
export function parsePrometheusText(text: string, wanted: (name: string) => boolean): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, name = "", inBraces = "", number = ""] = match;
    if (!wanted(name)) continue;
    const labels = labelsOf(inBraces);
    const value = numberOf(number);
    if (labels === undefined || value === undefined) continue;
    samples.push({ name, labels, value });
    if (samples.length === MAX_SAMPLES) break;
  }
  return samples;
}

function labelsOf(text: string): Readonly<Record<string, string>> | undefined {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text);
    if (match === null) return undefined;
    const [, name = "", value = ""] = match;
    labels[name] = value.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
  }
  return labels;
}

/** Metrics are neither infinite nor `NaN`. */
function numberOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
