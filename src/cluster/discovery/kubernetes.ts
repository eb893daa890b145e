/**
 * Discovery by Kubernetes: a Service's pods, from its EndpointSlices.
 *
 *   GET /apis/discovery.k8s.io/v1/namespaces/NAMESPACE/endpointslices?labelSelector=kubernetes.io/service-name=SERVICE
 *
 * Watches are not used: they may die silently, and only a starting node needs the list.
 *
 * Service account files are read for each request: tokens rotate.
 *
 * A Service has slices (Kubernetes API, EndpointSlice) per address type; an endpoint is a pod, and the ports apply to all:
 *
 *   { metadata: { name, resourceVersion }, addressType: "IPv4" | "IPv6" | "FQDN", ports: [{ name, port, protocol }],
 *     endpoints: [{ addresses: ["10.1.2.3"], hostname, conditions: { ready, serving, terminating } }] }
 */
import { readFile } from "node:fs/promises";
import { isIPv4, isIPv6 } from "node:net";
import { invalidArgument } from "../../core/arguments.js";
import {
  HandshakeError,
  InvalidArgumentError,
  ProtocolError,
  type ShoalError,
  TransportError,
} from "../../core/errors.js";
import { sleep } from "../../core/waiter.js";
import {
  anything,
  checkOptions,
  choice,
  type GivenWith,
  integer,
  type Settings,
  text,
} from "../../kit/options.js";
import { MAX_MEMBERS, MAX_NAME } from "../bounds.js";
import { fieldsOf, firstLine, type HttpAnswer, itemsOf, originOf, requestJson } from "./http.js";
import { type DiscoverySource, pauseAfter } from "./source.js";

const OPTIONS = {
  /** Service name, preferably headless with `publishNotReadyAddresses`. */
  service: text(),
  /** Default: the service account's, else `default`. */
  namespace: text(),
  /** Service port, as number or name. Default: the only one, or `shoal`. */
  port: anything<number | string>(),
  /** `ip` (default): pod addresses. `dns`: pod names, HOSTNAME.SERVICE.NAMESPACE.svc.SUFFIX. */
  addressType: choice(["ip", "dns"], "ip"),
  /** Cluster domain, for `dns`. Default `cluster.local`. */
  suffix: text(),
  /** Only IPv4 (4) or IPv6 (6) addresses. Default: both. */
  family: choice([4, 6]),
  /** API server, "https://host:port". Default: from KUBERNETES_SERVICE_HOST and …_PORT. */
  server: text(),
  /** Bearer token, or the absolute path of its file. Default: the service account's. */
  token: text(),
  /** CA as PEM text or file. Default: the service account's. */
  ca: text(),
  /** Folder with `token`, `ca.crt` and `namespace`. Default: Kubernetes' location. */
  serviceAccount: text(),
  /** ms for the server's answer. Default 10,000. */
  timeout: integer({ default: 10_000, min: 10, max: 600_000 }),
  /**
   * Longest time between lists of all slices, ms; the first come 1, 2, 4 … s after each other. At most 5,000 while nobody
   * else is listed. Default 60,000.
   */
  relistInterval: integer({ default: 60_000, min: 100, max: 86_400_000 }),
};

/** Options of {@link kubernetesSource}. */
export type KubernetesSourceOptions = GivenWith<typeof OPTIONS, "service">;

/**
 * Finds pods of a Kubernetes Service (1.21 or later) that are not terminating. The service account needs
 * `list` on `endpointslices` of `discovery.k8s.io`.
 *
 * The source is down while the server is silent or refuses (`ECONNREFUSED`, `ETIMEDOUT`,
 * `ERR_AUTHENTICATION`, `ERR_PROTOCOL`, `ERR_TRANSPORT`), and is called again after 0.5 s, doubled up to 30 s.
 *
 * @throws InvalidArgumentError `EINVAL`, also without `server` outside of a pod
 */
export function kubernetesSource(options: KubernetesSourceOptions): DiscoverySource {
  const given = checkOptions("kubernetesSource", OPTIONS, options);
  const service = labelOf("service", given.service);
  const { port } = given;
  const isPort =
    port === undefined ||
    (typeof port === "string" ? port !== "" : Number.isSafeInteger(port) && port >= 1 && port <= 65_535);
  if (!isPort)
    throw invalidArgument(
      "port of kubernetesSource must be a number from 1 to 65,535, or the name of a port",
      port,
    );
  const server = serverOf(given.server ?? podServer());
  const namespace = given.namespace === undefined ? undefined : labelOf("namespace", given.namespace);
  const settings: KubernetesSettings = {
    account: given.serviceAccount ?? "/var/run/secrets/kubernetes.io/serviceaccount",
    ...given,
    service,
    namespace,
    server,
    suffix: given.suffix ?? "cluster.local",
  };
  const name = `kubernetes:${namespace === undefined ? "" : `${namespace}/`}${service}`.slice(0, MAX_NAME);
  return {
    name,
    async *discover(_self, signal) {
      for (let lists = 0; !signal.aborted; lists++) {
        const addresses = await list(settings, signal);
        yield addresses;
        await sleep(pauseAfter(lists, addresses.length, given.relistInterval), signal);
      }
    },
  };
}

interface KubernetesSettings extends Settings<typeof OPTIONS> {
  readonly service: string;
  readonly server: string;
  readonly suffix: string;
  readonly account: string;
}

