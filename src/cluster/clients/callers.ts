/**
 * ROUTER of a discovery server (docs/spec/discovery.md): connections, requests, updates.
 *
 *   handshake ──gate──> caller ──nodes──> the list        caller ──watch──> watcher ──> the list, after each change
 *
 * A watcher that misses lists gets the newest one when it reads again.
 */
import { InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import type { PeerCredentials } from "../../engine/engine.js";
import { listen, Policing } from "../../sockets/internal.js";
import { Router, type RouterOptions } from "../../sockets/request-reply.js";
import type { ClusterListenerTls } from "../admission/tls.js";
import type { ClusterNamespace } from "../node/namespace.js";
import { type AddressScope, plainIp } from "./addresses.js";
import type { OwnClient } from "./client-registry.js";
import type { NodeDirectory } from "./directory.js";
import { type DiscoveryRequest, MAX_REQUEST, parseRequest } from "./protocol.js";
import type { CallerCredentials, CallerGate } from "./users.js";

const MAX_HANDSHAKES = 1_024;

interface Caller {
  readonly routingId: Buffer;
  readonly address: string;
  /** Of a watcher. */
  client: OwnClient | undefined;
  scope: AddressScope;
  /** Of the last list it was sent. */
  revision: number;
}

export interface CallerCounts {
  requests: number;
  invalid: number;
  updates: number;
  missed: number;
}

/** Shared with the page over HTTP. */
export interface CallerContext {
  /** Does not serve once it is removed: it has no valid list then. */
  readonly node: ClusterNamespace;
  readonly gate: CallerGate;
  readonly directory: NodeDirectory;
  readonly counts: CallerCounts;
}

export type CallerEvent = {
  readonly type: "client:connected" | "client:disconnected";
  readonly client: OwnClient;
};

function tlsOptionsOf({ cert, key, passphrase, ca }: ClusterListenerTls): RouterOptions {
  return { tlsCert: cert, tlsKey: key, tlsPassphrase: passphrase ?? null, tlsCa: ca ?? null };
}

export interface CallerRouterOptions {
  readonly endpoint: string;
  readonly tls: ClusterListenerTls | undefined;
  readonly maxClients: number;
  readonly socketOptions: RouterOptions | undefined;
}

export class CallerRouter {
  readonly #context: CallerContext;
  readonly #emit: (event: CallerEvent) => void;
  readonly #callers = new Map<string, Caller>();
  #router: Router | undefined;
  #policing: Policing | undefined;
  /** The next event has its routing id. */
  #joining: PeerCredentials | undefined;
  #catchingUp: NodeJS.Timeout | undefined;

  constructor(context: CallerContext, emit: (event: CallerEvent) => void) {
    this.#context = context;
    this.#emit = emit;
  }

  get size(): number {
    return this.#callers.size;
  }

  get clients(): readonly OwnClient[] {
    return [...this.#callers.values()].flatMap(({ client }) => client ?? []);
  }

  /**
   * @returns the endpoint with its port
   * @throws TransportError, NotSupportedError; close the router then
   */
  async bind({ endpoint, tls, maxClients, socketOptions }: CallerRouterOptions): Promise<string> {
    const router = new Router({
      plainServer: socketOptions?.curveServer !== true,
      maxMessageSize: MAX_REQUEST,
      // Per client. Beyond, updates are skipped and requests not answered.
      sendHighWaterMark: 8,
      sendHighWaterMarkBytes: 65_536,
      // Per client, and bytes of all.
      receiveHighWaterMark: 8,
      maxReceiveQueueBytes: 16_777_216,
      maxConnections: maxClients,
      maxPendingHandshakes: MAX_HANDSHAKES,
      handshakeInterval: 5_000,
      heartbeatInterval: 1_000,
      heartbeatTimeout: 30_000,
      backlog: MAX_HANDSHAKES,
      ipv6: endpoint.includes("["),
      ...(tls === undefined ? {} : tlsOptionsOf(tls)),
      ...socketOptions,
      authenticate: (peer) => this.#context.gate.allows(credentialsOf(peer)),
    });
    this.#router = router;
    const policing = new Policing(router);
    this.#policing = policing;
    if (!policing.perPeer)
      throw new NotSupportedError("a DiscoveryServer needs the engine zmtp: libzmq does not report peers");
    policing.change(
      {
        admits: () => !this.#context.node.removed,
        invalid: () => {
          this.#context.counts.invalid += 1;
        },
        // Per client and second; more wait.
        rate: { messages: 50 },
        joins: (peer) => {
          // The next event lacks the address.
          this.#joining = peer;
          return true;
        },
      },
      undefined,
    );
    listen(router, (event) => {
      if (event.type === "peer:join" && event.routingId !== undefined) this.#onJoin(event.routingId);
      else if (event.type === "peer:leave" && event.routingId !== undefined) this.#onLeave(event.routingId);
    });
    const bound = await router.bind(endpoint);
    void this.#serve(router);
    this.#catchingUp = setInterval(() => this.push(false), 500);
    this.#catchingUp.unref();
    return bound;
  }

  renew(tls: ClusterListenerTls): void {
    if (this.#router !== undefined) Object.assign(this.#router, tlsOptionsOf(tls));
  }

  /** Sends the list to watchers that lack it. @param isNew otherwise they have missed it already */
  push(isNew: boolean): void {
    const { counts, directory } = this.#context;
    for (const caller of this.#callers.values()) {
      if (caller.client === undefined || caller.revision === directory.revision) continue;
      if (this.#send(caller)) counts.updates += 1;
      else if (isNew) counts.missed += 1;
    }
  }

  /** Makes clients choose another server. */
  disconnect(): void {
    this.#policing?.disconnect(() => true);
  }

  async close(linger: number): Promise<void> {
    clearInterval(this.#catchingUp);
    const router = this.#router;
    this.#router = undefined;
    this.#policing = undefined;
    for (const caller of this.#callers.values()) this.#forget(caller);
    await router?.close({ linger });
  }

  #onJoin(routingId: Buffer): void {
    const address = plainIp(this.#joining?.address ?? "");
    this.#joining = undefined;
    const key = routingId.toString("latin1");
    const before = this.#callers.get(key);
    if (before !== undefined) this.#forget(before);
    this.#callers.set(key, {
      routingId,
      address,
      client: undefined,
      scope: "auto",
      revision: 0,
    });
  }

  #onLeave(routingId: Buffer): void {
    const caller = this.#callers.get(routingId.toString("latin1"));
    if (caller !== undefined) this.#forget(caller);
  }

  #forget(caller: Caller): void {
    this.#callers.delete(caller.routingId.toString("latin1"));
    const { client } = caller;
    if (client !== undefined) this.#emit({ type: "client:disconnected", client });
  }

  async #serve(router: Router): Promise<void> {
    try {
      for await (const [routingId, ...frames] of router as AsyncIterable<Buffer[]>)
        if (routingId !== undefined) this.#onMessage(router, routingId, frames);
    } catch (error) {
      if (!router.closed) throw error;
    }
  }

  #onMessage(router: Router, routingId: Buffer, frames: Buffer[]): void {
    const caller = this.#callers.get(routingId.toString("latin1"));
    if (caller === undefined) return;
    this.#context.counts.requests += 1;
    // REQ adds a delimiter before the body, and an id with `correlate`; both are returned.
    const delimiter = frames.findIndex(({ length }) => length === 0);
    const envelope = delimiter < 0 || delimiter === frames.length - 1 ? [] : frames.slice(0, delimiter + 1);
    try {
      const request = parseRequest(frames.slice(envelope.length));
      caller.scope = request.addresses;
      if (request.command === "watch") this.#watch(caller, request, envelope.length > 0);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      this.#context.counts.invalid += 1;
      const { code, message } = error;
      const refusal = Buffer.from(JSON.stringify({ ok: false, error: { code, message } }));
      router.tryDeliver([routingId, ...envelope, refusal]);
      return;
    }
    // The client asks again after a dropped answer.
    this.#send(caller, envelope);
  }

  #watch(caller: Caller, { id, name }: DiscoveryRequest, delimited: boolean): void {
    if (delimited) throw new InvalidArgumentError("watch needs a DEALER: a REQ cannot receive updates");
    if (caller.client !== undefined) return;
    caller.client = Object.freeze({ id, name, address: caller.address, since: Date.now() });
    this.#emit({ type: "client:connected", client: caller.client });
  }

  /** @returns whether it has room for the list */
  #send(caller: Caller, envelope: readonly Buffer[] = []): boolean {
    const { directory } = this.#context;
    const { routingId, address, scope } = caller;
    const list = directory.list(address, scope);
    const isSent = this.#router?.tryDeliver([routingId, ...envelope, list]) === "sent";
    if (isSent) caller.revision = directory.revision;
    return isSent;
  }
}

function credentialsOf({ username, password, publicKey, address }: PeerCredentials): CallerCredentials {
  return { username, password, publicKey, address: plainIp(address), via: "socket" };
}
