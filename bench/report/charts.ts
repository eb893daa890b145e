/** Charts as SVG text, drawn by Apache ECharts without a browser: no scripts, fonts and links. */
import { BarChart, CustomChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { Scenario } from "../contract.js";
import { CONTENDERS } from "../peers/index.js";
import { bytes, caseTitle, directionOf, figure, wordsOf } from "./format.js";
import type { CaseSummary } from "./summary.js";

use([BarChart, CustomChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

interface Mark {
  readonly contender: string;
  /** Abscissa of a curve; bars ignore it. */
  readonly n: number;
  readonly value: number;
  /** 95 % interval. */
  readonly low: number;
  readonly high: number;
}

export interface Chart {
  readonly title: string;
  /** What a value is, in words. */
  readonly axis: string;
  /** What the abscissa is, in words. Without it, the chart has a bar for each implementation. */
  readonly over?: string;
  readonly marks: readonly Mark[];
}

/** Pixels. A chart alone has the width of a window; several in one picture that of a page's text. */
const WIDTH = 1_200;
const TEXT_WIDTH = 800;
const BAR = 30;
const BARS_EDGE = 96;
const CURVES = 460;
const NOTE = 20;

const THEMES = {
  light: { text: "#1f2328", muted: "#59636e", grid: "#d1d9e0" },
  dark: { text: "#f0f6fc", muted: "#9198a1", grid: "#3d444d" },
} as const;
export type Theme = keyof typeof THEMES;

/** Rules of CSS by which a light picture within a page becomes a dark one. */
export const DARK_COLOURS = (["text", "muted", "grid"] as const)
  .flatMap((name) =>
    ["fill", "stroke"].map(
      (attribute) => `svg [${attribute}="${THEMES.light[name]}"] { ${attribute}: ${THEMES.dark[name]}; }`,
    ),
  )
  .join(" ");

/** An implementation has the same colour in every chart. */
const COLOURS = ["#2f81f7", "#0a57c2", "#8250df", "#b392f0", "#d29922", "#57ab5a", "#e5534b", "#39a0ad"];
const OTHER_COLOUR = "#7d8590";

function colourOf(title: string): string {
  const at = CONTENDERS.findIndex((one) => one.title === title);
  return at === -1 ? OTHER_COLOUR : (COLOURS[at % COLOURS.length] as string);
}

/** Cases that differ only in the scenario's `growth` share a chart with curves; each other case has bars. */
export function chartsOf(cases: readonly CaseSummary[], scenario: Scenario): Chart[] {
  const { growth, metric } = scenario;
  const isSize = growth === "size";
  const groups = new Map<string, { readonly alone: string; readonly marks: Mark[] }>();
  for (const { key, rows } of cases) {
    const rest = Object.fromEntries(Object.entries(key.parameters).filter(([name]) => name !== growth));
    const title = caseTitle({ ...key, size: isSize ? 0 : key.size, parameters: rest });
    const n = Number(isSize ? key.size : key.parameters[growth ?? ""]);
    const marks = rows.map(({ title: contender, metric: { value, low, high } }) => {
      return { contender, n: Number.isFinite(n) ? n : 0, value, low, high };
    });
    const group = groups.get(title);
    if (group === undefined) groups.set(title, { alone: caseTitle(key), marks });
    else group.marks.push(...marks);
  }
  const axis = `${wordsOf(metric)}, ${directionOf(metric)}`;
  const over = isSize ? "bytes of a message" : scenario.parameters[growth ?? ""]?.help.split(/[;,]/)[0];
  return [...groups].flatMap(([shared, { alone, marks }]) => {
    if (marks.length === 0) return [];
    const isCurve = new Set(marks.map(({ n }) => n)).size > 1;
    const title = `${scenario.name}: ${isCurve ? shared : alone}`;
    return [{ title, axis, marks, ...(isCurve && { over: over ?? "" }) }];
  });
}

/**
 * One picture of one or more charts, one below the other.
 * @param notes lines below the charts
 */
export function svgOf(charts: readonly Chart[], theme: Theme, notes: readonly string[] = []): string {
  const width = charts.length > 1 ? TEXT_WIDTH : WIDTH;
  let top = 0;
  const parts = charts.map((chart, at) => {
    const own = chart.over === undefined ? BARS_EDGE + BAR * chart.marks.length : CURVES;
    const part = partsOf(chart, at, { top, width, height: own }, THEMES[theme]);
    top += own;
    return part;
  });
  const height = top + NOTE * notes.length + (notes.length > 0 ? NOTE : 0);
  const { muted } = THEMES[theme];
  const below = {
    text: "",
    subtext: notes.join("\n"),
    top,
    left: 0,
    subtextStyle: { color: muted, lineHeight: NOTE },
  };
  const picture = init(null, null, { renderer: "svg", ssr: true, width, height });
  picture.setOption({
    animation: false,
    textStyle: { fontFamily: "system-ui,-apple-system,'Segoe UI',sans-serif" },
    title: [...parts.map(({ title }) => title), below],
    grid: parts.map(({ grid }) => grid),
    xAxis: parts.map(({ xAxis }) => xAxis),
    yAxis: parts.map(({ yAxis }) => yAxis),
    series: parts.flatMap(({ series }) => series),
    legend: parts.flatMap(({ legend }) => legend ?? []),
  });
  const text = picture.renderToSVGString();
  picture.dispose();
  const words = escapeXml(charts.map(describe).join(" "));
  return text.replace(/^<svg /, `<svg role="img" aria-label="${words}" `);
}

/** Text alternative of a chart. */
function describe({ title, axis, marks }: Chart): string {
  const last = new Map(marks.map(({ contender, value }) => [contender, value]));
  return `${title} (${axis}): ${[...last].map(([name, value]) => `${name} ${figure(value)}`).join(", ")}.`;
}

interface Box {
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The part of the picture's options for one chart. */
function partsOf(
  chart: Chart,
  index: number,
  { top, width, height }: Box,
  { text, muted, grid }: (typeof THEMES)[Theme],
): Record<"title" | "grid" | "xAxis" | "yAxis", object> & { legend?: object; series: readonly object[] } {
  const isCurve = chart.over !== undefined;
  const axis = {
    gridIndex: index,
    axisLabel: { color: muted, formatter: (value: number | string) => labelOf(value) },
    splitLine: { lineStyle: { color: grid } },
    nameTextStyle: { color: muted },
    nameLocation: "middle",
  };
  const names = [...new Set(chart.marks.map(({ contender }) => contender))];
  const where = { xAxisIndex: index, yAxisIndex: index };
  const edges = { left: isCurve ? 80 : 190, top: top + 44, width: width - (isCurve ? 110 : 270) };
  return {
    title: { text: chart.title, left: 0, top, textStyle: { color: text, fontSize: 15 } },
    grid: { ...edges, height: height - (isCurve ? 140 : BARS_EDGE) },
    ...(isCurve
      ? { legend: { data: names, left: 0, top: top + height - 40, itemGap: 24, textStyle: { color: text } } }
      : {}),
    xAxis: isCurve
      ? { ...axis, type: "log", min: "dataMin", max: "dataMax", name: chart.over, nameGap: 28 }
      : { ...axis, type: "value", name: chart.axis, nameGap: 26, splitNumber: 4 },
    yAxis: isCurve
      ? { ...axis, type: "log", name: chart.axis, nameGap: 60 }
      : {
          gridIndex: index,
          type: "category",
          inverse: true,
          data: chart.marks.map(({ contender }) => contender),
          axisLabel: { color: text },
        },
    series: isCurve
      ? names.flatMap((name) => {
          const own = chart.marks.filter((mark) => mark.contender === name && mark.n > 0 && mark.value > 0);
          const color = colourOf(name);
          const line = own.sort((a, b) => a.n - b.n).map(({ n, value }) => [n, value]);
          const spread = own.map(({ n, low, high }) => [n, low, n, high]);
          return [
            { ...where, type: "line", name, data: line, itemStyle: { color }, lineStyle: { color } },
            { ...where, ...intervals(color), data: spread },
          ];
        })
      : [
          {
            ...where,
            type: "bar",
            barWidth: 18,
            data: chart.marks.map(({ contender, value }) => ({
              value,
              itemStyle: { color: colourOf(contender) },
            })),
          },
          {
            ...where,
            ...intervals(text),
            data: chart.marks.map(({ low, high, value }, at) => [low, at, high, at, value]),
          },
        ],
  };
}

/** Draws a line from one point to another for each item `[x, y, x, y]`, and right of it a fifth value as text. */
function intervals(stroke: string) {
  return {
    type: "custom",
    encode: { x: [0, 2], y: [1, 3] },
    renderItem(_: unknown, api: { value(at: number): number; coord(point: number[]): number[] }) {
      const [x1, y1] = api.coord([api.value(0), api.value(1)]);
      const [x2 = 0, y2 = 0] = api.coord([api.value(2), api.value(3)]);
      const line = { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth: 1.5 } };
      const value = api.value(4);
      if (!Number.isFinite(value)) return line;
      const style = { text: figure(value), fill: stroke, x: x2 + 6, y: y2, verticalAlign: "middle" };
      return { type: "group", children: [line, { type: "text", style }] };
    },
  };
}

function labelOf(value: number | string): string {
  const number = Number(value);
  return Number.isInteger(number) && number >= 1_024 && number % 1_024 === 0
    ? bytes(number).replace("B", "")
    : figure(number);
}

export function escapeXml(content: string): string {
  return content
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
