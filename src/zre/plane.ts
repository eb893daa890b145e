/** A node on the ZRE plane: beacons, a receiving ROUTER, and a DEALER per peer (rules.ts). */

import { LatestMap } from "../cluster/bounds.js";
import { bindFree, checkPorts } from "../cluster/ports.js";
import { invalidArgument } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { ClosedError, InvalidArgumentError, InvalidStateError, UnroutableError } from "../core/errors.js";
import { EventStream } from "../core/event-stream.js";
import { DriverTimer } from "../core/timers.js";
import { platformNow } from "../engine/zmtp/transport/transports.js";
import { anything, bytes, checkOptions, type Given, integer, text } from "../kit/options.js";
import { RouterReader } from "../kit/router-reader.js";
import { connected } from "../kit/sockets.js";
import { Context } from "../sockets/context.js";
import { deliverNow, listen, type SocketEvent } from "../sockets/internal.js";
import { Dealer, Router } from "../sockets/request-reply.js";
import { CORE } from "../sockets/socket.js";
import { BeaconSockets, beaconNetwork } from "./beacon.js";
import {
  encodeBeacon,
  helloFault,
  identityOf,
  MAX_FRAMES,
  MAX_GROUP,
  MAX_GROUPS,
  textFault,
  uuidOf,
} from "./codec.js";
import { MAX_PENDING, ZRE_EVENTS, type ZreEffects, type ZreEvent, type ZrePeer, ZreRules } from "./rules.js";

/** Bytes from a peer to a DEALER of this node, which expects none. */
const MAX_STRAY = 1_024;
/** No other endpoints of a HELLO are dialled. */
const ENDPOINT = /^tcp:\/\/([A-Za-z0-9._-]{1,230}):(\d{1,5})$/;

const OPTIONS = {
  /** Details for peers: at most 64, of at most 32,768 bytes. */
  headers: anything<Readonly<Record<string, string>>>(),
  /** Name or IPv4 address. Default: the first interface except loopback. */
  interface: text(),
  /** UDP port of the beacons. Default 5670. */
  port: integer({ default: 5_670, max: 65_535 }),
  /** TCP ports, "FIRST-LAST", of which the mailbox takes the first free one. Default: the system's choice. */
  ports: anything<string>(),
  /** Time between beacons. Default 1,000. */
  interval: integer({ default: 1_000, min: 10 }),
  /** Silence before a peer gets a PING. Default 5,000. */
  evasive: integer({ default: 5_000, min: 10 }),
  /** Silence before a peer is removed. Default 30,000. */
  expired: integer({ default: 30_000, min: 10 }),
  /** Further peers are refused; a full mesh is costly past about 100. Default 100. */
  maxPeers: integer({ default: 100, max: 1_000 }),
  /** Most bytes of a received message, all frames together; a larger one ends the connection. Default 1 MiB. */
  maxMessageSize: bytes({ default: 1_048_576, min: 1_024 }),
  /** Messages queued for a peer before it is removed. Default 3,000. */
  maxQueue: integer({ default: 3_000 }),
  /** Their bytes. Default 16 MiB. */
  maxQueueBytes: bytes({ default: 16_777_216, min: 1_024 }),
};

/** Options of a node's ZRE plane; times in ms. */
export type ZreNodeOptions = Given<typeof OPTIONS>;

export type ZreSettings = ReturnType<typeof zreSettings>;

/** @throws InvalidArgumentError `EINVAL` */
export function zreSettings(options: ZreNodeOptions) {
  const settings = checkOptions("zre", OPTIONS, options);
  const { headers = {}, ports } = settings;
  if (typeof headers !== "object" || headers === null || Array.isArray(headers))
    throw invalidArgument("headers must be an object of texts", headers);
  return Object.freeze({ ...settings, headers, ports: checkPorts(ports) });
}

interface Running {
  readonly router: Router;
  readonly beacons: BeaconSockets;
  readonly endpoint: string;
  readonly rules: ZreRules;
  readonly reader: RouterReader;
  readonly timer: DriverTimer;
}

export interface ZreIdentity {
  /** 32 lower-case hex digits. */
  readonly uuid: string;
  /** Need not be unique. */
  readonly name: string;
}

/**
 * A peer of zyre (36/ZRE version 2): finds peers on the local network, whispers to one and shouts to groups; without
 * authentication and encryption. Events of a call follow it.
 */
