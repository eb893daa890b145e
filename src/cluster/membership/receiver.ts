/**
 * Handles packets: first by sender, then by type. A new node is admitted over a stream or by acking a fresh number, so
 * replayed packets cannot add members.
 *
 *   sender is this node            the node dialled itself
 *   this node was removed          only removals and admissions count
 *   a removed node                 refused
 *   this node has left             pings get an ack that says so
 *   not a member                   challenged
 *   an earlier life of a member    stale
 *   a member                       a sign of life; then the type, the updates and the digest
 */

import { LatestMap, MAX_NEW_MEMBERS } from "../bounds.js";
import { AckFlag, DeathReason, type Packet, PacketType, Update, UpdateKind } from "../wire/packets.js";
import type { Context } from "./context.js";
import { CONFIRMERS, type LifeCycle } from "./life-cycle.js";
import { aliveOf, type Member, MemberState } from "./members.js";
import type { Prober } from "./prober.js";
import type { Synchronizer } from "./sync.js";

interface NewMember {
  readonly update: Update;
  readonly seq: number;
  readonly at: number;
  buckets: Uint32Array | undefined;
}

/** Parts of a node's membership. */
export interface Parts {
  readonly prober: Prober;
  readonly lifeCycle: LifeCycle;
  readonly synchronizer: Synchronizer;
}

export class Receiver {
  readonly #context: Context;
  readonly #parts: Parts;
  readonly #newMembers = new LatestMap<string, NewMember>(MAX_NEW_MEMBERS);
  /** Requested while this node had no answer. */
  #exchanges = 0;
  #refutedAt = Number.NEGATIVE_INFINITY;
  #removalSentAt = Number.NEGATIVE_INFINITY;

  constructor(context: Context, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
  }

  onPacket(packet: Packet, address: string, overStream: boolean): void {
    this.#context.overStream = overStream;
    this.#receive(packet, address, overStream);
    if (!this.#context.passedOver) return;
    this.#context.passedOver = false;
    // The sender knows a node that this one does not.
    const member = this.#context.members.get(packet.from);
    if (member?.isLive)
      this.#parts.synchronizer.request(member.address, this.#context.profile.gossipInterval);
  }

  /** Multicast may arrive where unicast does not. */
  onGroupPacket(packet: Packet, address: string): void {
    const { members, removed, left, profile } = this.#context;
    const member = members.get(packet.from);
    const isBelieved =
      member === undefined || member.state === MemberState.ALIVE || profile.probeInterval === 0;
    if (isBelieved || removed || left || packet.start < member.start) this.onPacket(packet, address, false);
    else this.#ask(member, address);
  }

  /** Multicast alone must not revive the member, whose next probe would fail. A few nodes ping it instead. */
  #ask(member: Member, address: string): void {
    const { members, random, self } = this.#context;
    this.#context.heard(member);
    if (random() >= CONFIRMERS / members.size) return;
    const { reason, doubtful, suspicion } = member;
    let accusation: Update | undefined;
    if (suspicion !== undefined) accusation = Update.suspect(member, suspicion.accusers);
    else if (!doubtful) accusation = Update.dead(member, reason, self.short);
    this.#parts.prober.dial(address, accusation, false);
  }

  #receive(packet: Packet, address: string, overStream: boolean): void {
    if (packet.from === this.#context.self.id) return;
    if (this.#context.removed) {
      for (const update of packet.updates)
        if (update.kind === UpdateKind.REMOVAL) this.#parts.lifeCycle.apply(update, true);
      if (
        packet.type === PacketType.ACK &&
        this.#context.removed &&
        this.#parts.prober.answersDial(packet.seq)
      )
        this.#parts.lifeCycle.onAnswer();
      return;
    }
    if (this.#context.members.isRemoved(packet.from)) {
      this.refuseRemoved(packet.from, address);
      return;
    }
    if (this.#context.left) {
      if (packet.type !== PacketType.PING) return;
      this.#context.ack(packet, address, overStream, [Update.left(this.#context.self)]);
      return;
    }
    const member = this.#context.members.get(packet.from);
    if (member === undefined) {
      const newMember = this.#onStranger(packet, address, overStream);
      if (newMember !== undefined) this.#handle(newMember, packet, address, overStream);
      return;
    }
    if (packet.start < member.start) {
      this.#onStale(member, packet, address);
      return;
    }
    if (packet.type === PacketType.ACK || packet.type === PacketType.NACK) this.#context.answered();
    this.#heardFrom(member, packet, address);
    this.#handle(member, packet, address, overStream);
  }

