// @ts-check
/** Draws the diagrams of the pages as SVG that takes its colours from the page, so that a dark page has a dark diagram. */
import dagre from "@dagrejs/dagre";
import { readFlow, readSequence, readStates } from "./graph.js";
import { escapeHtml } from "./html.js";

/** px, of the text at 14 px: wide enough for any of its letters on average. */
const LETTER = 7.6;
const LINE = 18;
/** px; what is wider is drawn from the top to the bottom. */
const WIDEST = 860;
/** px around the text of a node. */
const ROOM = /** @type {const} */ ({ choice: [56, 26], round: [28, 18], box: [24, 18], start: [14, -4] });
/** Letters of a label of an edge in a line. */
const WRAP = 26;

/** @typedef {{ x: number, y: number }} Point @typedef {Point & { width: number, height: number }} Box */

/** @param {string} text of a block @returns {string} */
export function draw(text) {
  if (text.startsWith("sequenceDiagram")) return drawSequence(readSequence(text));
  if (text.startsWith("stateDiagram-v2")) return drawGraph(readStates(text));
  const graph = readFlow(text);
  const drawn = drawGraph(graph);
  if (graph.direction === "TB" || Number(/\bwidth="(\d+)"/.exec(drawn)?.[1]) <= WIDEST) return drawn;
  return drawGraph({ ...graph, direction: "TB" });
}

/** @param {string} text @returns {string[]} */
function wrap(text) {
  return text.split("\n").flatMap((line) => {
    const lines = [""];
    for (const word of line.split(" ")) {
      const last = lines.at(-1) ?? "";
      if (last !== "" && last.length + word.length >= WRAP) lines.push(word);
      else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
    }
    return lines;
  });
}

/** @param {string[]} lines */
const sizeOf = (lines) => ({
  width: Math.max(...lines.map((line) => line.length)) * LETTER,
  height: lines.length * LINE,
});

/** @param {string[]} lines @param {Point} at the middle @param {string} kind */
function textAt(lines, { x, y }, kind) {
  const top = y - ((lines.length - 1) * LINE) / 2;
  const spans = lines.map(
    (line, index) => `<tspan x="${round(x)}" y="${round(top + index * LINE)}">${escapeHtml(line)}</tspan>`,
  );
  return `<text class="${kind}">${spans.join("")}</text>`;
}

const round = (/** @type {number} */ value) => Math.round(value * 10) / 10;

