/**
 * A link in virtual time for nodes of the ZRE plane: beacons that get lost, mailboxes over connections that are cut with all that is
 * in them, processes that are killed and started again. Nodes of ours run src/zre/rules.ts. `ZyreModel` does what
 * zyre_node.c and zyre_peer.c do, their assertions included: it throws where zyre would end its process.
 */

import type { Simulation } from "../../src/testing/simulation.js";
import {
  decodeBeacon,
  decodeMessage,
  encodeBare,
  encodeBeacon,
  encodeGroup,
  encodeHello,
  encodeShout,
  identityOf,
  uuidOf,
  ZreCommand,
} from "../../src/zre/codec.js";
import type { ZreEvent } from "../../src/zre/events.js";
import { type ZreEffects, ZreRules } from "../../src/zre/rules.js";

/** What both kinds of nodes are for the world. */
interface Inhabitant {
  nextWakeUp(): number;
  tick(now: number): void;
  onBeacon(now: number, bytes: Buffer, address: string): void;
  onMessage(now: number, frames: readonly Buffer[]): void;
  onConnected(uuid: string): void;
  onDisconnected(uuid: string): void;
  onRefused(uuid: string): void;
  join(group: string): boolean;
  leave(group: string): boolean;
  whisper(uuid: string, content: readonly Buffer[]): boolean;
  shout(group: string, content: readonly Buffer[]): number;
}

/** A mailbox at a peer: a DEALER that is connected, or tries to be. */
class Mailbox {
  open = false;
  /** Connections made so far: what is on its way in an earlier one is lost. */
  life = 0;
  lastArrival = 0;
  queue: (readonly Buffer[])[] = [];
  closed = false;
  constructor(
    readonly owner: Node,
    readonly uuid: string,
    readonly port: number,
  ) {}
}

export type Seen = { readonly type: ZreEvent["type"]; readonly uuid: string; readonly text: string };

export class Node {
  readonly address: string;
  readonly seen: Seen[] = [];
  /** The peers that its program was shown, and their groups. */
  readonly shown = new Map<string, Set<string>>();
  readonly mailboxes = new Map<string, Mailbox>();
  /** Who is connected to its own mailbox, by uuid. */
  readonly inbox = new Map<string, Mailbox>();
  readonly groups = new Set<string>();
  up = true;
  stalledUntil = 0;
  /** What came while it stood still. */
  held: (() => void)[] = [];
  /** ms that were cut out of its time, as DriverTimer does. */
  cut = 0;
  rules: Inhabitant;

  constructor(
    readonly world: World,
    readonly uuid: string,
    readonly port: number,
    readonly zyre: boolean,
  ) {
    this.address = "10.0.0.1";
    const effects = world.effectsOf(this);
    this.rules = zyre ? new ZyreModel(this, effects) : this.ours(effects);
  }

  ours(effects: ZreEffects): ZreRules {
    return new ZreRules(
      {
        uuid: this.uuid,
        name: this.uuid.slice(0, 6),
        endpoint: `tcp://${this.address}:${this.port}`,
        headers: {},
        interval: 1_000,
        evasive: 5_000,
        expired: 30_000,
        maxPeers: 100,
      },
      effects,
      this.now,
    );
  }

  get now(): number {
    return this.world.now - this.cut;
  }

  /** For the trace. */
  get short(): string {
    return this.uuid.slice(2, 4);
  }

  /** Runs now, or when it no longer stands still. */
  run(what: () => void): void {
    if (!this.up) return;
    if (this.world.now < this.stalledUntil) this.held.push(what);
    else what();
  }

  join(group: string): void {
    this.groups.add(group);
    this.rules.join(group);
  }

  leave(group: string): void {
    this.groups.delete(group);
    this.rules.leave(group);
  }
}

export class World {
  readonly nodes: Node[] = [];
  loss = 0;
  #uuids = 0;
  constructor(readonly simulation: Simulation) {}

  get now(): number {
    return this.simulation.now;
  }

  get live(): Node[] {
    return this.nodes.filter(({ up }) => up);
  }

  start(zyre: boolean, port = 50_000 + this.nodes.length): Node {
    this.#uuids += 1;
    const uuid = this.#uuids.toString(16).padStart(4, "0").repeat(8);
    const node = new Node(this, uuid, port, zyre);
    this.nodes.push(node);
    this.simulation.note(`${node.short} starts at ${port}${zyre ? ", zyre" : ""}`);
    this.#wake(node);
    return node;
  }