  #heardFrom(member: Member, packet: Packet, address: string): void {
    const now = this.#context.now;
    this.#context.heard(member);
    const { suspicion } = member;
    if (member.state === MemberState.ALIVE) return;
    // The suspicion is of an earlier life, which the member does not refute.
    if (packet.start > member.start && suspicion !== undefined) this.#parts.lifeCycle.clear(member);
    if (packet.start !== member.start) return;
    if (member.doubtful) {
      if (this.#parts.lifeCycle.revive(member))
        this.#parts.synchronizer.request(address, this.#context.profile.probeTimeout);
      // The sender was heard without any answer so far, so it is asked.
      else if (packet.type === PacketType.PING) this.#parts.prober.dial(address, undefined, false);
      return;
    }
    if (member.state === MemberState.SUSPECT && packet.count > member.count) {
      // The refutation is in flight.
      this.#parts.lifeCycle.clear(member);
      return;
    }
    if (suspicion !== undefined) {
      if (now - suspicion.accusedAt < this.#context.profile.probeTimeout) return;
      suspicion.accusedAt = now;
      const update = Update.suspect(member, suspicion.accusers);
      this.#context.sendUpdates(address, [update]);
    } else if (member.state === MemberState.DEAD) {
      const update = Update.dead(member, member.reason, this.#context.self.short);
      this.#context.sendUpdates(address, [update]);
      this.#parts.synchronizer.request(address, this.#context.profile.probeTimeout);
    }
  }

  #handle(member: Member, packet: Packet, address: string, overStream: boolean): void {
    switch (packet.type) {
      case PacketType.PING:
        this.#context.ack(packet, address, overStream, this.#answerTo(packet));
        break;
      case PacketType.ACK:
        this.#onAck(member, packet, address);
        break;
      case PacketType.PING_REQ: {
        const target = this.#context.members.get(packet.about);
        if (target !== undefined) this.#parts.prober.relay(target, address, packet.seq);
        else this.#context.answer(address, packet.seq, 0, false);
        break;
      }
      case PacketType.NACK:
        this.#parts.prober.onNack(member, packet.seq);
        break;
      case PacketType.HEARTBEAT:
        if (packet.flags !== 0)
          this.#context.effects.event({ type: "heartbeat", member, channel: packet.flags });
        break;
      case PacketType.DISCOVER:
        this.#parts.lifeCycle.onDiscover(packet, address);
        break;
      case PacketType.EXPECT:
        this.#parts.lifeCycle.onExpect(packet.about);
        break;
      case PacketType.SYNC:
        if (packet.buckets !== undefined) this.#parts.synchronizer.onSync(packet.buckets, address);
        break;
      case PacketType.ENTRIES:
        this.#parts.synchronizer.onEntries(packet, address);
        return;
    }
    for (let i = 0; i < packet.updates.length; i++)
      this.#parts.lifeCycle.apply(packet.updates[i] as Update, true);
    this.#parts.synchronizer.compareDigest(packet.digest, address);
  }

  /** An accuser gets this node's incarnation: it may have missed the refutation, which spreads only once. */
  #answerTo(ping: Packet): readonly Update[] {
    const { id } = this.#context.self;
    // A removed node asks whether it is admitted.
    if (ping.updates.some((update) => update.kind === UpdateKind.REMOVAL && update.id === ping.from))
      return this.#introduction(ping.from);
    const isAccused = ping.updates.some((update) => update.kind === UpdateKind.DEAD && update.id === id);
    if (!isAccused) return this.#context.piggyback(0);
    this.#refute(ping);
    return [this.#context.ownAlive()];
  }

  #onAck(from: Member, packet: Packet, address: string): void {
    this.#onMemberAck(packet, address);
    if ((packet.flags & AckFlag.RELAYED) === 0) from.overStream = this.#context.overStream;
    if (this.#parts.prober.answersDial(packet.seq)) {
      this.#parts.prober.answered(from);
      this.#parts.synchronizer.request(address, this.#context.profile.probeTimeout);
      return;
    }
    const probed = this.#parts.prober.memberOf(packet.seq);
    if ((packet.flags & AckFlag.OTHER) !== 0) {
      // Another id has this member's address, so the member is gone.
      if (probed !== undefined && probed !== from && probed.address === address)
        this.#parts.lifeCycle.die(probed, DeathReason.REPLACED, true);
      return;
    }
    const relayed = (packet.flags & AckFlag.RELAYED) !== 0;
    const isAnswer = this.#parts.prober.onAck(from, packet.seq, relayed);
    if (isAnswer && relayed && probed !== undefined) this.#context.heard(probed);
  }

  // --- Senders that are not members, or of an earlier life ----------------------------------------------------------

