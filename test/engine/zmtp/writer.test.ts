import { expect, test } from "vitest";
import { Pipe } from "../../../src/engine/zmtp/pipe.js";
import { ReceiveBudget } from "../../../src/engine/zmtp/receive-budget.js";
import type { ByteStream } from "../../../src/engine/zmtp/transport/byte-stream.js";
import { PipeWriter } from "../../../src/engine/zmtp/writer.js";
import { pipeOwner } from "./support/pipe-owner.js";

/** A stream that calls back within `write`, as a browser's does. */
function make() {
  const owner = pipeOwner();
  const marks = {
    sendHighWaterMark: 100,
    receiveHighWaterMark: 100,
    maxMessageSize: -1,
    maxFrames: 65_536,
    conflate: false,
    early: true,
  };
  const bytes = { sendHighWaterMarkBytes: 0, receiveHighWaterMarkBytes: 0 };
  const pipe = new Pipe(owner, { ...marks, ...bytes }, new ReceiveBudget(() => 0), "test://pipe", true);
  const events: string[] = [];
  const stream = {
    writableLength: 0,
    errored: null,
    writable: true,
    cork: () => {},
    uncork: () => {},
    write: (written: Uint8Array, done?: () => void) => {
      events.push(`begin ${written.length}`);
      done?.();
      events.push("end");
      return true;
    },
  };
  const writer = new PipeWriter(stream as unknown as ByteStream, pipe, undefined, undefined, {
    writerOnEmpty: () => events.push("empty"),
    writerOnFault: (error) => events.push(error.message),
  });
  return { pipe, stream, writer, events };
}

test("a stream that calls back within a write is told once that all is written, after the write", () => {
  const { pipe, writer, events } = make();
  for (let i = 0; i < 3; i++) pipe.send(Buffer.alloc(100), 0, undefined);
  writer.flush();
  expect(events.filter((event) => event.startsWith("begin")).length).toBeGreaterThan(0);
  expect(events.at(-2)).toBe("end");
  expect(events.filter((event) => event === "empty")).toHaveLength(1);
  expect(pipe.out.length).toBe(0);
});

test("a send within a write is written after it, each byte once", () => {
  const { pipe, stream, writer, events } = make();
  const { write } = stream;
  let isFirst = true;
  stream.write = (written, done) => {
    if (isFirst) pipe.send(Buffer.alloc(200), 0, undefined);
    if (isFirst) writer.flush();
    isFirst = false;
    return write(written, done);
  };
  pipe.send(Buffer.alloc(100), 0, undefined);
  writer.flush();
  expect(events).toEqual(["begin 102", "end", "begin 202", "end", "empty"]);
});
