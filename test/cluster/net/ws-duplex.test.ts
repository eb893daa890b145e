/** A WebSocket as a stream of bytes: what its other end, which has proved nothing yet, cannot make a node keep. */
import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { expect, it } from "vitest";
import { WsDuplex } from "../../../src/cluster/messaging/protocols.js";
import { Reader } from "../../../src/engine/zmtp/transport/reader.js";
import type { Stream } from "../../../src/engine/zmtp/transport/transport.js";
import { WsFraming } from "../../../src/engine/zmtp/ws/ws-framing.js";

const PROTOCOL = "ZWS2.0/NULL";
const CHUNK = 65_536;

/** The end of a client, over a socket whose writes the test sees and whose peer may not read. */
function client(reads = true) {
  const written: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      written.push(chunk);
      if (reads) done();
    },
  });
  const reader = new Reader();
  const framing = new WsFraming("NULL", PROTOCOL, () => 0x01020304);
  const duplex = new WsDuplex({ socket, reader, framing, address: "10.0.0.2" } as unknown as Stream);
  const got: Buffer[] = [];
  duplex.on("data", (chunk: Buffer) => got.push(chunk)).on("error", () => undefined);
  return { duplex, written, got, socket };
}

/** A frame of a server (RFC 6455), with less than 64 KiB. */
function frame(first: number, body: Buffer): Buffer {
  const size = Buffer.of(126, body.length >>> 8, body.length & 0xff);
  const header = body.length < 126 ? Buffer.of(body.length) : size;
  return Buffer.concat([Buffer.of(first), header, body]);
}
/** A ZMTP frame in it: flags of a message, then its bytes. */
const message = (body: Buffer): Buffer => frame(0x82, Buffer.concat([Buffer.of(0), body]));

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

it("bytes arrive wherever the frames are cut", async () => {
  const { duplex, got, socket } = client();
  const bytes = randomBytes(3_000);
  const wire = Buffer.concat([
    message(bytes.subarray(0, 5)),
    message(bytes.subarray(5, 2_000)),
    frame(0x02, Buffer.concat([Buffer.of(0), bytes.subarray(2_000, 2_100)])),
    frame(0x80, bytes.subarray(2_100)),
  ]);
  for (let at = 0; at < wire.length; ) {
    const next = at + 1 + (at % 7);
    socket.push(wire.subarray(at, next));
    at = next;
  }
  await settled();

  expect(Buffer.concat(got).equals(bytes)).toBe(true);
  duplex.destroy();
});

it("a message in endless fragments ends the stream", async () => {
  const { duplex, socket } = client();
  socket.push(frame(0x02, Buffer.alloc(1_000)));
  for (let i = 0; i < 80; i++) socket.push(frame(0x00, Buffer.alloc(1_000)));
  await settled();
  expect(duplex.destroyed).toBe(true);
});

it("pings are not answered while their sender does not read", async () => {
  const { duplex, socket } = client(false);
  for (let i = 0; i < 2_000; i++) socket.push(frame(0x89, Buffer.alloc(100)));
  await settled();
  expect(socket.writableLength).toBeLessThan(CHUNK + 200);
  duplex.destroy();
});

it("a large write is frames of at most 64 KiB", async () => {
  const { duplex, written } = client();
  const bytes = randomBytes(3 * CHUNK);
  duplex.write(bytes);
  await settled();
  const server = new WsDuplex({
    ...({ address: "", reader: new Reader() } as object),
    socket: new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() }),
    framing: new WsFraming("NULL", PROTOCOL),
  } as unknown as Stream);
  const got: Buffer[] = [];
  server.on("data", (chunk: Buffer) => got.push(chunk));
  for (const each of written) server.sinkOnBytes(each, each.length);
  await settled();
  expect(Buffer.concat(got).equals(bytes)).toBe(true);
  expect(written.map(({ length }) => length)).toEqual([3 * (CHUNK + 15)]);
  duplex.destroy();
  server.destroy();
});
