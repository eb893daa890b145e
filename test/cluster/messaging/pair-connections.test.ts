/** The connections of links over streams: who gets a frame, and what a peer cannot make a node keep. */
import { expect, it } from "vitest";
import { type PairStream, PairStreams } from "../../../src/cluster/messaging/pair-streams.js";
import type { ConnectionEvents, MessageConnection } from "../../../src/cluster/messaging/protocol.js";
import { Receiving } from "../../../src/cluster/messaging/receiving.js";
import { encodeAck, encodeRefused, encodeWelcome, LinkFrame } from "../../../src/cluster/messaging/wire.js";
import { BusCodec } from "../../../src/cluster/net/bus-codec.js";

class FakeStream implements PairStream {
  readonly protocol = "tcp";
  readonly address = "10.0.0.2:1";
  readonly remote = "10.0.0.2";
  readonly node = undefined;
  readonly copiesSent = true;
  isOpen = true;
  /** Id of the node at its end. */
  proved: string | undefined;
  isFull = false;
  users = 0;
  /** Lane and type of what was sent. */
  readonly sent: [number, number][] = [];

  sendMessages(_codec: BusCodec, [lane, frame]: readonly Uint8Array[]): void {
    this.sent.push([lane?.[0] ?? -1, frame?.[0] ?? -1]);
  }

  expectAnswer(): void {}

  isFor(id: string): boolean {
    return this.proved === undefined || this.proved === id;
  }
}

const TARGET = { id: "b", host: "10.0.0.2", address: "10.0.0.2:1", local: false };
const BATCH = (lane: number): Buffer => Buffer.from([lane, LinkFrame.BATCH, 1, 2]);
const HELLO = (lane: number): Buffer => Buffer.from([lane, LinkFrame.HELLO]);

async function world() {
  const stream = new FakeStream();
  let current: FakeStream | undefined;
  const streams = new PairStreams(
    { scheme: "tcp", ownAddress: "10.0.0.1:1", streamTo: () => current, open: () => undefined },
    new BusCodec("default", []),
    1_000,
  );
  const log: string[] = [];
  const accepted: MessageConnection[] = [];
  const eventsOf = (name: string): ConnectionEvents => ({
    onOpen: () => log.push(`${name} open`),
    onMessage: ([type]) => log.push(`${name} ${type}`),
    onClose: (reason) => log.push(`${name} ${reason}`),
  });
  const protocol = streams.ownProtocol();
  const listener = await protocol.listen({
    heartbeat: 0,
    accept: (connection) => {
      accepted.push(connection);
      return eventsOf(`in${accepted.length}`);
    },
  });
  const dial = (lane = 0): MessageConnection =>
    protocol.dial("1", TARGET, { heartbeat: 0, lane, accept: () => eventsOf("") }, eventsOf(`out${lane}`));
  const stand = (): void => {
    current = stream;
    streams.onUp(stream);
  };
  return { stream, streams, log, accepted, listener, dial, stand };
}

it("a frame goes to the end that it is for, by its lane", async () => {
  const { stream, streams, log, dial, stand } = await world();
  dial(0);
  dial(2);
  stand();
  expect(log.splice(0)).toEqual(["out0 open", "out2 open"]);
  for (const lane of [0, 2]) {
    streams.onMessages(stream, HELLO(lane));
    streams.onMessages(stream, BATCH(lane));
    streams.onMessages(stream, Buffer.concat([Buffer.of(lane), encodeAck(1, 1)]));
  }
  expect(log.splice(0)).toEqual(["in1 1", "in1 2", "out0 6", "in2 1", "in2 2", "out2 6"]);
  expect(stream.users).toBe(4);
  streams.onEnd(stream, "over");
  expect(log.sort()).toEqual(["in1 over", "in2 over", "out0 over", "out2 over"]);
  expect(stream.users).toBe(0);
});

it("items of a link that this end has given up are refused, but not to a peer that does not read", async () => {
  const { stream, streams, accepted, stand } = await world();
  stand();
  streams.onMessages(stream, BATCH(0));
  expect(stream.sent.splice(0)).toEqual([[0, LinkFrame.REFUSED]]);
  streams.onMessages(stream, HELLO(0));
  stream.isFull = true;
  streams.onMessages(stream, BATCH(1));
  accepted[0]?.send([encodeWelcome({ session: 0, received: 0, delivered: 0 })]);
  accepted[0]?.send([encodeRefused("stranger")]);
  expect(accepted[0]?.isFull).toBe(true);
  accepted[0]?.send([encodeAck(0, 1)]);
  expect(stream.sent).toEqual([[0, LinkFrame.ACK]]);
});

it("nothing is taken of lanes that there are not, nor where nobody listens", async () => {
  const { stream, streams, listener, stand } = await world();
  stand();
  expect([HELLO(9), HELLO(255), Buffer.alloc(0)].map((each) => streams.onMessages(stream, each))).toEqual([
    false,
    false,
    false,
  ]);
  await listener.close(0);
  expect(streams.onMessages(stream, HELLO(0))).toBe(false);
  expect([stream.sent, stream.users]).toEqual([[], 0]);
});

it("who waits for a stream learns that none came about, or that it ended first, unless he gave up", async () => {
  const { stream, streams, log, dial, stand } = await world();
  dial(0);
  dial(1).close();
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
  const receiving = new Receiving("b", 1_000, {
    onItem: () => undefined,
    onPublish: () => undefined,
    acknowledgeSoon: () => undefined,
    acknowledgeLater: (each) => void later.push(each),
  });
  receiving.hello({ life: "00".repeat(8), session: 0, sent: 0 });
  const sent: unknown[] = [];
  const connection = {
    isFull: true,
    send: (frames: unknown) => void sent.push(frames),
    close: () => undefined,
  };
  receiving.connected(connection, "tcp");
  const head = Buffer.from([LinkFrame.ITEM, 0, 0, 0, 0, 0, 0, 1]);
  expect(receiving.onData(Buffer.concat([head, Buffer.from("item")]))).toBeUndefined();
  later.length = 0;
  receiving.acknowledge();
  expect([sent, later]).toEqual([[], [receiving]]);
  connection.isFull = false;
  receiving.acknowledge();
  expect(sent).toEqual([[encodeAck(0, 1)]]);
});

it("who waits for a node at an address is not served by another one that claims it", async () => {
  const { stream, log, dial, stand } = await world();
  dial(0);
  stream.proved = "another";
  stand();
  expect(log).toEqual([]);
  stream.proved = TARGET.id;
  stand();
  expect(log).toEqual(["out0 open"]);
});
