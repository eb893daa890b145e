/** shoal clone server, get, set, delete, watch, dump, load. */
import { setMaxListeners } from "node:events";
import type { Command } from "commander";
import { defined, quoted } from "../core/arguments.js";
import type { BinaryStarFenceReason, BinaryStarRole } from "../patterns/binary-star/index.js";
import { SET_OPTIONS } from "../patterns/clone/client-options.js";
import { CloneLmdbStore, type ClonePairOptions, CloneServer } from "../patterns/clone/index.js";
import { OPTIONS as SERVER } from "../patterns/clone/server-options.js";
import {
  addCloneClientOptions,
  argumentBytes,
  type CloneSession,
  type CloneSettings,
  endpointOf,
  entryFormat,
  entryLine,
  updateFailure,
  withClone,
} from "./clone-session.js";
import { asUsage, describe, Failure, InputError, UsageError } from "./failure.js";
import { bytesFromJson, bytesToJson, formatFor, parseJson } from "./format.js";
import { Input } from "./input.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import { addCommand, addGroup, checkEndpoints, type Given, numberFlag } from "./options.js";
import { handOver, roleOption } from "./pair.js";
import { addSecurityOptions, clientOf, type SecuritySettings, securityOptions } from "./security.js";
import type { Stop } from "./terminal.js";

interface ConditionSettings extends CloneSettings {
  readonly revision?: number;
}

interface SetSettings extends ConditionSettings {
  readonly ttl?: number;
}

interface GetSettings extends CloneSettings {
  readonly revision?: boolean;
}

const { revision, ttl } = SET_OPTIONS;
const LINE_FEED = Buffer.from("\n");
/** Most updates of one input in flight, and most bytes of them. */
const PIPELINE = 1_000;
const PIPELINE_BYTES = 67_108_864;
const BATCH_BYTES = 65_536;

export function addCloneCommand(program: Command): void {
  const clone = addGroup(program, {
    name: "clone",
    summary: "a replicated map: server, get, set, delete, watch, dump, load (12/CHP)",
    description:
      "A key-value map that every client holds a copy of: its servers, and commands to read and change it.",
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
      description: "Prints the value as a line. Exit code 1 when the key does not exist.",
      examples: [`shoal clone get /prices/eel ${connect}`],
    }).argument("<key>", "the key"),
  )
    .option("--revision", "print the key's revision in place of its value; 0 when the key does not exist")
    .option("--raw", "print the bytes, without a line feed")
    .action((key: string, given: Given<GetSettings>) => get(key, given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "set",
      summary: "set a key",
      description:
        "Sets a key for all clients, and ends when the server has acknowledged it. Without VALUE, all of standard input is " +
        "the value, except a line feed at its end.",
      examples: [
        `shoal clone set /prices/eel 12 ${connect}`,
        `shoal clone set motd --ttl 60000 ${connect} < motd`,
        `shoal clone set /lock/job worker-1 --revision 0 ${connect}`,
      ],
    })
      .argument("<key>", "the key")
      .argument("[value]", "the value (default: standard input)"),
  )
    .addOption(numberFlag("--ttl <MS>", "delete the key after MS, unless it is set again", { max: ttl.max }))
    .addOption(
      numberFlag("--revision <N>", "only if the key has revision N; 0: only if it does not exist", revision),
    )
    .option("--raw", "the value is standard input with its last line feed")
    .action((key: string, value: string | undefined, given: Given<SetSettings>) => set(key, value, given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "delete",
      summary: "delete a key",
      description:
        "Deletes a key for all clients, whether it exists or not, and ends when the server has acknowledged it.",
      examples: [`shoal clone delete /prices/eel ${connect}`],
    }).argument("<key>", "the key"),
  )
    .addOption(numberFlag("--revision <N>", "only if the key has revision N", revision))
    .action((key: string, given: Given<ConditionSettings>) => remove(key, given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "watch",
      summary: "print changes as they happen",
      description: "Prints key and value of each change, one per line; of a deletion only the key.",
      examples: [`shoal clone watch /prices/ ${connect}`, `shoal clone watch --json ${connect}`],
    }).argument("[prefix]", "of the keys (default: all keys)"),
  )
    .addOption(numberFlag("--count <N>", "stop after N changes"))
    .action((prefix: string | undefined, given: Given<CloneSettings>) => watch(prefix ?? "", given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "dump",
      summary: "print the map",
      description:
        "Prints key and value, one pair per line, sorted by the bytes of the keys: the map at one moment.",
      examples: [`shoal clone dump ${connect}`, `shoal clone dump /prices/ --json ${connect}`],
    }).argument("[prefix]", "of the keys (default: all keys)"),
  ).action((prefix: string | undefined, given: Given<CloneSettings>) => dump(prefix ?? "", given));
  addCloneClientOptions(
    addCommand(clone, {
      name: "load",
      summary: "load a dump",
      description:
        "Sets the key of each line to its value, and ends when the server has acknowledged all. Other keys stay.",
      examples: [`shoal clone load ${connect} < dumped`],
    }),
  ).action((given: Given<CloneSettings>) => load(given));
}

