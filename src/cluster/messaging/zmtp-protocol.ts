/**
 * The protocols tcp, ipc, node, ws and tls: a ROUTER that listens, a DEALER to each peer (37/ZMTP). With a key of the bus all are CURVE
 * (26/CURVEZMQ), tls within its TLS: a caller without the key sees a closed connection. Of "node" the listener is the node's own port
 * (net/message-streams.ts), so that no other has to be open.
 *
 * A DEALER makes one connection and none after it: the links decide when to dial again, and by which protocol. It sends PINGs while what it sent
 * has no answer, and the ROUTER sends none: with a node's links to all others, PINGs each way every 5 s were half of what woke it. What comes no
 * more is the links' to notice (links.ts).
 */
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { keyOf } from "../../core/memory.js";
import type { OptionValues } from "../../core/option-table.js";
import type { PeerCredentials } from "../../engine/engine.js";
import { zmtpEngineOver } from "../../engine/zmtp/engine.js";
import type { Transport } from "../../engine/zmtp/transport/transport.js";
import { Context, standInContext } from "../../sockets/context.js";
import { deliverNow, listen, Policing, readAll } from "../../sockets/internal.js";
import { Dealer, Router, type RouterOptions } from "../../sockets/request-reply.js";
import { isListenedAt } from "../listened-at.js";
import { bindFree, parsePorts } from "../ports.js";
import { DIAL_TIMEOUT_MAX, LINK_WINDOW, MAX_LINK_CONNECTIONS } from "./bounds.js";
import type {
  ConnectionEvents,
  DialTarget,
  MessageConnection,
  MessageProtocol,
  ProtocolHost,
  ProtocolListener,
} from "./protocol.js";
import { makeSocketFolder, removeSocketFolder } from "./socket-folder.js";

/** ms after which a DEALER would dial again by itself: never, since its connection is given up before. */
const NEVER = 3_600_000;
/** Handshakes at once. */
const MAX_HANDSHAKES = 1_024;

/** A socket's options that are the same at both ends. Windows bound what is sent (window.ts), so marks are not needed. */
const OPTIONS = {
  sendHighWaterMark: 0,
  receiveHighWaterMark: 0,
  receiveHighWaterMarkBytes: LINK_WINDOW,
  linger: 0,
} as const;

/** Messages over TCP. */
export function tcpProtocol(): MessageProtocol {
  return new ZmtpProtocol("tcp", undefined);
}

/** Messages over streams to the node's own port. @param transport `undefined`: its name alone is asked for */
export function nodeProtocol(transport: Transport | undefined): MessageProtocol {
  return new ZmtpProtocol("node", undefined, transport);
}

/** Messages over a socket in the file system, to nodes of this host. */
export function ipcProtocol(): MessageProtocol {
  return new ZmtpProtocol("ipc", undefined);
}

/** Messages over WebSockets, where a network lets nothing else pass. */
export function wsProtocol(): MessageProtocol {
  return new ZmtpProtocol("ws", undefined);
}

/** Messages over TLS, in which both ends show a certificate. @param tls `undefined`: nothing can be dialled, or listened at */
export function tlsProtocol(tls: ProtocolTls | undefined): MessageProtocol {
  return new ZmtpProtocol("tls", tls);
}

/** Certificates of a node, as they are now; other objects after each change. */
export interface ProtocolTls {
  readonly listening: OptionValues;
  readonly dialling: OptionValues;
}

/** What a socket has of them. */
function tlsOptions(values: OptionValues) {
  const { tlsCert, tlsKey, tlsPassphrase, tlsCa, tlsCheckName, tlsMinVersion } = values;
  return { tlsCert, tlsKey, tlsPassphrase, tlsCa, tlsCheckName, tlsMinVersion };
}

/**
 * The sockets of a protocol are not the program's: they have a context of their own, with room for a DEALER to each member. The engine is the
 * program's where it knows its peers, as a listener needs it, and else zmtp. In a simulation it is the machine's.
 */
