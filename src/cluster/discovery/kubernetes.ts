/**
 * Discovery by Kubernetes: a Service's pods, from its EndpointSlices.
 *
 *   GET /apis/discovery.k8s.io/v1/namespaces/NAMESPACE/endpointslices?labelSelector=kubernetes.io/service-name=SERVICE
 *       &limit=500, then &continue=TOKEN     pages of the list, with its resourceVersion
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
import { anything, checkOptions, choice, integer, text } from "../../patterns/kit/options.js";
import { EndpointSlices } from "./endpoint-slices.js";
import { fieldsOf, type HttpAnswer, type HttpStream, originOf, requestJson, requestStream } from "./http.js";
import { type ListAndWatch, listAndWatch } from "./list-watch.js";
import { type DiscoverySource, sleep } from "./source.js";

const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

const PAGE = 500;
const MAX_PAGES = 32;

const MAX_TRIES = 4;
const MAX_PATIENCE = 60_000;

/** ms, if a throttling server gives no time. */
const PATIENCE = 1_000;

const HTTP = {
  unauthorized: 401,
  forbidden: 403,
  /** A resource version or page was forgotten. */
  gone: 410,
  tooMany: 429,
  unavailable: 503,
} as const;

export interface KubernetesSourceOptions {
  /** Service name, preferably headless with `publishNotReadyAddresses`. */
  readonly service: string;
  /** Default: the service account's, else `default`. */
  readonly namespace?: string | undefined;
  /** Service port, as number or name. Default: the only one, or `shoal`. */
  readonly port?: number | string | undefined;
  /** `ip` (default): pod addresses. `dns`: pod names. */
  readonly addressType?: "ip" | "dns" | undefined;
  /** Cluster domain, for `dns`. Default `cluster.local`. */
  readonly suffix?: string | undefined;
  /** 4 or 6. Default: both. */
  readonly family?: 4 | 6 | undefined;
  /** API server, "https://host:port". Default: from KUBERNETES_SERVICE_HOST and …_PORT. */
  readonly server?: string | undefined;
  /** Bearer token, or the absolute path of its file. Default: the service account's. */
  readonly token?: string | undefined;
  /** CA as PEM text or file. Default: the service account's. */
  readonly ca?: string | undefined;
  /** Folder with `token`, `ca.crt` and `namespace`. Default: Kubernetes' location. */
  readonly serviceAccount?: string | undefined;
  /** ms for the server's answer. Default 10,000. */
  readonly timeout?: number | undefined;
  /** ms between lists of all slices. Default 60,000. */
  readonly relistInterval?: number | undefined;
}

const OPTIONS = {
  service: text(),
  namespace: text(),
  port: anything<number | string>(),
  addressType: choice(["ip", "dns"], "ip"),
  suffix: text(),
  family: choice([4, 6]),
  server: text(),
  token: text(),
  ca: text(),
  serviceAccount: text(),
  timeout: integer({ default: 10_000, min: 10, max: 600_000 }),
  relistInterval: integer({ default: 60_000, min: 100, max: 86_400_000 }),
};

