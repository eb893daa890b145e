/** The streams of a node by themselves: who may hold how many, and what goes over one that closes. Streams and time are made up. */
import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { MAX_LINKS } from "../../../src/cluster/bounds.js";
import { NamespaceCodec } from "../../../src/cluster/net/namespace-codec.js";
import { NodeStreams } from "../../../src/cluster/net/streams.js";
import { encodePacket } from "../../../src/cluster/wire/codec.js";
import { Packet, PacketType } from "../../../src/cluster/wire/packets.js";
import { encodeFrame, encodeHello, encodeProof, MAX_FRAME } from "../../../src/cluster/wire/stream.js";
import type { Sink } from "../../../src/engine/zmtp/transport/reader.js";
import type { Acceptor, Stream, Transport } from "../../../src/engine/zmtp/transport/transport.js";

const OTHER = "10.0.0.9:7946";
const WATCHED = "10.0.0.10:7946";
const FAREWELL = encodeFrame(Buffer.alloc(0));
const codec = new NamespaceCodec("default", []);
const packet = new Packet({
  type: PacketType.GOSSIP,
  from: "ab".repeat(16),
  start: 1_900_000_000_000,
  count: 0,
  digest: 0,
});
const PACKET = encodeFrame(encodePacket(packet, codec.namespace));

/** A stream whose other end is the test. */
class OpenStream implements Stream {
  readonly address: string;
  readonly remote: string;
  readonly written: Buffer[] = [];
  readonly socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      this.written.push(chunk);
      done();
    },
  });
  #sink: Sink | undefined;
  readonly reader = {
    start: (_socket: unknown, sink: Sink): void => {
      this.#sink = sink;
    },
    pause: (): void => undefined,
    resume: (): void => undefined,
  };

  constructor(address: string) {
    this.address = address;
    this.remote = `tcp://${address}:40000`;
  }

  pending(): number {
    return 0;
  }

  /** The other end says hello, and proves itself. */
  prove(): void {
    this.receive(Buffer.concat([encodeHello(randomBytes(32), OTHER), encodeFrame(encodeProof([]))]));
  }

  receive(bytes: Buffer): void {
    this.#sink?.sinkOnBytes(bytes, bytes.length, true);
  }

  /** How often the packet went over it. */
  get packets(): number {
    return this.written.filter((each) => each.equals(PACKET)).length;
  }
}

const fakeTime = () =>
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });
const open: NodeStreams[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((links) => links.close()));
  vi.useRealTimers();
});

async function listening() {
  let acceptor: Acceptor | undefined;
  const dialled: string[] = [];
  const connects: ((stream: Stream) => void)[] = [];
  const failed: string[] = [];
  const counts = new Map<string, number>();
  const frames: Buffer[] = [];
  const transport: Transport = {
    scheme: "tcp",
    listen: async (endpoint, _options, given) => {
      acceptor = given;
      return { endpoint, close: async () => undefined };
    },
    listenSync: () => {
      throw new Error("not here");
    },
    dial: (endpoint, _options, done) => {
      dialled.push(endpoint);
      connects.push(done);
      return () => undefined;
    },
  };
  const links = new NodeStreams({ get: () => transport }, undefined, {
    accepts: () => true,
    prove: () => [],
    check: () => ({ proved: true, refused: [] }),
    identities: undefined,
    onRefused: () => undefined,
    onFrame: (_, bytes) => {
      frames.push(Buffer.from(bytes));
      return true;
    },
    greet: () => undefined,
    onEvidence: () => undefined,
    onStreamUp: () => undefined,
    onStreamEnd: () => undefined,
    onStreamFailed: (address) => void failed.push(address),
    maxFrame: () => MAX_FRAME,
    copiesSent: true,
    count: (reason) => void counts.set(reason, (counts.get(reason) ?? 0) + 1),
  });
  open.push(links);
  await links.listen({ v4: "10.0.0.1", v6: undefined }, 7_946);
  links.ownAddress = "10.0.0.1:7946";
  setInterval(() => links.sweep(), 1_000).unref();
  /** A stream of a host comes. */
  const connect = (host: string): OpenStream => {
    const stream = new OpenStream(host);
    acceptor?.accepted(stream);
    return stream;
  };
  /** The same, and proves itself. */
  const accept = (host: string): OpenStream => {
    const stream = connect(host);
    stream.prove();
    return stream;
  };
  return { links, counts, frames, dialled, connects, failed, connect, accept };
}

