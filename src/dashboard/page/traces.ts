/** Flows of sampled messages: one line each, with a timeline when open. */
import type { DashboardTrace, DashboardTraceStep, DashboardTraces } from "../state.js";
import { byId, html, setClass, setText, svg } from "./dom.js";
import { counted, short } from "./format.js";

/** The filter selects others. */
const MAX_SHOWN = 20;
const BAR_WIDTH = 180;
const BAR_HEIGHT = 12;
const MIN_BAR = 2;

interface Line {
  readonly element: HTMLDetailsElement;
  readonly title: HTMLElement;
  readonly facts: HTMLElement;
  readonly body: HTMLElement;
  shown: DashboardTrace | undefined;
  newest: DashboardTrace;
}

export class TracesView {
  readonly #box = byId("traces");
  readonly #lines = new Map<string, Line>();

  show({ traces, omitted, missed }: DashboardTraces, filter: string): void {
    const found = matching(traces, filter);
    const shown = found.slice(0, MAX_SHOWN);
    const present = new Set(shown.map(({ id }) => id));
    for (const [id, { element }] of this.#lines) {
      if (present.has(id)) continue;
      element.remove();
      this.#lines.delete(id);
    }
    for (const [at, trace] of shown.entries()) {
      const line = this.#lines.get(trace.id) ?? this.#add(trace);
      line.newest = trace;
      setText(line.title, trace.name);
      setText(line.facts, factsOf(trace));
      setClass(line.facts, trace.failed ? "bad" : "facts");
      if (line.element.open) drawSteps(line);
      // Keeps focus and reading position.
      const there = this.#box.children[at];
      if (there !== line.element) this.#box.insertBefore(line.element, there ?? null);
    }
    const more = found.length - shown.length + (filter === "" ? omitted : 0);
    const none = traces.length === 0 ? "No message has been sampled yet." : "No message matches the filter.";
    const others = more === 0 ? "" : `… and ${counted(more, "more message")}: filter to see others.`;
    const lost = missed === 0 ? "" : ` ${counted(missed, "step")} exceeded the recording rate.`;
    setText(byId("traces-more"), `${shown.length === 0 ? none : others}${lost}`);
  }

  focus(): void {
    this.#box.querySelector("summary")?.focus();
  }

  #add(trace: DashboardTrace): Line {
    const title = html("strong");
    const facts = html("span", { class: "facts" });
    const body = html("div", { class: "scroll" });
    const element = html("details", {}, html("summary", {}, title, " ", facts), body);
    const line: Line = { element, title, facts, body, shown: undefined, newest: trace };
    element.addEventListener("toggle", () => {
      if (element.open) drawSteps(line);
    });
    this.#lines.set(trace.id, line);
    return line;
  }
}

/** Flows with all words of the filter in steps' names, addresses or errors. */
function matching(traces: readonly DashboardTrace[], filter: string): readonly DashboardTrace[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return traces;
  return traces.filter(({ id, steps }) => {
    const text = [id, ...steps.flatMap(({ name, address, error = "" }) => [name, address, error])]
      .join(" ")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function factsOf({ start, duration, processes, failed, steps, omitted }: DashboardTrace): string {
  return [
    new Date(start).toLocaleTimeString(),
    counted(steps.length + omitted, "step"),
    counted(processes, "process", "processes"),
    timeOf(duration),
    ...(failed ? ["failed"] : []),
  ].join(", ");
}

function drawSteps(line: Line): void {
  const trace = line.newest;
  const before = line.shown;
  line.shown = trace;
  // Keeps the selection.
  if (before !== undefined && JSON.stringify(before) === JSON.stringify(trace)) return;
  const heads = ["Step", "Time", "After", "Takes", "Where", "Bytes"].map((head) =>
    html(
      "th",
      { scope: "col", class: head === "Step" || head === "Where" || head === "Time" ? "text" : undefined },
      head,
    ),
  );
  const rows = trace.steps.map((step) => rowOf(step, trace));
  const more = trace.omitted === 0 ? "" : `… and ${counted(trace.omitted, "more step")}`;
  line.body.replaceChildren(
    html(
      "table",
      {},
      html("caption", {}, `Trace ${trace.id}`),
      html("thead", {}, html("tr", {}, ...heads)),
      html("tbody", {}, ...rows),
    ),
    html("p", { class: "quiet" }, more),
  );
}

function rowOf(step: DashboardTraceStep, { start, duration: whole }: DashboardTrace): HTMLElement {
  const { name, address, at, duration, bytes, error, kind } = step;
  const after = Math.max(0, at - start);
  const scale = whole > 0 ? BAR_WIDTH / whole : 0;
  const width = Math.max(MIN_BAR, (duration ?? 0) * scale);
  const x = Math.min(after * scale, BAR_WIDTH - width);
  const bar = svg(
    "svg",
    // Its times are in the row.
    {
      class: "timeline",
      width: BAR_WIDTH,
      height: BAR_HEIGHT,
      viewBox: `0 0 ${BAR_WIDTH} ${BAR_HEIGHT}`,
      "aria-hidden": "true",
    },
    svg("rect", {
      class: error === undefined ? kind : "failed",
      x: x.toFixed(2),
      y: 1,
      width: width.toFixed(2),
      height: BAR_HEIGHT - 2,
      rx: 1,
    }),
  );
  return html(
    "tr",
    {},
    html(
      "th",
      { scope: "row", class: error === undefined ? "text step" : "text step bad" },
      error === undefined ? name : `${name}: ${error}`,
    ),
    html("td", { class: "text" }, bar),
    html("td", {}, timeOf(after)),
    html("td", {}, duration === undefined ? "" : timeOf(duration)),
    html("td", { class: "text" }, address),
    html("td", {}, bytes === 0 ? "" : short(bytes)),
  );
}

/** ms with useful precision. */
function timeOf(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(2)} s`;
  return `${ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}