function get(name: string, given: Given<GetSettings>): Promise<void> {
  return withClone("clone get", given, async ({ map, json, output, synced }) => {
    const key = argumentBytes(name, json);
    await asUsage(() => map.has(key)); // An invalid key fails before the wait.
    await synced();
    if (given.revision === true) {
      const revision = map.entry(key)?.revision ?? 0;
      await output.print([
        [Buffer.from(json ? `${JSON.stringify({ key: bytesToJson(key), revision })}\n` : `${revision}\n`)],
      ]);
      return;
    }
    const value = map.get(key);
    if (value === undefined) throw new Failure(`no such key: ${quoted(name)}`);
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
    const { ttl, revision } = given;
    await update(session, key, (signal) => map.set(key, value, { ...defined({ ttl, revision }), signal }));
  });
}

function remove(name: string, given: Given<ConditionSettings>): Promise<void> {
  return withClone("clone delete", given, async (session) => {
    const key = argumentBytes(name, session.json);
    await asUsage(() => session.map.has(key));
    const { revision } = given;
    await update(session, key, (signal) => session.map.delete(key, { ...defined({ revision }), signal }));
  });
}

async function update(
  { json, output, stop, timeout, synced }: CloneSession,
  key: Buffer,
  send: (signal: AbortSignal) => Promise<number>,
): Promise<void> {
  await synced(); // A client sends earlier updates a second time.
  let sequence: number;
  try {
    sequence = await asUsage(() => send(stop.forced));
  } catch (error) {
    throw updateFailure(error, timeout);
  }
  if (json) await output.print([[Buffer.from(`${JSON.stringify({ key: bytesToJson(key), sequence })}\n`)]]);
}

