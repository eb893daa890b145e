/** Life-cycles under attack: what happens in the middle of something else, and from within events. */
import { once } from "node:events";
import { createServer, type Socket as NetSocket, type Server } from "node:net";
import { describe, expect, it } from "vitest";
import type { Socket } from "../../../src/index.js";
import { collect, failure, nextEvent, texts, turn, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { frame, greeting, RawPeer, ready } from "../../contract/support/zmtp-peer.js";

/** A peer that listens and does what a test says; its connections are read unless paused. */
class RawServer {
  readonly connections: NetSocket[] = [];
  readonly ended = new Set<NetSocket>();
  #server: Server | undefined;
  port = 0;

  constructor(readonly onConnection: (socket: NetSocket) => void = (socket) => socket.resume()) {}

  async listen(world: World): Promise<string> {
    const server = createServer((socket) => {
      this.connections.push(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.ended.add(socket));
      this.onConnection(socket);
    });
    this.#server = server;
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.port = (server.address() as { port: number }).port;
    world.after(() => this.end());
    return `tcp://127.0.0.1:${this.port}`;
  }

  end(): void {
    this.#server?.close();
    for (const socket of this.connections) socket.destroy();
  }

  /** The first connection is there. */
  async first(): Promise<NetSocket> {
    await until(() => this.connections.length > 0, "a connection");
    return this.connections[0] as NetSocket;
  }

  /** All its connections have ended. */
  async left(): Promise<void> {
    await until(() => this.ended.size === this.connections.length, "the connections' ends", 2_000);
  }
}

/** Greets, says READY, and reads nothing. */
const mutePull = (socket: NetSocket): void => {
  socket.pause();
  socket.write(Buffer.concat([greeting(), ready("PULL")]));
};

/** Sends until nothing is taken for some turns. @returns how many were taken */
async function fill(socket: Socket & { trySend(message: Buffer): boolean }, size = 200_000): Promise<number> {
  let taken = 0;
  for (let idle = 0; idle < 30; await turn()) {
    if (socket.trySend(Buffer.alloc(size))) {
      taken += 1;
      idle = 0;
    } else idle += 1;
  }
  return taken;
}

describe("disconnecting", () => {
  const world = new World("zmtp", "tcp");

  it("during the handshake ends the connection, and no peer ever joins", async () => {
    const server = new RawServer();
    const push = world.push();
    let joined = 0;
    push.events.on("peer:join", () => {
      joined += 1;
    });
    const endpoint = await server.listen(world);
    push.connect(endpoint);
    const socket = await server.first();
    push.disconnect(endpoint);
    socket.write(Buffer.concat([greeting(), ready("PULL")]));
    await server.left();
    expect([joined, push.stats().peers]).toEqual([0, 0]);
  });

  it("during the dial leaves no connection", async () => {
    const server = new RawServer();
    const endpoint = await server.listen(world);
    for (let turns = 0; turns < 4; turns++) {
      const push = world.push();
      push.connect(endpoint);
      for (let i = 0; i < turns; i++) await turn();
      push.disconnect(endpoint);
    }
    for (let i = 0; i < 10; i++) await turn();
    await server.left();
  });

  it("with messages that wait counts them as dropped; the socket goes on with others", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const server = new RawServer();
    const gone = await server.listen(world);
    server.end();
    push.connect(gone);
    for (let i = 0; i < 5; i++) await push.send(`gone ${i}`);
    const dropped = nextEvent(push, "drop");
    push.disconnect(gone);
    expect(await dropped).toMatchObject({ reason: "disconnected", messages: 5 });
    expect(push.stats()).toMatchObject({ sent: 5, delivered: 0, queued: 0, dropped: { disconnected: 5 } });
    await world.link(pull, push);
    await push.send("here");
    expect(await collect(pull, 1)).toEqual(["here"]);
  });

  it("and connecting to the same endpoint at once makes a new connection, time and again", async () => {
    const [push, pull] = [world.push({ reconnectInterval: 5 }), world.pull()];
    const endpoint = await world.link(pull, push);
    for (let i = 0; i < 40; i++) {
      for (let turns = i % 5; turns > 0; turns--) await turn();
      push.disconnect(endpoint);
      push.connect(endpoint);
    }
    await push.ready({ timeout: 4_000 });
    await push.send("arrived");
    expect(await collect(pull, 1)).toEqual(["arrived"]);
    await until(() => pull.stats().peers === 1, "one peer");
    expect(push.stats().peers).toBe(1);
  });

  it("a STREAM ends its connection", async () => {
    const server = new RawServer();
    const stream = world.stream();
    const endpoint = await server.listen(world);
    stream.connect(endpoint);
    await server.first();
    await stream.receive({ timeout: 4_000 });
    stream.disconnect(endpoint);
    await server.left();
  });
});

