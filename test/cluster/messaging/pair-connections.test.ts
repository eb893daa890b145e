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
const BATCH = (lane: number): Buffer => Buffer.from([lane, LinkFrame.BATCH, 1, 2]);
const HELLO = (lane: number): Buffer => Buffer.from([lane, LinkFrame.HELLO]);

function world() {
  const stream = new FakeStream();
  const sent: [number, number][] = [];
  stream.onSent = ([type], lane) => void sent.push([lane, type ?? -1]);
  const table = new FakeTable();
  const streams = new PairStreams(table, new NamespaceCodec("default", []), 1_000, HOST);
  const log: string[] = [];
  const accepted: ReceivingEnd[] = [];
  streams.accept("tcp", {
    onHello: (from, lane, [type]) => {
      log.push(`in${lane} ${type}`);
      const end: ReceivingEnd = {
        id: "b",
        lane,
        stream: undefined,
        onFrame: ([type]) => void log.push(`in${lane} ${type}`),
      };
      accepted[lane] ??= end;
      streams.take(from, accepted[lane]);
    },
  });
  const dial = (lane = 0): DiallingEnd => {
    const end: DiallingEnd = {
      protocol: streams.ownProtocol(),
      where: "1",
      target: TARGET,
      lane,
      address: "",
      stream: undefined,
      hasEnded: false,
      onOpen: () => void log.push(`out${lane} open`),
      onFrame: ([type]) => void log.push(`out${lane} ${type}`),
      onEnd: (reason) => {
        streams.drop(end);
        log.push(`out${lane} ${reason}`);
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

it("a lane of a stream has one end each way: a further one takes its place", async () => {
  const { stream, streams, log, dial, stand } = world();
  stand();
  for (const _ of [1, 2]) {
    streams.onMessages(stream, HELLO(0));
    dial(0);
    await Promise.resolve();
  }
  expect(log).toEqual(["in0 1", "out0 open", "in0 1", "out0 another connection took its place", "out0 open"]);
  expect(stream.users).toBe(2);
});

it("items of a link that this end has given up are refused, but not to a peer that does not read", () => {
  const { stream, sent, streams, accepted, stand } = world();
  stand();
  streams.onMessages(stream, BATCH(0));
  expect(sent.splice(0)).toEqual([[0, LinkFrame.REFUSED]]);
  streams.onMessages(stream, HELLO(0));
  stream.isFull = true;
  streams.onMessages(stream, BATCH(1));
  streams.answer(stream, 0, encodeAck(0, 0));
  streams.send(accepted[0] as ReceivingEnd, [encodeAck(0, 1)]);
  streams.refuse(stream, 0, "stranger");
  expect(accepted[0]?.stream).toBeUndefined();
  expect(sent).toEqual([[0, LinkFrame.ACK]]);
});

it("nothing is taken without a lane, nor where nobody listens", () => {
  const { stream, sent, streams, stand } = world();
  stand();
  expect(streams.onMessages(stream, Buffer.alloc(0))).toBe(false);
  streams.close();
  expect(streams.onMessages(stream, HELLO(0))).toBe(false);
  expect([sent, stream.users]).toEqual([[], 0]);
});

it("who waits for a stream learns that none came about, or that it ended first, unless he gave up", async () => {
  const { stream, streams, log, dial, stand } = world();
  dial(0);
  streams.drop(dial(1));
  streams.onFailed("10.0.0.3:1", "tcp", "another");
  streams.onFailed("10.0.0.2:1", "ipc", "another");
  expect(log).toEqual([]);
  streams.onFailed("10.0.0.2:1", "tcp", "nobody is there");
  expect(log.splice(0)).toEqual(["out0 nobody is there"]);
  stand();
  dial(0);
  stream.isOpen = false;
  await Promise.resolve();
  expect(log).toEqual(["out0 the stream has ended"]);
});

it("an acknowledgement is held while the peer does not read, and goes once it does", () => {
  const later: Receiving[] = [];
  const acks: unknown[] = [];
  const receiving = new Receiving("b", 1_000, {
    ...RECEIVING_EFFECTS,
    streams: acksTo((ack) => acks.push(ack)),
    acknowledgeLater: (each) => void later.push(each),
  });
  receiving.hello({ life: "00".repeat(8), session: 0, sent: 0 });
  const stream = new FakeStream();
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

it("who waits for a node at an address is not served by another one that claims it", () => {
  const { stream, log, dial, stand } = world();
  dial(0);
  stream.isOnlyFor = "another";
  stand();
  expect(log).toEqual([]);
  stream.isOnlyFor = TARGET.id;
  stand();
  expect(log).toEqual(["out0 open"]);
});

it("what a node says that had the address before is not for the one that has it now", async () => {
  const { stream, streams, log, dial, stand } = world();
  stand();
  dial(0);
  await Promise.resolve();
  stream.isOnlyFor = "another";
  expect(streams.onMessages(stream, Buffer.concat([Buffer.of(0), encodeAck(0, 0)]))).toBe(true);
  expect(log).toEqual(["out0 open", "out0 another node has the address"]);
});
