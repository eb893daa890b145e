/**
 * Discovery by broadcast datagrams of two bytes: a node's port, as in SMQ. Its address is that of the datagram's source.
 *
 * Beacons are not trusted: a forged one costs a bounded number of unanswered pings. Broadcasts from other
 * networks are dropped. When the interface has changed by the next beacon, the source fails, and the node calls it
 * again.
 */
import { isIPv4 } from "node:net";
import { TransportError } from "../../core/errors.js";
import { platformNow } from "../../engine/zmtp/transport/transports.js";
import { checkOptions, type Given, integer, type Settings, text } from "../../kit/options.js";
import { type BeaconNetwork, BeaconSockets, beaconNetwork } from "../../zre/beacon.js";
import { allInterfaces, readAddress } from "../net/addresses.js";
import { AddressFeed, type DiscoverySelf, type DiscoverySource } from "./source.js";

const OPTIONS = {
  /** UDP port, the same on every node. Default 23,773. */
  port: integer({ default: 23_773, max: 65_535 }),
  /** ms between beacons, a quarter more or less by chance. From 100, default 5,000. */
  interval: integer({ default: 5_000, min: 100, max: 3_600_000 }),
  /** Interface name or address. Default: that of the node's address, else the first that is not loopback. */
  interface: text(),
};

/** Options of {@link broadcastSource}. */
export type BroadcastSourceOptions = Given<typeof OPTIONS>;

/**
 * Finds nodes and programs on one IPv4 network that broadcast their port as two bytes.
 *
 * @throws InvalidArgumentError `EINVAL`. The source is down if the port is taken (`EADDRINUSE`), the interface is
 *   missing (`EINVAL`), or, for half a second, if it has changed (`ERR_TRANSPORT`)
 */
export function broadcastSource(options: BroadcastSourceOptions = {}): DiscoverySource {
  const settings = checkOptions("broadcastSource", OPTIONS, options);
  return {
    name: `broadcast:${settings.port}`,
    discover: (self, signal) => beacons(self, signal, settings),
  };
}

/** @throws InvalidArgumentError `EINVAL` if the interface is missing */
function networkOf(self: DiscoverySelf, wanted: string | undefined): BeaconNetwork {
  const all = allInterfaces(platformNow()).filter(({ address }) => isIPv4(address));
  const host = readAddress(self.address)?.host;
  return beaconNetwork(all, wanted ?? all.find(({ address }) => address === host)?.address);
}

async function* beacons(
  self: DiscoverySelf,
  signal: AbortSignal,
  { port, interval, interface: wanted }: Settings<typeof OPTIONS>,
): AsyncGenerator<readonly string[], void, undefined> {
  const hosts = new Set(allInterfaces(platformNow()).map(({ address }) => address));
  const ownPort = readAddress(self.address)?.port ?? 0;
  const own = Buffer.alloc(2);
  own.writeUInt16BE(ownPort);
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
  const onBeacon = (bytes: Buffer, host: string): void => {
    const heardPort = bytes.length === 2 ? bytes.readUInt16BE() : 0;
    if (heardPort === 0) {
      self.count?.("beacon:junk");
      return;
    }
    if (heardPort === ownPort && hosts.has(host)) return;
    const address = `${host}:${heardPort}`;
    const isKnown = heard.delete(address);
    if (!isKnown && !hasRoom(host)) {
      self.count?.("beacon:full");
      return;
    }
    heard.set(address, performance.now());
    if (!isKnown) feed.set([...heard.keys()]);
  };
  const network = networkOf(self, wanted);
  const hasChanged = (): boolean => {
    try {
      const { address, broadcast } = networkOf(self, wanted);
      return address !== network.address || broadcast !== network.broadcast;
    } catch {
      return true; // The interface is missing.
    }
  };
  const sockets = new BeaconSockets(network, port, onBeacon);
  await sockets.open();
  let timer: NodeJS.Timeout | undefined;
  const beacon = (): void => {
    if (hasChanged()) {
      feed.fail(new TransportError("ERR_TRANSPORT", "the interface has changed"));
      return;
    }
    void sockets.send(own).then((isSent) => {
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
  try {
    beacon();
    yield* feed;
  } finally {
    clearTimeout(timer);
    await sockets.close();
  }
}