describe("a lost connection", () => {
  const world = new World("zmtp", "tcp");

  it("takes whole messages with it: the next connection never gets the rest of one", async () => {
    const push = world.push({ reconnectInterval: 5 });
    const server = new RawServer(mutePull);
    push.connect(await server.listen(world));
    await nextEvent(push, "peer:join");
    expect(push.trySend(["torn", ...Array.from({ length: 60 }, () => Buffer.alloc(300_000))])).toBe(true);
    expect(push.trySend(["whole", "message"])).toBe(true);
    const left = nextEvent(push, "peer:leave");
    await turn();
    server.end();
    expect((await left).reason).toBe("remote");
    expect(push.stats()).toMatchObject({ delivered: 0, queued: 1, dropped: { disconnected: 1 } });
    const pull = world.pull();
    await pull.bind(`tcp://127.0.0.1:${server.port}`);
    expect(await collect(pull, 1)).toEqual(["whole|message"]);
  });

  it("of an accepted peer drops that peer's queue; sends that wait are for whoever comes next", async () => {
    const push = world.push({ sendHighWaterMark: 4 });
    const endpoint = await world.bind(push);
    const peer = await RawPeer.connect(endpoint);
    await peer.handshake("PULL");
    peer.socket.pause();
    await push.ready({ peers: 1 });
    await fill(push, 1_000_000);
    const sends = Array.from({ length: 10 }, (_, i) => push.send(String(i)));
    const left = nextEvent(push, "peer:leave");
    peer.destroy();
    await left;
    await turn();
    expect(push.stats().pendingSends).toBe(10);
    const { sent, delivered, queued, dropped } = push.stats();
    expect([delivered + queued + dropped.disconnected, dropped.disconnected > 0]).toEqual([sent, true]);
    const pull = world.pull();
    pull.connect(endpoint);
    await within(Promise.all(sends), "the sends");
    expect(await collect(pull, 10)).toEqual(Array.from({ length: 10 }, (_, i) => String(i)));
  });

  it("comes back with immediate, too", async () => {
    const push = world.push({ immediate: true, reconnectInterval: 5 });
    let pull = world.pull();
    const endpoint = await world.link(pull, push);
    for (let round = 0; round < 3; round++) {
      await within(push.send(`round ${round}`), "the send");
      expect(await collect(pull, 1)).toEqual([`round ${round}`]);
      const left = nextEvent(push, "peer:leave");
      await pull.close({ linger: 0 });
      await left;
      pull = world.pull();
      await pull.bind(endpoint);
    }
  });

  it("of a receiver that is full comes back and stays, although it is not read from", async () => {
    const pull = world.pull({ receiveHighWaterMark: 1, reconnectInterval: 5, heartbeatInterval: 20 });
    let push = world.push();
    const endpoint = await world.link(push, pull);
    await push.send("1");
    await until(() => pull.stats().receiveQueued === 1, "the message");
    const gone = nextEvent(pull, "peer:leave");
    await push.close({ linger: 0 });
    await gone;
    push = world.push({ heartbeatInterval: 0 });
    await push.bind(endpoint);
    await nextEvent(pull, "peer:join");
    const reasons: string[] = [];
    pull.events.on("peer:leave", ({ reason }) => reasons.push(reason));
    await push.send("2");
    // Well over interval and time-out: a timer of this test's own, since nothing is to happen.
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(reasons).toEqual([]);
    expect(await collect(pull, 2)).toEqual(["1", "2"]);
  });
});

