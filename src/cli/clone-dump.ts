/** `shoal clone dump` and `shoal clone load`: a whole map as lines, and back. */
import { setMaxListeners } from "node:events";
import type { Command } from "commander";
import { entryFormat, entryLine } from "./clone-entry.js";
import {
  addCloneClientOptions,
  argumentBytes,
  type CloneSession,
  type CloneSettings,
  updateFailure,
  withClone,
} from "./clone-session.js";
import { addCommand } from "./command.js";
import { describe, Failure } from "./failure.js";
import { Input } from "./input.js";
import type { Given } from "./options.js";

/** Updates of one input that are under way at once, and their bytes, about. */
const PIPELINE = 1_000;
const PIPELINE_BYTES = 67_108_864;
/** Bytes printed at once. */
const BATCH_BYTES = 65_536;

export function addCloneDumpAndLoad(clone: Command): void {
  const connect = "--connect 127.0.0.1:5556";
  addCloneClientOptions(
    addCommand(clone, {
      name: "dump",
      summary: "print the map",
      description:
        "Prints each key and its value on a line, in the order of the keys' bytes: the map as it was at one moment.",
      examples: [`shoal clone dump ${connect}`, `shoal clone dump /prices/ --json ${connect}`],
    }).argument("[prefix]", "of keys; without it: all"),
  ).action((prefix: string | undefined, given: Given<CloneSettings>) => dump(prefix ?? "", given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "load",
      summary: "set what dump printed",
      description:
        "Sets each line's key to its value, and ends when all are in order. Other keys stay as they are.",
      examples: [`shoal clone load ${connect} < dumped`],
    }),
  ).action((given: Given<CloneSettings>) => load(given));
}

function dump(text: string, given: Given<CloneSettings>): Promise<void> {
  return withClone("clone dump", given, async ({ map, json, output, stop, synced }) => {
    const prefix = argumentBytes(text, json);
    await synced();
    // It changes no more, so that what is printed is the map at one sequence, and can still be read.
    await map.close();
    const keys = Array.from(map.entries(prefix), ([key]) => key).sort(); // Latin-1: in the order of the bytes.
    let lines: Buffer[] = [];
    let bytes = 0;
    for (const name of keys) {
      const key = Buffer.from(name, "latin1");
      const line = entryLine({ key, value: map.get(key) }, json);
      lines.push(line);
      bytes += line.length;
      if (bytes < BATCH_BYTES) continue;
      await output.print([lines]);
      if (output.gone) return;
      if (stop.requested.aborted) throw new Failure("stopped before all keys were printed");
      lines = [];
      bytes = 0;
    }
    await output.print([lines]);
  });
}

/** An update that is under way. */
interface Sent {
  readonly line: number;
  readonly bytes: number;
  readonly settled: Promise<number>;
}

function load(given: Given<CloneSettings>): Promise<void> {
  return withClone("clone load", given, async (session) => {
    const { json, stop } = session;
    await session.synced();
    setMaxListeners(0, stop.forced); // Each update under way has one.
    const input = new Input(entryFormat(json), json, stop.requested);
    const sent: Sent[] = [];
    let bytes = 0;
    const settle = async (): Promise<void> => {
      const first = sent.shift() as Sent;
      bytes -= first.bytes;
      await settled(first, session.timeout);
    };
    let fault: unknown;
    try {
      for await (const frames of input.messages()) {
        const next = send(frames, input.taken, session);
        sent.push(next);
        bytes += next.bytes;
        while (sent.length >= PIPELINE || bytes > PIPELINE_BYTES) await settle();
      }
    } catch (error) {
      fault = error;
    }
    if (fault !== undefined) {
      // What stands before a malformed line is set all the same.
      await Promise.allSettled(sent.map((each) => each.settled));
      throw fault;
    }
    while (sent.length > 0) await settle();
    if (stop.requested.aborted) throw new Failure("stopped before the end of the input");
  });
}

function send(frames: readonly Buffer[], line: number, { map, stop }: CloneSession): Sent {
  const [key, value, ttl] = frames as [Buffer, Buffer, Buffer | undefined];
  const settled = map.set(key, value, {
    signal: stop.forced,
    ...(ttl === undefined ? {} : { ttl: Number(ttl) }),
  });
  settled.catch(() => undefined); // Whoever waits for it hears of it.
  return { line, bytes: key.length + value.length, settled };
}

async function settled({ line, settled }: Sent, timeout: number): Promise<void> {
  try {
    await settled;
  } catch (error) {
    throw new Failure(`line ${line}: ${describe(updateFailure(error, timeout))}`);
  }
}