function createContext(transport: Transport | undefined): Context {
  if (transport !== undefined) {
    const engine = zmtpEngineOver({ get: (scheme) => (scheme === "tcp" ? transport : undefined) });
    return new Context({ maxSockets: MAX_LINK_CONNECTIONS, engine });
  }
  const simulated = standInContext();
  if (simulated !== undefined) return simulated;
  const context = new Context({ maxSockets: MAX_LINK_CONNECTIONS });
  return context.load().capabilities.peerRoutingIds
    ? context
    : new Context({ maxSockets: MAX_LINK_CONNECTIONS, engine: "zmtp" });
}

class ZmtpProtocol implements MessageProtocol {
  readonly name: "tcp" | "ipc" | "node" | "ws" | "tls";
  readonly secure = true;
  readonly #tls: ProtocolTls | undefined;
  readonly #transport: Transport | undefined;
  #context: Context | undefined = undefined;

  /** @param transport that stands in for tcp */
  constructor(name: ZmtpProtocol["name"], tls: ProtocolTls | undefined, transport?: Transport) {
    this.name = name;
    this.#tls = tls;
    this.#transport = transport;
  }

  reaches({ local, host }: DialTarget): boolean {
    return this.name === "ipc" ? local : host !== "";
  }

  async listen(host: ProtocolHost): Promise<ProtocolListener> {
    const ipv6 = this.name !== "ipc" && host.host.includes(":");
    const listener = new RouterListener(host, this.#own, ipv6, this.#tls);
    try {
      if (this.name === "ipc") await listener.bindIpc();
      else if (this.name === "node") await listener.bindPort("tcp", undefined);
      else listener.followInterface(await listener.bindPort(this.name, host.ports));
    } catch (error) {
      await listener.close(0);
      throw error;
    }
    return listener;
  }

  dial(advert: string, target: DialTarget, host: ProtocolHost, events: ConnectionEvents): MessageConnection {
    const address = target.host.includes(":") ? `[${target.host}]` : target.host;
    const scheme = this.name === "node" ? "tcp" : this.name;
    const endpoint = this.name === "ipc" ? `ipc://${advert}` : `${scheme}://${address}:${advert}`;
    return new DealerConnection(this.#own, endpoint, target, host, this.#tls, events);
  }

  get #own(): Context {
    this.#context ??= createContext(this.#transport);
    return this.#context;
  }
}

class RouterListener implements ProtocolListener {
  advert = "";
  readonly #host: ProtocolHost;
  readonly #tls: ProtocolTls | undefined;
  readonly #router: Router;
  readonly #policing: Policing;
  readonly #peers = new Map<string, RouterConnection>();
  #joining: PeerCredentials | undefined;
  /** Of its socket, where it has one in the file system. */
  #path: string | undefined;
  /** Where it is bound, with sockets of its own. */
  #address: string | undefined;

