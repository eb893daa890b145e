/**
 * Discovery by etcd v3, through its JSON gateway: each node puts its address under PREFIX/GROUP/ID with a lease.
 *
 *     list ──► grant ──► put ──► pause, a third of the ttl at most ──► list ──► keep alive …     revoke, when the node leaves
 *
 * A pause of etcd or this node beyond the TTL, or a wiped etcd, loses the lease, and another is granted. A key that is
 * missing in a list, or has another value, is put again.
 *
 * etcd's watches are not used: they may die silently, and only a starting node needs the list.
 */
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
  boolean,
  checkOptions,
  type GivenWith,
  integer,
  type Settings,
  text,
} from "../../kit/options.js";
import { MAX_MEMBERS, MAX_NAME, MAX_SERVERS } from "../bounds.js";
import {
  checkDiscoveryTls,
  type DiscoveryTls,
  fieldsOf,
  firstLine,
  type HttpAnswer,
  itemsOf,
  originOf,
  requestJson,
} from "./http.js";
import { type DiscoverySelf, type DiscoverySource, pauseAfter } from "./source.js";

const OPTIONS = {
  /** 1 to 16 servers, "http://host:port" or "https://host:port". Default scheme: https with `tls`, else http. */
  servers: anything<string | readonly string[]>(),
  /** Key prefix before the cluster name. Default `shoal`. */
  prefix: text(),
  /** ms before a killed node's key expires, from 1,000, rounded to seconds. Default 60,000. */
  ttl: integer({ default: 60_000, min: 1_000, max: 86_400_000 }),
  /** Whether to write this node's address; without, it only reads. Default `true`. */
  publish: boolean(true),
  /** Trust and client certificate for https servers. */
  tls: anything<DiscoveryTls>(),
  /** ms for a server's answer before the next is asked. Default 3,000. */
  timeout: integer({ default: 3_000, min: 10, max: 600_000 }),
  /**
   * Longest time between lists of all keys, ms; the first come 1, 2, 4 … s after each other. At most a third of `ttl`, and
   * 5,000 while nobody else is listed. Default 30,000.
   */
  relistInterval: integer({ default: 30_000, min: 100, max: 86_400_000 }),
};

/** Options of {@link etcdSource}. */
export type EtcdSourceOptions = GivenWith<typeof OPTIONS, "servers">;

/**
 * Finds nodes by etcd keys PREFIX/GROUP/ID with value "host:port", including other programs'. A leaving node
 * deletes its key; a killed node's expires.
 *
 * The source is down while no server answers, or one refuses (`ECONNREFUSED`, `ETIMEDOUT`,
 * `ERR_AUTHENTICATION`, `ERR_PROTOCOL`, `ERR_TRANSPORT`). Requires etcd 3.4 or later with its JSON gateway,
 * which is on by default.
 *
 * @throws InvalidArgumentError `EINVAL`
 */
export function etcdSource(options: EtcdSourceOptions): DiscoverySource {
  const given = checkOptions("etcdSource", OPTIONS, options);
  const tls = checkDiscoveryTls("tls", given.tls);
  const servers = serversOf(given.servers, tls !== undefined);
  const prefix = prefixOf(given.prefix ?? "shoal");
  const settings = { ...given, servers, prefix, tls };
  const name = `etcd:${new URL(servers[0] as string).host}/${prefix}`.slice(0, MAX_NAME);
  return { name, discover: (self, signal) => listsOf(settings, self, signal) };
}

interface EtcdSettings extends Settings<typeof OPTIONS> {
  readonly servers: readonly string[];
  readonly prefix: string;
}

