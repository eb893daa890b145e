/** Messages over the streams between two nodes: whichever protocol made them. */
import { Duplex } from "node:stream";
import { describe, expect, it, vi } from "vitest";
import {
  ClusterNode,
  type ClusterNodeOptions,
  type Member,
  streamProtocol,
} from "../../../src/cluster/index.js";
import { encodeFrame, StreamFrame } from "../../../src/cluster/wire/stream.js";
import { curveKeyPair, InvalidArgumentError } from "../../../src/index.js";
import { testNodes } from "../nodes.js";
import { eagerPair, MemoryProtocol } from "./memory-protocol.js";

const HEARTBEAT = 600;
/** The frame by which an end that was asked says that it is there. */
const ANSWER = encodeFrame(Buffer.of(StreamFrame.ANSWER));
const { node } = testNodes(() => ({ group: "streams", multicast: false, registry: false }));

/** Two nodes with a stream for messages; what the second one gets of "t". */
async function pair(
  options: ClusterNodeOptions,
  other: ClusterNodeOptions = options,
): Promise<{ a: ClusterNode; b: ClusterNode; got: string[]; failures: unknown[] }> {
  const [a, b] = [node("a", options), node("b", other)];
  const failures: unknown[] = [];
  a.events.on("protocol:failed", (event) => failures.push(event));
  await a.start();
  await b.start();
  const joined = [a, b].map((each) => new Promise((resolve) => each.events.once("joined", resolve)));
  b.join(a.address);
  await Promise.all(joined);
  const got: string[] = [];
  await b.subscribe("t", ({ data }) => void got.push(String(data))).ready;
  // A node without subscriptions has sent nothing so far.
  const first = b.subscribe("first");
  await first.ready;
  await a.publish("first", "");
  for await (const _ of first) break;
  return { a, b, got, failures };
}

const protocolOf = (of: ClusterNode): string | undefined => of.stats().messaging?.links.peers[0]?.protocol;

/** From now on it takes what is written, and nothing comes of it. */
function swallow(stream: Duplex | undefined): void {
  if (stream === undefined) throw new Error("there is no stream");
  stream._write = (_chunk, _encoding, callback) => callback();
  stream._writev = (_chunks, callback) => callback();
}

describe("two nodes", () => {
  it.each([
    ["", {}],
    [" with a password", { password: "correct horse battery staple" }],
  ] as const)("have one stream%s, for membership and for messages both ways", async (_, options) => {
    const { a, b, got } = await pair(options);
    await a.publish("t", "one");
    await vi.waitFor(() => expect(got).toEqual(["one"]));
    const back: string[] = [];
    await a.subscribe("back", ({ data }) => void back.push(String(data))).ready;
    await b.publish("back", "two");
    await vi.waitFor(() => expect(back).toEqual(["two"]));
    a.serve("double", (body: number) => body * 2);
    expect(await b.request("double", 4, { waitForReady: true })).toBe(8);
    const links = (): number[] => [a.stats().links, b.stats().links];
    // Both may have dialled: one stream ends when it is idle.
    await vi.waitFor(() => expect(links()).toEqual([1, 1]), 25_000);
    expect([protocolOf(a), protocolOf(b)]).toEqual(["tcp", "tcp"]);
  });
});

