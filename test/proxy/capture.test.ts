/** The tap: a copy of both directions, never at the proxy's cost. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { Pull, Push, Reply, Request, Subscriber } from "../../src/index.js";
import { QueueProxy, StreamerProxy } from "../../src/proxy/index.js";
import { until } from "../contract/support/wait.js";
import { ANY, back, eventsOf, front, LIMIT, useWorld } from "./support.js";

const TYPES = ["pub", "push"] as const;

describe.each([...ENGINE_NAMES])("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  it.each(TYPES)("a %s has the frames of both directions as they are", async (type) => {
    const proxy = await world.start(new QueueProxy({ ...sides, capture: { type, bind: ANY } }));
    const tap = world.socket(type === "pub" ? new Subscriber({ context }) : new Pull({ context }));
    tap.connect(proxy.endpoints.capture[0] as string);
    if (tap instanceof Subscriber) tap.subscribe();
    const worker = world.peer(new Reply({ context }), back(proxy));
    void (async () => {
      for await (const [body] of worker) await worker.send([body as Buffer, "reply"]);
    })();
    const client = world.peer(new Request({ context, routingId: "client" }), front(proxy));
    await until(() => proxy.stats().capture?.peers === 1, "the tap");
    const seen: Buffer[][] = [];
    void (async () => {
      for (;;) seen.push(await tap.receive());
    })().catch(() => undefined);
    const requests = (): Buffer[][] => seen.filter((frames) => frames.length === 4);
    const replies = (): Buffer[][] => seen.filter((frames) => frames.length === 5);
    // A PUB does not say when its subscriber has asked: requests, until both directions were heard.
    await until(() => {
      void client.request("hi", { timeout: LIMIT }).catch(() => undefined);
      return requests().length > 0 && replies().length > 0;
    }, "a request and a reply");
    for (const [kind, body] of [
      [requests(), ["hi"]],
      [replies(), ["hi", "reply"]],
    ] as const) {
      const [id, , delimiter, ...rest] = kind[0] as Buffer[]; // The second is the request's own id.
      expect([String(id), delimiter?.length, ...rest.map(String)]).toEqual(["client", 0, ...body]);
    }
  });

  it.each(
    TYPES,
  )("a listener of a %s that stops reading slows nothing, and is reported once", async (type) => {
    const capture = { type, bind: ANY, sendHighWaterMark: 5 };
    const proxy = await world.start(new StreamerProxy({ ...sides, capture }));
    const drops = eventsOf(proxy, "capture:dropped");
    const tap = world.socket(new (type === "pub" ? Subscriber : Pull)({ context, receiveHighWaterMark: 5 }));
    tap.connect(proxy.endpoints.capture[0] as string);
    if (tap instanceof Subscriber) tap.subscribe();
    const push = world.peer(new Push({ context }), front(proxy));
    const pull = world.peer(new Pull({ context }), back(proxy));
    await until(() => proxy.stats().capture?.peers === 1, "the tap");
    // Large enough to fill what the kernel takes for a listener that reads nothing.
    const body = Buffer.alloc(100_000);
    let sent = 0;
    let received = 0;
    const limit = performance.now() + LIMIT;
    while ((proxy.stats().capture?.missed ?? 0) < 20 && performance.now() < limit) {
      for (let i = 0; i < 10; i++) await push.send(body);
      sent += 10;
      while (received < sent) {
        await pull.receive({ timeout: LIMIT });
        received += 1;
      }
    }
    const counted = proxy.stats().capture;
    expect(counted?.missed).toBeGreaterThanOrEqual(20);
    expect(counted?.queued).toBeLessThanOrEqual(5 + 64);
    expect(drops).toHaveLength(1);
    expect(proxy.stats().backend.out.messages).toBe(sent);
    if (type === "push") expect((counted?.captured ?? 0) + (counted?.missed ?? 0)).toBe(sent);
  });
});
