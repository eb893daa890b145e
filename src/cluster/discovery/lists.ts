/** Sources without a network: a fixed list, and one changed by the program. */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { checkAddress } from "../net/addresses.js";
import { AddressFeed, type DiscoverySelf, type DiscoverySource } from "./source.js";

function checkList(what: string, addresses: unknown): string[] {
  if (!Array.isArray(addresses))
    throw new InvalidArgumentError(`${what} must be given an array of addresses; got ${describe(addresses)}`);
  for (const address of addresses) checkAddress("an address", address);
  return [...new Set(addresses as string[])];
}

/**
 * A fixed list. It may be the same on every node, including that node.
 *
 * @param addresses "host:port" each; a host may be a name
 * @throws InvalidArgumentError `EINVAL` for an invalid address
 */
export function staticSource(addresses: readonly string[]): DiscoverySource {
  const list = checkList("staticSource", addresses);
  return {
    name: "static",
    discover(_self, signal) {
      const feed = new AddressFeed(signal);
      feed.set(list);
      return feed;
    },
  };
}

/**
 * A list that the program can change at runtime. Several nodes may share a source.
 *
 * @example
 * ```ts
 * import { ClusterNode, ManualSource } from "shoal/cluster";
 *
 * const source = new ManualSource(["127.0.0.1:7946"]);
 * source.add("127.0.0.1:7947");
 * const node = new ClusterNode({ group: `manual-${process.pid}`, discovery: [source] });
 * await node.start();
 * source.set([]); // While the node runs.
 * await node.close();
 * ```
 */
export class ManualSource implements DiscoverySource {
  readonly name: string;
  readonly #addresses: Set<string>;
  readonly #feeds = new Set<AddressFeed>();

  /**
   * @param addresses "host:port" each; a host may be a name. Default: none
   * @param options `name` of the source, default `manual`
   * @throws InvalidArgumentError `EINVAL` for an invalid address
   */
  constructor(addresses: readonly string[] = [], options: { readonly name?: string } = {}) {
    this.#addresses = new Set(checkList("ManualSource", addresses));
    this.name = options.name ?? "manual";
  }

  get addresses(): readonly string[] {
    return [...this.#addresses];
  }

  /** Replaces the list. @throws InvalidArgumentError `EINVAL`; the list is unchanged then */
  set(addresses: readonly string[]): void {
    const list = checkList("set", addresses);
    this.#addresses.clear();
    for (const address of list) this.#addresses.add(address);
    this.#publish();
  }

  /** Adds addresses that are not listed. @throws as `set` */
  add(...addresses: string[]): void {
    for (const address of checkList("add", addresses)) this.#addresses.add(address);
    this.#publish();
  }

  /** Removes addresses. Members there remain. @throws as `set` */
  remove(...addresses: string[]): void {
    for (const address of checkList("remove", addresses)) this.#addresses.delete(address);
    this.#publish();
  }

  async *discover(
    _self: DiscoverySelf,
    signal: AbortSignal,
  ): AsyncGenerator<readonly string[], void, undefined> {
    const feed = new AddressFeed(signal);
    feed.set(this.addresses);
    this.#feeds.add(feed);
    try {
      yield* feed;
    } finally {
      this.#feeds.delete(feed);
    }
  }

  #publish(): void {
    const { addresses } = this;
    for (const feed of this.#feeds) feed.set(addresses);
  }
}
