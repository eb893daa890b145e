/**
 * Members that match conditions, and their endpoints, now and as they change.
 *
 *   change of a member ──20 ms, for the rest of its packet or its tags──> the list of endpoints ──another than the last──> its readers
 */
import type { EndpointSource } from "../../sockets/endpoint-source.js";
import { isWithinReach, readEndpoint } from "../details.js";
import { AddressFeed } from "../discovery/source.js";
import { mix } from "../membership/members.js";
import { CompiledResolver, hostOf, type ResolverStep } from "../resolver.js";
import type { Member } from "./member.js";
import type { NamespaceParts } from "./namespace-parts.js";

/**
 * Members that match conditions, now and as they change. Iterating yields the current members. As a source of
 * endpoints, it replaces an endpoint in `connect` of sockets, and in clients and workers of patterns.
 *
 * Of each member it has the endpoints named by the conditions `has` and `some`, or all if the member has none of them.
 * Suspects are included, draining members are not. A resolver may be created before the node starts, and
 * ends with it: its last list stays in use.
 *
 * @example
 * ```ts
 * import { Pull, Push } from "shoal";
 * import { ClusterNode } from "shoal/cluster";
 *
 * const cluster = `resolver-${process.pid}`; // Default: "default", the same for every program of this host.
 * const [mill, farm] = ["mill", "farm"].map((name) => new ClusterNode({ name, cluster }));
 * await Promise.all([mill.start(), farm.start()]);
 * const grain = new Pull();
 * mill.advertise("grain", grain);
 * await grain.bind("tcp://127.0.0.1:*");
 * const push = new Push();
 * push.connect(farm.resolver({ has: ["grain"] })); // Every member that offers grain, now and later.
 * await push.send("wheat");
 * console.log(String(await grain.receive())); // wheat
 * await Promise.all([push.close(), grain.close()]);
 * await Promise.all([mill.close(), farm.close()]);
 * ```
 */
export class MemberResolver implements EndpointSource, Iterable<Member> {
  readonly #parts: NamespaceParts;
  readonly #resolver: CompiledResolver;

  /** @internal */
  constructor(parts: NamespaceParts, steps: readonly ResolverStep[]) {
    this.#parts = parts;
    this.#resolver = new CompiledResolver(steps);
  }

  /** Live members that match now. @throws InvalidStateError `EFSM` before the start; ClosedError `EBADF` */
  get members(): Member[] {
    const { self, live } = this.#parts.rules;
    return this.#resolver.select([self, ...live], self).map((member) => this.#parts.memberOf(member));
  }

  [Symbol.iterator](): Iterator<Member> {
    return this.members[Symbol.iterator]();
  }

  /** Yields complete lists of endpoints, the first when the node runs; ends with the node. */
  async *endpoints(signal: AbortSignal): AsyncGenerator<readonly string[], void, undefined> {
    const feed = new AddressFeed(signal);
    const seed = Math.floor(Math.random() * 2 ** 32);
    let timer: NodeJS.Timeout | undefined;
    const publish = (): void => {
      timer = undefined;
      if (this.#parts.owner.closed) void feed.return();
      const list = this.#endpoints(seed);
      if (list !== undefined) feed.set(list);
    };
    const unwatch = this.#parts.watchMembers(() => {
      timer ??= setTimeout(publish, 20).unref();
    });
    publish();
    try {
      yield* feed;
    } finally {
      clearTimeout(timer);
      unwatch();
    }
  }

  #endpoints(seed: number): readonly string[] | undefined {
    const rules = this.#parts.membership;
    if (rules === undefined) return undefined;
    const { self, live } = rules;
    const host = hostOf(self.name);
    const found = new Set<string>();
    const members = this.#resolver.select([self, ...live], self).filter(({ draining }) => !draining);
    // Readers that use the first are spread: each has another order (rendezvous hashing).
    members.sort((one, other) => mix(seed, one.idHash) - mix(seed, other.idHash));
    for (const member of members) {
      const isSameHost = hostOf(member.name) === host;
      for (const endpoint of this.#resolver.choose(member.details.endpoints.map(readEndpoint)))
        if (isWithinReach(endpoint, isSameHost)) found.add(endpoint);
    }
    return [...found];
  }
}
