/** shoal clone server: the server of a map, alone or in a pair, with or without a store. */
import type { Command } from "commander";
import { defined } from "../core/arguments.js";
import type { BinaryStarFenceReason, BinaryStarRole } from "../patterns/binary-star/index.js";
import { CloneLmdbStore, type ClonePairOptions, CloneServer } from "../patterns/clone/index.js";
import { endpointOf } from "./clone-session.js";
import { asUsage, describe, UsageError } from "./failure.js";
import { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, serve } from "./operation.js";
import { addCommand, checkEndpoints, wholeNumber } from "./options.js";
import { handOver, roleOption } from "./pair.js";
import { addSecurityOptions, clientOf, type SecuritySettings, securityOptions } from "./security.js";

/** A server binds up to four more ports. */
const MAX_PORT = 65_531;

/** Heartbeat interval in ms (12/CHP). */
const HEARTBEAT = 1_000;

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

export function addCloneServerCommand(clone: Command): void {
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
    .option("--port <P>", "the first port", wholeNumber(1))
    .option("--host <ADDR>", "the address to listen at (default: all addresses)")
    .option("--bind <EP>", "an endpoint instead of both, such as ipc://NAME or tcp://ADDR:*")
    .addOption(roleOption())
    .option("--peer <HOST:P>", "address and first port of the other server")
    .option("--store <DIR>", "keep the map in DIR (needs the package lmdb)")
    .option("--heartbeat <MS>", "interval of heartbeats (default 1000)", wholeNumber(1))
    .option("--json", "print the counters as JSON at the end");
  addOperationOptions(addSecurityOptions(command, "bind")).action(runServer);
}

async function runServer(settings: ServerSettings): Promise<void> {
  const { heartbeat } = settings;
  const endpoint = endpointFor(settings);
  const chosen = pairOf(settings);
  const socketOptions = await securityOptions(settings, { bind: checkEndpoints([endpoint], "--bind EP") });
  const log = new Log("clone server");
  const pair = chosen && { ...chosen, ...credentialsOf(settings) };
  const options = {
    socketOptions,
    ...(pair === undefined ? {} : { pair }),
    ...defined({ heartbeatInterval: heartbeat }),
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
      const timeout = Math.min(linger, 2 * (heartbeat ?? HEARTBEAT));
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
  if (port > MAX_PORT) throw new UsageError(`--port: expected a number from 1 to ${MAX_PORT}`);
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

/** Credentials of the two servers towards each other. */
function credentialsOf(settings: ServerSettings): Pick<ClonePairOptions, "socketOptions"> {
  return settings.plain === undefined ? {} : { socketOptions: clientOf({}, settings) };
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
