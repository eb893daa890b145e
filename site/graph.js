// @ts-check
/**
 * Reads the diagrams of the pages: flow charts and state diagrams become a graph, sequence diagrams a list of steps. Only what
 * the pages use of Mermaid's language is known, and all else is an error of the build: a diagram is never shown half.
 */

/**
 * @typedef {{ id: string, label: string, shape: "box" | "choice" | "round" | "start", group: string | undefined }} Node
 * @typedef {{ from: string, to: string, label: string, style: "solid" | "dashed" | "thick", both: boolean }} Edge
 * @typedef {{ id: string, label: string }} Group
 * @typedef {{ direction: "LR" | "TB", nodes: Map<string, Node>, edges: Edge[], groups: Group[] }} Graph
 * @typedef {{ kind: "message", from: string, to: string, dashed: boolean, text: string }
 *   | { kind: "note", over: string, text: string }} Step
 * @typedef {{ participants: Map<string, string>, steps: Step[] }} Sequence
 */

/** A link of a flow chart: its head at the left, its text in any of three places, what it is drawn as. */
const LINK =
  /^(<)?(?:--\s+("[^"]*"|[^-"]+?)\s+-->|-\.\s+("[^"]*"|[^."]+?)\s+\.->|(-->|-\.->|==>)(?:\|([^|]*)\|)?)\s*/;
const NODE = /^([\w-]*\w)(?:\(\(([^)]*)\)\)|\[([^\]]*)\]|\{([^}]*)\})?\s*/;

const unquote = (/** @type {string} */ text) => text.replace(/^"|"$/g, "").replaceAll("<br/>", "\n");

/** @param {string} text of a block @returns {string[]} */
const linesOf = (text) => text.split("\n").flatMap((line) => line.trim() || []);

/** @param {string} text @returns {Graph} */
export function readFlow(text) {
  const [first = "", ...lines] = linesOf(text);
  const [, direction] = /^flowchart (LR|TD|TB)$/.exec(first) ?? fail(first);
  /** @type {Graph} */
  const graph = { direction: direction === "LR" ? "LR" : "TB", nodes: new Map(), edges: [], groups: [] };
  /** @type {string | undefined} */
  let group;
  for (const line of lines) {
    const [, title] = /^subgraph (.+)$/.exec(line) ?? [];
    if (title !== undefined) {
      group = `group ${title}`;
      graph.groups.push({ id: group, label: title });
    } else if (line === "end") group = undefined;
    else readStatement(line, graph, group);
  }
  return graph;
}

/** Nodes, joined by links: `a & b -->|text| c --> d`. @param {string} line @param {Graph} graph @param {string | undefined} group */
function readStatement(line, graph, group) {
  let rest = line;
  const readNodes = () => {
    const ids = [];
    for (;;) {
      const found = NODE.exec(rest) ?? fail(line);
      const [all, id = "", round, box, choice] = found;
      rest = rest.slice(all.length);
      const label = round ?? box ?? choice;
      const shape = round !== undefined ? "round" : choice !== undefined ? "choice" : "box";
      const known = graph.nodes.get(id);
      if (known === undefined) graph.nodes.set(id, { id, label: unquote(label ?? id), shape, group });
      else {
        if (label !== undefined) Object.assign(known, { label: unquote(label), shape });
        known.group ??= group;
      }
      ids.push(id);
      if (!rest.startsWith("&")) return ids;
      rest = rest.slice(1).trimStart();
    }
  };
  let from = readNodes();
  while (rest !== "") {
    const [all, head, solid, dashed, arrow, label = ""] = LINK.exec(rest) ?? fail(line);
    rest = rest.slice(all.length);
    const to = readNodes();
    const style = dashed !== undefined || arrow === "-.->" ? "dashed" : arrow === "==>" ? "thick" : "solid";
    for (const start of from)
      for (const end of to)
        graph.edges.push({
          from: start,
          to: end,
          label: unquote(solid ?? dashed ?? label),
          style,
          both: head === "<",
        });
    from = to;
  }
}

/** @param {string} text @returns {Graph} */
export function readStates(text) {
  /** @type {Graph} */
  const graph = { direction: "TB", nodes: new Map(), edges: [], groups: [] };
  /** @type {string | undefined} */
  let group;
  const node = (/** @type {string} */ id) => {
    if (graph.nodes.has(id)) return;
    const start = id === "[*]";
    graph.nodes.set(id, { id, label: start ? "" : id, shape: start ? "start" : "round", group });
  };
  for (const line of linesOf(text).slice(1)) {
    const [, name] = /^state (\w+) \{$/.exec(line) ?? [];
    if (name !== undefined) {
      group = name;
      graph.groups.push({ id: name, label: name });
      graph.nodes.delete(name);
    } else if (line === "}") group = undefined;
    else {
      const [, from = "", to = "", label = ""] = /^(\S+) --> (\w+)(?:: (.+))?$/.exec(line) ?? fail(line);
      node(from);
      node(to);
      graph.edges.push({ from, to, label: label.replaceAll('"', "“"), style: "solid", both: false });
    }
  }
  return graph;
}

/** @param {string} text @returns {Sequence} */
export function readSequence(text) {
  /** @type {Sequence} */
  const sequence = { participants: new Map(), steps: [] };
  for (const line of linesOf(text).slice(1)) {
    const participant = /^participant (\w+) as (.+)$/.exec(line);
    const note = /^Note over (\w+): (.+)$/.exec(line);
    const message = /^(\w+)(--?>>)(\w+): (.+)$/.exec(line);
    if (participant !== null) sequence.participants.set(participant[1] ?? "", participant[2] ?? "");
    else if (note !== null) sequence.steps.push({ kind: "note", over: note[1] ?? "", text: note[2] ?? "" });
    else if (message !== null) {
      const [, from = "", arrow, to = "", said = ""] = message;
      sequence.steps.push({ kind: "message", from, to, dashed: arrow === "-->>", text: said });
    } else fail(line);
  }
  return sequence;
}

/** @param {string} line @returns {never} */
function fail(line) {
  throw new Error(`not a line of a diagram: ${line}`);
}
