import { connect, createServer } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { PatternEndpoints } from "../../src/kit/endpoint-list.js";
import {
  MemorySessionStore,
  SessionClient,
  type SessionClientOptions,
  type SessionMessage,
  type SessionNode,
  SessionServer,
  type SessionServerOptions,
} from "../../src/sessions/index.js";
import {
  type ClientMessage,
  decodeClientMessage,
  encodeServerMessage,
  type ServerMessage,
} from "../../src/sessions/protocol.js";
import { keys } from "../../src/sessions/records.js";
import { Context } from "../../src/sockets/context.js";
import { Router } from "../../src/sockets/request-reply.js";
import { StoreError } from "../../src/store/store.js";
import { hostTest, pause } from "../cluster/simulated.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";
import { listening } from "../support/listening.js";
import { freePort } from "../support/ports.js";
import { RawClient } from "./raw-client.js";
import { ScriptedStore } from "./scripted-store.js";

const open: { close(options: { linger: number }): Promise<unknown> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close({ linger: 0 })));
});

/** A test in virtual time. */
function it(name: string, body: () => Promise<void> | void): void {
  hostTest(name, async () => {
    await body();
    open.length = 0; // They end with their host.
  });
}

async function server(
  store: MemorySessionStore,
  options: Partial<SessionServerOptions> = {},
  endpoint = "tcp://127.0.0.1:0",
): Promise<{ server: SessionServer; endpoint: string }> {
  const made = new SessionServer({ store, pollInterval: 50, ...options });
  open.push(made);
  return { server: made, endpoint: await made.bind(endpoint) };
}

/** A client that gets what is published to "t". */
async function subscribed(...given: Parameters<typeof client>): Promise<SessionClient> {
  const made = client(...given);
  await made.subscribe("t");
  return made;
}

const throwing = (): never => {
  throw new Error("the node fails");
};

function client(endpoints: PatternEndpoints, options: SessionClientOptions): SessionClient {
  const made = new SessionClient(endpoints, options);
  open.push(made);
  return made;
}

const failing = (): never => {
  throw new Error("the store fails");
};

async function take(from: SessionClient, count: number): Promise<SessionMessage[]> {
  const messages: SessionMessage[] = [];
  while (messages.length < count) messages.push(await from.receive({ timeout: 5_000 }));
  return messages;
}

const TOO_LARGE = { code: "ERR_SESSION", reason: "too-large" };

const texts = (messages: readonly SessionMessage[]): string[] => messages.map(({ data }) => String(data));

