/**
 * Discovery by broadcast or multicast datagrams of two bytes: a node's port, as in SMQ. Its address is that of
 * the datagram's source.
 *
 * Beacons are not trusted: a forged one costs a bounded number of unanswered pings. Broadcasts from other
 * networks are dropped. When the interface changes, the source fails, and the node calls it again.
 */
import type { Socket } from "node:dgram";
import { isIPv4, isIPv6 } from "node:net";
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, TransportError } from "../../core/errors.js";
import { type Platform, platformNow } from "../../engine/zmtp/transport/transports.js";
import { bindUdp, closeUdp, sendUdp } from "../../engine/zmtp/transport/udp.js";
import { anything, boolean, checkOptions, type Given, integer, text } from "../../kit/options.js";
import { BeaconSockets, beaconNetwork } from "../../zre/beacon.js";
import { MAX_ENDPOINTS } from "../bounds.js";
import { isPort, plainIp } from "../clients/addresses.js";
import { allInterfaces, isGroup, readAddress } from "../net/addresses.js";
import { AddressFeed, type DiscoverySelf, type DiscoverySource } from "./source.js";

const COMMON_OPTIONS = {
  /** ms between beacons, a quarter more or less by chance. From 100, default 5,000. */
  interval: integer({ default: 5_000, min: 100, max: 3_600_000 }),
  /** Interface name or address. Default: that of the node's address, else the first that is not loopback. */
  interface: text(),
};
const BROADCAST_OPTIONS = {
  /** UDP port, the same on every node. Default 23,773. */
  port: integer({ default: 23_773, max: 65_535 }),
  ...COMMON_OPTIONS,
};
const MULTICAST_OPTIONS = {
  /** IPv4, or IPv6 such as "ff02::4d53". Default "239.192.83.73". */
  group: text(),
  /** At most 8 UDP ports: listens on the first that is free or shared, sends to all. Default `[23774]`. */
  ports: anything<readonly number[]>(),
  /** Multicast TTL, 0 to 255: 0 stays on the host, 1 (default) on the local network. */
  ttl: integer({ default: 1, min: 0, max: 255 }),
  /** Whether nodes on this host get the beacons. Default `true`. */
  loop: boolean(true),
  ...COMMON_OPTIONS,
};

/** Options of {@link broadcastSource}. */
export type BroadcastSourceOptions = Given<typeof BROADCAST_OPTIONS>;
/** Options of {@link multicastSource}. */
export type MulticastSourceOptions = Given<typeof MULTICAST_OPTIONS>;

type OnDatagram = (bytes: Buffer, host: string) => void;

interface Carrier {
  /** @returns whether the system took it */
  send(bytes: Buffer): Promise<boolean>;
  close(): Promise<void>;
}

/** Chooses the interface. @throws InvalidArgumentError `EINVAL` if it is missing */
type Choose = (
  platform: Platform,
  self: DiscoverySelf,
) => {
  /** The sockets depend on it. */
  readonly key: string;
  open(onDatagram: OnDatagram): Promise<Carrier>;
};

/**
 * Finds nodes and programs on one IPv4 network that broadcast their port as two bytes.
 *
 * @throws InvalidArgumentError `EINVAL`. The source is down if the port is taken (`EADDRINUSE`), the interface is
 *   missing (`EINVAL`), or, for half a second, if it has changed (`ERR_TRANSPORT`)
 */
export function broadcastSource(options: BroadcastSourceOptions = {}): DiscoverySource {
  const settings = checkOptions("broadcastSource", BROADCAST_OPTIONS, options);
  const { port, interval } = settings;
  return sourceOf(`broadcast:${port}`, interval, (platform, self) => {
    const own = interfaceOf(platform, self, settings.interface);
    if (own !== undefined && own.address === undefined)
      throw new InvalidArgumentError(`the interface ${own.name} has no IPv4 address to broadcast from`);
    const network = beaconNetwork(platform.interfaces(), own?.address);
    return {
      key: `${network.address} ${network.broadcast}`,
      async open(onDatagram) {
        const sockets = new BeaconSockets(network, port, onDatagram);
        await sockets.open();
        return sockets;
      },
    };
  });
}

/**
 * Finds nodes by beacons to a multicast group, IPv4 or IPv6. Unlike a node's built-in group (`multicast:
 * true`), it can cross routers (`ttl`), use several ports, and have sources next to it.
 *
 * @throws as `broadcastSource`
 */