describe("a node that has all the streams it may have", () => {
  it("takes no further one, and dials none, until one ends", async () => {
    const { links, counts, dialled, accept } = await listening();
    const held = Array.from({ length: MAX_LINKS }, () => accept("10.0.0.66"));
    expect(links.verified).toBe(MAX_LINKS);
    expect(accept("10.0.0.7").socket.destroyed).toBe(true);
    links.watch(new Set([WATCHED]));
    expect([dialled, links.state(WATCHED)]).toMatchObject([
      [],
      { state: "broken", error: { code: "EAGAIN" } },
    ]);
    expect(held.filter(({ socket }) => socket.destroyed)).toHaveLength(0);
    held[0]?.receive(FAREWELL);
    expect(accept("10.0.0.7").socket.destroyed).toBe(false);
    expect([links.size, counts.get("link:evicted")]).toEqual([MAX_LINKS, 1]);
  });

  it("dials no more than that", async () => {
    const { links, dialled } = await listening();
    const addresses = Array.from({ length: 1_000 }, (_, at) => `10.1.${at >> 8}.${at & 255}:7946`);
    links.watch(new Set(addresses));
    expect(dialled).toHaveLength(MAX_LINKS);
    const error = { code: "EAGAIN", message: "the node has 768 streams already" };
    expect(links.state(addresses[999] as string)).toMatchObject({ state: "broken", error });
  });

  it("takes none of anybody for strangers, of whom so many more may wait until they have proved themselves", async () => {
    const { links, counts, connect, accept } = await listening();
    const held = Array.from({ length: MAX_LINKS }, () => accept("10.0.0.66"));
    const strangers = Array.from({ length: 1_160 }, () => connect("10.6.6.6"));
    const isOpen = ({ socket }: OpenStream): boolean => !socket.destroyed;
    expect([held, strangers].map((streams) => streams.filter(isOpen).length)).toEqual([MAX_LINKS, 1_024]);
    // The oldest went.
    expect(strangers.findIndex(isOpen)).toBe(136);
    expect([links.size, links.verified, counts.get("link:evicted")]).toEqual([
      MAX_LINKS + 1_024,
      MAX_LINKS,
      136,
    ]);
  });

  it("takes all of 480 that come within one round trip, while another host has more than fit", async () => {
    const { links, counts, connect } = await listening();
    const crowd = Array.from({ length: 480 }, () => connect("10.0.0.7"));
    for (let i = 0; i < 2_000; i++) connect("10.6.6.6");
    for (const each of crowd) each.prove();
    expect([links.verified, counts.get("link:evicted")]).toEqual([480, 2_480 - 1_024]);
  });

  it("takes no large frame of a stream before its proof", async () => {
    const { links, counts, frames, connect, accept } = await listening();
    const large = encodeFrame(Buffer.alloc(5_000, 0xff));
    const stranger = connect("10.6.6.6");
    stranger.receive(Buffer.concat([encodeHello(randomBytes(32), OTHER), large.subarray(0, 4)]));
    expect([stranger.socket.destroyed, counts.get("link:oversized")]).toEqual([true, 1]);
    accept("10.0.0.7").receive(large);
    expect([links.verified, frames.map(({ length }) => length)]).toEqual([1, [5_000]]);
  });

  it.each([
    ["unknown frames about it", 0x4f],
    ["keys that nobody asked for", 0x42],
  ])("takes no more of a stream before its proof than that needs: no %s", async (_, type) => {
    const { links, counts, connect } = await listening();
    const stranger = connect("10.6.6.6");
    const frame = encodeFrame(Buffer.alloc(4_000, type));
    stranger.receive(Buffer.concat([encodeHello(randomBytes(32), OTHER), frame, frame, frame]));
    expect([stranger.socket.destroyed, links.verified, counts.get("link:proof")]).toEqual([true, 0, 1]);
  });

  it("takes no packet of a stream before its proof, whichever end dialled", async () => {
    const { links, counts, frames, dialled, connects, connect } = await listening();
    links.watch(new Set([WATCHED]));
    const reached = new OpenStream("10.0.0.10");
    connects[0]?.(reached);
    for (const stream of [connect("10.6.6.6"), reached]) {
      stream.receive(Buffer.concat([encodeHello(randomBytes(32), OTHER), PACKET]));
      expect(stream.socket.destroyed).toBe(true);
    }
    expect([dialled.length, frames, links.verified, counts.get("link:proof")]).toEqual([1, [], 0, 2]);
  });

  it("shows a stream that it refuses no proof, so that the other end counts it as an attempt that failed", async () => {
    const { accept } = await listening();
    for (let at = 0; at < MAX_LINKS; at++) accept(`10.0.${at % 32}.1`);
    const refused = accept("10.1.0.1");
    // Its hello alone.
    expect([refused.socket.destroyed, refused.written.length]).toEqual([true, 1]);
  });
});

