/**
 * Charts as SVG text without scripts, fonts and links, for pages, separate files and READMEs. Pure. charts.ts selects
 * the contents.
 *
 *   bars    a panel with a bar for each implementation, and its 95 % interval as a line
 *   lines   a curve for each implementation, both axes logarithmic
 *
 * An implementation has the same colour everywhere.
 */
import { figure } from "./format.js";

export interface Mark {
  readonly contender: string;
  /** Abscissa of a curve; bars ignore it. */
  readonly n: number;
  readonly value: number;
  /** 95 % interval; equal to the value if there is none. */
  readonly low: number;
  readonly high: number;
}

export interface Chart {
  readonly kind: "bars" | "lines";
  readonly title: string;
  /** Unit and direction: "msg/s, more is better". */
  readonly subtitle: string;
  /** Quantity on the abscissa; only for curves. */
  readonly over?: string;
  readonly marks: readonly Mark[];
}

export const THEMES = {
  light: { text: "#1f2328", muted: "#59636e", grid: "#d1d9e0" },
  dark: { text: "#f0f6fc", muted: "#9198a1", grid: "#3d444d" },
} as const;
export type Theme = keyof typeof THEMES;

/** Light and dark colour of each implementation; others get one of `SPARE` by their name. */
const COLOURS: Readonly<Record<string, readonly [light: string, dark: string]>> = {
  "shoal (zmtp)": ["#0969da", "#4493f8"],
  "shoal (zmtp), batch": ["#0550ae", "#79c0ff"],
  "shoal (zmtp), low latency": ["#2a3a9e", "#a5b4fc"],
  "shoal (libzmq)": ["#8250df", "#ab7df8"],
  "shoal (libzmq), batch": ["#6639ba", "#d2a8ff"],
  "npm zeromq": ["#bc4c00", "#db6d28"],
  "libzmq in C": ["#1a7f37", "#3fb950"],
  pyzmq: ["#9a6700", "#d29922"],
  "node:net (ceiling)": ["#59636e", "#9198a1"],
  NATS: ["#0e7490", "#22d3ee"],
  Redis: ["#cf222e", "#f85149"],
};
const SPARE: readonly (readonly [light: string, dark: string])[] = [
  ["#4d2d00", "#c69026"],
  ["#116329", "#7ee787"],
  ["#762d0a", "#ffa657"],
  ["#4c2889", "#bc8cff"],
];

const FONT = "font-family=\"system-ui,-apple-system,'Segoe UI',sans-serif\"";
const WIDTH = 400;
const ROW = 24;
const HEAD = 52;
const LABEL = 180;
const FIGURE = 62;
const LINES_HEIGHT = 230;
const LEGEND_ROW = 18;

/** One chart as a separate SVG. */
export function svgOf(chart: Chart, theme: Theme): string {
  const { body, height } = draw(chart, theme);
  return wrap(body, WIDTH, height, chart.title);
}

/**
 * Several charts in two columns with lines below: a picture for a README.
 * @param notes one per line
 */
export function pictureOf(charts: readonly Chart[], notes: readonly string[], theme: Theme): string {
  const parts: string[] = [];
  let top = 0;
  for (let at = 0; at < charts.length; at += 2) {
    const row = charts.slice(at, at + 2).map((chart) => draw(chart, theme));
    row.forEach(({ body }, column) => {
      parts.push(`<g transform="translate(${column * (WIDTH + 20)} ${top})">${body}</g>`);
    });
    top += Math.max(...row.map(({ height }) => height)) + 12;
  }
  for (const note of notes) {
    top += 16;
    parts.push(text(0, top, note, { fill: THEMES[theme].muted, size: 11 }));
  }
  const alternative = charts.map(describe).join(" ");
  return wrap(parts.join("\n"), 2 * WIDTH + 20, top + 8, alternative);
}

/** Text alternative of a chart. */
export function describe({ title, subtitle, marks }: Chart): string {
  const last = new Map(marks.map(({ contender, value }) => [contender, value]));
  return `${title} (${subtitle}): ${[...last].map(([name, value]) => `${name} ${figure(value)}`).join(", ")}.`;
}

function draw(chart: Chart, theme: Theme): { readonly body: string; readonly height: number } {
  const { text: ink, muted } = THEMES[theme];
  const heading =
    text(0, 16, chart.title, { fill: ink, size: 14, weight: 600 }) +
    text(0, 34, chart.subtitle, { fill: muted, size: 11 });
  const { body, height } = chart.kind === "bars" ? bars(chart, theme) : lines(chart, theme);
  return { body: heading + body, height };
}

function bars({ marks }: Chart, theme: Theme): { readonly body: string; readonly height: number } {
  const { text: ink } = THEMES[theme];
  const most = Math.max(...marks.flatMap(({ value, high }) => [value, high]).filter(Number.isFinite), 0) || 1;
  const scale = (value: number) => Math.max(1, (value / most) * (WIDTH - LABEL - FIGURE));
  const rows = marks.map(({ contender, value, low, high }, index) => {
    const y = HEAD + index * ROW;
    const isOurs = contender.startsWith("shoal");
    const interval =
      high > low
        ? `<path d="M${point(LABEL + scale(low))} ${y + 8}H${point(LABEL + scale(high))}" stroke="${ink}" stroke-width="1.5"/>`
        : "";
    return (
      text(LABEL - 8, y + 12, contender, { fill: ink, size: 12, weight: isOurs ? 600 : 400, anchor: "end" }) +
      `<rect x="${LABEL}" y="${y}" width="${point(scale(value))}" height="16" rx="2" fill="${colourOf(contender, theme)}"/>` +
      interval +
      text(LABEL + Math.max(scale(value), scale(high)) + 6, y + 12, figure(value), { fill: ink, size: 12 })
    );
  });
  return { body: rows.join(""), height: HEAD + marks.length * ROW };
}

