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
 * A fixed list; it may include the node itself.
 *
 * @param addresses "host:port"; a host may be a name
 * @throws InvalidArgumentError `EINVAL`
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
 * A list that the program changes at runtime. Nodes may share it.
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
   * @param addresses "host:port"; a host may be a name. Default: none
   * @param options `name`: default `manual`
   * @throws InvalidArgumentError `EINVAL`
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

  /** @throws as `set` */
  add(...addresses: string[]): void {
    for (const address of checkList("add", addresses)) this.#addresses.add(address);
    this.#publish();
  }

  /** Members there remain. @throws as `set` */
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