export class ZrePlane {
  readonly uuid: string;
  readonly name: string;
  readonly events = new EventStream<ZreEvent>({ names: ZRE_EVENTS });
  readonly #settings: ZreSettings;
  /** Of what was dropped, by its reason. */
  readonly #count: (reason: string) => void;
  /** Separate, so that peers' sockets do not count for the program's. */
  readonly #context: Context;
  readonly #mailboxes = new Map<string, Dealer>();
  /** Connected at some time; others' queues are dropped at closing. */
  readonly #reached = new WeakSet<Dealer>();
  /** Addresses that peers' connections came from, by uuid. */
  readonly #origins = new LatestMap<string, string>(1_024);
  /** Of the connection whose peer joins next. */
  #origin = "";
  #running: Running | undefined;
  #starting: Promise<void> | undefined;
  readonly #joined = new Set<string>();
  readonly #pending: ZreEvent[] = [];
  #emitting = false;
  #closed = false;

  /** @internal @throws InvalidArgumentError `EINVAL` for a name or headers that do not fit in a HELLO */
  constructor(settings: ZreSettings, { uuid, name }: ZreIdentity, count: (reason: string) => void) {
    this.uuid = uuid;
    this.name = name;
    this.#settings = settings;
    this.#count = count;
    this.#context = new Context({ maxSockets: 2 * (settings.maxPeers + MAX_PENDING) });
    const fault = helloFault(name, settings.headers);
    if (fault !== undefined) throw new InvalidArgumentError(`zre: ${fault}`);
  }

  /** @internal Endpoint of its mailbox; "" before the start, and after the close. */
  get endpoint(): string {
    return this.#running?.endpoint ?? "";
  }

  /** Joined groups. */
  get groups(): readonly string[] {
    return this.#running?.rules.groups ?? [...this.#joined];
  }