async function list(settings: KubernetesSettings, signal: AbortSignal): Promise<readonly string[]> {
  const { account, server, service, timeout } = settings;
  const namespace = settings.namespace ?? (await accountFile(account, "namespace")) ?? "default";
  const url = new URL(`/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, server);
  url.searchParams.set("labelSelector", `kubernetes.io/service-name=${service}`);
  const token = await tokenOf(settings);
  const ca = settings.ca ?? (await accountFile(account, "ca.crt"));
  const headers: Record<string, string> = { "user-agent": "shoal" };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  const answer = await requestJson({ url, method: "GET", headers, tls: { ca }, timeout, signal });
  if (answer.status !== 200) throw refused(answer, settings, namespace);
  const { items } = fieldsOf(answer.body);
  if (!Array.isArray(items)) throw new ProtocolError(`${server}: not a list of EndpointSlices`);
  return slicedAddresses(items, { ...settings, namespace });
}

async function tokenOf({ account, token }: KubernetesSettings): Promise<string | undefined> {
  if (token === undefined) return accountFile(account, "token");
  return token.startsWith("/") ? (await readFile(token, "utf8")).trim() : token;
}

async function accountFile(account: string, name: string): Promise<string | undefined> {
  try {
    return (await readFile(`${account}/${name}`, "utf8")).trim();
  } catch {
    return undefined; // No token: the server decides.
  }
}

function refused(
  { status, body }: HttpAnswer,
  { server, service }: KubernetesSettings,
  namespace: string,
): ShoalError {
  const message = firstLine(fieldsOf(body).message ?? "");
  const details = { endpoint: server };
  if (status === 401 || status === 403) {
    const needs =
      status === 401
        ? "the token is not accepted"
        : `the service account needs list on endpointslices (discovery.k8s.io) in the namespace ${namespace}`;
    return new HandshakeError("ERR_AUTHENTICATION", `${server}: ${needs} (${message})`, details);
  }
  return new TransportError(
    "ERR_TRANSPORT",
    `${server}: status ${status} for the EndpointSlices of ${service} (${message})`,
    details,
  );
}

function podServer(): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = process.env;
  if (host === undefined || host === "")
    throw new InvalidArgumentError(
      "kubernetesSource needs a server outside of a pod: KUBERNETES_SERVICE_HOST is not set",
    );
  return `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function serverOf(given: string): string {
  const url = originOf(given);
  if (url !== undefined) return url.origin;
  throw invalidArgument('server of kubernetesSource must be "https://host:port"', given);
}

function labelOf(name: string, given: string | undefined): string {
  if (given !== undefined && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(given)) return given;
  throw invalidArgument(
    `${name} of kubernetesSource must be a Kubernetes name of a-z, 0-9 and -, up to 63 characters`,
    given,
  );
}

// --- EndpointSlices --------------------------------------------------------------------------------------------------

export interface SliceRules
  extends Pick<KubernetesSettings, "service" | "port" | "addressType" | "suffix" | "family"> {
  readonly namespace: string;
}

/**
 * Distinct, as a moving pod is in two slices.
 *
 * @throws ProtocolError `ERR_PROTOCOL`: invalid slice, unknown port, too many addresses
 */
export function slicedAddresses(slices: readonly unknown[], rules: SliceRules): readonly string[] {
  const addresses = slices.flatMap((slice) => addressesOf(slice, rules));
  if (addresses.length > MAX_MEMBERS)
    throw new ProtocolError(`a Service has more than ${MAX_MEMBERS} addresses`);
  return [...new Set(addresses)];
}

function addressesOf(slice: unknown, rules: SliceRules): readonly string[] {
  const name = nameOf(slice);
  const { addressType, ports, endpoints } = fieldsOf(slice);
  if (rules.family !== undefined && addressType !== `IPv${rules.family}`) return [];
  const running = itemsOf(endpoints).map(fieldsOf).filter(isRunning);
  // A Service without pods has no ports.
  if (running.length === 0) return [];
  const port = portOf(itemsOf(ports).map(fieldsOf), rules.port, name);
  return running.flatMap(({ addresses, hostname }) =>
    itemsOf(addresses).flatMap((address) => {
      if (typeof address !== "string") return [];
      const isIp = isIPv4(address) || isIPv6(address);
      if (rules.addressType === "dns" && isIp) return [`${hostOf(address, hostname, rules)}:${port}`];
      return [isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`];
    }),
  );
}

/** Unready pods count: nodes of a starting cluster need each other to become ready. */
function isRunning({ conditions }: Record<string, unknown>): boolean {
  return fieldsOf(conditions).terminating !== true;
}

/** Kubernetes DNS, "Records for a Headless Service": the pod's hostname, or its address with dashes. */
function hostOf(address: string, hostname: unknown, { service, namespace, suffix }: SliceRules): string {
  const label = typeof hostname === "string" && hostname !== "" ? hostname : address.replace(/[.:]/g, "-");
  return `${label}.${service}.${namespace}.svc.${suffix}`;
}

function portOf(
  ports: readonly Record<string, unknown>[],
  wanted: number | string | undefined,
  slice: string,
): number {
  if (typeof wanted === "number") return wanted;
  // A port with two protocols is listed twice.
  const named = ports.filter(({ name }) => (name ?? "") === (wanted ?? "shoal"));
  const numbers = new Set((named.length > 0 || wanted !== undefined ? named : ports).map(({ port }) => port));
  const [port] = numbers;
  if (numbers.size === 1 && Number.isSafeInteger(port)) return port as number;
  const known = ports.map(({ name, port: number }) => `${name === undefined ? "" : `${name} `}${number}`);
  throw new ProtocolError(
    `EndpointSlice ${slice}: ${wanted === undefined ? "choose a port" : `no port ${wanted}`}; it has ${known.join(", ").slice(0, 200) || "none"}`,
  );
}

function nameOf(slice: unknown): string {
  const { name } = fieldsOf(fieldsOf(slice).metadata);
  if (typeof name !== "string" || name === "") throw new ProtocolError("an EndpointSlice has no name");
  return name;
}
