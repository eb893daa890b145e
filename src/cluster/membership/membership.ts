/**
 * Membership protocol (docs/internals/cluster.md): SWIM with Lifeguard and extensions. Pure: takes time, random
 * numbers, packets and link events; returns packets, changes and the next wake-up.
 *
 *   onPacket ─> sender: known, new member (challenged), removed (refused) ─> by type: prober, synchronization, signs of life
 *                                                                    └> updates: applied here, and queued to spread
 *   tick     ─> late? ─> probes, dials ─> suspicions, autoclean, heartbeats ─> gossip ─> synchronization
 */
import { createDetails } from "../details.js";
import { nextIncarnation } from "../identity.js";
import { AliveFlag, DeathReason, type Packet, PacketType, Update } from "../wire/packets.js";
import { Context, type MembershipOptions, NEVER, pick } from "./context.js";
import { LifeCycle } from "./life-cycle.js";
import type { Member } from "./members.js";
import { Prober } from "./prober.js";
import { type Parts, Receiver } from "./receiver.js";
import { Synchronizer } from "./sync.js";

export type { MembershipOptions } from "./context.js";

export class Membership extends Context {
  readonly #parts: Parts;
  readonly #receiver: Receiver;
  /** Of a removed node, for its admission: its only timer. */
  #asksAt = Number.POSITIVE_INFINITY;

