/**
 * The streams of a node: dialled for a packet, kept to the next few nodes in the order of ids, closed when idle.
 *
 * Each node keeps streams to three nodes, so each is watched by as many: when a process is killed, its system ends
 * its streams, and those nodes know within milliseconds.
 */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { takeDuplex } from "../../core/arguments.js";
import { HandshakeError, NotSupportedError, TransportError } from "../../core/errors.js";
import { optionValues } from "../../core/option-table.js";
import { backOff } from "../../core/timers.js";
import type { Fault } from "../../engine/zmtp/mechanism/mechanism.js";
import { renewedOptions } from "../../engine/zmtp/options.js";
import { DuplexStream } from "../../engine/zmtp/transport/tcp.js";
import type {
  Acceptor,
  Listener,
  Stream,
  Transport,
  TransportOptions,
} from "../../engine/zmtp/transport/transport.js";
import type { TransportTable } from "../../engine/zmtp/transport/transports.js";
import type { ProvedNode } from "../admission/identities.js";
import type { NodeTls } from "../admission/tls.js";
import { MAX_LINKS } from "../bounds.js";
import type { PairStreamTable } from "../messaging/pair-streams.js";
import type { Packet } from "../wire/packets.js";
import { type Binding, joinAddress, splitIpAddress } from "./addresses.js";
import type { NamespaceCodec } from "./namespace-codec.js";
import {
  NodeStream,
  type OpenedStream,
  type StreamEnd,
  type StreamNode,
  type StreamTable,
} from "./stream.js";

/**
 * State of the stream to a kept address.
 *
 *   CONNECTING ──proved──> CONNECTED ──ended──> BROKEN ──back-off──> CONNECTING
 *       └──refused, no answer, another key──────────^                    SELF: the node met itself there
 */
export type ConnectionState = "self" | "connecting" | "connected" | "broken";

export interface ConnectionError {
  /**
   * The system's code, such as `ECONNREFUSED` or `ETIMEDOUT`; `ENOTFOUND` for a name without an address;
   * `ERR_AUTHENTICATION` if one end refused the other; `ERR_HANDSHAKE` if the other end is not a node; `EAGAIN` if this
   * node already has 768 streams.
   */
  readonly code: string;
  readonly message: string;
}

export interface StreamState {
  /** `self`: the address is this node's own, and is not dialled. `broken`: it is dialled again, with back-off. */
  readonly state: ConnectionState;
  /** Attempts since the last connection, including the current one. */
  readonly attempts: number;
  /** Why the last attempt failed. */
  readonly error: ConnectionError | undefined;
  /** As the other end reports it. */
  readonly peer: string | undefined;
}

/** Accepted streams that are not verified, in addition to the maximum: after an outage all nodes come at once. */
const MAX_UNVERIFIED = 1_024;

const TRANSPORT = optionValues({
  backlog: 512,
  connectTimeout: 2_000,
  tcpKeepalive: 1,
  tcpKeepaliveIdle: 30,
});

const ENDS: Readonly<Record<StreamEnd, ConnectionError>> = {
  closed: { code: "ECONNRESET", message: "the stream was closed on purpose" },
  lost: { code: "ECONNRESET", message: "the stream ended without its end frame" },
  failed: { code: "ERR_HANDSHAKE", message: "the stream failed, or what is there does not speak as a node" },
  refused: {
    code: "ERR_AUTHENTICATION",
    message: "one end does not admit the other: the event refused has more",
  },
  self: { code: "ECONNRESET", message: "the node at the address is this one" },
};

/** Of a stream between nodes that had proved themselves. */
const BROKEN: ConnectionError = { code: "ECONNRESET", message: "the stream failed, or fell silent" };

interface StreamTransport {
  readonly transport: Transport;
  readonly options: TransportOptions;
}

/** `undefined`: the node only hung up. */
function refusalOf({ kind, message }: Fault): "certificate" | "tls" | "peer" | undefined {
  if (kind === "refused") return "certificate";
  if (kind === "protocol") return "tls";
  if (kind === "auth") return "peer";
  return message.startsWith("the peer ended TLS") ? "peer" : undefined;
}

export interface StreamsEffects extends StreamNode {
  /** The node sends its identity. */
  greet(stream: NodeStream): void;
  /** A hard sign that the process at an address is gone. */
  onEvidence(address: string): void;
  /** For messages. */
  onStreamUp(stream: NodeStream): void;
  onStreamEnd(stream: NodeStream, reason: string): void;
  onStreamFailed(address: string, protocol: string, reason: string): void;
  readonly copiesSent: boolean;
}

