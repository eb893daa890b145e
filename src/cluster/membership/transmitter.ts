/**
 * The packets of this node: their head, the updates that travel in them, and gossip, which are updates without another reason
 * to send a packet.
 */
import { MAX_MEMBERS } from "../bounds.js";
import { nextIncarnation } from "../identity.js";
import { bodySize } from "../wire/codec.js";
import {
  ACK_OTHER,
  type DataPlane,
  NO_UPDATES,
  Packet,
  type PacketFields,
  PacketType,
  Update,
} from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import type { Context } from "./context.js";
import { GossipQueue } from "./gossip-queue.js";
import { aliveOf, type Member, MemberState } from "./members.js";

/** ms between an update and the packet that it may share with others. */
const GOSSIP_DELAY = 5;
/** Clusters of up to this power of ten members transmit an update equally often. */
const MIN_LOG = 1.5;
/** Suspects that gossip passes over before one gets it after all. */
const MAX_SKIPPED = 32;
const NEVER = Number.POSITIVE_INFINITY;

export class Transmitter {
  readonly #context: Context;
  readonly #queue = new GossipQueue();
  #nextGossip = NEVER;
  #lastGossip = Number.NEGATIVE_INFINITY;
  /** Whose turn it is to get gossip. */
  #cursor = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  /** When gossip is due. */
  get wake(): number {
    return this.#nextGossip;
  }

  packet(type: PacketType, fields?: PacketFields): Packet {
    const { id, start, count } = this.#context.self;
    const digest = this.#context.members.digest.total;
    return new Packet({ type, from: id, start, count, digest }, fields);
  }

  /** Bytes of a plane above the membership. */
  data(plane: DataPlane, data: Uint8Array): Packet {
    return this.packet(PacketType.DATA, { flags: plane, data });
  }

  /** What messaging sends by datagram. */
  message(data: Uint8Array): Packet {
    return this.packet(PacketType.MESSAGE, { data });
  }

  /** Sends updates in a packet of their own, as a datagram. */
  sendUpdates(address: string, updates: readonly Update[], overStream = false): void {
    this.#context.effects.send(address, this.packet(PacketType.GOSSIP, { updates }), overStream);
  }

  /** Updates for a packet that has room; nothing, most of the time. */
  piggyback(used: number): readonly Update[] {
    if (this.#queue.size === 0) return NO_UPDATES;
    return this.#queue.take(MAX_BODY - bodySize(PacketType.SYNC, 0) - used, this.#transmissions());
  }

  #transmissions(): number {
    return Math.ceil(
      this.#context.profile.gossipFactor * Math.max(MIN_LOG, Math.log10(this.#context.members.size + 1)),
    );
  }

  ping(member: Member, seq: number, overStream: boolean): void {
    const { suspicion } = member;
    let updates = this.piggyback(64);
    if (suspicion !== undefined || member.accused) {
      if (suspicion !== undefined) suspicion.accusedAt = this.#context.now;
      const accusers = suspicion?.accusers ?? [this.#context.self.short];
      updates = [Update.suspect(member, accusers), ...updates];
      member.accused = false;
    }
    const packet = this.packet(PacketType.PING, { seq, target: member.short, updates });
    this.#context.effects.send(member.address, packet, overStream);
  }

  /** Acks a ping. */
  ack(ping: Packet, address: string, overStream: boolean, updates: readonly Update[]): void {
    const isOther = ping.target !== 0 && ping.target !== this.#context.self.short;
    const flags = isOther ? ACK_OTHER : 0;
    const packet = this.packet(PacketType.ACK, { seq: ping.seq, flags, updates });
    this.#context.effects.send(address, packet, overStream);
  }

  /** Asks a helper to ping a member. */
  ask(helper: Member, member: Member, seq: number): void {
    const { id, address } = member;
    const updates = this.piggyback(address.length);
    const packet = this.packet(PacketType.PING_REQ, { seq, about: id, address, updates });
    this.#context.effects.send(helper.address, packet, false);
  }

  /** Answers a node that asked for a ping. */
  answer(address: string, seq: number, flags: number, acked: boolean): void {
    const type = acked ? PacketType.ACK : PacketType.NACK;
    const packet = this.packet(type, { seq, flags, updates: this.piggyback(0) });
    this.#context.effects.send(address, packet, false);
  }

  ownAlive(): Update {
    return aliveOf(this.#context.self);
  }

  ownDetails(): Update {
    return Update.details(this.#context.self.id, this.#context.self.start, this.#context.self.details);
  }

  beat(channel: number): Packet {
    const updates = [this.ownAlive()];
    if (this.#context.self.details.version > 0) updates.push(this.ownDetails());
    return this.packet(PacketType.HEARTBEAT, { flags: channel, updates });
  }

  /** The update goes out with what goes next, and in packets of its own. */
  spread(update: Update): void {
    if (this.#queue.push(update)) this.#context.refuse("gossip");
    const due = Math.max(
      this.#context.now + GOSSIP_DELAY,
      this.#lastGossip + this.#context.profile.gossipInterval,
    );
    if (due < this.#nextGossip) this.#nextGossip = due;
  }

  /** @param needsBump whether the incarnation is still that of the statement before */
  announce(needsBump = true): void {
    if (needsBump) this.#context.setIncarnation(nextIncarnation(this.#context.self));
    this.#context.changed();
    this.spread(this.ownAlive());
  }

  /** Sends what is queued to some members. */
  tick(now: number): void {
    const { profile, members, random } = this.#context;
    if (this.#cursor === 0) this.#cursor = Math.floor(random() * MAX_MEMBERS);
    const { live } = members;
    this.#lastGossip = now;
    this.#nextGossip = NEVER;
    const room = MAX_BODY - bodySize(PacketType.GOSSIP, 0);
    for (let i = 0; i < profile.gossipNodes && i < live.length; i++) {
      const updates = this.#queue.take(room, this.#transmissions());
      if (updates.length === 0) break;
      this.sendUpdates(this.#listener(live).address, updates);
    }
    if (this.#queue.size > 0 && live.length > 0) this.#nextGossip = now + profile.gossipInterval;
  }

  /** Whose turn it is: in turn from a random place, since at random one of ten would be missed now and then. */
  #listener(live: readonly Member[]): Member {
    let member = live[this.#cursor++ % live.length] as Member;
    // Suspects are passed over: of a small part of a cut cluster, most of its gossip would get lost.
    for (let tries = MAX_SKIPPED; tries > 0 && member.state === MemberState.SUSPECT; tries--)
      member = live[this.#cursor++ % live.length] as Member;
    return member;
  }

  /** No gossip until there is another update. */
  stop(): void {
    this.#nextGossip = NEVER;
  }

  /** What is queued about a member is not sent any more. */
  drop(id: string): void {
    this.#queue.drop(id);
  }
}
