/**
 * Keeps a node connected to a list of addresses, which may be the same on every node. The node (net/streams.ts) dials the
 * streams, with back-off and jitter.
 */
import { checkInteger, checkKeys, invalidArgument } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import type { CONNECTIONS } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { MAX_KEPT_ADDRESSES, MAX_SEEDS } from "../bounds.js";
import { canonicalAddress, checkAddress, splitIpAddress } from "../net/addresses.js";
import type { StreamState } from "../net/streams.js";
import type { Member } from "../node/member.js";
import type { ClusterNamespace } from "../node/namespace.js";

export interface ConnectionManagerOptions {
  /** Default port of addresses. Default: the node's port. */
  readonly port?: number | undefined;
}

export interface ConnectionStatus extends Omit<StreamState, "peer"> {
  /** As given, with its port. */
  readonly address: string;
  /** "host:port"; `undefined` while a name has no address. A name with several addresses has a status for each. */
  readonly resolved: string | undefined;
  readonly member: Member | undefined;
}

type Row = StreamState & Pick<ConnectionStatus, "address" | "resolved">;

/** Resolved addresses by state. */
export type ConnectionManagerStats = StatisticsOf<typeof CONNECTIONS>;

/**
 * Connects a started node to a list of addresses and keeps these connections, even if membership does not need them.
 *
 * Addresses that leave the list are no longer dialled: their streams close after 15 s without use, and the nodes there
 * stay members.
 *
 * @example
 * ```ts
 * import { ClusterNode, ConnectionManager } from "shoal/cluster";
 *
 * const nodes = ["a", "b"].map((name) => new ClusterNode({ name, password: "correct horse battery", multicast: false }));
 * await Promise.all(nodes.map((node) => node.start()));
 * const manager = new ConnectionManager(nodes[0], { port: 7946 });
 * manager.setList([nodes[1].address]); // Or names: ["db1.example", "db2.example:7946"]
 * await new Promise((resolve) => nodes[0].events.once("joined", resolve));
 * console.log(manager.status().length); // 1
 * await Promise.all(nodes.map((node) => node.close({ linger: 0 })));
 * ```
 */
export class ConnectionManager {
  readonly #namespace: ClusterNamespace;
  readonly #port: number | undefined;
  /** "host:port" in the given order. */
  #list: ReadonlySet<string> = new Set();
  /** Addresses that this manager added to the node's seeds. */
  #joined: ReadonlySet<string> = new Set();
  #closed = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad port */
  constructor(node: ClusterNamespace, options: ConnectionManagerOptions = {}) {
    checkKeys("ConnectionManager", options, ["port"]);
    const { port } = options;
    if (port !== undefined) checkInteger("port", port, 1, 65_535);
    if (typeof node?.onEnd !== "function")
      throw invalidArgument("a ConnectionManager must be given a node", node);
    this.#namespace = node;
    this.#port = port;
    this.#namespace.parts.discovery.watchers.add(() => this.#update());
    node.onEnd(() => node.parts.sockets.watch(this, []));
  }

  /**
   * Replaces the list. Every node may have the same list, in any order.
   *
   * @param addresses "host:port" or "host" each; a host may be a name. At most 448, since a node has 768 streams; at
   * most 1,024 with the node's seeds
   * @throws InvalidArgumentError `EINVAL` for an invalid address, or one on another host without the scope `link`;
   * nothing has changed then. InvalidStateError `EFSM` before the start of the node; ClosedError `EBADF` after
   * `shutdown`, `EAGAIN` while the node drains
   */
  setList(addresses: readonly string[]): void {
    if (!Array.isArray(addresses)) throw invalidArgument("a list must be an array of addresses", addresses);
    this.#replace(addresses.map((address) => this.#complete(address, undefined)));
  }

  /**
   * Adds an address, unless it is listed already.
   *
   * @param port if the address has none
   * @throws as `setList`
   */
  add(address: string, port?: number): void {
    this.#replace([...this.#list, this.#complete(address, port)]);
  }

