/** shoal tap: the messages that pass a proxy, one per line. */

import { isUtf8 } from "node:buffer";
import { type Command, InvalidArgumentError, Option } from "commander";
import { TimeoutError } from "../core/errors.js";
import { timeLeft } from "../core/waiter.js";
import type { ReceiveManyOptions, Socket } from "../index.js";
import { EspressoListener, type EspressoRecord } from "../patterns/espresso/listener.js";
import { watchPeers, withEndpoints } from "./endpoints.js";
import { asUsage, UsageError } from "./failure.js";
import { bytesToJson } from "./format.js";
import { Log } from "./log.js";
import {
  addClusterOptions,
  addCommand,
  addSharedOptions,
  type ClusterSettings,
  checkSettings,
  type Given,
  repeatable,
} from "./options.js";
import { LINES, printing } from "./output.js";
import { addSecurityOptions, clientSecurityOptions } from "./security.js";
import { receiveAll } from "./session.js";
import { printable } from "./terminal.js";

interface TapSettings extends Given, ClusterSettings {
  readonly topic?: readonly string[];
  readonly from?: "frontend" | "backend";
  readonly sample?: number;
}

export function addTapCommand(program: Command): void {
  const command = addCommand(program, {
    name: "tap",
    summary: "print the messages that pass a proxy",
    description:
      "Connects to a proxy's capture endpoint and prints each message that passes, one per line: time, side it came from, " +
      "bytes, frames. It never slows the proxy down: when it is too slow it misses messages.",
    examples: [
      "shoal tap --connect tcp://127.0.0.1:5570",
      "shoal tap --connect tcp://127.0.0.1:5570 --topic weather --json --sample 1/100",
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
    .option("--json", 'JSON lines: {"time","from","size","frames",…}');
  addSharedOptions(command, ["count", "timeout"], { timeout: "fail when no message comes within MS" });
  addSecurityOptions(addClusterOptions(command), "connect").action((settings: TapSettings) => tap(settings));
}

function sample(value: string): number {
  const n = Number(/^1\/(\d+)$/.exec(value)?.[1]);
  if (Number.isSafeInteger(n) && n > 0) return n;
  throw new InvalidArgumentError("Expected 1/N, such as 1/100.");
}

async function tap(given: TapSettings): Promise<void> {
  const { topic, from, sample: oneIn = 1, connect, ...rest } = given;
  if (connect === undefined || connect.length === 0) throw new UsageError("expected --connect EP");
  const settings = checkSettings({ ...rest, connect });
  const log = new Log("tap");
  const security = await clientSecurityOptions(settings);
  let wanted = 0;
  let printed = 0;
  const isPrinted = (record: EspressoRecord): boolean => {
    if (from !== undefined && record.from !== from) return false;
    if (wanted++ % oneIn !== 0) return false;
    printed += 1;
    return true;
  };
  await withEndpoints("tap", connect, given, log, async (captures) => {
    const listener = await asUsage(
      () => new EspressoListener(captures, { topics: topic, socketOptions: security }),
    );
    // Only the events are used.
    const peers = watchPeers({ events: listener.events } as unknown as Socket, settings, log);
    const asJson = settings.json === true;
    const socket = {
      /** Records that are not printed do not count. */
      async receiveMany(options: ReceiveManyOptions): Promise<Buffer[][]> {
        const begun = performance.now();
        for (;;) {
          const timeout = timeLeft(options.timeout ?? -1, begun);
          const records = (await listener.receiveMany({ ...options, timeout })).filter(isPrinted);
          if (records.length > 0)
            return records.map((record) => [Buffer.from(`${asJson ? jsonOf(record) : textOf(record)}\n`)]);
          if (timeout === 0) throw new TimeoutError("EAGAIN", "No message came in time");
        }
      },
    };
    try {
      await printing(LINES, async (output, stop) => {
        const until = stop.requested;
        const receiving = receiveAll({ socket, settings, output, stop }, { until, max: settings.count });
        await Promise.race([receiving, peers.refused]);
      });
      log.debug(`${printed} message${printed === 1 ? "" : "s"}`);
    } finally {
      await listener.close();
    }
  });
}

function jsonOf({ time, from, size, frames, truncated }: EspressoRecord): string {
  return JSON.stringify({
    time: isoOf(time),
    from,
    size,
    frames: frames.map(bytesToJson),
    truncated: truncated || undefined,
  });
}

function textOf({ time, from, size, frames, truncated }: EspressoRecord): string {
  return `${isoOf(time)} ${from ?? "-"} ${size} ${frames.map(readable).join(" ")}${truncated ? " …" : ""}`;
}

function isoOf(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "-" : date.toISOString();
}

function readable(frame: Buffer): string {
  return isUtf8(frame) ? printable(frame.toString()) : `0x${frame.toString("hex")}`;
}
