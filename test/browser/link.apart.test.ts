/** A link over the standard WebSocket that Node.js brings, to a program's own HTTP server. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { type MultiplexLink, openLink, webSocketStream } from "../../src/link/index.js";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BINARY = 2;
const CLOSE = 8;

/** The server's end of a WebSocket, of RFC 6455 as much as a link needs: what comes in binary messages, in whatever pieces. */
class ServerEnd extends Duplex {
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

const links: MultiplexLink[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const link of links.splice(0)) await link.close({ linger: 0 });
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Both ends of a WebSocket, and the socket beneath the server's. */
async function webSocket(): Promise<{
  client: WebSocket;
  server: Promise<ServerEnd>;
  socket: Promise<Socket>;
}> {
  const http = createServer();
  servers.push(http);
  const socket = new Promise<Socket>((resolve) => http.once("upgrade", (request) => resolve(request.socket)));
  const server = new Promise<ServerEnd>((resolve) => {
    http.once("upgrade", ({ headers }, stream, head) => {
      const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${GUID}`).digest("base64");
      stream.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      resolve(new ServerEnd(stream as Socket, head));
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as { port: number };
  return { client: new WebSocket(`ws://127.0.0.1:${port}/link`), server, socket };
}

async function linked(password: string): Promise<[client: MultiplexLink, server: MultiplexLink, Socket]> {
  const { client, server, socket } = await webSocket();
  // Before it is open.
  const dialling = openLink(webSocketStream(client), { role: "initiator", password });
  const accepting = openLink(await server, {
    role: "responder",
    password,
    onChannel: (channel) => {
      channel.on("error", () => undefined);
      channel.pipe(channel);
    },
  });
  const pair = await Promise.all([dialling, accepting]);
  links.push(...pair);
  return [...pair, await socket];
}

describe("a link over a WebSocket of the standard", () => {
  it("carries channels whole and in order, encrypted, and ends", async () => {
    const [client] = await linked("correct horse battery");
    expect(client.isEncrypted).toBe(true);
    const bodies = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const channel = await client.open(`echo ${i}`);
        const sent = Buffer.alloc(300_000, i + 1);
        channel.end(sent);
        return (await buffer(channel)).equals(sent);
      }),
    );
    expect(bodies).toEqual(Array(10).fill(true));
  });

  it.each([
    "client",
    "server",
  ] as const)("is closed by its %s without an error at the other end", async (by) => {
    const [client, server] = await linked("correct horse battery");
    const [closing, other] = by === "client" ? [client, server] : [server, client];
    const ended = new Promise<{ error?: unknown }>((resolve) => other.events.once("link:ended", resolve));
    await closing.close();
    expect((await ended).error).toBeUndefined();
  });

  it("that is cut fails its channels", async () => {
    const [client, , socket] = await linked("correct horse battery");
    const channel = await client.open("echo");
    channel.write("x");
    await once(channel, "data");
    const failed = once(channel, "error");
    const ended = new Promise<{ error?: unknown }>((resolve) => client.events.once("link:ended", resolve));
    socket.destroy();
    const [error] = await failed;
    expect(error).toMatchObject({ code: "ERR_TRANSPORT" });
    expect(await ended).toMatchObject({ error: { code: "ERR_TRANSPORT" } });
  });
});
