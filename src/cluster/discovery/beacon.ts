/**
 * Discovery by broadcast or multicast datagrams. A node's address is the datagram's source IP with the
 * beacon's port.
 *
 *   zre     "ZRE" 01 | id 16 | port 2      36/ZRE; port 0: the node leaves
 *   port    port 2                         as in SMQ
 *
 * Beacons are not trusted: a forged one costs a bounded number of unanswered pings. Beacons from other
 * networks are dropped.
 */
import type { Socket } from "node:dgram";
import { isIPv4, isIPv6 } from "node:net";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type HostInterface, type Platform, platformNow } from "../../engine/zmtp/transport/transports.js";
import { bindUdp } from "../../engine/zmtp/transport/udp.js";
import { anything, boolean, checkOptions, integer, text } from "../../patterns/kit/options.js";
import { BeaconSockets, beaconNetwork } from "../../zre/beacon.js";
import { decodeBeacon, encodeBeacon } from "../../zre/codec.js";
import { InterfaceWatch } from "../interface-watch.js";
import { isGroup, readAddress } from "../net/addresses.js";
import { allInterfaces } from "../net/interfaces.js";
import { BeaconRules } from "./beacon-rules.js";
import { AddressFeed, type DiscoverySelf, type DiscoverySource } from "./source.js";

/** Not zyre's 5670: zyre's programs would dial the nodes. */
const BEACON_PORT = 23_773;
const GROUP_PORT = 23_774;
const BEACON_INTERVAL = 5_000;
const MAX_PORTS = 1_024;
const MAX_GROUP_PORTS = 8;
/** Organization-local (RFC 2365). */
const BEACON_GROUP = "239.192.83.73";

export interface BeaconSourceOptions {
  /** UDP port, the same on every node. Default 23,773. */
  readonly port?: number | undefined;
  /** ms between beacons of a lone node; several share that rate. From 100, default 5,000. */
  readonly interval?: number | undefined;
  /** Interface name or address. Default: that of the node's address, else the first that is not loopback. */
  readonly interface?: string | undefined;
}

export interface MulticastSourceOptions {
  /** IPv4, or IPv6 such as "ff02::4d53". Default "239.192.83.73". */
  readonly group?: string | undefined;
  /** At most 8 UDP ports: listens on the first that is free or shared, sends to all. Default `[23774]`. */
  readonly ports?: readonly number[] | undefined;
  /** Multicast TTL, 0 to 255: 0 stays on the host, 1 (default) on the local network. */
  readonly ttl?: number | undefined;
  /** Whether nodes on this host get the beacons. Default `true`. */
  readonly loop?: boolean | undefined;
  /** As in {@link BeaconSourceOptions}. */
  readonly interval?: number | undefined;
  readonly interface?: string | undefined;
}

const interval = integer({ default: BEACON_INTERVAL, min: 100, max: 3_600_000 });
const BEACON_OPTIONS = { port: integer({ default: BEACON_PORT, max: 65_535 }), interval, interface: text() };
const MULTICAST_OPTIONS = {
  group: text(),
  ports: anything<readonly number[]>(),
  ttl: integer({ default: 1, min: 0, max: 255 }),
  loop: boolean(true),
  interval,
  interface: text(),
};

interface Carrier {
  open(): Promise<void>;
  send(bytes: Buffer): Promise<boolean>;
  close(): Promise<void>;
}

interface Place {
  /** The sockets depend on it. */
  readonly key: string;
  readonly carrier: Carrier;
}

/** Follows changes of the interface. */
class MovingCarrier implements Carrier {
  readonly #choose: () => Place;
  readonly #onMoved: () => void;
  readonly #watch: InterfaceWatch<readonly HostInterface[]>;
  #place: Place | undefined = undefined;
  #moving: Promise<void> | undefined = undefined;