  /** @returns the sender's record, if it was admitted: its packet is then handled */
  #onStranger(packet: Packet, address: string, overStream: boolean): Member | undefined {
    if (packet.updates.some(({ kind, id }) => kind === UpdateKind.LEFT && id === packet.from)) {
      // The node left before it was admitted.
      this.#newMembers.delete(packet.from);
      return undefined;
    }
    this.#refute(packet);
    const isVerified =
      overStream ||
      (!this.#context.provesNodes &&
        packet.type === PacketType.ACK &&
        (this.#parts.prober.answersDial(packet.seq) ||
          this.#newMembers.get(packet.from)?.seq === packet.seq));
    const own = packet.updates.find(
      (update) => update.kind === UpdateKind.ALIVE && update.id === packet.from,
    );
    if (!isVerified) {
      // With required identities, an unproven sender gets only a challenge, over a stream.
      if (packet.type === PacketType.PING && !this.#context.provesNodes)
        this.#context.ack(packet, address, overStream, this.#introduction(packet.from));
      if (own === undefined || own.start !== packet.start) this.#context.refuse("stranger");
      else this.#challenge(own, address, packet.buckets);
      return undefined;
    }
    const newMember = this.#newMembers.get(packet.from);
    const alive = own ?? newMember?.update;
    this.#newMembers.delete(packet.from);
    if (alive !== undefined) this.#parts.lifeCycle.apply(alive, true);
    const member = this.#context.members.get(packet.from);
    if (member === undefined) {
      if (alive !== undefined) this.#buried(packet, address);
      // The sender knows this node but sent no identity: an exchange gets it.
      else this.#parts.synchronizer.request(address, 0);
      return undefined;
    }
    this.#context.heard(member);
    // In a mass start, an exchange with each new node would be too many.
    if (packet.type !== PacketType.ACK) return member;
    const { random, members, established, profile } = this.#context;
    // The new node's own request counts as an exchange.
    if (newMember?.buckets !== undefined) this.#parts.synchronizer.onSync(newMember.buckets, address);
    else if (!established)
      this.#parts.synchronizer.meet(address, this.#exchanges++ < 4 ? 0 : profile.probeTimeout);
    else if (random() < 4 / members.size) this.#parts.synchronizer.meet(address, 0);
    return member;
  }

  get newMembers(): number {
    const { now, profile } = this.#context;
    let count = 0;
    for (const { at } of this.#newMembers.values()) if (now - at < profile.probeTimeout) count += 1;
    return count;
  }

  /** Gossip added the node before its ack. */
  #onMemberAck(packet: Packet, address: string): void {
    const newMember = this.#newMembers.get(packet.from);
    if (newMember?.seq !== packet.seq) return;
    this.#newMembers.delete(packet.from);
    if (newMember.buckets !== undefined) this.#parts.synchronizer.onSync(newMember.buckets, address);
  }

  pending(most: number): readonly string[] {
    return [...this.#newMembers.values()].slice(-most).map(({ update }) => update.address);
  }

  /** Refutes an accusation or death, which needs no trust, once per gossip interval, since all members get it. */
  #refute(packet: Packet): void {
    const { self, now, profile } = this.#context;
    if (now - this.#refutedAt < profile.gossipInterval) return;
    const { start, count } = self;
    for (const update of packet.updates) if (update.id === self.id) this.#parts.lifeCycle.apply(update, true);
    if (self.start !== start || self.count !== count) this.#refutedAt = now;
  }

  #introduction(id: string): readonly Update[] {
    const removal = this.#context.members.removals.get(id);
    if (removal === undefined) return [this.#context.ownAlive()];
    return [this.#context.ownAlive(), Update.removal(id, removal.start, removal.count, removal.removed)];
  }

  #challenge(update: Update, address: string, buckets: Uint32Array | undefined): void {
    const before = this.#newMembers.get(update.id);
    if (before === undefined && this.#newMembers.size >= MAX_NEW_MEMBERS) this.#context.refuse("new-members");
    // At most one challenge at a time, or two unknown nodes would challenge each other forever.
    if (before !== undefined && this.#context.now - before.at < this.#context.profile.probeTimeout) {
      before.buckets = buckets ?? before.buckets;
      return;
    }
    const seq = before?.seq ?? this.#parts.prober.nextSeq();
    this.#newMembers.set(update.id, {
      update,
      seq,
      at: this.#context.now,
      buckets: buckets ?? before?.buckets,
    });
    const updates = this.#introduction(update.id);
    this.#context.send(address, this.#context.provesNodes, PacketType.PING, { seq, updates });
  }

  /** A restarted node whose clock was set back continues from the incarnation in the answer. */
  #onStale(member: Member, packet: Packet, address: string): void {
    this.#context.refuse("stale");
    if (packet.type !== PacketType.PING && packet.type !== PacketType.SYNC) return;
    this.#context.sendUpdates(address, [this.#context.ownAlive(), aliveOf(member)]);
  }

  /** The node does not know that it was forgotten. */
  #buried(packet: Packet, address: string): void {
    const tombstone = this.#context.members.tombstones.get(packet.from);
    if (tombstone === undefined) return;
    const life = { ...tombstone, id: packet.from };
    const update = Update.dead(life, DeathReason.SILENT, this.#context.self.short);
    this.#context.sendUpdates(address, [this.#context.ownAlive(), update]);
  }

  refuseRemoved(id: string, address: string, overStream = false): void {
    if (!overStream) this.#context.refuse("removed");
    const removal = this.#context.members.removals.get(id);
    if (removal === undefined) return;
    removal.address = address;
    if (!overStream && this.#context.now - this.#removalSentAt < this.#context.profile.probeTimeout) return;
    this.#removalSentAt = this.#context.now;
    const update = Update.removal(id, removal.start, removal.count, true);
    this.#context.sendUpdates(address, [update], overStream || this.#context.overStream);
  }
}
