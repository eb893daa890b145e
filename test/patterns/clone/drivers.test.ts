import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { Context, Dealer, json, Publisher, Router, Subscriber } from "../../../src/index.js";
import {
  CloneClient,
  CloneConflictError,
  CloneLmdbStore,
  CloneServer,
  type CloneStore,
  StoreError,
} from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { gate } from "../../support/gate.js";
import { watch } from "../../support/settled.js";
import { CALM, cloneRig, HEARTBEAT, take } from "./rig.js";

const { folder, join_, serve, track } = cloneRig();

/** What sends updates of any form to a server. */
async function collectedBy(server: CloneServer): Promise<Publisher> {
  const publisher = track(new Publisher({ linger: 0 }));
  publisher.connect(server.endpoints.collector);
  await within(publisher.waitForSubscribers(), "the collector");
  return publisher;
}

describe("one server", () => {
  test("an empty map is whole at once, and a late joiner has everything", async () => {
    const server = await serve();
    const early = await join_(server.at);
    expect([early.size, early.state, [...early]]).toEqual([0, "live", []]);
    for (let n = 0; n < 300; n++) server.set(`/a/${n}`, `v${n}`);
    await early.set("/b/x", "y");
    const late = await join_(server.at);
    const subtree = await join_(server.at, { subtree: "/b/" });
    const nothing = await join_(server.at, { subtree: "/nothing/" });
    expect([late.size, subtree.size, nothing.size]).toEqual([301, 1, 0]);
    expect(String(late.get("/a/299"))).toBe("v299");
    expect([...late.entries("/b/")].map(([key, value]) => [key, String(value)])).toEqual([["/b/x", "y"]]);
    await nothing.set("/nothing/now", "1");
    expect(nothing.size).toBe(1);
  });

  test("watch reports old and new values, whose they are, and in which order", async () => {
    const server = await serve(CALM);
    const a = await join_(server.at, { codec: json<{ n: number }>(), ...CALM });
    const b = await join_(server.at, { codec: json<{ n: number }>(), ...CALM });
    const watch = a.watch("/w/");
    await a.set("/other", { n: 0 });
    await a.set("/w/k", { n: 1 });
    await b.set("/w/k", { n: 2 });
    await b.delete("/w/k");
    const changes = await take(watch, 3);
    expect(changes.map(({ type, old, value, own }) => [type, old?.n, value?.n, own])).toEqual([
      ["set", undefined, 1, true],
      ["set", 1, 2, false],
      ["delete", 2, undefined, false],
    ]);
    expect(changes.map(({ sequence }) => sequence)).toEqual([2, 3, 4]);
    await watch.return();
    expect((await watch.next()).done).toBe(true);
  });

  test("a watch that is not read is bounded, and says what it lost", async () => {
    const server = await serve(CALM);
    const client = await join_(server.at, CALM);
    const watch = client.watch("", { maxQueue: 10 });
    for (let n = 0; n < 50; n++) server.set("k", `v${n}`);
    await until(() => client.sequence === 50, "all of them");
    expect([watch.lost, client.stats().watchLost]).toEqual([40, 40]);
    expect(String((await take(watch, 1))[0]?.value)).toBe("v40");
  });

  test("a watch that is not read is bounded in bytes, keeps the newest change, and has room again once it is read", async () => {
    const server = await serve(CALM);
    const client = await join_(server.at, CALM);
    const watch = client.watch("", { maxQueueBytes: 2_000 });
    for (let n = 0; n < 5; n++) server.set(`k${n}`, Buffer.alloc(600, n));
    await until(() => client.sequence === 5, "all of them");
    expect(watch.lost).toBe(3);
    expect((await take(watch, 2)).map(({ key }) => key)).toEqual(["k3", "k4"]);
    for (let n = 5; n < 7; n++) server.set(`k${n}`, Buffer.alloc(600, n));
    await until(() => client.sequence === 7, "two more");
    expect(watch.lost).toBe(3);
    server.set("large", Buffer.alloc(100_000));
    await until(() => client.sequence === 8, "a large one");
    expect((await take(watch, 1)).map(({ key }) => key)).toEqual(["large"]);
  });

  test("a watch that is left when it loses a change ends", async () => {
    const server = await serve(CALM);
    const client = await join_(server.at, CALM);
    const watch = client.watch("", { maxQueue: 1 });
    client.events.on("change:dropped", () => void watch.return());
    for (let n = 0; n < 3; n++) server.set("k", `v${n}`);
    await until(() => client.sequence === 3, "all of them");
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  test("keys have every byte, values are any bytes, megabytes of them", async () => {
    const server = await serve();
    const client = await join_(server.at, { keyEncoding: "latin1" });
    const keys = Array.from({ length: 256 }, (_, byte) => Buffer.from([byte, 0, 255, byte]));
    await Promise.all(keys.map((key, byte) => client.set(key, Buffer.from([byte, 0]))));
    const [longest, large] = ["large".repeat(51), Buffer.alloc(4_000_000, "large")];
    await client.set(longest, large, { timeout: 20_000 });
    const late = await join_(server.at, { keyEncoding: "latin1" });
    expect(late.size).toBe(257);
    for (const [byte, key] of keys.entries()) expect(late.get(key)).toEqual(Buffer.from([byte, 0]));
    expect((late.get(longest) as Buffer).equals(large)).toBe(true);
    expect([...late.entries()].some(([key]) => key === "\xff\0\xff\xff")).toBe(true);
    const text = await join_(server.at);
    expect([...text.entries()].length).toBeLessThan(257);
    expect(text.stats().invalid).toBeGreaterThan(0);
  });

  test("values that do not pass the codec or schema are an event, and nobody's exception", async () => {
    const server = await serve();
    const client = await join_(server.at, { codec: json(z.number()) });
    const invalid: string[] = [];
    client.events.on("entry:invalid", ({ key }) => invalid.push(String(key)));
    server.set("bad", "{");
    server.set("text", '"x"');
    server.set("good", "5");
    await until(() => client.sequence === 3, "all of them");
    expect([client.get("bad"), client.get("text"), client.get("good")]).toEqual([undefined, undefined, 5]);
    expect([client.has("bad"), [...client], invalid.length >= 2]).toEqual([true, [["good", 5]], true]);
    expect((await failure(client.set("k", "x" as never))).code).toBe("ERR_INVALID_MESSAGE");
  });

  test("what cannot be set is refused before anything is sent", async () => {
    const server = await serve();
    const client = await join_(server.at, { subtree: "/a/", maxPending: 2 });
    for (const promise of [
      client.set("/b/k", "v"),
      client.set("", "v"),
      client.set(`/a/${"k".repeat(300)}`, "v"),
      client.set("/a/k", ""),
      client.set("/a/k", "v", { ttl: -1 }),
      client.set("/a/k", "v", { timeout: 0.5 }),
    ])
      expect((await failure(promise)).code).toBe("EINVAL");
    expect(client.stats().sets).toBe(0);
    for (const none of [[], {}, "tcp://x:*"])
      expect(() => new CloneClient(none as never)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    // Its engine decides about the server's bounds.
    const socketOptions = { context: new Context({ engine: "libzmq" }) } as never;
    expect(() => new CloneServer({ socketOptions })).toThrow(expect.objectContaining({ code: "EINVAL" }));
    const two = [client.set("/a/1", "v"), client.set("/a/2", "v")];
    expect((await failure(client.set("/a/3", "v"))).code).toBe("ERR_TOO_MANY_PENDING");
    await Promise.all(two);
  });

  test("messages that 12/CHP does not allow are dropped, reported and counted; the map stays right", async () => {
    const server = await serve();
    const client = await join_(server.at);
    const publisher = await collectedBy(server);
    const eight = Buffer.alloc(8);
    const uuid = Buffer.alloc(16, 1);
    const bad = [
      ["k"],
      ["k", eight, uuid, "", "v", "more"],
      ["k", Buffer.alloc(7), uuid, "", "v"],
      ["k", eight, "u", "", "v"],
      ["k".repeat(256), eight, uuid, "", "v"],
      ["", eight, uuid, "", "v"],
      ["HUGZ", eight, uuid, "", "v"],
      ["k", eight, uuid, "ttl=soon\n", "v"],
      ["k", eight, uuid, "x".repeat(4_097), "v"],
    ];
    for (const frames of bad) await publisher.send(frames as never);
    await publisher.send(["k", eight, uuid, "", "good"]);
    await publisher.send(["k", eight, uuid, "", "again, which is not applied"]);
    const dealer = track(new Dealer({ linger: 0 }));
    dealer.connect(server.at);
    for (const frames of [["ICANHAZ?"], ["ICANHAZ?", "x"], ["NO", ""], ["ICANHAZ?", "", ""]])
      await dealer.send(frames);
    await dealer.send(["ICANHAZ?", "/none/"]);
    const answer = await within(dealer.receive(), "the only answer");
    expect(String(answer[0])).toBe("KTHXBAI");
    await until(() => client.sequence === 2, "the good one");
    expect([client.size, String(client.get("k"))]).toEqual([1, "good"]);
    expect(server.stats().faults).toEqual({
      frames: 4,
      command: 1,
      key: 2,
      "reserved-key": 1,
      sequence: 1,
      uuid: 1,
      properties: 2,
      subtree: 1,
    });
    expect(server.stats()).toMatchObject({ received: 11, applied: 1, repeated: 1 });
  });

  test("an update with as many properties as a client may send reaches all, whatever the server adds", async () => {
    const server = await serve(CALM);
    const subtree = `/${"a/".repeat(100)}`;
    const client = await join_(server.at, { ...CALM, subtree });
    const publisher = await collectedBy(server);
    const properties = `ttl=0\nnote=${"x".repeat(4_084)}\n`;
    expect(properties).toHaveLength(4_096);
    await publisher.send([`${subtree}k`, Buffer.alloc(8), Buffer.alloc(16, 1), properties, "v"]);
    await until(() => client.has(`${subtree}k`), "it is there");
    expect(client.stats()).toMatchObject({ faults: 0, gaps: 0 });
  });

  test("a client that does not read its snapshot holds up nobody", async () => {
    // A client that takes its busy server for silent would leave its snapshot, too, and ask for another.
    const server = await serve(CALM);
    for (let n = 0; n < 1_000; n++) server.set(`k${n}`, Buffer.alloc(20_000, "x"));
    const slow = track(new Dealer({ linger: 0, receiveHighWaterMark: 1 }));
    slow.connect(server.at);
    await slow.send(["ICANHAZ?", ""]);
    const client = await join_(server.at, CALM);
    expect(client.size).toBe(1_000);
    expect(server.stats().snapshots).toMatchObject({ active: 1, done: 1 });
    await slow.close({ linger: 0 });
    await until(() => server.stats().snapshots.active === 0, "it is given up");
    expect(server.stats().snapshots.lost).toBe(1);
  });

  test("bind gives the endpoint once; drain waits for what is under way, and takes nothing new", async () => {
    const server = await serve(CALM);
    expect(server.at).toBe(server.endpoints.snapshot);
    expect((await failure(server.bind(server.at))).code).toBe("EFSM");
    const client = await join_(server.at, CALM);
    const set = client.set("k", "v");
    const drained = client.drain({ timeout: 5_000 });
    expect((await failure(client.set("k", "later"))).code).toBe("EAGAIN");
    await within(drained, "everything is settled");
    expect([await set, client.stats().inFlight, client.closed]).toEqual([1, 0, false]);
    await client.close();
    expect(client.closed).toBe(true);
    expect((await failure(client.ready())).code).toBe("EBADF");
    await server.close();
    expect(() => server.set("k", "v")).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  test("what a server's program set is in its store, however soon it closes", async () => {
    const path = folder();
    const first = await serve({ store: CloneLmdbStore.open(path) });
    expect(first.set("a", "1")).toBe(true);
    await Promise.resolve(); // Its commit has begun.
    expect(first.set("b", "2")).toBe(true);
    await first.close();
    const second = await serve({ store: CloneLmdbStore.open(path) });
    expect([second.get("a"), second.get("b")].map(String)).toEqual(["1", "2"]);
    await second.close();
    // Nobody repeats what the server sets itself: the clients' UUIDs keep their places.
    const store = CloneLmdbStore.open(path);
    expect((await store.load(() => undefined)).uuids).toEqual([]);
    await store.close();
  });

  test("a store has the UUIDs of the last 262,144 updates, also of a map that it was given", async () => {
    const store = CloneLmdbStore.open(folder());
    const uuid = (n: number): Buffer => Buffer.alloc(16, n);
    const kept = async (): Promise<number[]> =>
      (await store.load(() => undefined)).uuids.map(([n]) => Number(n));
    await (await store.replace()).finish(7, [uuid(1), uuid(2)], Buffer.alloc(0));
    await store.commit([], 8, [uuid(3)]);
    await store.commit([], 7 + 262_144, [uuid(4)]);
    expect(await kept()).toEqual([1, 2, 3, 4]);
    await store.commit([], 8 + 262_144, []);
    expect(await kept()).toEqual([3, 4]);
    await store.close();
  });

  test("a closing server has linger ms for what is on its way to the store, and for the acknowledgement", async () => {
    for (const linger of [5_000, 0]) {
      const { store, committing, finish } = gatedStore();
      const server = await serve({ ...CALM, store });
      const client = await join_(server.at, CALM);
      const set = client.set("k", "v", { timeout: linger === 0 ? 300 : 8_000 });
      const outcome = watch(set);
      await within(committing, "the commit");
      const closing = server.close({ linger });
      expect((await failure(server.bind(server.at))).code).toBe("EBADF");
      if (linger === 0) {
        expect((await failure(set)).code).toBe("ETIMEDOUT"); // The sockets are closed already.
        finish();
        await within(closing, "the end");
      } else {
        expect(outcome.state).toBe("pending");
        finish();
        expect(await within(set, "the acknowledgement")).toBe(1);
        await within(closing, "the end");
      }
      await client.close();
    }
  });

  test("a draining server waits for its store, and takes nothing new", async () => {
    const { store, finish } = gatedStore();
    const server = await serve({ ...CALM, store });
    const client = await join_(server.at, CALM);
    expect(server.set("k", "v")).toBe(true);
    const drained = server.drain();
    const outcome = watch(drained);
    expect((await failure(server.drain({ timeout: 50 }))).code).toBe("ETIMEDOUT");
    expect(() => server.set("k", "later")).toThrow(expect.objectContaining({ code: "EAGAIN" }));
    expect(outcome.state).toBe("pending");
    finish();
    await within(drained, "everything is in the store");
    expect(String(server.get("k"))).toBe("v");
    await until(() => client.get("k") !== undefined, "the client has it");
    const before = server.stats();
    expect((await failure(client.set("k", "from a client", { timeout: 200 }))).code).toBe("ETIMEDOUT");
    expect(server.stats().received).toBe(before.received);
  });

  test("a drain ends with its server, also one whose store cannot be closed", async () => {
    const broken = new Error("the disk is gone");
    const store: CloneStore = { ...memoryStore(() => false), close: () => Promise.reject(broken) };
    const server = new CloneServer({ ...CALM, store });
    const endpoint = await server.bind("tcp://127.0.0.1:*");
    for (let n = 0; n < 3_000; n++) server.set(`k${n}`, Buffer.alloc(10_000));
    const slow = track(new Dealer({ receiveHighWaterMark: 1 }));
    slow.connect(endpoint);
    await slow.send(["ICANHAZ?", ""]);
    await until(() => server.stats().snapshots.active === 1, "the snapshot is under way");
    const drained = server.drain();
    await expect(server.close({ linger: 0 })).rejects.toBe(broken);
    await within(drained, "the end of the drain");
  });

  test("a closing server finishes a snapshot within its linger, and begins none", async () => {
    for (const linger of [10_000, 0]) {
      const server = await serve(CALM);
      const value = Buffer.alloc(10_000);
      for (let n = 0; n < 3_000; n++) server.set(`k${n}`, value);
      const slow = track(new Dealer({ receiveHighWaterMark: 1 }));
      const late = track(new Dealer({ receiveHighWaterMark: 1 }));
      for (const dealer of [slow, late]) dealer.connect(server.at);
      await slow.send(["ICANHAZ?", ""]);
      const entries = [await within(slow.receive(), "the first entry")];
      await until(() => server.stats().snapshots.active === 1, "the snapshot is under way");
      const closing = server.close({ linger });
      await late.send(["ICANHAZ?", ""]);
      if (linger === 0) await within(closing, "the end");
      else {
        while (String(entries.at(-1)?.[0]) !== "KTHXBAI")
          entries.push(await within(slow.receive(), "the next entry"));
        expect(entries).toHaveLength(3_001);
        await within(closing, "the end");
      }
      expect(server.stats().snapshots).toMatchObject({ done: linger === 0 ? 0 : 1 });
      await Promise.all([slow.close({ linger: 0 }), late.close({ linger: 0 })]);
    }
  });

  test("a server that could not bind may bind to another endpoint, with its store", async () => {
    const path = folder();
    const first = await serve({ store: CloneLmdbStore.open(path) });
    first.set("k", "v");
    await first.close();
    const taken = await serve();
    const server = track(new CloneServer({ store: CloneLmdbStore.open(path) }));
    await expect(server.bind(taken.at)).rejects.toMatchObject({ code: "EADDRINUSE" });
    await expect(server.bind("nonsense")).rejects.toMatchObject({ code: "EINVAL" });
    await server.bind("tcp://127.0.0.1:*");
    expect(String(server.get("k"))).toBe("v");
    await expect(server.bind("tcp://127.0.0.1:*")).rejects.toMatchObject({ code: "EFSM" });
  });

  test("a server whose store cannot be read says so at each bind", async () => {
    const broken = new StoreError("failed", "the disk is gone");
    const store: CloneStore = { ...memoryStore(() => false), load: () => Promise.reject(broken) };
    const server = track(new CloneServer({ store }));
    for (let i = 0; i < 2; i++) await expect(server.bind("tcp://127.0.0.1:*")).rejects.toBe(broken);
  });

  test("what an option is called, and what may be waiting in bytes, is checked at every door", async () => {
    const server = await serve(CALM);
    const client = await join_(server.at, { ...CALM, maxPendingBytes: 100 });
    const message = async (promise: Promise<unknown>): Promise<string> => (await failure(promise)).message;
    expect(await message(client.set("k", "v", { tll: 5 } as never))).toMatch(/did you mean ttl/);
    expect(await message(client.delete("k", { ttl: 5 } as never))).toMatch(/ttl/);
    expect(await message(client.close({ lingr: 5 } as never))).toMatch(/did you mean linger/);
    expect(() => client.watch("", { maxQueued: 5 } as never)).toThrow(/did you mean maxQueue/);
    expect(() => server.set("k", "v", { ttll: 5 } as never)).toThrow(/did you mean ttl/);
    const misspelled = { minFreBytes: 1 } as never;
    expect(() => CloneLmdbStore.open(folder(), misspelled)).toThrow(/did you mean minFreeBytes/);
    expect(() => client.events.on("stat" as never, () => undefined)).toThrow();
    const first = client.set("a", "x".repeat(90));
    expect((await failure(client.set("b", "x".repeat(20)))).code).toBe("ERR_TOO_MANY_PENDING");
    await first;
    await client.set("b", "x".repeat(200));
  });
});

describe("compare and set", () => {
  test("of two that ask for one revision one wins; the other learns which revision there is, and wins with that", async () => {
    const server = await serve(CALM);
    const [a, b] = [await join_(server.at, CALM), await join_(server.at, CALM)];
    const sets = [a.set("k", "a", { revision: 0 }), b.set("k", "b", { revision: 0 })];
    const created = await Promise.allSettled(sets);
    expect(created.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const { reason } = created.find(({ status }) => status === "rejected") as PromiseRejectedResult;
    const { revision } = a.entry("k") as { revision: number };
    expect(reason).toBeInstanceOf(CloneConflictError);
    expect(reason).toMatchObject({ code: "ERR_CONFLICT", revision });
    const next = await b.set("k", "again", { revision: reason.revision });
    expect([String(b.entry("k")?.value), b.entry("k")?.revision]).toEqual(["again", next]);
    const late = await failure(a.delete("k", { revision }));
    expect(late).toMatchObject({ code: "ERR_CONFLICT", revision: next });
    await a.delete("k", { revision: next });
    expect(await failure(a.delete("k", { revision: next }))).toMatchObject({ revision: 0 });
    expect([a.entry("k"), server.stats().conflicts]).toEqual([undefined, 3]);
    expect(a.stats().conflicts + b.stats().conflicts).toBe(3);
  });

  test("from a store the revisions are what they were, and who lost has lost", async () => {
    const at = folder();
    const server = await serve({ store: CloneLmdbStore.open(at), ...CALM });
    const client = await join_(server.at, CALM);
    const revision = await client.set("k", "1", { revision: 0 });
    const frames = ["k", Buffer.alloc(8), Buffer.alloc(16, 7), "ttl=0\nif-revision=0\n", "x"];
    const conflicts = (of: CloneServer): number => of.stats().conflicts + of.stats().repeated;
    const raw = await collectedBy(server);
    await raw.send(frames);
    await until(() => conflicts(server) === 1, "it lost");
    await until(() => server.stats().commits === 2, "the store knows");
    await Promise.all([client.close(), raw.close(), server.close()]);

    const again = await serve({ store: CloneLmdbStore.open(at), ...CALM });
    const reader = await join_(again.at, CALM);
    expect(reader.entry("k")?.revision).toBe(revision);
    await reader.delete("k", { revision });
    const repeated = await collectedBy(again);
    await repeated.send(frames);
    await until(() => conflicts(again) === 1, "it is known");
    expect([again.get("k"), again.stats().conflicts]).toEqual([undefined, 0]);
  });

  test("a server that does not know conditions gets none: it would make the update whatever the key is", async () => {
    const at = `ipc://${join(folder(), "guide")}`;
    const router = track(new Router({ linger: 0 }));
    await router.bind(at);
    const publisher = track(new Publisher({ linger: 0 }));
    await publisher.bind(`${at}-1`);
    const collector = track(new Subscriber());
    collector.subscribe();
    await collector.bind(`${at}-2`);
    const client = track(new CloneClient(at, { ...CALM }));
    const early = failure(client.set("k", "early", { revision: 0 }));
    const [id] = (await within(router.receive(), "a request")) as Buffer[];
    await router.send([id as Buffer, "KTHXBAI", Buffer.alloc(8), "", "", ""]);
    expect(await within(early, "a refusal")).toMatchObject({ code: "NOT_SUPPORTED" });
    expect(await failure(client.delete("k", { revision: 1 }))).toMatchObject({ code: "NOT_SUPPORTED" });
    expect(await failure(client.set("k", "v", { revision: -1 }))).toMatchObject({ code: "EINVAL" });
    void client.set("plain", "v").catch(() => undefined);
    const [key] = (await within(collector.receive(), "a plain update")) as Buffer[];
    expect(String(key)).toBe("plain");
  });
});

describe("with a store", () => {
  test("what was acknowledged is there after a start again, ephemeral keys end, and sequences go on", async () => {
    const directory = folder();
    let server = await serve({ store: CloneLmdbStore.open(directory) });
    const at = server.at;
    const client = await join_(at);
    await Promise.all(Array.from({ length: 500 }, (_, n) => client.set(`k${n}`, `v${n}`)));
    await client.set("soon", "x", { ttl: 200 });
    const last = await client.delete("k0");
    expect(server.stats().commits).toBeLessThan(400);
    await server.close();
    server = await serve({ store: CloneLmdbStore.open(directory) }, at);
    // The key may have ended before the server did.
    expect([last, last + 1]).toContain(server.stats().sequence);
    await until(() => client.state === "live" && !client.has("soon"), "the same map");
    expect([client.size, String(client.get("k499")), client.has("k0")]).toEqual([499, "v499", false]);
  });

  test("a store that is full refuses values, not deletes, and the map stays as it is", async () => {
    let full = false;
    const store = memoryStore(() => full);
    const server = await serve({ store });
    const client = await join_(server.at);
    await client.set("a", "1");
    await client.set("b", "1");
    full = true;
    const errors: string[] = [];
    server.events.on("store:failed", ({ error }) => errors.push((error as StoreError).reason));
    const refused = failure(client.set("a", "2"));
    await client.delete("b");
    expect(await refused).toMatchObject({ code: "ERR_STORE", reason: "full" });
    expect([String(client.get("a")), client.has("b"), errors[0]]).toEqual(["1", false, "full"]);
    expect(server.stats().refused.store).toBeGreaterThan(0);
    full = false;
    // A slow machine repeats it: the sequence may be later.
    expect(await client.set("a", "3")).toBe(client.entry("a")?.revision);
    expect(String(server.get("a"))).toBe("3");
  });

  test("a server whose store could not be read can be bound once it can", async () => {
    let isAway = true;
    const load: CloneStore["load"] = async () => {
      if (isAway) throw new StoreError("failed", "away");
      return { sequence: 7, uuids: [], damaged: 0 };
    };
    const server = track(new CloneServer({ store: { ...memoryStore(() => false), load } }));
    expect(await failure(server.bind("tcp://127.0.0.1:*"))).toMatchObject({ code: "ERR_STORE" });
    isAway = false;
    await server.bind("tcp://127.0.0.1:*");
    expect(server.stats().sequence).toBe(7);
  });

  test("a damaged entry is left out, reported and counted", async () => {
    const directory = folder();
    let store = CloneLmdbStore.open(directory);
    const change = (key: string, sequence: number): Parameters<CloneStore["commit"]>[0][number] => ({
      key: Buffer.from(key),
      value: Buffer.from("v"),
      sequence,
      expires: 0,
    });
    await store.commit([change("a", 1), change("b", 2)], 2, [Buffer.alloc(16, 1), Buffer.alloc(16, 2)]);
    await store.close();
    const { openEnvironment } = await import("../../../src/store/lmdb.js");
    const environment = openEnvironment(directory);
    environment
      .openDB("map-0", { encoding: "binary", keyEncoding: "binary" })
      .put(Buffer.from("a"), Buffer.from("damaged, and long enough"));
    await environment.close();
    store = CloneLmdbStore.open(directory);
    const keys: string[] = [];
    const state = await store.load(({ key }) => keys.push(String(key)));
    await store.close();
    expect(keys).toEqual(["b"]);
    expect(state).toMatchObject({ sequence: 2, damaged: 1 });
    expect(state.uuids.length).toBe(2);
  });
});

/** Its commits end when the test says so. */
function gatedStore() {
  const { passed: committing, open: begin } = gate();
  const { passed: finished, open: finish } = gate();
  const commit = (): Promise<void> => {
    begin();
    return finished;
  };
  const store: CloneStore = { ...memoryStore(() => false), commit };
  return { store, committing, finish };
}

function memoryStore(isFull: () => boolean): CloneStore {
  return {
    name: "memory",
    load: async () => ({ sequence: 0, uuids: [], damaged: 0 }),
    commit: async (changes) => {
      if (isFull() && changes.some(({ value }) => value !== undefined))
        throw new StoreError("full", "no room");
    },
    mark: async () => undefined,
    replace: async () => ({ add: async () => undefined, finish: async () => undefined }),
    close: async () => undefined,
  };
}

test("time does not go back for a server or a client that was idle, so what ends in time does", async () => {
  const server = await serve();
  const client = await join_(server.at);
  await client.set("/e/a", "x", { ttl: 3 * HEARTBEAT });
  // Ten intervals without a set: the next one must not be taken for the end of a stop.
  await until(() => !client.has("/e/a"), "the first ends");
  for (let n = 0; n < 2_000; n++) server.set(`k${n}`, "v");
  const before = client.stats().silentFor;
  const durations: number[] = [];
  server.events.on("snapshot:sent", ({ duration }) => durations.push(duration));
  await join_(server.at);
  const started = performance.now();
  await client.set("/e/b", "x", { ttl: 3 * HEARTBEAT });
  await client.set("/e/later", "x", { ttl: 60_000 });
  await until(() => !client.has("/e/b"), "the second ends");
  expect(performance.now() - started).toBeGreaterThanOrEqual(2.9 * HEARTBEAT);
  expect(server.stats()).toMatchObject({ expired: 2, ephemeral: 1 });
  expect(before).toBeGreaterThanOrEqual(0);
  expect(durations).not.toEqual([]);
  for (const duration of durations) expect(duration).toBeGreaterThanOrEqual(0);
});
