/** A node on the ZRE plane: beacons, one ROUTER that receives, and a DEALER for each peer. The rules are in rules.ts. */

import { MAX_ZRE_FRAMES, MAX_ZRE_GROUP, MAX_ZRE_GROUPS, MAX_ZRE_PENDING } from "../cluster/bounds.js";
import { createId, isId } from "../cluster/identity.js";
import { InterfaceWatch } from "../cluster/interface-watch.js";
import { bindFree, parsePorts } from "../cluster/ports.js";
import { describe } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { DriverTimer } from "../core/driver-timer.js";
import { InvalidArgumentError, InvalidStateError, UnroutableError } from "../core/errors.js";
import type { EventNames } from "../core/event-stream.js";
import { type HostInterface, type Platform, platformNow } from "../engine/zmtp/transport/transports.js";
import { Driver } from "../patterns/kit/driver.js";
import { anything, bytes, checkOptions, integer, type Settings, text } from "../patterns/kit/options.js";
import { RouterReader } from "../patterns/kit/router-reader.js";
import { Context } from "../sockets/context.js";
import { deliverNow, listen, type SocketEvent } from "../sockets/internal.js";
import { Dealer, Router } from "../sockets/request-reply.js";
import { allOrFirstError, type BeaconNetwork, BeaconSockets, beaconNetwork } from "./beacon.js";
import { encodeBeacon, helloFault, identityOf, textFault, uuidOf, type ZreJunk } from "./codec.js";
import type { ZreEvent, ZrePeer } from "./events.js";
import { type ZreEffects, type ZreRefusal, ZreRules } from "./rules.js";

/** IANA's port of ZRE-DISC. */
const BEACON_PORT = 5_670;
/** Beacons that say that the node leaves: a broadcast may be lost, and a second one does nothing. */
const FAREWELLS = 3;
/** Messages read between two turns. */
const BATCH = 256;
/** ms until an attempt to reach a mailbox is given up, between two attempts, and at most. */
const CONNECT_TIMEOUT = 3_000;
const RECONNECT = 100;
const LONGEST_RECONNECT = 2_000;
/** Bytes that a peer may send to a DEALER of this node: nothing is expected there. */
const MAX_STRAY = 1_024;
/** What a mailbox's endpoint looks like; nothing else is dialled, whatever a HELLO says. */
const ENDPOINT = /^tcp:\/\/([A-Za-z0-9._-]{1,230}):(\d{1,5})$/;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

const OPTIONS = {
  name: text(),
  uuid: text(),
  headers: anything<Readonly<Record<string, string>>>(),
  interface: text(),
  port: integer({ default: BEACON_PORT, max: 65_535 }),
  ports: anything<string>(),
  interval: integer({ default: 1_000, min: 10 }),
  evasive: integer({ default: 5_000, min: 10 }),
  expired: integer({ default: 30_000, min: 10 }),
  maxPeers: integer({ default: 100, max: 1_000 }),
  maxMessageSize: bytes({ default: 1_048_576, min: 1_024 }),
  maxQueue: integer({ default: 3_000 }),
  maxQueueBytes: bytes({ default: 16_777_216, min: 1_024 }),
};

/** How a node on the ZRE plane runs. Times are in ms. */
export interface ZreOptions {
  /** Shown to programs; two peers may have the same. At most 255 bytes. Default: the first 6 digits of the uuid. */
  readonly name?: string | undefined;
  /** 32 lower-case hex digits. Default: random. */
  readonly uuid?: string | undefined;
  /** What the node says of itself; at most 64, of at most 32,768 bytes. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Name or IPv4 address. Default: the first that is not the loopback interface. */
  readonly interface?: string | undefined;
  /** UDP port of the beacons. Default 5670. */
  readonly port?: number | undefined;
  /** "FIRST-LAST": the TCP ports that its mailbox takes the first free one of. Default: by the system. */
  readonly ports?: string | undefined;
  /** Between two beacons. Default 1,000. */
  readonly interval?: number | undefined;
  /** Of silence until a peer is asked. Default 5,000. */
  readonly evasive?: number | undefined;
  /** Of silence until a peer is gone. Default 30,000. */
  readonly expired?: number | undefined;
  /** A mesh ends at about 100; a further peer is refused. Default 100. */
  readonly maxPeers?: number | undefined;
  /** Bytes of a frame that a peer may send; a larger one ends its connection. Default 1 MiB. */
  readonly maxMessageSize?: number | undefined;
  /** Messages that wait for one peer; past them it is dropped. Default 3,000. */
  readonly maxQueue?: number | undefined;
  /** The same in bytes. Default 16 MiB. */
  readonly maxQueueBytes?: number | undefined;
}

