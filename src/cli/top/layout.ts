/** The table on a terminal, as lines of a width. Pure. */
import { styleText } from "node:util";
import Table from "cli-table3";
import type { RatedSide, RatedSource } from "../../metrics/readings.js";
import { type Choice, FIRST_CHOICE, KEYS_HELP, type SortBy } from "./keys.js";
import { TREND_READINGS, type Trends } from "./trends.js";
import { type AddressView, duration, harmless, short, summary, type View } from "./view.js";

/** How the table is shown, beyond what is in it. */
export interface Shown {
  /** Lines that there is room for. Default: all. */
  readonly height?: number;
  readonly choice?: Choice;
  /** Adds a column. */
  readonly trends?: Trends;
}

interface Column {
  readonly head: string;
  readonly width: number;
  readonly align: "left" | "right";
  /** The largest goes first when the terminal is narrow; 0 always stays. */
  readonly goes: number;
  /** @param first whether it is the source's first line */
  text(source: RatedSource, side: RatedSide, first: boolean, address: string): string;
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

/** States in which a source does what it is for. */
const WELL: readonly string[] = ["running", "serving", "standby", "idle"];

/** @param width columns of the terminal @param color whether to use colours */
export function layout(view: View, width: number, color: boolean, shown: Shown = {}): string[] {
  const { choice = FIRST_CHOICE, height = Number.POSITIVE_INFINITY } = shown;
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
  const time = new Date(view.time).toLocaleTimeString("en-GB");
  const lines = [cut(`shoal top  ${time}  ${summary(view)}, every ${view.interval} s`, width)];
  if (choice.mode === "help")
    return fitted([...lines, "", ...KEYS_HELP.map((line) => cut(line, width))], height);
  lines.push(cut(headingOf(choice), width));
  const addresses = view.addresses.map((address) => chosen(address, choice));
  const { columns, widths } = fitting({ ...view, addresses }, width, shown.trends);
  const [head = ""] = rendered([columns.map(({ head }) => head)], columns, widths);
  lines.push(paint("bold", cut(head, width)));
  for (const address of addresses) {
    // Nothing of it matches. One that is away is always shown.
    if (choice.filter !== "" && address.up && address.reading.sources.length === 0) continue;
    lines.push(paint(address.up ? "cyan" : "red", cut(addressLine(address), width)));
    if (!address.up) continue;
    const sides = address.reading.sources.flatMap((source) =>
      source.sides.map((side, at) => ({ source, side, first: at === 0 })),
    );
    if (sides.length === 0) continue;
    const rows = sides.map(({ source, side, first }) =>
      columns.map((column) => column.text(source, side, first, address.address)),
    );
    for (const [at, line] of rendered(rows, columns, widths).entries()) {
      const { source, side } = sides[at] as (typeof sides)[number];
      const style =
        (side.rates.dropped ?? 0) > 0 ? "red" : WELL.includes(source.state) ? undefined : "yellow";
      lines.push(style === undefined ? cut(line, width) : paint(style, cut(line, width)));
    }
  }
  return fitted(lines, height);
}

/** The line below the title: what was chosen; empty when nothing was. */
function headingOf({ mode, filter, sort, reversed }: Choice): string {
  const parts: string[] = [];
  if (mode === "filter" || filter !== "") parts.push(`/${harmless(filter)}${mode === "filter" ? "_" : ""}`);
  if (sort !== undefined) parts.push(`sorted by ${sort}${reversed ? ", reversed" : ""}`);
  return parts.join("  ");
}

/** What there is no room for is counted. */
function fitted(lines: string[], height: number): string[] {
  if (lines.length <= height) return lines;
  const more = lines.length - height + 1;
  return [...lines.slice(0, height - 1), `… ${more} more lines`];
}

/** An address with the sources that match, in the order that was chosen. */
function chosen(address: AddressView, { filter, sort, reversed }: Choice): AddressView {
  if (!address.up) return address;
  const { sources } = address.reading;
  const matching = sources.filter(({ name, kind, state }) =>
    matches(`${name} ${kind} ${state} ${address.address}`, filter),
  );
  if (sort === undefined) return { ...address, reading: { ...address.reading, sources: matching } };
  const keyed = matching.map((source) => [keyOf(source, sort), source] as const);
  const way = reversed ? -1 : 1;
  keyed.sort(([a], [b]) => (a < b ? -way : a > b ? way : 0));
  return { ...address, reading: { ...address.reading, sources: keyed.map(([, source]) => source) } };
}

function matches(text: string, filter: string): boolean {
  const lower = text.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** Numbers go down: the largest are what one looks for. */
function keyOf({ name, state, sides }: RatedSource, sort: SortBy): number | string {
  if (sort === "name") return name.toLowerCase();
  if (sort === "state") return state;
  const of = (side: RatedSide): number =>
    (sort === "peers" || sort === "queued" ? side[sort] : side.rates[sort]) ?? 0;
  return -sides.reduce((total, side) => total + of(side), 0);
}

type Paint = (style: "bold" | "cyan" | "red" | "yellow", text: string) => string;

/** The columns that fit into a width, and their widths. */
function fitting(
  { addresses }: View,
  width: number,
  trends: Trends | undefined,
): { readonly columns: readonly Column[]; readonly widths: readonly number[] } {
  const names = addresses.flatMap((each) =>
    each.up ? each.reading.sources.map(({ name }) => name.length) : [],
  );
  const wanted = Math.min(MAX_NAME, Math.max(MIN_NAME, ...names)) + 1;
  let columns = [...COLUMNS];
  if (trends !== undefined)
    columns.push({
      head: "TREND",
      width: TREND_READINGS + 1,
      align: "left",
      goes: 10,
      text: (source, side, _, address) => trends.of(address, source, side),
    });
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