  /** @param choose throws if there is no interface */
  constructor(platform: Platform, choose: () => Place, onMoved: () => void) {
    this.#choose = choose;
    this.#onMoved = onMoved;
    this.#watch = new InterfaceWatch(
      () => allInterfaces(platform),
      () => this.#look(),
    );
  }

  async open(): Promise<void> {
    const place = this.#choose();
    await place.carrier.open();
    this.#place = place;
    this.#watch.start();
  }

  async send(bytes: Buffer): Promise<boolean> {
    const isSent = (await this.#place?.carrier.send(bytes)) === true;
    if (!isSent) this.#watch.onSendFailed();
    return isSent;
  }

  async close(): Promise<void> {
    this.#watch.stop();
    await this.#moving;
    await this.#place?.carrier.close();
  }

  #look(): void {
    if (this.#moving !== undefined) return;
    let place: Place | undefined;
    try {
      place = this.#choose();
    } catch {
      place = undefined;
    }
    if (place?.key === this.#place?.key) return;
    this.#moving = this.#move(place).finally(() => {
      this.#moving = undefined;
    });
  }

  async #move(place: Place | undefined): Promise<void> {
    const before = this.#place;
    this.#place = undefined;
    await before?.carrier.close();
    try {
      await place?.carrier.open();
    } catch {
      return; // The next check retries.
    }
    this.#place = place;
    if (place !== undefined) this.#onMoved();
  }
}

interface Form {
  encode(self: DiscoverySelf, port: number): Buffer;
  /** @returns `undefined` if malformed */
  decode(bytes: Buffer): { readonly id: string | undefined; readonly port: number } | undefined;
  /** Whether port 0 announces leaving. */
  readonly leaves: boolean;
}

const ZRE_FORM: Form = {
  encode: ({ id }, port) => encodeBeacon(id, port),
  decode(bytes) {
    const beacon = decodeBeacon(bytes);
    return typeof beacon === "string" ? undefined : { id: beacon.uuid, port: beacon.port };
  },
  leaves: true,
};

const PORT_FORM: Form = {
  encode(_self, port) {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(port);
    return bytes;
  },
  decode: (bytes) =>
    bytes.length === 2 && bytes.readUInt16BE() > 0
      ? { id: undefined, port: bytes.readUInt16BE() }
      : undefined,
  leaves: false,
};

/**
 * Finds nodes on one IPv4 network by broadcast beacons (36/ZRE). The node's option `zre` finds zyre's
 * programs.
 *
 * @throws InvalidArgumentError `EINVAL`. The source is down if the port is taken (`EADDRINUSE`) or the
 * interface is missing (`EINVAL`)
 */
export function beaconSource(options: BeaconSourceOptions = {}): DiscoverySource {
  return broadcastOf("beaconSource", "beacon", ZRE_FORM, options);
}

/**
 * Finds nodes and programs that broadcast their port as two bytes, like SMQ's connection manager.
 *
 * @throws as `beaconSource`
 */
export function broadcastSource(options: BeaconSourceOptions = {}): DiscoverySource {
  return broadcastOf("broadcastSource", "broadcast", PORT_FORM, options);
}

/**
 * Finds nodes by beacons to a multicast group, IPv4 or IPv6. Unlike a node's built-in group (`multicast:
 * true`), it can cross routers (`ttl`), use several ports, and have sources next to it.
 *
 * @throws as `beaconSource`
 */
