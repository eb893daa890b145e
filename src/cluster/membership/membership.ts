/**
 * Membership protocol (docs/internals/cluster.md): SWIM with Lifeguard and extensions. Pure: takes time, random
 * numbers, packets and link events; returns packets, changes and the next wake-up.
 *
 *   onPacket ─> sender: known, new member (challenged), removed (refused) ─> by type: prober, synchronization, heartbeats
 *                                                                    └> updates: applied here, and queued to spread
 *   tick     ─> late? ─> probes ─> suspicions ─> gossip ─> redial ─> synchronization ─> autoclean ─> heartbeats
 */
import { createDetails } from "../details.js";
import { nextIncarnation } from "../identity.js";
import type { Profile } from "../profiles.js";
import { ALIVE_DRAINING, DeathReason, type Packet, PacketType, Update } from "../wire/packets.js";
import { Context, type MembershipOptions, NEVER, pick } from "./context.js";
import { Dialer } from "./dialer.js";
import { Heartbeats } from "./heartbeats.js";
import { LifeCycle } from "./life-cycle.js";
import type { Member } from "./members.js";
import { Prober } from "./prober.js";
import { type Parts, Receiver } from "./receiver.js";
import { Synchronizer } from "./sync.js";
import { Updates } from "./updates.js";

export type { MembershipOptions } from "./context.js";

const LEAVE_SENDS = 16;
const COALESCE = 20;

export class Membership {
  readonly #context: Context;
  readonly #parts: Parts;
  readonly #receiver: Receiver;
  /** Of a removed node, for its admission: its only timer. */
  #asksAt = Number.POSITIVE_INFINITY;

  constructor(options: MembershipOptions) {
    const context = new Context(options);
    const prober = new Prober(context, (member, deathReason) => lifeCycle.probeFailed(member, deathReason));
    const dialer = new Dialer(context, prober);
    const lifeCycle = new LifeCycle(context, prober, dialer);
    const heartbeats = new Heartbeats(context, prober, lifeCycle);
    const updates = new Updates(context, { prober, dialer, lifeCycle, heartbeats }, (isRemoved) =>
      this.#onRemoval(isRemoved),
    );
    const synchronizer = new Synchronizer(context, updates);
    this.#context = context;
    this.#parts = { prober, dialer, lifeCycle, heartbeats, updates, synchronizer };
    this.#receiver = new Receiver(context, this.#parts);
  }

  get profile(): Profile {
    return this.#context.profile;
  }

  get self(): Readonly<Member> {
    return this.#context.self;
  }

  get live(): readonly Member[] {
    return this.#context.members.live;
  }

  get dead(): readonly Member[] {
    return this.#context.members.dead;
  }

  get size(): number {
    return this.#context.members.size;
  }

  /** Equal hashes mean equal views. */
  get digest(): number {
    return this.#context.members.digest.total;
  }

  get healthScore(): number {
    return this.#context.health.score;
  }

  /** Infinite if probes are off. */
  get answeredAt(): number {
    return this.profile.probeInterval > 0 ? this.#context.ackedAt : Number.POSITIVE_INFINITY;
  }

  /** Whether the view has converged: exchanged at least once, with equal digests since, and without suspects. */
  get isWhole(): boolean {
    return this.#parts.synchronizer.isWhole && this.#parts.lifeCycle.unsuspected === this.live.length;
  }

  get stalledFor(): number {
    return this.#context.stalledFor;
  }

  /** Members that return to a minority count as reachable once they answer. */
  set minority(isMinority: boolean) {
    this.#context.isMinority = isMinority;
  }

  /** `differsFor`: ms since this view began to differ from others. */
  counts(now: number): Readonly<Record<"probes" | "probesFailed" | "refutations" | "differsFor", number>> {
    return {
      probes: this.#parts.prober.probes,
      probesFailed: this.#parts.prober.failures,
      refutations: this.#context.refutations,
      differsFor: this.#parts.synchronizer.differsFor(now),
    };
  }

  get removed(): boolean {
    return this.#context.removed;
  }

  get(id: string): Member | undefined {
    return id === this.#context.self.id ? this.#context.self : this.#context.members.get(id);
  }

  named(name: string): Member | undefined {
    return this.#context.members.named(name);
  }

