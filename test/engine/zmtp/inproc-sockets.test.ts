/** Sockets over inproc: names, ends, and peers that find no place, as they try again over tcp. */
import { describe, expect, it } from "vitest";
import { collect, nextEvent, turn, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

const world = new World("zmtp", "inproc");

describe("inproc", () => {
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

  it("a name that is bound again is found, and the connection counts as made again", async () => {
    const push = world.push({ reconnectInterval: 1 });
    const endpoint = world.freeEndpoint();
    push.connect(endpoint);
    for (const reconnects of [0, 1, 2]) {
      const pull = world.pull();
      await pull.bind(endpoint);
      await until(() => push.stats().peers === 1, "the connection");
      expect(push.stats().reconnects).toBe(reconnects);
      await pull.close({ linger: 0 });
      expect(push.stats().peers).toBe(0);
    }
  });

  it("a peer that leaves with a full queue leaves room for the next one", async () => {
    const push = world.push({ sendHighWaterMark: 2 });
    const pull = world.pull({ receiveHighWaterMark: 2 });
    await world.link(pull, push);
    await push.ready();
    while (push.trySend("x"));
    await pull.close({ linger: 0 });
    expect([push.trySend("1"), push.trySend("2"), push.trySend("3")]).toEqual([true, true, false]);
  });

  it("close in connect, accept and peer:join leaves nobody joined", async () => {
    for (const type of ["connect", "peer:join"] as const) {
      const [push, pull] = [world.push(), world.pull()];
      const endpoint = await world.bind(pull);
      push.events.on(type, () => void push.close({ linger: 0 }));
      push.connect(endpoint);
      await push.close();
      await until(() => pull.stats().peers === 0, "nobody");
      const other = world.connect(world.push(), endpoint);
      await other.send("x");
      expect(await collect(pull, 1)).toEqual(["x"]);
    }
  });
});

/** As a PAIR's second, or with a routing id that is in use. */
describe("a PAIR that was refused", () => {
  it.each(["close", "disconnect"] as const)("takes the place of the first at its %s", async (how) => {
    const [bound, first, second] = [world.pair(), world.pair(), world.pair({ reconnectInterval: 10 })];
    const endpoint = await world.link(bound, first);
    const refused = nextEvent(second, "handshake:error:other");
    second.connect(endpoint);
    await refused;
    await nextEvent(bound, "handshake:error:other");
    await second.send("second");
    if (how === "close") await first.close({ linger: 0 });
    else first.disconnect(endpoint);
    expect(await collect(bound, 1)).toEqual(["second"]);
    expect([bound, second].map((pair) => pair.stats().peers)).toEqual([1, 1]);
    await bound.send("answer");
    expect(await collect(second, 1)).toEqual(["answer"]);
  });

  it("does not try again with a reconnectInterval of -1", async () => {
    const [bound, first, second] = [world.pair(), world.pair(), world.pair({ reconnectInterval: -1 })];
    const third = world.pair({ reconnectInterval: 10 });
    const endpoint = await world.link(bound, first);
    second.connect(endpoint);
    await first.close({ linger: 0 });
    third.connect(endpoint);
    await third.send("third");
    expect(await collect(bound, 1)).toEqual(["third"]);
    expect(second.stats().peers).toBe(0);
  });

  it("and disconnected meanwhile does not come", async () => {
    const [bound, first, second] = [world.pair(), world.pair(), world.pair()];
    const endpoint = await world.link(bound, first);
    second.connect(endpoint);
    second.disconnect(endpoint);
    await first.close({ linger: 0 });
    await turn();
    expect(bound.stats().peers).toBe(0);
  });

  it("meets the next socket that binds the name", async () => {
    const [bound, first, second, next] = [world.pair(), world.pair(), world.pair(), world.pair()];
    const endpoint = await world.link(bound, first);
    second.connect(endpoint);
    await bound.unbind(endpoint);
    await next.bind(endpoint);
    await second.send("hello");
    expect(await collect(next, 1)).toEqual(["hello"]);
    expect(bound.stats().peers).toBe(1);
  });

  it("because it has a peer itself connects when that one is gone", async () => {
    const [one, other, pair] = [world.pair(), world.pair(), world.pair()];
    const [first, second] = [await world.bind(one), await world.bind(other)];
    const refused = nextEvent(pair, "handshake:error:other");
    pair.connect(first);
    pair.connect(second);
    await refused;
    expect(other.stats().peers).toBe(0);
    pair.disconnect(first);
    await pair.send("hello");
    expect(await collect(other, 1)).toEqual(["hello"]);
  });

  it("for a peer over tcp comes when that one is gone", async () => {
    const [bound, remote, local] = [world.pair(), world.pair(), world.pair()];
    await bound.bind("tcp://127.0.0.1:*");
    remote.connect(bound.lastEndpoint as string);
    await bound.ready({ peers: 1, timeout: 4_000 });
    const endpoint = await world.bind(bound);
    local.connect(endpoint);
    expect(local.stats().peers).toBe(0);
    await remote.close({ linger: 0 });
    await until(() => local.stats().peers === 1, "the peer over inproc");
  });
});

it("a DEALER whose routing id was in use is let in when the id is free", async () => {
  const [router, first, second] = [
    world.router(),
    world.dealer({ routingId: "same" }),
    world.dealer({ routingId: "same" }),
  ];
  const endpoint = await world.link(router, first);
  const refused = nextEvent(router, "handshake:error:other");
  second.connect(endpoint);
  expect((await refused).error.message).toContain("routing id");
  await second.send("second");
  await first.close({ linger: 0 });
  expect(await collect(router, 1)).toEqual(["same|second"]);
});

it("many that wait for one place get it one after the other", async () => {
  const bound = world.pair();
  const endpoint = await world.bind(bound);
  const all = new Map(Array.from({ length: 20 }, (_, i) => [`${i}`, world.pair({ reconnectInterval: 1 })]));
  for (const [name, pair] of all) {
    pair.connect(endpoint);
    await pair.send(name);
  }
  while (all.size > 0) {
    const [name] = (await collect(bound, 1)) as [string];
    await all.get(name)?.close({ linger: 0 });
    expect(all.delete(name)).toBe(true);
  }
  expect(bound.stats().peers).toBe(0);
});

it("two with one routing id take it from each other after an interval, also where that is 0", async () => {
  const router = world.router({ handover: true });
  let joins = 0;
  router.events.on("peer:join", () => void joins++);
  const endpoint = await world.bind(router);
  for (let i = 0; i < 2; i++) world.dealer({ routingId: "same", reconnectInterval: 0 }).connect(endpoint);
  const started = performance.now();
  await until(() => joins === 12, "ten more joins");
  expect(performance.now() - started).toBeGreaterThanOrEqual(90);
});