async function* listsOf(
  settings: EtcdSettings,
  self: DiscoverySelf,
  signal: AbortSignal,
): AsyncGenerator<readonly string[], void, undefined> {
  const { publish, relistInterval } = settings;
  const gateway = new EtcdGateway(settings);
  const folder = `${settings.prefix}/${encodeURIComponent(self.cluster)}/`;
  const key = `${folder}${self.id}`;
  let lease: string | undefined;
  /** @returns seconds that the lease has left */
  const put = async (records: readonly EtcdRecord[]): Promise<number> => {
    const before = lease;
    let seconds = before === undefined ? 0 : await gateway.keepAlive(before, signal);
    if (seconds === 0) {
      const granted = await gateway.grant(Math.ceil(settings.ttl / 1_000), signal);
      lease = granted.id;
      seconds = granted.seconds;
    }
    // It may change at runtime.
    const { address: value } = self;
    const isListed = records.some((record) => record.key === key && record.value === value);
    if (!isListed || lease !== before) await gateway.put({ key, value }, lease as string, signal);
    return seconds;
  };
  try {
    for (let lists = 0; !signal.aborted; lists++) {
      const records = await gateway.list(folder, signal);
      // Readers count invalid addresses.
      yield records.map(({ value }) => (value.length <= 512 ? value : `(${value.length} characters)`));
      // After the list: a node that may not write still finds others.
      const seconds = publish ? await put(records) : Number.POSITIVE_INFINITY;
      // Of nodes that start together, each but the first to put its key finds the others in its second list.
      if (publish && lists === 0) continue;
      const pause = pauseAfter(lists, records.length, relistInterval);
      await sleep(Math.min(pause, (seconds / 3) * 1_000), signal);
    }
  } finally {
    if (signal.aborted && lease !== undefined)
      await gateway.revoke(lease, AbortSignal.timeout(900)).catch(() => undefined); // It expires by itself.
  }
}

function serversOf(given: unknown, secure: boolean): readonly string[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : given === undefined ? [] : [given];
  if (list.length === 0 || list.length > MAX_SERVERS)
    throw new InvalidArgumentError(
      `servers of etcdSource must be 1 to ${MAX_SERVERS} URLs such as "http://127.0.0.1:2379"; got ${list.length}`,
    );
  return list.map((each) => {
    const url =
      typeof each === "string"
        ? originOf(each.includes("://") ? each : `${secure ? "https" : "http"}://${each}`)
        : undefined;
    if (url === undefined)
      throw invalidArgument('a server of etcdSource must be "http://host:port" or "https://host:port"', each);
    if (secure && url.protocol === "http:")
      throw new InvalidArgumentError(`etcdSource with tls needs https servers; got ${url.origin}`);
    return url.origin;
  });
}

function prefixOf(given: string): string {
  const prefix = given.replace(/\/+$/, "");
  if (prefix === "" || prefix.length > 256)
    throw invalidArgument("prefix of etcdSource must be a text of 1 to 256 characters", given);
  return prefix;
}

// --- Gateway ---------------------------------------------------------------------------------------------------------

/** gRPC codes of permanent errors. */
const GRPC = { invalidArgument: 3, notFound: 5, permissionDenied: 7, unauthenticated: 16 } as const;

type GatewaySettings = Pick<EtcdSettings, "servers" | "tls" | "timeout">;

interface EtcdRecord {
  readonly key: string;
  readonly value: string;
}

/** @returns the error of a refusal, and whether other servers would refuse, too */
function refusalOf(server: string, { status, body }: HttpAnswer): { error: ShoalError; isFinal: boolean } {
  const { code, message, error } = fieldsOf(body);
  const text = firstLine(message ?? error ?? `status ${status}`);
  const details = { endpoint: server };
  // etcd that wants a user reports that in words alone.
  if (code === GRPC.permissionDenied || code === GRPC.unauthenticated || /user name is empty/.test(text))
    return {
      error: new HandshakeError("ERR_AUTHENTICATION", `${server}: ${text}`, details),
      isFinal: true,
    };
  if (status === 404 && typeof code !== "number") {
    const reason = `${server} has no JSON gateway: it must be etcd 3.4 or later without --enable-grpc-gateway=false`;
    return { error: new ProtocolError(reason, "ERR_PROTOCOL", details), isFinal: true };
  }
  return {
    error: new TransportError("ERR_TRANSPORT", `${server}: ${text} (status ${status})`, details),
    isFinal: status === 404 || code === GRPC.invalidArgument || code === GRPC.notFound,
  };
}