describe("a stream of a program's own protocol", () => {
  it("may give each end's bytes to the other within the write", async () => {
    const wire = new MemoryProtocol("wire", eagerPair);
    const { a, b } = await pair({ messaging: { protocols: [wire.protocol] } });
    const other = a.members().find(({ id }) => id !== a.id);
    let left = 20_000;
    const send = (): void => {
      if (left-- > 0) void a.sendTo(other as Member, Buffer.alloc(100));
    };
    let back = 0;
    await a.subscribe("self", () => {
      back += 1;
      send();
    }).ready;
    await b.subscribe("self", ({ data, sender }) => void b.sendTo(sender, data)).ready;
    for (let i = 0; i < 200; i++) send();
    await vi.waitFor(() => expect(back).toBe(20_000), 15_000);
    await new Promise(setImmediate);
    expect(wire.streams.map(({ writableCorked }) => writableCorked)).toEqual([0, 0]);
  });

  it("that swallows what is sent is given up after two heartbeats, and what it had goes by the next protocol", async () => {
    const wire = new MemoryProtocol("wire");
    const { a, got } = await pair({ messaging: { protocols: [wire.protocol, "tcp"], heartbeat: HEARTBEAT } });
    await a.publish("t", "one");
    await vi.waitFor(() => expect(got).toEqual(["one"]));
    expect(protocolOf(a)).toBe("wire");
    for (const stream of wire.streams) swallow(stream);
    wire.fails = true;
    await a.publish("t", "two");
    await vi.waitFor(() => expect(got).toEqual(["one", "two"]), 10_000);
    expect([protocolOf(a), a.stats().dropped["link:silent"]]).toEqual(["tcp", 1]);
  });

  it("stays while the program at its end takes its time", async () => {
    const wire = new MemoryProtocol("wire");
    const { a, b, got } = await pair({ messaging: { protocols: [wire.protocol], heartbeat: HEARTBEAT } });
    let release = (): void => undefined;
    const slow = b.subscribe("slow", { maxQueue: 1 }, () => new Promise<void>((done) => (release = done)));
    await slow.ready;
    // The handler has one, one waits, and the third holds the link.
    for (let i = 0; i < 3; i++) await a.publish("slow", "");
    // The last acknowledgement is a sign of life, too, after which nothing is asked.
    await vi.waitFor(() =>
      expect(a.stats().messaging?.links.peers[0]).toMatchObject({ delivered: 2, waiting: 2 }),
    );
    const { attempts } = wire;
    let isAnswered = false;
    for (const stream of wire.streams)
      stream.on("data", (frames: Buffer) => (isAnswered ||= frames.includes(ANSWER)));
    // Other bytes are a sign of life, too, after which nothing is asked before the next message.
    await vi.waitFor(
      async () => {
        await a.publish("t", "behind");
        expect(isAnswered).toBe(true);
      },
      { timeout: 20_000, interval: 2 * HEARTBEAT },
    );
    expect([got, wire.attempts, a.stats().dropped["link:silent"]]).toEqual([[], attempts, undefined]);
    slow.close();
    release();
    await vi.waitFor(() => expect(got).toContain("behind"));
  });

  it("is sealed where the cluster has a key, and leads to no node without it", async () => {
    const wire = new MemoryProtocol("wire");
    const written: Buffer[] = [];
    const messaging = { protocols: [wire.protocol] };
    const { a, got } = await pair({ key: curveKeyPair().secretKey, messaging });
    for (const stream of wire.streams) stream.on("data", (chunk) => written.push(chunk));
    await a.publish("t", "a secret that nobody reads");
    await vi.waitFor(() => expect(got).toHaveLength(1));
    expect(Buffer.concat(written).includes("secret")).toBe(false);
  });

  it("gives way to the next protocol where the program throws, or gives no stream", async () => {
    const listen = async () => ({ advert: "x", close: async () => undefined });
    const connects: [() => never, string][] = [
      [() => ({}) as never, "stream"],
      [
        () => {
          throw new Error("now");
        },
        "now",
      ],
    ];
    for (const [connect, reason] of connects) {
      const mine = streamProtocol({ name: "mine", listen, connect });
      const { a, got, failures } = await pair({ messaging: { protocols: [mine, "tcp"] } });
      await a.publish("t", reason);
      await vi.waitFor(() => expect(got).toEqual([reason]));
      expect(failures).toContainEqual(
        expect.objectContaining({ protocol: "mine", reason: expect.stringContaining(reason) }),
      );
    }
  });
});

it("protocols of another form are refused before anything is opened", () => {
  const nothing = (): never => ({}) as never;
  for (const options of [
    undefined,
    null,
    {},
    { name: "x", listen: nothing },
    { name: "x", conect: nothing },
    { name: 10n, listen: nothing, connect: nothing },
    { name: "No name", listen: nothing, connect: nothing },
    { name: "x", listen: nothing, connect: nothing, reaches: true },
  ])
    expect(() => streamProtocol(options as never)).toThrow(InvalidArgumentError);
  const wire = new MemoryProtocol("wire").protocol;
  for (const protocols of [[], [wire, wire], ["udp"], [{ name: "x" }], Array(9).fill("tcp"), "tcp", ["tls"]])
    expect(() => new ClusterNode({ messaging: { protocols: protocols as never } })).toThrow(
      InvalidArgumentError,
    );
});

it("a stream that ends while it opens is destroyed", async () => {
  const streams: Duplex[] = [];
  const mine = streamProtocol({
    name: "mine",
    listen: async () => ({ advert: "x", close: async () => undefined }),
    connect: async () => {
      const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
      streams.push(stream);
      return stream;
    },
  });
  const { a, b } = await pair({ messaging: { protocols: ["tcp", mine] } });
  void a.send({ services: [b.id], protocols: ["mine"] });
  await vi.waitFor(() => expect(streams).toHaveLength(1));
  await a.close({ linger: 0 });
  await vi.waitFor(() => expect(streams[0]?.destroyed).toBe(true), 10_000);
});