  constructor(host: ProtocolHost, context: Context, ipv6: boolean, tls: ProtocolTls | undefined) {
    this.#host = host;
    this.#tls = tls;
    const { security } = host;
    const options: RouterOptions = {
      ...OPTIONS,
      context,
      maxMessageSize: host.maxFrame,
      maxConnections: MAX_LINK_CONNECTIONS,
      heartbeatInterval: 0,
      maxPendingHandshakes: MAX_HANDSHAKES,
      // As long as a dialler may wait: a busy node is slow at both ends. Past the mark the oldest handshake goes.
      handshakeInterval: DIAL_TIMEOUT_MAX,
      backlog: MAX_HANDSHAKES,
      ipv6,
      ...(tls !== undefined && tlsOptions(tls.listening)),
      authenticate: async ({ publicKey = "" }) => security === undefined || security.accepts(publicKey),
    };
    if (security !== undefined) {
      options.curveServer = true;
      options.curvePublicKey = security.server.publicKey;
      options.curveSecretKey = security.server.secretKey;
    }
    this.#router = new Router(options);
    this.#policing = new Policing(this.#router);
    this.#policing.change(
      {
        joins: (peer) => {
          // The event of the same peer comes next, with its routing id and without its credentials.
          this.#joining = peer;
          return true;
        },
      },
      undefined,
    );
    listen(this.#router, (event) => {
      if (event.type === "peer:join" && event.routingId !== undefined) this.#onJoin(event.routingId);
      else if (event.type === "peer:leave" && event.routingId !== undefined)
        this.#onLeave(event.routingId, event.reason);
    });
  }

  /** @param ports to use, "FIRST-LAST"; `undefined`: any @returns where it listens */
  async bindPort(scheme: "tcp" | "ws" | "tls", ports: string | undefined): Promise<string> {
    const { host } = this.#host;
    const shown = host.includes(":") ? `[${host}]` : host;
    const range = ports === undefined ? undefined : parsePorts(ports);
    // No page is a node, not even one that its browser takes for a page of this host (DNS rebinding).
    if (scheme === "ws") this.#router.wsOrigins = "";
    const endpoint = await bindFree(0, range, (port) =>
      this.#router.bind(`${scheme}://${shown}:${port === 0 ? "*" : port}`),
    );
    // That of a WebSocket has a path.
    this.advert = /:(\d+)[^:]*$/.exec(endpoint)?.[1] ?? "";
    this.#receive();
    return endpoint;
  }

  /** Its sockets are its own, not those of the node's port, which the node binds again itself. */
  followInterface(endpoint: string): void {
    this.#address = /^\w+:\/\/\[?([^\]%/]+?)(?:%[^\]]*)?\]?:\d+/.exec(endpoint)?.[1];
  }

  async bindIpc(): Promise<void> {
    // A machine of a simulation has paths of its own.
    const isSimulated = standInContext() !== undefined;
    if (!isSimulated) this.#path = await makeSocketFolder();
    const endpoint = await this.#router.bind(`ipc://${this.#path ?? "*"}`);
    this.advert = endpoint.slice("ipc://".length);
    this.#receive();
  }

  /**
   * A socket in the file system may be removed, and an interface get another address: its listener notices nothing. One that is bound to an address
   * stays where that goes: the system has it until this process closes it, and it is reached again when the address is back.
   */
  async isOpen(): Promise<boolean> {
    if (this.#path !== undefined) return isListenedAt(this.#path);
    const address = this.#address;
    if (address === undefined || standInContext() !== undefined) return true;
    // An address and "*" are no names of interfaces.
    const all = networkInterfaces()[this.#host.host] ?? [];
    const alike = all.filter((each) => isIP(each.address) === isIP(address));
    return alike.length === 0 || alike.some((each) => each.address === address);
  }

  rekeyed(): void {
    const { security } = this.#host;
    if (this.#tls !== undefined) Object.assign(this.#router, tlsOptions(this.#tls.listening));
    if (security === undefined) return;
    // Of connections made from now on.
    this.#router.curvePublicKey = security.server.publicKey;
    this.#router.curveSecretKey = security.server.secretKey;
    this.#policing.disconnect(({ publicKey = "" }) => !security.accepts(publicKey));
  }

  async close(linger: number): Promise<void> {
    await this.#router.close({ linger });
    for (const connection of [...this.#peers.values()]) connection.ended("closed");
    this.#peers.clear();
    if (this.#path !== undefined) await removeSocketFolder(this.#path);
  }

  /** @internal */
  send(message: Buffer[]): boolean {
    return this.#router.tryDeliver(message) === "sent";
  }

  /** @internal Ends the connection of a peer. */
  disconnect(connection: RouterConnection): void {
    this.#peers.delete(connection.key);
    const { credentials } = connection;
    if (credentials !== undefined && !this.#router.closed)
      this.#policing.disconnect((each) => each === credentials);
  }

  #receive(): void {
    readAll(this.#router, (message) => {
      const id = message.shift() as Buffer;
      this.#peers.get(keyOf(id))?.events?.onMessage(message);
    });
  }

  #onJoin(routingId: Buffer): void {
    const credentials = this.#joining;
    this.#joining = undefined;
    const connection = new RouterConnection(this, Buffer.from(routingId), credentials);
    this.#peers.set(connection.key, connection);
    connection.events = this.#host.accept(connection);
    connection.events.onOpen();
  }

  #onLeave(routingId: Buffer, reason: string): void {
    const key = keyOf(routingId);
    const connection = this.#peers.get(key);
    this.#peers.delete(key);
    connection?.ended(reason);
  }
}

/** A peer of the ROUTER. */
class RouterConnection implements MessageConnection {
  readonly publicKey: string | undefined;
  readonly address: string | undefined;
  readonly credentials: PeerCredentials | undefined;
  readonly key: string;
  readonly #routingId: Buffer;
  readonly #listener: RouterListener;
  events: ConnectionEvents | undefined = undefined;

  constructor(listener: RouterListener, routingId: Buffer, credentials: PeerCredentials | undefined) {
    this.#listener = listener;
    this.#routingId = routingId;
    this.key = keyOf(routingId);
    this.credentials = credentials;
    this.publicKey = credentials?.publicKey;
    this.address = credentials?.address;
  }

  send(frames: readonly Uint8Array[]): void {
    this.#listener.send([this.#routingId, ...frames] as Buffer[]);
  }

  close(_linger: number): void {
    this.events = undefined;
    // What was sent before, such as a refusal, leaves first.
    setImmediate(() => this.#listener.disconnect(this));
  }

  ended(reason: string): void {
    const { events } = this;
    this.events = undefined;
    events?.onClose(reason);
  }
}

/** A connection that this node dialled. */
class DealerConnection implements MessageConnection {
  readonly publicKey: string | undefined;
  readonly copiesSent: boolean;
  readonly #dealer: Dealer;
  #events: ConnectionEvents | undefined;

  constructor(
    context: Context,
    endpoint: string,
    target: DialTarget,
    { security, maxFrame, heartbeat }: ProtocolHost,
    tls: ProtocolTls | undefined,
    events: ConnectionEvents,
  ) {
    const keys = security?.clientFor(target);
    this.#events = events;
    this.publicKey = keys?.serverKey;
    // A machine of a simulation passes memory on.
    this.copiesSent = standInContext() === undefined;
    this.#dealer = new Dealer({
      ...OPTIONS,
      context,
      maxMessageSize: maxFrame,
      heartbeatInterval: heartbeat,
      heartbeatTimeout: heartbeat,
      heartbeatWhenIdle: false,
      reconnectInterval: NEVER,
      reconnectMaxInterval: NEVER,
      // The link gives an attempt up before; it does not count while this process stands still.
      connectTimeout: 2 * DIAL_TIMEOUT_MAX,
      handshakeInterval: 2 * DIAL_TIMEOUT_MAX,
      ipv6: /^[a-z]+:\/\/\[/.test(endpoint),
      ...(tls !== undefined && tlsOptions(tls.dialling)),
      ...(keys !== undefined && {
        curvePublicKey: keys.pair.publicKey,
        curveSecretKey: keys.pair.secretKey,
        curveServerKey: keys.serverKey,
      }),
    });
    if (security !== undefined && keys === undefined) {
      queueMicrotask(() => this.#end("no key"));
      return;
    }
    listen(this.#dealer, (event) => {
      if (event.type === "peer:join") this.#events?.onOpen();
      else if (event.type === "connect:retry") this.#end(event.error?.message ?? "failed");
      else if (event.type === "peer:leave") this.#end(event.reason);
    });
    try {
      this.#dealer.connect(endpoint);
      readAll(this.#dealer, (message) => this.#events?.onMessage(message));
    } catch (error) {
      // What a peer advertises is no endpoint.
      queueMicrotask(() => this.#end((error as Error).message));
    }
  }

  send(frames: readonly Uint8Array[]): void {
    if (deliverNow(this.#dealer, frames as Buffer[]) !== "sent") this.#end("closed");
  }

  close(linger: number): void {
    this.#events = undefined;
    void this.#dealer.close({ linger });
  }

  #end(reason: string): void {
    const events = this.#events;
    this.close(0);
    events?.onClose(reason);
  }
}
