/** `shoal clone server`: a map's server, alone or one of a pair, with a store or without. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import type { FenceReason } from "../patterns/binary-star/index.js";
import { CloneLmdbStore, type ClonePairOptions, CloneServer } from "../patterns/clone/index.js";
import { endpointOf } from "./clone-session.js";
import { addCommand } from "./command.js";
import { type Service, serve } from "./drain.js";
import { asUsage, describe, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { addOperationOptions, type OperationSettings, openLog, operate } from "./operation.js";
import { checkSettings, type Given, publicKey, type Settings } from "./options.js";
import { securityOptions } from "./security.js";
import { logFor, wholeNumber } from "./service.js";
import { Stop } from "./signals.js";

/** The last with four more after it. */
const MAX_PORT = 65_531;

/** ms between two heartbeats, as 12/CHP has it. */
const HEARTBEAT = 1_000;
/** ms between two looks at the other one's state. */
const LOOK = 20;

interface ServerSettings extends OperationSettings {
  readonly port?: number;
  readonly host?: string;
  readonly bind?: string;
  readonly primary?: boolean;
  readonly backup?: boolean;
  readonly peer?: string;
  readonly serveAlone?: boolean;
  readonly store?: string;
  readonly heartbeat?: number;
  readonly maxBytes?: number;
  readonly plain?: string;
  readonly curveCertificate?: string;
  readonly curvePeerKey?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

export function addCloneServerCommand(clone: Command): void {
  const command = addCommand(clone, {
    name: "server",
    summary: "keep a map, and put its updates in order",
    description:
      "Binds port P and the two after it; one of a pair binds P to P + 4. Reports the pair's states on standard " +
      "error. With --store, the map outlives every process.",
    examples: [
      "shoal clone server --port 5556 --host 127.0.0.1",
      "shoal clone server --port 5556 --store map",
      "shoal clone server --port 5556 --primary --peer backup.example:5556",
    ],
  })
    .option("--port <P>", "the first port", wholeNumber(1))
    .option("--host <ADDR>", "the address to listen at (default: all)")
    .option("--bind <EP>", "in place of both: an endpoint, as ipc://NAME or tcp://ADDR:*")
    .addOption(new Option("--primary", "one of a pair: serves when both start").conflicts("backup"))
    .option("--backup", "one of a pair: stands by when both start")
    .option("--peer <HOST:P>", "the other one's address and first port")
    .option("--serve-alone", "serve though the other one was not met and may have a newer map")
    .option("--store <DIR>", "keep the map in DIR (needs the package lmdb)")
    .option("--heartbeat <MS>", "between two heartbeats (default 1000)", wholeNumber(1))
    .option("--max-bytes <N>", "bytes of keys and values at most (default 4294967296)", wholeNumber(1))
    .option("--json", "the accounts as an object on standard output at the end")
    .option("--plain <USER:PASSWORD>", "PLAIN security")
    .option("--curve-certificate <FILE>", "CURVE keys of the server, the secret file")
    .option(
      "--curve-peer-key <KEY>",
      "the other one's public key (default: both have one certificate)",
      publicKey,
    )
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "snapshots and refusals on standard error");
  addOperationOptions(command).action((settings: ServerSettings) => runServer(settings));
}

