/**
 * A program at one of two joined servers: `node main.js nats|mqtt|redis --scenario … --role subscriber|publisher`.
 *
 * No broker slows a publisher down for a slow subscriber. So the subscriber reports the number of received messages
 * over a separate connection, and the publisher stays within a window of that.
 */
import { readFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { Bodies } from "../../bodies.js";
import { parseSide, Side } from "../node/side.js";
import { mqtt, nats, type Protocol, redis } from "./protocols.js";

/** Bytes of messages per write. */
const BATCH = 65_536;
/** Messages in flight; at most 8 MiB. */
const windowOf = (size: number): number => Math.max(1, Math.min(32_768, Math.floor(2 ** 23 / size)));

async function open(side: Side, protocol: Protocol): Promise<Socket> {
  const ca = side.option("ca", "");
  return protocol.open(side.number("port", 0), ca === "" ? undefined : await readFile(ca));
}

async function subscriber(side: Side, protocol: Protocol): Promise<void> {
  const socket = await open(side, protocol);
  const checker = side.checker();
  const credit = Math.max(1, windowOf(side.size) >> 2);
  const first = Math.max(1, side.warmup);
  const total = side.warmup + side.count;
  let seen = 0;
  let greetings = 0;
  const reporters: Socket[] = [];
  const report = (count: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(count, 0);
    for (const reporter of reporters) reporter.write(bytes);
  };
  const server = createServer((reporter) => {
    reporters.push(reporter.setNoDelay());
    reporter.on("error", () => undefined);
    if (greetings > 0) report(0);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  let finish: () => void = () => undefined;
  const all = new Promise<void>((resolve) => {
    finish = resolve;
  });
  protocol.read(socket, (body) => {
    // The publisher's first messages only test whether the subscriber is reached.
    if (body.length !== side.size) {
      greetings += 1;
      if (greetings === 1) report(0);
      return;
    }
    checker.take(body);
    seen += 1;
    if (seen === first) side.begin();
    if (seen % credit === 0) report(seen);
    if (seen === total) finish();
  });
  protocol.subscribe(socket);
  const { port } = server.address() as { port: number };
  await side.ready(`tcp://127.0.0.1:${port}`);
  await all;
  side.end();
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
  for (const reporter of reporters) reporter.destroy();
  server.close();
  socket.destroy();
}

async function publisher(side: Side, protocol: Protocol): Promise<void> {
  const socket = await open(side, protocol);
  protocol.read(socket, () => undefined);
  const window = windowOf(side.size);
  const { head, tail } = protocol.frame(side.size);
  const bodies = new Bodies(side.size);
  const total = side.warmup + side.count;
  let reported = -1;
  let wake: () => void = () => undefined;
  const port = Number(new URL(side.endpoint).port);
  const reports = connect(port, "127.0.0.1").on("data", (bytes) => {
    if (bytes.length >= 4) reported = bytes.readUInt32BE(bytes.length - 4);
    wake();
  });
  const changed = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  // Repeated until both servers know the subscription.
  const greeting = protocol.frame(1);
  while (reported < 0) {
    socket.write(Buffer.concat([greeting.head, Buffer.alloc(1), greeting.tail]));
    await Promise.race([changed(), new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  await side.ready();
  const messageSize = head.length + side.size + tail.length;
  const perBatch = Math.max(1, Math.floor(BATCH / messageSize));
  for (let k = 0; k < total; ) {
    const count = Math.min(perBatch, total - k, reported + window - k);
    if (count <= 0) {
      await changed();
      continue;
    }
    const batch = Buffer.allocUnsafeSlow(count * messageSize);
    for (let i = 0, at = 0; i < count; i++, k++) {
      batch.set(head, at);
      at += head.length;
      batch.set(bodies.make(k), at);
      at += side.size;
      batch.set(tail, at);
      at += tail.length;
    }
    if (!socket.write(batch)) await new Promise((resolve) => socket.once("drain", resolve));
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  reports.destroy();
  socket.destroy();
}

const [name = "", ...args] = process.argv.slice(2);
const request = parseSide(args);
const protocols: Readonly<Record<string, Protocol>> = { mqtt, nats, redis };
const protocol = protocols[name];
if (protocol === undefined) throw new Error(`no protocol ${name}`);
await (request.role === "publisher" ? publisher : subscriber)(new Side(request), protocol);