  // --- Calls of the program ------------------------------------------------------------------------------------------

  join(now: number, addresses: readonly string[]): void {
    this.#context.now = now;
    this.#parts.dialer.join(addresses);
  }

  forget(now: number, addresses: readonly string[]): void {
    this.#context.now = now;
    this.#parts.dialer.forget(addresses);
  }

  leave(now: number): void {
    this.#context.now = now;
    if (this.#context.left) return;
    this.#context.left = true;
    this.#parts.prober.stop();
    this.#context.setIncarnation(nextIncarnation(this.#context.self));
    const update = Update.left(this.#context.self);
    this.#context.spread(update);
    const packet = this.#context.packet(PacketType.GOSSIP, { updates: [update] });
    const { effects, members, random } = this.#context;
    const { live } = members;
    const first = Math.floor(random() * live.length);
    for (let i = 0; i < Math.min(LEAVE_SENDS, live.length); i++)
      effects.send((live[(first + i) % live.length] as Member).address, packet, false);
    for (const address of this.#receiver.pending(LEAVE_SENDS)) effects.send(address, packet, false);
    effects.multicast(packet);
  }

  /** Whether other nodes may know this node. */
  get isKnown(): boolean {
    return this.#context.members.live.length > 0 || this.#receiver.pending(1).length > 0;
  }

  get newMembers(): number {
    return this.#receiver.newMembers;
  }

  greeting(): Packet {
    return this.#context.packet(PacketType.GOSSIP);
  }

  drain(now: number): void {
    this.#context.now = now;
    if (this.#context.self.draining) return;
    this.#context.self.flags |= ALIVE_DRAINING;
    this.#context.announce();
  }

  /** @param id of a member, or of an absent node */
  remove(now: number, id: string): void {
    this.#context.now = now;
    const address = this.#context.members.get(id)?.address;
    this.#parts.updates.decide(id, true);
    // The node believes a removal only over its stream, which ends soon.
    if (this.#context.provesNodes && address !== undefined) this.#receiver.refuseRemoved(id, address, true);
  }

  admit(now: number, id: string): void {
    this.#context.now = now;
    this.#parts.updates.decide(id, false);
  }

  /** @throws InvalidArgumentError `EINVAL` if they are too large; nothing is changed then */
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
    this.#context.spread(this.#context.ownDetails());
    this.#parts.heartbeats.heartbeatAfter(COALESCE);
  }

  setAddress(now: number, address: string): void {
    this.#context.now = now;
    if (address === this.#context.self.address) return;
    this.#context.self.address = address;
    this.#context.announce();
    this.#parts.heartbeats.heartbeatAfter(COALESCE);
  }

  heartbeat(now: number, channel = 0): void {
    this.#context.now = now;
    this.#parts.heartbeats.heartbeat(now, channel);
  }

  heartbeatAfter(now: number, ms: number): void {
    this.#context.now = now;
    this.#parts.heartbeats.heartbeatAfter(ms);
  }

  discover(now: number, answers: number = this.profile.discoverAnswers): void {
    this.#context.now = now;
    this.#parts.heartbeats.discover(answers);
  }

  /**
   * Restarts within the same process when a partition heals: names and roles stay with the majority.
   *
   * @param start its wall clock; the new start is always later than the previous one
   */
  rejoin(now: number, start: number): void {
    this.#context.now = now;
    this.#context.setIncarnation({ start: Math.max(start, this.#context.self.start + 1), count: 0 });
    if (this.#context.left) this.#parts.prober.start(now);
    this.#context.left = false;
    this.#context.announce(false);
    if (this.#context.self.details.version > 0) this.#context.spread(this.#context.ownDetails());
  }

  // --- Events --------------------------------------------------------------------------------------------------------

  /** A message on a link is a sign of life. */
  onHeard(now: number, id: string): void {
    this.#context.now = now;
    const member = this.#context.members.get(id);
    if (member?.isLive) this.#context.heard(member);
  }

  /** A hard sign of death, such as a refused connection: one probe confirms it. */
  onEvidence(now: number, address: string): void {
    this.#context.now = now;
    if (this.#context.removed || this.#context.left) return;
    for (const member of this.#context.members.live) {
      if (member.address !== address) continue;
      if (this.profile.probeInterval === 0) this.#parts.heartbeats.expect(member);
      else this.#parts.prober.probe(now, member, DeathReason.CONNECTION);
    }
  }

  /** The program cannot reach a member. @returns whether it is a live member */
  expect(now: number, id: string): boolean {
    this.#context.now = now;
    const member = this.#context.members.get(id);
    if (member === undefined || !member.isLive || this.#context.removed || this.#context.left) return false;
    this.#parts.heartbeats.expect(member);
    if (this.profile.probeInterval > 0) this.#parts.prober.probe(now, member, 0);
    return true;
  }

  onDelay(now: number, ms: number): void {
    this.#context.now = now;
    if (!this.#context.localHealth || this.#context.removed || ms <= 0) return;
    this.#context.stalledFor += ms;
    this.#context.health.change(Math.ceil(ms / Math.max(1, this.profile.probeInterval)));
    this.#parts.prober.shift(ms);
    this.#context.heardAt += ms;
    this.#context.answeredAt += ms;
    this.#parts.lifeCycle.shift(ms);
    this.#parts.synchronizer.shift(ms);
    // Others may have declared this node dead: their answers have the accusation.
    const { live } = this.#context.members;
    if (ms < this.profile.probeInterval || this.profile.probeInterval === 0 || this.#context.left) return;
    for (let i = 0; i < 4; i++) {
      const member = pick(live, this.#context.random);
      if (member !== undefined) this.#parts.dialer.dial(member.address, undefined, false);
    }
  }

  onPacket(now: number, packet: Packet, address: string, overStream: boolean): void {
    this.#context.now = now;
    this.#receiver.onPacket(packet, address, overStream);
  }

  onGroupPacket(now: number, packet: Packet, address: string): void {
    this.#context.now = now;
    this.#receiver.onGroupPacket(packet, address);
  }

  nextWakeUp(): number {
    if (this.#context.removed) return this.#asksAt;
    return Math.min(
      this.#parts.prober.wake(),
      this.#parts.lifeCycle.wake,
      this.#context.nextGossip,
      this.#parts.dialer.wake,
      this.#parts.synchronizer.wake,
      this.#parts.heartbeats.wake,
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
    if (now >= this.#parts.prober.wake()) this.#parts.prober.tick(now);
    if (now >= this.#parts.lifeCycle.wake) this.#parts.lifeCycle.tick(now);
    if (now >= this.#context.nextGossip) this.#context.gossip(now);
    if (now >= this.#parts.dialer.wake) this.#parts.dialer.tick(now);
    if (now >= this.#parts.synchronizer.wake) this.#parts.synchronizer.tick(now);
    if (now >= this.#parts.heartbeats.wake) this.#parts.heartbeats.tick(now);
  }

  multicastMessage(data: Uint8Array): void {
    if (!this.#context.left && !this.#context.removed)
      this.#context.effects.multicast(this.#context.packet(PacketType.MESSAGE, { data }));
  }

  // --- Removal -------------------------------------------------------------------------------------------------------

  #onRemoval(isRemoved: boolean): void {
    const { now, random } = this.#context;
    this.#parts.prober.stop();
    if (isRemoved) {
      this.#asksAt = now;
      return;
    }
    this.#context.nextGossip = NEVER;
    this.#parts.dialer.stop();
    this.#parts.lifeCycle.stop();
    this.#parts.heartbeats.stop(now + random() * this.profile.heartbeatInterval);
    this.#parts.synchronizer.schedule(now + this.profile.redialInterval);
    this.#parts.prober.start(now);
    this.#context.answeredAt = now;
    this.#parts.lifeCycle.start();
    this.#context.announce();
  }

  #ask(now: number): void {
    this.#asksAt = now + 10 * this.profile.redialInterval;
    // Those that it had as live may all be gone.
    const { live, dead } = this.#context.members;
    const addresses = [...[...live, ...dead].map((member) => member.address), ...this.#parts.dialer.seeds];
    const address = pick(addresses, this.#context.random);
    // A node that is to prove itself is believed over a stream alone.
    const { provesNodes } = this.#context;
    if (address !== undefined) this.#parts.dialer.dial(address, this.#parts.updates.ownRemoval, provesNodes);
  }
}