export function multicastSource(options: MulticastSourceOptions = {}): DiscoverySource {
  const settings = checkOptions("multicastSource", MULTICAST_OPTIONS, options);
  const { group = BEACON_GROUP, ports = [GROUP_PORT], ttl, loop } = settings;
  if (!isGroup(group))
    throw new InvalidArgumentError(
      `group of multicastSource must be an address from 224.0.0.0 to 239.255.255.255, or one of ff00::/8; got ${quoted(group)}`,
    );
  if (!Array.isArray(ports) || ports.length === 0 || ports.length > MAX_GROUP_PORTS || !ports.every(isPort))
    throw new InvalidArgumentError(`ports of multicastSource must be 1 to ${MAX_GROUP_PORTS} ports`);
  return {
    name: `multicast:${isIPv6(group) ? `[${group}]` : group}:${ports[0]}`,
    discover: (self, signal) =>
      beacons(self, signal, ZRE_FORM, settings.interval, (platform, onDatagram) => {
        const own = interfaceOf(platform, self, settings.interface);
        return {
          key: `${own?.name} ${own?.address}`,
          carrier: new GroupCarrier({ group, ports, ttl, loop, interface: own }, onDatagram),
        };
      }),
  };
}

function broadcastOf(what: string, kind: string, form: Form, options: BeaconSourceOptions): DiscoverySource {
  const settings = checkOptions(what, BEACON_OPTIONS, options);
  return {
    name: `${kind}:${settings.port}`,
    discover: (self, signal) =>
      beacons(self, signal, form, settings.interval, (platform, onDatagram) => {
        const own = interfaceOf(platform, self, settings.interface);
        if (own !== undefined && own.address === undefined)
          throw new InvalidArgumentError(`the interface ${own.name} has no IPv4 address to broadcast from`);
        const network = beaconNetwork(platform.interfaces(), own?.address);
        return {
          key: `${network.address} ${network.broadcast}`,
          carrier: new BeaconSockets(network, settings.port, onDatagram),
        };
      }),
  };
}

const isPort = (port: unknown): boolean =>
  Number.isSafeInteger(port) && (port as number) > 0 && (port as number) <= 65_535;

interface BeaconInterface {
  readonly name: string;
  readonly address: string | undefined;
}

function interfaceOf(
  platform: Platform,
  self: DiscoverySelf,
  wanted: string | undefined,
): BeaconInterface | undefined {
  const all = allInterfaces(platform);
  const host = readAddress(self.address)?.host;
  const found =
    wanted === undefined
      ? (all.find(({ address }) => address === host) ?? all.find(({ internal }) => !internal))
      : all.find(({ name, address }) => name === wanted || address === wanted);
  if (found === undefined) {
    if (wanted === undefined) return undefined;
    throw new InvalidArgumentError(`unknown interface ${quoted(wanted)}`);
  }
  const { name } = found;
  if (isIPv4(found.address)) return { name, address: found.address };
  return { name, address: all.find((each) => each.name === name && isIPv4(each.address))?.address };
}

async function* beacons(
  self: DiscoverySelf,
  signal: AbortSignal,
  form: Form,
  longest: number,
  placeOf: (platform: Platform, onDatagram: (bytes: Buffer, host: string) => void) => Place,
): AsyncGenerator<readonly string[], void, undefined> {
  // It may change at runtime.
  const own = (): { readonly host?: string; readonly port?: number } => readAddress(self.address) ?? {};
  const rules = new BeaconRules(longest, Math.random, performance.now());
  /** By node id: a leaving node's beacon has no port. */
  const ports = new Map<string | undefined, { readonly host: string; readonly port: number }>();
  const feed = new AddressFeed(signal);
  feed.set([]);
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const schedule = (): void => {
    clearTimeout(timer);
    // A beacon may arrive during the withdrawal.
    if (isOver) return;
    timer = setTimeout(tick, Math.max(1, rules.nextWakeUp() - performance.now()));
  };
  const tick = (): void => {
    const { beacons: beaconsNow, changed } = rules.tick(performance.now());
    if (beaconsNow)
      void carrier.send(form.encode(self, own().port ?? 0)).then((isSent) => {
        if (!isSent) self.count?.("beacon:failed");
      });
    if (changed) feed.set(rules.addresses);
    schedule();
  };
  const onDatagram = (bytes: Buffer, from: string): void => {
    const found = form.decode(bytes);
    if (found === undefined) {
      self.count?.("beacon:junk");
      return;
    }
    if (found.id === self.id || (found.port === own().port && from === own().host)) return;
    const at = from.includes(":") ? `[${from}]` : from;
    if (found.port === 0) {
      const known = ports.get(found.id);
      if (known?.host === at && rules.onLeave(at, known.port)) feed.set(rules.addresses);
      ports.delete(found.id);
      return;
    }
    const result = rules.onBeacon(performance.now(), at, found.port);
    if (result === "full") {
      self.count?.("beacon:full");
      return;
    }
    if (found.id !== undefined) {
      ports.delete(found.id);
      ports.set(found.id, { host: at, port: found.port });
      const [oldest] = ports.keys();
      if (ports.size > MAX_PORTS) ports.delete(oldest);
    }
    if (result === "known") return;
    feed.set(rules.addresses);
    schedule();
  };
  const platform = platformNow();
  const carrier = new MovingCarrier(
    platform,
    () => placeOf(platform, onDatagram),
    () => {
      rules.moved(performance.now());
      schedule();
    },
  );
  await carrier.open();
  try {
    schedule();
    yield* feed;
  } finally {
    isOver = true;
    clearTimeout(timer);
    if (form.leaves) await carrier.send(form.encode(self, 0));
    await carrier.close();
  }
}

