/**
 * A bus: a cluster's name on a node, with members, tags and everything else of its own. The first bus of a node is the node
 * itself (node.ts); more of them share its sockets.
 *
 * The rules are pure (membership/, splits.ts). Here they get the time, packets and signs of streams, and what they
 * decide is sent and reported. Events are emitted when the rules have returned, so a listener may call the bus.
 */
import { checkCallOptions, describe } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, InvalidStateError, UnroutableError } from "../../core/errors.js";
import { Driver } from "../../patterns/kit/driver.js";
import type { Socket } from "../../sockets/socket.js";
import { MAX_SEEDS } from "../bounds.js";
import { DISCOVERY_PROP } from "../clients/description.js";
import { ClientRoster, type ClusterClients, type OwnClient } from "../clients/roster.js";
import type { StreamState } from "../connections/rules.js";
import { createDetails } from "../details.js";
import { Discovery } from "../discovery/discovery.js";
import type { DiscoveryStatus } from "../discovery/source.js";
import { fullName, isId } from "../identity.js";
import type { ClusterChange } from "../membership/events.js";
import { type Member, MemberState } from "../membership/members.js";
import { Membership } from "../membership/membership.js";
import { checkAddress, type HostPort, splitAddress, splitIpAddress } from "../net/addresses.js";
import { BusCodec } from "../net/bus-codec.js";
import type { BeatState } from "../net/packet-socket.js";
import { hostOf, type ResolverStep, resolveBy } from "../resolver.js";
import { SplitRules } from "../splits.js";
import { changeTags, type TagChange } from "../tags.js";
import { DataPlane, DeathReason, type Packet, PacketType, UpdateKind } from "../wire/packets.js";
import { Advertiser } from "./advertiser.js";
import { BusTimer } from "./bus-timer.js";
import { CLUSTER_EVENTS, type ClusterEvent, lostReason } from "./events.js";
import {
  type Measure,
  type MeasureOptions,
  measureRtt,
  measureTimeout,
  type Reachability,
  survey,
} from "./measuring.js";
import type { BusPort, NodeSockets, RefusedReason } from "./node-sockets.js";
import { type BusSettings, changeProps, type PropValue, passwordKeys } from "./options.js";
import { type Service, serviceOf } from "./service.js";
import { ServiceResolver } from "./service-resolver.js";
import { successors } from "./watched.js";

/** Gossip intervals for which a node that leaves goes on, so that what it said reaches all. */
const LEAVE_INTERVALS = 3;
/** ms between a change of members and a look at whom this node watches: streams cost more than packets while many join. */
const WATCH_DELAY = 500;
/** ms for which a newcomer's event waits for its tags and props. */
const DETAILS_WAIT = 200;
/** Of strangers whose beats come by the group, so many members answer on average. */
const GREETERS = 4;
/** ms after the start at which a node that is still alone calls again; the last one repeats. */
const CALLS = [100, 300, 1_000, 2_000, 5_000];

/** ms that `heartbeatAfter` takes, at most: the longest time that a platform timer holds. */
const MAX_AFTER = 2_147_483_647;
/** ms that `clients` waits for the other nodes, unless it is given another time. */
const CLIENTS_TIMEOUT = 1_000;