interface Dial {
  readonly cancel: () => void;
  readonly queue: { readonly codec: NamespaceCodec; readonly packet: Packet }[];
}

/** A watched address while it has no stream. */
class Watched {
  /** Since the last stream, and the time of the next one. */
  attempts = 0;
  retryAt = 0;
  /** Why the last attempt failed. */
  error: ConnectionError | undefined;
  /** When this node met itself there. */
  ownSince: number | undefined;
}

export class NodeStreams implements StreamTable, PairStreamTable {
  readonly #transports: TransportTable;
  /** `undefined`: without TLS. */
  readonly #tls: NodeTls | undefined;
  readonly #dialling: StreamTransport;
  readonly #effects: StreamsEffects;
  readonly #all = new Set<NodeStream>();
  readonly #byAddress = new Map<string, NodeStream>();
  readonly #dials = new Map<string, Dial>();
  readonly #watched = new Map<string, Watched>();
  readonly #listeners: Listener[] = [];
  readonly #more: Listener[] = [];
  /** "host:port" for other nodes; empty before it is known. */
  ownAddress = "";
  #closed = false;
  #stopped = false;

  /** @throws NotSupportedError `NOT_SUPPORTED` for TLS on a platform without it */
  constructor(transports: TransportTable, tls: NodeTls | undefined, effects: StreamsEffects) {
    this.#transports = transports;
    this.#tls = tls;
    this.#dialling = this.#over(tls, "dialling");
    this.#effects = effects;
  }

  get scheme(): string {
    return this.#dialling.transport.scheme;
  }

  get #ownKind(): Pick<OpenedStream, "protocol" | "copiesSent"> {
    return { protocol: this.scheme, copiesSent: this.#effects.copiesSent };
  }