  /**
   * @internal Opens the mailbox and sends beacons. To be called once.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown interface
   * @throws TransportError `EADDRINUSE` if another program has the beacons' port exclusively; ClosedError `EBADF`
   */
  start(): Promise<void> {
    this.#starting = this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    const { port, ports, maxPeers, maxMessageSize } = this.#settings;
    const network = beaconNetwork(platformNow().interfaces(), this.#settings.interface);
    const router = new Router({
      context: this.#context,
      // A reconnecting peer takes its routing id over, and its old connection's queue is dropped, as in zyre.
      handover: true,
      linger: 0,
      maxMessageSize,
      maxConnections: 4 * maxPeers + 64,
    });
    router[CORE].engine.policing?.police({
      joins: ({ address }) => {
        this.#origin = address;
        return true;
      },
    });
    const onBeacon = (bytes: Buffer, address: string): void => {
      this.#run((rules, now) => rules.onBeacon(now, bytes, address));
    };
    const beacons = new BeaconSockets(network, port, onBeacon, this.#count);
    try {
      const endpoint = await bindFree(0, ports, (wanted) =>
        router.bind(`tcp://${network.address}:${wanted === 0 ? "*" : wanted}`),
      );
      await beacons.open();
      this.#assertOpen();
      this.#begin({ router, beacons, endpoint });
    } catch (error) {
      await Promise.all([router.close({ linger: 0 }), beacons.close()]);
      throw error;
    }
  }

  #begin(opened: Pick<Running, "router" | "beacons" | "endpoint">): void {
    const { router, beacons, endpoint } = opened;
    const { headers, interval, evasive, expired, maxPeers } = this.#settings;
    const timer = new DriverTimer(interval);
    const { uuid, name } = this;
    const beacon = encodeBeacon(uuid, Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)));
    const effects: ZreEffects = {
      connect: (peer, at) => this.#connect(peer, at),
      send: (peer, frames) => {
        const mailbox = this.#mailboxes.get(peer);
        return mailbox !== undefined && deliverNow(mailbox, frames as Buffer[]) === "sent";
      },
      disconnect: (peer) => this.#disconnect(peer),
      beacon: () => void beacons.send(beacon),
      event: (event) => void this.#pending.push(event),
      count: this.#count,
    };
    const rules = new ZreRules(
      { uuid, name, endpoint, headers, interval, evasive, expired, maxPeers },
      effects,
      timer.now(),
    );
    listen(router, (event) => this.#routerOnEvent(event));
    const reader = new RouterReader(router, {
      room: () => 256,
      message: (frames) => rules.onMessage(timer.now(), frames),
      left: (routingId) => {
        const from = uuidOf(routingId);
        if (from !== undefined) rules.onDrained(from);
      },
      afterBatch: () => {
        timer.update();
        this.#emit();
      },
    });
    for (const group of this.#joined) rules.join(group);
    this.#joined.clear();
    this.#running = { ...opened, rules, reader, timer };
    rules.tick(timer.now());
    timer.start({
      nextWakeUp: () => rules.nextWakeUp(),
      tick: (now) => {
        rules.tick(now);
        this.#emit();
      },
    });
  }

  /**
   * Joins a group, whose shouts become events.
   *
   * @param group 1 to 255 bytes
   * @throws InvalidArgumentError `EINVAL` for an invalid name, or past 256 groups; ClosedError `EBADF`
   */
  join(group: string): void {
    this.#assertOpen();
    checkGroup(group);
    if (this.groups.length >= MAX_GROUPS && !this.groups.includes(group))
      throw new InvalidArgumentError(`a node can join at most ${MAX_GROUPS} groups`);
    if (this.#running === undefined) this.#joined.add(group);
    else this.#run((rules) => rules.join(group));
  }

  /** @throws as `join` */
  leave(group: string): void {
    this.#assertOpen();
    checkGroup(group);
    if (this.#running === undefined) this.#joined.delete(group);
    else this.#run((rules) => rules.leave(group));
  }

  /**
   * Sends to one peer without waiting. A peer with a full queue is removed (`exit`, `full`).
   *
   * @param peer uuid, or unique name
   * @param frames at most 1,024; the bytes must not change afterwards
   * @throws UnroutableError `EHOSTUNREACH` for an unknown peer, an ambiguous name, or a removed peer
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` before the start; ClosedError `EBADF`
   */
  whisper(peer: string, ...frames: (string | Uint8Array)[]): void {
    const { rules } = this.#started();
    const content = contentOf(frames);
    const { uuid } = this.#one(peer);
    if (!this.#run(() => rules.whisper(uuid, content)))
      throw new UnroutableError(`the queue of ZRE peer ${peer} was full, so the peer was removed`);
  }

  /**
   * Sends to the other peers in a group, which need not include the node.
   *
   * @param frames as of `whisper`
   * @returns the number of peers
   * @throws as `whisper`, except UnroutableError
   */
  shout(group: string, ...frames: (string | Uint8Array)[]): number {
    const { rules } = this.#started();
    checkGroup(group);
    const content = contentOf(frames);
    return this.#run(() => rules.shout(group, content));
  }

  /** Peers that said HELLO. Nothing proves what they say. */
  peers(): ZrePeer[] {
    return this.#running?.rules.peers() ?? [];
  }

  /** @returns `undefined` unless exactly one peer matches @throws InvalidArgumentError `EINVAL` unless a text */
  peer(uuidOrName: string): ZrePeer | undefined {
    const found = this.#find(uuidOrName);
    return found.length === 1 ? found[0] : undefined;
  }

  /**
   * @internal Sends queues first, since peers stop listening after the last beacon. To be called once.
   *
   * @param linger ms for the queues; -1: no limit
   */
  async close(linger: number): Promise<void> {
    this.#closed = true;
    await this.#starting?.catch(() => undefined); // The caller of start() has the error.
    if (this.#running !== undefined) await this.#end(this.#running, linger);
    this.events.close();
  }

  async #end({ router, reader, beacons, timer }: Running, linger: number): Promise<void> {
    timer.stop();
    reader.stop();
    const mailboxes = [...this.#mailboxes.values()];
    this.#mailboxes.clear();
    await Promise.all(
      mailboxes.map((mailbox) => mailbox.close({ linger: this.#reached.has(mailbox) ? linger : 0 })),
    );
    const leaving = encodeBeacon(this.uuid, 0);
    // Broadcasts can be lost.
    for (let i = 0; i < 3; i++) await beacons.send(leaving);
    await Promise.all([router.close({ linger: 0 }), beacons.close()]);
    this.#running = undefined;
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError("EBADF", "The node is closed");
  }

  #started(): Running {
    this.#assertOpen();
    if (this.#running === undefined) throw new InvalidStateError("EFSM", "the ZRE plane was not started");
    return this.#running;
  }

  #find(uuidOrName: string): ZrePeer[] {
    if (typeof uuidOrName !== "string")
      throw invalidArgument("a ZRE peer must be a uuid or a name", uuidOrName);
    return this.#running?.rules.find(uuidOrName) ?? [];
  }

  #one(uuidOrName: string): ZrePeer {
    const found = this.#find(uuidOrName);
    const [first] = found;
    if (first !== undefined && found.length === 1) return first;
    const shown = JSON.stringify(uuidOrName.slice(0, 255));
    throw new UnroutableError(
      found.length === 0 ? `unknown ZRE peer ${shown}` : `${found.length} ZRE peers are called ${shown}`,
    );
  }

  /** Events follow the call, since a listener may call this node. */
  #run<T>(call: (rules: ZreRules, now: number) => T): T {
    const running = this.#running;
    if (running === undefined) return undefined as T;
    const result = call(running.rules, running.timer.now());
    running.timer.update();
    this.#emit();
    return result;
  }

  /** Includes events added by listeners. */
  #emit(): void {
    if (this.#emitting) return;
    this.#emitting = true;
    for (const event of this.#pending) this.events.emit(event);
    this.#pending.length = 0;
    this.#emitting = false;
  }

  #connect(uuid: string, endpoint: string): boolean {
    // A late beacon must not open a mailbox.
    if (this.#closed) return false;
    const [, host = "", port = "0"] = ENDPOINT.exec(endpoint) ?? [];
    // Host names are not resolved: the peer's connection has its address.
    const address = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host) ? host : (this.#origins.get(uuid) ?? "");
    if (address === "" || Number(port) < 1 || Number(port) > 65_535) return false;
    const { maxQueue, maxQueueBytes } = this.#settings;
    let mailbox: Dealer;
    try {
      const made = new Dealer({
        context: this.#context,
        routingId: identityOf(this.uuid),
        linger: 0,
        sendHighWaterMark: maxQueue,
        sendHighWaterMarkBytes: maxQueueBytes,
        maxMessageSize: MAX_STRAY,
        receiveHighWaterMark: 1,
        receiveHighWaterMarkBytes: MAX_STRAY,
        connectTimeout: 3_000,
        reconnectInterval: 100,
        reconnectMaxInterval: 2_000,
      });
      mailbox = connected(made, `tcp://${address}:${port}`);
    } catch {
      return false; // Too many sockets are still closing, or the endpoint is invalid.
    }
    listen(mailbox, (event) => this.#mailboxOnEvent(uuid, mailbox, event));
    this.#mailboxes.set(uuid, mailbox);
    return true;
  }

  #disconnect(uuid: string): void {
    const mailbox = this.#mailboxes.get(uuid);
    this.#mailboxes.delete(uuid);
    void mailbox?.close({ linger: 0 });
  }

  #mailboxOnEvent(uuid: string, mailbox: Dealer, event: SocketEvent): void {
    if (this.#mailboxes.get(uuid) !== mailbox) return;
    switch (event.type) {
      case "handshake":
        this.#reached.add(mailbox);
        this.#run((rules) => rules.onConnected(uuid));
        break;
      case "disconnect":
        this.#run((rules) => rules.onDisconnected(uuid));
        break;
      case "connect:retry":
        if (event.error?.code === "ECONNREFUSED") this.#run((rules) => rules.onRefused(uuid));
        break;
    }
  }

  #routerOnEvent(event: SocketEvent): void {
    if (event.type !== "peer:join" || event.routingId === undefined) return;
    const uuid = uuidOf(event.routingId);
    if (uuid !== undefined) this.#origins.set(uuid, this.#origin);
  }
}

/** @throws InvalidArgumentError `EINVAL` unless a text of 1 to 255 bytes without NUL */
function checkGroup(group: unknown): asserts group is string {
  const fault = textFault(group, MAX_GROUP, 1);
  if (fault !== undefined) throw new InvalidArgumentError(`group ${fault}`);
}

function contentOf(frames: readonly unknown[]): Buffer[] {
  if (frames.length > MAX_FRAMES)
    throw new InvalidArgumentError(`a message must have at most ${MAX_FRAMES} frames; got ${frames.length}`);
  return frames.map((frame) => {
    if (typeof frame === "string") return Buffer.from(frame);
    try {
      if (isBytes(frame)) return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    } catch (cause) {
      throw new InvalidArgumentError("a frame has memory that was transferred", { cause });
    }
    throw invalidArgument("a frame must be a text or bytes", frame);
  });
}
