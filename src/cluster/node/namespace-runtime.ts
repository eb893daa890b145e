/**
 * A running cluster, and the context of its parts: passes time, packets and stream events to the rules of membership and
 * splits, and carries out their decisions.
 *
 *   created ──begin──> running ──leave──> leaving: the statement spreads ──end──> ended
 *
 *   packet, time, call ──run──> rules ──change──> splits, counters, events, clients, watched nodes
 *                                 └──packets──> sockets            └──when the rules have returned──> listeners
 */
import { invalidArgument, quoted } from "../../core/arguments.js";
import { ClosedError, InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { backOff } from "../../core/timers.js";
import { fullName, isId } from "../identity.js";
import type { ClusterChange } from "../membership/context.js";
import type { Member as KnownMember } from "../membership/members.js";
import { Membership } from "../membership/membership.js";
import { type SplitChange, SplitRules } from "../membership/splits.js";
import type { MemberMessages } from "../messaging/member-messages.js";
import type { Messaging } from "../messaging/messaging.js";
import type { PairStreams } from "../messaging/pair-streams.js";
import { NamespaceCodec } from "../net/namespace-codec.js";
import type { Requests } from "../requests/requests.js";
import { hostOf } from "../resolver.js";
import { bodySize } from "../wire/codec.js";
import { type Packet, PacketType, UpdateKind } from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import { ChangeEvents, type ClusterEvent } from "./events.js";
import { type Member, memberOf } from "./member.js";
import { NamespaceTimer } from "./namespace-timer.js";
import type { NamespacePort, NodeSockets } from "./node-sockets.js";
import type { NamespaceSettings } from "./options.js";
import type { OwnDetails } from "./own-details.js";

export interface NodeIdentity {
  readonly id: string;
  readonly name: string;
}

/** The program's object, as its parts see it. */
export interface NamespaceOwner {
  readonly closed: boolean;
  report(event: ClusterEvent): void;
  onAddress(address: string): void;
}

export interface NamespaceOptions {
  /** Class name, for errors. */
  readonly what: string;
  readonly cluster: string;
  readonly identity: NodeIdentity;
  readonly sockets: NodeSockets;
  readonly settings: NamespaceSettings;
  readonly owner: NamespaceOwner;
}

/** Parts may use each other only when called, not while they are constructed. */
export interface NamespaceContext extends NamespaceOptions {
  readonly details: OwnDetails;
  readonly messages: Messaging;
  readonly memberMessages: MemberMessages;
  readonly requests: Requests;
  /** After hooks of members and requests that wait for its member. */
  emit(event: ClusterEvent): void;
  membersChanged(): void;
  /** Also at the start and at the end. @returns stops it */
  watchMembers(onChange: () => void): () => void;
}

/** Its address and flags change with its incarnation. */
interface Snapshot extends Pick<KnownMember, "details" | "start" | "count" | "state" | "yields"> {
  readonly snapshot: Member;
}

export class NamespaceRuntime implements NamespacePort {
  readonly codec: NamespaceCodec;
  readonly counters = { suspicions: 0, refuted: 0, refused: {} as Record<string, number> };
  readonly timer: NamespaceTimer;
  readonly #namespace: NamespaceContext;
  readonly #host: string;
  readonly #events: ChangeEvents;
  readonly #snapshots = new WeakMap<object, Snapshot>();
  #membership: Membership | undefined;
  #splits: SplitRules | undefined;
  #watchTimer: NodeJS.Timeout | undefined;
  #callTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Wall clock minus the rules' time. */
  #wallOffset = 0;

  constructor(namespace: NamespaceContext) {
    const { cluster, identity, sockets, settings } = namespace;
    this.#namespace = namespace;
    this.#host = hostOf(identity.name);
    this.codec = new NamespaceCodec(cluster, settings.keys, settings.byPassword);
    this.timer = new NamespaceTimer(sockets.platform, settings.profile.probeTimeout, {
      nextWakeUp: () =>
        Math.min(this.#membership?.nextWakeUp() ?? Infinity, this.#splits?.nextWakeUp() ?? Infinity),
      tick: () => this.run((rules, now) => rules.tick(now)),
      stalled: (ms) => this.run((rules, now) => rules.onDelay(now, ms)),
    });
    this.#events = new ChangeEvents(
      identity.id,
      (event) => namespace.emit(event),
      (member) => this.memberOf(member),
    );
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  begin(): void {
    const { sockets, details } = this.#namespace;
    const { id, name } = this.#namespace.identity;
    const { profile, strategy, autoheal } = this.#namespace.settings;
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
    details.begin();
    this.run((rules) => rules.heartbeat(now));
    this.#namespace.membersChanged();
    this.timer.start();
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
      const pause = 3 * this.#namespace.settings.profile.gossipInterval;
      if (this.#membership.isKnown)
        await new Promise((resolve) => setTimeout(resolve, linger < 0 ? pause : Math.min(linger, pause)));
    }
    this.timer.stop();
  }

  end(): void {
    this.#namespace.sockets.remove(this);
    this.#membership = undefined;
    this.#splits = undefined;
    this.#namespace.membersChanged();
  }

  // --- Calls of the cluster ------------------------------------------------------------------------------------------

  /** `undefined` before the start and after the end. */
  get membership(): Membership | undefined {
    return this.#membership;
  }

  /** @throws InvalidStateError `EFSM` before the start; ClosedError `EBADF` */
  get rules(): Membership {
    if (this.#membership !== undefined) return this.#membership;
    const { owner, what } = this.#namespace;
    if (owner.closed) throw new ClosedError("EBADF", `${what} is closed`);
    throw new InvalidStateError("EFSM", `${what} was not started`);
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
    const live = fits.filter((member) => member.isLive && !member.yields);
    if (live.length > 1)
      throw new InvalidArgumentError(
        `${live.length} members are called ${quoted(nameOrId)}: give the host, too (name@host)`,
      );
    return live[0] ?? fits[0];
  }

  get minority(): boolean {
    return this.#splits?.minority ?? false;
  }

  memberOf(member: Readonly<KnownMember>): Member {
    return memberOf(member, this.#host, this.#wallOffset);
  }

  /** The previous one if only `lastSeen` has changed. */
  snapshotOf(member: Readonly<KnownMember>): Member {
    const known = this.#snapshots.get(member);
    const { details, start, count, state, yields } = member;
    if (
      known !== undefined &&
      known.details === details &&
      known.start === start &&
      known.count === count &&
      known.state === state &&
      known.yields === yields
    )
      return known.snapshot;
    const snapshot = this.memberOf(member);
    this.#snapshots.set(member, { details, start, count, state, yields, snapshot });
    return snapshot;
  }

  /** Has no effect after closing. @throws InvalidStateError `EFSM` before the start */
  run(call: (rules: Membership, now: number) => void): void {
    const rules = this.#membership;
    const splits = this.#splits;
    if (rules === undefined || splits === undefined) {
      if (!this.#namespace.owner.closed) void this.rules;
      return;
    }
    const now = performance.now();
    this.#events.during(() => {
      call(rules, now);
      splits.tick(now, rules);
      rules.isMinority = splits.minority;
    });
    this.timer.update();
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
    const { hasGroup, provesNodes } = this.#namespace.sockets;
    if (rules === undefined || !hasGroup || provesNodes) return 0;
    return MAX_BODY - bodySize(PacketType.MESSAGE);
  }

  report(event: ClusterEvent): void {
    this.#events.report(event);
  }

  // --- Input of the sockets ------------------------------------------------------------------------------------------

  onPacket(packet: Packet, address: string, overStream: boolean): void {
    this.run((rules, now) => rules.onPacket(now, packet, address, overStream));
    if (packet.type === PacketType.MESSAGE) this.#onMessage(packet, overStream);
  }

  onGroupPacket(packet: Packet, address: string): void {
    const rules = this.#membership;
    if (rules === undefined || packet.from === this.#namespace.identity.id) return;
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
    const { details, owner } = this.#namespace;
    details.onAddress();
    owner.onAddress(address);
  }

  get streams(): PairStreams | undefined {
    return this.#namespace.messages.streams;
  }

  get isServing(): boolean {
    return this.#namespace.requests.isServing;
  }

  greeting(address: string | undefined): Packet | undefined {
    const rules = this.#membership;
    const isMeant = address === undefined || rules?.live.some((member) => member.address === address);
    return isMeant ? rules?.greeting() : undefined;
  }

  /** With node keys, another holder of the cluster's key may have forged a datagram. */
  #onMessage({ from, data }: Packet, overStream: boolean): void {
    const { identity, sockets, messages, memberMessages } = this.#namespace;
    const isLive = this.#membership?.get(from)?.isLive === true && from !== identity.id;
    if (overStream || !isLive || data === undefined || sockets.provesNodes) sockets.count("message:refused");
    else if (messages.started !== undefined)
      memberMessages.onDatagram(from, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  }

  // --- Decisions of the rules ----------------------------------------------------------------------------------------

  #onChange(change: ClusterChange): void {
    // These change no member, and may come often.
    if (change.type !== "refused" && change.type !== "heartbeat") {
      this.#namespace.membersChanged();
      this.#watchSoon();
    }
    this.#splits?.onChange(performance.now(), change);
    this.#count(change);
    if (change.type === "back")
      this.#namespace.sockets.streams.renew(
        change.member.address,
        this.#namespace.settings.profile.probeTimeout,
      );
    this.#namespace.messages.onChange(change);
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
      this.#namespace.sockets.watch(this, rules.removed ? [] : successors(rules.self.id, rules.live));
  }
}

/** Addresses of the three next nodes after `self` in the circular order of ids, so that each is watched by equally many. */
function successors(self: string, members: readonly KnownMember[]): string[] {
  // Ids are hexadecimal, so those before this node's come last.
  const turns = members.map(({ id, address }) => ({ turn: id < self ? `z${id}` : id, address }));
  turns.sort((one, other) => (one.turn < other.turn ? -1 : 1));
  return turns.slice(0, 3).map(({ address }) => address);
}
