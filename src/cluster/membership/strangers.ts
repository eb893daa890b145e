/**
 * Packets of senders that are not members, or of an earlier life. A new node is admitted over a stream or by acking a
 * fresh number, so replayed packets cannot add members.
 */
import { MAX_NEWCOMERS } from "../bounds.js";
import { DeathReason, type Packet, PacketType, Update, UpdateKind } from "../wire/packets.js";
import type { Context } from "./context.js";
import type { Dialer } from "./dialer.js";
import { aliveOf, type Member } from "./members.js";
import type { Prober } from "./prober.js";
import type { Synchronizer } from "./sync.js";
import type { Updates } from "./updates.js";

/** Members, on average, that synchronize with a new one. */
const ADMITTERS = 4;
/** Exchanges of a node without an answer; later ones come once per `probeTimeout`. */
const FIRST_EXCHANGES = 4;

interface Newcomer {
  readonly update: Update;
  readonly seq: number;
  readonly at: number;
  buckets: Uint32Array | undefined;
}

export class Strangers {
  readonly #context: Context;
  readonly #prober: Prober;
  readonly #dialer: Dialer;
  readonly #updates: Updates;
  readonly #synchronizer: Synchronizer;
  readonly #newcomers = new Map<string, Newcomer>();
  /** Requested while this node had no answer. */
  #exchanges = 0;
  #refutedAt = Number.NEGATIVE_INFINITY;
  #removalSentAt = Number.NEGATIVE_INFINITY;

  constructor(
    context: Context,
    prober: Prober,
    dialer: Dialer,
    updates: Updates,
    synchronizer: Synchronizer,
  ) {
    this.#context = context;
    this.#prober = prober;
    this.#dialer = dialer;
    this.#updates = updates;
    this.#synchronizer = synchronizer;
  }

  /** @returns the sender's record, if it was admitted: its packet is then handled */
  onPacket(packet: Packet, address: string, overStream: boolean): Member | undefined {
    if (packet.updates.some(({ kind, id }) => kind === UpdateKind.LEFT && id === packet.from)) {
      // The node left before it was admitted.
      this.#newcomers.delete(packet.from);
      return undefined;
    }
    this.#refute(packet);
    const isVerified =
      overStream ||
      (!this.#context.provesNodes && packet.type === PacketType.ACK && this.#isVerified(packet));
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
    const newcomer = this.#newcomers.get(packet.from);
    const alive = own ?? newcomer?.update;
    this.#newcomers.delete(packet.from);
    if (alive !== undefined) this.#updates.apply(alive, true);
    const member = this.#context.members.get(packet.from);
    if (member === undefined) {
      if (alive !== undefined) this.#buried(packet, address);
      // The sender knows this node but sent no identity: an exchange gets it.
      else this.#synchronizer.request(address, 0);
      return undefined;
    }
    this.#context.heard(member);
    // In a mass start, an exchange with each new node would be too many.
    if (packet.type !== PacketType.ACK) return member;
    const { random, members, established, profile } = this.#context;
    // The new node's own request counts as an exchange.
    if (newcomer?.buckets !== undefined) this.#synchronizer.onSync(newcomer.buckets, address);
    else if (!established)
      this.#synchronizer.meet(address, this.#exchanges++ < FIRST_EXCHANGES ? 0 : profile.probeTimeout);
    else if (random() < ADMITTERS / members.size) this.#synchronizer.meet(address, 0);
    return member;
  }

  get newcomers(): number {
    const { now, profile } = this.#context;
    let count = 0;
    for (const { at } of this.#newcomers.values()) if (now - at < profile.probeTimeout) count += 1;
    return count;
  }

  /** Gossip added the node before its ack. */
  onMemberAck(packet: Packet, address: string): void {
    const newcomer = this.#newcomers.get(packet.from);
    if (newcomer?.seq !== packet.seq) return;
    this.#newcomers.delete(packet.from);
    if (newcomer.buckets !== undefined) this.#synchronizer.onSync(newcomer.buckets, address);
  }

  pending(most: number): readonly string[] {
    return [...this.#newcomers.values()].slice(-most).map(({ update }) => update.address);
  }

  /** Refutes an accusation or death, which needs no trust, once per gossip interval, since all members get it. */
  #refute(packet: Packet): void {
    const { self, now, profile } = this.#context;
    if (now - this.#refutedAt < profile.gossipInterval) return;
    const { start, count } = self;
    for (const update of packet.updates) if (update.id === self.id) this.#updates.apply(update, true);
    if (self.start !== start || self.count !== count) this.#refutedAt = now;
  }

  #introduction(id: string): readonly Update[] {
    const removal = this.#context.members.removals.get(id);
    if (removal === undefined) return [this.#context.ownAlive()];
    return [this.#context.ownAlive(), Update.removal(id, removal.time, removal.counter, removal.removed)];
  }

  #isVerified(packet: Packet): boolean {
    return this.#dialer.answered(packet.seq) || this.#newcomers.get(packet.from)?.seq === packet.seq;
  }

  #challenge(update: Update, address: string, buckets: Uint32Array | undefined): void {
    const before = this.#newcomers.get(update.id);
    if (before === undefined && this.#newcomers.size >= MAX_NEWCOMERS) {
      const [oldest] = this.#newcomers.keys();
      if (oldest !== undefined) this.#newcomers.delete(oldest);
      this.#context.refuse("newcomers");
    }
    // At most one challenge at a time, or two unknown nodes would challenge each other forever.
    if (before !== undefined && this.#context.now - before.at < this.#context.profile.probeTimeout) {
      before.buckets = buckets ?? before.buckets;
      return;
    }
    const seq = before?.seq ?? this.#prober.nextSeq();
    this.#newcomers.delete(update.id);
    this.#newcomers.set(update.id, {
      update,
      seq,
      at: this.#context.now,
      buckets: buckets ?? before?.buckets,
    });
    const updates = this.#introduction(update.id);
    const ping = this.#context.packet(PacketType.PING, { seq, updates });
    this.#context.effects.send(address, ping, this.#context.provesNodes);
  }

  /** A restarted node whose clock was set back continues from the incarnation in the answer. */
  onStale(member: Member, packet: Packet, address: string): void {
    this.#context.refuse("stale");
    if (packet.type !== PacketType.PING && packet.type !== PacketType.SYNC) return;
    this.#context.sendUpdates(address, [this.#context.ownAlive(), aliveOf(member)]);
  }

  /** The node does not know that it was forgotten. */
  #buried(packet: Packet, address: string): void {
    const tombstone = this.#context.members.tombstone(packet.from);
    if (tombstone === undefined) return;
    const { start, count } = tombstone;
    const life = { id: packet.from, start, count };
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
    const update = Update.removal(id, removal.time, removal.counter, true);
    this.#context.sendUpdates(address, [update], overStream);
  }
}
