/** A socket's endpoints, checked so that all engines report the same errors. */
import { checkCallOptions, quoted } from "../core/arguments.js";
import { InvalidArgumentError, type ShoalError, TransportError } from "../core/errors.js";
import { checkServer, type EndpointUse, type HttpServerEndpoint } from "../core/schemes/grammar.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { Engine, EngineSocket } from "../engine/engine.js";
import { checkSecurity } from "./check-options.js";
import { type EndpointSource, isEndpointSource, SourceReader } from "./endpoint-source.js";
import type { SocketEvents } from "./socket-events.js";
import type { Counters } from "./stats.js";

/** Types that ignore a second connect to an endpoint. */
const CONNECTS_ONCE: readonly SocketTypeName[] = ["Dealer", "Subscriber", "Publisher", "Request"];

/** ms for unsent messages of an endpoint that has left its list, if the linger has no bound. */
const SOURCE_LINGER = 30_000;

interface Sourced {
  readonly reader: SourceReader;
  /** Endpoints of its list that are connected, and of the last one until they are disconnected. */
  readonly endpoints: Set<string>;
}

/** The socket's core. */
interface EndpointsOwner {
  readonly typeName: SocketTypeName;
  readonly options: Readonly<Record<string, unknown>>;
  readonly engine: EngineSocket;
  readonly events: SocketEvents;
  readonly counters: Counters;
  readonly closed: boolean;
  assertOpen(): void;
}

export class SocketEndpoints {
  readonly #core: EndpointsOwner;
  readonly #engine: Engine;
  readonly #sources = new Map<EndpointSource, Sourced>();
  /** Endpoints connected only for sources. */
  readonly #sourced = new Set<string>();
  readonly #watchers = new Set<(bound: readonly string[]) => void>();
  /** Resolved -> given; a wildcard may be given several times. */
  readonly #bound = new Map<string, string>();
  /** Endpoint -> connections. */
  readonly #connected = new Map<string, number>();
  last: string | null = null;
  /** Calls of `bind` and `unbind` in flight. */
  settling = 0;

  constructor(core: EndpointsOwner, engine: Engine) {
    this.#core = core;
    this.#engine = engine;
  }

