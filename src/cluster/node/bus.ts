/**
 * A bus, as programs have it: a cluster's name on a node, with members, tags and everything else of its own. The first bus of a
 * node is the node itself (node.ts); more of them share its sockets. bus-runtime.ts runs the rules behind it.
 */
import { checkCallOptions, checkInteger, describe, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, UnroutableError } from "../../core/errors.js";
import type { Socket } from "../../sockets/socket.js";
import { MAX_SEEDS } from "../bounds.js";
import { DISCOVERY_PROP } from "../clients/description.js";
import type { ClusterClients, OwnDiscovery } from "../clients/roster.js";
import type { StreamState } from "../connections/rules.js";
import type { Discovery } from "../discovery/discovery.js";
import type { DiscoveryStatus } from "../discovery/source.js";
import { isId } from "../identity.js";
import type { Member as KnownMember } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import { checkAddress, type HostPort, splitIpAddress } from "../net/addresses.js";
import type { BusCodec } from "../net/bus-codec.js";
import type { Profile } from "../profiles.js";
import { type ResolverStep, resolveBy } from "../resolver.js";
import type { TagChange } from "../tags.js";
import { type AnnouncedProgram, Announcement } from "./announcements.js";
import type { NodeIdentity } from "./bus-context.js";
import { BusParts } from "./bus-parts.js";
import type { BusRuntime } from "./bus-runtime.js";
import { CLUSTER_EVENTS, type ClusterEvent } from "./events.js";
import type { Member } from "./member.js";
import { findMember } from "./member-lookup.js";
import { MessagingBus } from "./messaging-bus.js";
import type { NodeSockets } from "./node-sockets.js";
import { type BusSettings, type PropValue, passwordKeys } from "./options.js";
import type { OwnDetails } from "./own-details.js";
import { shownProps } from "./private-props.js";
import { ServiceResolver, type ZreCandidate } from "./service-resolver.js";
import { type ClusterStats, statsOf } from "./stats.js";

/** ms that `heartbeatAfter` takes, at most: the longest time that a platform timer holds. */
const MAX_AFTER = 2_147_483_647;
/** ms that `clients` waits for the other nodes, unless it is given another time. */
const CLIENTS_TIMEOUT = 1_000;

/**
 * A bus: a cluster's name on a node, with members, tags, messages and services of its own. A {@link ClusterNode} is the first bus
 * of its node; further ones are opened on it.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const group = `bus-${process.pid}`; // Default: "default", the same for every program of this host.
 * const [mill, farm] = ["mill", "farm"].map((name) => new ClusterNode({ name, group }));
 * const met = new Promise((resolve) => farm.events.once("joined", resolve));
 * await Promise.all([mill.start(), farm.start(), met]);
 * const heard = mill.subscribe("harvest/+"); // A ClusterNode is its first bus.
 * await heard.ready;
 * await farm.publish("harvest/wheat", "12 t");
 * for await (const { topic, data } of heard) {
 *   console.log(`${topic}: ${data}`); // harvest/wheat: 12 t
 *   break;
 * }
 * await Promise.all([mill.close(), farm.close()]);
 * ```
 */
export class ClusterBus extends MessagingBus {
  /** Of the bus. */
  readonly group: string;
  /** The times and numbers that it lives by, those that no option changed included. */
  readonly profile: Profile;
  /** @internal */
  protected readonly sockets: NodeSockets;
  /** @internal */
  protected readonly identity: NodeIdentity;
  /** @internal */
  protected readonly parts: BusParts;
  readonly #runtime: BusRuntime;
  readonly #details: OwnDetails;
  readonly #discovery: Discovery;
  /** Called when the bus closes. */
  readonly #end: (() => void)[] = [];
  readonly #announced = new Set<Announcement>();

