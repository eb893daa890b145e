/** Values that outlive the cache: closed, killed, damaged, taken over. */
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Publisher, Subscriber } from "../../../src/index.js";
import { LastValueCache } from "../../../src/patterns/last-value-cache/index.js";
import { WriteBehind } from "../../../src/patterns/last-value-cache/store.js";
import { ValueCache } from "../../../src/patterns/last-value-cache/value-cache.js";
import { LmdbFolder, openEnvironment } from "../../../src/store/lmdb.js";
import { collect, texts, until, within } from "../../contract/support/wait.js";
import { start } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";

let folder = "";
const makeFolder = removeAfterEach();
beforeEach(() => {
  folder = makeFolder();
});
const kept = closeAfterEach();

/** @param messages with `|` between their frames */
async function publish(cache: LastValueCache, ...messages: string[]): Promise<void> {
  const publisher = kept(new Publisher());
  publisher.connect(await cache.bind("frontend", "tcp://127.0.0.1:*"));
  await publisher.waitForSubscribers({ timeout: 8_000 });
  const before = cache.stats().messages;
  for (const message of messages) await publisher.send(message.split("|"));
  await until(() => cache.stats().messages === before + messages.length, "the messages");
}

const CACHE = `
import { LastValueCache } from "shoal/patterns";
const [store, frontend] = process.argv.slice(1);
const cache = new LastValueCache({ store, storeInterval: 10, maxTopics: 100 });
await cache.bind("frontend", frontend);
console.log("ready");
process.stdin.on("data", () => console.log(cache.stats().messages + " " + cache.stats().store.pending));
`;

describe("a last value cache with a store", () => {
  it("has its values, and the order of their eviction, after it was closed", async () => {
    const first = kept(new LastValueCache({ store: folder, maxTopics: 3 }));
    await publish(first, "b|1", "a|1||x", "c|1", "b|2", "|empty topic");
    await first.close();
    const second = kept(new LastValueCache({ store: folder, maxTopics: 3 }));
    expect(second.stats()).toMatchObject({ topics: 3, store: { restored: 3, damaged: 0 } });
    expect(texts(second.get("b") ?? [])).toEqual(["b", "2"]);
    expect(texts(second.get("") ?? [])).toEqual(["", "empty topic"]);
    const evicted: string[] = [];
    second.events.on("topic:evicted", ({ topic }) => evicted.push(String(topic)));
    await publish(second, "d|1", "e|1");
    expect(evicted).toEqual(["c", "b"]);
    await second.close();
    const third = kept(new LastValueCache({ store: folder, maxTopics: 2 }));
    expect(["d", "e", ""].filter((topic) => third.get(topic) !== undefined)).toEqual(["d", "e"]);
    await third.close();
    expect(kept(new LastValueCache({ store: folder })).stats().topics).toBe(2);
  });

  it("has what was committed when it is killed, and a joiner gets it after the restart", async () => {
    const frontend = `ipc://${join(folder, "frontend")}`;
    for (let round = 1; round <= 3; round++) {
      const child = start(CACHE, { args: [join(folder, "store"), frontend] });
      kept({ close: () => child.kill() });
      await child.heard("ready");
      const publisher = kept(new Publisher());
      publisher.connect(frontend);
      await publisher.waitForSubscribers({ timeout: 8_000 });
      for (let i = 0; i < 50; i++) await publisher.send([`t${i}`, String(round)]);
      const committed = async (): Promise<void> => {
        do child.tell("?");
        while ((await child.line()) !== "50 0");
      };
      await within(committed(), "everything is committed");
      await child.kill("SIGKILL");
      await publisher.close({ linger: 0 });
      const cache = kept(new LastValueCache({ store: join(folder, "store") }));
      const subscriber = kept(new Subscriber());
      subscriber.subscribe("t4");
      subscriber.connect(await cache.bind("backend", "tcp://127.0.0.1:*"));
      const expected = ["t4", ...Array.from({ length: 10 }, (_, i) => `t4${i}`)];
      expect(await collect(subscriber, 11)).toEqual(expected.map((topic) => `${topic}|${round}`));
      await cache.close({ linger: 0 });
    }
  });

  it("leaves a damaged record out, says so, and keeps the rest", async () => {
    const first = kept(new LastValueCache({ store: folder }));
    await publish(first, "a|1", "b|1");
    await first.close();
    const environment = openEnvironment(folder);
    const values = environment.openDB("values", { encoding: "binary", keyEncoding: "binary" });
    environment.transactionSync(() => {
      values.put(Buffer.from("ta"), Buffer.from("nonsense"));
      return undefined;
    });
    await environment.close();
    const second = kept(new LastValueCache({ store: folder }));
    const event = await within(second.events.receive(), "an event");
    expect(event).toEqual({ type: "store:damaged", records: 1 });
    expect([second.get("a"), second.get("b")?.length]).toEqual([undefined, 2]);
    await second.close();
    expect(kept(new LastValueCache({ store: folder })).stats().store?.damaged).toBe(0);
  });

  it("writes everything while it drains, passes on what came before, and nothing that comes later", async () => {
    const cache = kept(new LastValueCache({ store: folder, storeInterval: 2_000_000_000 }));
    const publisher = kept(new Publisher());
    publisher.connect(await cache.bind("frontend", "tcp://127.0.0.1:*"));
    const subscriber = kept(new Subscriber());
    subscriber.subscribe("");
    subscriber.connect(await cache.bind("backend", "tcp://127.0.0.1:*"));
    await publisher.waitForSubscribers({ timeout: 8_000 });
    await until(() => cache.stats().subscriptions === 1, "the subscription");
    const sent = Array.from({ length: 500 }, (_, i) => `t${i % 50}|${i}`);
    for (const message of sent) await publisher.send(message.split("|"));
    await until(() => cache.stats().messages === sent.length, "the messages");
    expect(cache.stats().store).toMatchObject({ pending: 50, written: 0 });
    await Promise.all([cache.drain({ timeout: 8_000 }), cache.drain()]);
    expect(cache.stats().store).toMatchObject({ pending: 0, written: 50, failures: 0 });
    expect(await collect(subscriber, sent.length)).toEqual(sent);
    await expect(cache.bind("backend", "tcp://127.0.0.1:*")).rejects.toMatchObject({ code: "EAGAIN" });
    for (let i = 0; i < 100; i++) await publisher.send(["late", "1"]);
    await publisher.close({ linger: 1_000 }); // The kernel has them.
    expect(cache.stats().messages).toBe(sent.length);
    expect([cache.get("late"), cache.get("t49")?.map(String)]).toEqual([undefined, ["t49", "499"]]);
    await cache.close();
    await expect(cache.drain()).rejects.toMatchObject({ code: "EBADF" });
    expect(kept(new LastValueCache({ store: folder })).stats()).toMatchObject({ topics: 50 });
  });

  it("goes on without its store when another process takes the folder, and says so", async () => {
    const cache = kept(new LastValueCache({ store: join(folder, "store"), storeInterval: 10 }));
    const failed = new Promise((resolve) => cache.events.on("store:failed", ({ error }) => resolve(error)));
    const child = start(CACHE, { args: [join(folder, "store"), `ipc://${join(folder, "other")}`] });
    kept({ close: () => child.kill() });
    await child.heard("ready");
    await publish(cache, "a|1");
    expect(await within(failed, "a failure")).toMatchObject({ code: "ERR_STORE", reason: "taken" });
    expect(cache.get("a")?.map(String)).toEqual(["a", "1"]);
    expect(cache.stats().store).toMatchObject({ pending: 1 });
  });
});

