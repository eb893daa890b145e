/** Two ends of a port within this thread. */
import { expect, test } from "vitest";
import { PortStream } from "../../../../src/engine/zmtp/threads/port-stream.js";
import { until } from "../../../contract/support/wait.js";

function pair() {
  const { port1, port2 } = new MessageChannel();
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const [left, right] = ([port1, port2] as const).map((port, own) => {
    const stream = new PortStream({ port: port as never, counts, own: own as 0 | 1 }, "inproc://port");
    const seen = { bytes: "", isOver: false };
    const sink = {
      sinkOnBytes: (bytes: Buffer, length: number) => {
        seen.bytes += bytes.toString("latin1", 0, length);
      },
      sinkOnEnd: () => {
        seen.isOver = true;
      },
    };
    return Object.assign(stream, { seen, begin: () => stream.reader.start(stream.socket, sink) });
  });
  return [left, right] as [NonNullable<typeof left>, NonNullable<typeof right>];
}

test("a stream is full while the other end does not read, and goes on once it does", async () => {
  const [one, two] = pair();
  one.begin();
  let writes = 0;
  for (; one.socket.writableLength === 0 && writes < 1_000; writes++)
    one.socket.write(Buffer.from(`${writes} `));
  expect(writes).toBe(32);
  for (; writes < 100; writes++) one.socket.write(Buffer.from(`${writes} `));
  two.begin();
  const all = Array.from({ length: 100 }, (_, i) => `${i} `).join("");
  await until(() => two.seen.bytes.length === all.length, "all bytes");
  expect(two.seen.bytes).toBe(all);
  expect(one.socket.writableLength).toBe(0);
  one.socket.destroy();
  await until(() => two.seen.isOver, "the end");
  two.socket.destroy();
});

test("the end of a half comes after its bytes, and the other half goes on", async () => {
  const [one, two] = pair();
  one.begin();
  two.begin();
  one.socket.write(Buffer.from("last"));
  one.socket.end();
  await until(() => two.seen.isOver, "the end");
  expect(two.seen.bytes).toBe("last");
  two.socket.write(Buffer.from("still"));
  await until(() => one.seen.bytes === "still", "the other half");
  expect(one.seen.isOver).toBe(false);
  two.socket.destroy();
  await until(() => one.seen.isOver, "its end");
  one.socket.destroy();
});
