/** Peers that come and go while messages pass: the statistics stay true, and every peer that stays is served. */
import { describe, expect, it } from "vitest";
import { Publisher, Pull, Push, Reply, Request, type Socket, Subscriber } from "../../src/index.js";
import { ForwarderProxy, QueueProxy, type SocketProxy, StreamerProxy } from "../../src/proxy/index.js";
import { Random } from "../../src/testing/random.js";
import { texts, until } from "../contract/support/wait.js";
import { LONG } from "../support/long.js";
import { back, front, LIMIT, useWorld } from "./support.js";

/** Comings and goings on each side. */
const TURNS = LONG ? 60 : 30;
/** Peers on each side, most of the time. */
const PEERS = 8;

describe("with peers that come and go", () => {
  const world = useWorld("zmtp");
  const { context, sides } = world;

  /** Lets peers of one kind come and go, each at work as long as it is there. */
  async function churn(seed: number, open: () => Socket): Promise<Socket[]> {
    const random = new Random(seed);
    const peers: Socket[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      peers.push(world.socket(open()));
      if (peers.length > PEERS) {
        const [leaving] = peers.splice(random.integer(0, peers.length - 1), 1);
        await leaving?.close({ linger: random.pick([0, 100]) });
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    return peers;
  }

  /** What came in went out, was dropped with a reason, or is in flight. */
  function account(proxy: SocketProxy): void {
    const { frontend, backend } = proxy.stats();
    const lost = (out: typeof frontend.out.dropped): number => out.unroutable + out["peer-full"];
    expect(frontend.in.messages).toBeLessThanOrEqual(backend.out.messages + lost(backend.out.dropped) + 1);
    expect(frontend.in.messages).toBeGreaterThanOrEqual(backend.out.messages);
    expect(backend.in.messages).toBeLessThanOrEqual(frontend.out.messages + lost(frontend.out.dropped) + 1);
  }

  it("a queue answers all who stay", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const workers = churn(1, () => {
      const worker = new Reply({ context });
      worker.connect(back(proxy));
      void (async () => {
        for await (const request of worker) await worker.send(request);
      })().catch(() => undefined);
      return worker;
    });
    const clients = churn(2, () => {
      const client = new Request({ context });
      client.connect(front(proxy));
      void (async () => {
        while (!client.closed) await client.request("x", { attemptTimeout: 100, retries: 100 });
      })().catch(() => undefined);
      return client;
    });
    await Promise.all([workers, clients]);
    const client = world.peer(new Request({ context }), front(proxy));
    const answer = await client.request("still?", { attemptTimeout: 500, retries: 10 });
    expect(texts(answer)).toEqual(["still?"]);
    account(proxy);
  });

  it("a streamer passes what came in", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    let received = 0;
    const pulls = churn(3, () => {
      const pull = new Pull({ context });
      pull.connect(back(proxy));
      void (async () => {
        for await (const _ of pull) received += 1;
      })();
      return pull;
    });
    const pushes = churn(4, () => {
      const push = new Push({ context });
      push.connect(front(proxy));
      for (let i = 0; i < 20; i++) push.trySend(`${i}`);
      return push;
    });
    await Promise.all([pulls, pushes]);
    await until(() => {
      const { frontend, backend } = proxy.stats();
      return received > 0 && frontend.in.queued === 0 && backend.out.queued === 0;
    }, "the rest");
    account(proxy);
    const { frontend, backend } = proxy.stats();
    expect(backend.out.messages).toBe(frontend.in.messages);
    expect(received).toBeLessThanOrEqual(backend.out.messages);
  });

  it("a forwarder keeps no subscription of those who left", async () => {
    const proxy = await world.start(new ForwarderProxy(sides));
    const publisher = world.peer(new Publisher({ context }), front(proxy));
    let topics = 0;
    const events = { on: 0, off: 0 };
    publisher.events.on("subscribe", () => events.on++);
    publisher.events.on("unsubscribe", () => events.off++);
    const stayed = await churn(5, () => {
      const subscriber = new Subscriber({ context });
      subscriber.subscribe("common", `own${++topics}`);
      subscriber.connect(back(proxy));
      return subscriber;
    });
    await until(() => proxy.stats().backend.peers === stayed.length, "the last");
    await Promise.all(stayed.map((subscriber) => subscriber.close()));
    await until(() => proxy.stats().backend.peers === 0, "their leaving");
    const last = world.socket(new Subscriber({ context }));
    last.subscribe("end");
    last.connect(back(proxy));
    await publisher.waitForSubscribers({ topic: "end", timeout: LIMIT });
    await until(() => events.on === events.off + 1, "the last subscription alone");
  });
});
