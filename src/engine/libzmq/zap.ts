/**
 * The authentication service of one native context (27/ZAP).
 *
 * libzmq asks `inproc://zeromq.zap.01` for every handshake of a socket that has
 * a ZAP domain. Each socket with an `authenticate` hook has a domain of its own,
 * by which the question finds its way back to that socket's hook.
 *
 *   request  address | "" | 1.0 | id | domain | peer address | identity | mechanism | credentials…
 *   reply    address | "" | 1.0 | id | status | text | user id | metadata
 */

import { HandshakeError } from "../../core/errors.js";
import { encodeZ85 } from "../../core/z85.js";
import type { EngineListener, PeerCredentials } from "../engine.js";
import { toShoalError } from "./errors.js";
import { closeWithOwner } from "./lifetime.js";
import type { Native, NativeContext, NativeSocket } from "./native.js";

type Authenticator = (peer: PeerCredentials) => Promise<boolean>;

/** How long a read waits before it looks whether it is still needed, in ms. */
const SLICE = 500;
/** Where libzmq looks for the handler. */
const ENDPOINT = "inproc://zeromq.zap.01";

const EMPTY = Buffer.alloc(0);
const VERSION = Buffer.from("1.0");

export class ZapHandler {
  readonly #native: Native;
  readonly #context: NativeContext;
  readonly #authenticators = new Map<string, Authenticator>();
  /** The context's sockets that keep the process alive: any of them may have a peer that is asked about. */
  readonly #referenced = new Set<object>();
  #socket: NativeSocket | undefined;
  #reading = false;
  #disown = (): void => {};

  constructor(native: Native, context: NativeContext) {
    this.#native = native;
    this.#context = context;
  }

  /**
   * Has `authenticate` asked for every peer of the sockets in `domain`.
   *
   * @throws TransportError `EADDRINUSE` when the program runs a ZAP handler of its own
   */
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

  /** A socket keeps the process alive: requests are read at once. */
  ref(socket: object): void {
    this.#referenced.add(socket);
    this.#start();
  }

  /** It does not any more: without another, requests are read by {@link poll}. */
  unref(socket: object): void {
    this.#referenced.delete(socket);
    this.#start();
  }

  /** Answers what has been asked, without waiting for more. */
  poll(): void {
    if (!this.#reading && this.#socket?.readable === true) void this.#run(this.#socket);
  }

  /** Forgets a domain. With the last one the service ends, so that it neither holds the process nor leaves a question unanswered. */
  unregister(domain: string): void {
    this.#authenticators.delete(domain);
    const socket = this.#socket;
    if (this.#authenticators.size > 0 || socket === undefined) return;
    this.#socket = undefined;
    socket.disconnect(ENDPOINT); // The name is free at once; after `close` alone it would be some time later.
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
        continue; // A slice without a request, or the service ended.
      }
      void this.#answer(socket, request);
    }
    this.#reading = false;
    // The service may have ended and started again meanwhile.
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
      // The asking socket closed meanwhile: there is nothing to answer.
    }
  }

  async #authenticate(request: Buffer[]): Promise<boolean> {
    const domain = String(request[4]);
    const authenticate = this.#authenticators.get(domain);
    const mechanism = String(request[7]);
    // libzmq asks for every CURVE server once there is a handler, for one that has no hook and no domain, too: its own
    // check is that the client knows its key. A PLAIN server without a hook has nobody to check passwords.
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
      return false; // A hook that fails refuses: the safe answer.
    }
  }
}

/**
 * What the service asks for one socket: its `authenticate` hook; a refused peer is reported as an event. It holds the
 * socket weakly, so that one that the program forgot can be collected; no peer gets in then.
 *
 * @param options the socket's, for the domain that the program gave it
 */
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
      cause = error; // A hook that fails refuses: the safe answer.
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
