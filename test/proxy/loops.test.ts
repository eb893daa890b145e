/** Loops that a proxy's neighbours show, and what is not a loop. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { curveKeyPair, Pull, Push } from "../../src/index.js";
import { ForwarderProxy, QueueProxy, SocketProxy, StreamerProxy } from "../../src/proxy/index.js";
import { LoopDetector } from "../../src/proxy/loop-detector.js";
import { directionsOf } from "../../src/proxy/pairs.js";
import { until } from "../contract/support/wait.js";
import { ANY, back, front, LIMIT, useWorld } from "./support.js";

describe("the rules", () => {
  const news = directionsOf("xsub", "xpub");

  it("another proxy leads back when it is at both ends of a way, reported once", () => {
    const rules = new LoopDetector("me", news);
    expect(rules.peerChanged("backend", "you", true)).toBeUndefined();
    expect(rules.peerChanged("backend", "you", true)).toBeUndefined();
    expect(rules.peerChanged("frontend", "she", true)).toBeUndefined();
    expect(rules.count).toBe(0);
    expect(rules.peerChanged("frontend", "you", true)).toBe("neighbour");
    expect(rules.peerChanged("frontend", "you", true)).toBeUndefined();
    expect(rules.count).toBe(1);
    rules.peerChanged("frontend", "you", false);
    expect(rules.count).toBe(1);
    rules.peerChanged("frontend", "you", false);
    expect(rules.count).toBe(0);
    expect(rules.peerChanged("frontend", "you", true)).toBe("neighbour");
  });

  it("a proxy that is its own peer leads back wherever it is", () => {
    for (const place of ["frontend", "backend", "capture"] as const) {
      const rules = new LoopDetector("me", news);
      expect(rules.peerChanged(place, "me", true)).toBe("itself");
      rules.peerChanged(place, "me", false);
      expect(rules.count).toBe(0);
    }
  });

  it("the copies of a capture go round, too; what leaves by two places does not", () => {
    const rules = new LoopDetector("me", news);
    rules.peerChanged("capture", "you", true);
    expect(rules.peerChanged("backend", "you", true)).toBeUndefined();
    expect(rules.peerChanged("frontend", "you", true)).toBe("neighbour");
  });

  it("a proxy that passes both ways has both ways round; a queue's replies are none", () => {
    const pairs = new LoopDetector("me", directionsOf("pair", "pair"));
    pairs.peerChanged("backend", "you", true);
    expect(pairs.peerChanged("frontend", "you", true)).toBe("neighbour");
    const queue = new LoopDetector("me", directionsOf("router", "dealer"));
    queue.peerChanged("capture", "you", true);
    expect(queue.peerChanged("backend", "you", true)).toBeUndefined();
  });

  it("an end without a beginning changes nothing", () => {
    const rules = new LoopDetector("me", news);
    expect(rules.peerChanged("frontend", "you", false)).toBeUndefined();
    expect(rules.count).toBe(0);
  });
});

describe("proxies of the engine zmtp", () => {
  const world = useWorld("zmtp");
  const { context } = world;
  const sides = { frontend: { bind: ANY }, backend: { bind: ANY }, context };
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });

  /** Its loops as they are reported. */
  function heard(proxy: SocketProxy): unknown[] {
    const events: unknown[] = [];
    proxy.events.on("loop:detected", (event) => events.push(event));
    return events;
  }

  /** An address that does not show where it leads, as behind NAT. */
  async function forwarded(endpoint: string): Promise<string> {
    const port = Number(endpoint.split(":").at(-1));
    const server = createServer((socket) => {
      const onward = connect(port, "127.0.0.1");
      for (const [one, other] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        one.pipe(other);
        one.on("error", () => other.destroy());
        one.on("close", () => other.destroy());
      }
    }).listen(0, "127.0.0.1");
    closing.push(() => server.close());
    await once(server, "listening");
    return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it.each([
    [ForwarderProxy, "news"],
    [StreamerProxy, "work"],
    [QueueProxy, "requests"],
  ])("$1: two that lead into each other are reported by both, until they are parted", async (Kind, _what) => {
    const one = await world.start(new Kind(sides));
    const other = await world.start(new Kind(sides));
    const told = [heard(one), heard(other)];
    await one.connect("backend", front(other));
    await until(() => one.stats().backend.peers === 1, "the first way");
    expect([one.stats().loops, other.stats().loops, told]).toEqual([0, 0, [[], []]]);
    await one.connect("frontend", back(other));
    await until(() => one.stats().loops + other.stats().loops === 2, "the way round");
    expect(told).toEqual([
      [{ type: "loop:detected", side: "frontend", by: "neighbour", loops: 1 }],
      [{ type: "loop:detected", side: "backend", by: "neighbour", loops: 1 }],
    ]);
    await one.disconnect("frontend", back(other));
    await until(() => one.stats().loops + other.stats().loops === 0, "their parting");
  });

  it("one that is connected to itself by an address that does not show it", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const told = heard(proxy);
    const around = await forwarded(front(proxy));
    await proxy.connect("backend", around);
    await until(() => proxy.stats().loops === 1, "the way round");
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ type: "loop:detected", by: "itself", loops: 1 });
    await proxy.disconnect("backend", around);
    await until(() => proxy.stats().loops === 0, "its end");
  });

  it("by a capture, over CURVE, and in one process over inproc", async () => {
    const server = curveKeyPair();
    const client = curveKeyPair();
    const secured = { curveServer: true, curveSecretKey: server.secretKey };
    const known = {
      curveServerKey: server.publicKey,
      curvePublicKey: client.publicKey,
      curveSecretKey: client.secretKey,
    };
    const one = await world.start(
      new ForwarderProxy({
        frontend: { bind: ANY, ...secured },
        backend: { bind: "inproc://loops-news" },
        capture: { type: "pub", bind: "inproc://loops-tap" },
        context,
      }),
    );
    const other = await world.start(
      new SocketProxy({
        frontend: { type: "sub", connect: "inproc://loops-tap" },
        backend: { type: "pub", connect: front(one), ...known },
        context,
      }),
    );
    await until(() => one.stats().loops + other.stats().loops === 2, "the way round");
  });

  it("a chain, a second way the same way, and a partner for both sides of a queue are none", async () => {
    const last = await world.start(new StreamerProxy(sides));
    const middle = await world.start(
      new StreamerProxy({ frontend: { bind: ANY }, backend: { connect: front(last) }, context }),
    );
    const first = await world.start(
      new StreamerProxy({
        frontend: { bind: ANY },
        backend: { connect: [front(middle), front(last)] },
        context,
      }),
    );
    const push = world.socket(new Push({ context }));
    const pull = world.socket(new Pull({ context }));
    push.connect(front(first));
    pull.connect(back(last));
    await push.send("through");
    expect(String((await pull.receive({ timeout: LIMIT }))[0])).toBe("through");
    await until(() => last.stats().frontend.peers === 2, "both ways");
    for (const proxy of [first, middle, last]) expect(proxy.stats().loops).toBe(0);
  });
});
