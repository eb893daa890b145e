/**
 * Protocols create byte streams between nodes: socket files, WebSockets, those of programs. The node's own port is in
 * pair-streams.ts. The node adds proof of identity, membership and messages (net/stream.ts).
 *
 *   listen ──> advertised in the node's details ──> connect, by other nodes ──> a stream
 */
import { once } from "node:events";
import { mkdtemp, rmdir } from "node:fs/promises";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { checkKeys, invalidArgument } from "../../core/arguments.js";
import { NotSupportedError } from "../../core/errors.js";
import { optionValues } from "../../core/option-table.js";
import { ignore } from "../../core/waiter.js";
import { type FramePiece, LONG, LONG_HEADER, readLongSize, SHORT_HEADER } from "../../engine/frame.js";
import { renewedOptions } from "../../engine/zmtp/options.js";
import { disown, own } from "../../engine/zmtp/transport/ipc.js";
import type { Sink } from "../../engine/zmtp/transport/reader.js";
import type { Framing, Stream, Transport, TransportOptions } from "../../engine/zmtp/transport/transport.js";
import type { TransportTable } from "../../engine/zmtp/transport/transports.js";
import type { NodeTls } from "../admission/tls.js";
import { joinAddress } from "../net/addresses.js";
import { bindFree } from "../ports.js";
import { DIAL_TIMEOUT_MAX } from "./bounds.js";
import { isProtocolName } from "./wire.js";

export interface DialTarget {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly host: string;
  /** "host:port". */
  readonly address: string;
  /** Whether it is on this host. */
  readonly local: boolean;
}

export interface ProtocolHost {
  /** Name of the cluster. */
  readonly cluster: string;
  readonly id: string;
  /** Host to bind: 127.0.0.1, an address, or "*". */
  readonly host: string;
  /** Ports to use, "FIRST-LAST"; `undefined`: any. */
  readonly ports: string | undefined;
}

export interface ProtocolListener {
  /** Address for other nodes to dial: a well-formed text of at most 128 bytes without ";". */
  readonly advert: string;
  close(linger: number): Promise<void>;
}

/** Made by {@link streamProtocol}. */
export interface MessageProtocol {
  /** 1 to 16 lower-case letters and digits. */
  readonly name: string;
  /** Whether it may reach a node, without using the network. */
  reaches(target: DialTarget): boolean;
  /**
   * Listens, and calls `accept` with each stream. The node's start waits for 10 s; a later listener is used, too.
   *
   * @throws anything: reported as `protocol:failed`
   */
  listen(accept: (stream: Duplex) => void, host: ProtocolHost): Promise<ProtocolListener>;
  /** Opens a stream. @param where `advert` of the other node's listener */
  connect(where: string, target: DialTarget, host: ProtocolHost): Promise<Duplex>;
}

/** Options of {@link streamProtocol}. */
export type StreamProtocolOptions = Omit<MessageProtocol, "reaches"> & {
  /** Whether it may reach a node, without using the network. Default: nodes of this host. */
  readonly reaches?: ((target: DialTarget) => boolean) | undefined;
};

/**
 * A protocol of a program, for `messaging.protocols`: streams of bytes, such as named pipes. Both nodes prove themselves
 * on each stream, and a cluster with a key or password seals its data.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown option, or one of another type
 */