  kill(node: Node): void {
    this.simulation.note(`${node.short} ends`);
    node.up = false;
    for (const box of node.mailboxes.values()) this.#close(box);
    for (const box of [...node.inbox.values()]) this.#drop(box);
  }

  stop(node: Node): void {
    this.#broadcast(node, encodeBeacon(node.uuid, 0));
    this.kill(node);
  }

  stall(node: Node, ms: number): void {
    if (this.now < node.stalledUntil) return;
    this.simulation.note(`${node.short} stalls for ${ms} ms`);
    node.stalledUntil = this.now + ms;
    this.simulation.after(ms, () => {
      if (!node.zyre) node.cut += ms;
      for (const what of node.held.splice(0)) if (node.up) what();
    });
  }

  /** Ends a connection, with what is in it. */
  cut(box: Mailbox): void {
    this.simulation.note(`${box.owner.short} cut from ${box.uuid.slice(2, 4)}`);
    if (box.open) this.#drop(box);
  }

  effectsOf(node: Node): ZreEffects {
    return {
      connect: (uuid, endpoint) => {
        const box = new Mailbox(node, uuid, Number(endpoint.split(":").at(-1)));
        node.mailboxes.set(uuid, box);
        this.#dial(box);
        return true;
      },
      send: (uuid, frames) => {
        const box = node.mailboxes.get(uuid);
        if (box === undefined) return false;
        if (box.open) this.#carry(box, frames);
        else box.queue.push(frames);
        return true;
      },
      disconnect: (uuid) => {
        const box = node.mailboxes.get(uuid);
        node.mailboxes.delete(uuid);
        if (box !== undefined) this.#close(box);
      },
      beacon: () => this.#broadcast(node, encodeBeacon(node.uuid, node.port)),
      event: (event) => this.#show(node, event),
    };
  }

  /** What a program may never see: two enters, an exit or a message without an enter, a group twice. */
  #show(node: Node, event: ZreEvent): void {
    const { uuid } = event.peer;
    const text = event.type === "whisper" || event.type === "shout" ? String(event.frames[0]) : "";
    node.seen.push({ type: event.type, uuid, text });
    const reason = event.type === "exit" ? ` ${event.reason}` : "";
    this.simulation.note(() => `${node.short} sees ${event.type} of ${uuid.slice(2, 4)}${reason}`);
    const groups = node.shown.get(uuid);
    if (event.type === "enter") {
      if (groups !== undefined) throw new Error(`${uuid} enters ${node.uuid} twice`);
      node.shown.set(uuid, new Set());
      return;
    }
    if (groups === undefined) throw new Error(`${event.type} of ${uuid}, which never entered ${node.uuid}`);
    if (event.type === "exit") node.shown.delete(uuid);
    if (event.type === "join") {
      if (groups.has(event.group)) throw new Error(`${uuid} joins ${event.group} twice`);
      groups.add(event.group);
    }
    if (event.type === "leave" && !groups.delete(event.group)) throw new Error(`${uuid} leaves twice`);
  }

  #latency(): number {
    return this.simulation.random.integer(0, 5);
  }

  #broadcast(from: Node, bytes: Buffer): void {
    for (const node of this.nodes) {
      if (this.simulation.random.chance(this.loss)) continue;
      this.simulation.after(this.#latency(), () =>
        node.run(() => node.rules.onBeacon(node.now, bytes, from.address)),
      );
    }
  }

  #wake(node: Node): void {
    const at = Math.max(this.now, node.rules.nextWakeUp() + node.cut);
    this.simulation.at(at, () => {
      if (!node.up) return;
      if (this.now < node.stalledUntil) {
        this.simulation.at(node.stalledUntil + 1, () => this.#wake(node));
        return;
      }
      node.rules.tick(node.now);
      this.simulation.after(1, () => this.#wake(node));
    });
  }

  #dial(box: Mailbox): void {
    this.simulation.after(this.#latency(), () => {
      if (box.closed || box.open) return;
      const peer = this.live.find(({ port }) => port === box.port);
      const { owner } = box;
      if (peer === undefined) {
        owner.run(() => {
          if (!box.closed) owner.rules.onRefused(box.uuid);
        });
        this.simulation.after(200, () => this.#dial(box));
        return;
      }
      // ROUTER_HANDOVER: the newcomer takes the routing id from the one before.
      const before = peer.inbox.get(owner.uuid);
      if (before !== undefined) this.#drop(before);
      peer.inbox.set(owner.uuid, box);
      this.simulation.note(`${owner.short} connects to ${peer.short}`);
      box.open = true;
      owner.run(() => {
        if (!box.closed) owner.rules.onConnected(box.uuid);
      });
      for (const frames of box.queue.splice(0)) this.#carry(box, frames);
    });
  }

  #carry(box: Mailbox, frames: readonly Buffer[]): void {
    const { life } = box;
    box.lastArrival = Math.max(box.lastArrival, this.now + this.#latency());
    const copy = [identityOf(box.owner.uuid), ...frames];
    const peer = this.live.find(({ port }) => port === box.port);
    this.simulation.at(box.lastArrival, () => {
      if (box.life === life && peer?.up) peer.run(() => peer.rules.onMessage(peer.now, copy));
    });
  }

  /** The connection ends; it is dialled again. */
  #drop(box: Mailbox): void {
    this.#unlist(box);
    box.open = false;
    box.life += 1;
    const { owner } = box;
    if (box.closed || !owner.up) return;
    owner.run(() => {
      if (!box.closed) owner.rules.onDisconnected(box.uuid);
    });
    this.simulation.after(100, () => this.#dial(box));
  }

  /** What was sent still arrives, but not after the first of a new mailbox: a handover throws away what the old one left. */
  #close(box: Mailbox): void {
    box.closed = true;
    box.open = false;
  }

  #unlist(box: Mailbox): void {
    for (const node of this.nodes)
      if (node.inbox.get(box.owner.uuid) === box) node.inbox.delete(box.owner.uuid);
  }
}