describe("the store of a last value cache, while commits fail", () => {
  function open(): { cache: ValueCache; store: WriteBehind } {
    const bounds = { maxTopics: 3, maxBytes: 1_000, maxTopicBytes: 10, maxValueBytes: 200 };
    const cache = new ValueCache(bounds, { evicted: () => undefined, uncached: () => undefined }, true);
    const store = kept(new WriteBehind(cache, folder, 2_000_000_000, () => undefined));
    return { cache, store };
  }

  const update = (cache: ValueCache, ...frames: string[]): void =>
    cache.update(frames.map((frame) => Buffer.from(frame)));

  /** @returns what makes commits succeed again */
  function failing(): () => void {
    const commits = vi.spyOn(LmdbFolder.prototype, "transaction").mockRejectedValue(new Error("EIO"));
    return () => commits.mockRestore();
  }

  it("removes a topic that came and went again meanwhile", async () => {
    const { cache, store } = open();
    update(cache, "a", "1");
    await store.flush();
    cache.delete("a");
    const repair = failing();
    await store.flush();
    update(cache, "a", "2");
    await store.flush();
    cache.delete("a");
    repair();
    await store.flush();
    expect(store.stats()).toMatchObject({ pending: 0, failures: 2 });
    await store.close();
    expect(open().cache.topics).toBe(0);
  });

  it("has the newest values afterwards, and meanwhile keeps none of evicted topics that it never got", async () => {
    const { cache, store } = open();
    const repair = failing();
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < 3; i++) update(cache, `${round}-${i}`, "1");
      await store.flush();
      expect(store.stats().pending).toBeLessThan(10);
    }
    update(cache, "99-0", "2");
    repair();
    await store.flush();
    expect(store.stats()).toMatchObject({ pending: 0, failures: 100 });
    await store.close();
    const { cache: second } = open();
    expect(["99-0", "99-1", "99-2"].map((topic) => texts(second.get(topic) ?? []).at(-1))).toEqual([
      "2",
      "1",
      "1",
    ]);
  });
});