export function streamProtocol(options: StreamProtocolOptions): MessageProtocol {
  checkKeys("streamProtocol", options, ["name", "reaches", "listen", "connect"]);
  const { reaches = ({ local }) => local } = options;
  const protocol = { ...options, reaches };
  checkProtocol(protocol);
  return protocol;
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkProtocol({ name, ...calls }: MessageProtocol): void {
  if (!isProtocolName(name))
    throw invalidArgument("a protocol's name must be 1 to 16 lower-case letters and digits", name);
  for (const call of ["reaches", "listen", "connect"] as const)
    if (typeof calls[call] !== "function")
      throw invalidArgument(`${call} of the protocol ${name} must be a function`, calls[call]);
}

/** Socket files, for nodes of this host. */
export function ipcProtocol(): MessageProtocol {
  return {
    name: "ipc",
    reaches: ({ local }) => local,

    async listen(accept) {
      // Of mode 700: no other user can connect, or put a socket there.
      const folder = await mkdtemp(join(tmpdir(), "shoal-m-"));
      const path = join(folder, "m");
      const server = createServer(accept).on("error", ignore); // Without files a stream is not accepted.
      server.listen({ path, backlog: 512 });
      try {
        await once(server, "listening");
      } catch (error) {
        await rmdir(folder).catch(ignore);
        throw error;
      }
      own(path, folder);
      return {
        advert: path,
        async close() {
          server.close();
          disown(path);
        },
      };
    },

    async connect(path) {
      const socket = connectSocket(path);
      await once(socket, "connect");
      return socket;
    },
  };
}

/** Pages are not nodes, not even one that its browser takes for a page of this host (DNS rebinding). */
const OPTIONS = { wsOrigins: "", connectTimeout: DIAL_TIMEOUT_MAX } as const;

/**
 * Streams over WebSockets, for networks that block everything else.
 *
 * @param tls of the node, for wss instead of ws
 */
export function wsProtocol(transports: TransportTable, tls: NodeTls | undefined): MessageProtocol {
  const scheme = tls === undefined ? "ws" : "wss";
  const over = (side: "listening" | "dialling", host: string): [Transport, TransportOptions] => {
    const transport = transports.get(scheme);
    if (transport === undefined) throw new NotSupportedError(`the platform has no ${scheme}://`);
    const options = optionValues({ ...OPTIONS, ipv6: host.includes(":") });
    return [transport, tls === undefined ? options : renewedOptions(options, () => tls[side])];
  };
  return {
    name: "ws",
    reaches: ({ host }) => host !== "",

    async listen(accept, { host, ports }) {
      const [transport, options] = over("listening", host);
      const shown = host.includes(":") ? `[${host}]` : host;
      const responder = {
        accepted: (stream: never) => accept(new WsDuplex(stream)),
        failed: () => undefined,
      };
      const listener = await bindFree(0, ports, (port) =>
        transport.listen(`${scheme}://${shown}:${port === 0 ? "*" : port}`, options, responder),
      );
      const [, port = ""] = /:(\d+)[^:]*$/.exec(listener.endpoint) ?? [];
      return { advert: port, close: () => listener.close() };
    },

    connect(port, { host }) {
      const [transport, options] = over("dialling", host);
      return new Promise((resolve, reject) => {
        transport.dial(`${scheme}://${joinAddress(host, Number(port))}`, options, (result) => {
          if (result instanceof Error) reject(result);
          else resolve(new WsDuplex(result));
        });
      });
    },
  };
}

/** Bytes of a WebSocket frame: a fragmented message is joined before its bytes are passed on. */
const MAX_CHUNK = 65_536;

/** A WebSocket of the engine as a stream of bytes: each chunk is a ZMTP frame with meaningless boundaries. */
export class WsDuplex extends Duplex implements Sink {
  readonly remoteAddress: string;
  readonly #stream: Stream;
  readonly #framing: Required<Framing>;
  #header: Buffer = Buffer.alloc(0);
  #left = 0;

  /** @param stream of the transports ws and wss */
  constructor(stream: Stream) {
    super();
    this.remoteAddress = stream.address;
    this.#stream = stream;
    this.#framing = stream.framing as Required<Framing>;
    stream.socket.on("error", (error) => this.destroy(error));
    stream.reader.start(stream.socket, this);
  }

  override _read(): void {
    this.#stream.reader.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const pieces: FramePiece[] = [];
    for (let at = 0; at < chunk.length; at += MAX_CHUNK) {
      const body = chunk.subarray(at, at + MAX_CHUNK);
      const header = Buffer.allocUnsafe(LONG_HEADER);
      header[0] = LONG;
      header.writeBigUInt64BE(BigInt(body.length), 1);
      for (const bytes of [header, body]) pieces.push({ bytes, start: 0, end: bytes.length });
    }
    this.#stream.socket.write(this.#framing.encode(pieces), done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "binary", done);
  }

  override _final(done: () => void): void {
    this.#stream.socket.write(this.#framing.closeFrame(true));
    this.#stream.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.socket.destroy();
    done(error);
  }

  sinkOnBytes(bytes: Buffer, length: number): void {
    const framing = this.#framing;
    if (this.destroyed) return;
    const decoded = framing.decode(bytes, length, MAX_CHUNK);
    if (decoded.assembled !== undefined) this.#takeFrames(decoded.assembled);
    this.#takeFrames(Buffer.from(decoded.bytes.subarray(0, decoded.length)));
    decoded.pooled?.release();
    const reply = framing.takeReply();
    const { socket } = this.#stream;
    // A peer that does not read gets no answers to its pings.
    if (reply !== undefined && socket.writableLength < 65_536) socket.write(reply);
    if (framing.fault !== undefined) this.destroy(new Error("what came is no WebSocket"));
    else if (framing.closed) this.push(null);
  }

  sinkOnEnd(): void {
    this.push(null);
  }

  #takeFrames(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0 && !this.destroyed) {
      if (this.#left === 0) {
        const all = this.#header.length === 0 ? rest : Buffer.concat([this.#header, rest]);
        const isLong = ((all[0] as number) & LONG) !== 0;
        const size = isLong ? LONG_HEADER : SHORT_HEADER;
        if (all.length < size) {
          this.#header = all;
          return;
        }
        this.#header = this.#header.subarray(0, 0);
        this.#left = isLong ? readLongSize(all, 1) : (all[1] as number);
        rest = all.subarray(size);
      }
      const body = rest.subarray(0, this.#left);
      this.#left -= body.length;
      rest = rest.subarray(body.length);
      if (body.length > 0 && !this.push(body)) this.#stream.reader.pause();
    }
  }
}