describe("within events", () => {
  const world = new World("zmtp", "tcp");

  it.each([
    "connect:delay",
    "connect",
    "handshake",
    "peer:join",
  ] as const)("close in %s leaves no connection behind, and ends", async (type) => {
    const server = new RawServer((socket) => {
      socket.resume();
      socket.write(Buffer.concat([greeting(), ready("PULL")]));
    });
    const push = world.push();
    const closing = new Promise<unknown>((resolve) => {
      push.events.on(type, () => resolve(push.close({ linger: 0 })));
    });
    push.connect(await server.listen(world));
    await within(closing, "the close");
    for (let i = 0; i < 5; i++) await turn();
    await server.left();
    expect(push.stats().peers).toBe(0);
  });

  it.each([
    "connect",
    "handshake",
    "peer:join",
  ] as const)("disconnect in %s leaves no connection", async (type) => {
    const server = new RawServer((socket) => {
      socket.resume();
      socket.write(Buffer.concat([greeting(), ready("PULL")]));
    });
    const push = world.push();
    const endpoint = await server.listen(world);
    const heard = new Promise<void>((resolve) => {
      push.events.once(type, () => {
        push.disconnect(endpoint);
        resolve();
      });
    });
    push.connect(endpoint);
    await within(heard, type);
    for (let i = 0; i < 5; i++) await turn();
    await server.left();
    expect(push.stats().peers).toBe(0);
  });

  it.each([
    "accept",
    "handshake",
    "peer:join",
  ] as const)("close in %s ends an accepted connection", async (type) => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    pull.events.on(type, () => void pull.close({ linger: 0 }));
    const peer = await RawPeer.connect(endpoint);
    peer.write(greeting(), ready("PUSH"));
    await within(peer.closed, "the end", 2_000);
    await pull.close();
  });

  it("unbind in accept, peer:join and peer:leave keeps the socket in order", async () => {
    for (const type of ["accept", "peer:join", "peer:leave"] as const) {
      const [pull, push] = [world.pull(), world.push()];
      const endpoint = await world.bind(pull);
      const unbound = new Promise<void>((resolve, reject) => {
        pull.events.once(type, () => pull.unbind(endpoint).then(resolve, reject));
      });
      push.connect(endpoint);
      await push.send("x");
      expect(await collect(pull, 1)).toEqual(["x"]);
      await push.close();
      await within(unbound, "the unbind");
      const other = world.pull();
      await other.bind(endpoint);
    }
  });

  it("trySend in every event of a connection's life sends", async () => {
    const router = world.router();
    const dealer = world.dealer({ routingId: "d" });
    const sent: string[] = [];
    for (const type of ["peer:join", "handshake", "connect:delay", "connect"] as const)
      dealer.events.on(type, () => {
        if (dealer.trySend(type)) sent.push(type);
      });
    await world.link(router, dealer);
    const got: string[] = [];
    while (got.length < 4) got.push(texts(await router.receive({ timeout: 4_000 }))[1] as string);
    expect([got, sent]).toEqual([sent, ["connect:delay", "connect", "handshake", "peer:join"]]);
  });

  it("a listener that answers a leave with connect, and one that closes the socket on a drop, do no harm", async () => {
    const push = world.push();
    const endpoint = await world.bind(push);
    push.events.on("drop", () => void push.close({ linger: 0 }));
    const peer = await RawPeer.connect(endpoint);
    await peer.handshake("PULL");
    peer.socket.pause();
    await push.ready({ peers: 1 });
    await fill(push, 1_000_000);
    peer.destroy();
    await within(
      once(push.events as never, "end").catch(() => undefined),
      "the end",
      10,
    ).catch(() => undefined);
    await until(() => push.closed, "the close");
    const { flushed, discarded } = await push.close();
    expect(flushed + discarded + push.stats().dropped.disconnected).toBe(push.stats().sent);
  });
});

