/**
 * A running cluster on a node, with its parts: passes time, packets and stream events to the rules of membership and
 * splits, and carries out their decisions.
 *
 *   created ──begin──> running ──leave──> leaving: the statement spreads ──end──> ended
 *
 *   packet, time, call ──run──> rules ──change──> splits, counters, events, clients, watched nodes
 *                                 └──packets──> sockets            └──when the rules have returned──> listeners
 */
import { invalidArgument, quoted } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { backOff, DriverTimer } from "../../core/timers.js";
import type { CLUSTER } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { Discovery } from "../discovery/discovery.js";
import { fullName, isId } from "../identity.js";
import type { ClusterChange } from "../membership/context.js";
import { type Member as KnownMember, MemberState } from "../membership/members.js";
import { Membership } from "../membership/membership.js";
import { type SplitChange, SplitRules } from "../membership/splits.js";
import type { MemberChange } from "../messaging/hooks.js";
import { MemberMessages } from "../messaging/member-messages.js";
import type { MemberMessagesStats } from "../messaging/member-types.js";
import { Messaging, type MessagingStats } from "../messaging/messaging.js";
import type { PairStreams } from "../messaging/pair-streams.js";
import { NamespaceCodec } from "../net/namespace-codec.js";
import type { Candidate } from "../requests/balancer.js";
import { Requests } from "../requests/requests.js";
import type { RequestsStats } from "../requests/types.js";
import { serviceRoute } from "../requests/wire.js";
import { hostOf } from "../resolver.js";
import { bodySize } from "../wire/codec.js";
import { type Packet, PacketType, UpdateKind } from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import { ChangeEvents, type ClusterEvent } from "./events.js";
import { type Member, memberOf } from "./member.js";
import type { NodeSockets } from "./node-sockets.js";
import type { NamespaceSettings } from "./options.js";
import { OwnDetails } from "./own-details.js";

export interface NodeIdentity {
  readonly id: string;
  readonly name: string;
}

/** The program's object, as its parts see it. */
export interface NamespaceOwner {
  readonly driverName: string;
  readonly cluster: string;
  readonly closed: boolean;
  report(event: ClusterEvent): void;
}

/** What an event is to messages of members, in order; a lost member ends its requests, too. */
const STAGES: Readonly<Partial<Record<ClusterEvent["type"], readonly MemberChange[]>>> = {
  joined: ["discovered"],
  back: ["found"],
  restarted: ["lost", "found"],
  tags: ["changed"],
  lost: ["lost"],
  left: ["lost"],
  removed: ["lost"],
};

/** Statistics of a cluster on a node. */
export type ClusterStats = StatisticsOf<typeof CLUSTER> & {
  /** `undefined` before the start, and without messages. */
  readonly messaging: MessagingStats | undefined;
  /** For `send` and `query`; `undefined` likewise. */
  readonly memberMessages: MemberMessagesStats | undefined;
  /** For `serve` and `request`; `undefined` likewise. */
  readonly requests: RequestsStats | undefined;
};

/** Parts may use each other only when called, not while they are constructed. */
export class NamespaceParts {
  /** Class name, for errors. */
  readonly what: string;
  readonly identity: NodeIdentity;
  readonly sockets: NodeSockets;
  readonly settings: NamespaceSettings;
  readonly owner: NamespaceOwner;
  readonly codec: NamespaceCodec;
  readonly counters = { suspicions: 0, refuted: 0, refused: {} as Record<string, number> };
  /** Pauses of the process count. */
  readonly #timer = new DriverTimer(Number.POSITIVE_INFINITY);
  #isReading = false;
  readonly details: OwnDetails;
  readonly discovery: Discovery;
  readonly messages: Messaging;
  readonly memberMessages: MemberMessages;
  readonly requests: Requests;
  readonly #watchers = new Set<() => void>();
  readonly #host: string;
  readonly #events: ChangeEvents;
  /** Since the last change of any member. */
  readonly #snapshots = new Map<Readonly<KnownMember>, Member>();
  #membership: Membership | undefined;
  #splits: SplitRules | undefined;
  #watchTimer: NodeJS.Timeout | undefined;
  #callTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Wall clock minus the rules' time. */
  #wallOffset = 0;

