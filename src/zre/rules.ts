/**
 * Who is a peer on the ZRE plane, by 36/ZRE and by what zyre makes of it (docs/spec/zre.md). Pure: beacons, messages and the time
 * come in; calls on `ZreEffects` go out.
 *
 *            a beacon                     its HELLO
 *   unknown ──────────> PENDING ────────────────────> READY ──5 s of silence──> EVASIVE
 *      │   (mailbox opened, HELLO sent)                 ^  ^                       │
 *      └────────────── its HELLO ───────────────────────┘  └──anything is heard────┤
 *                                                                                  └──30 s──> gone
 *
 * A HELLO of a READY peer is another life of it: it exits, and enters again. So two sides that lost each other's messages
 * find together with the next beacon. Only READY and EVASIVE peers are shown to the program.
 */
import { MAX_ZRE_BURST, MAX_ZRE_CONNECTS, MAX_ZRE_GROUPS, MAX_ZRE_PENDING } from "../cluster/bounds.js";
import {
  decodeBeacon,
  decodeMessage,
  encodeHello,
  encodeJoin,
  encodeLeave,
  encodePing,
  encodePingOk,
  encodeShout,
  encodeWhisper,
  type Hello,
  uuidOf,
  ZRE_JUNK,
  ZreCommand,
  type ZreJunk,
  type ZreMessage,
} from "./codec.js";
import type { ZreEvent, ZreExitReason, ZrePeer } from "./events.js";

/** ms between two looks for silent peers, and between two PINGs; less where a timer is shorter, as in zyre. */
const REAP = 1_000;
/** ms that a mailbox may take to connect; after that its place is given to another. */
const CONNECT_TIME = 5_000;
/** ms in which a peer has to answer when another one is found at its endpoint. */
const REPLACED_TIME = 2_000;

/** ms after this node's HELLO in which one of a peer that entered crossed it. */
const CROSSING_TIME = 100;
/** ms that a peer that leaves is kept for what it sent before: its beacon overtakes that. */
const LEAVE_TIME = 250;

/** What the rules do. */
export interface ZreEffects {
  /** Opens the mailbox of a peer. @returns `false` for an endpoint that cannot be dialled */
  connect(uuid: string, endpoint: string): boolean;
  /** @returns `false` where the mailbox is full: nothing of the message was sent */
  send(uuid: string, frames: readonly Buffer[]): boolean;
  /** Closes the mailbox of a peer, and throws away what waits in it. */
  disconnect(uuid: string): void;
  /** Broadcasts this node's beacon. */
  beacon(): void;
  event(event: ZreEvent): void;
}

/** This node, and its times in ms. */
export interface ZreSettings {
  /** 32 lower-case hex digits. */
  readonly uuid: string;
  readonly name: string;
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly interval: number;
  readonly evasive: number;
  readonly expired: number;
  readonly maxPeers: number;
}

/** Why a peer or a request of it was refused, or what it sent ignored. */
export const ZRE_REFUSALS = [
  /** A peer more than `maxPeers`. */
  "peers",
  /** A beacon, while 128 that were heard have yet to say HELLO. */
  "pending",
  /** More newcomers than mailboxes are opened in a second. */
  "rate",
  /** A HELLO whose endpoint cannot be dialled. */
  "endpoint",
  /** A JOIN past 256 groups. */
  "groups",
  /** A command before HELLO. */
  "hello",
  /** A SHOUT to a group that this node is not in. */
  "shout",
  /** A beacon that says that a peer leaves, from another address than its own. */
  "foreign",
  /** A JOIN or LEAVE whose status is not one more than the last: it is obeyed. */
  "status",
] as const;
export type ZreRefusal = (typeof ZRE_REFUSALS)[number];

class Peer {
  readonly uuid: string;
  readonly since: number;
  endpoint: string;
  /** Where its beacons come from; empty until one came. */
  address = "";
  port = 0;
  name = "";
  headers: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
  readonly groups = new Set<string>();
  ready = false;
  /** Whether its mailbox stands, and whether it ever did. */
  connected = false;
  reached = false;
  /** It announced that it leaves. */
  leaving = false;
  /** Its connection to this node ended, and all that came by it was read. */
  drained = false;
  evasive = false;
  heard: number;
  sent = 0;
  received = 0;
  status = 0;
  #view: ZrePeer | undefined;

  constructor(uuid: string, endpoint: string, now: number) {
    this.uuid = uuid;
    this.endpoint = endpoint;
    this.since = now;
    this.heard = now;
  }

  get view(): ZrePeer {
    const { uuid, name, endpoint, headers, evasive } = this;
    this.#view ??= Object.freeze({
      uuid,
      name,
      endpoint,
      headers,
      groups: Object.freeze([...this.groups]),
      evasive,
    });
    return this.#view;
  }

  changed(): void {
    this.#view = undefined;
  }
}

