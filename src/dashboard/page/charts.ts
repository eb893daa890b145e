/** A chart per source, by uPlot: rates (left) and queued messages (right) of the last five minutes. */
import uPlot from "uplot";
import { byId, html } from "./dom.js";
import { CHART_TIME, type History, type Point, type Shown, short } from "./model.js";

const HEIGHT = 180;
/** The filter selects others. */
const MAX_CHARTS = 12;
/** ms that a new page's charts show. */
const MIN_TIME = 60_000;

const LINES: readonly {
  readonly name: Exclude<keyof Point, "time">;
  readonly scale: "rate" | "queue";
  readonly colour: string;
  readonly dash?: number[];
}[] = [
  { name: "in", scale: "rate", colour: "--accent" },
  { name: "out", scale: "rate", colour: "--good", dash: [4, 2] },
  { name: "dropped", scale: "rate", colour: "--bad" },
  { name: "queued", scale: "queue", colour: "--warn" },
];

export class ChartsView {
  readonly #plots = new Map<string, uPlot>();
  readonly #element = byId("charts");
  #from = 0;
  #now = 0;

  constructor() {
    new ResizeObserver(() => {
      for (const plot of this.#plots.values()) plot.setSize(sizeOf(plot.root.parentElement));
    }).observe(this.#element);
  }

  show(all: readonly Shown[], history: History, now: number): void {
    const shown = new Map(all.slice(0, MAX_CHARTS).map(({ source }) => [source.id, source.name]));
    const first = Math.min(now, ...[...shown.keys()].map((id) => history.of(id)[0]?.time ?? now));
    this.#now = now;
    this.#from = now - Math.max(MIN_TIME, Math.min(CHART_TIME, now - first));
    for (const [id, plot] of this.#plots) {
      if (shown.has(id)) continue;
      plot.root.parentElement?.remove();
      plot.destroy();
      this.#plots.delete(id);
    }
    for (const [id, name] of shown) {
      const plot = this.#plots.get(id) ?? this.#add(id, name);
      const points = history.of(id);
      const times = points.map(({ time }) => time / 1_000);
      plot.setData([times, ...LINES.map(({ name }) => points.map((point) => point[name] ?? null))]);
      // Without a pointer the legend has the latest values; uPlot clears it when it draws, in the next microtask.
      if ((plot.cursor.left ?? -1) < 0) queueMicrotask(() => plot.setLegend({ idx: points.length - 1 }));
    }
  }

  #add(id: string, name: string): uPlot {
    const figure = html("figure", {}, html("h3", {}, name));
    this.#element.append(figure);
    const range: uPlot.Scale.Range = (_, __, most) => [0, Math.max(1, most)];
    const values: uPlot.Axis.Values = (_, ticks) => ticks.map((tick) => short(tick));
    const axis = { stroke: colourOf("--quiet"), grid: { stroke: colourOf("--line"), width: 1 } };
    const options: uPlot.Options = {
      ...sizeOf(figure),
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { range: () => [this.#from / 1_000, this.#now / 1_000] },
        rate: { range },
        queue: { range },
      },
      axes: [
        axis,
        { ...axis, scale: "rate", size: 56, values },
        { ...axis, scale: "queue", size: 56, values, side: 1, grid: { show: false } },
      ],
      series: [
        { value: "{HH}:{mm}:{ss}" },
        ...LINES.map(({ name, scale, colour, dash = [] }) => ({
          label: name,
          scale,
          dash,
          stroke: colourOf(colour),
          width: 1.5,
          value: (_: uPlot, value: number | null) =>
            short(value ?? undefined) + (scale === "rate" ? "/s" : ""),
        })),
      ],
    };
    const plot = new uPlot(options, [[]], figure);
    this.#plots.set(id, plot);
    return plot;
  }
}

function sizeOf(figure: Element | null): { width: number; height: number } {
  return { width: figure?.clientWidth ?? 0, height: HEIGHT };
}

/** Of the page's style, asked for with each picture: it follows the system's light or dark. */
function colourOf(property: string): () => string {
  return () => getComputedStyle(document.documentElement).getPropertyValue(property);
}
