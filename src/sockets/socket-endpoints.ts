/**
 * The endpoints a socket is bound and connected to. What is wrong with a call is
 * found here, before the engine is called, so all engines report it alike.
 */
import { InvalidArgumentError, TransportError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { EngineCapabilities, EngineEndpoints } from "../engine/engine.js";

import { checkEndpoint } from "./endpoint.js";
import { checkSecurity } from "./security/check.js";

/** Socket types for which connecting twice to one endpoint is connecting once. */
const CONNECTS_ONCE: readonly SocketTypeName[] = ["Dealer", "Subscriber", "Publisher", "Request"];

export class SocketEndpoints {
  readonly #type: SocketTypeName;
  readonly #engine: EngineEndpoints;
  readonly #capabilities: EngineCapabilities;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #assertOpen: () => void;
  /** As resolved -> as given: a wildcard may be given many times. */
  readonly #bound = new Map<string, string>();
  /** Endpoint -> connections. */
  readonly #connected = new Map<string, number>();
  #last: string | null = null;
  #settling = 0;
  /** What `nameNext` was given. */
  #nextName: string | undefined = undefined;

  constructor(
    type: SocketTypeName,
    engine: EngineEndpoints,
    capabilities: EngineCapabilities,
    options: Readonly<Record<string, unknown>>,
    assertOpen: () => void,
  ) {
    this.#type = type;
    this.#engine = engine;
    this.#capabilities = capabilities;
    this.#options = options;
    this.#assertOpen = assertOpen;
  }

  /** Calls of `bind` and `unbind` that have not settled. */
  get settling(): number {
    return this.#settling;
  }

  /** The endpoint of the last bind, as resolved, or connect. */
  get last(): string | null {
    return this.#last;
  }

  /** Endpoints bound, with wildcards filled in, and those connected to. */
  get all(): { readonly bound: string[]; readonly connected: string[] } {
    return { bound: [...this.#bound.keys()], connected: [...this.#connected.keys()] };
  }

  /** Whether the socket is bound or connected to anything. */
  get any(): boolean {
    return this.#bound.size > 0 || this.#connected.size > 0;
  }

  /** A call of `bind` or `unbind`, counted in `settling` until it has settled. */
  async settled<T>(call: () => Promise<T>): Promise<T> {
    this.#settling += 1;
    try {
      return await call();
    } finally {
      this.#settling -= 1;
    }
  }

  /** @returns the endpoint as resolved */
  async bind(endpoint: string): Promise<string> {
    this.#check(endpoint, "bind");
    return this.#isBound(endpoint, await this.#engine.bind(endpoint));
  }

  /** @returns the endpoint as resolved */
  bindSync(endpoint: string): string {
    this.#check(endpoint, "bind");
    return this.#isBound(endpoint, this.#engine.bindSync(endpoint));
  }

  /** Throws at once for what is wrong with the call; so `unbindSync` can throw it, too. */
  unbind(endpoint: string): Promise<void> {
    this.#assertOpen();
    checkEndpoint(endpoint, "bind", this.#capabilities.transports);
    for (const [resolved, given] of this.#bound) {
      if (given !== endpoint && resolved !== endpoint) continue;
      this.#bound.delete(resolved);
      return this.#engine.unbind(endpoint);
    }
    throw new TransportError("ENOENT", `Cannot unbind ${endpoint}: the socket is not bound to it`, {
      endpoint,
    });
  }

  /** @param endpoint as resolved */
  isBound(endpoint: string): boolean {
    return this.#bound.has(endpoint);
  }

  /** @param routingId the name that a ROUTER or STREAM gives the peer */
  connect(endpoint: string, routingId: string | undefined): void {
    this.#check(endpoint, "connect");
    const name = routingId ?? this.#nextName;
    if (name !== undefined) checkPeerId(name);
    const connections = this.#connected.get(endpoint) ?? 0;
    // A second connection to the same peer would double each message or answer; libzmq makes none, either.
    if (connections > 0 && CONNECTS_ONCE.includes(this.#type)) return;
    this.#engine.connect(endpoint, name);
    this.#nextName = undefined;
    this.#connected.set(endpoint, connections + 1);
    this.#last = endpoint;
  }

  /** The name that a ROUTER or STREAM gives the next peer that it connects to; null: none. */
  nameNext(routingId: string | Uint8Array | null): void {
    if (this.#type !== "Router" && this.#type !== "Stream")
      throw new InvalidArgumentError(`${this.#type} gives its peers no names`);
    const name = routingId === null ? undefined : Buffer.from(routingId as string).toString();
    if (name !== undefined) checkPeerId(name);
    this.#nextName = name;
  }

  disconnect(endpoint: string): void {
    this.#assertOpen();
    checkEndpoint(endpoint, "connect", this.#capabilities.transports);
    // Asked here, since for libzmq to disconnect what is bound is to unbind it.
    if (!this.#connected.has(endpoint)) {
      throw new TransportError("ENOENT", `Cannot disconnect ${endpoint}: the socket is not connected to it`, {
        endpoint,
      });
    }
    this.#engine.disconnect(endpoint);
    this.#connected.delete(endpoint);
  }

  /** Connections that `ready` waits for: those whose engine reports handshakes. */
  expectedPeers(): number {
    const reported = this.#capabilities.peerEvents;
    let expected = 0;
    for (const [endpoint, connections] of this.#connected) {
      if (reported.includes(endpoint.slice(0, endpoint.indexOf(":")))) expected += connections;
    }
    return expected;
  }

  #check(endpoint: string, use: "bind" | "connect"): void {
    this.#assertOpen();
    checkEndpoint(endpoint, use, this.#capabilities.transports);
    checkSecurity(this.#options);
  }

  #isBound(endpoint: string, resolved: string): string {
    this.#bound.set(resolved, endpoint);
    this.#last = resolved;
    return resolved;
  }
}

/** @throws InvalidArgumentError for what cannot name a peer (37/ZMTP, The Identity Property) */
function checkPeerId(routingId: unknown): void {
  const length = typeof routingId === "string" ? Buffer.byteLength(routingId) : 0;
  if (length >= 1 && length <= 255 && !(routingId as string).startsWith("\0")) return;
  throw new InvalidArgumentError(
    "routingId is a string of 1 to 255 bytes that does not begin with a zero byte",
  );
}
