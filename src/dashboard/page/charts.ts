/** Two charts per source: rates and queued messages of the last five minutes. */
import { byId, html, svg } from "./dom.js";
import { short, since } from "./format.js";
import { CHART_TIME, type History, type Point, type Shown } from "./model.js";

const WIDTH = 420;
const HEIGHT = 84;
/** Room for the numbers of the axes. */
const LEFT = 40;
const BOTTOM = 16;
/** The filter selects others. */
const MAX_CHARTS = 12;
/** ms that a new page's charts show. */
const MIN_TIME = 60_000;

type Line = Exclude<keyof Point, "time">;

const CHARTS: readonly { readonly unit: string; readonly lines: readonly Line[] }[] = [
  { unit: "/s", lines: ["in", "out", "dropped"] },
  { unit: "", lines: ["queued"] },
];

export function showCharts(shown: readonly Shown[], history: History, now: number): void {
  byId("charts").replaceChildren(
    ...shown.slice(0, MAX_CHARTS).map(({ source }) => {
      const points = history.of(source.id);
      const charts = CHARTS.map(({ unit, lines }) => chartOf(lines, unit, points, now));
      return html("div", { class: "charts" }, html("h3", {}, source.name), ...charts);
    }),
  );
}

function chartOf(lines: readonly Line[], unit: string, points: readonly Point[], now: number): HTMLElement {
  const values = points.flatMap((point) => lines.map((line) => point[line] ?? 0));
  const most = Math.max(1, ...values);
  const last = points.at(-1);
  const time = Math.max(MIN_TIME, Math.min(CHART_TIME, now - (points[0]?.time ?? now)));
  const legend = lines.map((line) => html("span", { class: line }, `${line} ${short(last?.[line])}${unit}`));
  const label = (x: number, y: number, text: string, anchor: string): SVGElement =>
    svg("text", { class: "small", x, y, "text-anchor": anchor }, text);
  const base = HEIGHT - BOTTOM;
  const pathOf = (line: Line): string => {
    const at = points.flatMap((point) => {
      const value = point[line];
      if (value === undefined) return [];
      const x = WIDTH - ((now - point.time) / time) * (WIDTH - LEFT);
      return [`${x.toFixed(1)} ${(base - (value / most) * (base - 5)).toFixed(1)}`];
    });
    return at.length === 0 ? "" : `M${at.join("L")}`;
  };
  const image = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    svg("path", { class: "axis", d: `M${LEFT} 4V${base}H${WIDTH}` }),
    label(LEFT - 4, 13, short(most), "end"),
    label(LEFT - 4, base, "0", "end"),
    label(LEFT, HEIGHT - 3, `${since(time)} ago`, "start"),
    label(WIDTH, HEIGHT - 3, "now", "end"),
    ...lines.map((line) => svg("path", { class: `line ${line}`, d: pathOf(line) })),
  );
  return html("figure", {}, html("figcaption", {}, ...legend), image);
}
