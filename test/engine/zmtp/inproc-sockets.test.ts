/** Sockets over inproc: names, what they share, and their ends. */
import { describe, expect, it } from "vitest";
import { collect, failure, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

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

  it("of two peers with one routing id the first has it again after its reconnect interval, and hears", async () => {
    const router = world.router({ handover: true, mandatory: true });
    const first = world.dealer({ routingId: "name", reconnectInterval: 30 });
    const second = world.dealer({ routingId: "name", reconnectInterval: 60_000 });
    let joins = 0;
    router.events.on("peer:join", () => void joins++);
    const endpoint = await world.bind(router);
    first.connect(endpoint);
    await until(() => joins === 1, "the first");
    second.connect(endpoint);
    await until(() => joins === 3, "the second, and the first again");
    await router.send(["name", "for the first"]);
    expect(await collect(first, 1)).toEqual(["for the first"]);
    expect(router.stats().peers).toBe(1);
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