/** @param {import("./graph.js").Graph} graph */
function drawGraph({ direction, nodes, edges, groups }) {
  const layout = new dagre.graphlib.Graph({ compound: true, multigraph: true });
  layout.setGraph({ rankdir: direction, nodesep: 28, ranksep: 44, marginx: 12, marginy: 12 });
  for (const { id, label } of groups) layout.setNode(id, { label });
  const isGroup = new Set(groups.map(({ id }) => id));
  for (const node of nodes.values()) {
    if (isGroup.has(node.id)) continue;
    const { width, height } = sizeOf(wrap(node.label));
    const [wide, high] = ROOM[node.shape];
    layout.setNode(node.id, { width: width + wide, height: height + high });
    if (node.group !== undefined) layout.setParent(node.id, node.group);
  }
  // The layout knows no edges of groups: they lead to the group's first node, and end at its border.
  const inner = (/** @type {string} */ id) =>
    isGroup.has(id) ? ([...nodes.values()].find(({ group }) => group === id)?.id ?? id) : id;
  edges.forEach(({ from, to, label }, index) => {
    const size = label === "" ? { width: 0, height: 0 } : sizeOf(wrap(label));
    layout.setEdge(inner(from), inner(to), { ...size, labelpos: "c" }, String(index));
  });
  dagre.layout(layout);
  const boxOf = (/** @type {string} */ id) => /** @type {Box} */ (/** @type {unknown} */ (layout.node(id)));
  const parts = groups.map(({ id, label }) => {
    const box = boxOf(id);
    const corner = { x: box.x - box.width / 2 + 10, y: box.y - box.height / 2 + 12 };
    return rectangle(box, "group", 8) + textAt([label], corner, "title");
  });
  edges.forEach(({ from, to, label, style, both }, index) => {
    const edge = /** @type {{ points: Point[], x: number, y: number }} */ (
      /** @type {unknown} */ (layout.edge({ v: inner(from), w: inner(to), name: String(index) }))
    );
    let points = edge.points;
    if (from !== to && isGroup.has(to)) points = cutAt(points, boxOf(to));
    if (from !== to && isGroup.has(from)) points = cutAt(points.toReversed(), boxOf(from)).toReversed();
    // Nodes cover what is beneath them: an edge that begins in the middle touches a node of any shape.
    if (!both && !isGroup.has(from)) points = [boxOf(from), ...points];
    const heads = `marker-end="url(#head)"${both ? ' marker-start="url(#head)"' : ""}`;
    parts.push(`<path class="edge ${style}" d="${curve(points)}" ${heads}/>`);
    if (label !== "") parts.push(textAt(wrap(label), edge, "label"));
  });
  for (const { id, label, shape } of nodes.values()) {
    if (isGroup.has(id)) continue;
    const box = boxOf(id);
    if (shape === "choice") parts.push(`<polygon class="node" points="${diamond(box)}"/>`);
    else if (shape === "start") parts.push(`<circle class="start" cx="${box.x}" cy="${box.y}" r="7"/>`);
    else parts.push(rectangle(box, "node", shape === "round" ? box.height / 2 : 5));
    if (label !== "") parts.push(textAt(wrap(label), box, "name"));
  }
  const { width = 0, height = 0 } = /** @type {{ width?: number, height?: number }} */ (layout.graph());
  const name = (/** @type {string} */ id) => (nodes.get(id)?.label ?? id).replaceAll("\n", " ");
  const said = edges.map(
    ({ from, to, label }) => `${name(from)} to ${name(to)}${label === "" ? "" : ` (${label})`}`,
  );
  return picture(width, height, parts, said.join("; "));
}

/** @param {import("./graph.js").Sequence} sequence */
function drawSequence({ participants, steps }) {
  const ids = [...participants.keys()];
  /** Room to the right of each participant: what is written there has to fit. */
  const gaps = ids.map(() => 130);
  for (const step of steps) {
    if (step.kind === "note") continue;
    const [left, right] = [ids.indexOf(step.from), ids.indexOf(step.to)].sort((a, b) => a - b);
    const needed = (step.text.length * LETTER + 30) / ((right ?? 0) - (left ?? 0));
    for (let at = left ?? 0; at < (right ?? 0); at++) gaps[at] = Math.max(gaps[at] ?? 0, needed);
  }
  /** @type {Map<string, number>} */
  const columns = new Map();
  let x = 80;
  ids.forEach((id, index) => {
    columns.set(id, x);
    x += gaps[index] ?? 0;
  });
  const at = (/** @type {string} */ id) => columns.get(id) ?? 0;
  const [width, height] = [at(ids.at(-1) ?? "") + 120, 70 + steps.length * 40];
  const parts = ids.flatMap((id) => {
    const box = { x: at(id), y: 26, width: (participants.get(id) ?? "").length * LETTER + 24, height: 32 };
    const line = `<path class="life" d="M${round(box.x)},42V${height - 8}"/>`;
    return [line, rectangle(box, "node", 5), textAt([participants.get(id) ?? ""], box, "name")];
  });
  steps.forEach((step, index) => {
    const y = 84 + index * 40;
    if (step.kind === "note") {
      const box = { x: at(step.over), y: y - 6, width: step.text.length * LETTER + 16, height: 28 };
      parts.push(rectangle(box, "note", 3), textAt([step.text], box, "name"));
      return;
    }
    const [from, to] = [at(step.from), at(step.to)];
    const style = step.dashed ? "dashed" : "solid";
    const path = `M${round(from)},${y}H${round(to + (to > from ? -4 : 4))}`;
    parts.push(`<path class="edge ${style}" d="${path}" marker-end="url(#head)"/>`);
    parts.push(textAt([step.text], { x: (from + to) / 2, y: y - 15 }, "label"));
  });
  const name = (/** @type {string} */ id) => participants.get(id) ?? id;
  const said = steps.map((step) =>
    step.kind === "note"
      ? `${name(step.over)}: ${step.text}`
      : `${name(step.from)} to ${name(step.to)}: ${step.text}`,
  );
  return picture(width, height, parts, said.join("; "));
}

