/**
 * Sockets that a node's clusters share, and the dispatch of packets: each goes to the cluster whose number it has.
 *
 *   datagram ──own host? known cluster? genuine?──> the cluster        stream ──the same──> the cluster
 */

import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { isLoopback } from "../../core/http-server.js";
import {
  type HostInterface,
  MACHINE,
  type Platform,
  platformNow,
} from "../../engine/zmtp/transport/transports.js";
import { NodeIdentities } from "../admission/identities.js";
import { checkNamespaces, REFUSED_REASONS, RefusalReports, type RefusedReason } from "../admission/proof.js";
import { NodeTls } from "../admission/tls.js";
import type { Membership } from "../membership/membership.js";
import type { PairStreams } from "../messaging/pair-streams.js";
import {
  allInterfaces,
  type Binding,
  bindingOf,
  type HostPort,
  isIp6,
  joinAddress,
  resolveAddress,
  splitIpAddress,
  usedInterfaces,
} from "../net/addresses.js";
import { Datagrams } from "../net/datagrams.js";
import type { NamespaceCodec } from "../net/namespace-codec.js";
import type { NodeStream } from "../net/stream.js";
import { NodeStreams } from "../net/streams.js";
import { bindFree } from "../ports.js";
import { readNamespace } from "../wire/codec.js";
import { type Packet, PacketType } from "../wire/packets.js";
import { MAX_FRAME } from "../wire/stream.js";
import type { ClusterEvent } from "./events.js";
import type { NodeSettings } from "./options.js";

export interface NamespacePort {
  readonly codec: NamespaceCodec;
  onPacket(packet: Packet, address: string, overStream: boolean): void;
  /** @param address source of a packet from the group */
  onGroupPacket(packet: Packet, address: string): void;
  run(call: (rules: Membership, now: number) => void): void;
  report(event: ClusterEvent): void;
  onAddress(address: string): void;
  /** Greeting of a stream to an address; `undefined`: this cluster has no node there. */
  greeting(address: string | undefined): Packet | undefined;
  /** Messages over streams; `undefined`: without messages. */
  readonly streams: PairStreams | undefined;
  /** Whether a handler of a service runs. */
  readonly isServing: boolean;
}

const UNBOUND: Binding = { v4: undefined, v6: undefined };

export class NodeSockets {
  readonly platform: Platform;
  readonly settings: NodeSettings;
  readonly counters = {
    packetsSent: 0,
    packetsReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    /** Without another reason than gossip. */
    gossipBytes: 0,
    dropped: {} as Record<string, number>,
  };
  /** Addresses of this host, without loopback's network. */
  #own: ReadonlySet<string> = new Set();
  readonly #namespaces = new Map<number, NamespacePort>();
  readonly #watched = new Map<object, readonly string[]>();
  readonly #reports = new RefusalReports();
  readonly #identities: NodeIdentities | undefined;
  readonly tls: NodeTls | undefined;
  readonly streams: NodeStreams;
  #datagrams: Datagrams | undefined;
  #bound: { readonly binding: Binding; readonly port: number } = { binding: UNBOUND, port: 0 };
  #rebinding = false;
  /** "host:port" of additional listeners. */
  readonly listeners: string[] = [];
  #looking: NodeJS.Timeout | undefined;
  #closed = false;
  /** The stream whose packet is being handled: another one to its address may be dead. */
  #answering: NodeStream | undefined;