  constructor(
    owner: NamespaceOwner,
    identity: NodeIdentity,
    sockets: NodeSockets,
    settings: NamespaceSettings,
  ) {
    this.owner = owner;
    this.what = owner.driverName;
    this.identity = identity;
    this.sockets = sockets;
    this.settings = settings;
    this.#host = hostOf(identity.name);
    this.codec = new NamespaceCodec(owner.cluster, settings.keys, settings.byPassword);
    this.#events = new ChangeEvents(
      (event) => this.#emit(event),
      (member) => this.memberOf(member),
    );
    this.messages = new Messaging(this);
    this.memberMessages = new MemberMessages(this);
    this.requests = this.#createRequests(this.messages);
    this.details = new OwnDetails(settings, sockets.settings.ipv6, {
      address: () => sockets.address,
      set: (tags, props, endpoints) => {
        this.run((rules, now) => rules.setDetails(now, tags, props, endpoints));
        this.membersChanged();
      },
      dropped: () => sockets.count("messages:details"),
      refused: (name, endpoint, error) => this.report({ type: "endpoint:refused", name, endpoint, error }),
    });
    this.details.advertiseAll("advertise", settings.advertised);
    this.discovery = new Discovery(settings.seeds, settings.discovery, this, sockets);
  }

  /** `serve` and `request` over members, links and routes. */
  #createRequests({ links, routes }: Messaging): Requests {
    return new Requests({
      id: this.identity.id,
      links,
      routes,
      candidates: (service) => {
        const ids: string[] = [];
        routes.table.match(serviceRoute(service), ids);
        return ids.flatMap((id) => candidateOf(id, this.#membership));
      },
      isSettling: () => routes.isSettling(),
      find: (id) => {
        const member = this.#membership?.get(id);
        return member?.isLive === true ? this.snapshotOf(member) : undefined;
      },
      nameOf: (id) => {
        const member = this.#membership?.get(id);
        return member === undefined ? id : `${member.name} at ${member.address}`;
      },
      report: (event) => this.report(event),
      handlerFailed: (member, error) => this.report({ type: "handler:failed", member, error }),
    });
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  begin(): void {
    const { sockets } = this;
    const { id, name } = this.identity;
    const { profile, strategy, autoheal } = this.settings;
    const now = performance.now();
    const start = Date.now();
    this.#wallOffset = start - now;
    sockets.add(this);
    this.#membership = new Membership({
      self: { id, name, address: sockets.address, start },
      profile,
      random: Math.random,
      now,
      provesNodes: sockets.provesNodes,
      effects: {
        send: (address, packet, overStream) => sockets.send(this, address, packet, overStream),
        multicast: (packet) => sockets.multicast(this, packet),
        event: (change) => this.#onChange(change),
      },
    });
    const isOneHost = sockets.settings.scope === "host";
    this.#splits = new SplitRules(
      { id, name, start },
      { strategy, stableFor: profile.stableFor, autoheal, isOneHost },
      (change) => this.#onSplit(change),
    );
    this.details.begin();
    this.run((rules) => rules.heartbeat(now));
    this.membersChanged();
    this.#timer.start({
      nextWakeUp: () => (this.#isReading ? undefined : this.#nextWakeUp()),
      tick: (at) => this.#onTimer(at),
    });
    this.#callGroup(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#callTimer);
    clearTimeout(this.#watchTimer);
    this.#events.close();
  }

  /** @param linger maximum ms for the statement to spread, -1: no limit */
  async leave(linger: number): Promise<void> {
    if (this.#membership !== undefined) {
      this.run((rules, now) => rules.leave(now));
      const pause = 3 * this.settings.profile.gossipInterval;
      if (this.#membership.isKnown)
        await new Promise((resolve) => setTimeout(resolve, linger < 0 ? pause : Math.min(linger, pause)));
    }
    this.#timer.stop();
  }

  end(): void {
    this.sockets.remove(this);
    this.#membership = undefined;
    this.#splits = undefined;
    this.membersChanged();
  }

  // --- Calls of the cluster ------------------------------------------------------------------------------------------

  /** `undefined` before the start and after the end. */
  get membership(): Membership | undefined {
    return this.#membership;
  }

  /** @throws InvalidStateError `EFSM` before the start; ClosedError `EBADF` */
  get rules(): Membership {
    if (this.#membership !== undefined) return this.#membership;
    if (this.owner.closed) throw new ClosedError("EBADF", `${this.what} is closed`);
    throw new InvalidStateError("EFSM", `${this.what} was not started`);
  }

  /**
   * Finds a member, this node, or a gone member. A name without host means a node on this host, else the only live
   * member of that name.
   *
   * @throws InvalidArgumentError `EINVAL` unless it is a text, and for the name of several live members;
   * InvalidStateError `EFSM` before the start; ClosedError `EBADF`
   */
  find(nameOrId: string): KnownMember | undefined {
    const { rules } = this;
    if (typeof nameOrId !== "string") throw invalidArgument("a member must be named by a text", nameOrId);
    if (isId(nameOrId)) return rules.get(nameOrId);
    const all = [...rules.live, ...rules.dead, rules.self as KnownMember];
    if (nameOrId.includes("@"))
      return rules.named(nameOrId) ?? all.find((member) => member.name === nameOrId);
    const local = rules.named(fullName(nameOrId, this.#host));
    if (local !== undefined) return local;
    const fits = all.filter((member) => member.name.startsWith(`${nameOrId}@`));
    const names = new Set(fits.filter(({ isLive }) => isLive).map(({ name }) => name));
    if (names.size > 1)
      throw new InvalidArgumentError(
        `${names.size} members are called ${quoted(nameOrId)}: give the host, too (name@host)`,
      );
    const [name] = names;
    return name === undefined ? fits[0] : rules.named(name);
  }

  get minority(): boolean {
    return this.#splits?.minority ?? false;
  }

  memberOf(member: Readonly<KnownMember>): Member {
    return memberOf(member, this.#host, this.#wallOffset);
  }

  /** As at the last change of any member: `lastSeen` may be older. */
  snapshotOf(member: Readonly<KnownMember>): Member {
    let snapshot = this.#snapshots.get(member);
    if (snapshot === undefined) {
      snapshot = this.memberOf(member);
      this.#snapshots.set(member, snapshot);
    }
    return snapshot;
  }

  /** Has no effect after closing. @throws InvalidStateError `EFSM` before the start */
  run(call: (rules: Membership, now: number) => void): void {
    const rules = this.#membership;
    const splits = this.#splits;
    if (rules === undefined || splits === undefined) {
      if (!this.owner.closed) void this.rules;
      return;
    }
    const now = performance.now();
    this.#events.during(() => {
      call(rules, now);
      splits.tick(now, rules);
      rules.isMinority = splits.minority;
    });
    this.#timer.update();
  }

  #nextWakeUp(): number {
    return Math.min(this.#membership?.nextWakeUp() ?? Infinity, this.#splits?.nextWakeUp() ?? Infinity);
  }

  #onTimer(now: number): void {
    const late = now - this.#nextWakeUp();
    // Usually nothing is due: the probe was answered.
    if (late < 0) return;
    this.#isReading = true;
    // A receive buffer takes several turns to read.
    this.#readFirst(late > this.#lateAfter ? 64 : 1);
  }

  /** Sockets are read before a wake-up, so that timely answers are not missed. */
  #readFirst(turns: number): void {
    setImmediate(() => {
      if (turns > 1) this.#readFirst(turns - 1);
      else this.#tick();
    });
  }

  #tick(): void {
    this.#isReading = false;
    // The monotonic clock stops while the host is suspended. Less is an adjustment of the wall clock.
    const offset = Date.now() - performance.now();
    const wasSuspended = offset - this.#wallOffset > 2_000;
    this.#wallOffset = offset;
    this.run((rules, now) => {
      if (wasSuspended) rules.onDelay(now, 2 * this.#lateAfter);
      rules.tick(now);
    });
  }

  /** ms. */
  get #lateAfter(): number {
    return Math.max(50, this.settings.profile.probeTimeout / 2);
  }

  heal(): void {
    void this.rules;
    this.run(() => this.#rejoin());
  }

  /**
   * Maximum bytes of messaging's datagrams. 0: without a group, or with node keys
   * or certificates, which datagrams do not prove.
   */
  get messageRoom(): number {
    const rules = this.#membership;
    const { hasGroup, provesNodes } = this.sockets;
    if (rules === undefined || !hasGroup || provesNodes) return 0;
    return MAX_BODY - bodySize(PacketType.MESSAGE);
  }

  report(event: ClusterEvent): void {
    this.#events.report(event);
  }

  stats(): ClusterStats {
    const { counters, minority, discovery, sockets, messages, memberMessages, requests } = this;
    const rules = this.#membership;
    const isStarted = messages.started !== undefined;
    const sources = discovery.status();
    const none = { probes: 0, probesFailed: 0, refutations: 0, differsFor: 0 };
    const counts = rules?.counts(performance.now()) ?? none;
    const states = statesOf(rules);
    return {
      members: rules?.size ?? 0,
      suspects: states.suspect,
      gone: states.lost + states.left,
      states,
      ...counts,
      suspicions: counters.suspicions,
      refuted: counters.refuted,
      differsFor: Math.round(counts.differsFor),
      sourcesUp: sources.filter(({ state }) => state === "up").length,
      sourcesDown: sources.filter(({ state }) => state === "down").length,
      healthScore: rules?.healthScore ?? 0,
      minority,
      ...sockets.counters,
      links: sockets.streams.verified,
      dropped: { ...sockets.counters.dropped, ...counters.refused },
      messaging: messages.started?.stats(),
      memberMessages: isStarted ? memberMessages.stats() : undefined,
      requests: isStarted ? requests.stats() : undefined,
    };
  }

  // --- Input of the sockets ------------------------------------------------------------------------------------------

  onPacket(packet: Packet, address: string, overStream: boolean): void {
    this.run((rules, now) => rules.onPacket(now, packet, address, overStream));
    if (packet.type === PacketType.MESSAGE) this.#onMessage(packet, overStream);
  }

  onGroupPacket(packet: Packet, address: string): void {
    const rules = this.#membership;
    if (rules === undefined || packet.from === this.identity.id) return;
    const isStranger = rules.get(packet.from) === undefined;
    // Four on average answer: answers of all would be a storm.
    if (isStranger && Math.random() >= 4 / (rules.size + rules.newMembers)) return;
    const alive = packet.updates.find(({ kind, id }) => kind === UpdateKind.ALIVE && id === packet.from);
    const own = alive?.address ?? rules.get(packet.from)?.address ?? address;
    this.run((each, now) => each.onGroupPacket(now, packet, own));
    if (packet.type === PacketType.MESSAGE) this.#onMessage(packet, false);
  }

  onAddress(address: string): void {
    this.run((rules, now) => rules.setAddress(now, address));
    this.membersChanged();
    this.details.onAddress();
  }

  get streams(): PairStreams | undefined {
    return this.messages.streams;
  }

  get isServing(): boolean {
    return this.requests.isServing;
  }

  greeting(address: string | undefined): Packet | undefined {
    const rules = this.#membership;
    const isMeant = address === undefined || rules?.live.some((member) => member.address === address);
    return isMeant ? rules?.greeting() : undefined;
  }

  /** With node keys, another holder of the cluster's key may have forged a datagram. */
  #onMessage({ from, data }: Packet, overStream: boolean): void {
    const { identity, sockets, messages, memberMessages } = this;
    const isLive = this.#membership?.get(from)?.isLive === true && from !== identity.id;
    if (overStream || !isLive || data === undefined || sockets.provesNodes) sockets.count("message:refused");
    else if (messages.started !== undefined)
      memberMessages.onDatagram(from, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  }

  // --- Decisions of the rules ----------------------------------------------------------------------------------------

  #onChange(change: ClusterChange): void {
    // These change no member, and may come often.
    if (change.type !== "refused" && change.type !== "heartbeat") {
      this.membersChanged();
      this.#watchSoon();
    }
    this.#splits?.onChange(performance.now(), change);
    this.#count(change);
    if (change.type === "back")
      this.sockets.streams.renew(change.member.address, this.settings.profile.probeTimeout);
    this.messages.onChange(change);
    this.#events.onChange(change);
  }

  #count(change: ClusterChange): void {
    const { counters } = this;
    if (change.type === "suspect") counters.suspicions += 1;
    else if (change.type === "cleared") counters.refuted += 1;
    else if (change.type === "refused") {
      const reason = `rules:${change.reason}`;
      counters.refused[reason] = (counters.refused[reason] ?? 0) + 1;
    }
  }

  #rejoin(): void {
    this.rules.rejoin(performance.now(), Date.now());
    this.membersChanged();
  }

  #onSplit(change: SplitChange): void {
    if (change.type === "healed" && change.rejoined) this.#rejoin();
    this.#events.report(change);
  }

  /** First contact by the group. A call may be lost, and other nodes may start later. */
  #callGroup(calls: number): void {
    const call = (): void => {
      if (this.#membership?.live.length === 0) this.run((rules, now) => rules.discover(now));
      if (!this.#stopped) this.#callGroup(calls + 1);
    };
    this.#callTimer = setTimeout(call, backOff(calls, 100, 5_000, Math.random)).unref();
  }

  /** Later, since in a mass start each change would choose other streams. */
  #watchSoon(): void {
    if (!this.#stopped) this.#watchTimer ??= setTimeout(() => this.#watch(), 1_000);
  }

  #watch(): void {
    this.#watchTimer = undefined;
    const rules = this.#membership;
    if (rules !== undefined)
      this.sockets.watch(this, rules.removed ? [] : successors(rules.self.id, rules.live));
  }

  /** After hooks of members and requests that wait for its member. */
  #emit(event: ClusterEvent): void {
    for (const stage of STAGES[event.type] ?? []) {
      const { member, id = member?.id } = event as { readonly member?: Member; readonly id?: string };
      if (member !== undefined) this.memberMessages.onMember(stage, member);
      if (stage === "lost" && id !== undefined) this.requests.onGone(id);
    }
    this.owner.report(event);
  }

  membersChanged(): void {
    this.#snapshots.clear();
    for (const watcher of this.#watchers) watcher();
    this.requests.onRoutes();
  }

  /** Also at the start and at the end. @returns stops it */
  watchMembers(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }
}