function lines({ marks, over }: Chart, theme: Theme): { readonly body: string; readonly height: number } {
  const { muted, grid } = THEMES[theme];
  const shown = marks.filter(({ n, value }) => n > 0 && value > 0);
  const names = [...new Set(shown.map(({ contender }) => contender))];
  const left = 52;
  const bottom = HEAD + LINES_HEIGHT - 34;
  const x = axis(
    shown.map(({ n }) => n),
    left,
    WIDTH - 24,
  );
  const y = axis(
    shown.flatMap(({ value, low, high }) => [value, low, high].filter((each) => each > 0)),
    bottom,
    HEAD,
  );
  const parts: string[] = [];
  for (const tick of y.ticks) {
    const at = point(y.at(tick));
    parts.push(`<path d="M${left} ${at}H${WIDTH - 8}" stroke="${grid}"/>`);
    parts.push(text(left - 6, y.at(tick) + 4, figure(tick), { fill: muted, size: 11, anchor: "end" }));
  }
  for (const n of [...new Set(shown.map((mark) => mark.n))].sort((a, b) => a - b)) {
    parts.push(text(x.at(n), bottom + 16, shortened(n), { fill: muted, size: 11, anchor: "middle" }));
  }
  parts.push(text(WIDTH - 8, bottom + 31, over ?? "", { fill: muted, size: 11, anchor: "end" }));
  names.forEach((name, index) => {
    const colour = colourOf(name, theme);
    const own = shown.filter(({ contender }) => contender === name).sort((a, b) => a.n - b.n);
    const points = own.map((mark) => `${point(x.at(mark.n))} ${point(y.at(mark.value))}`);
    parts.push(`<path d="M${points.join("L")}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const { n, value, low, high } of own) {
      parts.push(`<circle cx="${point(x.at(n))}" cy="${point(y.at(value))}" r="3" fill="${colour}"/>`);
      if (high > low && low > 0)
        parts.push(
          `<path d="M${point(x.at(n))} ${point(y.at(low))}V${point(y.at(high))}" stroke="${colour}"/>`,
        );
    }
    const top = HEAD + LINES_HEIGHT + Math.floor(index / 2) * LEGEND_ROW;
    const start = (index % 2) * (WIDTH / 2);
    parts.push(`<rect x="${start}" y="${top}" width="10" height="10" rx="2" fill="${colour}"/>`);
    parts.push(text(start + 16, top + 9, name, { fill: THEMES[theme].text, size: 12 }));
  });
  return { body: parts.join(""), height: HEAD + LINES_HEIGHT + Math.ceil(names.length / 2) * LEGEND_ROW };
}

/** A logarithmic axis and its marks: powers of ten; with fewer than three of them also 2 and 5 times each. */
function axis(values: readonly number[], from: number, to: number) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const span = Math.log10(high / low) || 1;
  const marked = (factors: readonly number[]): number[] => {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      ticks.push(...factors.map((factor) => factor * 10 ** power));
    return ticks.filter((tick) => tick >= low && tick <= high);
  };
  const powers = marked([1]);
  const ticks = powers.length >= 3 ? powers : marked([1, 2, 5]);
  return {
    at: (value: number): number => from + (Math.log10(value / low) / span) * (to - from),
    ticks: ticks.length >= 2 ? ticks : [...new Set([low, high])],
  };
}

/** 1, 64, 1 Ki, 64 Ki, 1 Mi; 1000 is unchanged. */
function shortened(n: number): string {
  if (n >= 2 ** 20 && n % 2 ** 20 === 0) return `${n / 2 ** 20} Mi`;
  if (n >= 2 ** 10 && n % 2 ** 10 === 0) return `${n / 2 ** 10} Ki`;
  return String(n);
}

function colourOf(contender: string, theme: Theme): string {
  let pair = COLOURS[contender];
  if (pair === undefined) {
    let sum = 0;
    for (const letter of contender) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65_521;
    pair = SPARE[sum % SPARE.length] ?? ["#59636e", "#9198a1"];
  }
  return pair[theme === "light" ? 0 : 1];
}

interface TextStyle {
  readonly fill: string;
  readonly size: number;
  readonly weight?: number;
  readonly anchor?: "end" | "middle";
}

function text(x: number, y: number, content: string, { fill, size, weight, anchor }: TextStyle): string {
  const more =
    (weight === undefined || weight === 400 ? "" : ` font-weight="${weight}"`) +
    (anchor === undefined ? "" : ` text-anchor="${anchor}"`);
  return `<text x="${point(x)}" y="${point(y)}" fill="${fill}" font-size="${size}"${more}>${escapeXml(content)}</text>`;
}

function point(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function wrap(body: string, width: number, height: number, alternative: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${Math.ceil(height)}" width="${width}" height="${Math.ceil(height)}" role="img" ${FONT}>` +
    `<title>${escapeXml(alternative)}</title>\n${body}\n</svg>\n`
  );
}

export function escapeXml(content: string): string {
  return content
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