  /** Endpoints; bound ones without wildcards. */
  get all(): { readonly bound: string[]; readonly connected: string[] } {
    return { bound: [...this.#bound.keys()], connected: [...this.#connected.keys()] };
  }

  get any(): boolean {
    return this.#bound.size > 0 || this.#connected.size > 0;
  }

  /** There are none, and no source may give others. */
  get areOver(): boolean {
    return !this.any && this.#sources.size === 0;
  }

  /** Whether messages leave as datagrams, too. */
  get datagrams(): boolean {
    for (const endpoint of this.#connected.keys()) if (endpoint.startsWith("udp:")) return true;
    return false;
  }

  /** Reports all bound endpoints now and at each change, and none at close. @returns stops */
  watchBound(watcher: (bound: readonly string[]) => void): () => void {
    this.#watchers.add(watcher);
    watcher(this.#core.closed ? [] : [...this.#bound.keys()]);
    return () => this.#watchers.delete(watcher);
  }

  /** Their endpoints stay connected. */
  leaveSources(): void {
    for (const { reader } of this.#sources.values()) reader.stop();
    this.#sources.clear();
  }

  /** Connections stay until their messages have left. */
  end(): void {
    this.leaveSources();
    this.#watched([]);
    this.#watchers.clear();
  }

  async settled<T>(call: () => Promise<T>): Promise<T> {
    this.settling += 1;
    try {
      return await call();
    } finally {
      this.settling -= 1;
    }
  }

  async bind(given: string | HttpServerEndpoint): Promise<string> {
    const { endpoints } = this.#core.engine;
    if (typeof given !== "object" || given === null) {
      this.#check(given, "bind");
      return this.#isBound(given, await endpoints.bind(given));
    }
    this.#core.assertOpen();
    const { endpoint, server } = checkServer(given, (endpoint) => this.#checkForm(endpoint, "bind"));
    checkSecurity(this.#core.options);
    const resolved = await endpoints.bind(endpoint, server);
    return this.#isBound(resolved, resolved);
  }

  bindSync(endpoint: string): string {
    this.#check(endpoint, "bind");
    return this.#isBound(endpoint, this.#core.engine.endpoints.bindSync(endpoint));
  }

  /** Throws synchronously, so that `unbindSync` can as well. */
  unbind(endpoint: string): Promise<void> {
    this.#core.assertOpen();
    this.#checkForm(endpoint, "bind");
    for (const [resolved, given] of this.#bound) {
      if (given !== endpoint && resolved !== endpoint) continue;
      this.#bound.delete(resolved);
      this.#watched([...this.#bound.keys()]);
      return this.#core.engine.endpoints.unbind(resolved);
    }
    throw new TransportError("ENOENT", `Cannot unbind ${endpoint}: the socket is not bound to it`, {
      endpoint,
    });
  }

  isBound(endpoint: string): boolean {
    return this.#bound.has(endpoint);
  }

  /** @param routingId a ROUTER's or STREAM's name for the peer @returns a PEER's id */
  connect(endpoint: string, routingId: string | undefined): Uint8Array | undefined {
    this.#check(endpoint, "connect");
    if (routingId !== undefined) checkPeerId(routingId);
    const connections = this.#connected.get(endpoint) ?? 0;
    // An explicit connection outlasts those of sources.
    this.#sourced.delete(endpoint);
    // A second connection would double each message or answer; libzmq also ignores it.
    if (connections > 0 && CONNECTS_ONCE.includes(this.#core.typeName)) return undefined;
    // First, because a listener of an event of this call may disconnect it.
    this.#connected.set(endpoint, connections + 1);
    try {
      const id = this.#core.engine.endpoints.connect(endpoint, routingId);
      this.last = endpoint;
      return id;
    } catch (error) {
      if (connections > 0) this.#connected.set(endpoint, connections);
      else this.#connected.delete(endpoint);
      throw error;
    }
  }

  /** `connect` of a ROUTER or STREAM, whose options may name the peer. */
  connectNamed(endpoint: string | EndpointSource, options: { readonly routingId?: string }): void {
    checkCallOptions("connect", options, ["routingId"]);
    const { routingId } = options;
    if (!isEndpointSource(endpoint)) this.connect(endpoint, routingId);
    else if (routingId === undefined) this.connectSource(endpoint);
    else throw new InvalidArgumentError("routingId is the name of one peer; a source has many");
  }

  disconnect(endpoint: string): void {
    this.#core.assertOpen();
    this.#checkForm(endpoint, "connect");
    const connections = this.#connected.get(endpoint);
    // libzmq's disconnect would unbind a bound endpoint.
    if (connections === undefined) {
      throw new TransportError("ENOENT", `Cannot disconnect ${endpoint}: the socket is not connected to it`, {
        endpoint,
      });
    }
    // First, because a listener of an event of this call may connect again.
    this.#connected.delete(endpoint);
    this.#sourced.delete(endpoint);
    this.#core.events.forget(endpoint);
    this.#core.engine.endpoints.disconnect(endpoint);
  }

  /** The engine does not dial the endpoint again (`reconnectInterval` -1). */
  over(endpoint: string): void {
    const left = (this.#connected.get(endpoint) ?? 1) - 1;
    if (left > 0) {
      this.#connected.set(endpoint, left);
      return;
    }
    this.#connected.delete(endpoint);
    this.#sourced.delete(endpoint);
    for (const { endpoints } of this.#sources.values()) endpoints.delete(endpoint);
  }

  connectSource(source: EndpointSource): void {
    this.#core.assertOpen();
    checkSecurity(this.#core.options);
    if (this.#sources.has(source)) return;
    const check = (endpoint: string): void => {
      this.#checkForm(endpoint, "connect");
      checkDatagrams(endpoint, "connect", this.#core.typeName);
    };
    const sourced: Sourced = {
      endpoints: new Set(),
      reader: new SourceReader(source, check, {
        sourceOnList: (endpoints) => this.#onList(sourced, endpoints),
        sourceOnRefused: (address, error) => this.#refused(address, error),
        sourceOnFailed: (error, interval) =>
          this.#core.events.emit({ type: "source:failed", error, interval }),
      }),
    };
    this.#sources.set(source, sourced);
    sourced.reader.start();
  }

  disconnectSource(source: EndpointSource): void {
    this.#core.assertOpen();
    const sourced = this.#sources.get(source);
    if (sourced === undefined)
      throw new TransportError("ENOENT", "Cannot disconnect a source: the socket is not connected to it");
    sourced.reader.stop();
    this.#sources.delete(source);
    for (const endpoint of sourced.endpoints) this.#disconnectFor(endpoint);
  }

  /** Those with reported handshakes, and one for sources. */
  expectedPeers(): number {
    const reported = this.#engine.capabilities.peerEvents;
    let expected = this.#sources.size > 0 ? 1 : 0;
    for (const [endpoint, connections] of this.#connected) {
      if (this.#sourced.has(endpoint)) continue;
      if (reported.includes(endpoint.slice(0, endpoint.indexOf(":")))) expected += connections;
    }
    return expected;
  }

  /** Listeners of its events may disconnect the source, which disconnects `sourced.endpoints`, or close the socket. */
  #onList({ reader, endpoints }: Sourced, list: readonly string[]): void {
    for (const endpoint of list) {
      if (endpoints.has(endpoint)) continue;
      endpoints.add(endpoint);
      if (!this.#connectFor(endpoint)) endpoints.delete(endpoint);
      if (reader.stopped) return;
    }
    const kept = new Set(list);
    for (const endpoint of [...endpoints]) {
      if (kept.has(endpoint)) continue;
      endpoints.delete(endpoint);
      this.#disconnectFor(endpoint);
      if (reader.stopped) return;
    }
    const now = list.filter((endpoint) => endpoints.has(endpoint));
    this.#core.events.emit({ type: "source:changed", endpoints: now });
  }

  #connectFor(endpoint: string): boolean {
    // For the program or another source.
    if (this.#connected.has(endpoint)) return true;
    this.#sourced.add(endpoint);
    this.#connected.set(endpoint, 1);
    try {
      this.#core.engine.endpoints.connect(endpoint, undefined);
    } catch (error) {
      this.#sourced.delete(endpoint);
      this.#connected.delete(endpoint);
      this.#refused(endpoint, error as ShoalError);
      return false;
    }
    this.last = endpoint;
    return true;
  }

  /** Unless the program or another source has it. */
  #disconnectFor(endpoint: string): void {
    for (const { endpoints } of this.#sources.values()) if (endpoints.has(endpoint)) return;
    if (!this.#sourced.delete(endpoint)) return;
    this.#connected.delete(endpoint);
    this.#core.events.forget(endpoint);
    if (!this.#core.closed) this.#core.engine.endpoints.disconnect(endpoint, SOURCE_LINGER);
  }

  #refused(address: string, error: ShoalError): void {
    const { counters, events } = this.#core;
    counters.endpointsRefused += 1;
    events.emit({ type: "endpoint:refused", address, error });
  }

  #watched(bound: readonly string[]): void {
    for (const watcher of [...this.#watchers]) watcher(bound);
  }

  #check(endpoint: string, use: "bind" | "connect"): void {
    this.#core.assertOpen();
    this.#checkForm(endpoint, use);
    checkDatagrams(endpoint, use, this.#core.typeName);
    checkSecurity(this.#core.options);
  }

  #checkForm(endpoint: unknown, use: EndpointUse): void {
    this.#engine.checkEndpoint(endpoint, use, this.#engine.capabilities.transports);
  }

  #isBound(endpoint: string, resolved: string): string {
    this.#bound.set(resolved, endpoint);
    this.last = resolved;
    this.#watched([...this.#bound.keys()]);
    return resolved;
  }
}

/** @throws InvalidArgumentError for an invalid routing id (37/ZMTP, The Identity Property) */
function checkPeerId(routingId: unknown): void {
  const length = typeof routingId === "string" ? Buffer.byteLength(routingId) : 0;
  if (length >= 1 && length <= 255 && !(routingId as string).startsWith("\0")) return;
  throw new InvalidArgumentError(
    `routingId must be a string of 1 to 255 bytes that does not begin with a zero byte; got ${quoted(routingId)}`,
  );
}

const DATAGRAMS: Readonly<Partial<Record<SocketTypeName, "bind" | "connect">>> = {
  Radio: "connect",
  Dish: "bind",
  Datagram: "bind",
};

/** @throws TransportError `ENOCOMPATPROTO` for a socket type without udp, or only with it */
function checkDatagrams(endpoint: string, use: "bind" | "connect", type: SocketTypeName): void {
  const isUdp = endpoint.startsWith("udp:");
  if (isUdp ? DATAGRAMS[type] === use : type !== "Datagram") return;
  const what = isUdp
    ? "udp is for bind of Dish and Datagram, and connect of Radio"
    : "a Datagram is bound to udp alone";
  throw new TransportError("ENOCOMPATPROTO", `Cannot ${use} ${endpoint} of a ${type}: ${what}`, { endpoint });
}