interface ZyrePeer {
  readonly uuid: string;
  endpoint: string;
  connected: boolean;
  ready: boolean;
  sent: number;
  wanted: number;
  status: number;
  evasiveAt: number;
  expiredAt: number;
}

/** zyre_node.c, with zyre_peer.c and zyre_group.c, without elections, gossip and CURVE. */
class ZyreModel implements Inhabitant {
  readonly #peers = new Map<string, ZyrePeer>();
  readonly #groups = new Map<string, Set<string>>();
  readonly #own = new Set<string>();
  #status = 0;
  #beaconAt: number;
  #reapAt: number;

  constructor(
    readonly node: Node,
    readonly effects: ZreEffects,
  ) {
    this.#beaconAt = node.now;
    this.#reapAt = node.now + 1_000;
  }

  nextWakeUp(): number {
    return Math.min(this.#beaconAt, this.#reapAt);
  }

  tick(now: number): void {
    if (now >= this.#beaconAt) {
      this.effects.beacon();
      this.#beaconAt = now + 1_000;
    }
    if (now < this.#reapAt) return;
    this.#reapAt = now + 1_000;
    for (const peer of [...this.#peers.values()]) {
      if (now >= peer.expiredAt) this.#remove(peer);
      else if (now >= peer.evasiveAt) this.#send(peer, (sequence) => [encodeBare(ZreCommand.PING, sequence)]);
    }
  }

  onBeacon(now: number, bytes: Buffer, address: string): void {
    const beacon = decodeBeacon(bytes);
    if (typeof beacon === "string" || beacon.uuid === this.node.uuid) return;
    if (beacon.port !== 0) {
      this.#require(now, beacon.uuid, `tcp://${address}:${beacon.port}`);
      return;
    }
    const peer = this.#peers.get(beacon.uuid);
    if (peer !== undefined) this.#remove(peer);
  }

  onMessage(now: number, frames: readonly Buffer[]): void {
    const message = decodeMessage(frames.slice(1));
    const uuid = uuidOf(frames[0] as Buffer);
    if (typeof message === "string" || uuid === undefined) throw new Error(`zyre got junk: ${message}`);
    let peer = this.#peers.get(uuid);
    if (message.command === ZreCommand.HELLO) {
      if (peer?.ready) this.#remove(peer);
      peer = this.#require(now, uuid, message.endpoint);
      peer.ready = true;
    }
    if (peer === undefined || !peer.ready) return;
    peer.wanted = message.command === ZreCommand.HELLO ? 1 : (peer.wanted + 1) & 0xffff;
    if (peer.wanted !== message.sequence) {
      this.#remove(peer);
      return;
    }
    const { view } = { view: viewOf(peer) };
    switch (message.command) {
      case ZreCommand.HELLO:
        this.effects.event({ type: "enter", peer: view });
        for (const group of message.groups) this.#joined(peer, group);
        peer.status = message.status;
        break;
      case ZreCommand.WHISPER:
        this.effects.event({ type: "whisper", peer: view, frames: message.content });
        break;
      case ZreCommand.SHOUT:
        this.effects.event({ type: "shout", peer: view, group: message.group, frames: message.content });
        break;
      case ZreCommand.PING:
        this.#send(peer, (sequence) => [encodeBare(ZreCommand.PING_OK, sequence)]);
        break;
      case ZreCommand.JOIN:
        this.#joined(peer, message.group);
        if (message.status !== peer.status) throw new Error("zyre aborts: status of a JOIN");
        break;
      case ZreCommand.LEAVE:
        peer.status = (peer.status + 1) & 0xff;
        this.#groups.get(message.group)?.delete(uuid);
        this.effects.event({ type: "leave", peer: view, group: message.group });
        if (message.status !== peer.status) throw new Error("zyre aborts: status of a LEAVE");
        break;
    }
    this.#refresh(now, peer);
  }

  onConnected(): void {}
  onDisconnected(): void {}
  onRefused(): void {}

  join(group: string): boolean {
    if (this.#own.has(group)) return false;
    this.#own.add(group);
    this.#status = (this.#status + 1) & 0xff;
    for (const peer of this.#peers.values())
      this.#send(peer, (sequence) => [encodeGroup(ZreCommand.JOIN, sequence, group, this.#status)]);
    return true;
  }

  leave(group: string): boolean {
    if (!this.#own.delete(group)) return false;
    this.#status = (this.#status + 1) & 0xff;
    for (const peer of this.#peers.values())
      this.#send(peer, (sequence) => [encodeGroup(ZreCommand.LEAVE, sequence, group, this.#status)]);
    return true;
  }

  whisper(uuid: string, content: readonly Buffer[]): boolean {
    const peer = this.#peers.get(uuid);
    if (peer !== undefined)
      this.#send(peer, (sequence) => [encodeBare(ZreCommand.WHISPER, sequence), ...content]);
    return peer !== undefined;
  }

  shout(group: string, content: readonly Buffer[]): number {
    const members = this.#groups.get(group) ?? new Set();
    for (const uuid of members) {
      const peer = this.#peers.get(uuid);
      if (peer !== undefined) this.#send(peer, (sequence) => [encodeShout(sequence, group), ...content]);
    }
    return members.size;
  }

  #joined(peer: ZyrePeer, group: string): void {
    const members = this.#groups.get(group) ?? new Set();
    this.#groups.set(group, members);
    members.add(peer.uuid);
    peer.status = (peer.status + 1) & 0xff;
    this.effects.event({ type: "join", peer: viewOf(peer), group });
  }

  #require(now: number, uuid: string, endpoint: string): ZyrePeer {
    const known = this.#peers.get(uuid);
    if (known !== undefined) return known;
    for (const other of this.#peers.values()) {
      if (other.endpoint !== endpoint || !other.connected) continue;
      this.effects.disconnect(other.uuid);
      other.connected = false;
      other.ready = false;
    }
    this.effects.connect(uuid, endpoint);
    const peer: ZyrePeer = {
      uuid,
      endpoint,
      connected: true,
      ready: false,
      sent: 0,
      wanted: 0,
      status: 0,
      evasiveAt: 0,
      expiredAt: 0,
    };
    this.#peers.set(uuid, peer);
    this.#send(peer, (sequence) => [
      encodeHello(sequence, {
        endpoint: `tcp://${this.node.address}:${this.node.port}`,
        groups: [...this.#own],
        status: this.#status,
        name: this.node.uuid.slice(0, 6),
        headers: {},
      }),
    ]);
    this.#refresh(now, peer);
    return peer;
  }

  #refresh(now: number, peer: ZyrePeer): void {
    peer.evasiveAt = now + 5_000;
    peer.expiredAt = now + 30_000;
  }

  #send(peer: ZyrePeer, encode: (sequence: number) => readonly Buffer[]): void {
    if (!peer.connected) return;
    peer.sent = (peer.sent + 1) & 0xffff;
    this.effects.send(peer.uuid, encode(peer.sent));
  }

  /** zyre shows the exit of a peer that never entered, too; the world asks only for the others. */
  #remove(peer: ZyrePeer): void {
    this.#peers.delete(peer.uuid);
    for (const members of this.#groups.values()) members.delete(peer.uuid);
    this.effects.disconnect(peer.uuid);
    if (this.node.shown.has(peer.uuid))
      this.effects.event({ type: "exit", peer: viewOf(peer), reason: "expired" });
  }
}

function viewOf(peer: ZyrePeer) {
  const { uuid, endpoint } = peer;
  return { uuid, name: uuid.slice(0, 6), endpoint, headers: {}, groups: [], evasive: false };
}