/** Statistics of a bus. */
export interface ClusterStats {
  /** Live members, this node included. */
  readonly members: number;
  readonly suspects: number;
  /** Lost or left, and not forgotten yet. */
  readonly gone: number;
  /** Members by their state: a draining one is not `alive`; `lost` and `left` ones are not forgotten yet. */
  readonly states: Readonly<Record<"alive" | "suspect" | "draining" | "lost" | "left", number>>;
  /** Probes that this node sent, and those that nobody answered. */
  readonly probes: number;
  readonly probesFailed: number;
  /** Members that became suspect here, and those of them that refuted it. */
  readonly suspicions: number;
  readonly refuted: number;
  /** Accusations of this node that it refuted. */
  readonly refutations: number;
  /** ms for which its picture of the cluster has differed from what others sent; 0: they are the same. */
  readonly differsFor: number;
  /** ms: the longest delay of the event loop in the last minute or two. */
  readonly loopDelay: number;
  /** Times that the event loop stood still for more than half a probe's time-out. */
  readonly stalls: number;
  /** Sources of discovery that are up, and that are down. */
  readonly sourcesUp: number;
  readonly sourcesDown: number;
  /** 0: the node trusts its own view, up to 8: it was late or accused in vain. */
  readonly healthScore: number;
  /** Whether this side of a split is not the one that goes on. */
  readonly minority: boolean;
  /** Of the node, for all its buses. */
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes of datagrams sent for gossip alone. */
  readonly gossipBytes: number;
  /** Streams to other nodes. */
  readonly links: number;
  /** What the node refused or dropped, by reason; and what the bus's rules refused, as `rules:REASON`. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** Identity of a node, the same on each of its buses. */
export interface NodeIdentity {
  readonly id: string;
  readonly name: string;
}

/** A discovery server, as its node sees it. */
export interface BusDiscovery {
  clients(): Iterable<OwnClient>;
  /** A member, or this node itself, may be another than before. */
  changed(): void;
  /** The node leaves: what the server says is no longer true. */
  nodeOnClose(linger: number): Promise<void>;
}

interface Newcomer {
  readonly type: "joined" | "back" | "restarted";
  readonly member: Member;
  readonly timer: NodeJS.Timeout;
}

/** "10.0.0.1:7946" -> "10.0.0.1" */
function hostOfAddress(address: string): string {
  return splitAddress(address)?.host ?? address;
}

function checkNumber(what: string, value: unknown, most: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > most)
    throw new InvalidArgumentError(`${what} is a whole number from 0 to ${most}; got ${describe(value)}`);
}

