/** Packets of this node: header, piggybacked updates, and gossip. */
import { MAX_MEMBERS } from "../bounds.js";
import { nextIncarnation } from "../identity.js";
import { bodySize } from "../wire/codec.js";
import { ACK_OTHER, NO_UPDATES, Packet, type PacketFields, PacketType, Update } from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import type { Context } from "./context.js";
import { GossipQueue } from "./gossip-queue.js";
import { aliveOf, type Member, MemberState } from "./members.js";

const GOSSIP_DELAY = 5;
const MIN_LOG = 1.5;
const MAX_SKIPPED = 32;
const NEVER = Number.POSITIVE_INFINITY;

export class Transmitter {
  readonly #context: Context;
  readonly #queue = new GossipQueue();
  #nextGossip = NEVER;
  #lastGossip = Number.NEGATIVE_INFINITY;
  #cursor = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  get wake(): number {
    return this.#nextGossip;
  }

  packet(type: PacketType, fields?: PacketFields): Packet {
    const { id, start, count } = this.#context.self;
    const digest = this.#context.members.digest.total;
    return new Packet({ type, from: id, start, count, digest }, fields);
  }

  message(data: Uint8Array): Packet {
    return this.packet(PacketType.MESSAGE, { data });
  }

  sendUpdates(address: string, updates: readonly Update[], overStream = false): void {
    this.#context.effects.send(address, this.packet(PacketType.GOSSIP, { updates }), overStream);
  }

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

  ack(ping: Packet, address: string, overStream: boolean, updates: readonly Update[]): void {
    const isOther = ping.target !== 0 && ping.target !== this.#context.self.short;
    const flags = isOther ? ACK_OTHER : 0;
    const packet = this.packet(PacketType.ACK, { seq: ping.seq, flags, updates });
    this.#context.effects.send(address, packet, overStream);
  }

  ask(helper: Member, member: Member, seq: number): void {
    const { id, address } = member;
    const updates = this.piggyback(address.length);
    const packet = this.packet(PacketType.PING_REQ, { seq, about: id, address, updates });
    this.#context.effects.send(helper.address, packet, false);
  }

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

  spread(update: Update): void {
    if (this.#queue.push(update)) this.#context.refuse("gossip");
    const due = Math.max(
      this.#context.now + GOSSIP_DELAY,
      this.#lastGossip + this.#context.profile.gossipInterval,
    );
    if (due < this.#nextGossip) this.#nextGossip = due;
  }

  announce(needsBump = true): void {
    if (needsBump) this.#context.setIncarnation(nextIncarnation(this.#context.self));
    this.#context.changed();
    this.spread(this.ownAlive());
  }

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

  /** The next member in turn, from a random start: a random choice would sometimes skip one of ten. */
  #listener(live: readonly Member[]): Member {
    let member = live[this.#cursor++ % live.length] as Member;
    // Suspects are skipped: the small side of a partition would lose most of its gossip to them.
    for (let tries = MAX_SKIPPED; tries > 0 && member.state === MemberState.SUSPECT; tries--)
      member = live[this.#cursor++ % live.length] as Member;
    return member;
  }

  stop(): void {
    this.#nextGossip = NEVER;
  }

  drop(id: string): void {
    this.#queue.drop(id);
  }
}