export function multicastSource(options: MulticastSourceOptions = {}): DiscoverySource {
  const settings = checkOptions("multicastSource", MULTICAST_OPTIONS, options);
  const { group = "239.192.83.73", ports = [23_774], ttl, loop, interval } = settings;
  if (!isGroup(group))
    throw new InvalidArgumentError(
      `group of multicastSource must be an address from 224.0.0.0 to 239.255.255.255, or one of ff00::/8; got ${quoted(group)}`,
    );
  if (!Array.isArray(ports) || ports.length === 0 || ports.length > MAX_ENDPOINTS || !ports.every(isPort))
    throw invalidArgument(`ports of multicastSource must be 1 to ${MAX_ENDPOINTS} ports`, ports);
  return sourceOf(
    `multicast:${isIPv6(group) ? `[${group}]` : group}:${ports[0]}`,
    interval,
    (platform, self) => {
      const own = interfaceOf(platform, self, settings.interface);
      return {
        key: `${own?.name} ${own?.address}`,
        open: (onDatagram) => openGroup({ group, ports, ttl, loop, interface: own }, onDatagram),
      };
    },
  );
}

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

function sourceOf(name: string, interval: number, choose: Choose): DiscoverySource {
  return { name, discover: (self, signal) => beacons(self, signal, interval, choose) };
}

async function* beacons(
  self: DiscoverySelf,
  signal: AbortSignal,
  interval: number,
  choose: Choose,
): AsyncGenerator<readonly string[], void, undefined> {
  const platform = platformNow();
  const hosts = new Set(allInterfaces(platform).map(({ address }) => plainIp(address)));
  // It may change at runtime.
  const ownPort = (): number => readAddress(self.address)?.port ?? 0;
  /** Time of the last beacon by "host:port", oldest first. */
  const heard = new Map<string, number>();
  const hasRoom = (host: string): boolean => {
    if (heard.size >= 1_024) return false;
    let ofHost = 0;
    for (const address of heard.keys()) if (address.startsWith(`${host}:`)) ofHost += 1;
    return ofHost < 64;
  };
  const feed = new AddressFeed(signal);
  feed.set([]);
  const onDatagram = (bytes: Buffer, from: string): void => {
    const port = bytes.length === 2 ? bytes.readUInt16BE() : 0;
    if (port === 0) {
      self.count?.("beacon:junk");
      return;
    }
    if (port === ownPort() && hosts.has(plainIp(from))) return;
    const host = from.includes(":") ? `[${from}]` : from;
    const address = `${host}:${port}`;
    const isKnown = heard.delete(address);
    if (!isKnown && !hasRoom(host)) {
      self.count?.("beacon:full");
      return;
    }
    heard.set(address, performance.now());
    if (!isKnown) feed.set([...heard.keys()]);
  };
  const place = choose(platform, self);
  const carrier = await place.open(onDatagram);
  let timer: NodeJS.Timeout | undefined;
  const beacon = (): void => {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(ownPort());
    void carrier.send(bytes).then((isSent) => {
      if (!isSent) self.count?.("beacon:failed");
    });
    const before = heard.size;
    for (const [address, at] of heard) {
      if (performance.now() - at < 12 * interval) break;
      heard.delete(address);
    }
    if (heard.size < before) feed.set([...heard.keys()]);
    timer = setTimeout(beacon, interval * (0.75 + Math.random() / 2));
  };
  const looking = setInterval(() => {
    if (keyOf(choose, platform, self) !== place.key)
      feed.fail(new TransportError("ERR_TRANSPORT", "the interface has changed"));
  }, 1_000).unref();
  try {
    beacon();
    yield* feed;
  } finally {
    clearTimeout(timer);
    clearInterval(looking);
    await carrier.close();
  }
}

function keyOf(choose: Choose, platform: Platform, self: DiscoverySelf): string {
  try {
    return choose(platform, self).key;
  } catch {
    return ""; // The interface is missing, which is a change.
  }
}

interface GroupOptions {
  readonly group: string;
  readonly ports: readonly number[];
  readonly ttl: number;
  readonly loop: boolean;
  readonly interface: BeaconInterface | undefined;
}

/** @throws TransportError if no port can be shared, and with the system's other codes */
async function openGroup(options: GroupOptions, onDatagram: OnDatagram): Promise<Carrier> {
  const { group, ports, ttl, loop, interface: own } = options;
  const ipv6 = isIPv6(group);
  const socket = await bindFirst(ports, ipv6);
  try {
    // IPv6 uses the interface's name, or the system's default.
    const by = ipv6 ? own && `::%${own.name}` : own?.address;
    socket.addMembership(group, by);
    if (by !== undefined) socket.setMulticastInterface(by);
    socket.setMulticastTTL(ttl);
    socket.setMulticastLoopback(loop);
  } catch (error) {
    await closeUdp(socket);
    throw error;
  }
  socket.on("error", () => undefined);
  socket.on("message", (bytes, { address }) => onDatagram(bytes, address));
  return {
    async send(bytes) {
      const sent = await Promise.all(ports.map((port) => sendUdp(socket, bytes, port, group)));
      return sent.every((each) => each);
    },
    close: () => closeUdp(socket),
  };
}

async function bindFirst(ports: readonly number[], ipv6: boolean): Promise<Socket> {
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