/**
 * Calls etcd's v3 API through its JSON gateway.
 *
 * | Call | Path | Answer |
 * | --- | --- | --- |
 * | list | `/v3/kv/range` | keys under a prefix |
 * | put | `/v3/kv/put` | |
 * | grant, keep alive, revoke | `/v3/lease/grant`, `…/keepalive`, `…/revoke` | seconds; missing if lost |
 *
 * Keys and values are base64, 64-bit numbers are decimal texts, and zero, false and empty fields are omitted.
 *
 * A failed call goes to each other server once.
 */
export class EtcdGateway {
  readonly #settings: GatewaySettings;
  #at = 0;

  constructor(settings: GatewaySettings) {
    this.#settings = settings;
    // Spreads nodes over the servers.
    this.#at = Math.floor(Math.random() * settings.servers.length);
  }

  async list(prefix: string, signal: AbortSignal): Promise<readonly EtcdRecord[]> {
    const body = { key: encode(prefix), range_end: endOf(prefix), limit: `${MAX_MEMBERS}` };
    const { header, kvs } = fieldsOf(await this.#call("/v3/kv/range", body, signal));
    if (typeof fieldsOf(header).revision !== "string")
      throw new ProtocolError("the answer of etcd has no revision");
    return itemsOf(kvs)
      .map(fieldsOf)
      .map(({ key, value }) => ({ key: decode(key), value: decode(value) }));
  }

  async put({ key, value }: EtcdRecord, lease: string, signal: AbortSignal): Promise<void> {
    await this.#call("/v3/kv/put", { key: encode(key), value: encode(value), lease }, signal);
  }

  async grant(seconds: number, signal: AbortSignal): Promise<{ id: string; seconds: number }> {
    const { ID, TTL } = fieldsOf(await this.#call("/v3/lease/grant", { TTL: `${seconds}` }, signal));
    if (typeof ID !== "string" || !/^\d{1,20}$/.test(ID))
      throw new ProtocolError(`${this.#server}: the lease has no id`);
    const given = secondsOf(TTL);
    // It would expire at once.
    if (given === 0) throw new ProtocolError(`${this.#server}: the lease has no time to live`);
    return { id: ID, seconds: given };
  }

  /** @returns seconds, or 0 if the lease is lost */
  async keepAlive(id: string, signal: AbortSignal): Promise<number> {
    const { result } = fieldsOf(await this.#call("/v3/lease/keepalive", { ID: id }, signal));
    return secondsOf(fieldsOf(result).TTL);
  }

  async revoke(id: string, signal: AbortSignal): Promise<void> {
    await this.#call("/v3/lease/revoke", { ID: id }, signal);
  }

  get #server(): string {
    return this.#settings.servers[this.#at] as string;
  }

  async #call(path: string, body: object, signal: AbortSignal): Promise<unknown> {
    const { servers, tls, timeout } = this.#settings;
    // A server without a leader then refuses at once.
    const headers = { "grpc-metadata-hasleader": "true" };
    let last: unknown;
    for (let asked = 0; asked < servers.length; asked++) {
      const server = this.#server;
      const url = new URL(path, server);
      const request = { url, headers, body: JSON.stringify(body), tls, timeout, signal };
      try {
        const answer = await requestJson({ ...request, method: "POST" });
        if (answer.status === 200) return answer.body;
        const { error, isFinal } = refusalOf(server, answer);
        last = error;
        if (isFinal) break;
      } catch (error) {
        if (signal.aborted) throw error;
        last = error;
      }
      this.#at = (this.#at + 1) % servers.length;
    }
    throw last;
  }
}

function secondsOf(value: unknown): number {
  const seconds = Math.floor(Number(value ?? 0));
  // A timer above 24 days fires at once.
  return seconds > 0 ? Math.min(seconds, 86_400) : 0;
}

/** First key after a prefix that ends in plain ASCII. */
function endOf(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return encode(prefix.slice(0, -1) + String.fromCharCode(last + 1));
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64");
}

function decode(value: unknown): string {
  return typeof value === "string" ? Buffer.from(value, "base64").toString() : "";
}