  constructor(settings: NodeSettings) {
    this.settings = settings;
    this.platform = platformNow();
    try {
      this.#readInterfaces();
    } catch {
      // `open` throws.
    }
    this.#identities = settings.curve && new NodeIdentities(settings.curve);
    this.tls = settings.tls && new NodeTls(settings.tls);
    this.streams = new NodeStreams(this.platform.transports, this.tls, {
      accepts: (address) => this.accepts(address),
      prove: (way) => Array.from(this.#codecs(), (codec) => codec.prove(way)),
      check: (way, shown) => checkNamespaces(this.#codecs(), way, shown),
      identities: this.#identities,
      onRefused: (address, namespace, reason) => this.#onRefused(address, namespace, reason),
      onFrame: (stream, bytes) => this.#onFrame(stream, bytes),
      greet: (stream) => this.#greet(stream),
      onEvidence: (address) => {
        for (const namespace of this.#namespaces.values())
          namespace.run((rules, now) => rules.onEvidence(now, address));
      },
      onStreamUp: (stream) => this.#tellStreams((streams) => streams.onUp(stream)),
      onStreamEnd: (stream, reason) => this.#tellStreams((streams) => streams.onEnd(stream, reason)),
      onStreamFailed: (address, protocol, reason) =>
        this.#tellStreams((streams) => streams.onFailed(address, protocol, reason)),
      count: (reason) => this.count(reason),
      maxFrame: () => this.#maxFrame,
      copiesSent: this.platform === MACHINE,
    });
  }

  get #maxFrame(): number {
    let most = MAX_FRAME;
    for (const { streams } of this.#namespaces.values()) most = Math.max(most, streams?.maxFrame ?? 0);
    return most;
  }

  #tellStreams(tell: (streams: PairStreams) => void): void {
    for (const { streams } of this.#namespaces.values()) if (streams !== undefined) tell(streams);
  }

  /** Whether nodes become members only over a stream, where they proved a key or showed a certificate. */
  get provesNodes(): boolean {
    return this.settings.curve !== undefined || this.settings.tls !== undefined;
  }

  /** "host:port" for other nodes; empty before `open`. */
  get address(): string {
    return this.streams.ownAddress;
  }

  /** Of datagrams and streams; 0 before `open`. */
  get port(): number {
    return this.#bound.port;
  }

  /** @throws TransportError with the system's code; InvalidArgumentError `EINVAL` for an unknown interface */
  async open(id: string): Promise<void> {
    await this.#identities?.start(id, this.#onKeys);
    try {
      await this.#open();
    } catch (error) {
      this.#identities?.close();
      throw error;
    }
  }

  readonly #onKeys = (problems: readonly string[], gone: readonly string[]): void => {
    for (let i = 0; i < problems.length; i++) this.count("keys");
    // Removal comes first, while the streams are open: a removed node is told over its stream.
    for (const id of gone)
      for (const namespace of this.#namespaces.values())
        namespace.run((rules, now) => {
          if (id !== rules.self.id && rules.get(id) !== undefined) rules.remove(now, id);
        });
    this.streams.revoke(({ publicKey }) => this.#identities?.keys.has(publicKey) === true);
  };

  async #open(): Promise<void> {
    const { port, ports, announce } = this.settings;
    const interfaces = this.#readInterfaces();
    const own = (interfaces[0] as HostInterface).address;
    const announced = announce && (await this.#announced(announce));
    const binding = bindingOf(this.platform, this.settings, interfaces);
    await bindFree(port, ports, (wanted) => this.#bind(binding, wanted, interfaces));
    await this.#listenAlso(binding);
    this.streams.ownAddress = announced ?? joinAddress(own, this.port);
    this.#looking = setInterval(() => {
      this.streams.sweep();
      this.#look();
    }, 1_000).unref();
  }

  /** Listens for streams and datagrams at one port. If that fails, nothing is open. */
  async #bind(binding: Binding, wanted: number, interfaces: readonly HostInterface[]): Promise<void> {
    const { group } = this.settings;
    const port = await this.streams.listen(binding, wanted);
    const datagrams = new Datagrams(
      { bind: binding, port, group, interface: groupInterface(interfaces) },
      this.#onDatagram,
      (reason) => this.count(reason),
    );
    try {
      await datagrams.open();
    } catch (error) {
      // The number was free for streams alone.
      await datagrams.close();
      await this.streams.unlisten();
      throw error;
    }
    this.#datagrams = datagrams;
    this.#bound = { binding, port };
  }

  async #listenAlso({ v4, v6 }: Binding): Promise<void> {
    try {
      for (const { host = v4 ?? v6 ?? "127.0.0.1", port, ports, tls: own } of this.settings.listen) {
        const tls = own && new NodeTls(own);
        this.listeners.push(
          await bindFree(port, ports, (wanted) => this.streams.listenAlso(host, wanted, tls)),
        );
      }
    } catch (error) {
      this.listeners.length = 0;
      await Promise.all([this.streams.unlistenAll(), this.#datagrams?.close()]);
      throw error;
    }
  }

  /** @throws TransportError with the system's code; InvalidArgumentError `EINVAL` for an unknown interface */
  #readInterfaces(): HostInterface[] {
    const all = allInterfaces(this.platform);
    this.#own = new Set(all.map(({ address }) => address));
    return usedInterfaces(all, this.settings);
  }

  /** The system does not report changes of interfaces. */
  #look(): void {
    let interfaces: readonly HostInterface[];
    try {
      interfaces = this.#readInterfaces();
    } catch {
      return; // Out of descriptors, or the needed interface is gone: the previous ones stay.
    }
    const [first] = interfaces as [HostInterface, ...HostInterface[]];
    const binding = bindingOf(this.platform, this.settings, interfaces);
    const { v4, v6 } = this.#bound.binding;
    if (binding.v4 !== v4 || binding.v6 !== v6) void this.#rebind(binding, interfaces);
    else {
      void this.#datagrams?.setInterface(groupInterface(interfaces));
      this.#announce(first);
    }
  }

  /** Without a network but loopback, the node keeps its address. */
  #announce({ address: own, internal }: Pick<HostInterface, "address" | "internal">): void {
    const address = joinAddress(own, this.#bound.port);
    if (this.settings.announce !== undefined || address === this.address) return;
    if (internal && this.settings.interface === undefined) return;
    this.streams.ownAddress = address;
    for (const namespace of this.#namespaces.values()) namespace.onAddress(address);
  }

  /** The node's only interface changed its address: binds the same port there. The next poll retries after a failure. */
  async #rebind(binding: Binding, interfaces: readonly HostInterface[]): Promise<void> {
    if (this.#rebinding) return;
    this.#rebinding = true;
    const { port } = this;
    this.#bound = { binding: UNBOUND, port };
    await Promise.all([this.streams.unlisten(), this.#datagrams?.close()]);
    const error: unknown = await this.#bind(binding, port, interfaces).catch((thrown) => thrown);
    this.#rebinding = false;
    if (error !== undefined) this.count("socket");
    else if (this.#closed) await Promise.all([this.#datagrams?.close(), this.streams.unlisten()]);
    else this.#announce({ ...(interfaces[0] as HostInterface), internal: false });
  }

  /** The node drains, with all of its clusters. */
  isDraining = false;

  /** Whether a handler of any cluster runs. */
  get isServing(): boolean {
    for (const { isServing } of this.#namespaces.values()) if (isServing) return true;
    return false;
  }

  add(namespace: NamespacePort): void {
    this.#namespaces.set(namespace.codec.namespace, namespace);
  }

  remove(namespace: NamespacePort): void {
    this.#namespaces.delete(namespace.codec.namespace);
    this.watch(namespace, []);
  }

  send(namespace: NamespacePort, address: string, packet: Packet, overStream: boolean): void {
    if (overStream || this.streams.isGiven(address)) {
      const stream = this.#answering;
      if (stream !== undefined && stream.address === address && !stream.ended)
        stream.send(namespace.codec, packet);
      else this.streams.send(address, namespace.codec, packet);
      return;
    }
    const parts = splitIpAddress(address);
    if (parts === undefined || !this.accepts(address)) {
      this.count("send:address");
      return;
    }
    const bytes = namespace.codec.encode(packet);
    this.#sent(bytes);
    if (packet.type === PacketType.GOSSIP) this.counters.gossipBytes += bytes.length;
    this.#datagrams?.send(bytes, parts.host, parts.port);
  }

  get hasGroup(): boolean {
    return this.#datagrams?.hasGroup === true;
  }

  multicast(namespace: NamespacePort, packet: Packet): void {
    if (this.#datagrams?.hasGroup !== true) return;
    const bytes = namespace.codec.encode(packet);
    this.#sent(bytes);
    this.#datagrams.multicast(bytes);
  }

  *#codecs(): Iterable<NamespaceCodec> {
    for (const { codec } of this.#namespaces.values()) yield codec;
  }

  /** @param namespace `undefined`: the node's first cluster reports it */
  #onRefused(address: string, namespace: number | undefined, refusal: string): void {
    if (!REFUSED_REASONS.includes(refusal as RefusedReason)) return;
    const [first] = this.#namespaces.values();
    const port = namespace === undefined ? first : this.#namespaces.get(namespace);
    if (port === undefined) return;
    // A packet does not show which of the two its sender has.
    const reason = refusal === "key" && port.codec.byPassword ? "password" : refusal;
    if (this.#reports.allows(performance.now(), hostOf(address), reason))
      port.report({ type: "refused", address, reason: reason as RefusedReason });
  }

  /** What came names another node than the proved one. @param address dialled, or the source */
  refuseIdentity(address: string, { namespace }: NamespaceCodec): void {
    this.count("identity");
    this.#onRefused(address, namespace, "identity");
  }

  /** Keeps streams to these addresses. @param namespace a cluster or connection manager */
  watch(namespace: object, addresses: readonly string[]): void {
    if (addresses.length === 0) this.#watched.delete(namespace);
    else this.#watched.set(namespace, addresses);
    this.streams.watch(new Set([...this.#watched.values()].flat()));
  }

  count(reason: string): void {
    const { dropped } = this.counters;
    dropped[reason] = (dropped[reason] ?? 0) + 1;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#looking);
    this.#namespaces.clear();
    this.#identities?.close();
    await Promise.all([this.streams.close(), this.#datagrams?.close()]);
  }

  isOwn(host: string): boolean {
    return isLoopback(host) || this.#own.has(host);
  }

  /** Whether a node may be at this address: on this host, or anywhere in the scope `link`. */
  accepts(address: string): boolean {
    const parts = splitIpAddress(address);
    if (parts !== undefined && isIp6(parts.host) && !this.settings.ipv6) return false;
    return this.settings.scope === "link" || this.isOwn(parts?.host ?? address);
  }

  resolve(name: HostPort): Promise<string[]> {
    return resolveAddress(name, this.settings.ipv6 ? "both" : 4);
  }

  /** @throws InvalidArgumentError `EINVAL` for a host without an address */
  async #announced(announce: HostPort): Promise<string> {
    let cause: unknown;
    const found = await this.resolve(announce).catch((error: unknown): string[] => {
      cause = error;
      return [];
    });
    if (found[0] !== undefined) return found[0];
    throw new InvalidArgumentError(`announce: there is no address of ${quoted(announce.host)}`, {
      cause,
    });
  }

  #onDatagram = (bytes: Buffer, host: string, port: number, byGroup: boolean): void => {
    const { counters } = this;
    counters.packetsReceived += 1;
    counters.bytesReceived += bytes.length;
    if (this.settings.scope === "host" && !this.isOwn(host)) {
      this.count("outside");
      return;
    }
    const namespace = this.#namespaceOf(bytes);
    if (namespace === undefined) return;
    const packet = namespace.codec.decode(bytes);
    if (typeof packet === "string") {
      this.count(packet);
      this.#onRefused(joinAddress(host, port), namespace.codec.namespace, packet);
    } else if (byGroup) namespace.onGroupPacket(packet, joinAddress(host, port));
    else namespace.onPacket(packet, joinAddress(host, port), false);
  };

  #onFrame(stream: NodeStream, bytes: Buffer): boolean {
    this.counters.bytesReceived += bytes.length;
    const namespace = this.#namespaceOf(bytes);
    if (namespace === undefined) return true;
    const packet = namespace.codec.decodeStream(stream.wayIn, bytes);
    if (Buffer.isBuffer(packet)) {
      if (namespace.streams?.onMessages(stream, packet) !== true) this.count("link:messages");
      return true;
    }
    if (typeof packet === "string") {
      this.count(packet);
      this.#onRefused(stream.origin, namespace.codec.namespace, packet);
      // Later versions may have types that this one does not know.
      return packet === "type";
    }
    if (stream.node !== undefined && packet.from !== stream.node.id) {
      this.refuseIdentity(stream.origin, namespace.codec);
      return false;
    }
    if (stream.id === "") {
      stream.id = packet.from;
      if (stream.isGiven && this.streams.isTaken(stream)) {
        stream.refuseNode("address");
        return true;
      }
    }
    const outer = this.#answering; // A stream in memory answers within a write.
    this.#answering = stream;
    try {
      namespace.onPacket(packet, stream.address, true);
    } finally {
      this.#answering = outer;
    }
    return true;
  }

  #namespaceOf(bytes: Buffer): NamespacePort | undefined {
    const number = readNamespace(bytes);
    const namespace = number === undefined ? undefined : this.#namespaces.get(number);
    if (namespace === undefined) this.count(number === undefined ? "junk" : "cluster");
    return namespace;
  }

  #greet(stream: NodeStream): void {
    for (const namespace of this.#namespaces.values()) {
      const greeting = namespace.greeting(stream.isGiven ? undefined : stream.address);
      if (greeting !== undefined) stream.send(namespace.codec, greeting);
    }
  }

  #sent(bytes: Buffer): void {
    this.counters.packetsSent += 1;
    this.counters.bytesSent += bytes.length;
  }
}

function groupInterface(interfaces: readonly HostInterface[]): string | undefined {
  return interfaces.find(({ address }) => !isIp6(address))?.address;
}

function hostOf(address: string): string {
  return splitIpAddress(address)?.host ?? address;
}