  constructor(options: MembershipOptions) {
    super(options);
    const prober = new Prober(this, (member, deathReason) => lifeCycle.probeFailed(member, deathReason));
    const lifeCycle = new LifeCycle(this, prober, (isRemoved) => this.#onRemoval(isRemoved));
    const synchronizer = new Synchronizer(this, lifeCycle);
    this.#parts = { prober, lifeCycle, synchronizer };
    this.#receiver = new Receiver(this, this.#parts);
  }

  get live(): readonly Member[] {
    return this.members.live;
  }

  get dead(): readonly Member[] {
    return this.members.dead;
  }

  get size(): number {
    return this.members.size;
  }

  /** Equal hashes mean equal views. */
  get digest(): number {
    return this.members.digest.total;
  }

  /** Infinite if probes are off. */
  get answeredAt(): number {
    return this.profile.probeInterval > 0 ? this.ackedAt : Number.POSITIVE_INFINITY;
  }

  /** Whether the view has converged: exchanged at least once, with equal digests since, and without suspects. */
  get isWhole(): boolean {
    return this.#parts.synchronizer.isWhole && this.#parts.lifeCycle.unsuspected === this.live.length;
  }

  /** `differsFor`: ms since this view began to differ from others. */
  counts(now: number): Readonly<Record<"probes" | "probesFailed" | "refutations" | "differsFor", number>> {
    return {
      probes: this.#parts.prober.probes,
      probesFailed: this.#parts.prober.failures,
      refutations: this.refutations,
      differsFor: this.#parts.synchronizer.differsFor(now),
    };
  }

  get(id: string): Member | undefined {
    return id === this.self.id ? this.self : this.members.get(id);
  }

  named(name: string): Member | undefined {
    return this.members.named(name);
  }

  // --- Calls of the program ------------------------------------------------------------------------------------------

  /** Addresses that are dialled while they have no member. */
  setSeeds(now: number, addresses: Iterable<string>): void {
    this.now = now;
    this.#parts.prober.setSeeds(addresses);
  }

  leave(now: number): void {
    this.now = now;
    if (this.left) return;
    this.left = true;
    this.#parts.prober.stop();
    this.setIncarnation(nextIncarnation(this.self));
    const update = Update.left(this.self);
    this.spread(update);
    const packet = this.packet(PacketType.GOSSIP, { updates: [update] });
    const { effects, live } = this;
    const first = Math.floor(this.random() * live.length);
    // Gossip tells the others.
    const most = 16;
    for (let i = 0; i < Math.min(most, live.length); i++) {
      const { address, overStream } = live[(first + i) % live.length] as Member;
      effects.send(address, packet, overStream);
    }
    for (const address of this.#receiver.pending(most)) effects.send(address, packet, false);
    effects.multicast(packet);
  }

  /** Whether other nodes may know this node. */
  get isKnown(): boolean {
    return this.live.length > 0 || this.#receiver.pending(1).length > 0;
  }

  get newMembers(): number {
    return this.#receiver.newMembers;
  }

  greeting(): Packet {
    return this.packet(PacketType.GOSSIP);
  }

  drain(now: number): void {
    this.now = now;
    if (this.self.draining) return;
    this.self.flags |= AliveFlag.DRAINING;
    this.announce();
  }

  /** @param id of a member, or of an absent node */
  remove(now: number, id: string): void {
    this.now = now;
    const address = this.members.get(id)?.address;
    this.#parts.lifeCycle.decide(id, true);
    // The node believes a removal only over its stream, which ends soon.
    if (this.provesNodes && address !== undefined) this.#receiver.refuseRemoved(id, address, true);
  }

  admit(now: number, id: string): void {
    this.now = now;
    this.#parts.lifeCycle.decide(id, false);
  }

  /** @throws InvalidArgumentError `EINVAL` if they are too large; nothing is changed then */
  setDetails(
    now: number,
    tags: readonly string[],
    props: Readonly<Record<string, string>>,
    endpoints: readonly string[] = this.self.details.endpoints,
  ): void {
    this.now = now;
    this.self.details = createDetails(this.self.details.version + 1, tags, props, endpoints);
    this.members.rehash(this.self);
    this.changedAt = now;
    this.spread(this.ownDetails());
    this.#parts.lifeCycle.heartbeatAfter();
  }

  setAddress(now: number, address: string): void {
    this.now = now;
    if (address === this.self.address) return;
    this.self.address = address;
    this.announce();
    this.#parts.lifeCycle.heartbeatAfter();
  }

  heartbeat(now: number, channel = 0): void {
    this.now = now;
    this.#parts.lifeCycle.heartbeat(now, channel);
  }

  heartbeatAfter(now: number, ms: number): void {
    this.now = now;
    this.#parts.lifeCycle.heartbeatAfter(ms);
  }

  discover(now: number, answers: number = this.profile.discoverAnswers): void {
    this.now = now;
    this.#parts.lifeCycle.discover(answers);
  }

  /**
   * Restarts within the same process when a partition heals: names and roles stay with the majority.
   *
   * @param start its wall clock; the new start is always later than the previous one
   */
  rejoin(now: number, start: number): void {
    this.now = now;
    if (this.left) return;
    this.setIncarnation({ start: Math.max(start, this.self.start + 1), count: 0 });
    this.announce(false);
    if (this.self.details.version > 0) this.spread(this.ownDetails());
  }

  // --- Events --------------------------------------------------------------------------------------------------------

  /** A message on a link is a sign of life. */
  onHeard(now: number, id: string): void {
    this.now = now;
    const member = this.members.get(id);
    if (member?.isLive) this.heard(member);
  }

  /** A hard sign of death, such as a refused connection: one probe confirms it. */
  onEvidence(now: number, address: string): void {
    this.now = now;
    if (this.removed || this.left) return;
    for (const member of this.live) {
      if (member.address !== address) continue;
      if (this.profile.probeInterval === 0) this.#parts.lifeCycle.askFor(member);
      else this.#parts.prober.probe(member, DeathReason.CONNECTION);
    }
  }

  /** The program cannot reach a member. @returns whether it is a live member */
  expect(now: number, id: string): boolean {
    this.now = now;
    const member = this.members.get(id);
    if (member === undefined || !member.isLive || this.removed || this.left) return false;
    this.#parts.lifeCycle.askFor(member);
    if (this.profile.probeInterval > 0) this.#parts.prober.probe(member, 0);
    return true;
  }

  onDelay(now: number, ms: number): void {
    this.now = now;
    if (this.removed || ms <= 0) return;
    this.stalledFor += ms;
    this.changeHealth(Math.ceil(ms / Math.max(1, this.profile.probeInterval)));
    this.#parts.prober.shift(ms);
    this.heardAt += ms;
    this.reachedAt += ms;
    this.#parts.lifeCycle.shift(ms);
    this.#parts.synchronizer.shift(ms);
    // Others may have declared this node dead: their answers have the accusation.
    const { live } = this;
    if (ms < this.profile.probeInterval || this.profile.probeInterval === 0 || this.left) return;
    for (let i = 0; i < 4; i++) {
      const member = pick(live, this.random);
      if (member !== undefined) this.#parts.prober.dial(member.address, undefined, false);
    }
  }

  onPacket(now: number, packet: Packet, address: string, overStream: boolean): void {
    this.now = now;
    this.#receiver.onPacket(packet, address, overStream);
  }

  onGroupPacket(now: number, packet: Packet, address: string): void {
    this.now = now;
    this.#receiver.onGroupPacket(packet, address);
  }

  nextWakeUp(): number {
    if (this.removed) return this.#asksAt;
    return Math.min(
      this.#parts.prober.wake(),
      this.#parts.lifeCycle.wake,
      this.nextGossip,
      this.#parts.synchronizer.wake,
    );
  }

  tick(now: number): void {
    const late = now - this.nextWakeUp();
    if (late > Math.max(50, this.profile.probeTimeout / 2) && this.live.length > 0) this.onDelay(now, late);
    this.now = now;
    if (this.removed) {
      this.#ask(now);
      return;
    }
    if (now >= this.#parts.prober.wake()) this.#parts.prober.tick();
    if (now >= this.#parts.lifeCycle.wake) this.#parts.lifeCycle.tick(now);
    if (now >= this.nextGossip) this.gossip();
    if (now >= this.#parts.synchronizer.wake) this.#parts.synchronizer.tick(now);
  }

  multicastMessage(data: Uint8Array): void {
    if (!this.left && !this.removed) this.effects.multicast(this.packet(PacketType.MESSAGE, { data }));
  }

  // --- Removal -------------------------------------------------------------------------------------------------------

  #onRemoval(isRemoved: boolean): void {
    const { now } = this;
    this.#parts.prober.stop();
    if (isRemoved) {
      this.#asksAt = now;
      return;
    }
    this.nextGossip = NEVER;
    this.#parts.lifeCycle.stop();
    this.#parts.synchronizer.schedule(now + this.profile.redialInterval);
    this.#parts.prober.start();
    this.reachedAt = now;
    this.#parts.lifeCycle.start();
    this.announce();
  }

  #ask(now: number): void {
    this.#asksAt = now + 10 * this.profile.redialInterval;
    // All of its live members may be gone.
    const { live, dead } = this;
    const known = [...live, ...dead];
    const address = pick(
      [...known.map((member) => member.address), ...this.#parts.prober.seeds],
      this.random,
    );
    if (address === undefined) return;
    // A node that is to prove itself is believed over a stream alone.
    const overStream = this.provesNodes || known.some((member) => member.overStream);
    this.#parts.prober.dial(address, this.#parts.lifeCycle.ownRemoval, overStream);
  }
}
