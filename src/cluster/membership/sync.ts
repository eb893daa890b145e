/**
 * Anti-entropy: nodes whose digests differ for longer than gossip takes exchange the differing buckets.
 *
 *   SYNC, 64 digests ─> ENTRIES of what differs, and which are wanted ─> ENTRIES of those
 *
 * A node's first exchanges use datagrams, since a mass start's streams would cost more than their contents; repairs
 * alternate between datagrams and streams. Answers that fit a few datagrams use the way of their request. With proven
 * identities only streams are used.
 */
import { MAX_STREAM_PACKET, MAX_UPDATES } from "../bounds.js";
import { shortId } from "../identity.js";
import { bodySize } from "../wire/codec.js";
import { type Packet, PacketType, Update } from "../wire/packets.js";
import { MAX_BODY } from "../wire/seal.js";
import { type Context, NEVER, pick } from "./context.js";
import type { LifeCycle } from "./life-cycle.js";
import { aliveOf, isWanted, MemberState } from "./members.js";

/** Bits of buckets: high word, low word. */
type Buckets = readonly [number, number];

const NONE: Buckets = [0, 0];

export class Synchronizer {
  readonly #context: Context;
  readonly #lifeCycle: LifeCycle;
  readonly #startedAt: number;
  #nextSync: number;
  #lastSync = Number.NEGATIVE_INFINITY;
  /** Since when every packet had another digest. */
  #differsSince = NEVER;
  /** Addresses of new members. */
  #met: string[] = [];
  #wasWhole = false;
  #wasDatagram = false;

  constructor(context: Context, lifeCycle: LifeCycle) {
    this.#context = context;
    this.#lifeCycle = lifeCycle;
    this.#startedAt = context.now;
    this.#nextSync = context.now + context.random() * context.profile.syncInterval;
  }

  get wake(): number {
    return this.#nextSync;
  }

  /** Exchanged or equal once, and no later packet had another digest. */
  get isWhole(): boolean {
    return this.#wasWhole && this.#differsSince === NEVER;
  }

  /** ms since the view began to differ from others; 0: equal. */
  differsFor(now: number): number {
    return this.#differsSince === NEVER || this.#context.members.live.length === 0
      ? 0
      : Math.max(0, now - this.#differsSince);
  }

  schedule(at: number): void {
    this.#nextSync = at;
    this.#met = [];
  }

  shift(ms: number): void {
    if (this.#differsSince !== NEVER) this.#differsSince += ms;
  }

  compareDigest(theirs: number, address: string): void {
    if (theirs === this.#context.members.digest.total) {
      this.#differsSince = NEVER;
      this.#wasWhole = true;
      return;
    }
    const now = this.#context.now;
    if (this.#differsSince === NEVER) this.#differsSince = now;
    const settle = this.#settle(now);
    if (this.#context.left || now - this.#differsSince < settle) return;
    // While views change, gossip repairs them; the wait for it is bounded.
    if (now - this.#context.changedAt < settle && now - this.#differsSince < 2 * settle) return;
    if (now - this.#lastSync < settle) return;
    this.#wasDatagram = !this.#wasDatagram && !this.#context.provesNodes;
    this.request(address, 0, !this.#wasDatagram);
  }

  /** ms that a difference must last; shorter for a new node, which gossip may have missed. */
  #settle(now: number): number {
    const { settle, gossipInterval } = this.#context.profile;
    return now - this.#startedAt < 3 * settle ? Math.min(settle, 1.5 * gossipInterval) : settle;
  }

  tick(now: number): void {
    this.#nextSync = now + this.#context.profile.syncInterval * (0.75 + 0.5 * this.#context.random());
    const met = this.#met.splice(0);
    if (this.#context.left) return;
    const member = pick(this.#context.members.live, this.#context.random);
    if (met.length > 0) for (const address of met) this.request(address, 0, false);
    else if (member !== undefined) this.request(member.address, 0);
  }

  /** With a new member. @param apart minimum ms since the previous request */
  meet(address: string, apart: number): void {
    const { now, provesNodes } = this.#context;
    if (provesNodes) this.request(address, apart);
    else if (now - this.#lastSync >= apart && this.#met.length < 3) {
      this.#met.push(address);
      this.#nextSync = Math.min(this.#nextSync, now + 10);
    }
  }

  /** @param apart minimum ms since the previous request */
  request(address: string, apart: number, overStream = true): void {
    if (this.#context.now - this.#lastSync < apart) return;
    this.#lastSync = this.#context.now;
    const updates = [this.#context.ownAlive()];
    const buckets = this.#context.members.digest.buckets();
    this.#context.send(address, overStream, PacketType.SYNC, { updates, buckets });
  }

  onSync(buckets: Uint32Array, address: string): void {
    const difference = this.#context.members.digest.difference(buckets);
    this.#sendEntries(address, difference, difference);
  }

  onEntries(packet: Packet, address: string): void {
    // Before theirs are applied, which need not return.
    const { wanted = NONE } = packet;
    if (wanted[0] !== 0 || wanted[1] !== 0) this.#sendEntries(address, wanted, NONE);
    for (const update of packet.updates) this.#lifeCycle.apply(update, false);
    if ((packet.flags & 1) !== 0) {
      this.#context.established = true;
      this.#wasWhole = true;
    }
    this.#differsSince = NEVER;
  }

  #sendEntries(address: string, buckets: Buckets, wanted: Buckets): void {
    let overStream = this.#context.overStream;
    let chunks = this.#entries(buckets, overStream ? MAX_STREAM_PACKET : MAX_BODY);
    if (!overStream && chunks.length > 12) {
      overStream = true;
      chunks = this.#entries(buckets, MAX_STREAM_PACKET);
    }
    for (const [i, updates] of chunks.entries()) {
      const flags = i === chunks.length - 1 ? 1 : 0;
      const asked = i === 0 ? wanted : NONE;
      this.#context.send(address, overStream, PacketType.ENTRIES, { flags, updates, wanted: asked });
    }
  }

  /**
   * @param buckets bits of the wanted buckets (Digest)
   * @param most bytes per packet
   * @returns the updates of each packet; at least one packet
   */
  #entries(buckets: Buckets, most: number): readonly (readonly Update[])[] {
    const { members } = this.#context;
    const [ownAlive, ownDetails] = [this.#context.ownAlive(), this.#context.ownDetails()];
    let chunk: Update[] = [];
    const chunks = [chunk];
    const head = bodySize(PacketType.ENTRIES);
    let size = head;
    const add = (update: Update): void => {
      if (chunk.length >= MAX_UPDATES || (size + update.size > most && chunk.length > 0)) {
        chunk = [];
        chunks.push(chunk);
        size = head;
      }
      chunk.push(update);
      size += update.size;
    };
    add(ownAlive);
    add(ownDetails);
    if (buckets[0] === 0 && buckets[1] === 0) return chunks;
    for (const [id, { start, count, removed }] of members.removals)
      if (isWanted(buckets, shortId(id))) add(Update.removal(id, start, count, removed));
    for (const member of members.live) {
      if (!isWanted(buckets, member.short)) continue;
      const { id, start, details } = member;
      add(aliveOf(member));
      if (details.version > 0) add(Update.details(id, start, details));
    }
    for (const member of members.dead) {
      // Deaths declared while this node was cut off accuse no one.
      if (member.doubtful || !isWanted(buckets, member.short)) continue;
      if (member.state === MemberState.LEFT) add(Update.left(member));
      else add(Update.dead(member, member.reason, 0));
    }
    return chunks;
  }
}
