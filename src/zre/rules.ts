/**
 * The state machine of peers on the ZRE plane, with its events, by 36/ZRE and zyre (docs/spec/zre.md). Pure.
 *
 *            a beacon                     its HELLO
 *   unknown ──────────> PENDING ────────────────────> READY ──5 s of silence──> EVASIVE
 *      │   (mailbox opened, HELLO sent)                 ^  ^                       │
 *      └────────────── its HELLO ───────────────────────┘  └──any message or beacon┤
 *                                                                                  └──30 s──> gone
 *
 * A HELLO of a READY peer begins a new life: the peer exits and enters, so nodes recover from lost messages with the
 * next beacon. Programs see READY and EVASIVE peers only.
 */

import { type EventsOf, event } from "../core/event-stream.js";
import { TokenBucket } from "../core/rate-meter.js";
import {
  decodeBeacon,
  decodeMessage,
  encodeBare,
  encodeGroup,
  encodeHello,
  encodeShout,
  type GroupCommand,
  type Hello,
  MAX_GROUPS,
  uuidOf,
  ZreCommand,
  type ZreFault,
  type ZreMessage,
} from "./codec.js";

/** A peer at one moment; frozen. */
export interface ZrePeer {
  /** 32 lower-case hex digits; zyre shows upper case. */
  readonly uuid: string;
  /** Need not be unique. */
  readonly name: string;
  /** Endpoint of its mailbox. */
  readonly endpoint: string;
  /** Headers, without a prototype. */
  readonly headers: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  /** After 5 s of silence the peer gets a PING each second. */
  readonly evasive: boolean;
}

export type ZreExitReason =
  | "left"
  /** 30 s of silence. */
  | "expired"
  /** The connection ended, and the next was refused or led to another peer. */
  | "refused"
  /** The peer restarted with the same uuid; `enter` follows. */
  | "restarted"
  /** The peer's messages were lost; the next beacon lets it enter again. */
  | "sequence"
  /** The peer's queue was full; the next beacon lets it enter again. */
  | "full";

type OfPeer = { readonly peer: ZrePeer };
type OfGroup = OfPeer & { readonly group: string };

export const ZRE_EVENTS = {
  enter: event<OfPeer>(),
  exit: event<OfPeer & { readonly reason: ZreExitReason }>(),
  /** The peer joined a group, or left one. */
  join: event<OfGroup>(),
  leave: event<OfGroup>(),
  /** The peer is silent. */
  evasive: event<OfPeer>(),
  /** A message for this node alone. */
  whisper: event<OfPeer & { readonly frames: readonly Buffer[] }>(),
  /** A message for a group with this node. */
  shout: event<OfGroup & { readonly frames: readonly Buffer[] }>(),
};

export type ZreEvent = EventsOf<typeof ZRE_EVENTS>;

/** Peers without HELLO; more are refused. */
export const MAX_PENDING = 128;

export interface ZreEffects {
  /** @returns `false` for an endpoint that cannot be dialled */
  connect(uuid: string, endpoint: string): boolean;
  /** @returns `false` for a full mailbox: no frame was sent */
  send(uuid: string, frames: readonly Buffer[]): boolean;
  disconnect(uuid: string): void;
  beacon(): void;
  event(event: ZreEvent): void;
  /** A malformed packet, a refused peer, or an ignored message. */
  count(reason: ZreFault | ZreRefusal): void;
}

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

/** Refused peers or ignored messages. */
export type ZreRefusal =
  /** More peers than `maxPeers`. */
  | "peers"
  /** 128 peers are pending. */
  | "pending"
  /** More new peers than mailboxes can be opened in a second. */
  | "rate"
  /** Invalid in a HELLO. */
  | "endpoint"
  | "groups"
  | "hello"
  /** A SHOUT to a group without this node. */
  | "shout"
  /** A leaving beacon from another address. */
  | "foreign"
  /** A JOIN's or LEAVE's status out of order; it takes effect. */
  | "status";

class Peer {
  readonly uuid: string;
  readonly since: number;
  endpoint: string;
  /** Source of its beacons; empty before the first. */
  address = "";
  port = 0;
  name = "";
  headers: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
  readonly groups = new Set<string>();
  ready = false;
  /** Whether its mailbox is connected, and ever was. */
  connected = false;
  reached = false;
  leaving = false;
  /** Its connection ended, and all its messages were read. */
  drained = false;
  evasive = false;
  heard: number;
  sent = 0;
  received = 0;
  status = 0;

  constructor(uuid: string, endpoint: string, now: number) {
    this.uuid = uuid;
    this.endpoint = endpoint;
    this.since = now;
    this.heard = now;
  }

  get view(): ZrePeer {
    const { uuid, name, endpoint, headers, evasive } = this;
    return Object.freeze({ uuid, name, endpoint, headers, groups: Object.freeze([...this.groups]), evasive });
  }
}

