/**
 * The servers of `shoal node start` for programs that are not nodes: discovery and sessions. The modules of sessions
 * load only with them.
 */
import { resolve } from "node:path";
import {
  type ClusterListenerTls,
  type ClusterNode,
  DiscoveryServer,
  type DiscoveryServerOptions,
  type DiscoveryUser,
  ec2Addresses,
} from "../cluster/index.js";
import { defined } from "../core/arguments.js";
import { parseListenAddress } from "../core/http-server.js";
import { ignore, withTimeout } from "../core/waiter.js";
import { checkEndpoint } from "../kit/options.js";
import type {
  SessionInfo,
  SessionNode,
  SessionServer,
  SessionServerOptions,
  SessionStore,
} from "../sessions/index.js";
import { serverSettings } from "../sessions/server-options.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { DRAIN } from "./operation.js";
import { readUsersFile, serverKeysFrom } from "./security.js";
import { GRACE } from "./terminal.js";

const LISTED = 1_000;
const IN_MEMORY = "memory";
const DATABASE = /^postgres(?:ql)?:\/\//;
/** Other schemes are refused by the store. */
const URL = /^[a-z][a-z0-9+.-]+:\/\//i;
const OWN_HOST = /^(?:ipc:|tcp:\/\/(?:127\.|localhost[:/]|\[::1\]))/;

/** The key `clients` of a configuration, checked by its schema. */
export interface ClientsValues {
  readonly endpoint?: string;
  readonly http?: string;
  readonly users?: Readonly<Record<string, string | DiscoveryUser>>;
  readonly usersFile?: string;
  readonly port?: number;
  readonly securePort?: number;
  readonly host?: string;
  readonly addresses?: "interfaces" | "ec2";
  readonly xml?: boolean;
  readonly certificate?: string;
  readonly maxClients?: number;
}

/** @param folder of relative file names @throws UsageError, or errors of reading the files */
export async function clientsOf(
  values: ClientsValues,
  folder: string,
  tls: ClusterListenerTls | undefined,
): Promise<DiscoveryServerOptions> {
  const { http, users, usersFile, addresses = "interfaces", certificate, ...options } = values;
  if ((users === undefined) === (usersFile === undefined))
    throw new UsageError("expected users or usersFile, one of the two");
  return {
    ...options,
    ...(tls === undefined ? {} : { tls }),
    users: users ?? (await readUsersFile(resolve(folder, usersFile as string))),
    ...(http === undefined ? {} : { http: await httpOf(http) }),
    ...(addresses === "interfaces" ? {} : { addresses: ec2Addresses() }),
    ...(certificate === undefined
      ? {}
      : { socketOptions: await serverKeysFrom(resolve(folder, certificate)) }),
  };
}

async function httpOf(text: string): Promise<{ host: string; port: number }> {
  const { host = "0.0.0.0", port } = await asUsage(() => parseListenAddress("HTTP", text));
  return { host, port };
}

/** Starts the server and logs refused clients. It ends with its node. */
export async function serveClients(
  node: ClusterNode,
  options: DiscoveryServerOptions,
  log: Log,
): Promise<DiscoveryServer> {
  const server = new DiscoveryServer(node, options);
  server.events.on("caller:refused", ({ address, via, reason }) =>
    log.warn(`refused ${address}, which asked who is there: ${reason}`, { address, via, reason }),
  );
  server.events.on("addresses:failed", ({ error }) =>
    log.warn(`some of this host's addresses are not known to clients: ${(error as Error).message}`),
  );
  await server.start();
  const { endpoint, url } = server;
  log.info(`clients ask at ${[endpoint, url].filter((place) => place !== undefined).join(" and ")}`, {
    endpoint,
    url,
  });
  return server;
}

/** The key `sessions` of a configuration, checked by its schema. */
export interface SessionsValues
  extends Omit<SessionServerOptions, "store" | "node" | "authorize" | "socketOptions"> {
  readonly listen: string | readonly string[];
  readonly store: string;
  readonly certificate?: string;
}

export interface SessionsSettings {
  readonly endpoints: readonly string[];
  readonly store: string;
  readonly options: Omit<SessionServerOptions, "store" | "node">;
}

/** @param folder of relative file names @throws UsageError, InvalidArgumentError, Failure */
export async function sessionsOf(values: SessionsValues, folder: string): Promise<SessionsSettings> {
  const { listen, store, certificate, ...given } = values;
  const endpoints = [listen].flat();
  for (const endpoint of endpoints) checkEndpoint("sessions.listen", endpoint, "bind");
  const options = {
    ...given,
    ...(certificate === undefined
      ? {}
      : { socketOptions: await serverKeysFrom(resolve(folder, certificate)) }),
  };
  // Stands for the store and the node, which open later.
  const later = new Proxy({}, { get: () => ignore }) as SessionStore & SessionNode;
  serverSettings({ ...options, store: later, node: later });
  const isFolder = store !== IN_MEMORY && !URL.test(store);
  return { endpoints, store: isFolder ? resolve(folder, store) : store, options };
}

export class NodeSessions {
  readonly #server: SessionServer;
  readonly #store: SessionStore;
  readonly endpoint: string;

  private constructor(server: SessionServer, store: SessionStore, endpoint: string) {
    this.#server = server;
    this.#store = store;
    this.endpoint = endpoint;
  }

  static async start(
    node: ClusterNode,
    { endpoints, store: where, options }: SessionsSettings,
    log: Log,
  ): Promise<NodeSessions> {
    const { LmdbSessionStore, MemorySessionStore, PostgresSessionStore, SessionServer } = await import(
      "../sessions/index.js"
    );
    const store = await asUsage(async () => {
      if (where === IN_MEMORY) return new MemorySessionStore();
      if (DATABASE.test(where)) return PostgresSessionStore.open({ connectionString: where });
      return LmdbSessionStore.open(where);
    });
    const server = new SessionServer({ ...options, node, store });
    server.events.on("store:failed", ({ error }) =>
      log.warnOnce(`the store of the sessions failed: ${(error as Error).message}`),
    );
    try {
      for (const endpoint of endpoints) {
        const bound = await asUsage(() => server.bind(endpoint));
        log.info(`sessions are at ${bound}`, { endpoint: bound, store: store.name });
        if (!OWN_HOST.test(bound))
          log.warn(`all who reach ${bound} may have any session`, { endpoint: bound });
      }
      return new NodeSessions(server, store, server.endpoints[0] as string);
    } catch (error) {
      await server.close({ linger: 0 });
      await store.close();
      throw error;
    }
  }

  async list(
    after: string | undefined,
  ): Promise<{ readonly sessions: readonly SessionInfo[]; readonly more?: string | undefined }> {
    const sessions: SessionInfo[] = [];
    for (let last = after; sessions.length < LISTED; last = sessions.at(-1)?.id) {
      // A page has fewer where its records are large.
      const page = await this.#server.sessions(defined({ after: last, limit: LISTED - sessions.length }));
      if (page.length === 0) return { sessions };
      sessions.push(...page);
    }
    return { sessions, more: sessions.at(-1)?.id };
  }

  async remove(id: string): Promise<{ readonly removed: string }> {
    await this.#server.remove(id);
    return { removed: id };
  }

  async close(): Promise<void> {
    await this.#server.close({ linger: DRAIN });
    await withTimeout(this.#store.close(), GRACE); // It waits for answers of a database.
  }
}
