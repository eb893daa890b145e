/**
 * The authentication service of one native context (27/ZAP). libzmq sends it a request for every handshake of
 * a socket with a ZAP domain. Each socket with an `authenticate` hook has a unique domain.
 *
 *   request  address | "" | 1.0 | id | domain | peer address | identity | mechanism | credentials…
 *   reply    address | "" | 1.0 | id | status | text | user id | metadata
 */

import { HandshakeError } from "../../core/errors.js";
import { encodeZ85 } from "../../core/z85.js";
import type { EngineListener, PeerCredentials } from "../engine.js";
import { closeWithOwner } from "./monitor.js";
import { type Native, type NativeContext, type NativeSocket, toShoalError } from "./native.js";

type Authenticator = (peer: PeerCredentials) => Promise<boolean>;

const SLICE = 500;
const ENDPOINT = "inproc://zeromq.zap.01";

const EMPTY = Buffer.alloc(0);
const VERSION = Buffer.from("1.0");

export class ZapHandler {
  readonly #native: Native;
  readonly #context: NativeContext;
  readonly #authenticators = new Map<string, Authenticator>();
  /** Sockets that keep the process alive. */
  readonly #referenced = new Set<object>();
  #socket: NativeSocket | undefined;
  #reading = false;
  #disown = (): void => {};

  constructor(native: Native, context: NativeContext) {
    this.#native = native;
    this.#context = context;
  }

  /** @throws TransportError `EADDRINUSE` for another ZAP handler */
  register(domain: string, authenticate: Authenticator): void {
    if (this.#socket === undefined) {
      const socket = new this.#native.Router({
        context: this.#context,
        linger: 0,
        sendTimeout: 0,
        receiveTimeout: SLICE,
      });
      try {
        socket.bindSync(ENDPOINT);
      } catch (error) {
        socket.close();
        throw toShoalError(error, "start the authentication service at", ENDPOINT);
      }
      this.#socket = socket;
      this.#disown = closeWithOwner(this, { socket, observer: undefined });
    }
    this.#authenticators.set(domain, authenticate);
    this.#start();
  }

  ref(socket: object): void {
    this.#referenced.add(socket);
    this.#start();
  }

  /** Without referenced sockets, only {@link poll} reads requests. */
  unref(socket: object): void {
    this.#referenced.delete(socket);
    this.#start();
  }

  poll(): void {
    if (!this.#reading && this.#socket?.readable === true) void this.#run(this.#socket);
  }

  /** The last domain ends the service. */
  unregister(domain: string): void {
    this.#authenticators.delete(domain);
    const socket = this.#socket;
    if (this.#authenticators.size > 0 || socket === undefined) return;
    this.#socket = undefined;
    socket.disconnect(ENDPOINT); // Frees the name at once; `close` alone takes longer.
    socket.close();
    this.#disown();
  }

  #start(): void {
    if (this.#referenced.size > 0 && !this.#reading && this.#socket !== undefined)
      void this.#run(this.#socket);
  }

  async #run(socket: NativeSocket): Promise<void> {
    this.#reading = true;
    while (!socket.closed && (this.#referenced.size > 0 || socket.readable)) {
      let request: Buffer[];
      try {
        request = await socket.receive();
      } catch {
        continue; // The slice passed without a request, or the service ended.
      }
      void this.#answer(socket, request);
    }
    this.#reading = false;
    // The service may have been restarted.
    if (this.#referenced.size > 0 && this.#socket !== undefined && this.#socket !== socket)
      void this.#run(this.#socket);
  }

  async #answer(socket: NativeSocket, request: Buffer[]): Promise<void> {
    const [peer, , version, id] = request;
    if (peer === undefined || id === undefined) return;
    let status = "500";
    let text = "Malformed request";
    if (version?.equals(VERSION) === true && request.length >= 8) {
      const allowed = await this.#authenticate(request);
      status = allowed ? "200" : "400";
      text = allowed ? "OK" : "Refused";
    }
    try {
      await socket.send([peer, EMPTY, VERSION, id, status, text, EMPTY, EMPTY]);
    } catch {
      // The requesting socket has closed.
    }
  }

  async #authenticate(request: Buffer[]): Promise<boolean> {
    const domain = String(request[4]);
    const authenticate = this.#authenticators.get(domain);
    const mechanism = String(request[7]);
    // libzmq also asks for CURVE servers without a hook and domain, whose only check is the server's key. A
    // PLAIN server without a hook has no password check.
    if (authenticate === undefined) return domain === "" && mechanism === "CURVE";
    const first = request[8];
    const credentials: PeerCredentials = {
      mechanism,
      domain,
      address: String(request[5]),
      ...(mechanism === "PLAIN" ? { username: String(first ?? ""), password: String(request[9] ?? "") } : {}),
      ...(mechanism === "CURVE" && first?.length === 32 ? { publicKey: encodeZ85(first) } : {}),
    };
    try {
      return (await authenticate(credentials)) === true;
    } catch {
      return false; // A failed hook refuses the peer.
    }
  }
}

/** The weakly referenced socket can be collected; peers are refused then. */
export function authenticatorFor(
  options: WeakRef<Readonly<Record<string, unknown>>>,
  listener: WeakRef<EngineListener>,
): (peer: PeerCredentials) => Promise<boolean> {
  return async (peer) => {
    const socket = listener.deref();
    const authenticate = socket?.engineAuthenticate;
    if (socket === undefined || authenticate === undefined) return false;
    const domain = options.deref()?.zapDomain;
    let cause: unknown;
    try {
      if (await authenticate({ ...peer, domain: typeof domain === "string" ? domain : "" })) return true;
    } catch (error) {
      cause = error; // A failed hook refuses the peer.
    }
    const { address, mechanism } = peer;
    const error = new HandshakeError("ERR_AUTHENTICATION", `Refused a ${mechanism} peer from ${address}`, {
      status: 400,
      endpoint: address,
      cause,
    });
    socket.engineOnEvent({ type: "peer:refused", address, mechanism, error });
    return false;
  };
}
