/**
 * `--connect cluster:NAME`: the endpoints that members of a cluster advertise under a name.
 *
 *   options ──> a node for the time of the command ──> resolver of NAME ──> socket or pattern
 */
import { ClusterNode, parseDiscovery } from "../cluster/index.js";
import { defined, suggest } from "../core/arguments.js";
import type { EndpointSource } from "../index.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { type ClusterSettings, isOfCluster, SCHEME } from "./options.js";
import { readKeyFile, readPasswordFile } from "./security.js";

/** ms without an endpoint before a warning. */
const TIMEOUT = 3_000;

/** Advertised endpoints belong to a proxy, which drains by itself. */
const NOTHING_TO_DRAIN = { drain: async () => undefined, close: async () => undefined };

/** @param command name of the node @throws UsageError for an invalid NAME, cluster or key; Failure */
export async function clusterEndpoints(
  command: string,
  connect: readonly string[],
  settings: ClusterSettings,
  log: Log,
): Promise<ClusterEndpoints> {
  const { clusterName: cluster, clusterKey, clusterPasswordFile: file } = settings;
  const names = connect.filter(isOfCluster).map(nameOf);
  const fixed = connect.filter((endpoint) => !isOfCluster(endpoint));
  if (clusterKey !== undefined && file !== undefined)
    throw new UsageError("expected --cluster-key or --cluster-password-file, not both");
  const key = clusterKey === undefined ? undefined : await readKeyFile(clusterKey);
  const password = file === undefined ? undefined : await readPasswordFile(file);
  const discovery = await asUsage(() => settings.clusterDiscovery?.map(parseDiscovery));
  const scope = key === undefined && password === undefined ? undefined : ("link" as const);
  const name = `shoal-${command.replace(/[^A-Za-z0-9]+/g, "-")}-${process.pid}`;
  const options = { name, ...defined({ cluster, key, password, scope, discovery }) };
  return new ClusterEndpoints(await asUsage(() => new ClusterNode(options)), names, fixed, log);
}

function nameOf(endpoint: string): string {
  const name = endpoint.slice(SCHEME.length);
  if (name === "" || /[\s=/]/.test(name))
    throw new UsageError(
      `${endpoint}: expected cluster:NAME, with a name that members advertise endpoints under`,
    );
  return name;
}

/** A node that resolves names, next to fixed endpoints, and can advertise endpoints. Opens nothing before `start`. */
export class ClusterEndpoints implements EndpointSource {
  readonly #node: ClusterNode;
  readonly #names: readonly string[];
  readonly #fixed: readonly string[];
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #isAnnounced = false;

  constructor(node: ClusterNode, names: readonly string[], fixed: readonly string[], log: Log) {
    this.#node = node;
    this.#names = names;
    this.#fixed = fixed;
    this.#log = log;
  }

  async start(): Promise<void> {
    await asUsage(() => this.#node.start());
  }

  async *endpoints(signal: AbortSignal): AsyncGenerator<readonly string[], void, undefined> {
    const resolver = this.#node.resolver({ some: this.#names });
    let isKnown = false;
    this.#timer ??= setTimeout(() => {
      if (!isKnown && !signal.aborted) this.#log.warnOnce(this.#whyNone());
    }, TIMEOUT).unref();
    for await (const endpoints of resolver.endpoints(signal)) {
      if (endpoints.length > 0) isKnown = true;
      this.#log.debug(`${this.#names.join(", ")}: ${endpoints.length === 0 ? "none" : endpoints.join(", ")}`);
      yield [...this.#fixed, ...endpoints];
    }
  }

  /** @throws UsageError for an invalid name or endpoint */
  async announce(name: string, endpoints: readonly string[]): Promise<void> {
    await asUsage(() => this.#node.announce({ [name]: endpoints }, NOTHING_TO_DRAIN));
    this.#isAnnounced = true;
  }

  /** Settles when the other members know. */
  async withdraw(): Promise<void> {
    if (this.#isAnnounced) await this.#node.drain();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#node.close({ linger: 200 });
  }

  #whyNone(): string {
    const members = this.#node.members({ self: false });
    const known = [...new Set(members.flatMap(({ endpoints }) => Object.keys(endpoints)))];
    const [name] = this.#names as [string];
    const what = `no member of the cluster ${this.#node.cluster} advertises ${this.#names.join(", ")} yet`;
    if (members.length === 0) return `${what}: no other node is there`;
    return `${what}${suggest(name, known)}`;
  }
}
