/** Addresses as a table or JSON. Pure. */
import { styleText } from "node:util";
import type { SeenProcess } from "../../dashboard/build.js";
import { refusalTexts, short } from "../../dashboard/page/model.js";
import type { RatedSide, RatedSource } from "../../metrics/reading.js";
import { printable, table } from "../terminal.js";

export type AddressView = Omit<SeenProcess, "id" | "details">;

export interface View {
  /** ms since 1970. */
  readonly time: number;
  /** s. */
  readonly interval: number;
  readonly addresses: readonly AddressView[];
}

/** The most important columns first: a narrow terminal cuts lines. */
const COLUMNS: readonly (readonly [head: string, text: (source: RatedSource, side: RatedSide) => string])[] =
  [
    ["NAME", ({ name }) => printable(name)],
    ["SIDE", (_, { side }) => side],
    ["STATE", ({ state }) => printable(state)],
    ["IN/s", (_, { rates }) => short(rates.in)],
    ["OUT/s", (_, { rates }) => short(rates.out)],
    ["QUEUED", (_, { queued }) => short(queued)],
    ["DROP/s", (_, { rates }) => short(rates.dropped)],
    ["PEERS", (_, { peers }) => short(peers)],
    ["DROPPED", (_, { dropped }) => short(dropped)],
    ["REFUSED", (_, { refused }) => short(refused)],
    ["IN B/s", (_, { rates }) => short(rates.inBytes)],
    ["OUT B/s", (_, { rates }) => short(rates.outBytes)],
    ["KIND", ({ kind }) => printable(kind)],
  ];

/** States of a healthy source. */
const WELL: readonly string[] = ["running", "serving", "standby", "idle"];

/** One line per side, below the line of its address. @param width longer lines are cut */
export function tableLines(view: View, width: number, color: boolean): string[] {
  const cut = (line: string): string => (line.length <= width ? line : `${line.slice(0, width - 1)}…`);
  const paint = (style: "bold" | "cyan" | "red" | "yellow", line: string): string =>
    color ? styleText(style, cut(line), { validateStream: false }) : cut(line);
  const sidesOf = (address: AddressView): { source: RatedSource; side: RatedSide }[] =>
    (address.reading?.sources ?? []).flatMap((source) => source.sides.map((side) => ({ source, side })));
  const rows = view.addresses
    .flatMap(sidesOf)
    .map(({ source, side }) => COLUMNS.map(([, text]) => text(source, side)));
  const [head = "", ...rest] = table([COLUMNS.map(([name]) => name), ...rows]);
  const time = new Date(view.time).toLocaleTimeString("en-GB");
  const lines = [cut(`shoal top  ${time}  ${summary(view)}, every ${view.interval} s`), paint("bold", head)];
  for (const address of view.addresses) {
    lines.push(paint(address.up === true ? "cyan" : "red", addressLine(address)));
    for (const { source, side } of sidesOf(address)) {
      const line = rest.shift() as string;
      if ((side.rates.dropped ?? 0) > 0) lines.push(paint("red", line));
      else lines.push(WELL.includes(source.state) ? cut(line) : paint("yellow", line));
    }
    for (const source of address.reading?.sources ?? [])
      for (const text of refusalTexts(source)) lines.push(paint("red", `! ${printable(text)}`));
  }
  return lines;
}

function addressLine({ address, latency = 0, since = 0, reason = "", reading }: AddressView): string {
  const name = printable(address);
  if (reading === undefined)
    return `${name}  away since ${new Date(since).toLocaleTimeString("en-GB")}: ${printable(reason)}`;
  const { cpu, memory, loopDelay, sources } = reading;
  const parts = [`answers in ${duration(latency / 1_000)}`];
  if (cpu !== undefined) parts.push(`cpu ${(cpu * 100).toFixed(0)} %`);
  if (memory !== undefined) parts.push(`memory ${short(memory)}B`);
  if (loopDelay !== undefined) parts.push(`loop delay ${duration(loopDelay)}`);
  if (sources.length === 0) parts.push("nothing runs");
  return `${name}  ${parts.join(", ")}`;
}

function summary({ addresses }: View): string {
  const up = addresses.filter((address) => address.up).length;
  return up === addresses.length
    ? `${up} address${up === 1 ? "" : "es"}`
    : `${up} of ${addresses.length} addresses answer`;
}

export function jsonLines({ time, addresses }: View): string[] {
  const when = new Date(time).toISOString();
  return addresses.map((address) => JSON.stringify({ time: when, ...jsonOf(address) }, rounded));
}

function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Math.round(value * 1_000) / 1_000 : value;
}

function jsonOf({ address, up, latency, since = 0, reason, reading }: AddressView): object {
  if (reading === undefined) return { address, up, since: new Date(since).toISOString(), reason };
  return { address, up, latency, ...reading };
}

/** `0.4 ms`, `12 ms`, `1.5 s`. */
export function duration(seconds: number): string {
  return seconds < 1 ? `${short(seconds * 1_000)} ms` : `${short(seconds)} s`;
}
