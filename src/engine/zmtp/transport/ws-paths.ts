/**
 * The server's side of upgrades: the sockets of one port, or of one HTTP server, each at its path.
 *
 *   stream --request--> path, origin, subprotocol --101--> the path's acceptor
 *             |                    `- refused: an answer with the reason, then the end
 *             +--late, or too many at once--> the end
 */
import type { X509Certificate } from "node:crypto";
import { TransportError } from "../../../core/errors.js";
import type { OptionValues } from "../../../core/option-table.js";
import { addressOf } from "../../../core/schemes/scheme.js";
import { HandshakeLimit } from "../handshake-limit.js";
import { chosenMechanism } from "../mechanism/chosen.js";
import type { Fault, Mechanism } from "../mechanism/mechanism.js";
import { HandshakeStage } from "../pending-handshakes.js";
import { type HeadFault, HeadReader } from "../ws/http-head.js";
import { sha1 } from "../ws/random.js";
import { isBare, isStream } from "../ws/subprotocol.js";
import {
  acceptResponse,
  chooseProtocol,
  isOriginAllowed,
  isRebound,
  readRequest,
  refusalResponse,
  type UpgradeRefusal,
  type UpgradeRequest,
} from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { LimitedStream, WsStreamFraming } from "../ws/ws-stream-framing.js";
import type { ByteStream } from "./byte-stream.js";
import type { Framing } from "./framing.js";
import type { Sink, StreamReader } from "./reader.js";
import { type Acceptor, handOver, type Stream, stageOf, type TransportOptions } from "./transport.js";

/** How long a refusal may take to go out before its connection is cut, in ms. */
const REFUSAL_TIMEOUT = 1_000;

const REBOUND =
  "over loopback, Host must be localhost or a loopback address for a page, whose name may have been made to point here; " +
  "list the origin of a page behind a proxy in wsOrigins";

const crypto = { sha1 };

/** A stream after its upgrade. */
export class WsStream implements Stream {
  readonly socket: ByteStream;
  readonly reader: StreamReader;
  readonly remote: string;
  readonly address: string;
  readonly framing: Framing;
  readonly #beneath: Stream;

  constructor(beneath: Stream, remote: string, framing: Framing, socket: ByteStream) {
    this.socket = socket;
    this.reader = beneath.reader;
    this.remote = remote;
    this.address = beneath.address;
    this.framing = framing;
    this.#beneath = beneath;
  }

  taken(): number {
    return this.#beneath.taken();
  }

  received(): number {
    return this.#beneath.received?.() ?? 0;
  }

  /** The upgrade is complete. */
  get opening(): boolean {
    return false;
  }

  get certificate(): X509Certificate | undefined {
    return this.#beneath.certificate;
  }

  fault(): Fault | undefined {
    return this.#beneath.fault?.(false);
  }
}

/** The head, what is wrong with it, or why it did not come. */
export type Found = NonNullable<ReturnType<HeadReader["push"]>> | "ended" | "late";

/** Reads one head from a stream, within a time, and then lets go of it. */
export class HeadSink implements Sink {
  readonly #stream: Stream;
  readonly #head = new HeadReader();
  readonly #onHead: (found: Found) => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  #over = false;

  /** @param timeout ms; 0: none @param onHead called once, unless cancelled */
  constructor(stream: Stream, timeout: number, onHead: (found: Found) => void) {
    this.#stream = stream;
    this.#onHead = onHead;
    if (timeout > 0) this.#timer = setTimeout(() => this.#finish("late"), timeout).unref();
    stream.socket.on("error", ignore);
    stream.reader.start(stream.socket, this);
  }

