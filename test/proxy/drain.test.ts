/** Drains under load: what came in is passed on, and replies come back. */
import { describe, expect, it } from "vitest";
import { Dealer, Publisher, Pull, Push, Reply, Request, Subscriber } from "../../src/index.js";
import { ForwarderProxy, QueueProxy, StreamerProxy } from "../../src/proxy/index.js";
import { until } from "../contract/support/wait.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";
import { ANY, back, ENGINES, front, LIMIT, useWorld } from "./support.js";

describe.each(ENGINES)("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  it("a streamer passes all that came in while its peers go on sending", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    let received = 0;
    const pull = world.peer(new Pull({ context }), back(proxy));
    void (async () => {
      for await (const _ of pull) received += 1;
    })();
    const abort = new AbortController();
    const pushes = Array.from({ length: 4 }, () =>
      world.peer(new Push({ context, linger: 0 }), front(proxy)),
    );
    const sending = pushes.map(async (push) => {
      try {
        for (;;) await push.send("x".repeat(100), { signal: abort.signal });
      } catch {
        // Enough.
      }
    });
    await until(() => received > 2_000, "a load");
    // Where peers cannot be asked to go, half of the time is over first.
    const result = await proxy.drain({ timeout: engine === "zmtp" ? LIMIT : 2_000 });
    expect(result).toEqual({ drained: true, received: 0, queued: 0, unanswered: 0 });
    const { frontend, backend } = proxy.stats();
    expect(backend.out.messages).toBe(frontend.in.messages);
    await proxy.close();
    await until(() => received === frontend.in.messages, "the last");
    abort.abort();
    await Promise.all(sending);
    // What the proxy did not get the senders know of, where their engine knows it: nothing is lost in between.
    if (engine !== "zmtp") return;
    let delivered = 0;
    for (const push of pushes) delivered += push.stats().delivered;
    expect(received).toBeGreaterThanOrEqual(delivered);
  });

  it("a queue passes what clients had sent, and waits for the replies of slow workers", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    for (let n = 0; n < 3; n++) {
      const worker = world.peer(new Reply({ context }), back(proxy));
      void (async () => {
        for await (const request of worker) {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await worker.send(request);
        }
      })();
    }
    const clients = Array.from({ length: 10 }, () => world.peer(new Dealer({ context }), front(proxy)));
    const sent = 100;
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < sent; n++) await client.send(["", `${n}`]);
      }),
    );
    await until(() => proxy.stats().frontend.in.messages > 0, "the first request");
    const result = await proxy.drain({ timeout: 2 * LIMIT });
    expect(result).toMatchObject({ drained: true, unanswered: 0 });
    await proxy.close();
    for (const client of clients) {
      const replies = new Set<string>();
      while (replies.size < sent) replies.add(String((await client.receive({ timeout: LIMIT }))[1]));
      expect(replies.size).toBe(sent);
    }
  });

  it("a forwarder's last publications reach the subscribers", async () => {
    const proxy = await world.start(new ForwarderProxy(sides));
    const publisher = world.peer(new Publisher({ context }), front(proxy));
    const subscriber = world.peer(new Subscriber({ context, receiveHighWaterMark: 0 }), back(proxy));
    subscriber.subscribe("n");
    await publisher.waitForSubscribers({ topic: "n", timeout: LIMIT });
    for (let i = 0; i < 500; i++) await publisher.send(`n${i}`);
    await until(() => proxy.stats().frontend.in.messages > 0, "the first");
    expect(await proxy.drain({ timeout: LIMIT })).toMatchObject({ drained: true });
    await proxy.close();
    let last = "";
    while (last !== "n499") last = String(await subscriber.receive({ timeout: LIMIT }));
  });

  it("is over when its time is, and says what was left", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const push = world.peer(new Push({ context, linger: 0 }), front(proxy));
    for (let i = 0; i < 10; i++) await push.send("nobody pulls");
    const arrived = (): number => proxy.stats().frontend.in.messages + proxy.stats().frontend.in.queued;
    await until(() => arrived() >= 1, "the first");
    const result = await proxy.drain({ timeout: 300 });
    expect(result.drained).toBe(false);
    expect(result.received).toBeGreaterThanOrEqual(1);
    expect(proxy.stats().drain).toEqual(result);
  });

  it("of a queue reports the requests without a reply", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const worker = world.peer(new Dealer({ context }), back(proxy));
    const client = world.peer(new Request({ context, linger: 0 }), front(proxy));
    await client.send("?");
    await worker.receive({ timeout: LIMIT });
    expect(proxy.stats().unanswered).toBe(1);
    proxy.pause(); // A drain goes on from there.
    const left = { drained: false, received: 0, queued: 0, unanswered: 1 };
    expect(await proxy.drain({ timeout: 300 })).toEqual(left);
  });
});

describe("engine zmtp", () => {
  const world = useWorld("zmtp");
  const { context, sides } = world;

  it("takes no further endpoints of a source", async () => {
    const [first, later] = [world.socket(new Push({ context })), world.socket(new Push({ context }))];
    const source = new ListedEndpoints([await first.bind(ANY)]);
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend: { connect: source } }));
    const pull = world.peer(new Pull({ context }), back(proxy));
    await first.send("1");
    await pull.receive({ timeout: LIMIT });
    await proxy.drain();
    expect(source.readers).toBe(0);
    source.set(await later.bind(ANY));
    await expect(later.ready({ peers: 1, timeout: 300 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
  });

  it("gives its endpoints free when it takes nothing any more, and keeps its peers for the replies", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const worker = world.peer(new Reply({ context }), back(proxy));
    const client = world.peer(new Request({ context }), front(proxy));
    const asked = client.request("?", { timeout: LIMIT });
    const request = await worker.receive({ timeout: LIMIT });
    const drained = proxy.drain();
    const probe = new Pull({ context });
    await until(() => {
      try {
        probe.bindSync(front(proxy));
        return true;
      } catch {
        return false;
      }
    }, "a free endpoint");
    await probe.close();
    await world.start(new QueueProxy({ ...sides, frontend: { bind: front(proxy) } }));
    await worker.send(request);
    expect(String(await asked)).toBe("?");
    expect(await drained).toMatchObject({ drained: true });
  });
});
