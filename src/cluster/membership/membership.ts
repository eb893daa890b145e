/**
 * The rules by which a node knows who else is there (docs/internals/cluster.md): SWIM with Lifeguard, and what they miss.
 * Pure: the time, random numbers, packets and what links say come in; packets, changes and the next wake-up go out.
 *
 *   onPacket ─> sender: known, newcomer (challenged), removed (refused) ─> by type: prober, synchronization, beats
 *                                                                    └> updates: applied here, and queued to spread
 *   tick     ─> late? ─> probes ─> suspicions ─> gossip ─> redial ─> synchronization ─> autoclean ─> beats
 *
 * What is said about a member is decided in one place for each kind of update (`#applyAlive` and its neighbours).
 */
import { MAX_NEWCOMERS, MAX_SEEDS } from "../bounds.js";
import { createDetails, NO_DETAILS } from "../details.js";
import { compareIncarnations, incarnationAfter, nextIncarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import { bodySize } from "../wire/codec.js";
import {
  ACK_OTHER,
  ACK_RELAYED,
  ALIVE_DRAINING,
  DeathReason,
  NO_UPDATES,
  Packet,
  PacketType,
  Update,
  UpdateKind,
} from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import type { ClusterChange, MembershipEffects, RefusalReason } from "./events.js";
import { GossipQueue } from "./gossip-queue.js";
import { Health } from "./health.js";
import { Member, MemberState, Members } from "./members.js";
import { Prober } from "./prober.js";
import { Suspicion } from "./suspicion.js";
import { entriesFor } from "./sync.js";

/** Members that probe a suspect on hearing of it, of all, on average. */
const CONFIRMERS = 4;
/** Dials of a dead member a redial interval, by the whole cluster; of one that was forgotten. */
const DIALS = 4;
const OLD_DIALS = 2;
/** Probe intervals without a packet of anybody, after which a node takes itself for the one that is cut off. */
const DEAF_AFTER = 3;
/** Members that one asks how it stands, after it stood still. */
const ASKED = 4;
/** Dials whose answers are known as such. */
const MAX_DIALS = 64;
/** Answers to `discover` that wait for their time. */
const MAX_ANSWERS = 256;
/** Members that a leaving node sends its statement to directly. */
const LEAVE_SENDS = 16;
/** ms between a change of details and its beat: changes in one go are one beat. */
const COALESCE = 20;
/** ms between an update and the packet that it may share with others. */
const GOSSIP_DELAY = 5;

const NEVER = Number.POSITIVE_INFINITY;

/** Who this node is. */
export interface SelfOptions {
  readonly id: string;
  readonly name: string;
  /** Where its packets are sent. */
  readonly address: string;
  /** Wall clock in ms when it started. */
  readonly start: number;
}

export interface MembershipOptions {
  readonly self: SelfOptions;
  readonly profile: Profile;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly effects: MembershipEffects;
  /** ms, monotonic. */
  readonly now: number;
  /** Whether the node distrusts itself when it is late. Default `true`; off to measure what it is worth. */
  readonly localHealth?: boolean;
}

interface Newcomer {
  readonly update: Update;
  readonly seq: number;
  /** When it was challenged. */
  readonly at: number;
}

interface Answer {
  readonly at: number;
  readonly address: string;
}

export class Membership {
  readonly profile: Profile;
  readonly #random: () => number;
  readonly #effects: MembershipEffects;
  readonly #members: Members;
  readonly #self: Member;
  readonly #health: Health;
  readonly #prober: Prober;
  readonly #queue = new GossipQueue();
  readonly #suspects = new Set<Member>();
  readonly #newcomers = new Map<string, Newcomer>();
  /** Addresses of configuration and discovery. */
  readonly #seeds = new Set<string>();
  readonly #dials = new Set<number>();
  readonly #answers: Answer[] = [];
  readonly #localHealth: boolean;
  /** Wall clock minus the rules' time, for versions of removals. */
  readonly #wallOffset: number;
  #left = false;
  #removed = false;
  /** Since the first synchronization what others say is passed on. */
  #established = false;
  #heardAt = Number.NEGATIVE_INFINITY;
  #nextGossip = NEVER;
  #lastGossip = Number.NEGATIVE_INFINITY;
  #nextRedial = NEVER;
  #nextSync: number;
  #lastSync = Number.NEGATIVE_INFINITY;
  /** Since when every packet had another digest. */
  #differsSince = NEVER;
  #changedAt: number;
  #nextClean = NEVER;
  #nextBeat: number;
  #suspicionWake = NEVER;
  /** Whether it gave members up while it heard nobody. */
  #isAlone = false;
  #removalSentAt = Number.NEGATIVE_INFINITY;
  #counter = 0;

  constructor({ self, profile, random, effects, now, localHealth = true }: MembershipOptions) {
    this.profile = profile;
    this.#random = random;
    this.#effects = effects;
    this.#self = new Member(self.id, self.name, self.address, self.start, 0, now);
    this.#members = new Members(this.#self);
    this.#localHealth = localHealth;
    this.#health = new Health(localHealth);
    this.#wallOffset = self.start - now;
    this.#prober = new Prober(
      profile,
      this.#members,
      this.#health,
      random,
      {
        ping: (member, seq, overStream) => this.#ping(member, seq, overStream),
        ask: (helper, member, seq) =>
          this.#send(
            helper.address,
            this.#packet(
              PacketType.PING_REQ,
              seq,
              0,
              0,
              member.id,
              member.address,
              this.#piggyback(member.address.length),
            ),
            false,
          ),
        relayed: (address, seq, acked) => this.#answer(address, seq, acked ? ACK_RELAYED : 0, acked),
        failed: (member, evidence) => this.#probeFailed(member, evidence),
      },
      now,
    );
    this.#changedAt = now;
    this.#nextSync = now + random() * profile.syncInterval;
    this.#nextBeat = now + random() * profile.heartbeatInterval;
    this.#now = now;
  }

  /** The time of the call that runs. */
  #now: number;

  get self(): Readonly<Member> {
    return this.#self;
  }

  /** Live members without this node; the rules' own list: to be read at once. */
  get live(): readonly Member[] {
    return this.#members.live;
  }

  /** Those that were lost or left and are not forgotten yet. */
  get dead(): readonly Member[] {
    return this.#members.dead;
  }

  /** Live members, this node included. */
  get size(): number {
    return this.#members.size;
  }

  /** The hash of the picture: nodes with equal ones have equal pictures. */
  get digest(): number {
    return this.#members.digest.total;
  }

  /** 0: this node trusts its own view; up to 8. */
  get healthScore(): number {
    return this.#health.score;
  }

  /** Whether an operator removed this node. */
  get removed(): boolean {
    return this.#removed;
  }

  get(id: string): Member | undefined {
    return id === this.#self.id ? this.#self : this.#members.get(id);
  }

  /** The live member that keeps a name. */
  named(name: string): Member | undefined {
    return this.#members.named(name);
  }

  // --- What the program wants ---------------------------------------------------------------------------------------

  /** Dials addresses until a member is there; those of members that are known already cost nothing. */
  join(now: number, addresses: readonly string[]): void {
    this.#now = now;
    for (const address of addresses) {
      if (address === this.#self.address || this.#seeds.has(address)) continue;
      if (this.#seeds.size >= MAX_SEEDS) {
        this.#refuse("seeds");
        return;
      }
      this.#seeds.add(address);
      this.#dial(address, undefined, false);
    }
    if (this.#seeds.size > 0) this.#scheduleRedial(this.profile.redialInterval / 4);
  }

  /** Says so to the others, and takes no further part but to answer. */
  leave(now: number): void {
    this.#now = now;
    if (this.#left) return;
    this.#left = true;
    this.#prober.stop();
    this.#setIncarnation(nextIncarnation(this.#self));
    const update = Update.left(this.#self.id, this.#self.start, this.#self.count);
    this.#spread(update);
    const packet = this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", [update]);
    const { live } = this.#members;
    const first = Math.floor(this.#random() * live.length);
    for (let i = 0; i < Math.min(LEAVE_SENDS, live.length); i++)
      this.#send((live[(first + i) % live.length] as Member).address, packet, false);
  }

  /** Says that this node takes nothing new, before it leaves. */
  drain(now: number): void {
    this.#now = now;
    if (this.#self.draining) return;
    this.#self.draining = true;
    this.#announce();
  }

  /**
   * Puts a node out until it is admitted. Where there are too many, the oldest removal is forgotten.
   *
   * @param id of a member, or of a node that is not here now
   */
  remove(now: number, id: string): void {
    this.#now = now;
    this.#decide(id, true);
  }

  admit(now: number, id: string): void {
    this.#now = now;
    this.#decide(id, false);
  }

  /**
   * Changes what this node says of itself; it goes with a beat shortly after.
   *
   * @throws InvalidArgumentError `EINVAL` where it is too much; nothing has changed then
   */
  setDetails(
    now: number,
    tags: readonly string[],
    props: Readonly<Record<string, string>>,
    endpoints: readonly string[] = this.#self.details.endpoints,
  ): void {
    this.#now = now;
    this.#self.details = createDetails(this.#self.details.version + 1, tags, props, endpoints);
    this.#members.rehash(this.#self);
    this.#changedAt = now;
    this.#spread(this.#ownDetails());
    this.heartbeatAfter(now, COALESCE);
  }

  /** A beat now, to the group. @param channel 0 to 255, for hooks that distinguish them */
  heartbeat(now: number, channel = 0): void {
    this.#now = now;
    this.#nextBeat = now + this.profile.heartbeatInterval * (0.9 + 0.2 * this.#random());
    if (!this.#left && !this.#removed) this.#effects.multicast(this.#beat(channel));
  }

  /** The next beat comes at this time, or earlier where it was to. */
  heartbeatAfter(now: number, ms: number): void {
    this.#nextBeat = Math.min(this.#nextBeat, now + ms);
  }

  /** Asks the group to report. @param answers that are wanted; 0: all */
  discover(now: number, answers: number = this.profile.discoverAnswers): void {
    this.#now = now;
    const updates = [this.#ownAlive()];
    this.#effects.multicast(
      this.#packet(PacketType.DISCOVER, answers, this.profile.discoverTime, 0, "", "", updates),
    );
  }

  /** Begins another life: what a minority does when it heals. @param start its wall clock; later than the one before in any case */
  rejoin(now: number, start: number): void {
    this.#now = now;
    this.#setIncarnation({ start: Math.max(start, this.#self.start + 1), count: 0 });
    if (this.#left) this.#prober.start(now);
    this.#left = false;
    this.#announce(false);
    if (this.#self.details.version > 0) this.#spread(this.#ownDetails());
  }

  // --- What happens to it ------------------------------------------------------------------------------------------

  /** A sign of life on a link: any message of a member. */
  onHeard(now: number, id: string): void {
    const member = this.#members.get(id);
    if (member?.isLive) this.#heard(now, member);
  }

  /** A hard sign that a member is gone: its connection was reset, a new one refused. One probe confirms it. */
  onEvidence(now: number, address: string): void {
    this.#now = now;
    // Seldom: a walk costs less than a table of addresses.
    for (const member of this.#members.live) {
      if (member.address !== address) continue;
      if (this.profile.probeInterval === 0) this.#expect(member);
      else this.#prober.probe(now, member, DeathReason.CONNECTION);
    }
  }

  /** The process stood still: what was to happen meanwhile gets as much time. */
  onDelay(now: number, ms: number): void {
    this.#now = now;
    if (!this.#localHealth || ms <= 0) return;
    this.#health.change(Math.ceil(ms / Math.max(1, this.profile.probeInterval)));
    this.#prober.shift(ms);
    this.#heardAt += ms;
    for (const member of this.#suspects) {
      const { suspicion } = member;
      if (suspicion === undefined) continue;
      suspicion.since += ms;
      suspicion.deadline += ms;
    }
    if (this.#suspects.size > 0) this.#suspicionWake += ms;
    if (this.#differsSince !== NEVER) this.#differsSince += ms;
    // Long enough to have been given up: some are asked, whose answer has the accusation.
    const { live } = this.#members;
    if (ms < this.profile.probeInterval || this.profile.probeInterval === 0 || this.#left) return;
    for (let i = 0; i < ASKED && live.length > 0; i++)
      this.#dial((live[Math.floor(this.#random() * live.length)] as Member).address, undefined, false);
  }

  /** @param address where it came from, and answers go */
  onPacket(now: number, packet: Packet, address: string, overStream: boolean): void {
    this.#now = now;
    if (packet.from === this.#self.id) return; // Its own, by multicast.
    if (this.#removed) {
      for (const update of packet.updates) if (update.kind === UpdateKind.REMOVAL) this.#applyRemoval(update);
      return;
    }
    if (this.#members.isRemoved(packet.from)) {
      this.#refuseRemoved(packet.from, address);
      return;
    }
    const member = this.#members.get(packet.from);
    if (member === undefined) {
      this.#onStranger(packet, address, overStream);
      return;
    }
    if (packet.start < member.start) {
      this.#onStale(member, packet, address);
      return;
    }
    this.#heardFrom(member, packet, address);
    this.#handle(member, packet, address, overStream);
  }

  nextWakeUp(): number {
    let wake = Math.min(this.#prober.wake(), this.#suspicionWake);
    if (this.#nextGossip < wake) wake = this.#nextGossip;
    if (this.#nextRedial < wake) wake = this.#nextRedial;
    if (this.#nextSync < wake) wake = this.#nextSync;
    if (this.#nextClean < wake) wake = this.#nextClean;
    if (this.#nextBeat < wake) wake = this.#nextBeat;
    for (const { at } of this.#answers) if (at < wake) wake = at;
    return wake;
  }

  tick(now: number): void {
    const late = now - this.nextWakeUp();
    if (late > Math.max(50, this.profile.probeTimeout / 2) && this.#members.live.length > 0)
      this.onDelay(now, late);
    this.#now = now;
    if (this.#removed) {
      this.#sleep(now);
      return;
    }
    if (now >= this.#prober.wake()) this.#prober.tick(now);
    if (now >= this.#suspicionWake) this.#endSuspicions(now);
    if (now >= this.#nextGossip) this.#gossip(now);
    if (now >= this.#nextRedial) this.#redial(now);
    if (now >= this.#nextSync) this.#syncAnyone(now);
    if (now >= this.#nextClean) this.#clean(now);
    if (now >= this.#nextBeat) this.#onBeatTime(now);
    if (this.#answers.length > 0) this.#sendAnswers(now);
  }

  // --- Packets out -------------------------------------------------------------------------------------------------

  #packet(
    type: PacketType,
    seq: number,
    target: number,
    flags: number,
    about: string,
    address: string,
    updates: readonly Update[],
    buckets: Uint32Array | undefined = undefined,
    wanted: readonly [number, number] | undefined = undefined,
  ): Packet {
    const { id, start, count } = this.#self;
    const digest = this.#members.digest.total;
    return new Packet(
      type,
      id,
      start,
      count,
      digest,
      seq,
      target,
      flags,
      about,
      address,
      buckets,
      wanted,
      updates,
    );
  }

  #send(address: string, packet: Packet, overStream: boolean): void {
    this.#effects.send(address, packet, overStream);
  }

  /** Updates for a packet that has room; nothing, most of the time. */
  #piggyback(used: number): readonly Update[] {
    if (this.#queue.size === 0) return NO_UPDATES;
    return this.#queue.take(MAX_BODY - bodySize(PacketType.SYNC, 0) - used, this.#transmissions());
  }

  #transmissions(): number {
    return Math.ceil(this.profile.gossipFactor * Math.max(1, Math.log10(this.#members.size + 1)));
  }

  #ping(member: Member, seq: number, overStream: boolean): void {
    const { suspicion } = member;
    let updates = this.#piggyback(64);
    if (suspicion !== undefined || member.accused) {
      if (suspicion !== undefined) suspicion.accusedAt = this.#now;
      const accusers = suspicion?.accusers ?? [this.#self.short];
      updates = [Update.suspect(member.id, member.start, member.count, accusers), ...updates];
      member.accused = false;
    }
    this.#send(
      member.address,
      this.#packet(PacketType.PING, seq, member.short, 0, "", "", updates),
      overStream,
    );
  }

  #answer(address: string, seq: number, flags: number, acked: boolean): void {
    const type = acked ? PacketType.ACK : PacketType.NACK;
    this.#send(address, this.#packet(type, seq, 0, flags, "", "", this.#piggyback(0)), false);
  }

  /** @param accusation of the one that is dialled, for it to refute */
  #dial(address: string, accusation: Update | undefined, overStream: boolean): void {
    const seq = this.#prober.nextSeq();
    const [oldest] = this.#dials;
    if (this.#dials.size >= MAX_DIALS && oldest !== undefined) this.#dials.delete(oldest);
    this.#dials.add(seq);
    const own = this.#ownAlive();
    const updates = accusation === undefined ? [own] : [own, accusation];
    this.#send(address, this.#packet(PacketType.PING, seq, 0, 0, "", "", updates), overStream);
  }

  #ownAlive(): Update {
    const { id, start, count, name, address, draining, details } = this.#self;
    return Update.alive(id, start, count, name, address, draining ? ALIVE_DRAINING : 0, details.version);
  }

  #ownDetails(): Update {
    return Update.details(this.#self.id, this.#self.start, this.#self.details);
  }

  #beat(channel: number): Packet {
    const updates = [this.#ownAlive()];
    if (this.#self.details.version > 0) updates.push(this.#ownDetails());
    return this.#packet(PacketType.HEARTBEAT, 0, 0, channel, "", "", updates);
  }

  /** The update goes out with what goes next, and in packets of its own. */
  #spread(update: Update): void {
    this.#queue.push(update);
    const due = Math.max(this.#now + GOSSIP_DELAY, this.#lastGossip + this.profile.gossipInterval);
    if (due < this.#nextGossip) this.#nextGossip = due;
  }

  #gossip(now: number): void {
    const { live } = this.#members;
    this.#lastGossip = now;
    this.#nextGossip = NEVER;
    const room = MAX_BODY - bodySize(PacketType.GOSSIP, 0);
    const first = live.length <= this.profile.gossipNodes ? 0 : -1;
    for (let i = 0; i < this.profile.gossipNodes && i < live.length; i++) {
      const updates = this.#queue.take(room, this.#transmissions());
      if (updates.length === 0) break;
      const at = first === 0 ? i : Math.floor(this.#random() * live.length);
      this.#send(
        (live[at] as Member).address,
        this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", updates),
        false,
      );
    }
    if (this.#queue.size > 0 && live.length > 0) this.#nextGossip = now + this.profile.gossipInterval;
  }

  // --- Packets in --------------------------------------------------------------------------------------------------

  #heard(now: number, member: Member): void {
    member.lastHeard = now;
    member.expectedBy = NEVER;
    this.#heardAt = now;
    this.#isAlone = false;
  }

  #heardFrom(member: Member, packet: Packet, address: string): void {
    const now = this.#now;
    this.#heard(now, member);
    const { suspicion } = member;
    if (member.state === MemberState.ALIVE || packet.start !== member.start) return;
    if (member.doubtful) {
      this.#revive(member);
      this.#sync(address, this.profile.probeTimeout);
      return;
    }
    if (member.state === MemberState.SUSPECT && packet.count > member.count) {
      // It has refuted this already; the refutation is on its way.
      this.#clear(member);
      return;
    }
    if (suspicion !== undefined) {
      if (now - suspicion.accusedAt < this.profile.probeTimeout) return;
      suspicion.accusedAt = now;
      const update = Update.suspect(member.id, member.start, member.count, suspicion.accusers);
      this.#send(address, this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", [update]), false);
    } else if (member.state === MemberState.DEAD) {
      const update = Update.dead(member.id, member.start, member.count, member.reason, this.#self.short);
      this.#send(address, this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", [update]), false);
      this.#sync(address, this.profile.probeTimeout);
    }
  }

  #handle(member: Member, packet: Packet, address: string, overStream: boolean): void {
    switch (packet.type) {
      case PacketType.PING:
        this.#onPing(packet, address, overStream, this.#piggyback(0));
        break;
      case PacketType.ACK:
        this.#onAck(member, packet, address);
        break;
      case PacketType.PING_REQ: {
        const target = this.#members.get(packet.about);
        if (target !== undefined) this.#prober.relay(this.#now, target, address, packet.seq);
        else this.#answer(address, packet.seq, 0, false);
        break;
      }
      case PacketType.NACK:
        this.#prober.onNack(packet.seq);
        break;
      case PacketType.DISCOVER:
        this.#onDiscover(packet, address);
        break;
      case PacketType.EXPECT:
        this.#onExpect(packet.about);
        break;
      case PacketType.SYNC:
        if (packet.buckets !== undefined) this.#onSync(packet.buckets, address);
        break;
      case PacketType.ENTRIES:
        this.#onEntries(packet, address);
        return;
    }
    for (let i = 0; i < packet.updates.length; i++) this.#apply(packet.updates[i] as Update, true);
    this.#compareDigest(packet.digest, address);
  }

  #onPing(packet: Packet, address: string, overStream: boolean, updates: readonly Update[]): void {
    const isOther = packet.target !== 0 && packet.target !== this.#self.short;
    const flags = isOther ? ACK_OTHER : 0;
    this.#send(address, this.#packet(PacketType.ACK, packet.seq, 0, flags, "", "", updates), overStream);
  }

  #onAck(from: Member, packet: Packet, address: string): void {
    if (this.#dials.delete(packet.seq)) {
      this.#sync(address, this.profile.probeTimeout);
      return;
    }
    const probed = this.#prober.memberOf(packet.seq);
    if ((packet.flags & ACK_OTHER) !== 0) {
      // Another id has this member's address: it is gone.
      if (probed !== undefined && probed !== from && probed.address === address)
        this.#die(probed, DeathReason.REPLACED, true);
      return;
    }
    const relayed = (packet.flags & ACK_RELAYED) !== 0;
    if (this.#prober.onAck(from, packet.seq, relayed) && relayed && probed !== undefined)
      this.#heard(this.#now, probed);
  }

  /** A sender that is no member: admitted over a stream, or when it acks a fresh number. */
  #onStranger(packet: Packet, address: string, overStream: boolean): void {
    // What it holds against this node, for having been dead or gone, is refuted in any case: that needs no trust.
    for (const update of packet.updates) if (update.id === this.#self.id) this.#apply(update, true);
    const isVerified = overStream || (packet.type === PacketType.ACK && this.#isVerified(packet));
    const own = packet.updates.find(
      (update) => update.kind === UpdateKind.ALIVE && update.id === packet.from,
    );
    if (!isVerified) {
      if (packet.type === PacketType.PING)
        this.#onPing(packet, address, overStream, this.#introduction(packet.from));
      if (own === undefined || own.start !== packet.start) this.#refuse("stranger");
      else this.#challenge(own, address);
      return;
    }
    const alive = own ?? this.#newcomers.get(packet.from)?.update;
    this.#newcomers.delete(packet.from);
    if (alive !== undefined) this.#apply(alive, true);
    const member = this.#members.get(packet.from);
    if (member === undefined) {
      if (alive !== undefined) this.#buried(packet, address);
      // It knows this node already, and did not say who it is: an exchange does.
      else this.#sync(address, 0);
      return;
    }
    this.#heard(this.#now, member);
    if (packet.type === PacketType.ACK) this.#sync(address, 0);
    this.#handle(member, packet, address, overStream);
  }

  /** What a stranger needs to know: who this is, and where it applies, that it was admitted again. */
  #introduction(id: string): readonly Update[] {
    const removal = this.#members.removals.get(id);
    if (removal === undefined) return [this.#ownAlive()];
    return [this.#ownAlive(), Update.removal(id, removal.time, removal.counter, removal.removed)];
  }

  #isVerified(packet: Packet): boolean {
    return this.#dials.delete(packet.seq) || this.#newcomers.get(packet.from)?.seq === packet.seq;
  }

  #challenge(update: Update, address: string): void {
    const before = this.#newcomers.get(update.id);
    if (before === undefined && this.#newcomers.size >= MAX_NEWCOMERS) {
      const [oldest] = this.#newcomers.keys();
      if (oldest !== undefined) this.#newcomers.delete(oldest);
      this.#refuse("newcomers");
    }
    // Once at a time, or two who do not know each other would ask without end.
    if (before !== undefined && this.#now - before.at < this.profile.probeTimeout) return;
    const seq = before?.seq ?? this.#prober.nextSeq();
    this.#newcomers.delete(update.id);
    this.#newcomers.set(update.id, { update, seq, at: this.#now });
    const ping = this.#packet(PacketType.PING, seq, 0, 0, "", "", this.#introduction(update.id));
    this.#send(address, ping, false);
  }

  /** Of a life before, or of a new one whose clock went back: that one goes on from what it hears. */
  #onStale(member: Member, packet: Packet, address: string): void {
    this.#refuse("stale");
    if (packet.type !== PacketType.PING && packet.type !== PacketType.SYNC) return;
    const { id, start, count, name, details } = member;
    const update = Update.alive(id, start, count, name, member.address, 0, details.version);
    this.#send(address, this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", [this.#ownAlive(), update]), false);
  }

  /** Somebody who was forgotten as dead or gone, and has not heard of it. */
  #buried(packet: Packet, address: string): void {
    const tombstone = this.#members.tombstone(packet.from);
    if (tombstone === undefined) return;
    const update = Update.dead(
      packet.from,
      tombstone.start,
      tombstone.count,
      DeathReason.SILENT,
      this.#self.short,
    );
    this.#send(address, this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", [this.#ownAlive(), update]), false);
  }

  #refuseRemoved(id: string, address: string): void {
    this.#refuse("removed");
    if (this.#now - this.#removalSentAt < this.profile.probeTimeout) return;
    const removal = this.#members.removals.get(id);
    if (removal === undefined) return;
    this.#removalSentAt = this.#now;
    const update = Update.removal(id, removal.time, removal.counter, true);
    this.#send(address, this.#packet(PacketType.GOSSIP, 0, 0, 0, "", "", [update]), false);
  }

  // --- Update ----------------------------------------------------------------------------------------------------

  /** @param isFresh gossip, not an entry of a synchronization, which may be old */
  #apply(update: Update, isFresh: boolean): void {
    if (update.kind === UpdateKind.REMOVAL) {
      this.#applyRemoval(update);
      return;
    }
    if (update.id === this.#self.id) {
      this.#applySelf(update);
      return;
    }
    if (this.#members.isRemoved(update.id)) return;
    const member = this.#members.get(update.id);
    switch (update.kind) {
      case UpdateKind.ALIVE:
        this.#applyAlive(member, update, isFresh);
        break;
      case UpdateKind.SUSPECT:
        if (member !== undefined) this.#applySuspect(member, update);
        break;
      case UpdateKind.DEAD:
        this.#applyDead(member, update, isFresh);
        break;
      case UpdateKind.LEFT:
        this.#applyLeft(member, update);
        break;
      case UpdateKind.DETAILS:
        if (member !== undefined) this.#applyDetails(member, update);
        break;
    }
  }

  #applyAlive(known: Member | undefined, update: Update, isFresh: boolean): void {
    if (known === undefined) {
      this.#welcome(update, isFresh);
      return;
    }
    const order = compareIncarnations(update.start, update.count, known.start, known.count);
    if (order < 0) return;
    if (order === 0) {
      if (known.doubtful) this.#revive(known);
      return;
    }
    const wasLive = known.isLive;
    const restarted = update.start !== known.start;
    const drains = (update.flags & ALIVE_DRAINING) !== 0 && !known.draining;
    if (known.suspicion !== undefined) this.#clear(known);
    if (wasLive && known.name !== update.name) this.#release(known);
    known.start = update.start;
    known.count = update.count;
    known.name = update.name;
    known.address = update.address;
    known.draining = (update.flags & ALIVE_DRAINING) !== 0;
    known.reason = 0;
    known.doubtful = false;
    if (restarted) known.details = NO_DETAILS;
    if (!wasLive) {
      known.state = MemberState.ALIVE;
      known.changedAt = this.#now;
      known.lastHeard = this.#now;
      this.#members.moved(known);
      this.#prober.added(known);
    } else this.#members.rehash(known);
    this.#changed();
    this.#pass(update, isFresh);
    if (!wasLive) this.#effects.event({ type: "back", member: known, restarted });
    else if (restarted) this.#effects.event({ type: "restarted", member: known });
    if (drains) this.#effects.event({ type: "draining", member: known });
    this.#claim(known);
  }

  /** It was given up while this node was cut off itself, and nobody else did so. */
  #revive(member: Member): void {
    member.doubtful = false;
    member.reason = 0;
    member.state = MemberState.ALIVE;
    member.changedAt = this.#now;
    member.lastHeard = this.#now;
    this.#members.moved(member);
    this.#prober.added(member);
    this.#changed();
    this.#effects.event({ type: "back", member, restarted: false });
    this.#claim(member);
  }

  #welcome(update: Update, isFresh: boolean): void {
    const tombstone = this.#members.tombstone(update.id);
    if (
      tombstone !== undefined &&
      compareIncarnations(update.start, update.count, tombstone.start, tombstone.count) <= 0
    )
      return;
    if (this.#members.full) {
      this.#refuse("full");
      return;
    }
    const member = new Member(update.id, update.name, update.address, update.start, update.count, this.#now);
    member.draining = (update.flags & ALIVE_DRAINING) !== 0;
    this.#members.add(member);
    this.#prober.added(member);
    this.#changed();
    this.#pass(update, isFresh);
    this.#effects.event({ type: "joined", member });
    // A port has one owner: who is at the address of another one has taken its place.
    this.#claim(member);
  }

  #applySuspect(member: Member, update: Update): void {
    if (!member.isLive || compareIncarnations(update.start, update.count, member.start, member.count) < 0)
      return;
    if (this.profile.probeInterval === 0) {
      this.#onExpect(member.id);
      return;
    }
    const isNew = member.state === MemberState.ALIVE;
    this.#suspect(member, update.accusers, update);
    // Some of those who hear of it look for themselves.
    if (isNew && this.#random() < CONFIRMERS / this.#members.size) this.#prober.probe(this.#now, member, 0);
  }

  #applyDead(member: Member | undefined, update: Update, isFresh: boolean): void {
    if (member === undefined) {
      const tombstone = { start: update.start, count: update.count, address: "", left: false };
      this.#members.bury(update.id, tombstone);
      return;
    }
    if (!member.isLive || compareIncarnations(update.start, update.count, member.start, member.count) < 0)
      return;
    const { probeInterval } = this.profile;
    if (probeInterval === 0) {
      this.#onExpect(member.id);
      return;
    }
    if (isFresh && this.#now - member.lastHeard >= probeInterval) {
      member.start = update.start;
      member.count = update.count;
      this.#die(member, update.flags, true);
      return;
    }
    // It was just there, or the entry may be old: it is asked, with the accusation, and refutes it if it lives.
    if (isFresh) this.#suspect(member, update.accusers, undefined);
    else member.accused = true;
    this.#prober.probe(this.#now, member, 0);
  }

  #applyLeft(member: Member | undefined, update: Update): void {
    if (member === undefined) {
      this.#members.bury(update.id, { start: update.start, count: update.count, address: "", left: true });
      return;
    }
    if (member.state === MemberState.LEFT) return;
    if (compareIncarnations(update.start, update.count, member.start, member.count) < 0) return;
    member.start = update.start;
    member.count = update.count;
    this.#bury(member, MemberState.LEFT);
    this.#spread(update);
    this.#effects.event({ type: "left", member });
    this.#release(member);
  }

  #applyDetails(member: Member, update: Update): void {
    const { details } = update;
    if (details === undefined || update.start !== member.start || details.version <= member.details.version)
      return;
    member.details = details;
    this.#members.rehash(member);
    this.#changed();
    this.#spread(update);
    this.#effects.event({ type: "details", member });
  }

  /** What is said about this node, and is not so. */
  #applySelf(update: Update): void {
    if (this.#left || update.kind === UpdateKind.DETAILS) return;
    const { start, count } = this.#self;
    const order = compareIncarnations(update.start, update.count, start, count);
    if (order < 0 || (order === 0 && update.kind === UpdateKind.ALIVE)) return;
    const next = incarnationAfter(this.#self, update);
    if (next === undefined) {
      this.#refuse("self");
      return;
    }
    this.#setIncarnation(next);
    if (update.kind === UpdateKind.SUSPECT) this.#health.change(1);
    this.#announce(false);
  }

  #applyRemoval(update: Update): void {
    const isRemoved = (update.flags & 1) !== 0;
    const removal = { time: update.start, counter: update.count, removed: isRemoved };
    if (!this.#members.setRemoval(update.id, removal)) return;
    this.#changed();
    this.#spread(update);
    const { id } = update;
    if (id === this.#self.id) {
      const was = this.#removed;
      this.#removed = isRemoved;
      if (isRemoved && !was) {
        this.#prober.stop();
        this.#nextSync = this.#now;
      } else if (was && !isRemoved) {
        this.#prober.start(this.#now);
        this.#announce();
      }
    }
    if (isRemoved) {
      const member = this.#members.get(id);
      if (member !== undefined) {
        this.#forget(member, false);
        this.#release(member);
      }
      this.#effects.event({ type: "removed", id, member });
    } else this.#effects.event({ type: "admitted", id });
  }

  #decide(id: string, isRemoved: boolean): void {
    const before = this.#members.removals.get(id);
    const time = Math.max(Math.floor(this.#now + this.#wallOffset), (before?.time ?? 0) + 1);
    this.#counter += 1;
    this.#applyRemoval(Update.removal(id, time, this.#counter, isRemoved));
  }

  /** Updates of others go on; a node that is just joining hears what all know. */
  #pass(update: Update, isFresh: boolean): void {
    if (isFresh || this.#established) this.#spread(update);
  }

  #changed(): void {
    this.#changedAt = this.#now;
  }

  #claim(member: Member): void {
    const conflict = this.#members.claim(member);
    if (conflict === undefined) return;
    this.#effects.event({ type: "conflict", ...conflict });
    // It may be the ghost of a process that was killed; then the name is free within one probe.
    if (conflict.keeps !== this.#self && conflict.keeps.isLive)
      this.#prober.probe(this.#now, conflict.keeps, DeathReason.REPLACED);
  }

  #release(member: Member): void {
    const next = this.#members.release(member);
    if (next !== undefined) this.#effects.event({ type: "named", member: next });
  }

  /** @param needsBump whether the incarnation is still that of the statement before */
  #announce(needsBump = true): void {
    if (needsBump) this.#setIncarnation(nextIncarnation(this.#self));
    this.#changed();
    this.#spread(this.#ownAlive());
  }

  #setIncarnation({ start, count }: { readonly start: number; readonly count: number }): void {
    this.#self.start = start;
    this.#self.count = count;
    this.#members.rehash(this.#self);
  }

  // --- Suspicion and death ---------------------------------------------------------------------------------------

  #probeFailed(member: Member, evidence: number): void {
    if (!member.isLive) return;
    if (evidence !== 0 && !this.#isDeaf()) {
      this.#die(member, evidence, true);
      return;
    }
    this.#suspect(member, [this.#self.short], undefined);
    if (!this.#isDeaf()) return;
    // It hears nobody: it need not probe them one by one to know.
    for (const each of this.#members.live) this.#suspect(each, [this.#self.short], undefined);
  }

  /** Nobody at all was heard lately: then it is this node that is cut off, and it accuses nobody to others. */
  #isDeaf(): boolean {
    const patience = DEAF_AFTER * this.profile.probeInterval;
    return this.#now - this.#heardAt > patience && (this.#members.size > 2 || this.#isAlone);
  }

  /** @param passed update to pass on, if there is a new accuser in it; `undefined`: this node's own accusation */
  #suspect(member: Member, accusers: readonly number[], passed: Update | undefined): void {
    const wanted = this.#wantedAccusers();
    let { suspicion } = member;
    let isNew = true;
    if (suspicion === undefined) {
      suspicion = new Suspicion(this.profile, this.#members.size, this.#now, accusers);
      member.suspicion = suspicion;
      member.state = MemberState.SUSPECT;
      member.changedAt = this.#now;
      this.#suspects.add(member);
      this.#effects.event({ type: "suspect", member });
    } else isNew = suspicion.accuse(accusers, wanted);
    suspicion.update(wanted);
    this.#suspicionWake = Math.min(this.#suspicionWake, suspicion.deadline);
    if (isNew && (passed !== undefined || !this.#isDeaf()))
      this.#spread(Update.suspect(member.id, member.start, member.count, suspicion.accusers));
  }

  /** Further accusers that there can be: members that are neither it nor suspected themselves. */
  #wantedAccusers(): number {
    const others = this.#members.live.length - Math.max(1, this.#suspects.size);
    return Math.max(0, Math.min(this.profile.confirmations, others));
  }

  #clear(member: Member): void {
    this.#suspects.delete(member);
    member.suspicion = undefined;
    member.state = MemberState.ALIVE;
    member.changedAt = this.#now;
    this.#queue.drop(member.id);
    this.#effects.event({ type: "cleared", member });
  }

  #endSuspicions(now: number): void {
    const wanted = this.#wantedAccusers();
    let wake = NEVER;
    for (const member of this.#suspects) {
      const { suspicion } = member;
      if (suspicion === undefined) continue;
      suspicion.update(wanted);
      // Heard since: it is there. The accusation is sent to it, and it refutes.
      if (member.lastHeard > suspicion.since)
        suspicion.deadline = Math.max(suspicion.deadline, member.lastHeard + suspicion.min);
      if (now < suspicion.deadline) wake = Math.min(wake, suspicion.deadline);
      else this.#die(member, DeathReason.SILENT, !this.#isDeaf());
    }
    this.#suspicionWake = wake;
  }

  #die(member: Member, reason: number, isSpread: boolean): void {
    if (!member.isLive) return;
    member.reason = reason === 0 ? DeathReason.SILENT : reason;
    this.#bury(member, MemberState.DEAD);
    if (isSpread) {
      const update = Update.dead(member.id, member.start, member.count, member.reason, this.#self.short);
      this.#spread(update);
    } else {
      this.#queue.drop(member.id);
      member.doubtful = reason !== DeathReason.TTL;
      this.#isAlone = true;
    }
    this.#effects.event({ type: "lost", member, reason: member.reason });
    this.#release(member);
    this.#scheduleRedial(this.profile.redialInterval);
  }

  #bury(member: Member, state: MemberState): void {
    this.#suspects.delete(member);
    member.suspicion = undefined;
    member.state = state;
    member.changedAt = this.#now;
    member.expectedBy = NEVER;
    this.#members.moved(member);
    this.#changed();
    if (this.#nextClean === NEVER) this.#nextClean = this.#now + this.profile.autoclean;
  }

  #forget(member: Member, isBuried: boolean): void {
    this.#suspects.delete(member);
    this.#queue.drop(member.id);
    this.#members.delete(member, isBuried);
    member.suspicion = undefined;
    if (!isBuried) member.state = MemberState.LEFT;
    this.#changed();
  }

  #clean(now: number): void {
    let next = NEVER;
    for (const member of [...this.#members.dead]) {
      const due = member.changedAt + this.profile.autoclean;
      if (due > now) {
        next = Math.min(next, due);
        continue;
      }
      this.#forget(member, true);
      this.#effects.event({ type: "cleaned", member });
    }
    // In bunches.
    this.#nextClean = next === NEVER ? NEVER : Math.max(next, now + this.profile.autoclean / 20);
  }

  // --- Redialling ---------------------------------------------------------------------------------------------------

  #scheduleRedial(ms: number): void {
    this.#nextRedial = Math.min(this.#nextRedial, this.#now + ms * (0.5 + this.#random()));
  }

  /** The whole cluster shares the dials of its dead; a seed that nobody is at is dialled by each who was given it. */
  #redial(now: number): void {
    this.#nextRedial = NEVER;
    if (this.#left) return;
    const { dead, live, tombstoneAddresses, size } = this.#members;
    const { redialInterval } = this.profile;
    let waits = false;
    if (dead.length > 0) {
      waits = true;
      const member = dead[Math.floor(this.#random() * dead.length)] as Member;
      if (this.#random() < (DIALS * dead.length) / size && member.state === MemberState.DEAD) {
        const update = Update.dead(member.id, member.start, member.count, member.reason, this.#self.short);
        this.#dial(member.address, update, this.#random() < 0.25);
      }
    }
    if (tombstoneAddresses.length > 0) {
      waits = true;
      if (this.#random() < (OLD_DIALS * tombstoneAddresses.length) / size) {
        const at = Math.floor(this.#random() * tombstoneAddresses.length);
        this.#dial(tombstoneAddresses[at] as string, undefined, this.#random() < 0.25);
      }
    }
    if (this.#seeds.size > 0) {
      for (const member of live) this.#seeds.delete(member.address);
      waits ||= this.#seeds.size > 0;
      // All of them while nobody is there, one at a time then.
      const all = [...this.#seeds];
      const some = live.length === 0 ? all : [all[Math.floor(this.#random() * all.length)] as string];
      if (all.length > 0) for (const address of some) this.#dial(address, undefined, this.#random() < 0.5);
    }
    if (waits) this.#nextRedial = now + redialInterval * (0.5 + this.#random());
  }

  // --- Synchronization ----------------------------------------------------------------------------------------------

  #compareDigest(theirs: number, address: string): void {
    if (theirs === this.#members.digest.total) {
      this.#differsSince = NEVER;
      return;
    }
    const now = this.#now;
    if (this.#differsSince === NEVER) this.#differsSince = now;
    const { settle } = this.profile;
    if (now - Math.max(this.#differsSince, this.#changedAt) < settle || this.#left) return;
    this.#sync(address, settle);
  }

  #syncAnyone(now: number): void {
    const { live } = this.#members;
    this.#nextSync = now + this.profile.syncInterval * (0.75 + 0.5 * this.#random());
    if (live.length === 0 || this.#left) return;
    this.#sync((live[Math.floor(this.#random() * live.length)] as Member).address, 0);
  }

  /** @param apart ms since the one before, at least */
  #sync(address: string, apart: number): void {
    if (this.#now - this.#lastSync < apart) return;
    this.#lastSync = this.#now;
    const updates = [this.#ownAlive()];
    const buckets = this.#members.digest.buckets();
    this.#send(address, this.#packet(PacketType.SYNC, 0, 0, 0, "", "", updates, buckets), true);
  }

  #onSync(buckets: Uint32Array, address: string): void {
    const difference = this.#members.digest.difference(buckets);
    this.#sendEntries(address, difference, difference);
  }

  #onEntries(packet: Packet, address: string): void {
    // Before theirs are taken: what they sent need not go back whole, but what was here before must.
    const { wanted = [0, 0] } = packet;
    if (wanted[0] !== 0 || wanted[1] !== 0) this.#sendEntries(address, wanted, [0, 0]);
    for (const update of packet.updates) this.#apply(update, false);
    if ((packet.flags & 1) !== 0) this.#established = true;
    this.#differsSince = NEVER;
  }

  #sendEntries(address: string, buckets: readonly [number, number], wanted: readonly [number, number]): void {
    const chunks = entriesFor(this.#members, buckets, this.#ownAlive(), this.#ownDetails());
    for (let i = 0; i < chunks.length; i++) {
      const isLast = i === chunks.length - 1 ? 1 : 0;
      const updates = chunks[i] as readonly Update[];
      const asks = i === 0 ? wanted : ([0, 0] as const);
      this.#send(
        address,
        this.#packet(PacketType.ENTRIES, 0, 0, isLast, "", "", updates, undefined, asks),
        true,
      );
    }
  }

  // --- Beats -------------------------------------------------------------------------------------------------------

  #onBeatTime(now: number): void {
    this.heartbeat(now);
    const { ttl } = this.profile;
    if (this.profile.probeInterval > 0 || ttl === 0) return;
    for (const member of [...this.#members.live])
      if (now - member.lastHeard > ttl || now > member.expectedBy) this.#die(member, DeathReason.TTL, false);
  }

  /** Nobody reaches it: all are to expect a sign of life of it. */
  #expect(member: Member): void {
    this.#effects.multicast(this.#packet(PacketType.EXPECT, 0, 0, 0, member.id, "", NO_UPDATES));
    this.#onExpect(member.id);
  }

  #onExpect(id: string): void {
    if (id === this.#self.id) {
      this.heartbeatAfter(this.#now, this.#random() * this.profile.discoverTime);
      return;
    }
    const member = this.#members.get(id);
    if (member === undefined || !member.isLive) return;
    if (this.profile.probeInterval > 0) {
      if (this.#random() < CONFIRMERS / this.#members.size) this.#prober.probe(this.#now, member, 0);
    } else member.expectedBy = Math.min(member.expectedBy, this.#now + 2 * this.profile.discoverTime);
  }

  #onDiscover({ seq: wanted, target: within }: Packet, address: string): void {
    if (wanted > 0 && this.#random() >= wanted / this.#members.size) return;
    if (this.#answers.length >= MAX_ANSWERS || this.#answers.some((each) => each.address === address)) return;
    this.#answers.push({ at: this.#now + this.#random() * within, address });
  }

  #sendAnswers(now: number): void {
    for (let i = this.#answers.length - 1; i >= 0; i--) {
      const { at, address } = this.#answers[i] as Answer;
      if (at > now) continue;
      this.#answers.splice(i, 1);
      this.#send(address, this.#beat(0), false);
    }
  }

  /** A removed node waits to be admitted: now and then it asks. */
  #sleep(now: number): void {
    const later = now + 10 * this.profile.redialInterval;
    this.#suspicionWake = NEVER;
    this.#nextGossip = NEVER;
    this.#nextRedial = NEVER;
    this.#nextSync = later;
    this.#nextClean = NEVER;
    this.#nextBeat = later;
    this.#answers.length = 0;
    const { live } = this.#members;
    const addresses = live.length > 0 ? live.map((member) => member.address) : [...this.#seeds];
    const address = addresses[Math.floor(this.#random() * addresses.length)];
    if (address !== undefined) this.#dial(address, undefined, false);
  }

  #refuse(reason: RefusalReason): void {
    const change: ClusterChange = { type: "refused", reason };
    this.#effects.event(change);
  }
}