/** A node's statistics. */
export interface ZreStats {
  readonly peers: number;
  /** Peers that were heard of and have not said HELLO. */
  readonly pending: number;
  readonly beaconsSent: number;
  readonly beaconsReceived: number;
  /** Beacons that the system did not send. */
  readonly beaconsFailed: number;
  /** Beacons from outside the interface's network, which are dropped. */
  readonly beaconsOutside: number;
  /** What was not a beacon or a command, by reason. */
  readonly junk: Readonly<Record<ZreJunk, number>>;
  /** What was refused or ignored, by reason. */
  readonly refused: Readonly<Record<ZreRefusal, number>>;
}

const EVENTS: EventNames<ZreEvent> = {
  enter: true,
  exit: true,
  join: true,
  leave: true,
  evasive: true,
  whisper: true,
  shout: true,
};

/** What is open on one network. */
interface OpenPlane {
  readonly network: BeaconNetwork;
  readonly router: Router;
  readonly beacons: BeaconSockets;
  readonly endpoint: string;
}

/** What holds while it runs. */
interface Running {
  readonly network: BeaconNetwork;
  readonly rules: ZreRules;
  readonly router: Router;
  readonly reader: RouterReader;
  readonly beacons: BeaconSockets;
  readonly timer: DriverTimer;
}

/**
 * A node among those of zyre, by 36/ZRE version 2: it finds peers on the local network, whispers to one and shouts to groups.
 * Nothing is authenticated or encrypted.
 *
 * @example
 * ```ts no-run
 * import { ZrePlane } from "shoal/cluster";
 *
 * const plane = new ZrePlane({ interface: "eth0" });
 * plane.events.on("shout", ({ group }) => console.log(group));
 * await plane.start();
 * plane.join("chat");
 * plane.shout("chat", "hello");
 * ```
 */