  /** Status of each address, in the order of the list. */
  status(): ConnectionStatus[] {
    if (this.#namespace.closed) return [];
    const members = new Map(
      this.#namespace.members({ self: false }).map((each) => [each.addresses[0], each]),
    );
    return this.#streams().map(({ peer, ...row }) => {
      const member = members.get(row.resolved) ?? (peer === undefined ? undefined : members.get(peer));
      return Object.freeze({ ...row, member });
    });
  }

  stats(): ConnectionManagerStats {
    const counts = { self: 0, connecting: 0, connected: 0, broken: 0 };
    if (this.#namespace.closed) return counts;
    for (const { state } of this.#streams()) counts[state] += 1;
    return counts;
  }

  /** @internal */
  get driverName(): string {
    return "ConnectionManager";
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Stops dialling, and closes the node's listeners for streams. Existing streams stay while both nodes live, and the
   * node stays a member.
   */
  async shutdown(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#namespace.closed) return;
    await this.#namespace.parts.sockets.streams.stopListening();
    if (this.#namespace.closed) return;
    this.#namespace.parts.sockets.watch(this, []);
    this.#setSeeds(new Set());
  }

  #complete(address: unknown, port: number | undefined): string {
    if (typeof address !== "string" || address === "")
      throw invalidArgument('an address must be "host" or "host:port"', address);
    if (port !== undefined) checkInteger("port", port, 1, 65_535);
    this.#namespace.checkReachable([]);
    const own = port ?? this.#port ?? Number(/\d+$/.exec(this.#namespace.address)?.[0] ?? 0);
    const complete = withPort(address, own);
    checkAddress("an address of the list", complete);
    return canonicalAddress(complete);
  }

  #replace(addresses: readonly string[]): void {
    if (this.#closed) throw new ClosedError("EBADF", "the ConnectionManager is shut down");
    this.#namespace.checkReachable(addresses);
    const wanted = new Set(addresses);
    if (wanted.size > MAX_KEPT_ADDRESSES)
      throw new InvalidArgumentError(
        `a list can have at most ${MAX_KEPT_ADDRESSES} addresses; got ${wanted.size}`,
      );
    this.#setSeeds(wanted);
    this.#list = wanted;
    this.#update();
  }

  /** Membership dials the addresses, too, so that nodes there become members. Their names are looked up with the seeds'. */
  #setSeeds(wanted: ReadonlySet<string>): void {
    const others = new Set(this.#namespace.parts.discovery.seeds.filter((seed) => !this.#joined.has(seed)));
    const joined = [...wanted].filter((address) => !others.has(address));
    const seeds = [...others, ...joined];
    if (seeds.length > MAX_SEEDS)
      throw new InvalidArgumentError(`a node can have at most ${MAX_SEEDS} seeds; got ${seeds.length}`);
    this.#joined = new Set(joined);
    this.#namespace.parts.discovery.setSeeds(seeds);
  }

  #resolve(address: string): readonly string[] {
    return splitIpAddress(address) === undefined
      ? this.#namespace.parts.discovery.names.get(address)
      : [address];
  }

  /** A row per address that an entry resolves to, or one for a name without addresses. */
  #streams(): Row[] {
    const { streams } = this.#namespace.parts.sockets;
    return [...this.#list].flatMap((address): Row[] => {
      const found = this.#resolve(address);
      if (found.length > 0)
        return found.map((resolved) => ({ address, resolved, ...streams.state(resolved) }));
      const message =
        this.#namespace.parts.discovery.names.errorOf(address)?.message ?? "the name has no address";
      const error = { code: "ENOTFOUND", message };
      return [{ address, resolved: undefined, state: "broken", attempts: 0, error, peer: undefined }];
    });
  }

  #update(): void {
    if (this.#closed || this.#namespace.closed) return;
    const wanted = [...this.#list].flatMap((address) => this.#resolve(address));
    this.#namespace.parts.sockets.watch(this, [...new Set(wanted)]);
  }
}

export function withPort(address: string, port: number): string {
  // More than one colon without brackets is an IPv6 address.
  const isBare = !address.startsWith("[") && address.indexOf(":") !== address.lastIndexOf(":");
  if (!isBare && /:\d+$/.test(address)) return address;
  return isBare ? `[${address}]:${port}` : `${address}:${port}`;
}