interface GroupOptions {
  readonly group: string;
  readonly ports: readonly number[];
  readonly ttl: number;
  readonly loop: boolean;
  readonly interface: BeaconInterface | undefined;
}

class GroupCarrier implements Carrier {
  readonly #options: GroupOptions;
  readonly #onDatagram: (bytes: Buffer, host: string) => void;
  #listener: Socket | undefined;
  #sender: Socket | undefined;

  constructor(options: GroupOptions, onDatagram: (bytes: Buffer, host: string) => void) {
    this.#options = options;
    this.#onDatagram = onDatagram;
  }

  /** @throws TransportError if no port can be shared, and with the system's other codes */
  async open(): Promise<void> {
    const { group, ports, ttl, loop, interface: own } = this.#options;
    const ipv6 = isIPv6(group);
    try {
      this.#listener = await this.#listen(ports, ipv6);
      this.#sender = await bindUdp(
        {
          port: 0,
          exclusive: true,
          ipv6,
          ...(ipv6 || own?.address === undefined ? {} : { address: own.address }),
        },
        false,
      );
      // IPv6 uses the interface's name, or the system's default.
      const by = ipv6 ? own && `::%${own.name}` : own?.address;
      this.#listener.addMembership(group, by);
      if (by !== undefined) this.#sender.setMulticastInterface(by);
      this.#sender.setMulticastTTL(ttl);
      this.#sender.setMulticastLoopback(loop);
    } catch (error) {
      await this.close();
      throw error;
    }
    for (const socket of [this.#listener, this.#sender]) socket.on("error", () => undefined);
    this.#listener.on("message", (bytes, { address }) => this.#onDatagram(bytes, address));
  }

  async #listen(ports: readonly number[], ipv6: boolean): Promise<Socket> {
    let failure: unknown;
    for (const port of ports) {
      try {
        return await bindUdp({ port, ipv6 }, true);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  async send(bytes: Buffer): Promise<boolean> {
    const { group, ports } = this.#options;
    const sender = this.#sender;
    if (sender === undefined) return false;
    const sent = await Promise.all(
      ports.map(
        (port) =>
          new Promise<boolean>((resolve) => {
            sender.send(bytes, port, group, (error) => resolve(error === null));
          }),
      ),
    );
    return sent.every((each) => each);
  }

  async close(): Promise<void> {
    const sockets = [this.#listener, this.#sender];
    this.#listener = undefined;
    this.#sender = undefined;
    await Promise.all(
      sockets.map((socket) => socket && new Promise<void>((resolve) => void socket.close(() => resolve()))),
    );
  }
}
