/** shoal tap: the messages that pass a proxy, one per line. */

import { isUtf8 } from "node:buffer";
import { type Command, InvalidArgumentError, Option } from "commander";
import { isBytes } from "../core/bytes.js";
import { type Codec, json, msgpack, type ReceiveManyOptions, type Socket, text } from "../index.js";
import type { EspressoFilter } from "../patterns/espresso/filter.js";
import { EspressoListener, type EspressoRecord } from "../patterns/espresso/listener.js";
import { addClusterOptions, type ClusterSettings } from "./cluster-options.js";
import { watchPeers, withEndpoints } from "./endpoints.js";
import { asUsage, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, openMetrics } from "./operation.js";
import { addCommand, checkSettings, type Given } from "./options.js";
import { LINES, printing } from "./output.js";
import { addSecurityOptions, clientSecurityOptions } from "./security.js";
import { printable } from "./terminal.js";
import { receiveAll } from "./transfer.js";
import { defined, repeatable, wholeNumber } from "./values.js";

/** Shortest interval of warnings, ms. */
const WARNING_INTERVAL = 1_000;

const DECODERS = ["text", "json", "msgpack", "hex"] as const;
type Decoder = (typeof DECODERS)[number];

interface TapSettings extends Given, OperationSettings, ClusterSettings {
  readonly topic?: readonly string[];
  readonly from?: "frontend" | "backend";
  readonly sample?: number;
  readonly decode?: Decoder;
}

export function addTapCommand(program: Command): void {
  const command = addCommand(program, {
    name: "tap",
    summary: "print the messages that pass a proxy",
    description:
      "Connects to a proxy's capture endpoint and prints each message that passes, one per line: time, side it came from, " +
      "bytes, frames. It never slows the proxy down: when it is too slow it misses messages, and logs how many.",
    examples: [
      "shoal tap --connect tcp://127.0.0.1:5570",
      "shoal tap --connect tcp://127.0.0.1:5570 --topic weather --decode json --sample 1/100",
    ],
  })
    .addOption(repeatable("--connect <EP>", "a capture endpoint, or cluster:NAME (repeatable)"))
    .addOption(
      repeatable("--topic <PREFIX>", "only messages whose first frame begins with PREFIX (repeatable)"),
    )
    .addOption(
      new Option("--from <SIDE>", "only messages that came from this side").choices(["frontend", "backend"]),
    )
    .option("--sample <1/N>", "only every Nth of these messages", sample)
    .addOption(
      new Option("--decode <AS>", "how to print the last frame (hex: all frames)")
        .choices(DECODERS)
        .default("text"),
    )
    .option("--json", 'JSON lines: {"time","from","size","frames",…}')
    .option("--count <N>", "stop after N messages", wholeNumber(1))
    .option("--timeout <MS>", "fail when no message comes within MS", wholeNumber(0));
  addSecurityOptions(addOperationOptions(addClusterOptions(command)), "connect").action(
    (settings: TapSettings) => tap(settings),
  );
}

function sample(value: string): number {
  const [, n] = /^1\/(\d+)$/.exec(value) ?? [];
  if (n !== undefined && Number(n) >= 1 && Number(n) <= 2_147_483_647) return Number(n);
  throw new InvalidArgumentError("Expected 1/N, such as 1/100.");
}

async function tap(given: TapSettings): Promise<void> {
  const { topic, from, sample: oneIn, decode = "text", connect, metrics: _, ...rest } = given;
  if (connect === undefined || connect.length === 0) throw new UsageError("expected --connect EP");
  const settings = checkSettings({ ...rest, connect });
  const log = new Log("tap");
  const security = await clientSecurityOptions(settings);
  const filter: EspressoFilter = defined({ topics: topic, from });
  await withEndpoints("tap", connect, given, log, async (captures) => {
    const listener = await asUsage(
      () =>
        new EspressoListener<unknown>(captures, {
          filter,
          sample: oneIn === undefined ? {} : { oneIn },
          decode: codecOf(decode),
          socketOptions: security,
        }),
    );
    const pages = await openMetrics(
      given,
      log,
      () => ({ tap: listener }),
      () => undefined,
    ).catch(async (error: unknown) => {
      await listener.close();
      throw error;
    });
    // Only the events are used.
    const peers = watchPeers({ events: listener.events } as unknown as Socket, settings, log);
    const asJson = settings.json === true;
    const missed = new Missed(log);
    const socket = {
      receiveMany: async (options: ReceiveManyOptions) =>
        (await listener.receiveMany(options)).map((record) => {
          missed.add(record.missed);
          return [Buffer.from(`${asJson ? jsonOf(record, decode) : textOf(record, decode)}\n`)];
        }),
    };
    try {
      await printing(LINES, async (output, stop) => {
        const until = stop.requested;
        const receiving = receiveAll({ socket, settings, output, stop }, { until, max: settings.count });
        await Promise.race([receiving, peers.refused]);
      });
      const { delivered } = listener.stats();
      log.debug(`${delivered} message${delivered === 1 ? "" : "s"}, ${listener.stats().missed} missed`);
    } finally {
      missed.end();
      await listener.close();
      await pages?.close();
    }
  });
}

class Missed {
  readonly #log: Log;
  #messages = 0;
  #warned = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
  }

  add(messages: number): void {
    this.#messages += messages;
    if (performance.now() - this.#warned >= WARNING_INTERVAL) this.end();
  }

  end(): void {
    if (this.#messages === 0) return;
    this.#log.warn(`missed ${this.#messages} messages`);
    this.#warned = performance.now();
    this.#messages = 0;
  }
}

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

function jsonOf(record: EspressoRecord<unknown>, decode: Decoder): string {
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

function textOf(record: EspressoRecord<unknown>, decode: Decoder): string {
  const { from = "-", size, frames, truncated, value, error } = record;
  const shown = frames.map((frame) => (decode === "hex" ? frame.toString("hex") : readable(frame)));
  if ((decode === "json" || decode === "msgpack") && !truncated && error === undefined) {
    const json = tryJson(value);
    if (json !== undefined) shown[shown.length - 1] = printable(json);
  }
  return `${isoOf(record.time)} ${from} ${size} ${shown.join(" ")}${truncated ? " …" : ""}`;
}

function isoOf(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "-" : date.toISOString();
}

function readable(frame: Buffer): string {
  return isUtf8(frame) ? printable(frame.toString()) : `0x${frame.toString("hex")}`;
}

/** `undefined` for a value nested too deeply. */
function tryJson(value: unknown): string | undefined {
  try {
    return toJson(value);
  } catch {
    return undefined; // The stack is too small for it: it is printed in another form.
  }
}

/** MessagePack has bytes and 64-bit integers. */
function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: unknown, key: string, given: unknown) {
    // `given` is the Buffer's `toJSON()`; its holder has the Buffer.
    const own = (this as Record<string, unknown>)[key];
    if (isBytes(own)) return { base64: Buffer.from(own).toString("base64") };
    return typeof given === "bigint" ? String(given) : given;
  });
}
