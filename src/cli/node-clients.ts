/** The discovery server of `shoal node start`, for programs that are not nodes. */
import { resolve } from "node:path";
import {
  type ClusterListenerTls,
  type ClusterNode,
  DiscoveryServer,
  type DiscoveryServerOptions,
  type DiscoveryUser,
  ec2Addresses,
} from "../cluster/index.js";
import { parseListenAddress } from "../core/http-server.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { readUsersFile, serverKeysFrom } from "./security.js";

/** The key `clients` of a configuration, checked by its schema. */
export interface ClientsValues {
  readonly endpoint?: string;
  readonly http?: string;
  readonly users?: Readonly<Record<string, string | DiscoveryUser>>;
  readonly usersFile?: string;
  readonly roles?: Readonly<Record<string, readonly string[]>>;
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
