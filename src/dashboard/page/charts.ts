/** Two charts per source, by uPlot: rates and queued messages of the last five minutes. */
import uPlot from "uplot";
import { byId, html } from "./dom.js";
import { short } from "./format.js";
import { CHART_TIME, type History, type Point, type Shown } from "./model.js";

const HEIGHT = 150;
/** The filter selects others. */
const MAX_CHARTS = 12;
/** ms that a new page's charts show. */
const MIN_TIME = 60_000;

type Line = Exclude<keyof Point, "time">;

const CHARTS: readonly { readonly unit: string; readonly lines: readonly Line[] }[] = [
  { unit: "/s", lines: ["in", "out", "dropped"] },
  { unit: "", lines: ["queued"] },
];
const COLOURS: Readonly<Record<Line, string>> = {
  in: "--accent",
  out: "--good",
  dropped: "--bad",
  queued: "--warn",
};

interface SourceCharts {
  readonly element: HTMLElement;
  readonly plots: readonly uPlot[];
}

export class ChartsView {
  readonly #charts = new Map<string, SourceCharts>();
  readonly #element = byId("charts");
  readonly #resizes = new ResizeObserver(() => this.#fit());
  #from = 0;
  #now = 0;

  constructor() {
    this.#resizes.observe(this.#element);
  }

  show(all: readonly Shown[], history: History, now: number): void {
    const shown = all.slice(0, MAX_CHARTS);
    const first = Math.min(now, ...shown.map(({ source }) => history.of(source.id)[0]?.time ?? now));
    this.#now = now;
    this.#from = now - Math.max(MIN_TIME, Math.min(CHART_TIME, now - first));
    const present = new Set(shown.map(({ source }) => source.id));
    for (const [id, { element, plots }] of this.#charts) {
      if (present.has(id)) continue;
      for (const plot of plots) plot.destroy();
      element.remove();
      this.#charts.delete(id);
    }
    for (const { source } of shown) {
      const charts = this.#charts.get(source.id) ?? this.#add(source.id, source.name);
      const points = history.of(source.id);
      for (const [i, plot] of charts.plots.entries()) update(plot, CHARTS[i]?.lines ?? [], points);
    }
  }

  #add(id: string, name: string): SourceCharts {
    const element = html("div", { class: "charts" }, html("h3", {}, name));
    this.#element.append(element);
    const plots = CHARTS.map(({ unit, lines }) => {
      const figure = html("figure");
      element.append(figure);
      return new uPlot(this.#options(unit, lines), [[]], figure);
    });
    const charts = { element, plots };
    this.#charts.set(id, charts);
    this.#fit();
    return charts;
  }

  #options(unit: string, lines: readonly Line[]): uPlot.Options {
    const axis = { stroke: colourOf("--quiet"), grid: { stroke: colourOf("--line"), width: 1 } };
    const text = (value: number | null): string => (value === null ? "–" : `${short(value)}${unit}`);
    return {
      width: 1,
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { range: () => [this.#from / 1_000, this.#now / 1_000] },
        y: { range: (_, __, most) => [0, Math.max(1, most)] },
      },
      axes: [axis, { ...axis, size: 44, values: (_, ticks) => ticks.map((tick) => short(tick)) }],
      series: [
        { label: "", value: "{HH}:{mm}:{ss}" },
        ...lines.map((line) => ({
          label: line,
          stroke: colourOf(COLOURS[line]),
          width: 1.5,
          ...(line === "out" ? { dash: [4, 2] } : {}),
          value: (_: uPlot, value: number | null) => text(value),
        })),
      ],
    };
  }

  #fit(): void {
    for (const { plots } of this.#charts.values())
      for (const plot of plots) {
        const width = plot.root.parentElement?.clientWidth ?? 0;
        if (width > 0 && width !== plot.width) plot.setSize({ width, height: HEIGHT });
      }
  }
}

function update(plot: uPlot, lines: readonly Line[], points: readonly Point[]): void {
  plot.setData([
    points.map(({ time }) => time / 1_000),
    ...lines.map((line) => points.map((point) => point[line] ?? null)),
  ]);
  // Without a pointer the legend has the latest values; uPlot clears it when it draws, in the next microtask.
  if ((plot.cursor.left ?? -1) < 0) queueMicrotask(() => plot.setLegend({ idx: points.length - 1 }));
}

/** Of the page's style, asked for with each picture: it follows the system's light or dark. */
function colourOf(property: string): () => string {
  return () => getComputedStyle(document.documentElement).getPropertyValue(property);
}