  cancel(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  sinkOnBytes(bytes: Buffer, length: number): void {
    if (this.#over) return; // What follows a refusal.
    const found = this.#head.push(bytes.subarray(0, length));
    if (found !== undefined) this.#finish(found);
  }

  sinkOnEnd(): void {
    if (!this.#over) this.#finish("ended");
    this.#stream.socket.destroy();
  }

  #finish(found: Found): void {
    if (this.#over) return;
    this.cancel();
    this.#onHead(found);
  }
}

export function upgradeFault(message: string): Fault {
  return { kind: "other", code: "ERR_HANDSHAKE", message };
}

const HEAD_FAULTS: Readonly<Record<HeadFault, UpgradeRefusal>> = {
  "too-long": { status: 431, reason: "the request's head is too long" },
  malformed: { status: 400, reason: "the request is not HTTP/1.1" },
};

/** A socket that is bound to a path. */
export interface PathUser {
  readonly acceptor: Acceptor;
  readonly options: TransportOptions;
}

/** The sockets at the paths of one port, or of a program's own HTTP server. */
export class Paths {
  readonly #users = new Map<string, PathUser>();
  /** Whose upgrade is under way, and who is refused and gets the answer. */
  readonly #pending = new HandshakeLimit<Stream>(
    (stream) => (this.#heads.has(stream) ? stageOf(stream) : HandshakeStage.refused),
    () => optionsNow(this.first)?.maxPendingHandshakes ?? 0,
    (stream, limit) => this.#evict(stream, limit),
  );
  /** Of those that are not refused. */
  readonly #heads = new Map<Stream, HeadSink>();

  get size(): number {
    return this.#users.size;
  }

  /** The first that was bound: what concerns no path is reported to it, and its options count until the path is known. */
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

  /** A stream on which an upgrade has to come. */
  accept(stream: Stream): void {
    const user = this.first;
    if (user === undefined) {
      stream.socket.destroy();
      return;
    }
    const { handshakeInterval } = user.options;
    const sink = new HeadSink(stream, handshakeInterval, (found) => {
      this.#forget(stream);
      if (found === "ended" || found === "late") {
        const what = found === "ended" ? "the peer hung up" : `no request within ${handshakeInterval} ms`;
        const fault = found === "ended" ? stream.fault?.(true) : undefined;
        user.acceptor.refused?.(
          stream.address,
          fault ?? upgradeFault(`${what} before its upgrade to WebSocket`),
        );
        stream.socket.destroy();
      } else if (typeof found === "string") this.#refuse(stream, HEAD_FAULTS[found], user);
      else this.upgrade(stream, readRequest(found.head), found.rest);
    });
    this.#heads.set(stream, sink);
    this.#pending.add(stream, stream.address);
  }

  /** @param rest what came behind the request */
  upgrade(stream: Stream, request: UpgradeRequest | UpgradeRefusal, rest: Buffer): void {
    if ("status" in request) {
      this.#refuse(stream, request, this.first);
      return;
    }
    const user = this.#users.get(request.path);
    if (user === undefined) {
      this.#refuse(stream, { status: 404, reason: "nothing is bound to this path" }, this.first);
      return;
    }
    const { options, acceptor } = user;
    // No event, as where a connection of tcp is refused: who made the policy counts it.
    if (acceptor.admits?.(stream.address) === false) {
      this.#refuse(stream, { status: 403, reason: "this address may not connect" }, undefined);
      return;
    }
    const origins = originsOf(options);
    if (isRebound(request, stream.address, origins)) {
      this.#refuse(stream, { status: 403, reason: REBOUND }, user);
      return;
    }
    if (!isOriginAllowed(request, origins)) {
      this.#refuse(stream, { status: 403, reason: "pages of this origin may not connect (wsOrigins)" }, user);
      return;
    }
    const { name } = chosenMechanism(options);
    const protocol = chooseProtocol(request.protocols, name);
    if (typeof protocol !== "string") {
      this.#refuse(stream, protocol, user);
      return;
    }
    stream.socket.write(Buffer.from(acceptResponse(request.key, protocol, crypto), "latin1"));
    const scheme = /^(?:tls|wss):/.test(stream.remote) ? "wss" : "ws";
    const remote = `${scheme}://${addressOf(stream.remote)}`;
    handOver(stream, rest, () => acceptor.accepted(framedStream(stream, remote, name, protocol)));
  }

  /** Nobody is bound any more. */
  close(): void {
    for (const stream of [...this.#pending.keys()]) this.#end(stream);
  }

  #forget(stream: Stream): void {
    this.#heads.delete(stream);
    this.#pending.delete(stream);
  }

  #end(stream: Stream): void {
    this.#heads.get(stream)?.cancel();
    this.#forget(stream);
    stream.socket.destroy();
  }

  #evict(stream: Stream, limit: number): void {
    const wasRefused = !this.#heads.has(stream);
    this.#end(stream);
    if (wasRefused) return;
    this.first?.acceptor.refused?.(
      stream.address,
      upgradeFault(`the upgrade of ${stream.remote} gave way to a new one: ${limit} were under way`),
    );
  }

  /** Answers, and hangs up; what the peer goes on to send meanwhile is thrown away. */
  #refuse(stream: Stream, refusal: UpgradeRefusal, user: PathUser | undefined): void {
    const { socket } = stream;
    this.#pending.add(stream, stream.address);
    socket.end(Buffer.from(refusalResponse(refusal), "latin1"));
    const timer = setTimeout(() => this.#end(stream), REFUSAL_TIMEOUT).unref();
    socket.on("close", () => {
      clearTimeout(timer);
      this.#pending.delete(stream);
    });
    if (user === undefined) return;
    const message = `refused the upgrade to WebSocket with status ${refusal.status}: ${refusal.reason}`;
    user.acceptor.refused?.(stream.address, { kind: "protocol", code: "ERR_ZMTP_UNSPECIFIED", message });
  }
}

function framedStream(
  beneath: Stream,
  remote: string,
  mechanism: Mechanism["name"],
  protocol: string,
): Stream {
  if (!isStream(protocol))
    return new WsStream(
      beneath,
      remote,
      new WsFraming(mechanism, isBare(protocol), undefined),
      beneath.socket,
    );
  const framing = new WsStreamFraming(mechanism);
  return new WsStream(beneath, remote, framing, new LimitedStream(beneath.socket, framing));
}

function optionsNow(user: PathUser | undefined): Readonly<OptionValues> | undefined {
  return user?.options.live ?? user?.options;
}

function originsOf({ wsOrigins }: TransportOptions): readonly string[] | null {
  return wsOrigins === null ? null : wsOrigins.split(/[\s,]+/).filter((each) => each !== "");
}

function ignore(): void {}