export class ZrePlane extends Driver<ZreEvent, ZreStats> {
  readonly uuid: string;
  readonly name: string;
  readonly #settings: Settings<typeof OPTIONS>;
  /** Of its own: a socket for each peer would use up those of the program's. */
  readonly #context: Context;
  readonly #mailboxes = new Map<string, Dealer>();
  /** Mailboxes that stood at least once: what waits in others leads nowhere. */
  readonly #reached = new WeakSet<Dealer>();
  /** Where the connections to the ROUTER come from, by the uuid of the peer. */
  readonly #origins = new Map<string, string>();
  #endpoint = "";
  #headers: Readonly<Record<string, string>>;
  #platform: Platform | undefined = undefined;
  #watch: InterfaceWatch<readonly HostInterface[]> | undefined = undefined;
  /** Going to another network. */
  #moving: Promise<void> | undefined = undefined;
  /** Whether its peers have other headers than it has now. */
  #isOutdated = false;
  #running: Running | undefined;
  #starting: Promise<void> | undefined;
  /** Groups that were joined before the start. */
  readonly #joined = new Set<string>();
  #events: ZreEvent[] = [];
  #emitting = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: ZreOptions = {}) {
    const settings = checkOptions("ZrePlane", OPTIONS, options);
    super("ZrePlane", EVENTS);
    const { uuid = createId(), headers = {} } = settings;
    if (!isId(uuid))
      throw new InvalidArgumentError(`uuid is 32 lower-case hex digits; got ${describe(uuid)}`);
    if (typeof headers !== "object" || headers === null || Array.isArray(headers))
      throw new InvalidArgumentError(`headers is an object of texts; got ${describe(headers)}`);
    if (settings.ports !== undefined) parsePorts(settings.ports);
    this.uuid = uuid;
    this.#context = new Context({ maxSockets: 2 * (settings.maxPeers + MAX_ZRE_PENDING) });
    this.name = settings.name ?? uuid.slice(0, 6).toUpperCase();
    const fault = helloFault(this.name, headers);
    if (fault !== undefined) throw new InvalidArgumentError(`ZrePlane: ${fault}`);
    this.#settings = Object.freeze(settings);
    this.#headers = { ...headers };
  }

  /** Of its mailbox, `tcp://HOST:PORT`; empty before the start. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** The groups that it is in. */
  get groups(): readonly string[] {
    return this.#running?.rules.groups ?? [...this.#joined];
  }

  /**
   * Opens the mailbox and begins to send beacons. Starting twice is starting once.
   *
   * @throws InvalidArgumentError `EINVAL` for an unknown interface
   * @throws TransportError `EADDRINUSE` where another program keeps the port of the beacons to itself; ClosedError `EBADF`
   */
  start(): Promise<void> {
    this.#starting ??= this.run(() => this.#start());
    return this.#starting;
  }

  async #start(): Promise<void> {
    this.assertOpen();
    const platform = platformNow();
    this.#platform = platform;
    const read = (): readonly HostInterface[] => platform.interfaces();
    const opened = await this.#open(beaconNetwork(read(), this.#settings.interface));
    this.#begin(opened);
    this.#watch = new InterfaceWatch(read, (interfaces) => this.#onInterfaces(interfaces));
    this.#watch.start();
  }

  async #open(network: BeaconNetwork): Promise<OpenPlane> {
    const { port, ports, maxPeers, maxMessageSize } = this.#settings;
    const router = new Router({
      context: this.#context,
      // As zyre: a peer that comes again has its routing id at once, and what its old connection left is dropped.
      handover: true,
      linger: 0,
      maxMessageSize,
      maxConnections: 4 * maxPeers + 64,
    });
    const beacons = new BeaconSockets(network, port, (bytes, address) => {
      // Not while another network is about to take the place of the one before.
      if (this.#running?.beacons === beacons) this.#run((rules, now) => rules.onBeacon(now, bytes, address));
    });
    try {
      const range = ports === undefined ? undefined : parsePorts(ports);
      const mailbox = bindFree(0, range, (wanted) =>
        router.bind(`tcp://${network.address}:${wanted === 0 ? "*" : wanted}`),
      );
      await allOrFirstError([mailbox, beacons.open()]);
      this.assertOpen();
      return { network, router, beacons, endpoint: await mailbox };
    } catch (error) {
      await Promise.all([router.close({ linger: 0 }), beacons.close()]);
      throw error;
    }
  }

  /**
   * Its interface may come up, or get another address. A host without a network but loopback keeps the one that it had: it may have
   * it again.
   */
  #onInterfaces(interfaces: readonly HostInterface[]): void {
    const network = this.#running?.network;
    if (network === undefined || this.closed) return;
    let found: BeaconNetwork;
    try {
      found = beaconNetwork(interfaces, this.#settings.interface);
    } catch {
      return; // It is gone for now.
    }
    const isSame = found.address === network.address && found.broadcast === network.broadcast;
    const isBetter = !isSame && (network.internal || !found.internal);
    if (isBetter || this.#isOutdated) this.#move();
  }

  /** @internal Its peers get other headers, which a HELLO alone has: they leave and enter. */
  setHeaders(headers: Readonly<Record<string, string>>): void {
    this.#headers = { ...headers };
    this.#isOutdated = this.#running !== undefined;
    if (this.#isOutdated && !this.closed) this.#move();
  }

  /** Another mailbox, and beacons from there. What fails is tried again with the next look at the interfaces. */
  #move(): void {
    this.#moving ??= this.#moveNow()
      .catch(() => undefined) // It stays where it is.
      .finally(() => {
        this.#moving = undefined;
      });
  }

  async #moveNow(): Promise<void> {
    const before = this.#started();
    const platform = this.#platform as Platform;
    const opened = await this.#open(beaconNetwork(platform.interfaces(), this.#settings.interface));
    // The others take this node's next beacon for that of a peer which they do not know.
    await before.beacons.send(encodeBeacon(this.uuid, 0));
    before.timer.stop();
    before.reader.stop();
    for (const group of before.rules.groups) this.#joined.add(group);
    before.rules.end();
    this.#origins.clear();
    this.#begin(opened);
    this.#emit();
    await Promise.all([before.router.close({ linger: 0 }), before.beacons.close()]);
  }

  #begin({ network, router, beacons, endpoint }: OpenPlane): void {
    const { interval, evasive, expired, maxPeers } = this.#settings;
    const timer = new DriverTimer(interval);
    const { uuid, name } = this;
    const headers = this.#headers;
    this.#isOutdated = false;
    this.#endpoint = endpoint;
    const beacon = encodeBeacon(uuid, Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)));
    const effects: ZreEffects = {
      connect: (peer, at) => this.#connect(peer, at),
      send: (peer, frames) => {
        const mailbox = this.#mailboxes.get(peer);
        return mailbox !== undefined && deliverNow(mailbox, frames as Buffer[]) === "sent";
      },
      disconnect: (peer) => this.#disconnect(peer),
      beacon: () => void beacons.send(beacon),
      event: (event) => void this.#events.push(event),
    };
    const rules = new ZreRules(
      { uuid, name, endpoint, headers, interval, evasive, expired, maxPeers },
      effects,
      timer.now(),
    );
    listen(router, (event) => this.#routerOnEvent(event));
    const reader = new RouterReader(router, {
      room: () => BATCH,
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
    this.#running = { network, rules, router, reader, beacons, timer };
    // The first beacon leaves now, not in a turn to come: the others meet this node by it.
    rules.tick(timer.now());
    timer.start({
      nextWakeUp: () => rules.nextWakeUp(),
      tick: (now) => {
        rules.tick(now);
        this.#emit();
      },
    });
  }

  // --- Groups, whispers, shouts --------------------------------------------------------------------------------------

  /**
   * Joins a group: its shouts are events from now on, or from the start. Joining twice is joining once.
   *
   * @param group 1 to 255 bytes
   * @throws InvalidArgumentError `EINVAL` for another name, or for more than 256 groups; ClosedError `EBADF`
   */
  join(group: string): void {
    this.assertOpen();
    checkJoin(this.groups, group);
    if (this.#running === undefined) this.#joined.add(group);
    else this.#run((rules) => rules.join(group));
  }

  /** Leaves a group. @throws as `join` */
  leave(group: string): void {
    this.assertOpen();
    checkGroup(group);
    if (this.#running === undefined) this.#joined.delete(group);
    else this.#run((rules) => rules.leave(group));
  }

  /**
   * Sends a message to one peer. It never waits: a peer that takes what is sent to it too slowly is dropped (`exit`, `full`).
   *
   * @param peer uuid, or name where one peer alone has it
   * @param frames at most 1,024; bytes are not to be changed afterwards
   * @throws UnroutableError `EHOSTUNREACH` where there is no such peer, several have the name, or it was dropped
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` before the start; ClosedError `EBADF`
   */
  whisper(peer: string, ...frames: (string | Uint8Array)[]): void {
    const { rules } = this.#started();
    const content = contentOf(frames);
    const { uuid } = this.#one(peer);
    if (!this.#run(() => rules.whisper(uuid, content)))
      throw new UnroutableError(`the queue of ZRE peer ${peer} was full: it is dropped`);
  }

  /**
   * Sends a message to the peers in a group, whether this node is in it or not; not to itself.
   *
   * @param frames at most 1,024; bytes are not to be changed afterwards
   * @returns to how many peers
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` before the start; ClosedError `EBADF`
   */
  shout(group: string, ...frames: (string | Uint8Array)[]): number {
    const { rules } = this.#started();
    checkGroup(group);
    const content = contentOf(frames);
    return this.#run(() => rules.shout(group, content));
  }

  /** The peers that entered and have not left, evasive ones included. */
  peers(): ZrePeer[] {
    return this.#running?.rules.peers() ?? [];
  }

  /** The peer of a uuid, or of a name that one peer alone has; `undefined` where there is none. */
  peer(uuidOrName: string): ZrePeer | undefined {
    const found = this.#running?.rules.find(uuidOrName) ?? [];
    return found.length === 1 ? found[0] : undefined;
  }

  stats(): ZreStats {
    const rules = this.#running?.rules;
    const { sent = 0, received = 0, failed = 0, outside = 0 } = this.#running?.beacons.counters ?? {};
    return {
      peers: rules?.readyPeers ?? 0,
      pending: rules?.pendingPeers ?? 0,
      beaconsSent: sent,
      beaconsReceived: received,
      beaconsFailed: failed,
      beaconsOutside: outside,
      junk: { ...rules?.junk } as Record<ZreJunk, number>,
      refused: { ...rules?.refused } as Record<ZreRefusal, number>,
    };
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** @internal What waits leaves first; a peer that is sent the last beacon listens no more. */
  protected override async onClose(linger: number): Promise<void> {
    await this.#starting?.catch(() => undefined); // The caller of start() has the error.
    this.#watch?.stop();
    await this.#moving;
    const running = this.#running;
    if (running === undefined) return;
    const { router, reader, beacons, timer } = running;
    timer.stop();
    reader.stop();
    const mailboxes = [...this.#mailboxes.values()];
    this.#mailboxes.clear();
    await Promise.all(
      mailboxes.map((mailbox) => mailbox.close({ linger: this.#reached.has(mailbox) ? linger : 0 })),
    );
    const farewell = encodeBeacon(this.uuid, 0);
    for (let i = 0; i < FAREWELLS; i++) await beacons.send(farewell);
    await Promise.all([router.close({ linger: 0 }), beacons.close()]);
    this.#running = undefined;
  }

  // --- Inside --------------------------------------------------------------------------------------------------------

  #started(): Running {
    this.assertOpen();
    if (this.#running === undefined) throw new InvalidStateError("EFSM", "ZrePlane was not started");
    return this.#running;
  }

  #one(uuidOrName: string): ZrePeer {
    if (typeof uuidOrName !== "string")
      throw new InvalidArgumentError(`a ZRE peer is a uuid or a name; got ${describe(uuidOrName)}`);
    const found = this.#running?.rules.find(uuidOrName) ?? [];
    const [first] = found;
    if (first !== undefined && found.length === 1) return first;
    const shown = JSON.stringify(uuidOrName.slice(0, 255));
    throw new UnroutableError(
      found.length === 0 ? `no ZRE peer is ${shown}` : `${found.length} ZRE peers are called ${shown}`,
    );
  }

  /** Calls the rules, and reports what they decided when they are done: a listener may call this node. */
  #run<T>(call: (rules: ZreRules, now: number) => T): T {
    const running = this.#running;
    if (running === undefined) return undefined as T;
    const result = call(running.rules, running.timer.now());
    running.timer.update();
    this.#emit();
    return result;
  }

  #emit(): void {
    if (this.#emitting || this.#events.length === 0) return;
    this.#emitting = true;
    try {
      while (this.#events.length > 0) {
        const events = this.#events;
        this.#events = [];
        for (const event of events) this.events.emit(event);
      }
    } finally {
      this.#emitting = false;
    }
  }

  #connect(uuid: string, endpoint: string): boolean {
    // Beacons come while it closes, until the farewells are sent: nobody would close a mailbox that one of them opened.
    if (this.closed) return false;
    const [, host = "", port = "0"] = ENDPOINT.exec(endpoint) ?? [];
    // A peer's name is never looked up: its connection says where it is, as the beacon of another one does.
    const address = IPV4.test(host) ? host : (this.#origins.get(uuid) ?? "");
    if (address === "" || Number(port) < 1 || Number(port) > 65_535) return false;
    const { maxQueue, maxQueueBytes } = this.#settings;
    let mailbox: Dealer | undefined;
    try {
      mailbox = new Dealer({
        context: this.#context,
        routingId: identityOf(this.uuid),
        linger: 0,
        sendHighWaterMark: maxQueue,
        sendHighWaterMarkBytes: maxQueueBytes,
        maxMessageSize: MAX_STRAY,
        receiveHighWaterMark: 1,
        receiveHighWaterMarkBytes: MAX_STRAY,
        connectTimeout: CONNECT_TIMEOUT,
        reconnectInterval: RECONNECT,
        reconnectMaxInterval: LONGEST_RECONNECT,
      });
      mailbox.connect(`tcp://${address}:${port}`);
    } catch {
      // More sockets than the context has, while many that went still close; or an endpoint that is invalid after all.
      void mailbox?.close();
      return false;
    }
    const opened = mailbox;
    listen(opened, (event) => this.#mailboxOnEvent(uuid, opened, event));
    this.#mailboxes.set(uuid, opened);
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
    if (event.type !== "peer:join" && event.type !== "peer:leave") return;
    const uuid = event.routingId === undefined ? undefined : uuidOf(event.routingId);
    if (uuid === undefined) return;
    const [, host] = /^tcp:\/\/([\d.]+):\d+$/.exec(event.address) ?? [];
    if (event.type === "peer:join" && host !== undefined) this.#origins.set(uuid, host);
    else if (this.#origins.get(uuid) === host) this.#origins.delete(uuid);
  }
}

/** @throws InvalidArgumentError `EINVAL` for what is not the name of a group: 1 to 255 bytes, without NUL */
export function checkGroup(group: unknown): asserts group is string {
  const fault = textFault(group, MAX_ZRE_GROUP, 1);
  if (fault !== undefined) throw new InvalidArgumentError(`group ${fault}`);
}

/** @throws InvalidArgumentError `EINVAL` for what is not a group, and for one more than a node may be in */
export function checkJoin(groups: readonly string[], group: unknown): asserts group is string {
  checkGroup(group);
  if (groups.length >= MAX_ZRE_GROUPS && !groups.includes(group))
    throw new InvalidArgumentError(`a node is in ${MAX_ZRE_GROUPS} groups at most`);
}

function contentOf(frames: readonly unknown[]): Buffer[] {
  if (frames.length > MAX_ZRE_FRAMES)
    throw new InvalidArgumentError(`a message has ${MAX_ZRE_FRAMES} frames at most; got ${frames.length}`);
  return frames.map((frame) => {
    if (typeof frame === "string") return Buffer.from(frame);
    if (isBytes(frame)) return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    throw new InvalidArgumentError(`a frame is a text or bytes; got ${describe(frame)}`);
  });
}