export class ClusterBus extends Driver<ClusterEvent, ClusterStats> implements BusPort {
  /** @internal */
  readonly codec: BusCodec;
  /** Of the bus. */
  readonly group: string;
  /** @internal */
  protected readonly sockets: NodeSockets;
  /** @internal */
  protected readonly identity: NodeIdentity;
  readonly #settings: BusSettings;
  readonly #timer: BusTimer;
  readonly #discovery: Discovery;
  readonly #refused: Record<string, number> = {};
  readonly #roster: ClientRoster;
  #server: BusDiscovery | undefined;
  /** Members that became suspect, and those of them that refuted it. */
  #suspicions = 0;
  #refutedSuspicions = 0;
  #membership: Membership | undefined;
  #splits: SplitRules | undefined;
  #wallOffset = 0;
  #pending: ClusterEvent[] = [];
  /** Newcomers whose tags and props are still to come: their events wait. */
  readonly #newcomers = new Map<string, Newcomer>();
  /** Whether a member was lost since the last decision about a split. */
  #lostSome = false;
  #emitting = false;
  #running = false;
  #watching: NodeJS.Timeout | undefined;
  #calling: NodeJS.Timeout | undefined;
  #left = false;
  #beaten: BeatState | undefined;
  readonly #end: (() => void)[] = [];
  readonly #advertiser: Advertiser;
  /** Resolvers that are read. */
  readonly #watchers = new Set<() => void>();

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
    this.#settings = settings;
    this.#checkScope(settings.seeds);
    this.codec = new BusCodec(group, settings.keys, settings.byPassword);
    this.#roster = new ClientRoster({
      send: (to, data) => this.#membership?.sendData(to, DataPlane.CLIENTS, data) ?? false,
    });
    this.#timer = new BusTimer(sockets.platform, settings.profile.probeTimeout, {
      nextWakeUp: () =>
        Math.min(this.#membership?.nextWakeUp() ?? Infinity, this.#splits?.nextWakeUp() ?? Infinity),
      tick: () => this.#run((rules, now) => rules.tick(now)),
      stalled: (ms) => this.#run((rules, now) => rules.onDelay(now, ms)),
    });
    this.#advertiser = new Advertiser({
      publish: () => this.#publish(),
      refused: (name, endpoint, error) => {
        this.#report({ type: "endpoint:refused", name, endpoint, error });
      },
    });
    for (const { name, endpoint } of settings.advertised) this.#advertiser.add(name, endpoint);
    this.#discovery = new Discovery(settings.seeds, settings.discovery, {
      join: (addresses) => this.#run((rules, now) => rules.join(now, addresses)),
      forget: (addresses) => this.#run((rules, now) => rules.forget(now, addresses)),
      accepts: (address) => this.sockets.accepts(address),
      resolve: (name) => this.sockets.resolve(name),
      isAlone: () => this.#membership?.live.length === 0,
      up: (source) => this.#report({ type: "discovery:up", source }),
      down: (source, error) => this.#report({ type: "discovery:down", source, error }),
      count: (reason) => this.sockets.count(reason),
    });
  }

  /** @internal Begins, when the sockets are there. */
  protected begin(): void {
    const { id, name } = this.identity;
    const { profile, strategy, autoheal, tags, props } = this.#settings;
    const now = performance.now();
    const start = Date.now();
    this.#wallOffset = start - now;
    this.sockets.add(this);
    this.#membership = new Membership({
      self: { id, name, address: this.sockets.address, start },
      profile,
      random: Math.random,
      now,
      provesNodes: this.sockets.settings.curve !== undefined,
      effects: {
        send: (address, packet, overStream) => this.sockets.send(this, address, packet, overStream),
        multicast: (packet) => this.sockets.multicast(this, packet),
        event: (change) => this.#onChange(change),
      },
    });
    this.#splits = new SplitRules(
      { id, name, start },
      { strategy, stableFor: profile.stableFor, autoheal },
      (change) => {
        if (change.type === "healed") {
          if (change.rejoins) this.#rejoin();
          this.#pending.push({ type: "healed", rejoined: change.rejoins });
        } else if (change.type === "minority") this.#pending.push(change);
        else if (this.#lostSome) this.#pending.push({ ...change, strategy: strategy.kind });
        this.#lostSome = false;
      },
    );
    this.#run((rules) => {
      const endpoints = this.#advertiser.texts(hostOfAddress(this.sockets.address));
      if (tags.length + endpoints.length > 0 || Object.keys(props).length > 0)
        rules.setDetails(now, tags, props, endpoints);
      rules.heartbeat(now);
    });
    this.#changed();
    this.#timer.start();
    this.#call(0);
    const { group, sockets } = this;
    this.#discovery.start({
      id,
      name,
      group,
      get address() {
        return sockets.address;
      },
      count: (reason) => sockets.count(reason),
    });
  }

  // --- Who is there --------------------------------------------------------------------------------------------------

  /** This node, as the others see it. @throws InvalidStateError `EFSM` before it was started */
  get self(): Service {
    return this.#serviceOf(this.#rules.self);
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
  ): Service[] {
    checkCallOptions("members", options, ["self", "gone"]);
    const rules = this.#rules;
    const found = [...(options.self === false ? [] : [rules.self]), ...rules.live];
    if (options.gone === true) found.push(...rules.dead);
    return found.map((member) => this.#serviceOf(member));
  }

  /**
   * The live member of an id or a name; a name without a host fits where one member alone has it.
   *
   * @returns `undefined` when there is no such member
   */
  member(nameOrId: string): Service | undefined {
    const member = this.#find(nameOrId);
    return member?.isLive === true ? this.#serviceOf(member) : undefined;
  }

  /** The live members that have all these tags, this node included; docs/internals/cluster.md has the built-in tags. */
  resolve(...tags: string[]): Service[] {
    return this.resolver({ has: tags }).services;
  }

  /**
   * The live members that fit, now and as they change, this node included: `resolver({ has: ["a"] }, "match", { not: ["b*"] })`.
   * The words `equal`, `match` and `regexp` apply to what follows them. `[...resolver]` are the members at this moment; a socket
   * or a pattern's client connects to the endpoints that they advertise: `socket.connect(node.resolver({ has: ["billing"] }))`.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown word or condition
   */
  resolver(...steps: ResolverStep[]): ServiceResolver {
    return new ServiceResolver(
      {
        members: () => {
          const rules = this.#membership;
          return rules === undefined ? undefined : { self: rules.self, others: rules.live };
        },
        assertRunning: () => void this.#rules,
        serviceOf: (member) => this.#serviceOf(member),
        isClosed: () => this.closed,
        watch: (onChange) => {
          this.#watchers.add(onChange);
          return () => this.#watchers.delete(onChange);
        },
      },
      steps,
    );
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
    return this.sockets.links.state(address, this.#membership?.isOwn(address) === true);
  }

  /** @internal */
  async stopListening(): Promise<void> {
    await this.sockets.links.stopListening();
  }

  /** @internal Called when the bus closes. */
  onEnd(listener: () => void): void {
    this.#end.push(listener);
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
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING` where 16 calls wait already; `EFSM` before the start;
   *   InvalidArgumentError `EINVAL`; ClosedError `EBADF`
   */
  async clients(options: { readonly timeout?: number | undefined } = {}): Promise<ClusterClients> {
    checkCallOptions("clients", options, ["timeout"]);
    const { timeout = CLIENTS_TIMEOUT } = options;
    checkNumber("timeout", timeout, MAX_AFTER);
    const asked = this.#rules.live.filter(({ details }) => Object.hasOwn(details.props, DISCOVERY_PROP));
    const ask = this.#roster.ask(this.identity.name, asked);
    const timer = setTimeout(() => ask.end(), timeout);
    await ask.complete;
    clearTimeout(timer);
    return ask.end();
  }

  /** @internal A discovery server of this node; `undefined`: it closes. */
  serveDiscovery(server: BusDiscovery | undefined): void {
    this.#server = server;
    this.#roster.own = server && (() => server.clients());
  }

  // --- What this node says of itself ---------------------------------------------------------------------------------

  /**
   * Changes this node's tags: `tags("a", { remove: ["b"] })`. The modifiers `append`, `remove`, `replace`, `map` and
   * `mappend` apply in their order. The others get the new ones with a beat at once.
   *
   * @returns the tags afterwards; without arguments those there are
   * @throws InvalidArgumentError `EINVAL` for an unknown modifier, and for too many tags; nothing has changed then
   */
  tags(...changes: TagChange[]): readonly string[] {
    if (changes.length > 0) this.#change(changes, {});
    return this.#rules.self.details.tags;
  }

  /**
   * Changes this node's props; `undefined` removes one.
   *
   * @returns the props afterwards; without an argument those there are
   * @throws InvalidArgumentError `EINVAL` for values that are not texts, numbers, true or false, and for too many; nothing
   * has changed then
   */
  props(changes?: Readonly<Record<string, PropValue | undefined>>): Readonly<Record<string, string>> {
    if (changes !== undefined) this.#change([], changes);
    return this.#rules.self.details.props;
  }

  /**
   * Advertises where a service of this program is, under a name: an endpoint, or those that a socket is bound to, now and later,
   * until it unbinds them or closes. Over tcp and ipc; a wildcard host becomes this node's address. The name is a tag of this
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
    return this.#advertiser.add(name, of);
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
    checkNumber("channel", channel, 255);
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
    if (answers !== undefined) checkNumber("answers", answers, 65_535);
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
    const id = this.#idOf(nameOrId);
    let found = false;
    this.#run((rules, now) => {
      found = rules.expect(now, id);
    });
    if (!found) throw new UnroutableError(`no live member is called ${JSON.stringify(nameOrId)}`);
  }

  /**
   * Measures the round trip to a member: one datagram each way, with the delays of both event loops. It accuses nobody.
   *
   * @param options `timeout` in ms, default 1,000
   * @returns ms
   * @throws UnroutableError `EHOSTUNREACH` where there is no such live member; TimeoutError `ETIMEDOUT`; InvalidArgumentError `EINVAL`
   */
  rtt(nameOrId: string, options: MeasureOptions = {}): Promise<number> {
    return this.run(async () => {
      checkCallOptions("rtt", options, ["timeout"]);
      const timeout = measureTimeout(options);
      const found = this.#find(nameOrId);
      if (found === undefined || found === this.#rules.self)
        throw new UnroutableError(`no other member is called ${JSON.stringify(nameOrId)}`);
      return measureRtt(found, timeout, this.#measure);
    });
  }

  /**
   * Asks each live member whether it reaches each other one: it pings that one, and reports whether an answer came. Of more than 1,024
   * pairs, so many at random. Members that this node does not know are not in it, and a member that does not answer this node
   * is `unknown` as a source.
   *
   * @param options `timeout` in ms of each answer, default 1,000
   * @throws InvalidArgumentError `EINVAL`
   */
  reachability(options: MeasureOptions = {}): Promise<Reachability> {
    return this.run(async () => {
      checkCallOptions("reachability", options, ["timeout"]);
      const { self, live } = this.#rules;
      return survey(self, [...live], measureTimeout(options), this.#measure, Math.random);
    });
  }

  // --- What operators do ---------------------------------------------------------------------------------------------

  /**
   * Puts a node out of the cluster until it is admitted again, whether it lives or not.
   *
   * @throws UnroutableError `EHOSTUNREACH` for a name that no member has. An id need not be a member's
   */
  remove(nameOrId: string): void {
    const id = this.#idOf(nameOrId);
    this.#run((rules, now) => rules.remove(now, id));
  }

  /**
   * Allows a removed node in again. A removed node that is gone is known by its id only.
   *
   * @throws as `remove`; InvalidStateError `EFSM` for this node when it was removed: the others would go on refusing it
   */
  admit(nameOrId: string): void {
    const id = this.#idOf(nameOrId);
    if (id === this.identity.id && this.removed)
      throw new InvalidStateError("EFSM", "a node that was removed is admitted by another one");
    this.#run((rules, now) => rules.admit(now, id));
  }

  /** Rejoins under a new incarnation, after a split of which this was the minority; where `autoheal` is off. */
  heal(): void {
    void this.#rules;
    this.#run(() => this.#rejoin());
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
    this.sockets.rekey(this);
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
    this.sockets.rekey(this);
  }

  /** Whether this side of a split is not the one that goes on. */
  get minority(): boolean {
    return this.#splits?.minority ?? false;
  }

  /** Whether an operator removed this node. */
  get removed(): boolean {
    return this.#membership?.removed ?? false;
  }

  stats(): ClusterStats {
    const rules = this.#membership;
    const { counters, links } = this.sockets;
    const { packetsSent, packetsReceived, bytesSent, bytesReceived, gossipBytes } = counters;
    const counts = rules?.counts(performance.now());
    const states = statesOf(rules);
    const sources = this.#discovery.status();
    const refused = Object.entries(this.#refused).map(
      ([reason, count]) => [`rules:${reason}`, count] as const,
    );
    return {
      members: rules?.size ?? 0,
      suspects: states.suspect,
      gone: states.lost + states.left,
      states,
      probes: counts?.probes ?? 0,
      probesFailed: counts?.probesFailed ?? 0,
      suspicions: this.#suspicions,
      refuted: this.#refutedSuspicions,
      refutations: counts?.refutations ?? 0,
      differsFor: Math.round(counts?.differsFor ?? 0),
      loopDelay: this.#timer.loopDelay,
      stalls: this.#timer.stalls,
      sourcesUp: sources.filter(({ state }) => state === "up").length,
      sourcesDown: sources.filter(({ state }) => state === "down").length,
      healthScore: rules?.healthScore ?? 0,
      minority: this.minority,
      packetsSent,
      packetsReceived,
      bytesSent,
      bytesReceived,
      gossipBytes,
      links: links.verified,
      dropped: { ...counters.dropped, ...Object.fromEntries(refused) },
    };
  }

  /** Leaves: the others are sent a statement that it does, and it closes. */
  async leave(): Promise<void> {
    await this.close();
  }

  // --- What the sockets bring ----------------------------------------------------------------------------------------

  /** @internal */
  onPacket(packet: Packet, address: string, overStream: boolean): void {
    this.#run((rules, now) => rules.onPacket(now, packet, address, overStream));
    if (packet.type === PacketType.DATA) this.#onData(packet, overStream);
  }

  /** @internal */
  onGroupPacket(packet: Packet, address: string): void {
    const rules = this.#membership;
    if (rules === undefined || packet.from === this.identity.id) return;
    // A stranger is answered by a few: by all of them it would be a storm.
    if (rules.get(packet.from) === undefined && Math.random() >= GREETERS / rules.size) return;
    // It may have been sent by another socket than the one that answers go to.
    const alive = packet.updates.find(({ kind, id }) => kind === UpdateKind.ALIVE && id === packet.from);
    this.onPacket(packet, alive?.address ?? rules.get(packet.from)?.address ?? address, false);
  }

  /** @internal */
  onEvidence(address: string): void {
    this.#run((rules, now) => rules.onEvidence(now, address));
  }

  /** @internal */
  onRefused(address: string, reason: RefusedReason): void {
    this.#pending.push({ type: "refused", address, reason });
    this.#emit();
  }

  /** @internal */
  revoke(id: string): void {
    const rules = this.#membership;
    if (rules?.get(id) !== undefined && id !== this.identity.id)
      this.#run((each, now) => each.remove(now, id));
  }

  /** @internal */
  onAddress(address: string): void {
    // It is for new sockets, which know nothing of it.
    this.#beaten = undefined;
    this.#run((rules, now) => rules.setAddress(now, address));
  }

  /** @internal */
  greeting(address: string): Packet | undefined {
    const rules = this.#membership;
    if (rules === undefined || !rules.live.some((member) => member.address === address)) return undefined;
    return rules.greeting();
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** @internal The members are sent that it takes nothing new. */
  protected override onDrain(): Promise<void> {
    this.#run((rules, now) => rules.drain(now));
    this.#changed();
    return Promise.resolve();
  }

  protected async onClose(linger: number): Promise<void> {
    clearTimeout(this.#calling);
    clearTimeout(this.#watching);
    this.#advertiser.close();
    for (const { timer } of this.#newcomers.values()) clearTimeout(timer);
    this.#newcomers.clear();
    const withdrawn = this.#discovery.stop(linger);
    this.#roster.close();
    const server = this.#server?.nodeOnClose(linger);
    if (this.#membership !== undefined) {
      this.#left = true;
      this.#run((rules, now) => rules.leave(now));
      const pause = LEAVE_INTERVALS * this.#settings.profile.gossipInterval;
      if (this.#membership.isKnown)
        await new Promise((resolve) => setTimeout(resolve, linger < 0 ? pause : Math.min(linger, pause)));
    }
    this.#timer.stop();
    await Promise.all([withdrawn, server]);
    for (const listener of this.#end) listener();
    this.sockets.remove(this);
    this.#membership = undefined;
    this.#splits = undefined;
    this.#changed();
  }

  // --- Inside --------------------------------------------------------------------------------------------------------

  get #rules(): Membership {
    if (this.#membership !== undefined) return this.#membership;
    if (this.closed) throw new ClosedError("EBADF", `${this.driverName} is closed`);
    throw new InvalidStateError("EFSM", `${this.driverName} was not started`);
  }

  readonly #measure: Measure = (id, helperId, timeout, done) => {
    let isUnderWay = false;
    if (this.#membership !== undefined)
      this.#run((rules, now) => {
        isUnderWay = rules.measure(now, id, helperId, timeout, done);
      });
    return isUnderWay;
  };

  /** Calls the rules, and does what they decided. */
  #run(call: (rules: Membership, now: number) => void): void {
    const rules = this.#membership;
    const splits = this.#splits;
    if (rules === undefined || splits === undefined) {
      if (!this.closed) void this.#rules;
      return;
    }
    const now = performance.now();
    this.#running = true;
    try {
      call(rules, now);
      splits.tick(now);
      rules.minority = splits.minority;
    } finally {
      this.#running = false;
    }
    this.#beat(rules);
    this.#emit();
    this.#timer.update();
  }

  /** What is answered for this node while its event loop is blocked. */
  #beat(rules: Membership): void {
    const { start, count } = rules.self;
    const { digest } = rules;
    const answers = !this.#left && !rules.removed;
    const beat = this.#beaten;
    if (beat?.start === start && beat.count === count && beat.digest === digest && beat.answers === answers)
      return;
    this.#beaten = { id: this.identity.id, start, count, digest, answers };
    this.sockets.beat(this, this.#beaten);
    this.#server?.changed();
  }

  #emit(): void {
    if (this.#emitting || this.#running) return;
    this.#emitting = true;
    try {
      while (this.#pending.length > 0) {
        const events = this.#pending;
        this.#pending = [];
        for (const event of events) this.report(event);
      }
    } finally {
      this.#emitting = false;
    }
  }

  /** Reports what the rules did not decide. */
  #report(event: ClusterEvent): void {
    this.#pending.push(event);
    this.#emit();
  }

  /** @internal */
  protected report(event: ClusterEvent): void {
    this.events.emit(event);
  }

  #onChange(change: ClusterChange): void {
    this.#changed();
    const now = performance.now();
    const splits = this.#splits;
    const emit = (event: ClusterEvent): void => void this.#pending.push(event);
    // What follows about a newcomer comes after its own event.
    if (change.type !== "details" && "member" in change && change.member !== undefined)
      this.#greet(change.member.id);
    if (change.type === "suspect") this.#suspicions += 1;
    else if (change.type === "cleared") this.#refutedSuspicions += 1;
    switch (change.type) {
      case "refused":
        this.#refused[change.reason] = (this.#refused[change.reason] ?? 0) + 1;
        return;
      case "joined":
      case "back":
      case "restarted": {
        const { id, name, start, details, announced, unreached } = change.member;
        if (!unreached) splits?.onReached(now, { id, name, start });
        const restarted = change.type === "back" && change.restarted;
        if (details.version >= announced || (change.type === "back" && !restarted))
          this.#emitNewcomer(change.type, change.member, restarted);
        else {
          const timer = setTimeout(() => {
            this.#greet(id);
            this.#emit();
          }, DETAILS_WAIT);
          this.#newcomers.set(id, { type: change.type, member: change.member, timer });
        }
        break;
      }
      case "moved":
        break;
      case "heartbeat":
        emit({ type: "heartbeat", member: this.#serviceOf(change.member), channel: change.channel });
        return;
      case "unreached":
        this.#lostSome = true;
        splits?.onLost(now, change.member.id);
        return;
      case "reached": {
        const { id, name, start, isLive } = change.member;
        if (isLive) splits?.onReached(now, { id, name, start });
        return;
      }
      case "lost":
        this.#roster.onGone(change.member.id);
        if (this.#isOfNoSide(change.reason)) splits?.onGone(now, change.member.id);
        else {
          this.#lostSome = true;
          splits?.onLost(now, change.member.id);
        }
        emit({
          type: "lost",
          member: this.#serviceOf(change.member),
          reason: lostReason(change.reason),
        });
        break;
      case "left":
        this.#roster.onGone(change.member.id);
        splits?.onGone(now, change.member.id);
        emit({ type: "left", member: this.#serviceOf(change.member) });
        break;
      case "removed": {
        this.#roster.onGone(change.id);
        splits?.onGone(now, change.id);
        const found = change.id === this.identity.id ? this.#membership?.self : change.member;
        emit({ type: "removed", id: change.id, member: found && this.#serviceOf(found) });
        break;
      }
      case "admitted": {
        const found = this.#membership?.get(change.id);
        emit({ type: "admitted", id: change.id, member: found && this.#serviceOf(found) });
        break;
      }
      case "cleaned":
        splits?.onCleaned(change.member.id);
        emit({ type: "cleaned", member: this.#serviceOf(change.member) });
        return;
      case "details":
        if (!this.#greet(change.member.id)) emit({ type: "tags", member: this.#serviceOf(change.member) });
        return;
      case "conflict": {
        const [keeps, yields] = [this.#serviceOf(change.keeps), this.#serviceOf(change.yields)];
        emit({ type: "conflict", member: yields.id === this.identity.id ? keeps : yields, keeps, yields });
        return;
      }
      default:
        emit({ type: change.type, member: this.#serviceOf(change.member) });
        return;
    }
    this.#watchSoon();
  }

  #emitNewcomer(type: Newcomer["type"], member: Member, restarted: boolean): void {
    const service = this.#serviceOf(member);
    if (type === "back") this.#pending.push({ type, member: service, restarted });
    else this.#pending.push({ type, member: service });
  }

  /** Emits the event of a newcomer that waits. @returns whether one did */
  #greet(id: string): boolean {
    const newcomer = this.#newcomers.get(id);
    if (newcomer === undefined) return false;
    this.#newcomers.delete(id);
    clearTimeout(newcomer.timer);
    this.#emitNewcomer(newcomer.type, newcomer.member, true);
    return true;
  }

  /** What is advertised are other endpoints. @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  #publish(): void {
    const rules = this.#membership;
    if (rules === undefined) {
      // Before the start: the longest address is assumed.
      const { tags, props } = this.#settings;
      createDetails(1, tags, props, this.#advertiser.texts("255.255.255.255"));
      return;
    }
    const { tags, props } = rules.self.details;
    const endpoints = this.#advertiser.texts(hostOfAddress(this.sockets.address));
    this.#run((_, now) => rules.setDetails(now, tags, props, endpoints));
  }

  /** Members have changed, or may have. */
  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /** @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  #change(tags: readonly TagChange[], props: Readonly<Record<string, PropValue | undefined>>): void {
    const { details } = this.#rules.self;
    const nextTags = changeTags(details.tags, tags);
    const nextProps = changeProps(details.props, props);
    this.#run((rules, now) => rules.setDetails(now, nextTags, nextProps));
    this.#changed();
  }

  /** Nothing cuts a host in parts: there, a member that is dead by evidence is not on the other side of a cut. */
  #isOfNoSide(reason: number): boolean {
    const isEvident = reason === DeathReason.CONNECTION || reason === DeathReason.REPLACED;
    return isEvident && this.sockets.settings.scope === "host" && this.#settings.strategy.kind === "majority";
  }

  /** @internal Another node of an id, live or gone; `undefined` also when the bus is closed. */
  protected known(id: string): Service | undefined {
    const member = id === this.identity.id ? undefined : this.#membership?.get(id);
    return member && this.#serviceOf(member);
  }

  #rejoin(): void {
    const rules = this.#rules;
    rules.rejoin(performance.now(), Date.now());
    this.#splits?.heal();
  }

  /** By datagram it would be an answer to whatever address was forged. */
  #onData(packet: Packet, overStream: boolean): void {
    const member = this.#membership?.get(packet.from);
    const { data } = packet;
    if (!overStream || member?.isLive !== true || data === undefined) this.sockets.count("data:refused");
    else if (packet.flags !== DataPlane.CLIENTS || !this.#roster.onData(member.id, member.name, data))
      this.sockets.count("data:unknown");
  }

  /** Keeps streams to the next few members, soon. */
  #watchSoon(): void {
    if (this.#watching !== undefined || this.#left) return;
    this.#watching = setTimeout(() => {
      this.#watching = undefined;
      const rules = this.#membership;
      if (rules === undefined || this.#left) return;
      this.sockets.watch(this, rules.removed ? [] : successors(rules.self.id, rules.live));
    }, WATCH_DELAY);
  }

  /** A node that is alone calls by the group, again and again: a beat may be lost, and the others may start later. */
  #call(at: number): void {
    const pause = CALLS[Math.min(at, CALLS.length - 1)] as number;
    this.#calling = setTimeout(
      () => {
        if (this.#membership === undefined) return;
        if (this.#membership.live.length === 0) this.#run((rules, now) => rules.discover(now));
        this.#call(at + 1);
      },
      pause * (0.75 + Math.random() / 2),
    );
    this.#calling.unref();
  }

  #serviceOf(member: Readonly<Member>): Service {
    return serviceOf(member, hostOf(this.identity.name), this.#wallOffset);
  }

  #find(nameOrId: string): Member | undefined {
    const rules = this.#rules;
    if (typeof nameOrId !== "string")
      throw new InvalidArgumentError(`a member is named by a text; got ${typeof nameOrId}`);
    if (isId(nameOrId)) return rules.get(nameOrId);
    const all = [...rules.live, ...rules.dead, rules.self as Member];
    if (nameOrId.includes("@"))
      return rules.named(nameOrId) ?? all.find((member) => member.name === nameOrId);
    const local = rules.named(fullName(nameOrId, hostOf(this.identity.name)));
    if (local !== undefined) return local;
    const fits = (member: Member): boolean => member.name.startsWith(`${nameOrId}@`);
    const live = all.filter((member) => member.isLive && !member.yields && fits(member));
    if (live.length > 1)
      throw new InvalidArgumentError(
        `${live.length} members are called ${JSON.stringify(nameOrId)}: give the host, too (name@host)`,
      );
    return live[0] ?? all.find(fits);
  }

  #idOf(nameOrId: string): string {
    const found = this.#find(nameOrId);
    if (found !== undefined) return found.id;
    if (isId(nameOrId)) return nameOrId;
    throw new UnroutableError(`no member is called ${JSON.stringify(nameOrId)}`);
  }
}

function statesOf(rules: Membership | undefined): ClusterStats["states"] {
  const states = { alive: 0, suspect: 0, draining: 0, lost: 0, left: 0 };
  if (rules === undefined) return states;
  for (const member of [rules.self, ...rules.live]) {
    if (member.suspicion !== undefined) states.suspect += 1;
    else states[member.draining ? "draining" : "alive"] += 1;
  }
  for (const { state } of rules.dead) states[state === MemberState.LEFT ? "left" : "lost"] += 1;
  return states;
}
