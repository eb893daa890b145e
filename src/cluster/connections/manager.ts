/**
 * Keeps a node connected to a list of addresses, the same list on every node: which of them is the node's own it finds out.
 * The streams are the node's (net/links.ts), which dials them with back-off and jitter.
 */
import { checkInteger, checkKeys, describe } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import { MAX_SEEDS } from "../bounds.js";
import { Names } from "../discovery/names.js";
import { canonicalAddress, checkAddress, splitIpAddress } from "../net/addresses.js";
import type { ClusterBus } from "../node/bus.js";
import type { Service } from "../node/service.js";
import { type ConnectionError, ConnectionList, type ConnectionState, withPort } from "./rules.js";

/** Options of a {@link ConnectionManager}. */
export interface ConnectionManagerOptions {
  /** Of addresses that are given without one. Default: that of the node. */
  readonly port?: number | undefined;
}

/** How it stands with one address of the list. Frozen. */
export interface ConnectionStatus {
  /** As it was given, with its port. */
  readonly address: string;
  /** What it resolves to, "host:port"; `undefined` for a name that has no address now. A name with several has a status for each. */
  readonly resolved: string | undefined;
  /** `self`: it is this node's own, and is not dialled. `broken` is dialled again, with back-off. */
  readonly state: ConnectionState;
  /** Who is there, as far as it is a member. */
  readonly member: Service | undefined;
  /** Wall clock in ms since which it has this state. */
  readonly since: number;
  /** Attempts since it was connected last, the one that runs included. */
  readonly attempts: number;
  /** Why it is not connected, of the last attempt. */
  readonly error: ConnectionError | undefined;
}

/** Statistics of a connection manager: addresses of its list, names resolved, by their state. */
export interface ConnectionManagerStats {
  readonly self: number;
  readonly connecting: number;
  readonly connected: number;
  readonly broken: number;
}

/**
 * Connects a node to a list of addresses and keeps these connections, whether its membership would need them or not.
 *
 * The node has to be started. What leaves the list is not dialled any more: its stream closes when it has been idle for 15 s, and the
 * node there stays a member, for membership is decided by the nodes, not by a list. `node.remove` removes one.
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
  readonly #bus: ClusterBus;
  readonly #port: number | undefined;
  readonly #list = new ConnectionList();
  readonly #names: Names;
  /** Those that this manager made seeds. */
  readonly #joined = new Set<string>();
  #closed = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad port */
  constructor(node: ClusterBus, options: ConnectionManagerOptions = {}) {
    checkKeys("ConnectionManager", options, ["port"]);
    const { port } = options;
    if (port !== undefined) checkInteger("port", port, 1, 65_535);
    this.#bus = node;
    this.#port = port;
    this.#names = new Names(
      {
        changed: () => this.#update(),
        failed: () => undefined, // `status` has the error.
        isAlone: () => node.closed || node.stats().members <= 1,
      },
      (name) => node.resolveName(name),
    );
    node.onEnd(() => {
      this.#names.stop();
      node.keepStreams(this, []);
    });
  }

  /**
   * Sets the list, replaces it, or removes it (`[]`). The same list on every node is fine, in any order.
   *
   * @param addresses "host:port", "host", or names in place of hosts; at most 448 (a node has 512 streams); with the seeds of the node at most 1,024
   * @throws InvalidArgumentError `EINVAL` for what is not an address, and for one elsewhere without the scope `link`; nothing has
   *   changed then. InvalidStateError `EFSM` before the node was started; ClosedError `EBADF` after `shutdown`
   */
  setList(addresses: readonly string[]): void {
    if (!Array.isArray(addresses))
      throw new InvalidArgumentError(`a list is an array of addresses; got ${describe(addresses)}`);
    this.#replace(addresses.map((address) => this.#complete(address, undefined)));
  }

  /**
   * Adds one address; one that is there already changes nothing.
   *
   * @param port where the address has none
   * @throws as `setList`
   */
  add(address: string, port?: number): void {
    this.#replace([...this.#list.addresses, this.#complete(address, port)]);
  }

  /** How it stands with each address, in the order of the list. */
  status(): ConnectionStatus[] {
    if (this.#bus.closed) return [];
    const members = new Map(this.#bus.members({ self: false }).map((each) => [each.addresses[0], each]));
    const rows = this.#list.status(
      this.#resolve,
      (address) => this.#bus.streamState(address),
      (address) => this.#names.errorOf(address),
    );
    return rows.map(({ address, resolved, state, since, attempts, error, peer }) => {
      const member = members.get(resolved) ?? (peer === undefined ? undefined : members.get(peer));
      return Object.freeze({ address, resolved, state, member, since, attempts, error });
    });
  }

  stats(): ConnectionManagerStats {
    const counts = { self: 0, connecting: 0, connected: 0, broken: 0 };
    if (this.#bus.closed) return counts;
    for (const { state } of this.#list.status(this.#resolve, (address) => this.#bus.streamState(address)))
      counts[state] += 1;
    return counts;
  }

  /** @internal The name of the class, for metrics. */
  get driverName(): string {
    return "ConnectionManager";
  }

  /** Whether `shutdown` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Ends the manager: the node's listeners for streams are closed, nothing of the list is dialled any more, and the streams that there are
   * stay for as long as both nodes live. The node stays a member. Calling it twice is calling it once.
   */
  async shutdown(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#names.stop();
    if (this.#bus.closed) return;
    await this.#bus.stopListening();
    this.#bus.keepStreams(this, []);
    this.#forget([...this.#joined]);
  }

  #complete(address: unknown, port: number | undefined): string {
    if (typeof address !== "string" || address === "")
      throw new InvalidArgumentError(`an address is "host" or "host:port"; got ${describe(address)}`);
    this.#bus.checkReachable([]);
    const own = port ?? this.#port ?? Number(/\d+$/.exec(this.#bus.address)?.[0] ?? 0);
    const complete = withPort(address, own);
    checkAddress("an address of the list", complete);
    return canonicalAddress(complete);
  }

  #replace(addresses: readonly string[]): void {
    if (this.#closed) throw new ClosedError("EBADF", "the connection manager is shut down");
    this.#bus.checkReachable(addresses);
    const wanted = new Set(addresses);
    this.#list.check(wanted);
    // Before anything changes: the node takes no more seeds, and would refuse these when the list is another already.
    const others = this.#bus.seeds.filter((seed) => !wanted.has(seed) && !this.#joined.has(seed));
    const seeds = others.length + wanted.size;
    if (seeds > MAX_SEEDS) throw new InvalidArgumentError(`seeds are ${MAX_SEEDS} at most; got ${seeds}`);
    const { removed } = this.#list.set(addresses, Date.now());
    this.#forget(removed);
    // Names and addresses are dialled by the membership, too: a node that is there becomes a member.
    const known = new Set(this.#bus.seeds);
    const added = this.#list.addresses.filter((address) => !known.has(address));
    for (const address of added) this.#joined.add(address);
    this.#bus.join(...added);
    this.#names.set(new Set(this.#list.addresses.filter((each) => splitIpAddress(each) === undefined)));
    this.#update();
  }

  #forget(addresses: readonly string[]): void {
    const own = addresses.filter((address) => this.#joined.delete(address));
    if (own.length > 0) this.#bus.forget(...own);
  }

  #resolve = (address: string): readonly string[] =>
    splitIpAddress(address) === undefined ? this.#names.get(address) : [address];

  #update(): void {
    if (this.#closed || this.#bus.closed) return;
    this.#bus.keepStreams(this, [...this.#list.wanted(this.#resolve)]);
  }
}
