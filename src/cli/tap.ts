/** shoal tap: what passes a proxy, a line a message. */
import { isUtf8 } from "node:buffer";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Codec, json, msgpack, type Socket, text } from "../index.js";
import type { TapFilter } from "../patterns/espresso/filter.js";
import { EspressoListener, type TapRecord } from "../patterns/espresso/listener.js";
import { addCommand } from "./command.js";
import { watchPeers } from "./endpoints.js";
import { asUsage, Failure, hasCode, UsageError } from "./failure.js";
import type { Format } from "./format.js";
import { Log } from "./log.js";
import { checkSettings, collect, type Given } from "./options.js";
import { Output } from "./output.js";
import { securityOptions } from "./security.js";
import { Stop } from "./signals.js";

/** Records printed at once. */
const BATCH = 1_000;
/** ms between two words about records that were missed. */
const QUIET = 1_000;

const DECODERS = ["text", "json", "msgpack", "hex"] as const;
type Decoder = (typeof DECODERS)[number];

interface TapSettings extends Given {
  readonly topic?: readonly string[];
  readonly from?: "frontend" | "backend";
  readonly sample?: number;
  readonly decode?: Decoder;
}

export function addTapCommand(program: Command): void {
  addCommand(program, {
    name: "tap",
    summary: "print what passes a proxy",
    description:
      "Connects to a proxy's capture endpoint and prints each message that passes, a line each: when, the side it came " +
      "from, its bytes, its frames. It never slows the proxy: what it is too slow for it misses, and says how much.",
    examples: [
      "shoal tap --connect tcp://127.0.0.1:5570",
      "shoal tap --connect tcp://127.0.0.1:5570 --topic weather --decode json --sample 1/100",
    ],
  })
    .addOption(new Option("--connect <EP>", "a capture endpoint (repeatable)").argParser(collect))
    .addOption(
      new Option(
        "--topic <PREFIX>",
        "messages whose first frame begins with PREFIX (repeatable; default: all)",
      ).argParser(collect),
    )
    .addOption(
      new Option("--from <SIDE>", "messages that came from one side").choices(["frontend", "backend"]),
    )
    .option("--sample <1/N>", "every Nth of those", sample)
    .addOption(
      new Option("--decode <AS>", "how the last frame is shown (hex: all frames)")
        .choices(DECODERS)
        .default("text"),
    )
    .option("--json", 'an object a message: {"time","from","size","frames",…}')
    .option("--count <N>", "stop after N messages", wholeNumber(1))
    .option("--timeout <MS>", "longest wait for a message; then fail", wholeNumber(0))
    .option("--plain <USER:PASSWORD>", "PLAIN security")
    .option("--curve-server-key <KEY>", "CURVE security, as a client of this public key (Z85)")
    .option("--curve-certificate <FILE>", "CURVE keys of this end, the secret file")
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "peers that come and go on standard error")
    .action((settings: TapSettings) => tap(settings));
}

