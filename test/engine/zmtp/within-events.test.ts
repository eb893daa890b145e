/** What a program may do from within an event: close, disconnect, unbind, send, publish. */
import { describe, expect, it } from "vitest";
import { collect, texts, turn, until, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { greeting, ready } from "../../contract/support/zmtp-peer.js";
import { fill, RawServer, shaken } from "./support/raw-server.js";

/** Events of a peer that comes. */
const ACCEPTING = ["accept", "handshake", "peer:join"] as const;

describe("within events", () => {
  const world = new World("zmtp", "tcp");

  it("publish in a drop by conflation reaches every subscriber, after the message whose drop it was", async () => {
    const publisher = world.publisher({ conflate: true });
    const subscribers = [world.subscriber(), world.subscriber(), world.subscriber()];
    const endpoint = await world.bind(publisher);
    for (const subscriber of subscribers) {
      subscriber.subscribe("");
      subscriber.connect(endpoint);
    }
    await publisher.waitForSubscribers({ count: 3, timeout: 4_000 });
    const order: string[] = [];
    publisher.events.once("drop", () => {
      order.push("drop");
      publisher.trySend("from the listener");
    });
    // In one turn: the second takes the place of the first.
    for (const text of ["first", "second"]) {
      publisher.trySend(text);
      order.push(text);
    }
    // Nothing of a listener within a fan-out: the encoder is one for all.
    expect(order).toEqual(["first", "second"]);
    for (const subscriber of subscribers) expect(await collect(subscriber, 1)).toEqual(["from the listener"]);
    publisher.trySend("end");
    for (const subscriber of subscribers) expect(await collect(subscriber, 1)).toEqual(["end"]);
  });

  describe.each(["connect:delay", "connect", "handshake", "peer:join"] as const)("in %s", (type) => {
    it.each(["close", "disconnect"] as const)("%s leaves no connection behind", async (how) => {
      const server = new RawServer((socket) => {
        socket.resume();
        socket.write(Buffer.concat([greeting(), ready("PULL")]));
      });
      const push = world.push();
      const endpoint = await server.listen(world);
      const done = new Promise<unknown>((resolve) => {
        push.events.on(type, () =>
          resolve(how === "close" ? push.close({ linger: 0 }) : push.disconnect(endpoint)),
        );
      });
      push.connect(endpoint);
      await within(done, how);
      for (let i = 0; i < 5; i++) await turn();
      await server.left();
      expect(push.stats().peers).toBe(0);
    });
  });

  it.each([
    "push",
    "dealer",
  ] as const)("connect in peer:leave of a disconnect connects a %s again", async (type) => {
    const [router, socket] =
      type === "push" ? [world.pull(), world.push()] : [world.router(), world.dealer()];
    const endpoint = await world.bind(router);
    socket.events.once("peer:leave", () => socket.connect(endpoint));
    socket.connect(endpoint);
    await socket.ready();
    socket.disconnect(endpoint);
    await socket.ready();
    expect(socket.stats().peers).toBe(1);
    socket.disconnect(endpoint);
    expect(socket.stats().peers).toBe(0);
  });

  it.each(ACCEPTING)("close in %s ends an accepted connection", async (type) => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    pull.events.on(type, () => void pull.close({ linger: 0 }));
    const peer = await world.raw(endpoint);
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
    const peer = await shaken(world, endpoint, "PULL");
    peer.socket.pause();
    await push.ready({ peers: 1 });
    await fill(push, 1_000_000);
    peer.destroy();
    await until(() => push.closed, "the close");
    const { flushed, discarded } = await push.close();
    expect(flushed + discarded + push.stats().dropped.disconnected).toBe(push.stats().sent);
  });
});

describe("within events over inproc", () => {
  const world = new World("zmtp", "inproc");

  it.each(
    ACCEPTING,
  )("close in %s leaves the peer to the next that binds the name, and tells it of one join", async (type) => {
    const [pull, push, next] = [world.pull(), world.push(), world.pull()];
    const heard: string[] = [];
    for (const each of ["handshake", "peer:join", "disconnect", "peer:leave"] as const)
      push.events.on(each, () => heard.push(`${each} ${push.stats().peers}`));
    pull.events.on(type, () => void pull.close({ linger: 0 }));
    const endpoint = await world.bind(pull);
    push.connect(endpoint);
    await pull.close();
    expect(push.stats().peers).toBe(0);
    await push.send("x");
    await next.bind(endpoint);
    expect(await collect(next, 1)).toEqual(["x"]);
    expect(heard).toEqual(["handshake 1", "peer:join 1"]);
  });
});

describe.each(["tcp", "inproc"] as const)("a close over %s", (transport) => {
  const world = new World("zmtp", transport);

  it("closes once, though a listener of an event within it closes, too", async () => {
    const [pull, push] = [world.pull(), world.push()];
    const endpoint = await world.bind(push);
    pull.connect(endpoint);
    await push.ready({ peers: 1 });
    const closes: unknown[] = [];
    for (const type of ["close", "disconnect", "peer:leave"] as const)
      push.events.on(type, () => closes.length < 9 && closes.push(push.close({ linger: 0 })));
    const first = push.close({ linger: 0 });
    expect(closes.length).toBeGreaterThan(0);
    for (const close of closes) expect(close).toBe(first);
    expect(await first).toEqual({ flushed: 0, discarded: 0, unknown: 0 });
  });
});

describe("a close over inproc with several names", () => {
  const world = new World("zmtp", "inproc");

  it("lets a listener of its events connect to one that is still bound, which the next socket serves", async () => {
    const [pull, push] = [world.pull(), world.push()];
    const [, name] = [await world.bind(pull), await world.bind(pull)];
    pull.events.once("close", () => push.connect(name));
    await pull.close();
    const next = world.pull();
    await next.bind(name);
    await push.send("x");
    expect(await collect(next, 1)).toEqual(["x"]);
  });
});
