/** Programs that are no nodes: the discovery server that `shoal node start` runs for them, from flags or from a configuration. */
import { resolve } from "node:path";
import {
  type ClusterListenerTls,
  type ClusterNode,
  DiscoveryServer,
  type DiscoveryServerOptions,
  type DiscoveryUser,
  ec2Addresses,
  openStackAddresses,
} from "../cluster/index.js";
import { parseListenAddress } from "../core/http-server.js";
import { asUsage, UsageError } from "./failure.js";
import { readUsersFile } from "./key-file.js";
import type { Log } from "./log.js";
import { type PemFiles, tlsOfNames } from "./node-tls.js";
import { keysFrom } from "./security.js";

/** Flags of `node start`. */
export interface ClientsFlags {
  readonly clients?: string;
  readonly clientsHttp?: string;
  readonly clientsUsers?: string;
  readonly clientsPort?: number;
  readonly clientsTlsCert?: string;
  readonly clientsTlsKey?: string;
  readonly clientsTlsCa?: string;
}

/** The key `clients` of a configuration, valid by its schema. */
export interface ClientsValues {
  readonly endpoint?: string;
  readonly http?: string;
  readonly users?: Readonly<Record<string, string | DiscoveryUser>>;
  readonly usersFile?: string;
  readonly roles?: Readonly<Record<string, readonly string[]>>;
  readonly port?: number;
  readonly securePort?: number;
  readonly host?: string;
  readonly addresses?: "interfaces" | "ec2" | "openstack";
  readonly xml?: boolean;
  readonly certificate?: string;
  readonly maxClients?: number;
}

const PROVIDERS = { ec2: ec2Addresses, openstack: openStackAddresses };

/**
 * @param files that remember the certificate
 * @returns `undefined` without such flags
 * @throws UsageError
 */
export async function clientsOfFlags(
  flags: ClientsFlags,
  files: PemFiles,
): Promise<DiscoveryServerOptions | undefined> {
  const { clients: endpoint, clientsHttp: http, clientsUsers: usersFile, clientsPort: port } = flags;
  const tls = await clientsTlsOf(flags, files);
  if (endpoint === undefined && http === undefined) {
    if (usersFile === undefined && port === undefined && tls === undefined) return undefined;
    throw new UsageError(
      "--clients-users, --clients-port and --clients-tls-cert go with --clients EP or --clients-http HOST:PORT",
    );
  }
  if (usersFile === undefined) throw new UsageError("--clients needs --clients-users FILE: who may ask");
  if (endpoint !== undefined && !/^(?:tcp|tls):\/\//.test(endpoint))
    throw new UsageError(`--clients: expected tcp://HOST:PORT or tls://HOST:PORT; got ${endpoint}`);
  if (endpoint?.startsWith("tls://") === true && tls === undefined)
    throw new UsageError(`--clients ${endpoint} needs --clients-tls-cert FILE and --clients-tls-key FILE`);
  return clientsOf(
    {
      usersFile,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(http === undefined ? {} : { http }),
      ...(port === undefined ? {} : { port }),
    },
    ".",
    tls,
  );
}

/** @returns `undefined` without such flags @throws UsageError */
export async function clientsTlsOf(
  flags: ClientsFlags,
  files: PemFiles,
): Promise<ClusterListenerTls | undefined> {
  const { clientsTlsCert: cert, clientsTlsKey: key, clientsTlsCa: ca } = flags;
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw new UsageError("--clients-tls-cert and --clients-tls-key go together");
  return tlsOfNames({ cert, key, ...(ca === undefined ? {} : { ca }) }, files, "--clients-tls-");
}

/**
 * @param folder that files are named from
 * @param tls the certificate, read
 * @throws UsageError, or what the files are read with
 */
export async function clientsOf(
  values: ClientsValues,
  folder: string,
  tls: ClusterListenerTls | undefined,
): Promise<DiscoveryServerOptions> {
  const { http, users, usersFile, addresses = "interfaces", certificate, ...options } = values;
  if ((users === undefined) === (usersFile === undefined))
    throw new UsageError("clients: expected users or usersFile, one of the two");
  const keys = certificate === undefined ? undefined : await keysFrom(resolve(folder, certificate));
  return {
    ...options,
    ...(tls === undefined ? {} : { tls }),
    users: users ?? (await readUsersFile(resolve(folder, usersFile as string))),
    ...(http === undefined ? {} : { http: await httpOf(http) }),
    ...(addresses === "interfaces" ? {} : { addresses: PROVIDERS[addresses]() }),
    ...(keys === undefined
      ? {}
      : {
          socketOptions: {
            curveServer: true,
            curvePublicKey: keys.publicKey,
            curveSecretKey: keys.secretKey,
          },
        }),
  };
}

/** @throws UsageError */
async function httpOf(text: string): Promise<{ host: string; port: number }> {
  const { host = "0.0.0.0", port } = await asUsage(() => parseListenAddress("HTTP", text));
  return { host, port };
}

/** Logs who is refused. The server ends with its node. @throws what `start` throws */
export async function serveClients(
  node: ClusterNode,
  options: DiscoveryServerOptions,
  log: Log,
): Promise<DiscoveryServer> {
  const server = new DiscoveryServer(node, options);
  server.events.on("caller:refused", ({ address, via, reason, count }) =>
    log.warn(`refused ${address}, which asked who is there: ${reason}`, { address, via, reason, count }),
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
