/**
 * Discovery by etcd v3: each node puts its address under PREFIX/GROUP/ID with a lease.
 *
 *     grant ──► put ──► keep alive, every third of the ttl ──► revoke, when the node leaves
 *       ▲                 │ the lease is lost
 *       └─────────────────┘
 *
 * A pause of etcd or this node beyond the TTL, or a wiped etcd, loses the lease. A key that is deleted, or has
 * another value, is put again with the next renewal.
 */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import {
  anything,
  boolean,
  checkOptions,
  type GivenWith,
  integer,
  text,
} from "../../patterns/kit/options.js";
import { EtcdGateway, type EtcdSettings } from "./etcd-gateway.js";
import { checkTls, type DiscoveryTls, originOf } from "./http.js";
import { listAndWatch } from "./list-watch.js";
import { type DiscoverySelf, type DiscoverySource, MAX_SOURCE_NAME, Scope, sleep } from "./source.js";

const MAX_SERVERS = 16;

const OPTIONS = {
  /** 1 to 16 servers, "http://host:port" or "https://host:port". Default scheme: https with `tls`, else http. */
  servers: anything<string | readonly string[]>(),
  /** Key prefix before the cluster name. Default `shoal`. */
  prefix: text(),
  /** ms before a killed node's key expires, from 1,000, rounded to seconds. Default 60,000. */
  ttl: integer({ default: 60_000, min: 1_000, max: 86_400_000 }),
  /** Whether to write this node's address; without, it only reads. Default `true`. */
  publish: boolean(true),
  /** User with read and write permission under the prefix, if authentication is on. */
  username: text(),
  password: text(),
  /** Trust and client certificate for https servers. */
  tls: anything<DiscoveryTls>(),
  /** ms for a server's answer before the next is asked. Default 3,000. */
  timeout: integer({ default: 3_000, min: 10, max: 600_000 }),
  /** ms between lists of all keys, in case a watch died silently. Default 30,000. */
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
  const tls = checkTls("tls", given.tls);
  const { username, password, timeout, ttl, publish, relistInterval } = given;
  if ((username === undefined) !== (password === undefined))
    throw new InvalidArgumentError("etcdSource needs both username and password, or neither");
  const servers = serversOf(given.servers, tls !== undefined);
  const prefix = prefixOf(given.prefix ?? "shoal");
  const settings: DiscoverySettings = {
    gateway: { servers, username, password, tls, timeout },
    prefix,
    seconds: Math.ceil(ttl / 1_000),
    publish,
    relistInterval,
  };
  const name = `etcd:${new URL(servers[0] as string).host}/${prefix}`.slice(0, MAX_SOURCE_NAME);
  return { name, discover: (self, signal) => new EtcdDiscovery(settings, self, signal).lists() };
}

interface DiscoverySettings {
  readonly gateway: EtcdSettings;
  readonly prefix: string;
  /** Time to live of the lease. */
  readonly seconds: number;
  readonly publish: boolean;
  readonly relistInterval: number;
}

class EtcdDiscovery {
  readonly #settings: DiscoverySettings;
  readonly #gateway: EtcdGateway;
  readonly #folder: string;
  readonly #key: string;
  readonly #self: DiscoverySelf;
  readonly #signal: AbortSignal;
  readonly #records = new Map<string, string>();
  #revision = 0n;
  #lease: string | undefined;

  constructor(settings: DiscoverySettings, self: DiscoverySelf, signal: AbortSignal) {
    this.#settings = settings;
    this.#gateway = new EtcdGateway(settings.gateway);
    this.#folder = `${settings.prefix}/${encodeURIComponent(self.group)}/`;
    this.#key = `${this.#folder}${self.id}`;
    this.#self = self;
    this.#signal = signal;
  }

  async *lists(): AsyncGenerator<readonly string[], void, undefined> {
    const { publish, relistInterval } = this.#settings;
    const scope = new Scope(this.#signal);
    let failure: { readonly error: unknown } | undefined;
    let published: Promise<void> | undefined;
    try {
      const server = {
        list: async (signal: AbortSignal) => {
          const list = await this.#list(signal);
          // Listing comes first: a node that may not write still finds others.
          if (publish)
            published ??= this.#publish(scope.signal).catch((error: unknown) => {
              failure = { error };
              scope.end();
            });
          return list;
        },
        watch: (signal: AbortSignal) => this.#watch(signal),
      };
      for await (const list of listAndWatch(server, relistInterval, scope.signal)) yield list;
      if (failure !== undefined) throw failure.error;
    } catch (error) {
      throw failure === undefined ? error : failure.error;
    } finally {
      scope.end();
      await published;
      if (this.#signal.aborted) await this.#withdraw();
    }
  }

  async #list(signal: AbortSignal): Promise<readonly string[]> {
    const { records, revision } = await this.#gateway.list(this.#folder, signal);
    this.#revision = revision;
    this.#records.clear();
    for (const { key, value } of records) this.#records.set(key, value);
    return this.#addresses();
  }

  async *#watch(signal: AbortSignal): AsyncGenerator<readonly string[], void, undefined> {
    for await (const changes of this.#gateway.watch(this.#folder, this.#revision, signal)) {
      for (const { key, value } of changes) {
        if (value === undefined) this.#records.delete(key);
        else this.#records.set(key, value);
      }
      yield this.#addresses();
    }
  }

  #addresses(): readonly string[] {
    // Readers count invalid addresses.
    return Array.from(this.#records.values(), (value) =>
      value.length <= 512 ? value : `(${value.length} characters)`,
    );
  }

  /** Runs until the signal aborts; throws on failure. */
  async #publish(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { id, seconds } = await this.#gateway.grant(this.#settings.seconds, signal);
      this.#lease = id;
      let put: string | undefined;
      for (let left = seconds; left > 0 && !signal.aborted; left = await this.#renew(id, signal)) {
        // It may change at runtime.
        const { address } = this.#self;
        if (put !== address || this.#records.get(this.#key) !== address)
          await this.#gateway.put({ key: this.#key, value: address }, id, signal);
        put = address;
        await sleep((left / 3) * 1_000, signal);
      }
    }
  }

  async #renew(id: string, signal: AbortSignal): Promise<number> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#gateway.keepAlive(id, signal);
      } catch (error) {
        if (signal.aborted) return 0;
        if (tries === 3) throw error;
        await sleep(500, signal);
      }
    }
  }

  async #withdraw(): Promise<void> {
    if (this.#lease === undefined) return;
    try {
      await this.#gateway.revoke(this.#lease, AbortSignal.timeout(900));
    } catch {
      // The lease expires without it.
    }
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
      throw new InvalidArgumentError(
        `a server of etcdSource must be "http://host:port" or "https://host:port"; got ${describe(each)}`,
      );
    if (secure && url.protocol === "http:")
      throw new InvalidArgumentError(`etcdSource with tls needs https servers; got ${url.origin}`);
    return url.origin;
  });
}

function prefixOf(given: string): string {
  const prefix = given.replace(/\/+$/, "");
  if (prefix === "" || prefix.length > 256)
    throw new InvalidArgumentError(
      `prefix of etcdSource must be a text of 1 to 256 characters; got ${describe(given)}`,
    );
  return prefix;
}
