import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { PushIterator } from "../../core/push-iterator.js";
import { backOff } from "../../core/timers.js";
import { checkOptions, type GivenWith, integer } from "../../kit/options.js";
import { MAX_NAME, MAX_SERVERS } from "../bounds.js";
import { checkAddress } from "../net/addresses.js";

/** The node that calls a source. A source may publish it, and may list it. */
export interface DiscoverySelf {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  readonly cluster: string;
  /** This node's current "host:port" for others. */
  readonly address: string;
  /** Counts something that was dropped, such as "beacon:junk", in the node's `stats().dropped`. */
  readonly count?: (reason: string) => void;
}

/** Finds addresses of a cluster's nodes. */
export interface DiscoverySource {
  /** 1 to 128 bytes, such as "dns:billing.svc", for events, logs, metrics and `node.discovery()`. */
  readonly name: string;
  /**
   * Yields complete lists of "host:port". The node looks names up every minute.
   *
   * A source that throws or returns without a list is down: its last list stays, and a new call follows after
   * 0.5 s, doubled up to 30 s. After a return with a list it follows after 15 to 30 s.
   *
   * Withdraw published data in a `finally`: a leaving node calls `return` and waits up to a second.
   *
   * @param signal aborts when the node leaves, or this call threw
   */
  discover(self: DiscoverySelf, signal: AbortSignal): AsyncIterable<readonly string[]>;
}

/** A source as a function, named after it. */
export type DiscoveryFunction = DiscoverySource["discover"];

/** State of a source, in `node.discovery()`. */
export interface DiscoveryStatus {
  /** Duplicates are numbered: "static", "static#2". */
  readonly name: string;
  /** `down`: it failed, or has no list yet. */
  readonly state: "up" | "down";
  /** Last list, without invalid addresses. */
  readonly addresses: readonly string[];
  /** Why it is down; if up, its last failed lookup. */
  readonly error?: Error;
}

/** Numbers duplicate names. @throws InvalidArgumentError `EINVAL` */
export function sourcesOf(given: unknown): DiscoverySource[] {
  if (!Array.isArray(given)) throw invalidArgument("discovery must be an array of sources", given);
  if (given.length > MAX_SERVERS)
    throw new InvalidArgumentError(
      `a node can have at most ${MAX_SERVERS} discovery sources; got ${given.length}`,
    );
  const names = new Map<string, number>();
  return given.map((each: unknown) => {
    const source = sourceOf(each);
    const count = (names.get(source.name) ?? 0) + 1;
    names.set(source.name, count);
    if (count === 1) return source;
    return { name: `${source.name}#${count}`, discover: (self, signal) => source.discover(self, signal) };
  });
}

function sourceOf(given: unknown): DiscoverySource {
  if (typeof given === "function") {
    const discover = given as DiscoveryFunction;
    return { name: discover.name.slice(0, MAX_NAME / 4) || "function", discover };
  }
  const { name, discover } = (typeof given === "object" && given !== null ? given : {}) as {
    readonly name?: unknown;
    readonly discover?: unknown;
  };
  if (typeof discover !== "function")
    throw invalidArgument(
      "a discovery source must be a function, or an object with name and discover",
      given,
    );
  if (typeof name !== "string" || name === "" || Buffer.byteLength(name) > MAX_NAME)
    throw invalidArgument(`the name of a source must be a text of 1 to ${MAX_NAME} bytes`, name);
  return given as DiscoverySource;
}

/**
 * Turns callbacks into lists. A new list replaces an unread one, and a list equal to the last one is ignored.
 *
 * @example
 * ```ts
 * import { AddressFeed, type DiscoveryFunction } from "shoal/cluster";
 *
 * const registry: DiscoveryFunction = (self, signal) => {
 *   const feed = new AddressFeed(signal);
 *   feed.set(["10.0.0.1:7946"]); // Again after a change.
 *   return feed;
 * };
 * console.log(typeof registry); // function
 * ```
 */
export class AddressFeed extends PushIterator<readonly string[]> {
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => void this.return();
  #last: string | undefined;

  constructor(signal: AbortSignal) {
    super();
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
  }

  /** @param list all addresses, "host:port" */
  set(list: readonly string[]): void {
    if (!Array.isArray(list)) {
      this.fail(new TypeError("the source must yield arrays of addresses"));
      return;
    }
    const text = list.join("\n");
    if (this.ended || text === this.#last) return;
    this.#last = text;
    this.queue.clear();
    this.push(list);
  }

  /** The source fails with this error, after an unread list: it is down, and called again. */
  fail(error: unknown): void {
    this.end(error ?? new Error("the source failed"));
  }

  /** @internal */
  protected read(list: readonly string[]): readonly string[] {
    return list;
  }

  /** @internal */
  protected override onEnd(): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
  }
}

/**
 * A fixed list; it may include the node itself. For a list that changes, use {@link AddressFeed} in a function.
 *
 * @param addresses "host:port"; a host may be a name
 * @throws InvalidArgumentError `EINVAL`
 */
export function staticSource(addresses: readonly string[]): DiscoverySource {
  if (!Array.isArray(addresses))
    throw invalidArgument("staticSource must be given an array of addresses", addresses);
  for (const address of addresses) checkAddress("an address", address);
  const list = [...new Set(addresses)];
  return {
    name: "static",
    discover(_self, signal) {
      const feed = new AddressFeed(signal);
      feed.set(list);
      return feed;
    },
  };
}

const DNS_OPTIONS = {
  /** Of the nodes, 1 to 65,535. */
  port: integer({ max: 65_535 }),
};

/** Options of {@link dnsSource}. */
export type DnsSourceOptions = GivenWith<typeof DNS_OPTIONS, "port">;

/**
 * Finds nodes at the addresses of a name. The node looks it up by the system every minute, and every 5 s while it has no
 * member: in DNS (A records, and AAAA with `ipv6`), and in the hosts file.
 *
 * @param name such as "billing.example"
 * @throws InvalidArgumentError `EINVAL`
 */
export function dnsSource(name: string, options: DnsSourceOptions): DiscoverySource {
  const { port } = checkOptions("dnsSource", DNS_OPTIONS, options);
  const { discover } = staticSource([`${name}:${port}`]);
  return { name: `dns:${name}`.slice(0, MAX_NAME), discover };
}

/**
 * Until a server is asked for its list again, ms. Nodes that start together may not be listed yet, so the first pauses are
 * short. Later ones matter only to a node that knows no other: each new node dials those that it finds listed.
 *
 * @param lists number of earlier pauses
 * @param found addresses in the list, which may have this node's
 */
export function pauseAfter(lists: number, found: number, longest: number): number {
  return backOff(lists, 1_000, found > 1 ? longest : Math.min(longest, 5_000), Math.random);
}
