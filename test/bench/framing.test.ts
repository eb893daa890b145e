import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { FrameReader, FrameWriter } from "../../bench/peers/node-net/framing.js";
import { curveKeyPair, curvePublicKey } from "../../src/index.js";
import fc from "../support/properties.js";

/** Just enough of a socket to see what is written. */
function recorder(): { socket: Socket; bytes(): Buffer } {
  const parts: Buffer[] = [];
  const socket = { writableNeedDrain: false, write: (part: Buffer) => parts.push(part) > 0 };
  return { socket: socket as unknown as Socket, bytes: () => Buffer.concat(parts) };
}

describe("the ceiling's framing", () => {
  it("is ZMTP's: short and long frames", () => {
    const { socket, bytes } = recorder();
    const writer = new FrameWriter(socket);
    writer.write(Buffer.from("abc"));
    writer.write(Buffer.alloc(256, 7));
    void writer.flush();
    expect(bytes().subarray(0, 14).toString("hex")).toBe("0003616263" + "020000000000000100");
    expect(bytes().length).toBe(5 + 9 + 256);
  });

  it("reads what it wrote, wherever the chunks are cut", () => {
    const size = fc.oneof(fc.nat(300), fc.constantFrom(0, 255, 256, 8_192, 8_193, 70_000));
    const cuts = fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 12 }), cuts, (sizes, lengths) => {
        const { socket, bytes } = recorder();
        const writer = new FrameWriter(socket);
        const sent = sizes.map((length, i) => Buffer.alloc(length, i + 1));
        for (const body of sent) if (!writer.write(body)) void writer.flush();
        void writer.flush();
        const got: Buffer[] = [];
        const reader = new FrameReader((body) => got.push(Buffer.from(body)));
        const all = bytes();
        for (let at = 0, i = 0; at < all.length; i++) {
          const length = lengths[i % lengths.length] as number;
          reader.take(all.subarray(at, at + length));
          at += length;
        }
        expect(got.length).toBe(sent.length);
        expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("waits for a socket that is full", async () => {
    const server = createServer((socket) => {
      socket.pause();
      accepted(socket);
    });
    let accepted: (socket: Socket) => void = () => undefined;
    const peer = new Promise<Socket>((resolve) => (accepted = resolve));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
    const reader = await peer;
    const writer = new FrameWriter(socket);
    let full: Promise<unknown> | undefined;
    for (let i = 0; i < 10_000 && full === undefined; i++) {
      if (!writer.write(Buffer.alloc(4_096))) full = writer.flush();
    }
    expect(full).toBeInstanceOf(Promise);
    reader.resume();
    await full;
    socket.destroy();
    server.close();
    await once(server, "close");
  });
});

describe("the keys that the runner makes", () => {
  it("are pairs that CURVE accepts", () => {
    for (let i = 0; i < 20; i++) {
      const { publicKey, secretKey } = curveKeyPair();
      expect(publicKey).toHaveLength(40);
      expect(curvePublicKey(secretKey)).toBe(publicKey);
    }
  });
});
