/** Both ends of a WebSocket as streams: the server's at a program's own HTTP server, the client's of the standard. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BINARY = 2;
const CLOSE = 8;

/** The server's end of a WebSocket, of RFC 6455 as much as a link needs: what comes in binary messages, in whatever pieces. */
export class ServerEnd extends Duplex {
  readonly #socket: Socket;
  #unread = Buffer.alloc(0);
  /** The other end closes: what is written now is discarded, as the standard has it. */
  #isClosing = false;

  constructor(socket: Socket, head: Buffer) {
    super();
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("close", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    if (head.length > 0) this.#onData(head);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#isClosing) callback();
    else this.#socket.write(frame(BINARY, chunk), callback);
  }

  override _final(callback: () => void): void {
    if (this.#isClosing) callback();
    else this.#socket.write(frame(CLOSE, Buffer.from([3, 232])), callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #onData(chunk: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    for (;;) {
      const bytes = this.#unread;
      if (bytes.length < 2) return;
      const [first, second] = bytes as unknown as [number, number];
      const form = second & 0x7f;
      const at = form === 126 ? 4 : form === 127 ? 10 : 2;
      if (bytes.length < at + 4) return;
      const length =
        form === 126 ? bytes.readUInt16BE(2) : form === 127 ? Number(bytes.readBigUInt64BE(2)) : form;
      if (bytes.length < at + 4 + length) return;
      const mask = bytes.subarray(at, at + 4);
      const data = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
      for (let i = 0; i < length; i++) data[i] = (data[i] as number) ^ (mask[i & 3] as number);
      this.#unread = bytes.subarray(at + 4 + length);
      if ((first & 0x0f) === CLOSE) {
        this.#isClosing = true;
        this.#socket.end(frame(CLOSE, data.subarray(0, 2)));
        return;
      }
      this.push(data);
    }
  }
}

function frame(kind: number, data: Buffer): Buffer {
  const head = Buffer.alloc(data.length < 126 ? 2 : data.length < 65_536 ? 4 : 10);
  head[0] = 0x80 | kind;
  if (data.length < 126) head[1] = data.length;
  else if (data.length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(data.length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(data.length), 2);
  }
  return Buffer.concat([head, data]);
}

/** Takes every upgrade of the server as one to a WebSocket. */
export function acceptWebSockets(server: Server, onStream: (stream: ServerEnd) => void): void {
  server.on("upgrade", ({ headers }, socket, head) => {
    const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${GUID}`).digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    onStream(new ServerEnd(socket as Socket, head));
  });
}

/** Of a WebSocket of the standard that connects; whole chunks are its messages. */
export function clientEnd(webSocket: WebSocket): Duplex {
  webSocket.binaryType = "arraybuffer";
  const opened = once(webSocket, "open");
  const stream = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      void opened.then(() => {
        webSocket.send(new Uint8Array(chunk));
        done();
      }, done);
    },
    final(done) {
      webSocket.close();
      done();
    },
    destroy(error, done) {
      webSocket.close();
      done(error);
    },
  });
  webSocket.addEventListener("message", ({ data }) => void stream.push(Buffer.from(data as ArrayBuffer)));
  webSocket.addEventListener("close", () => void stream.push(null));
  return stream;
}
