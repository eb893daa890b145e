/** Where bytes that come are put. */
import { once } from "node:events";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { PassThrough } from "node:stream";
import { connect as connectTls, createServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { makeCertificate } from "../../../../bench/certificate.js";
import { TurnBudget } from "../../../../src/core/turn-budget.js";
import { type ByteStream, Reader } from "../../../../src/engine/zmtp/transport/reader.js";

describe("full records of TLS", () => {
  const RECORD = 16_384;

  /** A reader of records, each of whose bytes is its number, and what its sink has got. */
  function gathering() {
    const listeners = new Map<string, () => void>();
    const reader = new Reader();
    const { buffer, callback } = reader.onread;
    const got: Buffer[] = [];
    const kept: boolean[] = [];
    const wire: Buffer[] = [];
    const on = (event: string, listener: () => void) => void listeners.set(event, listener);
    const socket = { on, pause: () => undefined, resume: () => undefined, encrypted: true };
    reader.start(socket as unknown as ByteStream, {
      sinkOnBytes(bytes, length, isKept) {
        got.push(Buffer.from(bytes.subarray(0, length)));
        kept.push(isKept);
      },
      sinkOnEnd: () => void got.push(Buffer.from("end")),
    });
    let target = buffer();
    return {
      reader,
      got,
      kept,
      wire,
      read(length: number): void {
        const bytes = Buffer.alloc(length, wire.length + 1);
        wire.push(bytes);
        target.set(bytes);
        callback(length, target);
        target = buffer();
      },
      emit: (event: string) => listeners.get(event)?.(),
    };
  }

  it("are handed on as one with the last, which is shorter", () => {
    const { got, kept, wire, read } = gathering();
    // The first is what shows that much comes.
    for (const length of [RECORD, RECORD, RECORD, RECORD, 500]) read(length);
    expect(got.map(({ length }) => length)).toEqual([RECORD, 3 * RECORD + 500]);
    for (const length of [RECORD, 500]) read(length);
    expect(got.map(({ length }) => length)).toEqual([RECORD, 3 * RECORD + 500, RECORD, 500]);
    expect(Buffer.concat(got).equals(Buffer.concat(wire))).toBe(true);
    expect(kept).toEqual([false, true, false, false]);
  });

  it("are handed on at the end of the turn, and before the stream's end", async () => {
    const { got, wire, read, emit } = gathering();
    for (let i = 0; i < 3; i++) read(RECORD);
    expect(got).toHaveLength(1);
    await new Promise(setImmediate);
    expect(got).toHaveLength(2);
    read(RECORD);
    emit("end");
    expect(got.pop()?.toString()).toBe("end");
    expect(Buffer.concat(got).equals(Buffer.concat(wire))).toBe(true);
  });

  it("are handed on where the stream closes without an end", () => {
    const { got, wire, read, emit } = gathering();
    for (let i = 0; i < 3; i++) read(RECORD);
    emit("close");
    expect(got.pop()?.toString()).toBe("end");
    expect(Buffer.concat(got).equals(Buffer.concat(wire))).toBe(true);
  });

  it("wait while the reader is paused, in order with those that follow", async () => {
    const { reader, got, wire, read } = gathering();
    for (let i = 0; i < 3; i++) read(RECORD);
    reader.pause();
    read(RECORD);
    read(100);
    expect(got).toHaveLength(1);
    reader.resume();
    await new Promise(setImmediate);
    expect(Buffer.concat(got).equals(Buffer.concat(wire))).toBe(true);
  });

  it.skipIf(process.versions.bun !== undefined || process.versions.deno !== undefined)(
    "come from a socket of node:tls into the reader's own memory",
    async () => {
      const { cert, key } = makeCertificate();
      const wire = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 31) % 251));
      const server = createServer({ cert, key }, (peer) => void peer.end(wire)).listen(0, "127.0.0.1");
      await once(server, "listening");
      const raw = connectTcp((server.address() as AddressInfo).port, "127.0.0.1");
      await once(raw, "connect");
      const socket = connectTls({ socket: raw, ca: cert, host: "127.0.0.1" });
      const reader = new Reader();
      // How many records one turn brings, and so whether their memory is pooled, is the system's affair.
      const { callback } = reader.onread;
      let read = 0;
      reader.onread.callback = (length, bytes) => {
        read += length;
        return callback(length, bytes);
      };
      const got: Buffer[] = [];
      await new Promise<void>((resolve) => {
        reader.start(socket as unknown as ByteStream, {
          sinkOnBytes: (bytes, length) => void got.push(Buffer.from(bytes.subarray(0, length))),
          sinkOnEnd: resolve,
        });
      });
      expect(Buffer.concat(got).equals(wire)).toBe(true);
      expect([read, socket.listenerCount("data")]).toEqual([wire.length, 0]);
      socket.destroy();
      server.close();
    },
  );
});

it("a read begins the time of each budget again, since the event loop has turned; what a program's stream brings does not", () => {
  let now = 0;
  const budget = new TurnBudget(1, { now: () => now });
  let bring: (chunk: Buffer) => void = () => undefined;
  const reader = new Reader();
  const on = (event: string, listener: typeof bring): void => {
    if (event === "data") bring = listener;
  };
  const socket = { on, resume: () => undefined } as unknown as ByteStream;
  reader.start(socket, { sinkOnBytes: () => undefined, sinkOnEnd: () => undefined });
  budget.note(64);
  now = 5;
  reader.onread.callback(1, reader.onread.buffer());
  budget.note(64);
  expect(budget.exhausted).toBe(false);
  now = 10;
  bring(Buffer.alloc(1));
  budget.note(64);
  expect(budget.exhausted).toBe(true);
});

it("reports a stream's end although its last bytes, which waited for room, pause the reader again", async () => {
  const reader = new Reader();
  const stream = new PassThrough();
  const got: string[] = [];
  reader.start(stream, {
    sinkOnBytes(bytes, length) {
      got.push(bytes.toString("latin1", 0, length));
      reader.pause();
    },
    sinkOnEnd: () => void got.push("end"),
  });
  stream.write("first");
  await expect.poll(() => got).toEqual(["first"]);
  stream.end("last");
  await once(stream, "end");
  reader.resume();
  await new Promise(setImmediate);
  expect(got).toEqual(["first", "last"]);
  reader.resume();
  await new Promise(setImmediate);
  expect(got).toEqual(["first", "last", "end"]);
});