async function runServer(settings: ServerSettings): Promise<void> {
  await openLog(settings);
  const { heartbeat, maxBytes, plain, curveCertificate } = settings;
  const endpoint = endpointFor(settings);
  const pair = pairOf(settings);
  const named = {
    ...(plain === undefined ? {} : { plain }),
    ...(curveCertificate === undefined ? {} : { curveCertificate }),
  };
  const shared = checkSettings({ bind: [endpoint], ...named } as Given);
  const socketOptions = await securityOptions(shared);
  const log = logFor("clone server", settings);
  const options = {
    endpoint,
    socketOptions,
    ...(pair === undefined ? {} : { pair: { ...pair, ...credentialsOf(settings, shared) } }),
    ...(heartbeat === undefined ? {} : { heartbeatInterval: heartbeat }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  };
  const store =
    settings.store === undefined
      ? undefined
      : await asUsage(() => CloneLmdbStore.open(settings.store as string));
  const server = await asUsage(
    () => new CloneServer({ ...options, ...(store === undefined ? {} : { store }) }),
  );
  report(server, log);
  const service = new ServerService(server, 2 * (heartbeat ?? HEARTBEAT));
  const stop = new Stop().listen();
  const sources = () => [{ name: "server", kind: "clone" as const, stats: () => server.stats() }];
  await operate({ settings, log, stop, sources }, (ready) =>
    serve(service, stop, async () => {
      await asUsage(() => server.start());
      if (store !== undefined) log.info(`keys read from ${settings.store}: ${server.stats().entries}`);
      log.info(`listening at ${server.endpoint}`);
      ready();
    }),
  );
  if (settings.json === true) process.stdout.write(`${JSON.stringify(server.stats())}\n`);
}

/** @throws UsageError */
function endpointFor({ port, host, bind }: ServerSettings): string {
  if (bind !== undefined) {
    if (port !== undefined || host !== undefined)
      throw new UsageError("--bind takes the place of --port and --host");
    return bind;
  }
  if (port === undefined) throw new UsageError("expected --port P");
  if (port > MAX_PORT) throw new UsageError(`--port: expected a number from 1 to ${MAX_PORT}`);
  return `tcp://${host ?? "*"}:${port}`;
}

/** @throws UsageError */
function pairOf({
  primary,
  backup,
  peer,
  curvePeerKey,
  serveAlone,
}: ServerSettings): Pick<ClonePairOptions, "role" | "peer" | "serveAlone"> | undefined {
  const isOfPair = primary === true || backup === true;
  if (!isOfPair && curvePeerKey !== undefined)
    throw new UsageError("--curve-peer-key needs --primary or --backup");
  if (!isOfPair && serveAlone === true) throw new UsageError("--serve-alone needs --primary or --backup");
  if (isOfPair !== (peer !== undefined))
    throw new UsageError(isOfPair ? "expected --peer HOST:P" : "--peer needs --primary or --backup");
  return peer === undefined
    ? undefined
    : {
        role: primary === true ? "primary" : "backup",
        peer: endpointOf(peer),
        serveAlone: serveAlone === true,
      };
}

/** What the other server is known by, and knows this one by. @throws UsageError */
function credentialsOf(
  { curveCertificate, curvePeerKey }: ServerSettings,
  { plain }: Settings,
): Pick<ClonePairOptions, "publicKey" | "socketOptions"> {
  if (curvePeerKey !== undefined && curveCertificate === undefined)
    throw new UsageError("--curve-peer-key needs --curve-certificate");
  if (plain !== undefined)
    return { socketOptions: { plainUsername: plain.username, plainPassword: plain.password } };
  return curvePeerKey === undefined ? {} : { publicKey: curvePeerKey };
}

/** The server and, before it ends, the word to the other one, which need not find out by silence. */
class ServerService implements Service {
  readonly #server: CloneServer;
  readonly #patience: number;
  #closing: Promise<void> | undefined;

  /** @param patience ms for the other one to say that it stands by */
  constructor(server: CloneServer, patience: number) {
    this.#server = server;
    this.#patience = patience;
  }

  close({ linger }: { readonly linger: number }): Promise<void> {
    this.#closing ??= this.#close(linger);
    return this.#closing;
  }

  async #close(linger: number): Promise<void> {
    const end = performance.now() + Math.min(linger, this.#patience);
    while (this.#peerIsAboutToBeReady() && performance.now() < end) await sleep(LOOK);
    // Without all updates, the other one must not serve while this one could come back with them.
    if (this.#server.stats().replicated) this.#handOver();
    await this.#server.close();
  }

  #handOver(): void {
    try {
      this.#server.star?.handOver();
    } catch {
      // It does not serve, or nobody is there to take it.
    }
  }

  /** The other one lives, but does not stand by yet, or has not every update, as far as this one has heard. */
  #peerIsAboutToBeReady(): boolean {
    const { star } = this.#server;
    if (star?.state !== "active") return false;
    const { peer } = star.stats();
    return peer !== undefined && (peer !== "passive" || !this.#server.stats().replicated);
  }
}

const FENCED: Readonly<Record<FenceReason, string>> = {
  "dual-active": "both servers serve: neither answers until both are stopped and started again",
  "dual-passive": "both servers stand by: neither answers until one is stopped and started again",
  foreign:
    "the two servers have different maps: this one does not serve until it is started with an empty store",
};

function report(server: CloneServer, log: Log): void {
  server.events
    .on("active", () => log.info("serving"))
    .on("passive", () => log.info("standing by"))
    .on("waiting", () => log.info("waiting for its peer"))
    .on("fatal", ({ reason }) => log.error(FENCED[reason]))
    .on("unmet", () =>
      log.warn("does not serve before it has met its peer, which may have a newer map (or --serve-alone)"),
    )
    .on("diverged", ({ updates, entries, aside }) =>
      log.error(
        `up to ${updates} updates that this server acknowledged alone are not in the map any more; ` +
          (aside === undefined ? "they are lost" : `the ${entries} keys that they set are in ${aside}`),
      ),
    )
    .on("incompatible", () => log.warnOnce("the peer is of another version: neither follows the other"))
    .on("same-role", () => log.warnOnce("the peer has the same role: one has to be the other"))
    .on("replica:join", ({ sequence }) => log.info(`the backup has everything up to ${sequence}`))
    .on("replica:leave", ({ reason }) => log.warn(`going on without the other server: ${reason}`))
    .on("handshake:error", ({ error }) => log.warnOnce(`the other server: ${describe(error)}`))
    .on("replicated", ({ entries }) => log.info(`has the ${entries} keys of the one that serves`))
    .on("snapshot", ({ entries, duration }) =>
      log.detail(`a client has the map: ${entries} keys in ${Math.round(duration)} ms`),
    )
    .on("snapshot:lost", ({ reason }) => log.detail(`a client does not get its map: ${reason}`))
    .on("drop", ({ copies }) => log.detail(`slow clients miss ${copies} copies of updates`))
    .on("refused", ({ reason }) => log.warnOnce(`updates are refused: ${reason}`))
    .on("fault", ({ fault }) => log.warnOnce(`a peer broke the protocol: ${fault}`))
    .on("store:error", ({ error }) => log.warnOnce(`the store: ${describe(error)}`))
    .on("store:damage", ({ entries }) =>
      log.warn(`${entries} entries of the store are damaged, and left out`),
    );
}
