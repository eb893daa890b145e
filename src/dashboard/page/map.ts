/** The map of boxes and links as SVG, redrawn on changes. */
import type { DashboardState } from "../state.js";
import { byId, setText, svg } from "./dom.js";
import { BOX_HEIGHT, BOX_WIDTH, type Box, type Edge, type Layout, layoutOf } from "./layout.js";
import { counted, isRefusing, isWell, type Shown, short } from "./model.js";

const MAX_BOX_TEXT = 18;
const PILL_WIDTH = 92;
const PILL_GAP = 8;
/** A wider map takes a whole row. */
const NARROW = 400;

export class MapView {
  readonly #place = byId("map");
  readonly #open: (id: string) => void;
  #drawn = "";

  constructor(open: (id: string) => void) {
    this.#open = open;
  }

  show(shown: readonly Shown[], { links }: DashboardState): void {
    const layout = layoutOf(shown, links);
    const image = imageOf(layout);
    setText(
      byId("map-more"),
      layout.more === 0 ? "" : `… and ${counted(layout.more, "source")} more: filter to see others.`,
    );
    document.body.classList.toggle("wide", layout.width > NARROW);
    const text = image.outerHTML;
    if (text === this.#drawn) return;
    this.#drawn = text;
    const focused = document.activeElement?.getAttribute("data-id");
    for (const box of image.querySelectorAll<SVGGElement>("g[data-id]")) {
      const id = box.dataset.id ?? "";
      box.addEventListener("click", () => this.#open(id));
      box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.#open(id);
      });
    }
    this.#place.replaceChildren(image);
    if (focused === null || focused === undefined) return;
    const again = [...image.querySelectorAll<SVGGElement>("g[data-id]")].find(
      ({ dataset }) => dataset.id === focused,
    );
    again?.focus();
  }
}

function imageOf({ width, height, boxes, edges }: Layout): SVGSVGElement {
  const label = `${counted(boxes.length, "box", "boxes")}, ${counted(edges.length, "connection")}`;
  return svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label },
    svg("g", { "aria-hidden": "true" }, ...edges.flatMap(edgeOf)),
    ...boxes.map((box) => boxOf(box, edges)),
  );
}

function edgeOf({ left, right, rate }: Edge): SVGElement[] {
  const x1 = left.x + BOX_WIDTH;
  const y1 = left.y + BOX_HEIGHT / 2;
  const y2 = right.y + BOX_HEIGHT / 2;
  const bend = Math.max(40, Math.abs(right.x - x1) / 2);
  const path = svg("path", {
    class: rate > 0 ? "edge busy" : "edge",
    d: `M${x1} ${y1}C${x1 + bend} ${y1} ${right.x - bend} ${y2} ${right.x} ${y2}`,
    // One step per tenfold rate.
    "stroke-width": rate > 0 ? 1.5 + Math.min(5, Math.floor(Math.log10(1 + rate))) : 1.5,
  });
  if (rate === 0) return [path];
  const at = { x: (x1 + right.x) / 2, y: (y1 + y2) / 2 - 6, class: "small rate", "text-anchor": "middle" };
  return [path, svg("text", at, `${short(rate)}/s`)];
}

function boxOf(box: Box, edges: readonly Edge[]): SVGElement {
  const { x, y, text, shown, left, right } = box;
  const middle = y + BOX_HEIGHT / 2;
  const parts = [
    svg("rect", { class: "box", x, y, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 8 }),
    svg("text", { x: x + 12, y: y + 22 }, cut(text)),
    ...(left.peers > 0 ? pillOf(x - PILL_WIDTH - PILL_GAP, x, middle, left) : []),
    ...(right.peers > 0 ? pillOf(x + BOX_WIDTH + PILL_GAP, x + BOX_WIDTH, middle, right) : []),
  ];
  if (shown === undefined) {
    parts.push(svg("text", { class: "small", x: x + 12, y: y + 40 }, "not watched"));
    return svg("g", { class: "outside", role: "img", "aria-label": `${text}, not watched` }, ...parts);
  }
  const { source, process } = shown;
  const queued = source.sides.reduce((total, side) => total + (side.queued ?? 0), 0);
  const drops = source.sides.reduce((total, { rates }) => total + (rates.dropped ?? 0), 0);
  const facts = [source.kind];
  if (drops > 0) facts.push(`drops ${short(drops)}/s`);
  else if (queued > 0) facts.push(`${short(queued)} queued`);
  if (!isWell(source)) facts.push(source.state);
  const words = cut(facts.slice(1).join(" · ") || source.kind, 18);
  parts.push(svg("text", { class: "small", x: x + 12, y: y + 40 }, words));
  const linked = edges.filter((edge) => edge.left === box || edge.right === box).length;
  const label = [source.name, ...facts, source.state, process.address, counted(linked, "connection")];
  const outside = left.peers + right.peers;
  if (outside > 0) label.push(`${counted(outside, "peer")} not watched`);
  return svg(
    "g",
    {
      "data-id": source.id,
      role: "button",
      tabindex: 0,
      "aria-label": label.join(", "),
      class: drops > 0 || source.sides.some(isRefusing) || !isWell(source) ? "warned" : undefined,
    },
    ...parts,
  );
}

/** Peers, their rate, and the port or path that they connect to. */
function pillOf(x: number, to: number, y: number, { peers, rate, at }: Box["left"]): SVGElement[] {
  const near = x < to ? x + PILL_WIDTH : x;
  const where = at.map((endpoint) => endpoint.replace(/^.*(?=:\d+)|^.*\//, "")).join(" ");
  const line = (dy: number, text: string): SVGElement =>
    svg("text", { class: "small", x: x + PILL_WIDTH / 2, y: y + dy, "text-anchor": "middle" }, cut(text, 16));
  return [
    svg("path", { class: rate > 0 ? "edge busy" : "edge", d: `M${near} ${y}L${to} ${y}` }),
    svg("rect", { class: "pill", x, y: y - 20, width: PILL_WIDTH, height: 40, rx: 12 }),
    line(-3, rate > 0 ? `${counted(peers, "peer")} ${short(rate)}/s` : counted(peers, "peer")),
    line(13, where === "" ? "connected" : `at ${where}`),
    svg("title", {}, at.join(" ")),
  ];
}

function cut(text: string, most = MAX_BOX_TEXT): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