/** Times are ms of a clock that pauses with the process (DriverTimer). */
export class ZreRules {
  readonly #self: ZreSettings;
  readonly #effects: ZreEffects;
  /** ms between checks for silence, and between PINGs, as in zyre. */
  readonly #reap: number;
  readonly #peers = new Map<string, Peer>();
  readonly #groups = new Set<string>();
  #ready = 0;
  #status = 0;
  #beaconAt: number;
  #reapAt: number;
  #leaveAt = Number.POSITIVE_INFINITY;
  /** For opening mailboxes; further peers wait for their next beacon. */
  readonly #connects: TokenBucket;

  constructor(settings: ZreSettings, effects: ZreEffects, now: number) {
    this.#self = settings;
    this.#effects = effects;
    this.#reap = Math.min(1_000, settings.evasive, settings.expired);
    this.#beaconAt = now;
    this.#reapAt = now + this.#reap;
    this.#connects = new TokenBucket(256, 64, now);
  }

  get groups(): readonly string[] {
    return [...this.#groups];
  }

  peers(): ZrePeer[] {
    const views: ZrePeer[] = [];
    for (const peer of this.#peers.values()) if (peer.ready) views.push(peer.view);
    return views;
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
      const time = peer.reached ? this.#self.expired : Math.min(5_000, this.#self.expired);
      if (now - peer.since >= time) this.#remove(peer, "expired");
    } else if (silence >= this.#self.expired) {
      this.#remove(peer, "expired");
    } else if (silence >= this.#self.evasive) {
      if (!peer.evasive) {
        peer.evasive = true;
        this.#effects.event({ type: "evasive", peer: peer.view });
      }
      this.#send(peer, encodeBare(ZreCommand.PING, next(peer)));
    }
  }

  /** @param address without the port */
  onBeacon(now: number, bytes: Buffer, address: string): void {
    const beacon = decodeBeacon(bytes);
    if (typeof beacon === "string") {
      this.#effects.count(beacon);
      return;
    }
    const { uuid, port } = beacon;
    if (uuid === this.#self.uuid) return; // Its own broadcast.
    const peer = this.#peers.get(uuid);
    if (port === 0) {
      if (peer === undefined) return;
      if (peer.address !== "" && peer.address !== address) this.#effects.count("foreign");
      else if (peer.drained || !peer.ready) this.#remove(peer, "left");
      else {
        peer.leaving = true;
        // For its messages, which its beacon overtakes.
        this.#leaveAt = Math.min(this.#leaveAt, now + 250);
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
    if (this.#ready >= this.#self.maxPeers) this.#effects.count("peers");
    else if (this.pendingPeers >= MAX_PENDING) this.#effects.count("pending");
    else {
      const found = this.#require(now, uuid, `tcp://${address}:${port}`);
      if (found === undefined) return;
      found.address = address;
      found.port = port;
    }
  }

  /** @param frames the first is the routing id */
  onMessage(now: number, frames: readonly Buffer[]): void {
    const uuid = uuidOf(frames[0] as Buffer);
    if (uuid === undefined || uuid === this.#self.uuid) {
      this.#effects.count("identity");
      return;
    }
    const message = decodeMessage(frames.slice(1));
    if (typeof message === "string") {
      this.#effects.count(message);
      return;
    }
    const peer = this.#peers.get(uuid);
    if (message.command === ZreCommand.HELLO) {
      if (message.sequence === 1) this.#onHello(now, uuid, peer, message);
      else this.#effects.count("sequence");
      return;
    }
    if (peer === undefined || !peer.ready) {
      this.#effects.count("hello");
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

  /** After a reconnection messages may be lost, and a PING lets the peer notice the gap. */
  onConnected(uuid: string): void {
    const peer = this.#peers.get(uuid);
    if (peer === undefined) return;
    peer.connected = true;
    if (peer.reached) this.#send(peer, encodeBare(ZreCommand.PING, next(peer)));
    peer.reached = true;
  }

  onDisconnected(uuid: string): void {
    const peer = this.#peers.get(uuid);
    if (peer !== undefined) peer.connected = false;
  }

  onDrained(uuid: string): void {
    const peer = this.#peers.get(uuid);
    if (peer === undefined) return;
    peer.drained = true;
    if (peer.leaving) this.#remove(peer, "left");
  }

  onRefused(uuid: string): void {
    const peer = this.#peers.get(uuid);
    // A peer may send although its mailbox was never reached, as in zyre.
    if (peer?.ready && peer.reached) this.#remove(peer, "refused");
  }

  join(group: string): void {
    if (this.#groups.has(group)) return;
    this.#groups.add(group);
    this.#announce(ZreCommand.JOIN, group);
  }

  leave(group: string): void {
    if (this.#groups.delete(group)) this.#announce(ZreCommand.LEAVE, group);
  }

  find(uuidOrName: string): ZrePeer[] {
    const peer = this.#peers.get(uuidOrName.toLowerCase());
    if (peer?.ready) return [peer.view];
    return this.peers().filter(({ name }) => name === uuidOrName);
  }

  /** @returns `false` for a full mailbox, which removes the peer */
  whisper(uuid: string, content: readonly Buffer[]): boolean {
    const peer = this.#peers.get(uuid);
    return peer?.ready === true && this.#send(peer, encodeBare(ZreCommand.WHISPER, next(peer)), content);
  }

  shout(group: string, content: readonly Buffer[]): number {
    let taken = 0;
    for (const peer of [...this.#peers.values()])
      if (peer.groups.has(group) && this.#send(peer, encodeShout(next(peer), group), content)) taken += 1;
    return taken;
  }

  #onHello(now: number, uuid: string, known: Peer | undefined, hello: Hello): void {
    let peer = known;
    // It crossed this node's.
    if (peer?.ready && now - peer.since < 100) {
      this.#renew(peer, hello);
      return;
    }
    if (peer?.ready) {
      this.#remove(peer, "restarted");
      peer = undefined;
    }
    if (this.#ready >= this.#self.maxPeers) {
      this.#effects.count("peers");
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
    this.#effects.event({ type: "enter", peer: peer.view });
    for (const group of hello.groups) this.#joined(peer, group);
  }

  /**
   * A HELLO that crossed this node's restarts the sequence in the same life of the peer. Answering with another HELLO
   * would restart both forever, as it does two of zyre.
   */
  #renew(peer: Peer, hello: Hello): void {
    peer.received = 1;
    peer.status = hello.status;
    const groups = new Set(hello.groups);
    for (const group of [...peer.groups]) if (!groups.has(group)) this.#left(peer, group);
    for (const group of groups) this.#joined(peer, group);
  }

  #onCommand(peer: Peer, message: ZreMessage): void {
    switch (message.command) {
      case ZreCommand.WHISPER:
        this.#effects.event({ type: "whisper", peer: peer.view, frames: message.content });
        break;
      case ZreCommand.SHOUT: {
        const { group, content: frames } = message;
        if (this.#groups.has(group)) this.#effects.event({ type: "shout", peer: peer.view, group, frames });
        else this.#effects.count("shout");
        break;
      }
      case ZreCommand.JOIN:
        this.#onStatus(peer, message.status);
        if (peer.groups.size >= MAX_GROUPS && !peer.groups.has(message.group)) this.#effects.count("groups");
        else this.#joined(peer, message.group);
        break;
      case ZreCommand.LEAVE:
        this.#onStatus(peer, message.status);
        this.#left(peer, message.group);
        break;
      case ZreCommand.PING:
        this.#send(peer, encodeBare(ZreCommand.PING_OK, next(peer)));
        break;
    }
  }

  /** zyre ends its process on a wrong status. The sequence shows lost messages, so here it is only counted. */
  #onStatus(peer: Peer, status: number): void {
    if (status !== ((peer.status + 1) & 0xff)) this.#effects.count("status");
    peer.status = status;
  }

  #joined(peer: Peer, group: string): void {
    if (peer.groups.has(group)) return;
    peer.groups.add(group);
    this.#effects.event({ type: "join", peer: peer.view, group });
  }

  #left(peer: Peer, group: string): void {
    if (!peer.groups.delete(group)) return;
    this.#effects.event({ type: "leave", peer: peer.view, group });
  }

  #heard(peer: Peer, now: number): void {
    peer.heard = now;
    peer.evasive = false;
  }

  #require(now: number, uuid: string, endpoint: string): Peer | undefined {
    if (!this.#connects.take(now)) {
      this.#effects.count("rate");
      return undefined;
    }
    this.#replace(endpoint, now);
    if (!this.#effects.connect(uuid, endpoint)) {
      this.#effects.count("endpoint");
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
   * A new peer at an old one's endpoint is most likely its restart. Two mailboxes there would take the routing id from
   * each other, so a disconnected old peer is closed first, and a connected one must answer soon.
   */
  #replace(endpoint: string, now: number): void {
    for (const peer of [...this.#peers.values()]) {
      if (peer.endpoint !== endpoint) continue;
      if (!peer.connected) this.#remove(peer, "refused");
      else peer.heard = Math.min(peer.heard, now - Math.max(0, this.#self.expired - 2_000));
    }
  }

  /** Pending peers are told, too: their list came with this node's HELLO. */
  #announce(command: GroupCommand, group: string): void {
    this.#status = (this.#status + 1) & 0xff;
    for (const peer of [...this.#peers.values()])
      this.#send(peer, encodeGroup(command, next(peer), group, this.#status));
  }

  #send(peer: Peer, first: Buffer, content: readonly Buffer[] = []): boolean {
    if (this.#effects.send(peer.uuid, [first, ...content])) return true;
    this.#remove(peer, "full");
    return false;
  }

  #remove(peer: Peer, reason: ZreExitReason): void {
    // A send can remove the peer.
    if (this.#peers.get(peer.uuid) !== peer) return;
    this.#peers.delete(peer.uuid);
    this.#effects.disconnect(peer.uuid);
    if (!peer.ready) return;
    this.#ready -= 1;
    this.#effects.event({ type: "exit", peer: peer.view, reason });
  }
}

function next(peer: Peer): number {
  peer.sent = (peer.sent + 1) & 0xffff;
  return peer.sent;
}
