/** The cache between real sockets, on every engine. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Context, XSubscriber } from "../../../src/index.js";
import type { LastValueCacheOptions } from "../../../src/patterns/last-value-cache/index.js";
import { collect, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { ANY, startCache } from "./rig.js";

const kept = closeAfterEach();

describe.each([...ENGINE_NAMES])("the last value cache, engine %s", (engine) => {
  const context = new Context({ engine });
  const start = (options?: LastValueCacheOptions) => startCache(kept, context, options);

  it("a joiner gets every topic beneath its prefixes, in byte order, with all frames", async () => {
    const { publish, subscribe, cache } = await start();
    await publish("b/2|x||y", "a/1|x||y", "b/1|x||y", "b|x||y", "c|x||y");
    const sent = new Promise((resolve) => cache.events.on("snapshot:sent", ({ topics }) => resolve(topics)));
    expect(await collect(subscribe("b"), 3)).toEqual(["b|x||y", "b/1|x||y", "b/2|x||y"]);
    expect(await within(sent, "a snapshot")).toBe(3);
    const all = await collect(subscribe(""), 5);
    expect(all.map((text) => text.split("|")[0])).toEqual(["a/1", "b", "b/1", "b/2", "c"]);
  });

  it("a subscription of nothing known brings nothing, and the first message of such a topic comes", async () => {
    const { publisher, subscribe, cache } = await start();
    const subscriber = subscribe("new");
    await until(() => cache.stats().snapshots.done === 1, "the snapshot of nothing");
    await publisher.send(["new", "1"]);
    expect(await collect(subscriber, 1)).toEqual(["new|1"]);
    expect(cache.stats()).toMatchObject({ subscriptions: 1, snapshots: { values: 0 } });
  });

  it("a snapshot of 5,000 topics arrives whole, in pieces, while live messages pass", async () => {
    const { publisher, publish, subscribe } = await start();
    const names = Array.from({ length: 5_000 }, (_, i) => `t${String(i).padStart(5, "0")}`);
    await publish(...names.map((name) => `${name}|1`));
    const subscriber = subscribe("t");
    const seen = new Map<string, string>();
    let sent = false;
    while (seen.size < names.length + 1) {
      for (const [topic, value] of await subscriber.receiveMany({ timeout: 8_000 }))
        seen.set(String(topic), String(value));
      if (sent) continue;
      sent = true;
      await publisher.send(["tlive", "1"]);
    }
    expect(seen.size).toBe(names.length + 1);
  });

  it("gives the value of a topic to its second subscriber, too", async () => {
    const { publish, subscribe } = await start();
    await publish("a|1");
    const first = subscribe("a");
    expect(await collect(first, 1)).toEqual(["a|1"]);
    expect(await collect(subscribe("a"), 1)).toEqual(["a|1"]);
    await publish("a|2");
    // libzmq cannot send to one alone: the other gets it again, and nothing older.
    const again = engine === "libzmq" ? ["a|1"] : [];
    expect(await collect(first, again.length + 1)).toEqual([...again, "a|2"]);
  });

  it("messages that it cannot keep pass, with an event and a counter", async () => {
    const { cache, publish, subscribe } = await start({ maxValueBytes: 10 });
    const told: string[] = [];
    cache.events.on("message:uncached", ({ topic, reason }) => told.push(`${topic} ${reason}`));
    const subscriber = subscribe("");
    await until(() => cache.stats().subscriptions === 1, "the subscription");
    const long = "t".repeat(1_025);
    await publish("alone", `large|${"x".repeat(11)}`, `${long}|x`);
    expect((await collect(subscriber, 3))[0]).toBe("alone");
    expect(told).toEqual(["alone single-frame", "large value-too-large", `${long} topic-too-long`]);
    expect(cache.stats()).toMatchObject({ topics: 0, messages: 3 });
  });

  it("what a subscriber sends that is no subscription is an event, and harms nobody", async () => {
    const { cache, publisher, subscribe, backend } = await start();
    const rude = kept(new XSubscriber({ context }));
    rude.connect(backend);
    await rude.send("\u0001a");
    await until(() => cache.stats().subscriptions === 1, "its subscription");
    await rude.send("nonsense");
    await rude.send(["\u0001", "two frames"]);
    await until(() => cache.stats().invalid === 2, "two events");
    const subscriber = subscribe("a");
    await until(() => cache.stats().subscriptions === 2, "the other's subscription");
    await publisher.send(["a", "1"]);
    expect(await collect(subscriber, 1)).toEqual(["a|1"]);
  });

  it("delete forgets a topic until its next message", async () => {
    const { cache, publish } = await start();
    await publish("a|1");
    expect(cache.get("a")?.map(String)).toEqual(["a", "1"]);
    expect([cache.delete("a"), cache.delete("a"), cache.get("a")]).toEqual([true, false, undefined]);
  });

  it("has room for as many topics as it may be given", async () => {
    const { cache, publish } = await start({ maxTopics: 2_147_483_647 });
    await publish("a|1");
    expect(cache.get("a")?.map(String)).toEqual(["a", "1"]);
  });

  it("asks publishers only for the topics that it was given", async () => {
    const { cache, publisher, frontend, backend } = await start({ topics: ["a"] });
    const second = await cache.bind("backend", ANY);
    expect(cache.endpoints).toEqual({ frontend: [frontend], backend: [backend, second] });
    await publisher.send(["b", "1"]);
    await publisher.send(["a", "1"]);
    await until(() => cache.stats().topics === 1, "a value");
    expect(cache.stats().messages).toBe(1);
  });
});