  /** @internal */
  constructor(
    what: string,
    group: string,
    identity: NodeIdentity,
    sockets: NodeSockets,
    settings: BusSettings,
  ) {
    super(what, CLUSTER_EVENTS);
    this.group = group;
    this.identity = identity;
    this.sockets = sockets;
    this.profile = settings.profile;
    this.#checkScope(settings.seeds);
    this.parts = new BusParts(
      { what, group, identity, sockets, settings },
      {
        isClosed: () => this.closed,
        report: (event) => this.report(event),
        onAddress: (address) => this.onAddress(address),
      },
    );
    this.#runtime = this.parts.runtime;
    this.#details = this.parts.details;
    this.#discovery = this.parts.discovery;
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** @internal Opens the sockets of messages, so that what is announced of them is among the first details. */
  protected async prepare(): Promise<void> {
    const { messages, requests } = this.parts;
    await messages.start();
    if (messages.started !== undefined) requests.begin();
  }

  /** @internal Begins, when the sockets are there. */
  protected begin(): void {
    const { group, sockets } = this;
    const { messages, requests } = this.parts;
    void messages.start();
    this.#runtime.begin();
    if (messages.started !== undefined) requests.begin();
    this.#discovery.start({
      ...this.identity,
      group,
      get address() {
        return sockets.address;
      },
      count: (reason) => sockets.count(reason),
    });
  }

  /** @internal The members are sent that it takes nothing new; what it announces is withdrawn, and closes. */
  protected override async onDrain(): Promise<void> {
    this.#run((rules, now) => rules.drain(now));
    this.parts.membersChanged();
    const withdrawn = [...this.#announced].map((announced) => announced.withdraw());
    await Promise.all([this.parts.requests.drain(), ...withdrawn]);
  }

  /** Leaves: the others are sent a statement that it does, and it closes. */
  async leave(): Promise<void> {
    await this.close();
  }

  protected async onClose(linger: number): Promise<void> {
    const { messages, services, requests, roster } = this.parts;
    this.#runtime.stop();
    for (const announced of this.#announced) announced.abandon();
    this.#details.close();
    const withdrawn = this.#discovery.stop(linger);
    const served = roster.server?.nodeOnClose(linger);
    // Before it leaves: those that have left are sent nothing.
    services.close();
    const begun = performance.now();
    await requests.close(linger);
    await messages.close(linger < 0 ? linger : Math.max(0, linger - (performance.now() - begun)));
    await this.#runtime.leave(linger < 0 ? linger : Math.max(0, linger - (performance.now() - begun)));
    await Promise.all([withdrawn, served]);
    for (const listener of this.#end) listener();
    this.#runtime.end();
  }

  /** @internal Called when the bus closes. */
  onEnd(listener: () => void): void {
    this.#end.push(listener);
  }

  // --- Who is there --------------------------------------------------------------------------------------------------

  /** This node, as the others see it. @throws InvalidStateError `EFSM` before it was started */
  get self(): Member {
    return this.#memberOf(this.#rules.self);
  }

  /** Where the others reach it, "host:port"; empty before it was started. */
  get address(): string {
    return this.sockets.address;
  }

  /**
   * The live members, suspects included, this node first.
   *
   * @param options `self: false` leaves this node out; `gone: true` adds those that were lost or left and are not forgotten
   */
  members(
    options: { readonly self?: boolean | undefined; readonly gone?: boolean | undefined } = {},
  ): Member[] {
    checkCallOptions("members", options, ["self", "gone"]);
    const rules = this.#rules;
    const found = [...(options.self === false ? [] : [rules.self]), ...rules.live];
    if (options.gone === true) found.push(...rules.dead);
    return found.map((member) => this.#memberOf(member));
  }

  /**
   * The live member of an id or a name; a name without a host fits where one member alone has it.
   *
   * @returns `undefined` when there is no such member
   */
  member(nameOrId: string): Member | undefined {
    const member = this.#find(nameOrId);
    return member?.isLive === true ? this.#memberOf(member) : undefined;
  }

  /** The live members that have all these tags, this node included; docs/clusters.md has the built-in tags. */
  resolve(...tags: string[]): Member[] {
    return this.resolver({ has: tags }).services;
  }

  /**
   * The live members that fit, now and as they change, this node included: `resolver({ has: ["a"] }, "match", { not: ["b*"] })`.
   * The words `equal`, `match` and `regexp` apply to what follows them. `[...resolver]` are the members at this moment; a socket
   * or a pattern's client connects to the endpoints that they advertise: `socket.connect(node.resolver({ has: ["billing"] }))`.
   * Peers of ZRE, which nobody proves, are among them where `has` or `some` names the tag `zre` (mode `equal`).
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown word or condition
   */
  resolver(...steps: ResolverStep[]): ServiceResolver {
    return new ServiceResolver(this.parts, () => this.zrePeers(), steps);
  }

  /** Whether this node has all these tags. */
  resolveSelf(...tags: string[]): boolean {
    const { self } = this.#rules;
    return resolveBy([self], self, [{ has: tags }]).length > 0;
  }

  // --- Where others may be -------------------------------------------------------------------------------------------

  /** The sources of discovery and how they are doing, the seeds first where there are some. */
  discovery(): DiscoveryStatus[] {
    return this.#discovery.status();
  }

  /**
   * Adds seeds: addresses that are dialled for as long as no member is there. Those that are seeds already change nothing.
   *
   * @param addresses "host:port"; a host may be a name
   * @throws InvalidArgumentError `EINVAL` for what is not an address, for one elsewhere without the scope `link`, and for more
   *   than 1,024 seeds; nothing has changed then
   */
  join(...addresses: string[]): void {
    this.assertOpen();
    for (const address of addresses) checkAddress("a seed", address);
    this.#checkScope(addresses);
    const seeds = new Set([...this.#discovery.seeds, ...addresses]);
    if (seeds.size > MAX_SEEDS)
      throw new InvalidArgumentError(`seeds are ${MAX_SEEDS} at most; got ${seeds.size}`);
    this.#discovery.setSeeds([...seeds]);
  }

  /** Removes seeds, those of the options too: they are not dialled any more. A member at one of them stays a member. */
  forget(...addresses: string[]): void {
    this.assertOpen();
    for (const address of addresses) checkAddress("a seed", address);
    this.#discovery.setSeeds(this.#discovery.seeds.filter((seed) => !addresses.includes(seed)));
  }

  /** @internal Addresses of nodes that are peers of the ZRE plane, as they are now. */
  protected foundByZre(addresses: readonly string[]): void {
    if (!this.closed) this.#discovery.setZrePeers(addresses);
  }

  /** @internal The addresses that are dialled by configuration and `join`. */
  get seeds(): readonly string[] {
    return this.#discovery.seeds;
  }

  /** @internal @throws InvalidStateError `EFSM` before the start; InvalidArgumentError `EINVAL` for an address out of scope */
  checkReachable(addresses: readonly string[]): void {
    void this.#rules;
    this.#checkScope(addresses);
  }

  /** @internal */
  resolveName(name: HostPort): Promise<readonly string[]> {
    return this.sockets.resolve(name);
  }

  /** @internal Keeps streams to these addresses, for a connection manager. */
  keepStreams(manager: object, addresses: readonly string[]): void {
    this.sockets.watch(manager, addresses);
  }

  /** @internal How the stream to an address stands. */
  streamState(address: string): StreamState {
    return this.sockets.links.state(address, this.#runtime.membership?.isOwn(address) === true);
  }

  /** @internal */
  async stopListening(): Promise<void> {
    await this.sockets.links.stopListening();
  }

  #checkScope(seeds: readonly string[]): void {
    for (const seed of seeds)
      if (splitIpAddress(seed) !== undefined && !this.sockets.accepts(seed))
        throw new InvalidArgumentError(
          splitIpAddress(seed)?.host.includes(":") && !this.sockets.settings.ipv6
            ? `the seed ${seed} is of IPv6: it needs ipv6: true`
            : `the seed ${seed} is not on this host, and without the scope "link" a node keeps to its host`,
        );
  }

  // --- Clients -------------------------------------------------------------------------------------------------------

  /**
   * The programs that are connected to the discovery servers of the nodes ({@link DiscoveryServer}), this node included: every
   * such node is asked, so each answers for itself, and the clients of a node that is gone are not there.
   *
   * @param options `timeout` in ms, default 1,000: who has not answered in full by then is in `missing`
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` where too many requests wait already; `EFSM` before the start;
   *   InvalidArgumentError `EINVAL`; ClosedError `EBADF`
   */
  async clients(options: { readonly timeout?: number | undefined } = {}): Promise<ClusterClients> {
    checkCallOptions("clients", options, ["timeout"]);
    const { timeout = CLIENTS_TIMEOUT } = options;
    checkInteger("timeout", timeout, 0, MAX_AFTER);
    const asked = this.#rules.live.filter(({ details }) => Object.hasOwn(details.props, DISCOVERY_PROP));
    return this.parts.roster.ask(this.identity.name, asked, timeout);
  }

  /** @internal A discovery server of this node; `undefined`: it closes. */
  serveDiscovery(server: OwnDiscovery | undefined): void {
    this.parts.roster.server = server;
  }

  // --- What this node says of itself ---------------------------------------------------------------------------------

  /**
   * Changes this node's tags: `tags("a", { remove: ["b"] })`. The modifiers `append`, `remove`, `replace`, `map` and
   * `mappend` apply in their order. The others get the new ones with a beat at once; those of before the start are the first ones.
   *
   * @returns the tags afterwards; without arguments those there are
   * @throws InvalidArgumentError `EINVAL` for an unknown modifier, and for too many tags; nothing has changed then
   */
  tags(...changes: TagChange[]): readonly string[] {
    this.#assertDetails();
    if (changes.length > 0) this.#change(changes, {});
    return this.#details.stated.tags;
  }

  /**
   * Changes this node's props; `undefined` removes one. As tags, they may be changed before the start.
   *
   * @returns the props afterwards; without an argument those there are
   * @throws InvalidArgumentError `EINVAL` for values that are not texts, numbers, true or false, and for too many; nothing
   * has changed then
   */
  props(changes?: Readonly<Record<string, PropValue | undefined>>): Readonly<Record<string, string>> {
    this.#assertDetails();
    if (changes !== undefined) this.#change([], changes);
    return shownProps(this.#details.stated);
  }

  /**
   * Advertises where a service of this program is, under a name: an endpoint, or those that a socket is bound to, now and later,
   * until it unbinds them or closes. Over tcp, tls and ipc; a wildcard host becomes this node's address. The name is a tag of this
   * node from then on, and `resolver` of the others has the endpoint: an ipc path or a loopback address only on this host.
   * May be called before the start.
   *
   * @param name 1 to 64 bytes, without spaces and "="
   * @returns withdraws it
   * @throws InvalidArgumentError `EINVAL` for an invalid name or endpoint, for more than 8 of them, and where tags, props and
   *   endpoints have more than 1,000 bytes: nothing has changed then. What a socket binds later and does not fit is the
   *   event `endpoint:refused`. ClosedError `EBADF`, `EAGAIN`
   */
  advertise(name: string, of: Socket | string): () => void {
    this.assertOpen();
    return this.#details.advertise(name, of);
  }

  /**
   * Advertises where a program is, such as a broker or server of `shoal/patterns`, until it is withdrawn: `withdraw` of what is returned, or
   * `drain` of this node, takes its endpoints out of everybody's lists, waits until the others know, drains the program and closes it.
   * So nothing that it has accepted is lost. May be called before the start.
   *
   * @param endpoints by name, as `advertise` takes them: `{ kitchen: "tcp://10.0.0.1:5555" }`; `{}` for a program that nobody connects to,
   *   such as a worker, which drains with the others
   * @param program has `drain` and `close`. It is the announcement's to close
   * @throws InvalidArgumentError `EINVAL` as `advertise`, and for what is no such program: nothing has changed then. ClosedError
   *   `EBADF`, `EAGAIN`
   */
  announce(
    endpoints: Readonly<Record<string, string | readonly string[]>>,
    program: AnnouncedProgram,
  ): Announcement {
    this.assertOpen();
    const announced = new Announcement(endpoints, program, this.parts, (gone) =>
      this.#announced.delete(gone),
    );
    this.#announced.add(announced);
    return announced;
  }

  /**
   * A beat to the group, now.
   *
   * @param options `tags` and `props` change this node's first; `channel` 0 to 255, default 0: on another one, the members have the
   *   event `heartbeat`
   * @throws InvalidArgumentError `EINVAL`; nothing has changed then
   */
  heartbeat(
    options: {
      readonly tags?: readonly TagChange[] | undefined;
      readonly props?: Readonly<Record<string, PropValue | undefined>> | undefined;
      readonly channel?: number | undefined;
    } = {},
  ): void {
    checkCallOptions("heartbeat", options, ["tags", "props", "channel"]);
    const { tags = [], props, channel = 0 } = options;
    checkInteger("channel", channel, 0, 255);
    if (!Array.isArray(tags)) throw new InvalidArgumentError(`tags is an array; got ${describe(tags)}`);
    void this.#rules;
    if (tags.length > 0 || props !== undefined) this.#change(tags, props === undefined ? {} : props);
    this.#run((rules, now) => rules.heartbeat(now, channel));
  }

  /**
   * The next beat comes after so many ms, or earlier where it was to; many calls are one beat.
   *
   * @throws InvalidArgumentError `EINVAL` for what is not a number from 0 to 2,147,483,647
   */
  heartbeatAfter(ms: number): void {
    if (typeof ms !== "number" || !(ms >= 0 && ms <= MAX_AFTER))
      throw new InvalidArgumentError(`heartbeatAfter takes ms from 0 to ${MAX_AFTER}; got ${describe(ms)}`);
    void this.#rules;
    this.#run((rules, now) => rules.heartbeatAfter(now, ms));
  }

  /**
   * Asks the group to report, each at a random time within the profile's `discoverTime`.
   *
   * @param answers wanted, 0 to 65,535; 0: all. Default: the profile's `discoverAnswers`
   * @throws InvalidArgumentError `EINVAL`
   */
  discover(answers?: number): void {
    if (answers !== undefined) checkInteger("answers", answers, 0, 65_535);
    void this.#rules;
    this.#run((rules, now) => rules.discover(now, answers));
  }

  /**
   * Reports that the program fails to reach a member: this node probes it at once, and all expect a sign of life from it, so
   * the first caller of a service that hangs finds it out for all. Where nobody is probed (profile `tcl`) it is lost at the
   * next beat unless it gives one.
   *
   * @throws UnroutableError `EHOSTUNREACH` where there is no such live member
   */
  ping(nameOrId: string): void {
    const id = this.idOf(nameOrId);
    let found = false;
    this.#run((rules, now) => {
      found = rules.expect(now, id);
    });
    if (!found) throw new UnroutableError(`no live member is called ${quoted(nameOrId)}`);
  }

  // --- What operators do ---------------------------------------------------------------------------------------------

  /**
   * Puts a node out of the cluster until it is admitted again, whether it lives or not.
   *
   * @throws UnroutableError `EHOSTUNREACH` for a name that no member has. An id need not be a member's
   */
  remove(nameOrId: string): void {
    const id = this.idOf(nameOrId);
    this.#run((rules, now) => rules.remove(now, id));
  }

  /**
   * Allows a removed node in again. A removed node that is gone is known by its id only.
   *
   * @throws as `remove`; InvalidStateError `EFSM` for this node when it was removed: the others would go on refusing it
   */
  admit(nameOrId: string): void {
    const id = this.idOf(nameOrId);
    if (id === this.identity.id && this.removed)
      throw new InvalidStateError("EFSM", "a node that was removed is admitted by another one");
    this.#run((rules, now) => rules.admit(now, id));
  }

  /** Rejoins under a new incarnation, after a split of which this was the minority; where `autoheal` is off. */
  heal(): void {
    this.#runtime.heal();
  }

  /**
   * Replaces the keys while the node runs: the first seals, all open. For a rotation: give every node (old, new), then every
   * node (new, old), then every node (new).
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid key or more than two, and for a node that was started without one
   */
  setKeys(...keys: string[]): void {
    if (this.codec.byPassword)
      throw new InvalidArgumentError("the bus began with a password: use setPasswords");
    this.codec.setKeys(keys);
  }

  /**
   * Replaces the passwords while the node runs, in the three steps of `setKeys`. Each blocks for some 0.2 s.
   *
   * @param passwords the first seals, all open
   * @throws InvalidArgumentError `EINVAL` for one that is too short or too long, more than two, and for a node that was
   *   started without one
   */
  setPasswords(...passwords: string[]): void {
    if (!this.codec.byPassword)
      throw new InvalidArgumentError("a bus that began without a password gets none while it runs");
    this.codec.setKeys(passwordKeys(passwords, this.group));
  }

  /** Whether this side of a split is not the one that goes on. */
  get minority(): boolean {
    return this.#runtime.minority;
  }

  /** Whether an operator removed this node. */
  get removed(): boolean {
    return this.#runtime.membership?.removed ?? false;
  }

  stats(): ClusterStats {
    return statsOf(performance.now(), this.parts);
  }

  // --- Inside --------------------------------------------------------------------------------------------------------

  /** @internal Its packets, as bytes. */
  get codec(): BusCodec {
    return this.#runtime.codec;
  }

  get #rules(): Membership {
    return this.#runtime.rules;
  }

  /** Calls the rules, and does what they decided. */
  #run(call: (rules: Membership, now: number) => void): void {
    this.#runtime.run(call);
  }

  /** @internal Calls the listeners. */
  protected report(event: ClusterEvent): void {
    this.events.emit(event);
  }

  /** @internal The others reach this node at another address from now on. */
  onAddress(_address: string): void {}

  /** @internal Another node of an id, live or gone; `undefined` also when the bus is closed. */
  protected known(id: string): Member | undefined {
    const member = id === this.identity.id ? undefined : this.#runtime.membership?.get(id);
    return member && this.#memberOf(member);
  }

  /** @internal Peers of the ZRE plane that are not members. */
  protected zrePeers(): readonly ZreCandidate[] {
    return [];
  }

  /** @internal */
  protected zrePeersChanged(): void {
    this.parts.membersChanged();
  }

  /** @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  #change(tags: readonly TagChange[], props: Readonly<Record<string, PropValue | undefined>>): void {
    this.#details.change(tags, props);
    this.parts.membersChanged();
  }

  /** Before the start, what a node states is kept. @throws ClosedError `EBADF` */
  #assertDetails(): void {
    if (this.closed) void this.#rules;
  }

  #memberOf(member: Readonly<KnownMember>): Member {
    return this.#runtime.memberOf(member);
  }

  #find(nameOrId: string): KnownMember | undefined {
    return findMember(this.#rules, nameOrId, this.#runtime.host);
  }

  /** @internal The id of a member; an id need not be one's. @throws UnroutableError `EHOSTUNREACH` */
  protected idOf(nameOrId: string): string {
    const found = this.#find(nameOrId);
    if (found !== undefined) return found.id;
    if (isId(nameOrId)) return nameOrId;
    throw new UnroutableError(`no member is called ${quoted(nameOrId)}`);
  }
}
