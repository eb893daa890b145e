/** zyre for simulations: what it says and shows, over sockets of shoal's and beacons. */

import { platformNow } from "../../src/engine/zmtp/transport/transports.js";
import { Dealer, Router } from "../../src/index.js";
import { BeaconSockets, beaconNetwork } from "../../src/zre/beacon.js";
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
import type { ZreEffects, ZreEvent } from "../../src/zre/rules.js";

/** Starts one on the simulated node whose program this is. @param port of its mailbox @returns it, and what says that it leaves */
export async function startZyre(uuid: string, port: number, show: (event: ZreEvent) => void) {
  const network = beaconNetwork(platformNow().interfaces(), undefined);
  const router = new Router({ handover: true, linger: 0 });
  const endpoint = await router.bind(`tcp://${network.address}:${port}`);
  const mailboxes = new Map<string, Dealer>();
  const beacons = new BeaconSockets(network, 5_670, (bytes, address) =>
    model.onBeacon(performance.now(), bytes, address),
  );
  const model: ZyreModel = new ZyreModel(uuid, endpoint, {
    connect: (peer, at) => {
      const mailbox = new Dealer({ routingId: identityOf(uuid), linger: 0, reconnectInterval: 100 });
      mailbox.connect(at);
      mailboxes.set(peer, mailbox);
      return true;
    },
    send: (peer, frames) => mailboxes.get(peer)?.trySend(frames as Buffer[]) ?? false,
    disconnect: (peer) => {
      void mailboxes.get(peer)?.close({ linger: 0 });
      mailboxes.delete(peer);
    },
    beacon: () => void beacons.send(encodeBeacon(uuid, port)),
    event: show,
  });
  await beacons.open();
  model.tick(performance.now());
  setInterval(() => model.tick(performance.now()), 1_000);
  void (async () => {
    for await (const frames of router) model.onMessage(performance.now(), frames);
  })();
  return { model, leaves: async () => void (await beacons.send(encodeBeacon(uuid, 0))) };
}

class ZyrePeer {
  connected = true;
  ready = false;
  sent = 0;
  wanted = 0;
  status = 0;
  evasiveAt = 0;
  expiredAt = 0;

  constructor(
    readonly uuid: string,
    readonly endpoint: string,
  ) {}
}

/**
 * Does what zyre_node.c does, with zyre_peer.c and zyre_group.c, their assertions included, without elections, gossip and CURVE: it
 * throws where zyre would end its process.
 */
export class ZyreModel {
  readonly #peers = new Map<string, ZyrePeer>();
  readonly #groups = new Map<string, Set<string>>();
  readonly #own = new Set<string>();
  readonly #shown = new Set<string>();
  #status = 0;

  constructor(
    readonly uuid: string,
    readonly endpoint: string,
    readonly effects: Omit<ZreEffects, "count">,
  ) {}

  /** Once a second. */
  tick(now: number): void {
    this.effects.beacon();
    for (const peer of [...this.#peers.values()]) {
      if (now >= peer.expiredAt) this.#remove(peer);
      else if (now >= peer.evasiveAt) this.#send(peer, (sequence) => [encodeBare(ZreCommand.PING, sequence)]);
    }
  }

  onBeacon(now: number, bytes: Buffer, address: string): void {
    const beacon = decodeBeacon(bytes);
    if (typeof beacon === "string" || beacon.uuid === this.uuid) return;
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
    const view = viewOf(peer);
    switch (message.command) {
      case ZreCommand.HELLO:
        this.#shown.add(uuid);
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

  join(group: string): void {
    if (this.#own.has(group)) return;
    this.#own.add(group);
    this.#tell(ZreCommand.JOIN, group);
  }

  leave(group: string): void {
    if (this.#own.delete(group)) this.#tell(ZreCommand.LEAVE, group);
  }

  #tell(command: typeof ZreCommand.JOIN | typeof ZreCommand.LEAVE, group: string): void {
    this.#status = (this.#status + 1) & 0xff;
    for (const peer of this.#peers.values())
      this.#send(peer, (sequence) => [encodeGroup(command, sequence, group, this.#status)]);
  }

  whisper(uuid: string, content: readonly Buffer[]): void {
    const peer = this.#peers.get(uuid);
    if (peer !== undefined)
      this.#send(peer, (sequence) => [encodeBare(ZreCommand.WHISPER, sequence), ...content]);
  }

  shout(group: string, content: readonly Buffer[]): void {
    for (const uuid of this.#groups.get(group) ?? []) {
      const peer = this.#peers.get(uuid);
      if (peer !== undefined) this.#send(peer, (sequence) => [encodeShout(sequence, group), ...content]);
    }
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
    const peer = new ZyrePeer(uuid, endpoint);
    this.#peers.set(uuid, peer);
    this.#send(peer, (sequence) => [
      encodeHello(sequence, {
        endpoint: this.endpoint,
        groups: [...this.#own],
        status: this.#status,
        name: this.uuid.slice(0, 6),
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
    if (this.#shown.delete(peer.uuid))
      this.effects.event({ type: "exit", peer: viewOf(peer), reason: "expired" });
  }
}

function viewOf(peer: ZyrePeer) {
  const { uuid, endpoint } = peer;
  return { uuid, name: uuid.slice(0, 6), endpoint, headers: {}, groups: [], evasive: false };
}
