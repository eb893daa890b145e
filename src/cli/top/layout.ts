/** The table on a terminal, as lines of a width. Pure. */
import { styleText } from "node:util";
import Table from "cli-table3";
import type { RatedSide, RatedSource } from "../../metrics/readings.js";
import { type AddressView, duration, harmless, short, summary, type View } from "./view.js";

interface Column {
  readonly head: string;
  readonly width: number;
  readonly align: "left" | "right";
  /** The largest goes first when the terminal is narrow; 0 always stays. */
  readonly goes: number;
  /** @param first whether it is the source's first line */
  text(source: RatedSource, side: RatedSide, first: boolean): string;
}

/** Minimum width of a name. */
const MIN_NAME = 8;
/** Maximum width of a name. */
const MAX_NAME = 24;

const COLUMNS: readonly Column[] = [
  left("NAME", MAX_NAME, 0, ({ name }, _, first) => (first ? harmless(name) : "")),
  left("KIND", 10, 4, ({ kind }, _, first) => (first ? harmless(kind) : "")),
  left("STATE", 9, 1, ({ state }, _, first) => (first ? harmless(state) : "")),
  left("SIDE", 9, 0, (_, { side }) => side),
  right("PEERS", 3, (_, { peers }) => short(peers)),
  right("IN/s", 0, (_, { rates }) => short(rates.in)),
  right("OUT/s", 0, (_, { rates }) => short(rates.out)),
  right("IN B/s", 7, (_, { rates }) => short(rates.inBytes)),
  right("OUT B/s", 8, (_, { rates }) => short(rates.outBytes)),
  right("QUEUED", 2, (_, { queued }) => short(queued)),
  right("DROP/s", 5, (_, { rates }) => short(rates.dropped)),
  right("DROPPED", 6, (_, { dropped }) => short(dropped)),
  right("REFUSED", 9, (_, { refused }) => short(refused)),
];

/** Columns are separated by spaces only. */
const NO_LINES = Object.fromEntries(
  "top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right left left-mid mid mid-mid right right-mid middle"
    .split(" ")
    .map((name) => [name, ""]),
);

/** @param width columns of the terminal @param color whether to use colours */
export function layout(view: View, width: number, color: boolean): string[] {
  const { columns, widths } = fitting(view, width);
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
  const time = new Date(view.time).toLocaleTimeString("en-GB");
  const lines = [cut(`shoal top  ${time}  ${summary(view)}, every ${view.interval} s`, width), ""];
  const [head = ""] = rendered([columns.map(({ head }) => head)], columns, widths);
  lines.push(paint("bold", cut(head, width)));
  for (const address of view.addresses) {
    lines.push(paint(address.up ? "cyan" : "red", cut(addressLine(address), width)));
    if (!address.up) continue;
    const rows = address.reading.sources.flatMap((source) =>
      source.sides.map((side, at) => columns.map((column) => column.text(source, side, at === 0))),
    );
    if (rows.length > 0) lines.push(...rendered(rows, columns, widths).map((line) => cut(line, width)));
  }
  return lines;
}

type Paint = (style: "bold" | "cyan" | "red", text: string) => string;

/** The columns that fit into a width, and their widths. */
function fitting(
  { addresses }: View,
  width: number,
): { readonly columns: readonly Column[]; readonly widths: readonly number[] } {
  const names = addresses.flatMap((each) =>
    each.up ? each.reading.sources.map(({ name }) => name.length) : [],
  );
  const wanted = Math.min(MAX_NAME, Math.max(MIN_NAME, ...names)) + 1;
  let columns = [...COLUMNS];
  const rest = (): number => columns.slice(1).reduce((total, column) => total + column.width, 0);
  while (rest() + Math.min(wanted, MIN_NAME + 1) > width) {
    const goes = Math.max(...columns.map((column) => column.goes));
    if (goes === 0) break;
    columns = columns.filter((column) => column.goes !== goes);
  }
  const name = Math.max(2, Math.min(wanted, width - rest()));
  return { columns, widths: [name, ...columns.slice(1).map((column) => column.width)] };
}

function rendered(
  rows: readonly (readonly string[])[],
  columns: readonly Column[],
  widths: readonly number[],
): string[] {
  const table = new Table({
    chars: NO_LINES,
    colWidths: [...widths],
    colAligns: columns.map(({ align }) => align),
    style: { "padding-left": 0, "padding-right": 1, head: [], border: [], compact: true },
  });
  for (const row of rows) table.push([...row]);
  return table.toString().split("\n");
}

function addressLine(address: AddressView): string {
  const name = harmless(address.address);
  if (!address.up) {
    const since = new Date(address.since).toLocaleTimeString("en-GB");
    return `${name}  away since ${since}: ${harmless(address.reason)}`;
  }
  const { cpu, memory, loopDelay, sources } = address.reading;
  const parts = [`answers in ${duration(address.latency / 1_000)}`];
  if (cpu !== undefined) parts.push(`cpu ${(cpu * 100).toFixed(0)} %`);
  if (memory !== undefined) parts.push(`memory ${short(memory)}B`);
  if (loopDelay !== undefined) parts.push(`loop delay ${duration(loopDelay)}`);
  if (sources.length === 0) parts.push("nothing runs");
  return `${name}  ${parts.join(", ")}`;
}

/** Cuts a line that would wrap. */
function cut(line: string, width: number): string {
  const text = line.trimEnd();
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

function left(head: string, width: number, goes: number, text: Column["text"]): Column {
  return { head, width, align: "left", goes, text };
}

function right(head: string, goes: number, text: Column["text"]): Column {
  return { head, width: 8, align: "right", goes, text };
}