describe("closing", () => {
  const world = new World("zmtp", "tcp");

  it("within for await ends the loop, from inside and from outside", async () => {
    const [push, pull] = [world.push(), world.pull()];
    await world.link(pull, push);
    for (let i = 0; i < 50; i++) await push.send(String(i));
    let seen = 0;
    for await (const _ of pull) {
      seen += 1;
      if (seen === 10) await pull.close({ linger: 0 });
    }
    expect(seen).toBe(10);
  });

  it("with a hook that never answers ends at once, on both sides", async () => {
    const pull = world.pull({ authenticate: () => new Promise<boolean>(() => undefined) });
    const push = world.push();
    await world.link(pull, push);
    await nextEvent(pull, "accept");
    await turn();
    await within(push.close({ linger: 0 }), "the client's close", 2_000);
    await within(pull.close(), "the server's close", 2_000);
  });

  it("a hook that never answers ends with the handshake's time", async () => {
    const pull = world.pull({
      authenticate: () => new Promise<boolean>(() => undefined),
      handshakeInterval: 50,
    });
    const push = world.push();
    await world.link(pull, push);
    expect((await nextEvent(pull, "handshake:error:other")).error.message).toContain("50 ms");
    await nextEvent(push, "connect:retry");
  });

  it("while bind is under way refuses the bind, and leaves the endpoint free", async () => {
    const probe = world.pull();
    const endpoint = await world.bind(probe);
    await probe.close();
    const pull = world.pull();
    const binding = failure(pull.bind(endpoint));
    await pull.close();
    expect((await binding).code).toBe("EADDRNOTAVAIL");
    await world.pull().bind(endpoint);
  });

  it("lingers for a peer that is not there yet, and delivers when it comes", async () => {
    const server = new RawServer();
    const endpoint = await server.listen(world);
    server.end();
    const push = world.push({ reconnectInterval: 5 });
    push.connect(endpoint);
    for (let i = 0; i < 20; i++) await push.send(String(i));
    const closed = push.close({ linger: 8_000 });
    await turn();
    const pull = world.pull();
    await pull.bind(endpoint);
    expect(await collect(pull, 20)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
    expect(await closed).toEqual({ flushed: 20, discarded: 0, unknown: 0 });
  });

  it("when the linger runs out tells exactly what was left behind", async () => {
    for (const linger of [0, 30]) {
      const push = world.push();
      push.connect("tcp://127.0.0.1:1");
      for (let i = 0; i < 7; i++) await push.send(String(i));
      expect(await push.close({ linger })).toEqual({ flushed: 0, discarded: 7, unknown: 0 });
      expect(push.stats()).toMatchObject({
        sent: 7,
        delivered: 0,
        queued: 0,
        dropped: { closed: 7, disconnected: 0 },
      });
    }
  });

  it.each([
    true,
    false,
  ])("with linger 0 and a full peer counts each message once (bound: %s)", async (bound) => {
    const [push, pull] = [world.push({ sendHighWaterMark: 50 }), world.pull({ receiveHighWaterMark: 1 })];
    await (bound ? world.link(push, pull) : world.link(pull, push));
    await push.ready({ peers: 1 });
    const sent = await fill(push);
    const before = push.stats();
    expect(before.queued).toBeGreaterThan(0);
    const result = await push.close({ linger: 0 });
    expect(result.flushed + result.discarded).toBe(sent);
    expect(result.flushed).toBeGreaterThanOrEqual(before.delivered);
    expect(push.stats().dropped).toMatchObject({ closed: result.discarded, disconnected: 0 });
  });

  it("a peer that reads late and pings meanwhile still gets everything that was flushed", async () => {
    const [push, pull] = [world.push(), world.pull({ receiveHighWaterMark: 1, heartbeatInterval: 50 })];
    await world.link(pull, push);
    const body = Buffer.alloc(50_000, "x");
    for (let i = 0; i < 40; i++) await push.send([String(i), body]);
    const { flushed } = await push.close({ linger: 8_000 });
    expect(flushed).toBe(40);
    // Time has to pass: a second and some is more than a kernel waits for a peer of a closed connection.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    const got: number[] = [];
    while (got.length < 40) got.push(Number((await pull.receive({ timeout: 4_000 }))[0]));
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });

  it("lingers for a slow peer until it has everything", async () => {
    const [push, pull] = [world.push(), world.pull({ receiveHighWaterMark: 2 })];
    await world.link(pull, push);
    const body = Buffer.alloc(500_000, "x");
    for (let i = 0; i < 40; i++) await push.send([String(i), body]);
    const closed = push.close({ linger: -1 });
    const got: number[] = [];
    while (got.length < 40) {
      got.push(Number((await pull.receive({ timeout: 4_000 }))[0]));
      if (got.length % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(await closed).toEqual({ flushed: 40, discarded: 0, unknown: 0 });
  });
});

describe("binding", () => {
  const world = new World("zmtp", "tcp");

  it("a wildcard twice is two endpoints, each unbound by itself, and both free after the close", async () => {
    const pull = world.pull();
    const endpoints: string[] = [];
    for (let i = 0; i < 3; i++) endpoints.push(await world.bind(pull));
    expect(new Set(endpoints).size).toBe(3);
    await pull.unbind(endpoints[1] as string);
    await world.pull().bind(endpoints[1] as string);
    await pull.close();
    for (const endpoint of [endpoints[0], endpoints[2]]) await world.pull().bind(endpoint as string);
  });

  it("unbind keeps the connections that stand, and takes no new ones", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.link(pull, push);
    await push.ready({ timeout: 4_000 });
    await pull.unbind(endpoint);
    await push.send("still connected");
    expect(await collect(pull, 1)).toEqual(["still connected"]);
    const late = world.push();
    late.connect(endpoint);
    await nextEvent(late, "connect:retry");
    expect(pull.stats().peers).toBe(1);
  });

  it("unbind while peers are shaking hands lets them end it", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const peer = await RawPeer.connect(endpoint);
    await peer.receive(64);
    await pull.unbind(endpoint);
    await peer.handshake("PUSH");
    peer.write(frame("x"));
    expect(await collect(pull, 1)).toEqual(["x"]);
    peer.destroy();
  });
});

describe("a publisher whose listener publishes on a drop", () => {
  const world = new World("zmtp", "tcp");

  it("sends each subscriber what was meant for it", async () => {
    const publisher = world.publisher({ sendHighWaterMark: 2 });
    const endpoint = await world.bind(publisher);
    const slow = await RawPeer.connect(endpoint);
    await slow.handshake("SUB");
    slow.write(frame("\u0001m"));
    const quick = world.subscriber();
    quick.connect(endpoint);
    quick.subscribe("m", "alert");
    await publisher.waitForSubscribers({ topic: "m", count: 2, timeout: 4_000 });
    slow.socket.pause();
    let alerts = 0;
    publisher.events.on("drop", () => {
      alerts += 1;
      if (alerts === 1) publisher.trySend(["alert", "slow"]);
    });
    const got: string[] = [];
    const reading = (async () => {
      for await (const [topic] of quick) got.push(String(topic).slice(0, 6));
    })();
    const body = Buffer.alloc(1_000_000);
    for (let i = 0; alerts === 0 && i < 200; i++) {
      await publisher.send([`m ${i}`, body]);
      await until(() => got.length > i, "the message");
    }
    expect(alerts).toBeGreaterThan(0);
    await until(() => got.includes("alert"), "the alert");
    expect(got.filter((topic) => topic.startsWith("m"))).toEqual(got.slice(0, -1));
    await quick.close({ linger: 0 });
    await reading;
    slow.destroy();
  });
});

describe("inproc", () => {
  const world = new World("zmtp", "inproc");

  it("a name bound twice by one socket is refused, and the first binding stays its own", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    expect((await failure(pull.bind(endpoint))).code).toBe("EADDRINUSE");
    const push = world.push();
    push.connect(endpoint);
    await push.send("x");
    expect(await collect(pull, 1)).toEqual(["x"]);
    await pull.close();
    await world.pull().bind(endpoint);
  });

  it("what one subscriber does to its frames does not reach another", async () => {
    const publisher = world.publisher();
    const subscribers = [world.subscriber(), world.subscriber()] as const;
    await world.link(publisher, ...subscribers);
    for (const subscriber of subscribers) subscriber.subscribe("");
    await publisher.waitForSubscribers({ count: 2, timeout: 4_000 });
    await publisher.send("hello");
    const [mine] = await subscribers[0].receive({ timeout: 4_000 });
    mine?.fill(0);
    expect(await collect(subscribers[1], 1)).toEqual(["hello"]);
  });

  it("a ROUTER knows everybody from the first message on, also one that waited with a full queue", async () => {
    const [dealer, router] = [world.dealer(), world.router()];
    const endpoint = world.freeEndpoint();
    dealer.connect(endpoint);
    const sends = Array.from({ length: 2_500 }, (_, i) => dealer.send([String(i), Buffer.alloc(100)]));
    const receives = Array.from({ length: 2_500 }, () => router.receive({ timeout: 8_000 }));
    await router.bind(endpoint);
    const got = await Promise.all(receives);
    expect(got.every((message) => message.length === 3)).toBe(true);
    expect(got.map(([, number]) => Number(number))).toEqual(got.map((_, i) => i));
    await Promise.all(sends);
  });

  it("close in connect, accept and peer:join leaves nobody joined", async () => {
    for (const type of ["connect", "peer:join"] as const) {
      const [push, pull] = [world.push(), world.pull()];
      const endpoint = await world.bind(pull);
      push.events.on(type, () => void push.close({ linger: 0 }));
      push.connect(endpoint);
      await push.close();
      await until(() => pull.stats().peers === 0, "nobody");
      const other = world.push();
      other.connect(endpoint);
      await other.send("x");
      expect(await collect(pull, 1)).toEqual(["x"]);
    }
  });
});
