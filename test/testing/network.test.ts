/** Each fault of a world's network, as programs meet it. */
import dgram from "node:dgram";
import { expect, it } from "vitest";
import { Context, Pair, Pull, Push, Request, Router } from "../../src/index.js";
import { type SimulatedNode, simulate, simulated, type World } from "../../src/testing/index.js";

/** A test that is a story of a quiet world. */
const story = (title: string, tell: (world: World) => Promise<void>): void =>
  void it(title, async () => void (await simulate({}, tell)));

/** A PULL on `node` that notes when each message came. */
function pull(world: World, node: SimulatedNode): { at: number; text: string }[] {
  const got: { at: number; text: string }[] = [];
  void node.start(async () => {
    const socket = new Pull();
    await socket.bind("tcp://*:5555");
    for await (const [frame] of socket) got.push({ at: world.now, text: String(frame) });
  });
  return got;
}

/** A PUSH on `node` that a test has send. */
async function push(node: SimulatedNode, to: string, options = {}): Promise<(text: string) => void> {
  let send: (text: string) => void = () => undefined;
  void node.start(() => {
    const socket = new Push(options);
    socket.connect(to);
    send = (text) => void node.run(() => socket.send(text));
  });
  return (text) => send(text);
}

it("messages take the time that their link has", async () => {
  await simulate({ network: { latency: [10, 10] } }, async (world) => {
    const [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
    const got = pull(world, a);
    world.link(c, a, { latency: [200, 300] });
    const [fromB, fromC] = [await push(b, "tcp://a:5555"), await push(c, `tcp://${a.address}:5555`)];
    await world.advance(2_000);
    fromB("b");
    fromC("c");
    const begin = world.now;
    await world.until(() => got.length === 2);
    expect(got.map(({ text }) => text)).toEqual(["b", "c"]);
    expect((got[0]?.at ?? 0) - begin).toBeCloseTo(10, 1);
    expect((got[1]?.at ?? 0) - begin).toBeGreaterThanOrEqual(200);
    expect((got[1]?.at ?? 0) - begin).toBeLessThan(301);
  });
});

it("a bandwidth makes large messages late", async () => {
  await simulate({ network: { latency: [1, 1], bandwidth: 1_000 } }, async (world) => {
    const got = pull(world, world.node("a"));
    const send = await push(world.node("b"), "tcp://a:5555");
    await world.advance(1_000);
    const begin = world.now;
    send("x".repeat(100_000));
    await world.until(() => got.length === 1);
    expect((got[0]?.at ?? 0) - begin).toBeGreaterThan(100);
    expect((got[0]?.at ?? 0) - begin).toBeLessThan(110);
  });
});

it("lost packets make a connection late, and lose nothing", async () => {
  await simulate({ network: { latency: [1, 1], loss: 0.2 } }, async (world) => {
    const got = pull(world, world.node("a"));
    const send = await push(world.node("b"), "tcp://a:5555");
    await world.advance(10_000);
    const begin = world.now;
    for (let i = 0; i < 50; i++) {
      send(String(i));
      await world.advance(20);
    }
    await world.until(() => got.length === 50);
    expect(got.map(({ text }) => Number(text))).toEqual(Array.from({ length: 50 }, (_, i) => i));
    const late = got.filter(({ at }, i) => at - begin - 20 * i > 150);
    expect(late.length).toBeGreaterThan(3);
  });
});

story("a short cut hangs, and what was sent arrives when it has healed", async (world) => {
  const got = pull(world, world.node("a"));
  const send = await push(world.node("b"), "tcp://a:5555");
  await world.advance(1_000);
  world.cut("a", "b");
  send("1");
  send("2");
  await world.advance(1_000);
  expect(got).toEqual([]);
  world.heal("a", "b");
  await world.until(() => got.length === 2, 2_000);
  expect(got.map(({ text }) => text)).toEqual(["1", "2"]);
  expect(world.trace.match(/connection to/g)).toHaveLength(1);
});

it("a killed process ends its connections at once; a crashed machine says nothing", async () => {
  const noticed = async (fault: "kill" | "crash"): Promise<number | undefined> => {
    const { value } = await simulate({}, async (world) => {
      const a = world.node("a");
      pull(world, a);
      let left: number | undefined;
      void world.node("b").start(() => {
        const socket = new Push({ heartbeatInterval: 0 });
        socket.events.on("disconnect", () => {
          left = world.now;
        });
        socket.connect("tcp://a:5555");
      });
      await world.advance(1_000);
      a[fault]();
      await world.advance(60_000);
      return left;
    });
    return value;
  };
  expect(await noticed("kill")).toBeLessThan(1_010);
  expect(await noticed("crash")).toBeUndefined();
});

story(
  "a reset ends the connections between two nodes on both sides, and they connect again",
  async (world) => {
    const left: string[] = [];
    for (const name of ["a", "b", "c"])
      void world.node(name).start(async () => {
        const socket = new Router();
        socket.events.on("disconnect", ({ error }) =>
          left.push(`${name} ${error?.message.match(/E[A-Z]+/)?.[0]}`),
        );
        if (name === "a") await socket.bind("tcp://*:1");
        else socket.connect("tcp://a:1");
      });
    await world.advance(1_000);
    world.reset("a", "b");
    await world.advance(10_000);
    expect(left.sort()).toEqual(["a ECONNRESET", "b ECONNRESET"]);
    expect(world.trace.match(/b > a: connection/g)).toHaveLength(2);
    expect(() => world.reset("a", "nobody")).toThrow("Unknown node nobody");
    expect(() => world.cut("a", "nobody")).toThrow("Unknown node nobody");
  },
);

it("a machine whose power failed in a cut, with data on its way, resets that connection when it is back", async () => {
  await simulate({ network: { latency: [10, 10] } }, async (world) => {
    const [a, b] = [world.node("a"), world.node("b")];
    const reasons: string[] = [];
    void b.start(async () => {
      const socket = new Pull({ heartbeatInterval: 1_000 });
      socket.events.on("disconnect", ({ error }) => reasons.push(String(error?.cause ?? error)));
      await socket.bind("tcp://*:5555");
    });
    const send = await push(a, "tcp://b:5555");
    await world.advance(1_500);
    world.cut("a", "b");
    send("lost");
    await world.advance(5);
    a.crash();
    await world.advance(100);
    world.heal();
    void a.start(() => undefined);
    await world.until(() => reasons.length === 1, 5_000);
    expect(reasons[0]).toContain("ECONNRESET");
  });
});

story(
  "nobody listening is ECONNREFUSED, no such node ENOTFOUND, a used port EADDRINUSE, a cut a time-out",
  async (world) => {
    const a = world.node("a");
    void a.start(async () => {
      const [one, two] = [new Pull(), new Pull()];
      expect(await one.bind("tcp://*:7")).toBe("tcp://0.0.0.0:7");
      await expect(two.bind("tcp://a:7")).rejects.toMatchObject({ code: "EADDRINUSE" });
      await expect(two.bind("tcp://b:7")).rejects.toMatchObject({ code: "EADDRNOTAVAIL" });
      expect(await two.bind("tcp://127.0.0.1:*")).toMatch(/^tcp:\/\/127\.0\.0\.1:\d{5}$/);
    });
    const errorOf = (endpoint: string): Promise<string> =>
      world.node("b").run(
        () =>
          new Promise((resolve) => {
            const socket = new Push({ connectTimeout: 3_000, linger: 0 });
            socket.events.on("connect:retry", ({ error }) => resolve(String(error?.cause ?? error)));
            socket.connect(endpoint);
          }),
      );
    void world.node("b").start(() => undefined);
    expect(await errorOf("tcp://a:8")).toContain("ECONNREFUSED");
    expect(await errorOf("tcp://nobody:8")).toContain("ENOTFOUND");
    world.cut("a", "b");
    const begin = world.now;
    expect(await errorOf("tcp://a:7")).toContain("connectTimeout");
    expect(world.now - begin).toBeCloseTo(3_000, 0);
  },
);

story("a suspended machine goes on dialling when it is awake", async (world) => {
  const [client, server] = [world.node("client"), world.node("server")];
  let accepted = 0;
  world.cut(client, server);
  void server.start(async () => {
    const pull = new Pull();
    pull.events.on("accept", () => (accepted += 1));
    await pull.bind("tcp://*:7000");
  });
  void client.start(() => new Push().connect("tcp://server:7000"));
  await world.advance(100);
  client.suspend(20_000);
  world.heal();
  await world.advance(19_000);
  expect(accepted).toBe(0);
  await world.until(() => accepted > 0, 10_000);
});

story("high-water marks hold back a sender, over a simulated connection too", async (world) => {
  let taken = 0;
  let take: () => void = () => undefined;
  void world.node("a").start(async () => {
    const socket = new Pull({ receiveHighWaterMark: 10 });
    await socket.bind("tcp://*:1");
    await new Promise<void>((resolve) => {
      take = resolve;
    });
    for await (const _ of socket) taken += 1;
  });
  let sent = 0;
  void world.node("b").start(async () => {
    const socket = new Push({ sendHighWaterMark: 10 });
    socket.connect("tcp://a:1");
    for (; sent < 1_000; sent++) await socket.send(Buffer.alloc(10_000));
  });
  await world.advance(10_000);
  // What the two queues and a connection's window hold.
  expect(sent).toBeGreaterThan(20);
  expect(sent).toBeLessThan(120);
  take();
  await world.until(() => taken === 1_000);
});

story("ipc and inproc are a node's own", async (world) => {
  const got: string[] = [];
  for (const name of ["a", "b"])
    void world.node(name).start(async ({ context }) => {
      for (const endpoint of ["ipc:///tmp/same", "inproc://same"]) {
        const [left, right] = [new Pair({ context }), new Pair()];
        await left.bind(endpoint);
        right.connect(endpoint);
        await right.send(name);
        got.push(`${name} ${(await left.receive())[0]}`);
      }
    });
  await world.until(() => got.length === 4);
  expect(got.sort()).toEqual(["a a", "a a", "b b", "b b"]);
});

story("the peer's address is that of its node, for rules about addresses", async (world) => {
  const asked: string[] = [];
  const router = world.node("router");
  const peer = world.node("peer");
  void router.start(async () => {
    const socket = new Router({
      context: new Context({ engine: simulated }),
      authenticate: async ({ address }) => {
        asked.push(address);
        return true;
      },
    });
    await socket.bind("tcp://*:1");
  });
  void peer.start(() => void new Request().connect("tcp://router:1"));
  await world.until(() => asked.length === 1);
  expect(asked).toEqual([peer.address]);
});

story("a process that is gone sends no datagrams", async (world) => {
  let got = 0;
  void world.node("a").start(() => {
    const socket = dgram.createSocket("udp4").on("message", () => got++);
    socket.bind(4_000);
  });
  const b = world.node("b");
  let send: () => void = () => undefined;
  void b.start(async () => {
    const socket = dgram.createSocket("udp4");
    socket.bind(4_000);
    for (;;) {
      await new Promise<void>((resolve) => {
        send = resolve;
      });
      socket.send("x", 4_000, "10.0.0.1");
    }
  });
  send();
  await world.advance(10);
  b.kill();
  send();
  await world.advance(10);
  expect(got).toBe(1);
});

it("datagrams are lost, doubled, overtaken and cut as their link has it", async () => {
  const run = async (network: object, count = 400): Promise<number[]> => {
    const { value } = await simulate({ network }, async (world) => {
      const got: number[] = [];
      void world.node("a").start(() => {
        const socket = dgram.createSocket("udp4");
        socket.on("message", (bytes, { address }) => {
          expect(address).toBe("10.0.0.2");
          got.push(bytes.readUInt16BE());
        });
        socket.bind(4_000);
      });
      void world.node("b").start(async () => {
        const socket = dgram.createSocket("udp4");
        for (let i = 0; i < count; i++) {
          const bytes = Buffer.alloc(2);
          bytes.writeUInt16BE(i);
          socket.send(bytes, 4_000, "10.0.0.1");
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      });
      await world.advance(5_000);
      return got;
    });
    return value;
  };
  const inOrder = (numbers: number[]): boolean =>
    numbers.every((n, i) => i === 0 || n >= (numbers[i - 1] ?? 0));
  const quiet = await run({});
  expect(quiet.length).toBe(400);
  expect(inOrder(quiet)).toBe(true);
  const lossy = await run({ loss: 0.25 });
  expect(lossy.length).toBeGreaterThan(250);
  expect(lossy.length).toBeLessThan(350);
  const doubled = await run({ duplication: 0.25 });
  expect(doubled.length).toBeGreaterThan(450);
  expect(new Set(doubled).size).toBe(400);
  const overtaken = await run({ latency: [1, 2], reordering: 0.25 });
  expect(overtaken.length).toBe(400);
  expect(inOrder(overtaken)).toBe(false);
});

it.each([
  ["a group reaches its members", "239.1.1.1"],
  ["a broadcast to 255.255.255.255 reaches every node", "255.255.255.255"],
  ["a broadcast to 10.255.255.255 reaches every node", "10.255.255.255"],
])("%s, but for one that is cut off", async (_, address) => {
  const isGroup = address.startsWith("239.");
  await simulate({}, async (world) => {
    const got: string[] = [];
    for (const name of ["a", "b", "c", "d"])
      void world.node(name).start(() => {
        const socket = dgram.createSocket({ type: "udp4", reuseAddr: true });
        socket.on("message", (bytes) => got.push(`${name} ${bytes}`));
        socket.bind(4_000, () => {
          if (isGroup && name !== "d") socket.addMembership(address);
          if (name === "a") setTimeout(() => socket.send("hi", 4_000, address), 100);
        });
      });
    world.cut("a", "c");
    await world.advance(1_000);
    expect(got.sort()).toEqual(isGroup ? ["a hi", "b hi"] : ["a hi", "b hi", "d hi"]);
  });
});

it("the ports of closed sockets are free again", async () => {
  await simulate({ runs: 1 }, async (world) => {
    await world.node("a").start(() => {
      for (let i = 0; i < 30_000; i++) dgram.createSocket("udp4").bind(0).close();
    });
  });
});

it("what a listener of datagrams throws, or an error without a listener, fails the simulation", async () => {
  const failure = (begin: () => void): Promise<unknown> =>
    simulate({ runs: 1 }, async (world) => {
      void world.node("a").start(begin);
      await world.advance(100);
    }).catch((error: Error) => error.cause);
  const used = await failure(() => {
    for (let i = 0; i < 2; i++) dgram.createSocket("udp4").bind(4_000);
  });
  expect(used).toMatchObject({ code: "EADDRINUSE" });
  const thrown = await failure(() => {
    dgram.createSocket("udp4").bind(4_000, () => {
      throw new Error("by the listener");
    });
  });
  expect(thrown).toMatchObject({ message: "by the listener" });
});
