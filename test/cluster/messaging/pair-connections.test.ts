/** The ends of links over streams: who gets a frame, and what a peer cannot make a node keep. */
import { expect, it } from "vitest";
import {
  type DiallingEnd,
  PairStreams,
  type ReceivingEnd,
} from "../../../src/cluster/messaging/pair-streams.js";
import { Receiving, type ReceivingEffects } from "../../../src/cluster/messaging/receiving.js";
import { encodeAck, LinkFrame } from "../../../src/cluster/messaging/wire.js";
import { NamespaceCodec } from "../../../src/cluster/net/namespace-codec.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { gate } from "../../support/gate.js";
import { turn } from "../../support/settled.js";
import { acksTo, FakeStream, FakeTable, RECEIVING_EFFECTS } from "./fake-streams.js";

const TARGET = { id: "b", host: "10.0.0.2", address: "10.0.0.2:1", local: false };
const HOST = { cluster: "default", id: "a", host: "*", ports: undefined };
const BATCH = Buffer.from([LinkFrame.BATCH, 1, 2]);
const HELLO = Buffer.from([LinkFrame.HELLO]);

function world() {
  const stream = new FakeStream();
  const sent: (number | undefined)[] = [];
  stream.onSent = ([type]) => void sent.push(type);
  const table = new FakeTable();
  const streams = new PairStreams(table, new NamespaceCodec("default", []), 1_000, HOST);
  const log: string[] = [];
  const accepted: ReceivingEnd = {
    id: "b",
    stream: undefined,
    onFrame: ([type]) => void log.push(`in ${type}`),
  };
  streams.accept({
    onHello: (from, [type]) => {
      log.push(`in ${type}`);
      streams.take(from, accepted);
    },
    onLooseItem: (_, [type]) => void log.push(`loose ${type}`),
  });
  const dial = (): DiallingEnd => {
    const end: DiallingEnd = {
      protocol: streams.ownProtocol(),
      where: "1",
      target: TARGET,
      stream: undefined,
      hasEnded: false,
      onOpen: () => void log.push("out open"),
      onFrame: ([type]) => void log.push(`out ${type}`),
      onEnd: (reason) => {
        streams.drop(end);
        log.push(`out ${reason}`);
      },
    };
    streams.dial(end);
    return end;
  };
  const stand = (): void => {
    table.stream = stream;
    streams.onUp(stream);
  };
  return { stream, sent, streams, log, accepted, dial, stand };
}

it("a stream has one end each way: a further one takes its place", async () => {
  const { stream, streams, log, dial, stand } = world();
  stand();
  for (const _ of [1, 2]) {
    streams.onMessages(stream, HELLO);
    dial();
    await turn();
  }
  expect(log).toEqual(["in 1", "out open", "in 1", "out another connection took its place", "out open"]);
  expect(stream.users).toBe(1);
});

it("items of a link that this end has given up are refused, but not to a peer that does not read", () => {
  const { stream, sent, streams, accepted, stand } = world();
  stand();
  streams.onMessages(stream, BATCH);
  expect(sent.splice(0)).toEqual([LinkFrame.REFUSED]);
  streams.onMessages(stream, HELLO);
  stream.isFull = true;
  expect(streams.answer(stream, encodeAck(0, 0))).toBe(false);
  streams.refuse(stream, "stranger");
  expect(accepted.stream).toBeUndefined();
  streams.onMessages(stream, BATCH);
  expect(sent).toEqual([]);
});

it("nothing is taken without a type, nor where nobody listens", () => {
  const { stream, sent, streams, stand } = world();
  stand();
  expect(streams.onMessages(stream, Buffer.alloc(0))).toBe(false);
  streams.close();
  expect(streams.onMessages(stream, HELLO)).toBe(false);
  expect([sent, stream.users]).toEqual([[], 0]);
});

it("who waits for a stream learns that none came about, or that it ended first, unless he gave up", async () => {
  const { stream, streams, log, dial, stand } = world();
  dial();
  const other = dial();
  await turn();
  streams.drop(other);
  streams.onFailed("10.0.0.3:1", "tcp", "another");
  streams.onFailed("10.0.0.2:1", "ipc", "another");
  await turn();
  expect(log).toEqual([]);
  streams.onFailed("10.0.0.2:1", "tcp", "nobody is there");
  await turn();
  expect(log.splice(0)).toEqual(["out nobody is there"]);
  stand();
  dial();
  stream.isOpen = false;
  await turn();
  expect(log).toEqual(["out the stream has ended"]);
});