/**
 * Finds pods of a Kubernetes Service (1.21 or later) that are not terminating. The service account needs
 * `list` and `watch` on `endpointslices` of `discovery.k8s.io`.
 *
 * The source is down while the server is silent or refuses (`ECONNREFUSED`, `ETIMEDOUT`,
 * `ERR_AUTHENTICATION`, `ERR_PROTOCOL`, `ERR_TRANSPORT`). It obeys throttling (429, 503) for up to a minute.
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
  const settings: Settings = {
    account: given.serviceAccount ?? ACCOUNT,
    ...given,
    service,
    namespace,
    server,
    suffix: given.suffix ?? "cluster.local",
  };
  const name = `kubernetes:${namespace === undefined ? "" : `${namespace}/`}${service}`;
  return {
    name,
    discover: (_self, signal) => listAndWatch(new ServiceSlices(settings), given.relistInterval, signal),
  };
}

interface Settings {
  readonly service: string;
  readonly namespace: string | undefined;
  readonly port: number | string | undefined;
  readonly addressType: "ip" | "dns";
  readonly suffix: string;
  readonly family: 4 | 6 | undefined;
  readonly server: string;
  readonly token: string | undefined;
  readonly ca: string | undefined;
  readonly account: string;
  readonly timeout: number;
  readonly relistInterval: number;
}

class ServiceSlices implements ListAndWatch {
  readonly #settings: Settings;
  #slices: EndpointSlices | undefined;
  #namespace = "";
  #version = "";

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    this.#namespace = this.#settings.namespace ?? (await this.#accountFile("namespace")) ?? "default";
    this.#slices = new EndpointSlices({ ...this.#settings, namespace: this.#namespace });
    let next = "";
    for (let page = 0; page < MAX_PAGES; page++) {
      const answer = await this.#ask(
        { limit: `${PAGE}`, ...(next === "" ? {} : { continue: next }) },
        signal,
      );
      if (answer.status === HTTP.gone && next !== "") {
        // The page token expired: start again.
        this.#slices.clear();
        next = "";
        continue;
      }
      if (answer.status !== 200) throw this.#refused(answer);
      const { metadata, items } = fieldsOf(answer.body);
      const { resourceVersion, continue: more } = fieldsOf(metadata);
      if (!Array.isArray(items) || typeof resourceVersion !== "string" || resourceVersion === "")
        throw new ProtocolError(`${this.#settings.server}: not a list of EndpointSlices`);
      for (const item of items as readonly unknown[]) this.#slices.set(item);
      this.#version = resourceVersion;
      if (typeof more !== "string" || more === "") return this.#slices.addresses();
      next = more;
    }
    throw new ProtocolError(`${this.#settings.server}: the list has more than ${MAX_PAGES} pages`);
  }

  async *watch(signal: AbortSignal): AsyncGenerator<readonly string[], void, undefined> {
    const slices = this.#slices as EndpointSlices;
    // The server's default is 30 to 60 minutes.
    const seconds = Math.ceil(this.#settings.relistInterval / 1_000) + 10;
    const stream = await this.#open(
      {
        watch: "1",
        allowWatchBookmarks: "true",
        resourceVersion: this.#version,
        timeoutSeconds: `${seconds}`,
      },
      signal,
    );
    if (stream.refusal !== undefined) {
      if (stream.status === HTTP.gone) return;
      throw this.#refused(stream.refusal);
    }
    for await (const line of stream.values) {
      const { type, object } = fieldsOf(line);
      if (type === "BOOKMARK") continue;
      if (type === "ERROR") {
        const { code } = fieldsOf(object);
        if (code === HTTP.gone) return;
        const status = typeof code === "number" ? code : 0;
        throw this.#refused({ status, headers: {}, isJson: true, body: object });
      }
      if (type === "DELETED") slices.delete(object);
      else if (type === "ADDED" || type === "MODIFIED") slices.set(object);
      else throw new ProtocolError(`${this.#settings.server}: unknown change type ${describe(type)}`);
      yield slices.addresses();
    }
  }

  async #ask(query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpAnswer> {
    for (let tries = 1; ; tries++) {
      const answer = await requestJson(await this.#request(query, signal));
      if (!(await this.#waitFor(answer, tries, signal))) return answer;
    }
  }

  async #open(query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpStream> {
    for (let tries = 1; ; tries++) {
      const stream = await requestStream(await this.#request(query, signal));
      if (stream.refusal === undefined || !(await this.#waitFor(stream.refusal, tries, signal)))
        return stream;
    }
  }

  /** @returns whether to repeat, after a throttled wait */
  async #waitFor({ status, headers }: HttpAnswer, tries: number, signal: AbortSignal): Promise<boolean> {
    if ((status !== HTTP.tooMany && status !== HTTP.unavailable) || tries === MAX_TRIES) return false;
    const seconds = Number(headers["retry-after"]);
    const asked = Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : PATIENCE;
    await sleep(Math.min(asked, MAX_PATIENCE) * (1 + Math.random() / 4), signal);
    return true;
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

  #refused({ status, body, isJson }: HttpAnswer): ShoalError {
    const { server, service } = this.#settings;
    const said = isJson ? fieldsOf(body).message : body;
    const message = typeof said === "string" && said !== "" ? said.split("\n", 1)[0]?.slice(0, 300) : "";
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