const counters = <R extends string>(names: readonly R[]): Record<R, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<R, number>;

/** The rules of one node. Times are ms of a clock that stands still while the process does (DriverTimer). */
export class ZreRules {
  readonly #self: ZreSettings;
  readonly #effects: ZreEffects;
  readonly #reap: number;
  readonly #peers = new Map<string, Peer>();
  readonly #groups = new Set<string>();
  #ready = 0;
  #status = 0;
  #beaconAt: number;
  #reapAt: number;
  /** When the first that leaves is let go. */
  #leaveAt = Number.POSITIVE_INFINITY;
  /** Mailboxes that may be opened now. */
  #tokens = MAX_ZRE_BURST;
  #tokensAt: number;
  readonly junk = counters<ZreJunk>(ZRE_JUNK);
  readonly refused = counters<ZreRefusal>(ZRE_REFUSALS);

  constructor(settings: ZreSettings, effects: ZreEffects, now: number) {
    this.#self = settings;
    this.#effects = effects;
    this.#reap = Math.min(REAP, settings.evasive, settings.expired);
    this.#beaconAt = now;
    this.#reapAt = now + this.#reap;
    this.#tokensAt = now;
  }

  get groups(): readonly string[] {
    return [...this.#groups];
  }

  /** The peers that said HELLO. */
  peers(): ZrePeer[] {
    const views: ZrePeer[] = [];
    for (const peer of this.#peers.values()) if (peer.ready) views.push(peer.view);
    return views;
  }

  get readyPeers(): number {
    return this.#ready;
  }

  get pendingPeers(): number {
    return this.#peers.size - this.#ready;
  }

  nextWakeUp(): number {
    return Math.min(this.#beaconAt, this.#reapAt, this.#leaveAt);
  }

  tick(now: number): void {
    if (now >= this.#beaconAt) {
      this.#effects.beacon();
      this.#beaconAt = now + this.#self.interval;
    }
    if (now >= this.#leaveAt) {
      this.#leaveAt = Number.POSITIVE_INFINITY;
      for (const peer of [...this.#peers.values()]) if (peer.leaving) this.#remove(peer, "left");
    }
    if (now < this.#reapAt) return;
    this.#reapAt = now + this.#reap;
    for (const peer of [...this.#peers.values()]) this.#look(peer, now);
  }

  #look(peer: Peer, now: number): void {
    const silence = now - peer.heard;
    if (!peer.ready) {
      const time = peer.reached ? this.#self.expired : Math.min(CONNECT_TIME, this.#self.expired);
      if (now - peer.since >= time) this.#remove(peer, "expired");
    } else if (silence >= this.#self.expired) {
      this.#remove(peer, "expired");
    } else if (silence >= this.#self.evasive) {
      if (!peer.evasive) {
        peer.evasive = true;
        peer.changed();
        this.#effects.event({ type: "evasive", peer: peer.view });
      }
      this.#send(peer, encodePing(next(peer)));
    }
  }

  /** @param address where it came from, without the port */
  onBeacon(now: number, bytes: Buffer, address: string): void {
    const beacon = decodeBeacon(bytes);
    if (typeof beacon === "string") {
      this.junk[beacon] += 1;
      return;
    }
    const { uuid, port } = beacon;
    if (uuid === this.#self.uuid) return; // A broadcast comes back to who sent it.
    const peer = this.#peers.get(uuid);
    if (port === 0) {
      if (peer === undefined) return;
      if (peer.address !== "" && peer.address !== address) this.refused.foreign += 1;
      else if (peer.drained || !peer.ready) this.#remove(peer, "left");
      else {
        peer.leaving = true;
        this.#leaveAt = Math.min(this.#leaveAt, now + LEAVE_TIME);
      }
      return;
    }
    if (peer !== undefined) {
      const moved = peer.address === address && peer.port !== port;
      if (!moved) {
        if (peer.address === "") {
          peer.address = address;
          peer.port = port;
        }
        if (peer.ready) this.#heard(peer, now);
        return;
      }
      this.#remove(peer, "restarted");
    }
    if (this.#ready >= this.#self.maxPeers) this.refused.peers += 1;
    else if (this.pendingPeers >= MAX_ZRE_PENDING) this.refused.pending += 1;
    else {
      const found = this.#require(now, uuid, `tcp://${address}:${port}`);
      if (found === undefined) return;
      found.address = address;
      found.port = port;
    }
  }

  /** @param frames of a message at the mailbox, the first the routing id */
  onMessage(now: number, frames: readonly Buffer[]): void {
    const uuid = uuidOf(frames[0] as Buffer);
    if (uuid === undefined || uuid === this.#self.uuid) {
      this.junk.identity += 1;
      return;
    }
    const message = decodeMessage(frames.slice(1));
    if (typeof message === "string") {
      this.junk[message] += 1;
      return;
    }
    let peer = this.#peers.get(uuid);
    if (message.command === ZreCommand.HELLO) {
      if (message.sequence !== 1) {
        this.junk.sequence += 1;
        return;
      }
      peer = this.#onHello(now, uuid, peer, message);
      return;
    }
    if (peer === undefined || !peer.ready) {
      this.refused.hello += 1;
      return;
    }
    peer.drained = false;
    peer.received = (peer.received + 1) & 0xffff;
    if (message.sequence !== peer.received) {
      this.#remove(peer, "sequence");
      return;
    }
    this.#heard(peer, now);
    this.#onCommand(peer, message);
  }

  /**
   * The mailbox of a peer stands. When it stood before, what was in the connection may be lost, and the peer notices at the next
   * command only: a PING lets it notice now.
   */
  onConnected(uuid: string): void {
    const peer = this.#peers.get(uuid);
    if (peer === undefined) return;
    peer.connected = true;
    if (peer.reached) this.#send(peer, encodePing(next(peer)));
    peer.reached = true;
  }

  /** The connection to a peer's mailbox ended; another one is tried. */
  onDisconnected(uuid: string): void {
    const peer = this.#peers.get(uuid);
    if (peer !== undefined) peer.connected = false;
  }

  /** The connection of a peer to this node ended, and what came by it was handed over. */
  onDrained(uuid: string): void {
    const peer = this.#peers.get(uuid);
    if (peer === undefined) return;
    peer.drained = true;
    if (peer.leaving) this.#remove(peer, "left");
  }

  /** The connection to a peer's mailbox was refused by its host: nobody listens there. */
  onRefused(uuid: string): void {
    const peer = this.#peers.get(uuid);
    // One whose mailbox was never reached may still talk to this node, as in zyre.
    if (peer?.ready && peer.reached) this.#remove(peer, "refused");
  }

  /** @returns whether it was not in it */
  join(group: string): boolean {
    if (this.#groups.has(group)) return false;
    this.#groups.add(group);
    this.#announce(group, encodeJoin);
    return true;
  }

  /** @returns whether it was in it */
  leave(group: string): boolean {
    if (!this.#groups.delete(group)) return false;
    this.#announce(group, encodeLeave);
    return true;
  }

  /** @returns the peers with this uuid or name */
  find(uuidOrName: string): ZrePeer[] {
    const peer = this.#peers.get(uuidOrName.toLowerCase());
    if (peer?.ready) return [peer.view];
    return this.peers().filter(({ name }) => name === uuidOrName);
  }

  /** @returns whether its mailbox took it; where it did not the peer is gone */
  whisper(uuid: string, content: readonly Buffer[]): boolean {
    const peer = this.#peers.get(uuid);
    return peer?.ready === true && this.#send(peer, encodeWhisper(next(peer)), content);
  }

  /** @returns the peers whose mailboxes took it */
  shout(group: string, content: readonly Buffer[]): number {
    let taken = 0;
    for (const peer of [...this.#peers.values()])
      if (peer.groups.has(group) && this.#send(peer, encodeShout(next(peer), group), content)) taken += 1;
    return taken;
  }

  #onHello(now: number, uuid: string, known: Peer | undefined, hello: Hello): undefined {
    let peer = known;
    if (peer?.ready && now - peer.since < CROSSING_TIME) {
      this.#renew(peer, hello);
      return;
    }
    if (peer?.ready) {
      this.#remove(peer, "restarted");
      peer = undefined;
    }
    if (this.#ready >= this.#self.maxPeers) {
      this.refused.peers += 1;
      return;
    }
    if (peer === undefined) {
      peer = this.#require(now, uuid, hello.endpoint);
      if (peer === undefined) return;
    }
    peer.ready = true;
    peer.drained = false;
    this.#ready += 1;
    peer.received = 1;
    peer.name = hello.name;
    peer.headers = Object.freeze(hello.headers);
    peer.status = hello.status;
    peer.heard = now;
    const groups = new Set(hello.groups);
    peer.changed();
    this.#effects.event({ type: "enter", peer: peer.view });
    for (const group of groups) {
      if (this.#peers.get(uuid) !== peer) return; // The program found its mailbox full meanwhile.
      this.#joined(peer, group);
    }
  }

  /**
   * A HELLO that crossed this node's own: the same life of the peer begins its sequence again. With another HELLO as the answer two
   * nodes would restart each other without end, as two of zyre do.
   */
  #renew(peer: Peer, hello: Hello): void {
    peer.received = 1;
    peer.status = hello.status;
    const groups = new Set(hello.groups);
    for (const group of [...peer.groups]) {
      if (groups.has(group)) continue;
      peer.groups.delete(group);
      peer.changed();
      this.#effects.event({ type: "leave", peer: peer.view, group });
    }
    for (const group of groups) this.#joined(peer, group);
  }

  #onCommand(peer: Peer, message: ZreMessage): void {
    switch (message.command) {
      case ZreCommand.WHISPER:
        this.#effects.event({ type: "whisper", peer: peer.view, frames: message.content });
        break;
      case ZreCommand.SHOUT:
        if (this.#groups.has(message.group))
          this.#effects.event({
            type: "shout",
            peer: peer.view,
            group: message.group,
            frames: message.content,
          });
        else this.refused.shout += 1;
        break;
      case ZreCommand.JOIN:
        this.#onStatus(peer, message.status);
        if (peer.groups.size >= MAX_ZRE_GROUPS && !peer.groups.has(message.group)) this.refused.groups += 1;
        else this.#joined(peer, message.group);
        break;
      case ZreCommand.LEAVE:
        this.#onStatus(peer, message.status);
        if (!peer.groups.delete(message.group)) break;
        peer.changed();
        this.#effects.event({ type: "leave", peer: peer.view, group: message.group });
        break;
      case ZreCommand.PING:
        this.#send(peer, encodePingOk(next(peer)));
        break;
    }
  }

  /** zyre ends its process over a wrong one. Nothing can be lost here without a gap in the sequence, so it is counted. */
  #onStatus(peer: Peer, status: number): void {
    if (status !== ((peer.status + 1) & 0xff)) this.refused.status += 1;
    peer.status = status;
  }

  #joined(peer: Peer, group: string): void {
    if (peer.groups.has(group)) return;
    peer.groups.add(group);
    peer.changed();
    this.#effects.event({ type: "join", peer: peer.view, group });
  }

  #heard(peer: Peer, now: number): void {
    peer.heard = now;
    if (!peer.evasive) return;
    peer.evasive = false;
    peer.changed();
  }

  /** Opens a mailbox and says HELLO. */
  #require(now: number, uuid: string, endpoint: string): Peer | undefined {
    this.#tokens = Math.min(
      MAX_ZRE_BURST,
      this.#tokens + ((now - this.#tokensAt) * MAX_ZRE_CONNECTS) / 1_000,
    );
    this.#tokensAt = now;
    if (this.#tokens < 1) {
      this.refused.rate += 1;
      return undefined;
    }
    this.#tokens -= 1;
    this.#replace(endpoint, now);
    if (!this.#effects.connect(uuid, endpoint)) {
      this.refused.endpoint += 1;
      return undefined;
    }
    const peer = new Peer(uuid, endpoint, now);
    this.#peers.set(uuid, peer);
    const { name, headers } = this.#self;
    const hello = { endpoint: this.#self.endpoint, groups: this.groups, status: this.#status, name, headers };
    this.#send(peer, encodeHello(next(peer), hello));
    return peer;
  }

  /**
   * Another peer is found where one is: its process was most likely started again. Two mailboxes of this node there would take the
   * routing id from each other, so one whose connection ended is closed first. Where it stands the old peer is asked.
   */
  #replace(endpoint: string, now: number): void {
    for (const peer of [...this.#peers.values()]) {
      if (peer.endpoint !== endpoint) continue;
      if (!peer.connected) this.#remove(peer, "refused");
      else peer.heard = Math.min(peer.heard, now - Math.max(0, this.#self.expired - REPLACED_TIME));
    }
  }

  /** To all, those that have yet to say HELLO included: their own list came with this node's HELLO. */
  #announce(group: string, encode: typeof encodeJoin): void {
    this.#status = (this.#status + 1) & 0xff;
    for (const peer of [...this.#peers.values()]) this.#send(peer, encode(next(peer), group, this.#status));
  }

  #send(peer: Peer, first: Buffer, content: readonly Buffer[] = []): boolean {
    if (this.#effects.send(peer.uuid, [first, ...content])) return true;
    this.#remove(peer, "full");
    return false;
  }

  /** The node goes to another network, with other rules: what it knew of this one ends. */
  end(): void {
    for (const peer of [...this.#peers.values()]) this.#remove(peer, "expired");
  }

  #remove(peer: Peer, reason: ZreExitReason): void {
    // A peer may go while it is being sent to.
    if (this.#peers.get(peer.uuid) !== peer) return;
    this.#peers.delete(peer.uuid);
    this.#effects.disconnect(peer.uuid);
    if (!peer.ready) return;
    this.#ready -= 1;
    this.#effects.event({ type: "exit", peer: peer.view, reason });
  }
}

/** The sequence of the next command to a peer. */
function next(peer: Peer): number {
  peer.sent = (peer.sent + 1) & 0xffff;
  return peer.sent;
}
