/**
 * Datagram endpoints, each one pipe with its own link.
 *
 *   pipe.out -> link -> one datagram per message
 *   pipe.in  <- link <- datagrams of joined groups; without room they are dropped and counted (`invalid.full`)
 *
 * Messages count as `queued` until the system has taken their whole batch.
 */
import type { Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { quoted } from "../../core/arguments.js";
import { NotSupportedError, TransportError } from "../../core/errors.js";
import type { OptionValues } from "../../core/option-table.js";
import { type EndpointUse, formatHostPort } from "../../core/schemes/grammar.js";
import { isMulticast, parseUdp, type UdpAddress } from "../../core/schemes/schemes.js";
import { systemClock } from "../../core/timers.js";
import { ignore } from "../../core/waiter.js";
import { MAX_DATAGRAM } from "../frame.js";
import { InStream } from "./codec/in-stream.js";
import { Dialer } from "./dialer.js";
import { transportError } from "./errors.js";
import { chosenMechanism } from "./mechanism/mechanism.js";
import type { Peers } from "./peers.js";
import type { CloseReason, Link, Peer, Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";
import { bindAddress } from "./transport/tcp.js";
import type { Binder, Listener } from "./transport/transport.js";
import { bindUdp } from "./transport/udp.js";

const MAX_BATCH = 65_536;

/** Deno may reorder datagrams. */
const IN_TURN = process.versions.deno !== undefined;

/** ms between an endpoint's events of one reason, so that no host floods the program. */
const REPORT_INTERVAL = 1_000;

const NOBODY: Peer = { socketType: "", identity: Buffer.alloc(0), commands: true };

type RefusedReason = "frames" | "full" | "tooLarge";

/** DGRAM has none: each message names its own. */
interface Target {
  readonly address: string;
  readonly port: number;
}

class DatagramLink implements Link {
  readonly datagrams = true;
  readonly #pipe: Pipe;
  readonly #state: SocketState;
  readonly #peers: Peers;
  readonly #raw: boolean;
  readonly #frames = new InStream(-1, () => undefined);
  readonly #reported: Partial<Record<RefusedReason, number>> = {};
  #socket: Socket | undefined = undefined;
  #target: Target | undefined = undefined;
  #inFlight = 0;
  #isDraining = false;
  #isClosed = false;

  constructor(pipe: Pipe, state: SocketState, peers: Peers) {
    this.#pipe = pipe;
    this.#state = state;
    this.#peers = peers;
    this.#raw = state.type === "Datagram";
  }

  open(socket: Socket, target: Target | undefined): void {
    if (this.#isClosed) {
      socket.close();
      return;
    }
    this.#socket = socket;
    this.#target = target;
    socket.unref();
    // Errors of earlier datagrams, such as an unreachable port.
    socket.on("error", ignore);
    if (target === undefined) socket.on("message", this.#socketOnMessage);
    this.flush();
  }

  get blocked(): boolean {
    return this.#socket === undefined || this.#inFlight > 0;
  }

  flush(): void {
    const pipe = this.#pipe;
    while (!this.blocked && !this.#isClosed && pipe.out.length > 0) {
      for (const { bytes, start, end } of pipe.takeOut(MAX_BATCH)) this.#frames.push(bytes, start, end);
      this.#inFlight = 1; // Counts the batch itself until it is handed over.
      this.#handOver();
    }
    if (pipe.out.messages === 0 && this.#isDraining) this.close("local");
  }

  #handOver(): void {
    while (this.#frames.messages > 0) {
      this.#send(this.#frames.take());
      if (IN_TURN && this.#inFlight > 1) return;
    }
    this.#sent();
  }

  #send(message: readonly Buffer[]): void {
    const [first, body] = message as [Buffer, Buffer];
    const target = this.#raw ? targetOf(first.toString()) : this.#target;
    if (target === undefined) {
      this.#state.effects.dropped("disconnected", 1);
      return;
    }
    this.#inFlight += 1;
    const parts = this.#raw ? [body] : encodeGroupDatagram(first, body);
    this.#socket?.send(parts, target.port, target.address, (error) => {
      if (error !== null) this.#state.effects.dropped("disconnected", 1);
      this.#sent();
      if (IN_TURN && this.#inFlight === 1) this.#handOver();
      if (this.#inFlight === 0) this.flush();
    });
  }

  #sent(): void {
    this.#inFlight -= 1;
    if (this.#inFlight > 0) return;
    if (this.#isClosed) this.#socket?.close();
    else {
      this.#pipe.out.confirm();
      this.#pipe.relieved();
      this.#state.effects.changed();
    }
  }

  #socketOnMessage = (datagram: Buffer, from: { readonly address: string; readonly port: number }): void => {
    const pipe = this.#pipe;
    if (this.#isClosed) return;
    const parsed = this.#raw ? this.#parseRaw(datagram, from) : parseGroupDatagram(datagram);
    if (parsed === undefined) {
      this.#refuse(
        "frames",
        `A datagram of ${datagram.length} bytes from ${from.address} has no group and body`,
      );
      return;
    }
    if (!this.#raw && this.#state.routing.wants?.(parsed.group) === false) return;
    if (pipe.paused) {
      this.#refuse("full", "The receive queue is full: a datagram was thrown away");
      return;
    }
    // A datagram may be a slice of larger memory, so its frames are copied.
    const fault = pipe.in.pushFrames([Buffer.from(parsed.group), Buffer.from(parsed.body)]);
    if (fault === undefined) pipe.arrived();
    else this.#refuse("tooLarge", `A datagram of ${datagram.length} bytes is past maxMessageSize`);
  };

  #refuse(reason: RefusedReason, why: string): void {
    const { routing } = this.#state;
    if (reason === "full") routing.overflowed += 1;
    else if (reason === "tooLarge") routing.tooLarge += 1;
    else routing.invalid += 1;
    const now = systemClock.now();
    if (now - (this.#reported[reason] ?? Number.NEGATIVE_INFINITY) < REPORT_INTERVAL) return;
    this.#reported[reason] = now;
    routing.report(reason, why);
  }

  #parseRaw(
    body: Buffer,
    { address, port }: { readonly address: string; readonly port: number },
  ): { group: Buffer; body: Buffer } | undefined {
    if (body.length > MAX_DATAGRAM) return undefined;
    return { group: Buffer.from(formatHostPort("udp", address, port).slice("udp://".length)), body };
  }

  drain(): void {
    this.#isDraining = true;
    this.flush();
  }

  halfClose(): void {
    this.close("local");
  }

  close(_reason: CloseReason): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Closing would discard datagrams in flight.
    if (this.#inFlight === 0) this.#socket?.close();
    this.#peers.left(this.#pipe, "local");
    this.#state.effects.changed();
  }
}

/** HOST:PORT with an IPv4 or [IPv6] address. */
function targetOf(text: string): Target | undefined {
  const colon = text.lastIndexOf(":");
  const address = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(text.slice(colon + 1));
  return isIP(address) !== 0 && port >= 1 && port <= 65_535 ? { address, port } : undefined;
}

export class Datagrams implements Binder {
  readonly #state: SocketState;
  readonly #peers: Peers;

  constructor(state: SocketState, peers: Peers) {
    this.#state = state;
    this.#peers = peers;
  }

  /** @throws TransportError `ENOCOMPATPROTO` for a socket with authentication */
  assertUsable(_use: EndpointUse, options: Readonly<OptionValues>, endpoint: string): void {
    const { name } = chosenMechanism(options);
    const asks = this.#state.listener.engineAuthenticate !== undefined || options.zapEnforceDomain;
    if (name === "NULL" && !asks) return;
    throw new TransportError(
      "ENOCOMPATPROTO",
      `Endpoint ${quoted(endpoint)}: datagrams have no handshake, so udp takes no ${asks ? "authenticate hook" : name}`,
      { endpoint },
    );
  }

  async listen(endpoint: string): Promise<Listener> {
    const { options } = this.#state;
    const given = parseUdp(endpoint);
    const group = isMulticast(given.host) ? given.host : undefined;
    const ipv6 = given.host === "*" ? options.ipv6 : given.host.includes(":");
    const address =
      group === undefined ? bindAddress(given.host, ipv6, endpoint) : group + (ipv6 ? zoneOf(given) : "");
    const socket = await bindUdp({ address, ipv6, port: given.port, exclusive: true }, group !== undefined);
    try {
      // A message may name a group.
      if (this.#state.type === "Datagram") this.#limitGroups(socket);
      if (group !== undefined) socket.addMembership(group, interfaceOf(given, ipv6, endpoint));
    } catch (error) {
      socket.close();
      throw transportError(error as Error, "bind", endpoint);
    }
    const plain = formatHostPort("udp", given.host === "*" ? address : given.host, socket.address().port);
    const own = given.interface?.includes(":") ? `[${given.interface}]` : given.interface;
    const resolved = own === undefined ? plain : plain.replace("://", `://${own};`);
    const pipe = this.#peers.make(resolved, false);
    const link = new DatagramLink(pipe, this.#state, this.#peers);
    this.#peers.add(pipe);
    pipe.linked(link, NOBODY);
    pipe.peer = undefined; // Any host may send.
    // On Deno the address is free only after the event.
    const closed = new Promise<void>((resolve) => void socket.once("close", resolve));
    link.open(socket, undefined);
    const close = (): Promise<void> => {
      if (!this.#peers.leave(pipe, ignore)) this.#peers.end(pipe, "local");
      return closed;
    };
    return { endpoint: resolved, close };
  }

  listenSync(): never {
    throw new NotSupportedError(
      "bindSync cannot bind udp: Node.js binds its datagram sockets in a later turn",
    );
  }

  connect(endpoint: string): Dialer {
    const pipe = this.#peers.make(endpoint, true);
    const link = new DatagramLink(pipe, this.#state, this.#peers);
    return new Dialer(this.#state, {
      endpoint,
      routingId: undefined,
      pipe,
      options: this.#state.options,
      begin: () => {
        this.#peers.add(pipe);
        // Messages are queued until the name is resolved.
        pipe.linked(link, NOBODY);
        this.#peers.joined(pipe);
      },
      attempt: (dialer) => {
        this.#resolve(endpoint).then(
          ({ socket, target }) => link.open(socket, target),
          (cause: Error) => {
            if (!pipe.ended) dialer.retry(() => transportError(cause, "connect to", endpoint));
          },
        );
        return undefined;
      },
    });
  }

  /** How far datagrams to multicast groups go. */
  #limitGroups(socket: Socket): void {
    socket.setMulticastTTL(this.#state.options.multicastHops);
    socket.setMulticastLoopback(this.#state.options.multicastLoop);
  }

  async #resolve(endpoint: string): Promise<{ socket: Socket; target: Target }> {
    const { options } = this.#state;
    const given = parseUdp(endpoint);
    const address = await addressOf(given.host, options.ipv6);
    const ipv6 = address.includes(":");
    const socket = await bindUdp({ ipv6, port: 0, exclusive: true }, false);
    try {
      if (isMulticast(address)) {
        this.#limitGroups(socket);
        const own = interfaceOf(given, ipv6, endpoint);
        if (own !== undefined) socket.setMulticastInterface(own);
      }
    } catch (error) {
      socket.close();
      throw error;
    }
    return { socket, target: { address, port: given.port } };
  }
}

async function addressOf(host: string, ipv6: boolean): Promise<string> {
  if (isIP(host.split("%", 1)[0] as string) !== 0) return host;
  const { address } = await lookup(host, { family: ipv6 ? 0 : 4 });
  return address;
}

/** In Node.js's form: an IPv4 address, or an IPv6 address with a zone. */
function interfaceOf(given: UdpAddress, ipv6: boolean, endpoint: string): string | undefined {
  if (given.interface === undefined) return undefined;
  return ipv6 ? `::${zoneOf(given)}` : bindAddress(given.interface, false, endpoint);
}

/** Unrouted IPv6 groups (ff01, ff02) require the interface as a zone. */
function zoneOf({ host, interface: given }: UdpAddress): string {
  if (given === undefined || host.includes("%")) return "";
  if (!given.includes(":")) return `%${given}`;
  const [address, zone] = given.split("%", 2) as [string, string?];
  const named = Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some((each) => each.address === address),
  );
  return `%${zone ?? named?.[0] ?? given}`;
}

/**
 * The content of a datagram (libzmq, zmq_udp(7)), by socket type:
 *
 *   RADIO to DISH   length of the group, 1 byte | group | body
 *   DGRAM           body; the peer's HOST:PORT is the message's first frame on each side
 *
 * At most 8,192 bytes, as in libzmq.
 */
export function encodeGroupDatagram(group: Uint8Array, body: Uint8Array): Uint8Array[] {
  return [Uint8Array.of(group.length), group, body];
}

/** @returns views; `undefined`: shorter than its group, or too long */
export function parseGroupDatagram(
  datagram: Buffer,
): { readonly group: Buffer; readonly body: Buffer } | undefined {
  const length = datagram[0];
  if (length === undefined || datagram.length < 1 + length || datagram.length > MAX_DATAGRAM)
    return undefined;
  return { group: datagram.subarray(1, 1 + length), body: datagram.subarray(1 + length) };
}
