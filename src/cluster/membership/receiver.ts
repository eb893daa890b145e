/**
 * Handles packets: first by sender, then by type.
 *
 *   sender is this node            the node dialled itself
 *   this node was removed          only removals and admissions count
 *   a removed node                 refused
 *   this node has left             pings get an ack that says so
 *   not a member                   strangers.ts
 *   an earlier life of a member    stale
 *   a member                       a sign of life; then the type, the updates and the digest
 */
import {
  ACK_OTHER,
  ACK_RELAYED,
  DeathReason,
  type Packet,
  PacketType,
  Update,
  UpdateKind,
} from "../wire/packets.js";
import { type Beats, CONFIRMERS } from "./beats.js";
import type { Context } from "./context.js";
import type { Dialer } from "./dialer.js";
import type { LifeCycle } from "./life-cycle.js";
import { type Member, MemberState } from "./members.js";
import type { Prober } from "./prober.js";
import type { Strangers } from "./strangers.js";
import type { Synchronizer } from "./sync.js";
import type { Updates } from "./updates.js";

export interface ReceiverParts {
  readonly prober: Prober;
  readonly dialer: Dialer;
  readonly lifeCycle: LifeCycle;
  readonly beats: Beats;
  readonly updates: Updates;
  readonly synchronizer: Synchronizer;
  readonly strangers: Strangers;
}

export class Receiver {
  readonly #context: Context;
  readonly #prober: Prober;
  readonly #dialer: Dialer;
  readonly #lifeCycle: LifeCycle;
  readonly #beats: Beats;
  readonly #updates: Updates;
  readonly #synchronizer: Synchronizer;
  readonly #strangers: Strangers;

  constructor(context: Context, parts: ReceiverParts) {
    this.#context = context;
    this.#prober = parts.prober;
    this.#dialer = parts.dialer;
    this.#lifeCycle = parts.lifeCycle;
    this.#beats = parts.beats;
    this.#updates = parts.updates;
    this.#synchronizer = parts.synchronizer;
    this.#strangers = parts.strangers;
  }

  onPacket(packet: Packet, address: string, overStream: boolean): void {
    this.#context.overStream = overStream;
    this.#receive(packet, address, overStream);
    if (!this.#context.passedOver) return;
    this.#context.passedOver = false;
    // The sender knows a node that this one does not.
    const member = this.#context.members.get(packet.from);
    if (member?.isLive) this.#synchronizer.request(member.address, this.#context.profile.gossipInterval);
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
    this.#dialer.dial(address, accusation, false);
  }

  #receive(packet: Packet, address: string, overStream: boolean): void {
    if (packet.from === this.#context.self.id) {
      if (packet.type === PacketType.PING) this.#dialer.heardSelf(packet.seq);
      return;
    }
    if (this.#context.removed) {
      for (const update of packet.updates)
        if (update.kind === UpdateKind.REMOVAL) this.#updates.applyRemoval(update);
      if (packet.type === PacketType.ACK && this.#context.removed && this.#dialer.answered(packet.seq))
        this.#updates.onAnswer();
      return;
    }
    if (this.#context.members.isRemoved(packet.from)) {
      this.#strangers.refuseRemoved(packet.from, address);
      return;
    }
    if (this.#context.left) {
      if (packet.type !== PacketType.PING) return;
      this.#context.ack(packet, address, overStream, [Update.left(this.#context.self)]);
      return;
    }
    const member = this.#context.members.get(packet.from);
    if (member === undefined) {
      const newcomer = this.#strangers.onPacket(packet, address, overStream);
      if (newcomer !== undefined) this.#handle(newcomer, packet, address, overStream);
      return;
    }
    if (packet.start < member.start) {
      this.#strangers.onStale(member, packet, address);
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
    if (member.state === MemberState.ALIVE || packet.start !== member.start) return;
    if (member.doubtful) {
      if (this.#lifeCycle.revive(member))
        this.#synchronizer.request(address, this.#context.profile.probeTimeout);
      // The sender was heard without any answer so far, so it is asked.
      else if (packet.type === PacketType.PING) this.#dialer.dial(address, undefined, false);
      return;
    }
    if (member.state === MemberState.SUSPECT && packet.count > member.count) {
      // The refutation is in flight.
      this.#lifeCycle.clear(member);
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
      this.#synchronizer.request(address, this.#context.profile.probeTimeout);
    }
  }

  #handle(member: Member, packet: Packet, address: string, overStream: boolean): void {
    switch (packet.type) {
      case PacketType.PING:
        this.#context.ack(packet, address, overStream, this.#context.piggyback(0));
        break;
      case PacketType.ACK:
        this.#onAck(member, packet, address);
        break;
      case PacketType.PING_REQ: {
        const target = this.#context.members.get(packet.about);
        if (target !== undefined) this.#prober.relay(this.#context.now, target, address, packet.seq);
        else this.#context.answer(address, packet.seq, 0, false);
        break;
      }
      case PacketType.NACK:
        this.#prober.onNack(this.#context.now, member, packet.seq);
        break;
      case PacketType.HEARTBEAT:
        if (packet.flags !== 0)
          this.#context.effects.event({ type: "heartbeat", member, channel: packet.flags });
        break;
      case PacketType.DISCOVER:
        this.#beats.onDiscover(packet, address);
        break;
      case PacketType.EXPECT:
        this.#beats.onExpect(packet.about);
        break;
      case PacketType.SYNC:
        if (packet.buckets !== undefined) this.#synchronizer.onSync(packet.buckets, address);
        break;
      case PacketType.ENTRIES:
        this.#synchronizer.onEntries(packet, address);
        return;
    }
    for (let i = 0; i < packet.updates.length; i++) this.#updates.apply(packet.updates[i] as Update, true);
    this.#synchronizer.compareDigest(packet.digest, address);
  }

  #onAck(from: Member, packet: Packet, address: string): void {
    this.#strangers.onMemberAck(packet, address);
    if (this.#dialer.answered(packet.seq)) {
      this.#prober.answered(this.#context.now, from);
      this.#synchronizer.request(address, this.#context.profile.probeTimeout);
      return;
    }
    const probed = this.#prober.memberOf(packet.seq);
    if ((packet.flags & ACK_OTHER) !== 0) {
      // Another id has this member's address, so the member is gone.
      if (probed !== undefined && probed !== from && probed.address === address)
        this.#lifeCycle.die(probed, DeathReason.REPLACED, true);
      return;
    }
    const relayed = (packet.flags & ACK_RELAYED) !== 0;
    if (this.#prober.onAck(this.#context.now, from, packet.seq, relayed) && relayed && probed !== undefined)
      this.#context.heard(probed);
  }
}
