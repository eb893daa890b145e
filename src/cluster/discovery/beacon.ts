/**
 * Discovery by broadcast or multicast datagrams of two bytes: a node's port, as in SMQ. Its address is that of
 * the datagram's source.
 *
 * Beacons are not trusted: a forged one costs a bounded number of unanswered pings. Broadcasts from other
 * networks are dropped. When the interface changes, the source fails, and the node calls it again.
 */
import type { Socket } from "node:dgram";
import { isIPv4, isIPv6 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError, TransportError } from "../../core/errors.js";
import { type HostInterface, platformNow } from "../../engine/zmtp/transport/transports.js";
import { bindUdp, closeUdp, sendUdp } from "../../engine/zmtp/transport/udp.js";
import {
  anything,
  boolean,
  checkOptions,
  type Given,
  integer,
  type Settings,
  text,
} from "../../kit/options.js";
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

interface BeaconInterface extends Pick<HostInterface, "name" | "netmask"> {
  /** IPv4. */
  readonly address: string | undefined;
}

/** @param own `undefined`: there is only loopback */
type Open = (own: BeaconInterface | undefined, onDatagram: OnDatagram) => Promise<Carrier>;

/**
 * Finds nodes and programs on one IPv4 network that broadcast their port as two bytes.
 *
 * @throws InvalidArgumentError `EINVAL`. The source is down if the port is taken (`EADDRINUSE`), the interface is
 *   missing (`EINVAL`), or, for half a second, if it has changed (`ERR_TRANSPORT`)
 */
export function broadcastSource(options: BroadcastSourceOptions = {}): DiscoverySource {
  const { port, ...settings } = checkOptions("broadcastSource", BROADCAST_OPTIONS, options);
  return sourceOf(`broadcast:${port}`, settings, async (own, onDatagram) => {
    if (own !== undefined && own.address === undefined)
      throw new InvalidArgumentError(`the interface ${own.name} has no IPv4 address to broadcast from`);
    const network = beaconNetwork(platformNow().interfaces(), own?.address);
    const sockets = new BeaconSockets(network, port, onDatagram);
    await sockets.open();
    return sockets;
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
  const { group = "239.192.83.73", ports = [23_774] } = settings;
  if (!isGroup(group))
    throw new InvalidArgumentError(
      `group of multicastSource must be an address from 224.0.0.0 to 239.255.255.255, or one of ff00::/8; got ${quoted(group)}`,
    );
  if (!Array.isArray(ports) || ports.length === 0 || ports.length > MAX_ENDPOINTS || !ports.every(isPort))
    throw invalidArgument(`ports of multicastSource must be 1 to ${MAX_ENDPOINTS} ports`, ports);
  const name = `multicast:${isIPv6(group) ? `[${group}]` : group}:${ports[0]}`;
  return sourceOf(name, settings, (own, onDatagram) =>
    openGroup({ ...settings, group, ports }, own, onDatagram),
  );
}

/** @throws InvalidArgumentError `EINVAL` if the interface is missing */
function interfaceOf(self: DiscoverySelf, wanted: string | undefined): BeaconInterface | undefined {
  const all = allInterfaces(platformNow());
  const host = readAddress(self.address)?.host;
  const found =
    wanted === undefined
      ? (all.find(({ address }) => address === host) ?? all.find(({ internal }) => !internal))
      : all.find(({ name, address }) => name === wanted || address === wanted);
  if (found === undefined) {
    if (wanted === undefined) return undefined;
    throw new InvalidArgumentError(`unknown interface ${quoted(wanted)}`);
  }
  if (isIPv4(found.address)) return found;
  const { name } = found;
  return all.find((each) => each.name === name && isIPv4(each.address)) ?? { name, address: undefined };
}

type BeaconSettings = Settings<typeof COMMON_OPTIONS>;

function sourceOf(name: string, settings: BeaconSettings, open: Open): DiscoverySource {
  return { name, discover: (self, signal) => beacons(self, signal, settings, open) };
}

async function* beacons(
  self: DiscoverySelf,
  signal: AbortSignal,
  { interval, interface: wanted }: BeaconSettings,
  open: Open,
): AsyncGenerator<readonly string[], void, undefined> {
  const hosts = new Set(allInterfaces(platformNow()).map(({ address }) => plainIp(address)));
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
  const own = interfaceOf(self, wanted);
  const hasChanged = (): boolean => {
    try {
      return !isDeepStrictEqual(interfaceOf(self, wanted), own);
    } catch {
      return true; // The interface is missing.
    }
  };
  const carrier = await open(own, onDatagram);
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
    if (hasChanged()) feed.fail(new TransportError("ERR_TRANSPORT", "the interface has changed"));
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

interface GroupSettings extends Settings<typeof MULTICAST_OPTIONS> {
  readonly group: string;
  readonly ports: readonly number[];
}

/** @throws TransportError if no port can be shared, and with the system's other codes */
async function openGroup(
  { group, ports, ttl, loop }: GroupSettings,
  own: BeaconInterface | undefined,
  onDatagram: OnDatagram,
): Promise<Carrier> {
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
