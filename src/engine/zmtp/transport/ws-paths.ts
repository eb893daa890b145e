/**
 * The server's side of upgrades: the socket of a port, or those of an HTTP server, each at its path.
 *
 *   stream --node:http--> request --> path, origin, subprotocol --101--> the path's acceptor
 *             |                         `- refused: an answer with the reason, then the end
 *             +--late, or too many at once--> the end
 *
 * Timeouts of the server do not work with streams from outside, so handshakeInterval is kept here.
 */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { TransportError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import { HandshakeLimit } from "../handshake-limit.js";
import { chosenMechanism, type Fault } from "../mechanism/mechanism.js";
import {
  acceptResponse,
  chooseProtocol,
  isOriginAllowed,
  isRebound,
  MAX_HEAD,
  readRequest,
  refusalAnswer,
  refusalResponse,
  type UpgradeRefusal,
} from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { type Reader, readSocket } from "./reader.js";
import type { Acceptor, Framing, Stream, TransportOptions } from "./transport.js";

/** ms for a refusal to leave before its connection is cut. */
const REFUSAL_TIMEOUT = 1_000;

const REBOUND =
  "over loopback, Host must be localhost or a loopback address for a page, whose name may have been made to point here; " +
  "list the origin of a page behind a proxy in wsOrigins";

export interface HttpStream extends Stream {
  readonly socket: Duplex;
  readonly reader: Reader;
  framing?: Framing | undefined;
}

/** @param head bytes behind HTTP's head, in the parser's memory */
export function handOverUpgraded(
  stream: HttpStream,
  framing: Framing,
  head: Uint8Array,
  give: (stream: Stream) => void,
): void {
  const { socket, reader } = stream;
  stream.framing = framing;
  readSocket(socket, reader);
  reader.pause();
  reader.giveBack(Buffer.from(head));
  give(stream);
  reader.resume();
}

export function upgradeFault(message: string): Fault {
  return { kind: "other", code: "ERR_HANDSHAKE", message };
}

const NO_UPGRADE: UpgradeRefusal = { status: 426, reason: "the request asks for no upgrade to websocket" };

/** @returns the answer to a malformed request; `undefined`: the stream failed or ended */
function headRefusal({ code = "" }: NodeJS.ErrnoException): UpgradeRefusal | undefined {
  if (code === "HPE_HEADER_OVERFLOW") return { status: 431, reason: "the request's head is too long" };
  if (!code.startsWith("HPE_") || code === "HPE_INVALID_EOF_STATE") return undefined;
  return { status: 400, reason: "the request is not HTTP/1.1" };
}

export interface PathUser {
  readonly acceptor: Acceptor;
  readonly options: TransportOptions;
}

/** A connection before its request, or a refused one until the answer has left. */
interface Pending {
  readonly stream: HttpStream;
  /** `undefined`: the connection is refused. */
  readonly user: PathUser | undefined;
  readonly timer: NodeJS.Timeout | undefined;
  readonly onClose: () => void;
}

export class Paths {
  readonly #users = new Map<string, PathUser>();
  readonly #pending = new Map<Duplex, Pending>();
  readonly #limit = new HandshakeLimit<Pending>(
    () => optionsNow(this.first)?.maxPendingHandshakes ?? 0,
    (pending, limit) => {
      const { remote } = pending.stream;
      this.#fail(pending, `the upgrade of ${remote} was evicted by a new one: ${limit} were in flight`);
    },
  );
  #http: HttpServer | undefined;

  get size(): number {
    return this.#users.size;
  }

  /** Its options apply, and it gets events, until a connection's path is known. */
  get first(): PathUser | undefined {
    return this.#users.values().next().value;
  }

  has(path: string): boolean {
    return this.#users.has(path);
  }

  /** @throws TransportError `EADDRINUSE` */
  add(path: string, user: PathUser, endpoint: string): void {
    if (this.#users.has(path))
      throw new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the path is in use`, { endpoint });
    this.#users.set(path, user);
  }

  remove(path: string): void {
    this.#users.delete(path);
  }

  accept(stream: HttpStream): void {
    const user = this.first;
    if (user === undefined) {
      stream.socket.destroy();
      return;
    }
    const { handshakeInterval } = user.options;
    const late = `no request within ${handshakeInterval} ms before its upgrade to WebSocket`;
    this.#add(stream, user, handshakeInterval, late);
    this.#http ??= this.#makeServer();
    this.#http.emit("connection", stream.socket);
    stream.socket.resume();
  }

  upgrade(stream: HttpStream, request: IncomingMessage, head: Buffer): void {
    const asked = readRequest(request);
    if ("status" in asked) {
      this.#refuse(stream, asked, this.first);
      return;
    }
    const user = this.#users.get(asked.path);
    if (user === undefined) {
      this.#refuse(stream, { status: 404, reason: "nothing is bound to this path" }, this.first);
      return;
    }
    const { options, acceptor } = user;
    // The policy counts them itself.
    if (acceptor.admits?.(stream.address) === false) {
      this.#refuse(stream, { status: 403, reason: "this address may not connect" }, undefined);
      return;
    }
    const origins = originsOf(options);
    if (isRebound(asked, stream.address, origins)) {
      this.#refuse(stream, { status: 403, reason: REBOUND }, user);
      return;
    }
    if (!isOriginAllowed(asked, origins)) {
      this.#refuse(stream, { status: 403, reason: "pages of this origin may not connect (wsOrigins)" }, user);
      return;
    }
    const { name } = chosenMechanism(options);
    const protocol = chooseProtocol(asked.protocols, name);
    if (typeof protocol !== "string") {
      this.#refuse(stream, protocol, user);
      return;
    }
    stream.socket.write(Buffer.from(acceptResponse(asked.key, protocol), "latin1"));
    handOverUpgraded(stream, new WsFraming(name, protocol), head, (upgraded) => acceptor.accepted(upgraded));
  }

  close(): void {
    for (const pending of [...this.#pending.values()]) this.#end(pending);
  }

  #makeServer(): HttpServer {
    const server = process.getBuiltinModule("node:http").createServer({ maxHeaderSize: MAX_HEAD });
    const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
      const pending = this.#pending.get(socket);
      if (pending?.user === undefined) return;
      this.#forget(pending);
      this.upgrade(pending.stream, request, head);
    };
    server.on("upgrade", onUpgrade).on("connect", onUpgrade);
    server.on("request", (request, response) => {
      const pending = this.#pending.get(request.socket);
      // Only the first of several requests is answered.
      if (pending?.user === undefined) return;
      const asked = readRequest(request);
      this.#refuse(pending.stream, "status" in asked ? asked : NO_UPGRADE, this.first, response);
    });
    server.on("clientError", (error, socket) => {
      const pending = this.#pending.get(socket);
      const refusal = headRefusal(error);
      if (pending === undefined || refusal === undefined) socket.destroy();
      else if (pending.user !== undefined) this.#refuse(pending.stream, refusal, this.first);
    });
    return server;
  }

  /** @param ms until the connection ends; 0: unlimited @param late the reason then */
  #add(stream: HttpStream, user: PathUser | undefined, ms: number, late: string): void {
    const { socket, address } = stream;
    const timer = ms > 0 ? setTimeout(() => this.#fail(pending, late), ms).unref() : undefined;
    const onClose = (): void => {
      const fault = stream.fault?.(true);
      this.#fail(pending, fault ?? "the peer hung up before its upgrade to WebSocket");
    };
    const pending = { stream, user, timer, onClose };
    this.#pending.set(socket, pending);
    socket.on("close", onClose);
    this.#limit.add(pending, address);
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.timer);
    pending.stream.socket.off("close", pending.onClose);
    this.#pending.delete(pending.stream.socket);
    this.#limit.delete(pending);
  }

  #end(pending: Pending): void {
    this.#forget(pending);
    pending.stream.socket.destroy();
  }

  #fail(pending: Pending, why: string | Fault): void {
    const { user, stream } = pending;
    this.#end(pending);
    user?.acceptor.refused?.(stream.address, typeof why === "string" ? upgradeFault(why) : why);
  }

  /** @param user gets an event @param response of a request without an upgrade */
  #refuse(
    stream: HttpStream,
    refusal: UpgradeRefusal,
    user: PathUser | undefined,
    response?: ServerResponse,
  ): void {
    const { socket, address } = stream;
    const before = this.#pending.get(socket);
    if (before !== undefined) this.#forget(before);
    this.#add(stream, undefined, REFUSAL_TIMEOUT, "");
    if (response === undefined) socket.end(refusalResponse(refusal));
    else {
      const { headers, body } = refusalAnswer(refusal);
      response.writeHead(refusal.status, headers).end(body);
    }
    socket.resume();
    const message = `refused the upgrade to WebSocket with status ${refusal.status}: ${refusal.reason}`;
    user?.acceptor.refused?.(address, { kind: "protocol", code: "ERR_ZMTP_UNSPECIFIED", message });
  }
}

function optionsNow(user: PathUser | undefined): Readonly<OptionValues> | undefined {
  return user?.options.live ?? user?.options;
}

function originsOf({ wsOrigins }: TransportOptions): readonly string[] | null {
  return wsOrigins === null ? null : wsOrigins.split(/[\s,]+/).filter((each) => each !== "");
}