/** @param {Box} box @param {string} kind @param {number} radius */
function rectangle({ x, y, width, height }, kind, radius) {
  const corner = `x="${round(x - width / 2)}" y="${round(y - height / 2)}"`;
  return `<rect class="${kind}" ${corner} width="${round(width)}" height="${round(height)}" rx="${round(radius)}"/>`;
}

/** @param {Box} box */
function diamond({ x, y, width, height }) {
  const [left, right, top, bottom] = [x - width / 2, x + width / 2, y - height / 2, y + height / 2].map(
    round,
  );
  const cut = 18;
  const [inLeft, inRight] = [Number(left) + cut, Number(right) - cut].map(round);
  return `${left},${round(y)} ${inLeft},${top} ${inRight},${top} ${right},${round(y)} ${inRight},${bottom} ${inLeft},${bottom}`;
}

/** What of a line is outside a box. @param {Point[]} points that end inside @param {Box} box */
function cutAt(points, box) {
  const inside = (/** @type {Point} */ { x, y }) =>
    Math.abs(x - box.x) <= box.width / 2 && Math.abs(y - box.y) <= box.height / 2;
  const index = points.findIndex(inside);
  const [outer, first] = [points[index - 1], points[index]];
  if (outer === undefined || first === undefined) return points;
  let [low, high] = [0, 1];
  const between = (/** @type {number} */ part) => ({
    x: outer.x + (first.x - outer.x) * part,
    y: outer.y + (first.y - outer.y) * part,
  });
  for (let step = 0; step < 12; step++) {
    const middle = (low + high) / 2;
    if (inside(between(middle))) high = middle;
    else low = middle;
  }
  return [...points.slice(0, index), between(low)];
}

/** A line that bends at its points. @param {Point[]} points */
function curve(points) {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  const last = rest.at(-1) ?? first;
  const bends = rest.slice(0, -1).map((point, index) => {
    const next = rest[index + 1] ?? last;
    const end = index === rest.length - 2 ? last : { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 };
    return `Q${round(point.x)},${round(point.y)} ${round(end.x)},${round(end.y)}`;
  });
  const straight = bends.length === 0 ? `L${round(last.x)},${round(last.y)}` : "";
  return `M${round(first.x)},${round(first.y)}${bends.join("")}${straight}`;
}

let heads = 0;

/** @param {number} width @param {number} height @param {string[]} parts @param {string} description */
function picture(width, height, parts, description) {
  const id = `head-${++heads}`;
  const head = `<marker id="${id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0,0L8,4L0,8z"/></marker>`;
  const least = `style="--least:${Math.ceil(width * 0.66)}px"`;
  const size = `${least} width="${Math.ceil(width)}" height="${Math.ceil(height)}" viewBox="0 0 ${Math.ceil(width)} ${Math.ceil(height)}"`;
  const body = parts.join("").replaceAll("url(#head)", `url(#${id})`);
  return `<div class="diagram" tabindex="0" role="group" aria-label="Diagram"><svg ${size} role="img" aria-label="${escapeHtml(description)}"><defs>${head}</defs>${body}</svg></div>`;
}