  #over(tls: NodeTls | undefined, side: "listening" | "dialling"): StreamTransport {
    const transport = this.#transports.get(tls === undefined ? "tcp" : "tls");
    if (transport === undefined) throw new NotSupportedError("streams over TLS: this platform has no tls://");
    if (tls === undefined) return { transport, options: TRANSPORT };
    return { transport, options: renewedOptions(TRANSPORT, () => tls[side]) };
  }

  /** @returns the port. @throws TransportError with the system's code; nothing is left open then */
  async listen({ v4, v6 }: Binding, port: number): Promise<number> {
    if (this.#stopped) return port; // On purpose: a changed address must not listen again.
    // A socket bound to all IPv6 addresses has those of IPv4, too.
    const hosts = v6 === "::" ? [v6] : [v4, v6].filter((host) => host !== undefined);
    let chosen = port;
    try {
      for (const host of hosts) {
        const listener = await this.#listenAt(joinAddress(host, chosen), this.#tls);
        this.#listeners.push(listener);
        chosen = Number(listener.endpoint.slice(listener.endpoint.lastIndexOf(":") + 1));
      }
    } catch (error) {
      await this.unlisten();
      throw error;
    }
    return chosen;
  }

  /**
   * Adds a listener, which stays when the first ones are bound again.
   *
   * @param tls `undefined`: as the node; `false`: without
   * @returns its "host:port". @throws TransportError with the system's code; NotSupportedError
   */
  async listenAlso(host: string, port: number, tls: NodeTls | false | undefined): Promise<string> {
    const own = tls === false ? undefined : (tls ?? this.#tls);
    const listener = await this.#listenAt(joinAddress(host, port), own);
    this.#more.push(listener);
    return listener.endpoint.replace(/^\w+:\/\//, "");
  }

  #listenAt(address: string, tls: NodeTls | undefined): Promise<Listener> {
    const { transport, options } = this.#over(tls, "listening");
    return transport.listen(`${transport.scheme}://${address}`, options, this.#acceptor);
  }

  readonly #acceptor: Acceptor = {
    accepted: (accepted) => this.#accept(accepted),
    failed: () => this.#effects.count("link:accept"),
  };

  #accept(accepted: Stream): void {
    if (this.#closed || !this.#effects.accepts(joinAddress(accepted.address, 1)))
      this.#effects.count("link:outside");
    else {
      this.#limitUnverified(accepted.address);
      this.#add({ stream: accepted, ...this.#ownKind });
      return;
    }
    accepted.socket.on("error", () => undefined);
    accepted.socket.destroy();
  }

  /** Frees a port that datagrams cannot have. */
  async unlisten(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
  }

  streamTo(address: string, protocol: string, id: string): NodeStream | undefined {
    let isComing = this.#dials.has(address);
    const kept = this.#usable(address);
    for (const stream of kept === undefined ? this.#all : [kept, ...this.#all]) {
      if (stream.address !== address || stream.protocol !== protocol || stream.ended) continue;
      if (stream.verified && stream.isFor(id)) return stream;
      isComing ||= stream.isDialled && !stream.verified;
    }
    if (protocol === this.scheme && !isComing && !this.#closed && this.#dial(address) === undefined)
      queueMicrotask(() => this.#effects.onStreamFailed(address, protocol, "the node cannot dial it now"));
    return undefined;
  }

  /**
   * @returns address of the other node, "host:port", once both have proved themselves
   * @throws HandshakeError `ERR_AUTHENTICATION`, `ERR_HANDSHAKE`; TransportError `ERR_TRANSPORT`
   */
  link(duplex: Duplex): Promise<string> {
    return new Promise((resolve, reject) => {
      if (!this.open(duplex, { protocol: this.scheme, caller: { resolve, reject } }))
        reject(new TransportError("ERR_TRANSPORT", "the node or the stream is closed"));
    });
  }

  isGiven(address: string): boolean {
    return this.#usable(address)?.isGiven === true;
  }

  /** @returns `false`: this node or the stream is closed */
  open(duplex: Duplex, how: Pick<OpenedStream, "protocol" | "dialled" | "caller">): boolean {
    const { protocol, dialled } = how;
    takeDuplex(duplex);
    if (this.#closed || duplex.readable === false || duplex.writable === false) {
      duplex.on("error", () => undefined).destroy();
      if (dialled !== undefined) this.#effects.onStreamFailed(dialled, protocol, "the stream is closed");
      return false;
    }
    const { remoteAddress = "127.0.0.1" } = duplex as { remoteAddress?: string | undefined };
    const opened = new DuplexStream(duplex, `${protocol}://${remoteAddress}`, remoteAddress);
    if (dialled === undefined) this.#limitUnverified(remoteAddress);
    this.#add({ stream: opened, copiesSent: duplex instanceof Socket, ...how });
    duplex.resume();
    return true;
  }

  #add(opened: OpenedStream): NodeStream {
    const stream = new NodeStream(opened, this, this.#effects);
    this.#all.add(stream);
    stream.start();
    return stream;
  }

  get size(): number {
    return this.#all.size;
  }

  get verified(): number {
    let count = 0;
    for (const stream of this.#all) if (stream.verified) count += 1;
    return count;
  }

  send(address: string, codec: NamespaceCodec, packet: Packet): void {
    if (this.#closed) return;
    const stream = this.#usable(address);
    if (stream !== undefined) {
      stream.send(codec, packet);
      return;
    }
    const dial = this.#dials.get(address) ?? this.#dial(address);
    if (dial === undefined) return;
    if (dial.queue.length >= 128) this.#effects.count("link:full");
    else dial.queue.push({ codec, packet });
  }

  #usable(address: string): NodeStream | undefined {
    const stream = this.#byAddress.get(address);
    return stream?.ended === true ? undefined : stream;
  }

  watch(addresses: ReadonlySet<string>): void {
    for (const address of this.#watched.keys()) if (!addresses.has(address)) this.#watched.delete(address);
    for (const address of addresses) {
      if (!this.#watched.has(address)) this.#watched.set(address, new Watched());
      this.#keep(address, performance.now());
    }
  }

  /**
   * A lost member is back. TCP may wait a minute for its next retransmission: streams of before are checked within twice
   * `ms`, and a dial begins again.
   */
  renew(address: string, ms: number): void {
    for (const stream of this.#all) if (stream.address === address && stream.verified) stream.check(ms);
    if (this.#watched.has(address)) this.#watched.set(address, new Watched());
    const dial = this.#dials.get(address);
    if (dial === undefined) return;
    dial.cancel();
    this.#dials.delete(address);
    const again = this.#dial(address);
    if (again === undefined)
      this.#effects.onStreamFailed(address, this.scheme, "the node cannot dial it now");
    else again.queue.push(...dial.queue);
  }

  /** `listen` may be called again. */
  async unlistenAll(): Promise<void> {
    await Promise.all([this.unlisten(), ...this.#more.splice(0).map((listener) => listener.close())]);
  }

  state(address: string): StreamState {
    const { attempts, error, ownSince } = this.#watched.get(address) ?? new Watched();
    const stream = this.#byAddress.get(address);
    const none = { attempts: 0, error: undefined, peer: undefined };
    if (stream?.verified) return { ...none, state: "connected", peer: stream.peer };
    if (address === this.ownAddress || ownSince !== undefined) return { ...none, state: "self" };
    if (stream !== undefined || this.#dials.has(address) || error === undefined)
      return { state: "connecting", attempts: attempts + 1, error, peer: undefined };
    return { state: "broken", attempts, error, peer: undefined };
  }

  /** Existing streams stay. */
  async stopListening(): Promise<void> {
    for (const stream of this.#all) stream.users += 1;
    this.#stopped = true;
    await this.unlistenAll();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { cancel } of this.#dials.values()) cancel();
    this.#dials.clear();
    for (const stream of this.#all) stream.close();
    await this.unlistenAll();
  }

  revoke(isAllowed: (node: ProvedNode) => boolean): void {
    for (const stream of this.#all)
      if (stream.node !== undefined && !isAllowed(stream.node)) stream.refuseNode("denied");
  }

  streamOf(nonce: Buffer): NodeStream | undefined {
    for (const stream of this.#all) if (!stream.verified && stream.nonce.equals(nonce)) return stream;
    return undefined;
  }

  onVerified(stream: NodeStream): void {
    if (stream.node !== undefined) this.#effects.identities?.onAdmitted(stream.node);
    if (this.#watched.has(stream.address)) this.#watched.set(stream.address, new Watched());
    const kept = this.#usable(stream.address);
    if (stream.isGiven || kept?.verified !== true || this.#isBetter(stream, kept))
      this.#byAddress.set(stream.address, stream);
    if (stream.isGiven || !stream.isDialled) this.#effects.greet(stream);
    stream.caller?.resolve(stream.address);
    this.#effects.onStreamUp(stream);
  }

  /** Two linked nodes with one address would take each other's place forever: the one that was linked first keeps it. */
  isTaken({ address, id }: NodeStream): boolean {
    for (const each of this.#all) {
      if (!each.isGiven || !each.isOpen || each.address !== address || each.id === "" || each.id === id)
        continue;
      each.check(2_000); // Its node may be gone without a word.
      this.#byAddress.set(address, each);
      return true;
    }
    return false;
  }

  /** Where both ends dialled, the stream of the lower address stays, and the other one is closed once it is idle. */
  #isBetter(stream: NodeStream, kept: NodeStream): boolean {
    if (kept.isGiven || stream.protocol !== kept.protocol || stream.isDialled === kept.isDialled)
      return false;
    return stream.isDialled === this.ownAddress < stream.address;
  }

  onEnd(stream: NodeStream, end: StreamEnd, fault: Fault | undefined): void {
    this.#all.delete(stream);
    if (this.#byAddress.get(stream.address) === stream) {
      this.#byAddress.delete(stream.address);
      // Both ends may have dialled.
      for (const other of this.#all)
        if (other.verified && !other.ended && other.address === stream.address)
          this.#byAddress.set(stream.address, other);
    }
    const error = fault ?? (end === "failed" && stream.verified ? BROKEN : ENDS[end]);
    const { code, message } = error;
    stream.caller?.reject(
      code === "ERR_AUTHENTICATION" || code === "ERR_HANDSHAKE"
        ? new HandshakeError(code, message)
        : new TransportError("ERR_TRANSPORT", message),
    );
    // Before its proof, an accepted or given stream only claims the address.
    const hasAddress = stream.verified || (stream.isDialled && !stream.isGiven);
    if (stream.verified) this.#effects.onStreamEnd(stream, message);
    else if (hasAddress) this.#effects.onStreamFailed(stream.address, stream.protocol, message);
    if (this.#closed) return;
    const refusal = fault && refusalOf(fault);
    if (refusal !== undefined) {
      this.#effects.count(refusal === "peer" ? "link:refused" : `link:${refusal}`);
      this.#effects.onRefused(stream.origin, undefined, refusal);
    } else if (fault !== undefined && !stream.isDialled) this.#effects.count("link:handshake");
    if (end === "self") {
      const watched = this.#watched.get(stream.address);
      if (watched === undefined) return;
      watched.attempts = 0;
      if (stream.isDialled) watched.ownSince = performance.now();
      return;
    }
    if (!hasAddress) return;
    if (!this.#byAddress.has(stream.address)) this.#missed(stream.address, error);
    if (end === "lost" && stream.verified) {
      this.#effects.count("link:lost");
      this.#effects.onEvidence(stream.address);
    }
  }

  /** A watched address is dialled again, later each time. */
  #missed(address: string, { code, message }: ConnectionError): void {
    const watched = this.#watched.get(address);
    if (watched === undefined) return;
    watched.error = { code, message };
    watched.retryAt = performance.now() + backOff(watched.attempts, 200, 10_000, Math.random);
    watched.attempts += 1;
  }

  /** The oldest one goes: of a host with more than half of them, its own. */
  #limitUnverified(host: string): void {
    const unverified = [...this.#all].filter((stream) => !stream.isDialled && !stream.verified);
    if (unverified.length < MAX_UNVERIFIED) return;
    this.#effects.count("link:evicted");
    const own = unverified.filter(({ remote }) => remote === host);
    (own.length > MAX_UNVERIFIED / 2 ? own : unverified)[0]?.destroy();
  }

  /** Unproved streams take no place. */
  hasRoom(): boolean {
    if (this.#places < MAX_LINKS) return true;
    this.#effects.count("link:evicted");
    return false;
  }

  get #places(): number {
    let count = 0;
    for (const stream of this.#all) if (stream.hasPlace) count += 1;
    return count;
  }

  #dial(address: string): Dial | undefined {
    const parts = splitIpAddress(address);
    if (parts === undefined || !this.#effects.accepts(address)) {
      this.#effects.count("link:address");
      return undefined;
    }
    if (this.#places + this.#dials.size >= MAX_LINKS) {
      this.#effects.count("link:full");
      this.#missed(address, { code: "EAGAIN", message: `the node has ${MAX_LINKS} streams already` });
      return undefined;
    }
    const { transport, options } = this.#dialling;
    const cancel = transport.dial(`${transport.scheme}://${address}`, options, (result) => {
      this.#dials.delete(address);
      if (result instanceof Error) {
        this.#onFailed(address, result);
        return;
      }
      if (this.#closed) {
        result.socket.destroy();
        return;
      }
      const stream = this.#add({ stream: result, dialled: address, ...this.#ownKind });
      if (this.#usable(address) === undefined) this.#byAddress.set(address, stream);
      this.#effects.greet(stream);
      for (const { codec, packet } of dial.queue) stream.send(codec, packet);
    });
    const dial: Dial = { cancel, queue: [] };
    this.#dials.set(address, dial);
    return dial;
  }

  #onFailed(address: string, { code, message }: NodeJS.ErrnoException): void {
    this.#effects.count("link:failed");
    this.#effects.onStreamFailed(address, this.scheme, message);
    this.#missed(address, { code: code ?? "ETIMEDOUT", message });
    // No listener, or no such host: hard signs, unlike a missing answer.
    if (code === "ECONNREFUSED" || code === "EHOSTUNREACH") this.#effects.onEvidence(address);
  }

  #keep(address: string, now: number): void {
    if (this.#closed || this.#byAddress.has(address) || this.#dials.has(address)) return;
    if (address === this.ownAddress) return;
    const watched = this.#watched.get(address);
    if (watched === undefined) return;
    if (watched.ownSince !== undefined) {
      if (now - watched.ownSince < 60_000) return;
      watched.ownSince = undefined; // Another node may have the address now.
    }
    if (now >= watched.retryAt) this.#dial(address);
  }

  /** Once a second: dials watched addresses, and closes idle streams. */
  sweep(): void {
    const now = performance.now();
    for (const address of this.#watched.keys()) this.#keep(address, now);
    for (const stream of this.#all) {
      const isKept = this.#watched.has(stream.address) && this.#byAddress.get(stream.address) === stream;
      // The other end keeps its dialled streams.
      const isUsed = isKept || stream.isGiven || stream.users > 0;
      if (stream.isDialled && !isUsed && now - stream.usedAt > 15_000) stream.close();
    }
  }
}