describe("a session", () => {
  it("gets what is published to its filters, in order, each once", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const reader = client(endpoint, { id: "reader", maxUnacknowledged: 2_000 });
    const writer = client(endpoint, { id: "writer" });
    await reader.subscribe("orders/+/new", "orders/#");
    expect(await writer.publish("orders/7/new", "soup", { id: "m1" })).toEqual({
      sessions: 1,
      duplicate: false,
    });
    expect(await writer.publish("other", "x")).toEqual({ sessions: 0, duplicate: false });
    for (let i = 0; i < 1_000; i++) void writer.publish(`orders/${i % 3}`, String(i));
    const messages = await take(reader, 1_001);
    expect(messages[0]).toMatchObject({
      topic: "orders/7/new",
      publisher: "writer",
      id: "m1",
      redelivered: false,
    });
    expect(texts(messages.slice(1))).toEqual(Array.from({ length: 1_000 }, (_, i) => String(i)));
  });

  it("takes no more than its window, and the rest when that is acknowledged", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const reader = await subscribed(endpoint, { id: "reader", maxUnacknowledged: 10 });
    await Promise.all(Array.from({ length: 100 }, (_, i) => reader.publish("t", String(i))));
    const first = await take(reader, 10);
    await expect(reader.receive({ timeout: 150 })).rejects.toMatchObject({ code: "EAGAIN" });
    // In any order.
    for (const each of first.reverse()) each.acknowledge();
    const rest: SessionMessage[] = [];
    while (rest.length < 90) {
      const [message] = await take(reader, 1);
      message?.acknowledge();
      rest.push(message as SessionMessage);
    }
    expect(texts(rest)).toEqual(Array.from({ length: 90 }, (_, i) => String(i + 10)));
  });

  it("is there again at another server, with its filters, and with what was not acknowledged", async () => {
    const store = new MemorySessionStore();
    const [one, two] = [await server(store), await server(store)];
    const reader = await subscribed(one.endpoint, { id: "reader" });
    const writer = client(two.endpoint, { id: "writer" });
    for (const text of ["a", "b", "c"]) await writer.publish("t", text);
    const [a] = await take(reader, 3);
    a?.acknowledge();
    await reader.close();
    await writer.publish("t", "d");
    const again = client(two.endpoint, { id: "reader" });
    const messages = await take(again, 3);
    expect(texts(messages)).toEqual(["b", "c", "d"]);
    expect(messages.map(({ redelivered }) => redelivered)).toEqual([true, true, false]);
    expect(again.stats().connections).toBe(1);
  });

  it("is taken over by a later connection, and the one before is over with that reason", async () => {
    const store = new MemorySessionStore();
    const [one, two] = [await server(store), await server(store)];
    const first = await subscribed([one.endpoint, two.endpoint], { id: "reader" });
    const waiting = first.receive();
    const ended = new Promise((resolve) => first.events.once("session:ended", resolve));
    const second = client(two.endpoint, { id: "reader" });
    await second.ready();
    await expect(waiting).rejects.toMatchObject({ code: "ERR_SESSION", reason: "taken" });
    expect(await ended).toMatchObject({ reason: "taken" });
    await expect(first.publish("t", "x")).rejects.toMatchObject({ reason: "taken" });
    await second.publish("t", "mine");
    expect(texts(await take(second, 1))).toEqual(["mine"]);
  });

  it("is not taken back by a client that was away when another one opened it", async () => {
    const store = new MemorySessionStore();
    const [one, two] = [await server(store), await server(store)];
    const list = new ListedEndpoints([one.endpoint]);
    const first = await subscribed(list, { id: "reader" });
    await one.server.close({ linger: 0 });
    const second = client(two.endpoint, { id: "reader" });
    await second.ready();
    const ended = new Promise((resolve) => first.events.once("session:ended", resolve));
    list.set(two.endpoint);
    expect(await ended).toMatchObject({ reason: "taken" });
    await second.publish("t", "mine");
    expect(texts(await take(second, 1))).toEqual(["mine"]);
    expect(second.stats()).toMatchObject({ isOpen: true, connections: 1 });
  });

  it("goes on at another server when its own ends, and misses and repeats nothing", async () => {
    const store = new MemorySessionStore();
    const [one, two] = [await server(store), await server(store)];
    const reader = client([one.endpoint, two.endpoint], { id: "reader" });
    const writer = client([one.endpoint, two.endpoint], { id: "writer" });
    await reader.subscribe("t");
    const sent = Array.from({ length: 200 }, (_, i) => writer.publish("t", String(i)));
    const messages = await take(reader, 50);
    await one.server.close({ linger: 0 });
    messages.push(...(await take(reader, 150)));
    await Promise.all(sent);
    expect(texts(messages)).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
    await writer.publish("t", "after");
    expect(texts(await take(reader, 1))).toEqual(["after"]);
    expect(reader.endpoint).toBe(two.endpoint);
  });

  it("drops the oldest past its bounds, and reports how many", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const reader = await subscribed(endpoint, { id: "reader", maxQueue: 5 });
    await reader.close();
    const writer = client(endpoint, { id: "writer" });
    for (let i = 0; i < 12; i++) await writer.publish("t", String(i));
    const again = client(endpoint, { id: "reader", maxQueue: 5 });
    const dropped = new Promise((resolve) => again.events.once("messages:dropped", resolve));
    expect(texts(await take(again, 5))).toEqual(["7", "8", "9", "10", "11"]);
    expect(await dropped).toMatchObject({ count: 7, old: 0 });
    await again.close();
    const third = client(endpoint, { id: "reader", maxQueue: 5 });
    await third.ready();
    await take(third, 5);
    expect(third.stats().dropped).toBe(0);
  });

  it("refuses its publishers where it is to refuse, and nobody has the message then", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const strict = client(endpoint, { id: "strict", maxQueue: 1, drop: "refuse" });
    const other = client(endpoint, { id: "other" });
    await Promise.all([strict.subscribe("t"), other.subscribe("t")]);
    await other.publish("t", "1");
    await expect(other.publish("t", "2")).rejects.toMatchObject({ code: "ERR_SESSION", reason: "full" });
    for (const message of await take(strict, 1)) message.acknowledge();
    while (strict.stats().unacknowledged > 0) await new Promise((resolve) => setImmediate(resolve));
    for (;;) {
      const result = await other.publish("t", "3").catch(() => undefined);
      if (result !== undefined) break;
    }
    expect(texts(await take(other, 2))).toEqual(["1", "3"]);
  });

  it("leaves out messages that are too old", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const reader = await subscribed(endpoint, { id: "reader", maxAge: 60_000 });
    await reader.close();
    const writer = client(endpoint, { id: "writer" });
    await writer.publish("t", "old");
    await new Promise((resolve) => setTimeout(resolve, 60_001));
    await writer.publish("t", "new");
    const again = client(endpoint, { id: "reader", maxAge: 60_000 });
    const dropped = new Promise((resolve) => again.events.once("messages:dropped", resolve));
    expect(texts(await take(again, 1))).toEqual(["new"]);
    expect(await dropped).toMatchObject({ count: 1, old: 1 });
  });

  for (const drop of ["newest", "refuse"] as const)
    it(`has room for a message where the kept ones are too old, with the policy ${drop}, too`, async () => {
      const { endpoint } = await server(new MemorySessionStore());
      const bounds = { maxQueue: 2, maxAge: 60_000, drop };
      const reader = await subscribed(endpoint, { id: "reader", ...bounds });
      await reader.close();
      const other = await subscribed(endpoint, { id: "other", ...bounds });
      await other.publish("t", "1");
      await other.publish("t", "2");
      await new Promise((resolve) => setTimeout(resolve, 60_001));
      // The session "other" has the room of its own old messages, also where "reader" is full again.
      for (const text of ["3", "4"]) expect(await other.publish("t", text)).toMatchObject({ sessions: 2 });
      const further = other.publish("t", "5");
      if (drop === "refuse") await expect(further).rejects.toMatchObject({ reason: "full" });
      else expect(await further).toMatchObject({ sessions: 0 });
      const again = client(endpoint, { id: "reader", ...bounds });
      const dropped = new Promise((resolve) => again.events.once("messages:dropped", resolve));
      expect(texts(await take(again, 2))).toEqual(["3", "4"]);
      expect(await dropped).toMatchObject({ old: 2 });
    });

  it("is removed when its time is over, by its client, and by an operator", async () => {
    const store = new MemorySessionStore();
    const { server: one, endpoint } = await server(store);
    const brief = await subscribed(endpoint, { id: "brief", expiry: 0 });
    await brief.publish("t", "x");
    const removed = new Promise((resolve) => one.events.once("session:closed", resolve));
    await brief.close();
    await removed;
    expect(await one.sessions()).toEqual([]);

    const ending = await subscribed(endpoint, { id: "ending" });
    await ending.end();
    expect(await one.sessions()).toEqual([]);

    const kept = await subscribed(endpoint, { id: "kept" });
    expect(await one.sessions()).toMatchObject([{ id: "kept", isConnected: true, isHere: true, filters: 1 }]);
    const over = kept.receive();
    await one.remove("kept");
    await expect(over).rejects.toMatchObject({ reason: "gone" });
    for (const id of ["kept", "a/b"]) await expect(one.remove(id)).rejects.toMatchObject({ reason: "gone" });

    const short = await subscribed(endpoint, { id: "short", expiry: 50 });
    await short.publish("t", "x");
    await short.close();
    const expired = await new Promise((resolve) => {
      one.events.on("session:removed", (event) => event.reason === "expired" && resolve(event.id));
    });
    expect(expired).toBe("short");
    // Its messages go with it.
    const left = async (): Promise<number> =>
      (await store.scan({ from: "f/", to: "s", limit: 100, maxBytes: 10_000 })).filter(
        ({ key }) => !key.startsWith("n/"),
      ).length;
    while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it("ends its client at once when an operator removes it, however seldom the server polls", async () => {
    const { server: one, endpoint } = await server(new MemorySessionStore(), { pollInterval: 60_000 });
    const reader = await subscribed(endpoint, { id: "reader" });
    const ended = new Promise((resolve) => reader.events.once("session:ended", resolve));
    await one.remove("reader");
    expect(await Promise.race([ended, pause(1_000)])).toMatchObject({ reason: "gone" });
  });

  it("is reported as removed when a client begins clean, and not where there was none", async () => {
    const { server: one, endpoint } = await server(new MemorySessionStore());
    const events: string[] = [];
    for (const type of ["session:removed", "session:opened"] as const)
      one.events.on(type, (event) => void events.push(`${event.type} ${event.id}`));
    await subscribed(endpoint, { id: "reader", clean: true });
    await subscribed(endpoint, { id: "reader", clean: true });
    expect(events).toEqual(["session:opened reader", "session:removed reader", "session:opened reader"]);
  });

  for (const how of ["closes", "is gone"])
    it(`without a lifetime is reported as removed when its client ${how}`, async () => {
      const { server: one, endpoint } = await server(new MemorySessionStore());
      const removed = new Promise((resolve) => one.events.once("session:removed", resolve));
      const short = client(endpoint, { id: "short", expiry: 0 });
      await short.ready();
      await short.close({ linger: how === "closes" ? 1_000 : 0 });
      expect(await removed).toEqual({ type: "session:removed", id: "short", reason: "expired" });
      expect(await one.sessions()).toEqual([]);
    });

  it("is removed by the next server where the one that was asked cannot, and kept with an error where none can", async () => {
    const store = new ScriptedStore();
    const { server: one, endpoint } = await server(store);
    const ending = await subscribed(endpoint, { id: "ending" });
    store.result = failing;
    let failures = 0;
    one.events.once("store:failed", () => {
      failures += 1;
      store.result = () => undefined;
    });
    await ending.end();
    expect(failures).toBe(1);
    expect(await one.sessions()).toEqual([]);

    const kept = await subscribed(endpoint, { id: "kept" });
    store.result = failing;
    await expect(kept.end({ timeout: 200 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
    store.result = () => undefined;
    expect(await one.sessions()).toMatchObject([{ id: "kept", filters: 1 }]);

    // Not connected when it is to be removed.
    const { server: two, endpoint: other } = await server(store);
    const moved = client([endpoint, other], { id: "kept" });
    await moved.ready();
    const lost = new Promise((resolve) => moved.events.once("session:lost", resolve));
    await one.close();
    await lost;
    await moved.end();
    expect(await two.sessions()).toEqual([]);

    const alone = await subscribed(other, { id: "alone" });
    const left = new Promise((resolve) => alone.events.once("session:lost", resolve));
    await two.close();
    await left;
    await expect(alone.end({ timeout: 100 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
  });

  it("is not removed by a client that has lost it to another one, or that closes", async () => {
    const store = new ScriptedStore();
    const { server: one, endpoint } = await server(store);
    const first = await subscribed(endpoint, { id: "reader" });
    const ended = new Promise((resolve) => first.events.once("session:ended", resolve));
    const second = client(endpoint, { id: "reader" });
    await ended;
    await expect(first.end()).rejects.toMatchObject({ code: "ERR_SESSION", reason: "taken" });
    expect(await one.sessions()).toMatchObject([{ id: "reader", isConnected: true, filters: 1 }]);

    await second.ready();
    store.result = failing;
    const failed = new Promise((resolve) => one.events.once("store:failed", resolve));
    const ending = second.end().catch(({ code }: { code: string }) => code);
    await failed;
    await second.close();
    expect(await ending).toBe("EAGAIN");
    store.result = () => undefined;
    expect(await one.sessions()).toMatchObject([{ id: "reader", filters: 1 }]);
  });

  it("has no more filters of pending subscriptions in memory than `maxPendingBytes`", async () => {
    const store = new ScriptedStore();
    const { server: one, endpoint } = await server(store, { maxPendingBytes: 100_000 });
    const greedy = new RawClient(endpoint);
    open.push(greedy);
    await greedy.open("greedy");
    expect(await greedy.answer()).toMatchObject({ kind: "opened" });
    store.result = () => new Promise(() => undefined);
    const filters = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(1_000, "x"));
    const subscribe = (request: number): Promise<void> =>
      greedy.send({ kind: "subscribe", request, filters });
    // The first is in a commit, and the second waits.
    for (const request of [1, 2]) {
      await subscribe(request);
      await pause(100);
    }
    for (let request = 3; request < 20; request++) await subscribe(request);
    await pause(1_000);
    expect(one.stats().pending).toBe(1);
  });

  it("whose record is damaged stops a publication to it, which the server reports", async () => {
    const store = new MemorySessionStore();
    const { server: one, endpoint } = await server(store);
    const failed = new Promise((resolve) => one.events.once("store:failed", ({ error }) => resolve(error)));
    await subscribed(endpoint, { id: "reader" });
    const other = client(endpoint, { id: "other" });
    await other.ready();
    await store.commit([], [{ key: keys.session("reader"), value: Buffer.from("junk") }]);
    await expect(other.publish("t", "x", { timeout: 1_000 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
    expect(await failed).toMatchObject({ code: "ERR_STORE", reason: "damaged" });
  });

  it("whose record is damaged keeps no other one from being removed when it expires", async () => {
    const store = new MemorySessionStore();
    const { server: one, endpoint } = await server(store);
    const removed = new Promise((resolve) => one.events.once("session:removed", resolve));
    for (const id of ["broken", "short"]) {
      const made = client(endpoint, { id, expiry: 100 });
      await made.ready();
      if (id === "broken") await store.commit([], [{ key: keys.session(id), value: Buffer.from("junk") }]);
      await made.close();
    }
    expect(await removed).toEqual({ type: "session:removed", id: "short", reason: "expired" });
  });

  it("whose record is damaged ends, and the others of its server go on", async () => {
    const store = new MemorySessionStore();
    const { server: one, endpoint } = await server(store, { serverTimeout: 1_000 });
    const { endpoint: two } = await server(store, { serverTimeout: 1_000 });
    const broken = client(endpoint, { id: "broken" });
    await broken.ready();
    const lost = new Promise((resolve) => broken.events.once("session:lost", resolve));
    const failed = new Promise((resolve) => one.events.once("store:failed", ({ error }) => resolve(error)));
    const reader = await subscribed(endpoint, { id: "reader" });
    await store.commit([], [{ key: keys.session("broken"), value: Buffer.from("junk") }]);
    expect(await failed).toMatchObject({ reason: "damaged" });
    await lost;
    await client(two, { id: "writer" }).publish("t", "found by the poll");
    expect(texts(await take(reader, 1))).toEqual(["found by the poll"]);
    await broken.close();
    const readerLost = new Promise((resolve) => reader.events.once("session:lost", () => resolve("lost")));
    expect(await Promise.race([readerLost, pause(5_000)])).toBeUndefined();
  });

  it("closes within its linger, with a publication that its server does not answer", async () => {
    const store = new ScriptedStore();
    const { endpoint } = await server(store);
    const writer = client(endpoint, { id: "writer" });
    await writer.ready();
    store.result = () => new Promise(() => undefined);
    const published = writer.publish("t", "x").catch(({ code }: { code: string }) => code);
    const begun = performance.now();
    await writer.close({ linger: 500 });
    expect(performance.now() - begun).toBeLessThan(750);
    expect(await published).toBe("EAGAIN");
  });

  it("closes within its linger, with a publication that the next server answers", async () => {
    const store = new ScriptedStore();
    const { server: one, endpoint } = await server(store);
    const writer = client(endpoint, { id: "writer" });
    await writer.ready();
    const lost = new Promise((resolve) => writer.events.once("session:lost", resolve));
    await one.close();
    await lost;
    const published = writer.publish("t", "x");
    const closed = writer.close({ linger: 20_000 });
    await pause(100);
    const { server: two } = await server(store, {}, endpoint);
    expect(await published).toEqual({ sessions: 0, duplicate: false });
    await closed;
    expect(two.stats().connections).toBe(0);

    const alone = client(endpoint, { id: "alone" });
    await alone.ready();
    await two.close();
    const refused = expect(alone.publish("t", "x")).rejects.toMatchObject({ code: "EAGAIN" });
    const begun = performance.now();
    await alone.close({ linger: 500 });
    expect(performance.now() - begun).toBeLessThan(750);
    await refused;
  });

  it("refuses what its store has no room for, with that reason, and goes on", async () => {
    const store = new ScriptedStore();
    const { server: one, endpoint } = await server(store);
    const reader = await subscribed(endpoint, { id: "reader" });
    const writer = client(endpoint, { id: "writer" });
    await writer.publish("t", "before");
    let failures = 0;
    one.events.on("store:failed", () => {
      failures += 1;
    });
    store.result = async (_, writes) => {
      const values = await store.read(writes.map(({ key }) => key));
      const isNew = writes.some(({ value }, i) => value !== undefined && values[i] === undefined);
      if (isNew) throw new StoreError("full", "no room on /the/disk");
      return undefined;
    };
    const full = { code: "ERR_SESSION", reason: "full", message: "The store of the sessions has no room." };
    const refused = await Promise.allSettled(
      Array.from({ length: 100 }, (_, i) => writer.publish("t", `refused ${i}`)),
    );
    for (const each of refused) expect(each).toMatchObject({ status: "rejected", reason: full });
    await expect(writer.subscribe("u")).rejects.toMatchObject(full);
    expect(failures).toBe(101);
    // It writes nothing new.
    (await reader.receive()).acknowledge();
    const newcomer = client(endpoint, { id: "newcomer" });
    const lost = await new Promise((resolve) => newcomer.events.once("session:lost", resolve));
    expect(lost).toMatchObject({ reason: full.message });
    store.result = () => undefined;
    expect(await writer.publish("t", "after")).toEqual({ sessions: 1, duplicate: false });
    expect(texts(await take(reader, 1))).toEqual(["after"]);
    expect(writer.stats().connections).toBe(1);
    await newcomer.ready();
  });

  it("has the reason of the last connection's end in the error of a call that nobody answered", async () => {
    const store = new ScriptedStore();
    const { endpoint } = await server(store);
    const writer = client(endpoint, { id: "writer", reconnectInterval: 20, timeout: 300 });
    await writer.ready();
    let tries = 0;
    store.result = () => {
      tries += 1;
      return failing();
    };
    const failure = await writer.publish("t", "x").catch((error: Error) => error);
    expect(failure).toMatchObject({ code: "ETIMEDOUT", endpoint });
    expect((failure as Error).message).toContain("the last connection ended: unavailable");
    // Not at once each time.
    expect(tries).toBeLessThan(40);
  });

  test("gets a message that takes longer on its way than a client stands silence at first", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    let stood = 0;
    // A link that loses the first publication, and takes four times as long for the next as the client waited then.
    const link = createServer((near) => {
      const far = connect(Number(endpoint.split(":").pop()), "127.0.0.1");
      for (const end of [near, far]) end.on("error", () => undefined);
      near.on("close", () => far.destroy());
      far.pipe(near);
      near.on("data", (bytes) => {
        if (bytes.length < 1_000) {
          far.write(bytes);
          return;
        }
        near.removeAllListeners("data");
        const begun = performance.now();
        if (stood > 0) setTimeout(() => void (far.write(bytes) && near.pipe(far)), 4 * stood);
        else
          near.once("close", () => {
            stood = performance.now() - begun;
          });
      });
    });
    const publisher = await subscribed(`tcp://127.0.0.1:${await listening(link)}`, {
      id: "publisher",
      heartbeatInterval: 20,
      heartbeatTimeout: 50,
    });
    await publisher.publish("t", Buffer.alloc(2_000));
    expect(stood).toBeGreaterThan(0);
    expect((await take(publisher, 1))[0]?.data).toHaveLength(2_000);
  });

  it("is opened by those alone whom the server lets in, and not where its function throws, also what has no form as a text", async () => {
    const { endpoint } = await server(new MemorySessionStore(), {
      authorize: ({ id, token }) => {
        if (token === "thrown") throw Object.create(null);
        return Promise.resolve(token === `secret of ${id}`);
      },
    });
    for (const token of ["secret of bob", "thrown"]) {
      const wrong = client(endpoint, { id: "ana", token });
      await expect(wrong.ready()).rejects.toMatchObject({ code: "ERR_SESSION", reason: "refused" });
    }
    const right = client(endpoint, { id: "ana", token: "secret of ana" });
    await right.ready({ timeout: 5_000 });
  });

  it("is not removed by a client whose server does not know yet that another one has it", async () => {
    const store = new MemorySessionStore();
    const { server: one, endpoint } = await server(store, { pollInterval: 60_000 });
    const { endpoint: other } = await server(store, { pollInterval: 60_000 });
    const first = await subscribed(endpoint, { id: "reader" });
    await client(other, { id: "reader" }).ready();
    await expect(first.end()).rejects.toMatchObject({ code: "ERR_SESSION", reason: "taken" });
    expect(await one.sessions()).toMatchObject([{ id: "reader", isConnected: true, filters: 1 }]);
  });

  it("stays, as its client does, after calls with an invalid option or without filters", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const kept = client(endpoint, { id: "kept" });
    await kept.ready();
    for (const timeout of [Number.NaN, -2, "5"])
      await expect(kept.end({ timeout } as never)).rejects.toMatchObject({ code: "EINVAL" });
    expect(kept.closed).toBe(false);
    await expect(kept.publish("t", "x", { id: "i".repeat(129) })).rejects.toMatchObject({ code: "EINVAL" });
    await kept.subscribe(); // Nothing, which no server would take.
    await kept.subscribe("t");
    expect(kept.stats().connections).toBe(1);
  });

  test.each([
    ["store", {}],
    ["store", new Date()],
    ["node", {}],
    ["node", { publish: () => undefined }],
  ])("has no server with a %s that lacks its methods", (name, value) => {
    expect(() => new SessionServer({ store: new MemorySessionStore(), [name]: value } as never)).toThrow(
      expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(`Option ${name} of`) }),
    );
  });

  test.each([
    undefined,
    5,
    Object.create(null),
  ])("is not removed by an id that is no text: %j", async (id) => {
    const { server: made } = await server(new MemorySessionStore());
    await expect(made.remove(id as never)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(made.remove("unknown")).rejects.toMatchObject({ code: "ERR_SESSION", reason: "gone" });
  });

  it("goes on after a message or a list of filters that its server would not take", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const one = client(endpoint, { id: "one" });
    const filters = Array.from({ length: 1_001 }, (_, at) => `t/${at}`);
    await one.subscribe(...filters.slice(1));
    for (const refused of [one.subscribe(...filters), one.unsubscribe(...filters)])
      await expect(refused).rejects.toMatchObject({
        code: "EINVAL",
        message: expect.stringContaining("must have at most"),
      });
    const most = 67_108_864 - 135 - "t/1".length;
    await expect(one.publish("t/1", Buffer.alloc(most + 1))).rejects.toMatchObject(TOO_LARGE);
    await one.publish("t/1", Buffer.alloc(most));
    expect((await one.receive({ timeout: 10_000 })).data).toHaveLength(most);
    expect(one.stats()).toMatchObject({ connections: 1, publishing: 0 });
  });

  test.each([
    ["the `maxMessageSize` of its server", { maxMessageSize: 1_000 }, () => ({})],
    [
      "the context of its client's socket sends",
      {},
      () => ({ context: new Context({ maxMessageSize: 1_000 }) }),
    ],
  ])("goes on after a message or filters larger than %s", async (_, ofServer, ofClient) => {
    const { endpoint } = await server(new MemorySessionStore(), { socketOptions: ofServer });
    const one = client(endpoint, { id: "one", socketOptions: ofClient() });
    for (const topic of ["before the session is open", "after"]) {
      const [subscribed, before, tooLarge, filters, after] = await Promise.allSettled([
        one.subscribe(topic),
        one.publish(topic, "before"),
        one.publish(topic, Buffer.alloc(1_000)),
        one.subscribe("u".repeat(1_000)),
        one.publish(topic, "after"),
      ]);
      expect(subscribed).toMatchObject({ status: "fulfilled" });
      for (const each of [tooLarge, filters])
        expect(each).toMatchObject({ status: "rejected", reason: TOO_LARGE });
      for (const each of [before, after])
        expect(each).toMatchObject({ status: "fulfilled", value: { sessions: 1, duplicate: false } });
      expect(texts(await take(one, 2))).toEqual(["before", "after"]);
    }
    expect(one.stats()).toMatchObject({ connections: 1, publishing: 0 });
  });

  it("made again has all filters of its client, in as many messages as its server needs", async () => {
    const store = new MemorySessionStore();
    const options = { socketOptions: { maxMessageSize: 1_000 } };
    const { server: one, endpoint } = await server(store, options);
    const { endpoint: other } = await server(store, options);
    const reader = client([endpoint, other], { id: "reader", expiry: 0 });
    const filters = Array.from({ length: 10 }, (_, at) => `${at}`.padEnd(400, "x"));
    for (const filter of filters) await reader.subscribe(filter);
    const again = new Promise((resolve) => {
      reader.events.on("session:opened", resolve);
    });
    await one.close();
    expect(await again).toMatchObject({ isPresent: false });
    const writer = client(other, { id: "writer" });
    for (const topic of filters) {
      const isKept = async (): Promise<boolean> => (await writer.publish(topic, topic)).sessions > 0;
      while (!(await isKept())) await pause(20);
      expect(texts(await take(reader, 1))).toEqual([topic]);
    }
    expect(reader.stats().connections).toBe(2);
  });

  it("ends a client whose socket refuses a kept message, and keeps the message", async () => {
    const { endpoint } = await server(new MemorySessionStore());
    const one = await subscribed(endpoint, { id: "one", socketOptions: { maxMessageSize: 1_000 } });
    const received = one.receive();
    await client(endpoint, { id: "two" }).publish("t", Buffer.alloc(1_000, "x"));
    await expect(received).rejects.toMatchObject(TOO_LARGE);
    expect(one.stats()).toMatchObject({ connections: 1 });
    const [kept] = await take(client(endpoint, { id: "one" }), 1);
    expect(kept?.data).toHaveLength(1_000);
  });

  test.each([
    ["must have no routingId", { socketOptions: { routingId: "a" } }],
    ["must have at most 512 bytes", { token: "t".repeat(513) }],
  ])("has no client with an option that %s", (message, options) => {
    expect(() => new SessionClient("tcp://127.0.0.1:1", { id: "a", ...options })).toThrow(
      expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(message) }),
    );
  });

  it("leaves no sign of life of a server that closes while it polls", async () => {
    let [isHeld, goOn] = [false, (): void => undefined];
    class HeldStore extends MemorySessionStore {
      override async read(names: readonly string[]): ReturnType<MemorySessionStore["read"]> {
        const values = await super.read(names);
        if (names.length === 1 && names[0] === "s/reader" && !isHeld)
          await new Promise<void>((resolve) => {
            [isHeld, goOn] = [true, resolve];
          });
        return values;
      }

      override async commit(...commit: Parameters<MemorySessionStore["commit"]>): Promise<boolean> {
        if (commit[1].some(({ key, value }) => key.startsWith("n/") && value === undefined)) {
          goOn();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return super.commit(...commit);
      }
    }
    const store = new HeldStore();
    isHeld = true;
    const { server: made, endpoint } = await server(store);
    await client(endpoint, { id: "reader" }).subscribe("t");
    isHeld = false;
    await vi.waitFor(() => expect(isHeld).toBe(true));
    await made.close();
    const left = await store.scan({ from: "n/", to: "n0", limit: 10, maxBytes: 1_000 });
    expect(left).toEqual([]);
  });

  test.each<[string, Partial<SessionNode>]>([
    ["throws when it publishes", { publish: throwing }],
    ["publishes without a promise", { publish: (() => undefined) as never }],
    ["does not end a subscription", { subscribe: () => ({ close: throwing }) }],
    ["does not withdraw an endpoint", { advertise: () => throwing }],
  ])("closes its port after its node %s, and loses nothing", async (_, odd) => {
    const store = new MemorySessionStore();
    const node = {
      publish: async () => 0,
      subscribe: () => ({ close() {} }),
      advertise: () => () => {},
      ...odd,
    };
    const [one, two] = [await server(store, { node }), await server(store, { node })];
    open.length = 0; // Its close may reject.
    const [a, b] = [client(one.endpoint, { id: "a" }), client(two.endpoint, { id: "b" })];
    await a.subscribe("t");
    await b.publish("t", "soup");
    expect(texts(await take(a, 1))).toEqual(["soup"]);
    const closed = await Promise.allSettled([one, two].map((each) => each.server.close({ linger: 0 })));
    for (const each of closed)
      if (each.status === "rejected") expect(each.reason).toMatchObject({ message: "the node fails" });
    await (await server(new MemorySessionStore(), {}, one.endpoint)).server.close();
  });

  test("frees the port that its node does not advertise, and binds once its node can", async () => {
    for (const odd of ["subscribe", "advertise"]) {
      let fails = true;
      const check = (call: string): void => {
        if (fails && call === odd) throwing();
      };
      const node: SessionNode = {
        publish: async () => 0,
        subscribe: () => {
          check("subscribe");
          return { close() {} };
        },
        advertise: () => {
          check("advertise");
          return () => {};
        },
      };
      const made = new SessionServer({ store: new MemorySessionStore(), node });
      open.push(made);
      const endpoint = `tcp://127.0.0.1:${await freePort()}`;
      await expect(made.bind(endpoint)).rejects.toThrow("the node fails");
      expect(made.endpoints).toEqual([]);
      fails = false;
      expect(await made.bind(endpoint)).toBe(endpoint);
    }
  });

  it("leaves no endpoint advertised by a server that closes while it binds", async () => {
    const advertised = new Set<string>();
    const made = new SessionServer({
      store: new MemorySessionStore(),
      node: {
        publish: () => Promise.resolve(0),
        subscribe: () => ({ close: () => undefined }),
        advertise: (_, endpoint) => {
          advertised.add(endpoint);
          return () => advertised.delete(endpoint);
        },
      },
    });
    open.push(made);
    await made.bind("tcp://127.0.0.1:0");
    const second = made.bind("tcp://127.0.0.1:0").catch(({ code }: { code: string }) => code);
    await made.close();
    expect(await second).toBe("EBADF");
    expect([...advertised]).toEqual([]);
  });

  it("is opened again after an end with other messages behind it", async () => {
    const router = new Router();
    open.push({ close: async (options) => void (await router.close(options)) });
    const made = client(await router.bind("tcp://127.0.0.1:0"), { id: "reader", heartbeatInterval: 1 });
    let peer: Buffer = Buffer.alloc(0);
    const next = async (): Promise<ClientMessage> => {
      const [from, ...frames] = (await router.receive({ timeout: 10_000 })) as [Buffer, ...Buffer[]];
      peer = from;
      return decodeClientMessage(frames);
    };
    const send = (message: ServerMessage): Promise<void> =>
      router.send([peer, ...encodeServerMessage(message)]);
    const opened = async (): Promise<void> => {
      expect(await next()).toMatchObject({ kind: "open" });
      const rest = { isPresent: true, isContinued: true, published: 0, count: 0, maxMessage: -1, life: "l" };
      await send({ kind: "opened", ...rest });
    };
    await opened();
    // Until the connection has lasted longer than the client's timer.
    for (let number = 1; number <= 20; number++) {
      const published = made.publish("t", "x");
      await next();
      await send({ kind: "published", number, isDuplicate: false, sessions: 0 });
      await published;
    }
    void send({ kind: "ended", reason: "stopping", text: "" });
    void send({ kind: "done", request: 9 });
    await opened();
  });
});
