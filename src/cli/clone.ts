/** `shoal clone`: a replicated map's server, and what reads and changes the map from a terminal. */
import type { Command } from "commander";
import { addCloneDumpAndLoad } from "./clone-dump.js";
import { entryLine, jsonOf } from "./clone-entry.js";
import { addCloneServerCommand } from "./clone-server.js";
import {
  addCloneClientOptions,
  argumentBytes,
  type CloneSession,
  type CloneSettings,
  updateFailure,
  withClone,
} from "./clone-session.js";
import { addCommand } from "./command.js";
import { asUsage, Failure, InputError, UsageError } from "./failure.js";
import { bytesFromJson, bytesToJson, formatFor } from "./format.js";
import { Input } from "./input.js";
import type { Given } from "./options.js";
import { wholeNumber } from "./service.js";
import type { Stop } from "./signals.js";

interface SetSettings extends CloneSettings {
  readonly ttl?: number;
}

const LINE_FEED = Buffer.from("\n");

export function addCloneCommand(program: Command): void {
  const clone = addCommand(program, {
    name: "clone",
    summary: "a map that everybody holds: server, get, set, delete, watch, dump, load (12/CHP)",
    description: "A key-value map in one order for all, its servers, and commands that read and change it.",
    examples: [
      "shoal clone server --port 5556 --host 127.0.0.1",
      "shoal clone set /prices/eel 12 --connect 127.0.0.1:5556",
      "shoal clone watch /prices/ --connect 127.0.0.1:5556",
    ],
  });
  addCloneServerCommand(clone);
  const connect = "--connect 127.0.0.1:5556";
  addCloneClientOptions(
    addCommand(clone, {
      name: "get",
      summary: "print a key's value",
      description: "Prints the value as a line. A key that is not there: exit code 1.",
      examples: [`shoal clone get /prices/eel ${connect}`],
    }).argument("<key>", "the key"),
  )
    .option("--raw", "print the bytes, without a line feed")
    .action((key: string, given: Given<CloneSettings>) => get(key, given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "set",
      summary: "set a key for everybody",
      description:
        "Sets a key, and ends when the server has put it in order. Without VALUE, all of standard input is the " +
        "value, less a line feed at its end.",
      examples: [
        `shoal clone set /prices/eel 12 ${connect}`,
        `shoal clone set motd --ttl 60000 ${connect} < motd`,
      ],
    })
      .argument("<key>", "the key")
      .argument("[value]", "the value; without it: standard input"),
  )
    .option("--ttl <MS>", "delete the key after so long, unless it is set again", wholeNumber(1))
    .option("--raw", "the value is standard input as it is, with its last line feed")
    .action((key: string, value: string | undefined, given: Given<SetSettings>) => set(key, value, given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "delete",
      summary: "delete a key for everybody",
      description:
        "Deletes a key, whether it is there or not, and ends when the server has put that in order.",
      examples: [`shoal clone delete /prices/eel ${connect}`],
    }).argument("<key>", "the key"),
  ).action((key: string, given: Given<CloneSettings>) => remove(key, given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "watch",
      summary: "print changes as they come",
      description: "Prints key and value of each change on a line, and of a deletion the key alone.",
      examples: [`shoal clone watch /prices/ ${connect}`, `shoal clone watch --json ${connect}`],
    }).argument("[prefix]", "of keys; without it: all"),
  )
    .option("--count <N>", "stop after N changes", wholeNumber(1))
    .action((prefix: string | undefined, given: Given<CloneSettings>) => watch(prefix ?? "", given));
  addCloneDumpAndLoad(clone);
}

function get(name: string, given: Given<CloneSettings>): Promise<void> {
  return withClone("clone get", given, async ({ map, json, output, synced }) => {
    const key = argumentBytes(name, json);
    await asUsage(() => map.has(key)); // What is no key fails before it waits.
    await synced();
    const value = map.get(key);
    if (value === undefined) throw new Failure(`there is no key ${JSON.stringify(name)}`);
    if (json) await output.print([[entryLine({ key, value }, true)]]);
    else await output.print([given.raw === true ? [value] : [value, LINE_FEED]]);
  });
}

function set(name: string, text: string | undefined, given: Given<SetSettings>): Promise<void> {
  return withClone("clone set", given, async (session) => {
    const { json, map, stop } = session;
    const key = argumentBytes(name, json);
    await asUsage(() => map.has(key));
    const value =
      text === undefined ? await readValue(json, given.raw === true, stop) : argumentBytes(text, json);
    if (value.length === 0) {
      const what = "a value has at least one byte";
      throw text === undefined ? new InputError(`standard input is empty: ${what}`) : new UsageError(what);
    }
    const ttl = given.ttl === undefined ? {} : { ttl: given.ttl };
    await update(session, key, (signal) => map.set(key, value, { ...ttl, signal }));
  });
}

function remove(name: string, given: Given<CloneSettings>): Promise<void> {
  return withClone("clone delete", given, async (session) => {
    const key = argumentBytes(name, session.json);
    await asUsage(() => session.map.has(key));
    await update(session, key, (signal) => session.map.delete(key, { signal }));
  });
}

async function update(
  { json, output, stop, timeout, synced }: CloneSession,
  key: Buffer,
  send: (signal: AbortSignal) => Promise<number>,
): Promise<void> {
  await synced(); // What is sent before, a client sends a second time once it is.
  let sequence: number;
  try {
    sequence = await asUsage(() => send(stop.forced));
  } catch (error) {
    throw updateFailure(error, timeout);
  }
  if (json) await output.print([[Buffer.from(`${JSON.stringify({ key: bytesToJson(key), sequence })}\n`)]]);
}

/** All of standard input; with --json a string or an object with base64. */
async function readValue(json: boolean, raw: boolean, stop: Stop): Promise<Buffer> {
  let bytes: Buffer = Buffer.alloc(0);
  for await (const [whole] of new Input(formatFor({ raw: true }), json, stop.requested).messages())
    bytes = whole as Buffer;
  if (stop.requested.aborted) throw new Failure("stopped before the value was read");
  if (json) {
    const value = bytesFromJson(jsonOf(bytes));
    if (value === undefined) throw new InputError('expected a string of JSON or {"base64":"…"}');
    return value;
  }
  return !raw && bytes.at(-1) === LINE_FEED[0] ? bytes.subarray(0, -1) : bytes;
}

function watch(text: string, given: Given<CloneSettings>): Promise<void> {
  return withClone("clone watch", given, async ({ map, json, output, stop, log, synced }) => {
    const prefix = argumentBytes(text, json);
    const { count = Number.POSITIVE_INFINITY } = given;
    await synced();
    const changes = map.watch(prefix);
    log.info(`watching ${map.size} keys at ${map.stats().server}`);
    map.events.on("watch:overflow", () => log.warnOnce("changes were missed: standard output is too slow"));
    const end = (): void => void map.close(); // What has come can still be read.
    stop.requested.addEventListener("abort", end, { once: true });
    if (stop.requested.aborted) end();
    let printed = 0;
    for await (const { key, value, sequence, resync } of changes) {
      const more = resync ? { sequence, resync } : { sequence };
      await output.print([[entryLine({ key: Buffer.from(key, "latin1"), value, more }, json)]]);
      printed += 1;
      if (printed >= count || output.gone) break;
    }
  });
}