it("what a stranger claims to be changes nothing for the node at that address", async () => {
  const { links, failed, connect } = await listening();
  links.watch(new Set([OTHER]));
  const stranger = connect("10.6.6.6");
  stranger.receive(encodeHello(randomBytes(32), OTHER));
  stranger.socket.destroy(new Error("it fails"));
  await vi.waitFor(() => expect(links.size).toBe(0));
  expect([failed, links.state(OTHER)]).toEqual([
    [],
    expect.objectContaining({ attempts: 1, error: undefined }),
  ]);
});

describe("a stream that is closed because nobody used it", () => {
  it("takes no packets while its other end has not closed it: they go over another one", async () => {
    fakeTime();
    const { links, counts, dialled, connects } = await listening();
    const streams: OpenStream[] = [];
    const connect = (): OpenStream => {
      const stream = new OpenStream("10.0.0.9");
      streams.push(stream);
      connects[streams.length - 1]?.(stream);
      stream.prove();
      return stream;
    };
    links.send(OTHER, codec, packet);
    const first = connect();
    expect([first.packets, links.verified]).toEqual([1, 1]);
    // It is looked at every second, and closes after 15 s.
    vi.advanceTimersByTime(16_500);
    expect([first.socket.writableEnded, first.socket.destroyed]).toEqual([true, false]);
    links.send(OTHER, codec, packet);
    links.send(OTHER, codec, packet);
    expect(dialled).toHaveLength(2);
    const second = connect();
    links.send(OTHER, codec, packet);
    expect(second.packets).toBe(3);
    // The first one is over, and changes nothing.
    vi.advanceTimersByTime(1_000);
    expect([first.socket.destroyed, links.size]).toEqual([true, 1]);
    links.send(OTHER, codec, packet);
    expect([second.packets, first.packets, dialled.length, counts.size]).toEqual([4, 1, 2, 0]);
  });
});

describe.each([
  ["lower", "10.0.0.1:7946"],
  ["higher", "10.0.1.1:7946"],
])("of two nodes that dial each other in one instant, the one of the %s address", (name, ownAddress) => {
  it.each([
    [true],
    [false],
  ])("uses the stream that the lower one dialled (its own was there first: %s)", async (isFirst) => {
    fakeTime();
    const { links, connects, accept } = await listening();
    links.ownAddress = ownAddress;
    links.watch(new Set([OTHER]));
    const dialled = new OpenStream("10.0.0.9");
    const connect = (): void => {
      connects[0]?.(dialled);
      dialled.prove();
    };
    if (isFirst) connect();
    const accepted = accept("10.0.0.9");
    if (!isFirst) connect();
    const [kept, idle] = name === "lower" ? [dialled, accepted] : [accepted, dialled];
    links.send(OTHER, codec, packet);
    expect([kept.packets, idle.packets]).toEqual([1, 0]);
    // Who dialled it closes it.
    vi.advanceTimersByTime(17_500);
    expect([kept.socket.writableEnded, idle.socket.writableEnded]).toEqual([false, name === "higher"]);
  });
});

it("a stream of a protocol that is closed already fails at once, so that the next protocol is tried", async () => {
  const { links, failed } = await listening();
  const closed = new Duplex({ read: () => undefined, write: () => undefined }).destroy();
  links.open(closed, { protocol: "pipe", dialled: OTHER });
  expect([failed, links.size]).toEqual([[OTHER], 0]);
});

it("of the streams that a program hands in, keeps as many without a proof as of those that come", async () => {
  const { links, counts } = await listening();
  const handIn = (): boolean =>
    links.open(new Duplex({ read: () => undefined, write: () => undefined }), { protocol: "pipe" });
  for (let i = 0; i < 1_025; i++) handIn();
  expect([links.size, counts.get("link:evicted")]).toEqual([1_024, 1]);
});

it("drops packets for a stream with more than 16 MiB unsent, and counts them", async () => {
  const { links, counts, accept } = await listening();
  const slow = accept(OTHER.slice(0, -5));
  slow.socket.cork();
  slow.socket.write(Buffer.alloc(16_777_217));
  links.send(OTHER, codec, packet);
  slow.socket.uncork();
  expect([slow.packets, counts.get("link:full")]).toEqual([0, 1]);
});
