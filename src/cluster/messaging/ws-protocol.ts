/** The protocol "ws": streams between nodes over WebSockets, for networks that block everything else. */

import { Duplex } from "node:stream";
import { NotSupportedError } from "../../core/errors.js";
import { optionValues } from "../../core/option-table.js";
import { LONG, LONG_HEADER, readLongSize, SHORT_HEADER } from "../../engine/frame.js";
import { renewedOptions } from "../../engine/zmtp/options.js";
import type { Sink } from "../../engine/zmtp/transport/reader.js";
import type {
  FramePiece,
  Framing,
  Stream,
  Transport,
  TransportOptions,
} from "../../engine/zmtp/transport/transport.js";
import type { TransportTable } from "../../engine/zmtp/transport/transports.js";
import type { NodeTls } from "../admission/tls.js";
import { joinAddress } from "../net/addresses.js";
import { bindFree } from "../ports.js";
import { DIAL_TIMEOUT_MAX } from "./bounds.js";
import type { MessageProtocol } from "./protocols.js";

/** Pages are not nodes, not even one that its browser takes for a page of this host (DNS rebinding). */
const OPTIONS = { wsOrigins: "", connectTimeout: DIAL_TIMEOUT_MAX } as const;

/** @param tls of the node, for wss instead of ws */
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
    this.#stream.socket.write(this.#framing.closeFrame("done"));
    this.#stream.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.socket.destroy();
    done(error);
  }

  sinkOnBytes(bytes: Buffer, length: number): void {
    const framing = this.#framing;
    if (this.destroyed) return;
    const decoded = framing.decode(bytes, length, undefined, MAX_CHUNK);
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