/** Reads all of standard input; with --json a string, or an object with base64. */
async function readValue(json: boolean, raw: boolean, stop: Stop): Promise<Buffer> {
  let bytes: Buffer = Buffer.alloc(0);
  for await (const [whole] of new Input(formatFor({ raw: true }), json, stop.requested).messages())
    bytes = whole as Buffer;
  if (stop.requested.aborted) throw new Failure("stopped before the value was read");
  if (json) {
    const value = bytesFromJson(parseJson(bytes));
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
    map.events.on("change:dropped", () => log.warnOnce("missed changes: standard output is too slow"));
    const end = (): void => void map.close(); // Changes received so far can still be read.
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

function dump(text: string, given: Given<CloneSettings>): Promise<void> {
  return withClone("clone dump", given, async ({ map, json, output, stop, synced }) => {
    const prefix = argumentBytes(text, json);
    await synced();
    // The closed map keeps its state and stays readable.
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

function load(given: Given<CloneSettings>): Promise<void> {
  return withClone("clone load", given, async ({ json, map, stop, synced, timeout }) => {
    await synced();
    setMaxListeners(0, stop.forced); // Each update in flight has a listener.
    // A failed update ends an input that may be idle for hours.
    const failed = new AbortController();
    const input = new Input(entryFormat(json), json, AbortSignal.any([stop.requested, failed.signal]));
    const updates: Promise<void>[] = [];
    let bytes = 0;
    const send = async (line: number, [key, value, ttl]: readonly Buffer[]): Promise<void> => {
      const options = { signal: stop.forced, ...(ttl === undefined ? {} : { ttl: Number(ttl) }) };
      const length = (key as Buffer).length + (value as Buffer).length;
      bytes += length;
      try {
        await map.set(key as Buffer, value as Buffer, options);
      } catch (error) {
        throw new Failure(`line ${line}: ${describe(updateFailure(error, timeout))}`);
      } finally {
        bytes -= length;
      }
    };
    try {
      for await (const frames of input.messages()) {
        const update = send(input.taken, frames);
        update.catch(() => failed.abort()); // It is awaited later, and thrown in its turn.
        updates.push(update);
        while (updates.length >= PIPELINE || bytes > PIPELINE_BYTES) await updates.shift();
      }
    } catch (error) {
      // Lines before a malformed one still take effect.
      await Promise.allSettled(updates);
      throw error;
    }
    for (const update of updates) await update;
    if (stop.requested.aborted) throw new Failure("stopped before the end of the input");
  });
}

// --- Server ----------------------------------------------------------------------------------------------------------

/** A server binds up to four more ports. */
const MAX_PORT = 65_531;

interface ServerSettings extends OperationSettings, SecuritySettings {
  readonly port?: number;
  readonly host?: string;
  readonly bind?: string;
  readonly binaryStar?: BinaryStarRole;
  readonly peer?: string;
  readonly store?: string;
  readonly heartbeat?: number;
  readonly json?: boolean;
}

function addCloneServerCommand(clone: Command): void {
  const command = addCommand(clone, {
    name: "server",
    summary: "hold a map, and order its updates",
    description:
      "Binds port P and the two after it; a server of a pair binds P to P + 4. Logs the pair's states. With --store, the " +
      "map survives every process.",
    examples: [
      "shoal clone server --port 5556 --host 127.0.0.1",
      "shoal clone server --port 5556 --store map",
      "shoal clone server --port 5556 --binary-star primary --peer backup.example:5556",
    ],
  })
    .addOption(numberFlag("--port <P>", "the first port", { max: MAX_PORT }))
    .option("--host <ADDR>", "the address to listen at (default: all addresses)")
    .option("--bind <EP>", "an endpoint instead of both, such as ipc://NAME or tcp://ADDR:*")
    .addOption(roleOption())
    .option("--peer <HOST:P>", "address and first port of the other server")
    .option("--store <DIR>", "keep the map in DIR (needs the package lmdb)")
    .addOption(numberFlag("--heartbeat <MS>", "interval of heartbeats", SERVER.heartbeatInterval))
    .option("--json", "print the counters as JSON at the end");
  addOperationOptions(addSecurityOptions(command, "bind")).action(runServer);
}

async function runServer(settings: ServerSettings): Promise<void> {
  const { heartbeat } = settings;
  const endpoint = endpointFor(settings);
  const chosen = pairOf(settings);
  const socketOptions = await securityOptions(settings, { bind: checkEndpoints([endpoint], "--bind EP") });
  const log = new Log("clone server");
  // Credentials of the two servers towards each other.
  const credentials = settings.plain === undefined ? {} : { socketOptions: clientOf({}, settings) };
  const options = {
    socketOptions,
    ...defined({ pair: chosen && { ...chosen, ...credentials }, heartbeatInterval: heartbeat }),
  };
  const store =
    settings.store === undefined
      ? undefined
      : await asUsage(() => CloneLmdbStore.open(settings.store as string));
  await serve({
    settings,
    log,
    create: () => new CloneServer({ ...options, ...defined({ store }) }),
    report: (server) => report(server, log),
    sources: (server) => defined({ server, pair: server.star }),
    async open(server) {
      const listening = await asUsage(() => server.bind(endpoint));
      if (store !== undefined) log.info(`read ${server.stats().entries} keys from ${settings.store}`);
      log.info(`listening at ${listening}`);
    },
    async close(server, linger) {
      const timeout = Math.min(linger, 2 * (heartbeat ?? SERVER.heartbeatInterval.default));
      // A peer that misses updates must not serve while this server could return with them.
      if (server.star !== undefined) await handOver(server.star, timeout, () => server.stats().replicated);
      await server.close();
    },
  });
}

function endpointFor({ port, host, bind }: ServerSettings): string {
  if (bind !== undefined) {
    if (port !== undefined || host !== undefined)
      throw new UsageError("--bind and --port or --host exclude each other");
    return bind;
  }
  if (port === undefined) throw new UsageError("expected --port P");
  return `tcp://${host ?? "*"}:${port}`;
}

function pairOf({
  binaryStar: role,
  peer,
}: ServerSettings): (Pick<ClonePairOptions, "role"> & { readonly peer: string }) | undefined {
  if (role === undefined) {
    if (peer === undefined) return undefined;
    throw new UsageError("--peer needs --binary-star primary or backup");
  }
  if (peer === undefined) throw new UsageError("--binary-star needs --peer HOST:P, the other server");
  return { role, peer: endpointOf(peer) };
}

const FENCED: Readonly<Record<BinaryStarFenceReason, string>> = {
  "dual-active": "both servers were serving: neither answers until both are restarted",
  "dual-passive": "both servers stand by: neither answers until one is restarted",
  foreign:
    "the two servers have different maps: this one does not serve until it is restarted with an empty store",
};

function report(server: CloneServer, log: Log): void {
  server.events
    .on("state:changed", (event) => {
      if (event.state === "fenced") log.error(FENCED[event.reason]);
      else if (event.state === "active") log.info("serving");
      else log.info(event.state === "passive" ? "standing by" : "waiting for its peer");
    })
    .on("peer:unmet", () =>
      log.warn(
        "does not serve before it has reached its peer, which may have a newer map; if the peer is lost, restart without --binary-star",
      ),
    )
    .on("map:diverged", () =>
      log.error(
        "the peer's newer map replaces this one: updates that this server acknowledged alone are lost",
      ),
    )
    .on("peer:incompatible", () =>
      log.warnOnce("the peer has an incompatible version: neither replicates the other"),
    )
    .on("peer:misconfigured", () =>
      log.warnOnce("the peer has the same role: give one of them the other role"),
    )
    .on("replica:joined", ({ sequence }) => log.info(`the backup has all updates up to ${sequence}`))
    .on("replica:left", ({ reason }) => log.warn(`continuing without the other server: ${reason}`))
    .on("handshake:failed", ({ error }) =>
      log.warnOnce(`handshake with the other server: ${describe(error)}`),
    )
    .on("map:replicated", ({ entries }) => log.info(`replicated ${entries} keys of the serving server`))
    .on("snapshot:sent", ({ entries, duration }) =>
      log.debug(`a client received the map: ${entries} keys in ${Math.round(duration)} ms`),
    )
    .on("snapshot:lost", ({ reason }) => log.debug(`a client did not receive the map: ${reason}`))
    .on("update:dropped", ({ copies }) => log.debug(`slow clients missed ${copies} updates`))
    .on("update:refused", ({ reason }) => log.warnOnce(`refused an update: ${reason}`))
    .on("message:invalid", ({ reason }) => log.warnOnce(`a peer violated the protocol: ${reason}`))
    .on("store:failed", ({ error }) => log.warnOnce(`the store: ${describe(error)}`))
    .on("store:damaged", ({ entries }) =>
      log.warn(`${entries} entries of the store are damaged and were skipped`),
    );
}