/** Addresses of the three next nodes after `self` in the circular order of ids, so that each is watched by equally many. */
function successors(self: string, members: readonly KnownMember[]): string[] {
  // Ids are hexadecimal, so those before this node's come last.
  const turns = members.map(({ id, address }) => ({ turn: id < self ? `z${id}` : id, address }));
  turns.sort((one, other) => (one.turn < other.turn ? -1 : 1));
  return turns.slice(0, 3).map(({ address }) => address);
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

// --- Candidates for requests -----------------------------------------------------------------------------------------

/** Nodes with equal values of this prop are near each other. */
const ZONE = "zone";

const Distance = { SAME_HOST: 1, SAME_ZONE: 2, ELSEWHERE: 3 } as const;

/** @returns where a node is that takes requests; empty for another one */
function candidateOf(id: string, rules: Membership | undefined): Candidate[] {
  const member = rules?.get(id);
  if (rules === undefined || member?.isLive !== true || member.draining) return [];
  const { self } = rules;
  if (hostOf(member.name) === hostOf(self.name)) return [{ id, distance: Distance.SAME_HOST }];
  const zone = self.details.props[ZONE];
  const isSame = zone !== undefined && zone === member.details.props[ZONE];
  return [{ id, distance: isSame ? Distance.SAME_ZONE : Distance.ELSEWHERE }];
}