it("an acknowledgement is held while the peer does not read, and goes once it does", () => {
  const later: Receiving[] = [];
  const acks: unknown[] = [];
  const receiving = new Receiving("b", 1_000, {
    ...RECEIVING_EFFECTS,
    acknowledgeLater: (each) => void later.push(each),
  });
  receiving.hello({ life: "00".repeat(8), session: 0, sent: 0 });
  const stream = acksTo((ack) => acks.push(ack));
  stream.isFull = true;
  receiving.stream = stream;
  const head = Buffer.from([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4]);
  expect(receiving.onData(Buffer.concat([head, Buffer.from("item")]))).toBeUndefined();
  later.length = 0;
  receiving.acknowledge();
  expect([acks, later]).toEqual([[], [receiving]]);
  stream.isFull = false;
  receiving.acknowledge();
  expect(acks).toEqual([{ session: 0, delivered: 1 }]);
});

it("a frame that waits for a handler keeps its own memory, and not that of all that came with it", async () => {
  const items: Buffer[] = [];
  const { passed, open } = gate();
  const delivered = gate();
  const onItem: ReceivingEffects["onItem"] = (_, item) => {
    items.push(item.view());
    if (items.length === 1) return passed;
    delivered.open();
  };
  const receiving = new Receiving("b", 1_000, { ...RECEIVING_EFFECTS, onItem });
  receiving.hello({ life: "00".repeat(8), session: 0, sent: 0 });
  for (const first of [0, 1]) {
    const read = Buffer.alloc(65_536);
    read.set([LinkFrame.BATCH, 0, 0, 0, 0, 0, first, 0, 1, 3, 1, 7]);
    expect(receiving.onData(read.subarray(0, 12))).toBeUndefined();
  }
  open();
  await delivered.passed;
  expect(items[1]).toEqual(Buffer.from([7]));
  expect(items[1]?.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize);
});

it("a link that is quiet keeps none of the memory that its last frame came in", async () => {
  const receiving = new Receiving("b", 1_000, RECEIVING_EFFECTS);
  receiving.hello({ life: "00".repeat(8), session: 0, sent: 0 });
  const give = (): WeakRef<ArrayBufferLike> => {
    const read = Buffer.alloc(65_536);
    read.set([LinkFrame.BATCH, 0, 0, 0, 0, 0, 0, 0, 1, 3, 1, 7]);
    expect(receiving.onData(read.subarray(0, 12))).toBeUndefined();
    return new WeakRef(read.buffer);
  };
  const read = give();
  await turn();
  collectGarbage();
  expect([receiving.delivered, read.deref()]).toEqual([1, undefined]);
});

it("who waits for a node at an address is not served by another one that claims it", async () => {
  const { stream, log, dial, stand } = world();
  dial();
  await turn();
  stream.isOnlyFor = "another";
  stand();
  await turn();
  expect(log).toEqual([]);
  stream.isOnlyFor = TARGET.id;
  stand();
  await turn();
  expect(log).toEqual(["out open"]);
});

it("what a node says that had the address before is not for the one that has it now", async () => {
  const { stream, streams, log, dial, stand } = world();
  stand();
  dial();
  await turn();
  stream.isOnlyFor = "another";
  expect(streams.onMessages(stream, encodeAck(0, 0))).toBe(true);
  expect(log).toEqual(["out open", "out another node has the address"]);
});

it("a stream that is opened for messages without a link is dialled once for all of them, and shared", async () => {
  const { stream, streams, stand } = world();
  let connects = 0;
  const connect = async (): Promise<never> => {
    connects += 1;
    return new Promise(() => undefined);
  };
  const way = { protocol: { ...streams.ownProtocol(), connect }, where: "1", target: TARGET };
  const opened = Promise.all([streams.open(way), streams.open({ ...way })]);
  await turn();
  stand();
  expect([await opened, connects, stream.users]).toEqual([[stream, stream], 1, 0]);
  const failing = new PairStreams(new FakeTable(), new NamespaceCodec("default", []), 1_000, HOST);
  const failed = failing.open(way);
  await turn();
  failing.close();
  await expect(failed).rejects.toMatchObject({ code: "ERR_TRANSPORT", message: "closed" });
});