function wholeNumber(min: number): (text: string) => number {
  return (value) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= 2_147_483_647) return number;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to 2147483647.`);
  };
}

function sample(value: string): number {
  const [, n] = /^1\/(\d+)$/.exec(value) ?? [];
  if (n !== undefined && Number(n) >= 1 && Number(n) <= 2_147_483_647) return Number(n);
  throw new InvalidArgumentError("Expected 1/N, such as 1/100.");
}

async function tap(given: TapSettings): Promise<void> {
  const { topic, from, sample: oneIn, decode = "text", connect, ...rest } = given;
  if (connect === undefined || connect.length === 0) throw new UsageError("expected --connect EP");
  const settings = checkSettings({ ...rest, connect });
  const log = new Log("tap", settings.quiet ? "quiet" : settings.verbose ? "verbose" : "normal");
  const security = await securityOptions(settings);
  const filter: TapFilter = {
    ...(topic === undefined ? {} : { topics: topic }),
    ...(from === undefined ? {} : { from }),
  };
  const listener = await asUsage(
    () =>
      new EspressoListener<unknown>({
        connect,
        filter,
        sample: oneIn === undefined ? {} : { oneIn },
        decode: codecOf(decode),
        socketOptions: security,
      }),
  );
  const stop = new Stop().listen();
  const output = new Output(LINES, stop.forced, stop.request);
  // It looks at the events only.
  const peers = watchPeers({ events: listener.events } as Socket, settings, log);
  try {
    await Promise.race([listen(listener, { ...settings, decode }, { output, stop, log }), peers.refused]);
    const printed = await output.flush();
    if (output.failure !== undefined) throw output.failure;
    if (!printed) throw new Failure("stopped before every message was printed");
    const { delivered, missed } = listener.stats();
    log.detail(`${delivered} messages, ${missed} missed`);
  } finally {
    await listener.close();
    await output.flush();
    stop.dispose();
  }
}

interface Ends {
  readonly output: Output;
  readonly stop: Stop;
  readonly log: Log;
}

/** @throws Failure when nothing came within --timeout */
async function listen(
  listener: EspressoListener<unknown>,
  settings: Pick<TapSettings, "json" | "count" | "timeout"> & { readonly decode: Decoder },
  { output, stop, log }: Ends,
): Promise<void> {
  const { json: asJson = false, count = Number.POSITIVE_INFINITY, timeout = -1, decode } = settings;
  let printed = 0;
  let missed = 0;
  let told = Number.NEGATIVE_INFINITY;
  while (printed < count && !output.gone && !stop.forced.aborted) {
    const max = Math.min(BATCH, count - printed);
    // Told to stop, it prints what is there, once.
    const last = stop.requested.aborted;
    let records: TapRecord<unknown>[] = [];
    try {
      records = await listener.receiveMany(
        last ? { max, timeout: 0 } : { max, timeout, signal: stop.requested },
      );
    } catch (error) {
      if (last && hasCode(error, "EAGAIN")) break;
      if (hasCode(error, "EAGAIN")) throw new Failure(`no message came within ${timeout} ms`);
      if (!hasCode(error, "ABORT_ERR")) throw error;
    }
    printed += records.length;
    await output.print([records.map((record) => Buffer.from(`${line(record, decode, asJson)}\n`))]);
    for (const record of records) missed += record.missed;
    if (missed > 0 && performance.now() - told >= QUIET) {
      log.warn(`${missed} messages were missed`);
      told = performance.now();
      missed = 0;
    }
    if (last) break;
  }
  if (missed > 0) log.warn(`${missed} messages were missed`);
}

/** Lines that are made already. */
const LINES: Format = {
  whole: false,
  parse: (bytes) => [bytes],
  print: (frames, pieces) => void pieces.push(...frames),
};

function codecOf(decoder: Decoder): Codec<unknown> {
  switch (decoder) {
    case "text":
      return text() as Codec<unknown>;
    case "json":
      return json();
    case "msgpack":
      return msgpack();
    case "hex":
      return { name: "hex", encode: String, decode: (frame) => frame.toString("hex") };
  }
}

function line(record: TapRecord<unknown>, decode: Decoder, asJson: boolean): string {
  return asJson ? jsonOf(record, decode) : textOf(record, decode);
}

/** `undefined` members are left out. */
function jsonOf(record: TapRecord<unknown>, decode: Decoder): string {
  const { from, size, truncated, missed, error } = record;
  const parsed = decode === "json" || decode === "msgpack";
  const value = parsed && tryJson(record.value) !== undefined ? record.value : undefined;
  return toJson({
    time: isoOf(record.time),
    from,
    size,
    frames: record.frames.map((frame) => {
      if (decode === "hex") return frame.toString("hex");
      return isUtf8(frame) ? frame.toString() : { base64: frame.toString("base64") };
    }),
    truncated: truncated || undefined,
    missed: missed || undefined,
    value,
    error: error?.message,
  });
}

function textOf(record: TapRecord<unknown>, decode: Decoder): string {
  const { from = "-", size, frames, truncated, value, error } = record;
  const shown = frames.map((frame) => (decode === "hex" ? frame.toString("hex") : readable(frame)));
  if ((decode === "json" || decode === "msgpack") && !truncated && error === undefined) {
    const json = tryJson(value);
    if (json !== undefined) shown[shown.length - 1] = visible(json);
  }
  return `${isoOf(record.time)} ${from} ${size} ${shown.join(" ")}${truncated ? " …" : ""}`;
}

function isoOf(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "-" : date.toISOString();
}

function readable(frame: Buffer): string {
  return isUtf8(frame) ? visible(frame.toString()) : `0x${frame.toString("hex")}`;
}

/** One line, and no command to the terminal, whatever a message holds. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    return `\\u${(character.codePointAt(0) as number).toString(16).padStart(4, "0")}`;
  });
}

/** `undefined` for a value that nests too deep. */
function tryJson(value: unknown): string | undefined {
  try {
    return toJson(value);
  } catch {
    return undefined;
  }
}

/** MessagePack has what JSON has not: bytes, and whole numbers of 64 bits. */
function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: unknown, key: string, given: unknown) {
    // A Buffer has become an object of its numbers here; it itself is what the holder has.
    const own = (this as Record<string, unknown>)[key];
    if (own instanceof Uint8Array) return { base64: Buffer.from(own).toString("base64") };
    return typeof given === "bigint" ? String(given) : given;
  });
}
