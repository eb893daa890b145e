/** Binds and connects the endpoints of the command line, and reports peers. */
import type { EndpointSource, EventOfType, Socket } from "../index.js";
import { causeOf } from "../sockets/stalls.js";
import type { ClusterEndpoints } from "./cluster-endpoints.js";
import { asUsage, Failure, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { type ClusterSettings, isOfCluster, type Settings } from "./options.js";

type HandshakeFault = EventOfType<
  "handshake:error:auth" | "handshake:error:protocol" | "handshake:error:other"
>;

export interface Peers {
  /** The first peer. */
  readonly seen: Promise<void>;
  /** A peer refuses the credentials or mechanism of a socket that only connects. */
  readonly refused: Promise<never>;
}

/** Logs peers. A refusal is final for a socket that only connects: each attempt would meet it again. */
export function watchPeers(socket: Socket, settings: Settings, log: Log): Peers {
  const { events } = socket;
  const connectsOnly = settings.bind.length === 0;
  reportUnanswered(socket, settings, log);
  const seen = new Promise<void>((resolve) => {
    events.on("peer:join", (event) => {
      log.debug(`a peer joined at ${event.address}`);
      resolve();
    });
  });
  events.on("peer:leave", (event) => log.debug(`a peer left at ${event.address}`));
  events.on("handshake:error:other", (event) => {
    log.warnOnce(handshakeFault(event), undefined, `${event.type} ${event.address}`);
  });
  const refused = new Promise<never>((_, reject) => {
    // A socket that connects refuses only certificates.
    events.on("peer:refused", (event) => {
      if (connectsOnly) reject(new Failure(lowerFirst(event.error.message)));
      else log.warnOnce(lowerFirst(event.error.message));
    });
    events.on("handshake:error:auth", (event) => {
      if (connectsOnly) reject(new Failure(handshakeFault(event)));
    });
    events.on("handshake:error:protocol", (event) => {
      const what = handshakeFault(event);
      if (connectsOnly) reject(new Failure(what));
      // A peer chooses parts of the text.
      else log.warnOnce(what, undefined, `${event.type} ${event.address} ${event.error.code}`);
    });
  });
  refused.catch(() => undefined); // The commands' work may end first.
  return { seen, refused };
}

/** ms without an answer before a warning. */
const TIMEOUT = 1_000;
/** ms that a peer may be away before a warning. */
const AWAY = 500;

/** Warns once per reason, and of peers that are away. */
function reportUnanswered(socket: Socket, settings: Settings, log: Log): void {
  const watched = settings.connect.filter((endpoint) => !isOfCluster(endpoint));
  if (watched.length === 0) return;
  const silent = new Map(watched.map((endpoint) => [endpoint, "no answer"]));
  const away = new Map<string, NodeJS.Timeout>();
  const gone = new Set<string>();
  let isLate = false;
  const warn = (endpoint: string, why: string): void =>
    log.warnOnce(`nothing answers at ${endpoint}: ${why}; trying again`, { endpoint, reason: why });
  const timer = setTimeout(() => {
    isLate = true;
    for (const [endpoint, why] of silent) warn(endpoint, why);
  }, TIMEOUT).unref();
  // A reachable endpoint's handshake may fail.
  const answered = ({ address }: { readonly address: string }): void => {
    silent.delete(address);
    clearTimeout(away.get(address));
    if (gone.delete(address)) log.info(`connected to ${address} again`, { endpoint: address });
  };
  socket.events
    .on("connect:retry", ({ address, error }) => {
      if (error === undefined || !silent.has(address)) return;
      const why = causeOf(error);
      silent.set(address, why);
      if (isLate) warn(address, why);
    })
    .on("connect", answered)
    .on("handshake", answered)
    .on("disconnect", ({ address, reason }) => {
      if (reason === "local" || !watched.includes(address) || silent.has(address)) return;
      clearTimeout(away.get(address));
      const report = (): void => {
        gone.add(address);
        log.warn(`the peer at ${address} is gone; trying again`, { endpoint: address, reason });
      };
      away.set(address, setTimeout(report, AWAY).unref());
    })
    .on("end", () => {
      clearTimeout(timer);
      for (const each of away.values()) clearTimeout(each);
    });
}

/** @throws UsageError for an invalid endpoint */
export async function openEndpoints(
  socket: Socket,
  settings: Settings,
  connect: readonly string[] | EndpointSource,
  log: Log,
): Promise<void> {
  for (const endpoint of settings.bind) {
    await asUsage(() => socket.bind(endpoint));
    log.info(`listening at ${socket.lastEndpoint ?? endpoint}`);
  }
  if ("endpoints" in connect) {
    socket.events.on("endpoint:refused", ({ error }) => log.warnOnce(lowerFirst(error.message)));
    socket.connect(connect);
    return;
  }
  for (const endpoint of connect) await asUsage(() => socket.connect(endpoint));
}

function handshakeFault({ address, error }: HandshakeFault): string {
  return `handshake with ${address} failed: ${causeOf(error)}`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

export interface ClusterUse {
  /** Also of its node. */
  readonly command: string;
  /** The option of the endpoints. */
  readonly option: string;
  readonly endpoints: readonly string[];
  /** Used by any `cluster:NAME`, and by a name to `advertise`. */
  readonly settings: ClusterSettings & { readonly advertise?: string };
  readonly log: Log;
  /** Of the options' names. */
  readonly prefix?: string;
}

/**
 * The source of `endpoints`, or a node that advertises; `undefined` for fixed endpoints.
 *
 * @throws UsageError for an invalid NAME, cluster or key, and for options without a use
 */
export async function clusterSource(use: ClusterUse): Promise<ClusterEndpoints | undefined> {
  const { command, option, endpoints, settings, log, prefix = "" } = use;
  if (settings.advertise === undefined && !endpoints.some(isOfCluster)) {
    const given = Object.entries(settings).find(
      ([key, value]) => /^cluster[A-Z]/.test(key) && value !== undefined,
    );
    if (given === undefined) return undefined;
    const flag = given[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${prefix}${flag} needs ${option} cluster:NAME`);
  }
  const { clusterEndpoints } = await import("./cluster-endpoints.js");
  return clusterEndpoints(command, endpoints, settings, log);
}

/** With fixed endpoints, or one source for all if any is `cluster:NAME`. */
export async function withEndpoints<T>(
  command: string,
  connect: readonly string[],
  settings: ClusterSettings,
  log: Log,
  run: (endpoints: readonly string[] | EndpointSource) => Promise<T>,
): Promise<T> {
  const source = await clusterSource({ command, option: "--connect", endpoints: connect, settings, log });
  if (source === undefined) return run(connect);
  try {
    await source.start();
    return await run(source);
  } finally {
    await source.close();
  }
}
