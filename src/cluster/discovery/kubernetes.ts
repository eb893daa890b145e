/**
 * Discovery by Kubernetes: a Service's pods, from its EndpointSlices.
 *
 *   GET /apis/discovery.k8s.io/v1/namespaces/NAMESPACE/endpointslices?labelSelector=kubernetes.io/service-name=SERVICE
 *                                            the list, with its resourceVersion
 *       &watch=1&resourceVersion=VERSION     later changes, one per line: ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
 *
 * Service account files are read for each request: tokens rotate.
 */
import { readFile } from "node:fs/promises";
import { describe } from "../../core/arguments.js";
import {
  HandshakeError,
  InvalidArgumentError,
  ProtocolError,
  type ShoalError,
  TransportError,
} from "../../core/errors.js";
import {
  anything,
  checkOptions,
  choice,
  type GivenWith,
  integer,
  type Settings,
  text,
} from "../../patterns/kit/options.js";
import { EndpointSlices } from "./endpoint-slices.js";
import { fieldsOf, type HttpAnswer, originOf, requestJson, requestStream } from "./http.js";
import { type ListAndWatch, listAndWatch } from "./list-watch.js";
import { type DiscoverySource, MAX_SOURCE_NAME } from "./source.js";

const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

const HTTP = {
  unauthorized: 401,
  forbidden: 403,
  /** The server has forgotten the resource version. */
  gone: 410,
} as const;

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
  /** ms between lists of all slices, in case a watch died silently. Default 60,000. */
  relistInterval: integer({ default: 60_000, min: 100, max: 86_400_000 }),
};

/** Options of {@link kubernetesSource}. */
export type KubernetesSourceOptions = GivenWith<typeof OPTIONS, "service">;

/**
 * Finds pods of a Kubernetes Service (1.21 or later) that are not terminating. The service account needs
 * `list` and `watch` on `endpointslices` of `discovery.k8s.io`.
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
    throw new InvalidArgumentError(
      `port of kubernetesSource must be a number from 1 to 65,535, or the name of a port; got ${describe(port)}`,
    );
  const server = serverOf(given.server ?? podServer());
  const namespace = given.namespace === undefined ? undefined : labelOf("namespace", given.namespace);
  const settings: KubernetesSettings = {
    account: given.serviceAccount ?? ACCOUNT,
    ...given,
    service,
    namespace,
    server,
    suffix: given.suffix ?? "cluster.local",
  };
  const name = `kubernetes:${namespace === undefined ? "" : `${namespace}/`}${service}`.slice(
    0,
    MAX_SOURCE_NAME,
  );
  return {
    name,
    discover: (_self, signal) => listAndWatch(new ServiceSlices(settings), given.relistInterval, signal),
  };
}

interface KubernetesSettings extends Settings<typeof OPTIONS> {
  readonly service: string;
  readonly server: string;
  readonly suffix: string;
  readonly account: string;
}

class ServiceSlices implements ListAndWatch {
  readonly #settings: KubernetesSettings;
  #slices: EndpointSlices | undefined;
  #namespace = "";
  #version = "";

  constructor(settings: KubernetesSettings) {
    this.#settings = settings;
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    this.#namespace = this.#settings.namespace ?? (await this.#accountFile("namespace")) ?? "default";
    this.#slices = new EndpointSlices({ ...this.#settings, namespace: this.#namespace });
    const answer = await requestJson(await this.#request({}, signal));
    if (answer.status !== 200) throw this.#refused(answer);
    const { metadata, items } = fieldsOf(answer.body);
    const { resourceVersion } = fieldsOf(metadata);
    if (!Array.isArray(items) || typeof resourceVersion !== "string" || resourceVersion === "")
      throw new ProtocolError(`${this.#settings.server}: not a list of EndpointSlices`);
    for (const item of items as readonly unknown[]) this.#slices.set(item);
    this.#version = resourceVersion;
    return this.#slices.addresses();
  }

  async *watch(signal: AbortSignal): AsyncGenerator<readonly string[], void, undefined> {
    const slices = this.#slices as EndpointSlices;
    // The server's default is 30 to 60 minutes.
    const seconds = Math.ceil(this.#settings.relistInterval / 1_000) + 10;
    const query = { watch: "1", allowWatchBookmarks: "true", timeoutSeconds: `${seconds}` };
    const stream = await requestStream(
      await this.#request({ ...query, resourceVersion: this.#version }, signal),
    );
    if (stream.refusal !== undefined) {
      if (stream.refusal.status === HTTP.gone) return;
      throw this.#refused(stream.refusal);
    }
    for await (const line of stream.values) {
      const { type, object } = fieldsOf(line);
      if (type === "BOOKMARK") continue;
      if (type === "ERROR") {
        const { code } = fieldsOf(object);
        if (code === HTTP.gone) return;
        const status = typeof code === "number" ? code : 0;
        throw this.#refused({ status, body: object });
      }
      if (type === "DELETED") slices.delete(object);
      else if (type === "ADDED" || type === "MODIFIED") slices.set(object);
      else throw new ProtocolError(`${this.#settings.server}: unknown change type ${describe(type)}`);
      yield slices.addresses();
    }
  }

  async #request(query: Readonly<Record<string, string>>, signal: AbortSignal) {
    const { server, service, timeout } = this.#settings;
    const path = `/apis/discovery.k8s.io/v1/namespaces/${this.#namespace}/endpointslices`;
    const url = new URL(path, server);
    url.searchParams.set("labelSelector", `kubernetes.io/service-name=${service}`);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const token = await this.#token();
    const ca = this.#settings.ca ?? (await this.#accountFile("ca.crt"));
    const headers: Record<string, string> = { "user-agent": "shoal" };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    return { url, method: "GET", headers, tls: { ca }, timeout, signal } as const;
  }

  async #token(): Promise<string | undefined> {
    const { token } = this.#settings;
    if (token === undefined) return this.#accountFile("token");
    return token.startsWith("/") ? (await readFile(token, "utf8")).trim() : token;
  }

  async #accountFile(name: "token" | "ca.crt" | "namespace"): Promise<string | undefined> {
    try {
      return (await readFile(`${this.#settings.account}/${name}`, "utf8")).trim();
    } catch {
      // No token: the server decides.
      return undefined;
    }
  }

  #refused({ status, body }: HttpAnswer): ShoalError {
    const { server, service } = this.#settings;
    const said = fieldsOf(body).message;
    const message = typeof said === "string" ? said.split("\n", 1)[0]?.slice(0, 300) : "";
    const details = { endpoint: server };
    if (status === HTTP.unauthorized || status === HTTP.forbidden) {
      const needs =
        status === HTTP.unauthorized
          ? "the token is not accepted"
          : `the service account needs list and watch on endpointslices (discovery.k8s.io) in the namespace ${this.#namespace}`;
      return new HandshakeError("ERR_AUTHENTICATION", `${server}: ${needs} (${message})`, details);
    }
    return new TransportError(
      "ERR_TRANSPORT",
      `${server}: status ${status} for the EndpointSlices of ${service} (${message})`,
      details,
    );
  }
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
  throw new InvalidArgumentError(
    `server of kubernetesSource must be "https://host:port"; got ${describe(given)}`,
  );
}

function labelOf(name: string, given: string | undefined): string {
  if (given !== undefined && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(given)) return given;
  throw new InvalidArgumentError(
    `${name} of kubernetesSource must be a Kubernetes name of a-z, 0-9 and -, up to 63 characters; got ${describe(given)}`,
  );
}
