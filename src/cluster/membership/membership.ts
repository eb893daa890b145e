/**
 * The rules by which a node knows who else is there (docs/internals/cluster.md): SWIM with Lifeguard, and what they miss.
 * Pure: the time, random numbers, packets and what links say come in; packets, changes and the next wake-up go out.
 *
 *   onPacket ─> sender: known, newcomer (challenged), removed (refused) ─> by type: prober, synchronization, beats
 *                                                                    └> updates: applied here, and queued to spread
 *   tick     ─> late? ─> probes ─> suspicions ─> gossip ─> redial ─> synchronization ─> autoclean ─> beats
 *
 * receiver.ts says what a packet does, updates.ts what an update does to a member, life-cycle.ts what a change of its state means.
 */
import { createDetails } from "../details.js";
import { nextIncarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import {
  ACK_RELAYED,
  ALIVE_DRAINING,
  type DataPlane,
  DeathReason,
  type Packet,
  PacketType,
  Update,
} from "../wire/packets.js";
import { Beats } from "./beats.js";
import { Context, type MembershipOptions, pick } from "./context.js";
import { Dialer } from "./dialer.js";
import { LifeCycle } from "./life-cycle.js";
import type { Member } from "./members.js";
import { Prober, type ProberEffects } from "./prober.js";
import { Receiver } from "./receiver.js";
import { Strangers } from "./strangers.js";
import { Synchronizer } from "./sync.js";
import { Transmitter } from "./transmitter.js";
import { Updates } from "./updates.js";

export type { MembershipOptions, SelfOptions } from "./context.js";

/** Members that one asks how it stands, after it stood still. */
const ASKED = 4;
/** Members that a leaving node sends its statement to directly. */
const LEAVE_SENDS = 16;
/** ms between a change of details and its beat: changes in one go are one beat. */
const COALESCE = 20;

export class Membership {
  readonly #context: Context;
  readonly #transmitter: Transmitter;
  readonly #prober: Prober;
  readonly #dialer: Dialer;
  readonly #lifeCycle: LifeCycle;
  readonly #beats: Beats;
  readonly #updates: Updates;
  readonly #synchronizer: Synchronizer;
  readonly #strangers: Strangers;
  readonly #receiver: Receiver;
  /** When a removed node asks again whether it was admitted: nothing else of it has a time. */
  #asksAt = Number.POSITIVE_INFINITY;

  constructor(options: MembershipOptions) {
    const context = new Context(options);
    const transmitter = new Transmitter(context);
    const { profile, members, health, random } = context;
    const effects: ProberEffects = {
      ping: (member, seq, overStream) => transmitter.ping(member, seq, overStream),
      ask: (helper, member, seq) => transmitter.ask(helper, member, seq),
      relayed: (address, seq, acked) => transmitter.answer(address, seq, acked ? ACK_RELAYED : 0, acked),
      failed: (member, evidence) => this.#lifeCycle.probeFailed(member, evidence),
      hearsNobody: () => context.hearsNobody(),
      unreached: (member) => context.effects.event({ type: "unreached", member }),
      reached: (member) => context.effects.event({ type: "reached", member }),
    };
    const prober = new Prober(profile, members, health, random, effects, options.now);
    const dialer = new Dialer(context, transmitter, prober);
    const lifeCycle = new LifeCycle(context, transmitter, prober, dialer);
    const beats = new Beats(context, transmitter, prober, lifeCycle);
    const updates = new Updates(context, transmitter, prober, lifeCycle, dialer, beats, (isRemoved) =>
      this.#onRemoval(isRemoved),
    );
    const synchronizer = new Synchronizer(context, transmitter, updates);
    this.#context = context;
    this.#transmitter = transmitter;
    this.#prober = prober;
    this.#dialer = dialer;
    this.#lifeCycle = lifeCycle;
    this.#beats = beats;
    this.#updates = updates;
    this.#synchronizer = synchronizer;
    const strangers = new Strangers(context, transmitter, prober, dialer, updates, synchronizer);
    this.#strangers = strangers;
    this.#receiver = new Receiver(context, {
      transmitter,
      prober,
      dialer,
      lifeCycle,
      beats,
      updates,
      synchronizer,
      strangers,
    });
  }

  get profile(): Profile {
    return this.#context.profile;
  }

  get self(): Readonly<Member> {
    return this.#context.self;
  }

  /** Live members without this node; the rules' own list: to be read at once. */
  get live(): readonly Member[] {
    return this.#context.members.live;
  }

  /** Those that were lost or left and are not forgotten yet. */
  get dead(): readonly Member[] {
    return this.#context.members.dead;
  }

  /** Live members, this node included. */
  get size(): number {
    return this.#context.members.size;
  }

  /** The hash of the picture: nodes with equal ones have equal pictures. */
  get digest(): number {
    return this.#context.members.digest.total;
  }

  /** 0: this node trusts its own view; up to 8. */
  get healthScore(): number {
    return this.#context.health.score;
  }

  /** When a member answered this node last; infinite where nobody is probed. */
  get answeredAt(): number {
    return this.profile.probeInterval > 0 ? this.#context.ackedAt : Number.POSITIVE_INFINITY;
  }

  /**
   * Whether this node's picture is that of the members that it hears: it has exchanged it, no packet since had another digest, and nobody is
   * suspected.
   */
  get isWhole(): boolean {
    return this.#synchronizer.isWhole && this.#lifeCycle.unsuspected === this.live.length;
  }

  /** ms for which the process stood still, since it began. */
  get stalledFor(): number {
    return this.#context.stalledFor;
  }

  /** Whether this node is on the smaller side of a split. One that comes back to a minority counts as reached when it has answered. */
  set minority(isMinority: boolean) {
    this.#context.isMinority = isMinority;
  }

  /** What the rules did since the start; `differsFor`: ms for which this picture and those of others have differed. */
  counts(now: number): {
    readonly probes: number;
    readonly probesFailed: number;
    readonly refutations: number;
    readonly differsFor: number;
  } {
    return {
      probes: this.#prober.probes,
      probesFailed: this.#prober.failures,
      refutations: this.#context.refutations,
      differsFor: this.#synchronizer.differsFor(now),
    };
  }

  /** Whether an operator removed this node. */
  get removed(): boolean {
    return this.#context.removed;
  }

  get(id: string): Member | undefined {
    return id === this.#context.self.id ? this.#context.self : this.#context.members.get(id);
  }

  /** The live member that keeps a name. */
  named(name: string): Member | undefined {
    return this.#context.members.named(name);
  }

  // --- What the program wants ---------------------------------------------------------------------------------------

  /** Dials addresses until a member is there; those of members that are known already cost nothing. */
  join(now: number, addresses: readonly string[]): void {
    this.#context.now = now;
    this.#dialer.join(addresses);
  }

  /** Does not dial addresses any more, because no source names them. Members stay, whatever their address is. */
  forget(now: number, addresses: readonly string[]): void {
    this.#context.now = now;
    this.#dialer.forget(addresses);
  }

  /** Whether an address that was given is this node's own: it is the one that others use, or a ping to it came back. */
  isOwn(address: string): boolean {
    return this.#dialer.isOwn(address);
  }

  /** Says so to the others, and takes no further part but to answer. */
  leave(now: number): void {
    this.#context.now = now;
    if (this.#context.left) return;
    this.#context.left = true;
    this.#prober.stop();
    this.#context.setIncarnation(nextIncarnation(this.#context.self));
    const update = Update.left(this.#context.self);
    this.#transmitter.spread(update);
    const packet = this.#transmitter.packet(PacketType.GOSSIP, { updates: [update] });
    const { effects, members, random } = this.#context;
    const { live } = members;
    const first = Math.floor(random() * live.length);
    for (let i = 0; i < Math.min(LEAVE_SENDS, live.length); i++)
      effects.send((live[(first + i) % live.length] as Member).address, packet, false);
    // Those that are no members here may have this node as one already.
    for (const address of this.#strangers.pending(LEAVE_SENDS)) effects.send(address, packet, false);
    effects.multicast(packet);
  }

  /** Whether others may know this node: members, and those that are just being met. */
  get isKnown(): boolean {
    return this.#context.members.live.length > 0 || this.#strangers.pending(1).length > 0;
  }

  /** Nodes that are being met: challenged, and no members yet. */
  get newcomers(): number {
    return this.#strangers.newcomers;
  }

  /** A packet that says who this node is, and nothing else: the first one on a stream. */
  greeting(): Packet {
    return this.#transmitter.packet(PacketType.GOSSIP);
  }

  /** Says that this node takes nothing new, before it leaves. */
  drain(now: number): void {
    this.#context.now = now;
    if (this.#context.self.draining) return;
    this.#context.self.flags |= ALIVE_DRAINING;
    this.#transmitter.announce();
  }

  /**
   * Puts a node out until it is admitted. Where there are too many, the oldest removal is forgotten.
   *
   * @param id of a member, or of a node that is not here now
   */
  remove(now: number, id: string): void {
    this.#context.now = now;
    const address = this.#context.members.get(id)?.address;
    this.#updates.decide(id, true);
    // It believes that of a stream only, and has none for long.
    if (this.#context.provesNodes && address !== undefined) this.#strangers.refuseRemoved(id, address, true);
  }

  admit(now: number, id: string): void {
    this.#context.now = now;
    this.#updates.decide(id, false);
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
    endpoints: readonly string[] = this.#context.self.details.endpoints,
  ): void {
    this.#context.now = now;
    this.#context.self.details = createDetails(
      this.#context.self.details.version + 1,
      tags,
      props,
      endpoints,
    );
    this.#context.members.rehash(this.#context.self);
    this.#context.changedAt = now;
    this.#transmitter.spread(this.#transmitter.ownDetails());
    this.#beats.heartbeatAfter(COALESCE);
  }

  /** This node is reached at another address from now on: it states that, as a change of itself. */
  setAddress(now: number, address: string): void {
    this.#context.now = now;
    if (address === this.#context.self.address) return;
    this.#context.self.address = address;
    this.#transmitter.announce();
    this.#beats.heartbeatAfter(COALESCE);
  }

  /** A beat now, to the group. @param channel 0 to 255, for hooks that distinguish them */
  heartbeat(now: number, channel = 0): void {
    this.#context.now = now;
    this.#beats.heartbeat(now, channel);
  }

  /** The next beat comes at this time, or earlier where it was to. */
  heartbeatAfter(now: number, ms: number): void {
    this.#context.now = now;
    this.#beats.heartbeatAfter(ms);
  }

  /** Asks the group to report. @param answers that are wanted; 0: all */
  discover(now: number, answers: number = this.profile.discoverAnswers): void {
    this.#context.now = now;
    this.#beats.discover(answers);
  }

  /**
   * Starts again in the same process, as a minority does when it heals: names and roles stay with those that went on.
   *
   * @param start its wall clock; the start is later than the one before in any case
   */
  rejoin(now: number, start: number): void {
    this.#context.now = now;
    this.#context.setIncarnation({ start: Math.max(start, this.#context.self.start + 1), count: 0 });
    if (this.#context.left) this.#prober.start(now);
    this.#context.left = false;
    this.#transmitter.announce(false);
    if (this.#context.self.details.version > 0) this.#transmitter.spread(this.#transmitter.ownDetails());
  }

  // --- What happens to it ------------------------------------------------------------------------------------------

  /** A sign of life on a link: any message of a member. */
  onHeard(now: number, id: string): void {
    this.#context.now = now;
    const member = this.#context.members.get(id);
    if (member?.isLive) this.#context.heard(member);
  }

  /** A hard sign that a member is gone: its connection was reset, a new one refused. One probe confirms it. */
  onEvidence(now: number, address: string): void {
    this.#context.now = now;
    if (this.#context.removed || this.#context.left) return;
    // Seldom: a walk costs less than a table of addresses.
    for (const member of this.#context.members.live) {
      if (member.address !== address) continue;
      if (this.profile.probeInterval === 0) this.#beats.expect(member);
      else this.#prober.probe(now, member, DeathReason.CONNECTION);
    }
  }

  /**
   * The program fails to reach a member: it is probed, and everybody is to expect a sign of life of it.
   *
   * @returns whether it is a live member
   */
  expect(now: number, id: string): boolean {
    this.#context.now = now;
    const member = this.#context.members.get(id);
    if (member === undefined || !member.isLive || this.#context.removed || this.#context.left) return false;
    this.#beats.expect(member);
    if (this.profile.probeInterval > 0) this.#prober.probe(now, member, 0);
    return true;
  }

  /** The process stood still: what was to happen meanwhile gets as much time. */
  onDelay(now: number, ms: number): void {
    this.#context.now = now;
    if (!this.#context.localHealth || this.#context.removed || ms <= 0) return;
    this.#context.stalledFor += ms;
    this.#context.health.change(Math.ceil(ms / Math.max(1, this.profile.probeInterval)));
    this.#prober.shift(ms);
    this.#context.heardAt += ms;
    this.#context.answeredAt += ms;
    this.#lifeCycle.shift(ms);
    this.#synchronizer.shift(ms);
    // Long enough to have been given up: some are asked, whose answer has the accusation.
    const { live } = this.#context.members;
    if (ms < this.profile.probeInterval || this.profile.probeInterval === 0 || this.#context.left) return;
    for (let i = 0; i < ASKED; i++) {
      const member = pick(live, this.#context.random);
      if (member !== undefined) this.#dialer.dial(member.address, undefined, false);
    }
  }

  /** @param address where it came from, and answers go */
  onPacket(now: number, packet: Packet, address: string, overStream: boolean): void {
    this.#context.now = now;
    this.#receiver.onPacket(packet, address, overStream);
  }

  /** A datagram to the group. @param address of its sender, where answers go */
  onGroupPacket(now: number, packet: Packet, address: string): void {
    this.#context.now = now;
    this.#receiver.onGroupPacket(packet, address);
  }

  nextWakeUp(): number {
    if (this.#context.removed) return this.#asksAt;
    return Math.min(
      this.#prober.wake(),
      this.#lifeCycle.wake,
      this.#transmitter.wake,
      this.#dialer.wake,
      this.#synchronizer.wake,
      this.#beats.wake,
    );
  }

  tick(now: number): void {
    const late = now - this.nextWakeUp();
    if (late > Math.max(50, this.profile.probeTimeout / 2) && this.#context.members.live.length > 0)
      this.onDelay(now, late);
    this.#context.now = now;
    if (this.#context.removed) {
      this.#ask(now);
      return;
    }
    if (now >= this.#prober.wake()) this.#prober.tick(now);
    if (now >= this.#lifeCycle.wake) this.#lifeCycle.tick(now);
    if (now >= this.#transmitter.wake) this.#transmitter.tick(now);
    if (now >= this.#dialer.wake) this.#dialer.tick(now);
    if (now >= this.#synchronizer.wake) this.#synchronizer.tick(now);
    if (now >= this.#beats.wake) this.#beats.tick(now);
  }

  /** Sends bytes of a plane to a live member, over a stream. @returns whether there is such a member */
  sendData(id: string, plane: DataPlane, data: Uint8Array): boolean {
    const member = this.#context.members.get(id);
    if (member?.isLive !== true || this.#context.removed) return false;
    this.#context.effects.send(member.address, this.#transmitter.data(plane, data), true);
    return true;
  }

  /** Sends bytes of messaging by datagram, to the group. */
  multicastMessage(data: Uint8Array): void {
    if (!this.#context.left && !this.#context.removed)
      this.#context.effects.multicast(this.#transmitter.message(data));
  }

  // --- Being removed ----------------------------------------------------------------------------------------------

  #onRemoval(isRemoved: boolean): void {
    const { now, random } = this.#context;
    this.#prober.stop();
    if (isRemoved) {
      this.#asksAt = now;
      return;
    }
    // What was due meanwhile is not late.
    this.#transmitter.stop();
    this.#dialer.stop();
    this.#lifeCycle.stop();
    this.#beats.stop(now + random() * this.profile.heartbeatInterval);
    this.#synchronizer.schedule(now + this.profile.redialInterval);
    this.#prober.start(now);
    this.#context.answeredAt = now;
    this.#lifeCycle.start();
    this.#transmitter.announce();
  }

  /** A removed node waits to be admitted: now and then it asks. */
  #ask(now: number): void {
    this.#asksAt = now + 10 * this.profile.redialInterval;
    const { live } = this.#context.members;
    const addresses = live.length > 0 ? live.map((member) => member.address) : [...this.#dialer.seeds];
    const address = pick(addresses, this.#context.random);
    if (address !== undefined) this.#dialer.dial(address, undefined, false);
  }
}
