import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Addresses } from "../../../src/cluster/messaging/addresses.js";
import { MAX_TOPIC_IDS } from "../../../src/cluster/messaging/bounds.js";
import {
  ALIAS,
  DEFINE,
  encodeDirect,
  encodeName,
  encodePublish,
  RETAIN,
} from "../../../src/cluster/messaging/items.js";
import type { ClusterMessage } from "../../../src/cluster/messaging/message.js";
import type { MessageClient } from "../../../src/cluster/messaging/messaging.js";
import { MessageKind } from "../../../src/cluster/messaging/parts.js";
import {
  encodeAsk,
  encodeValue,
  RetainedItem,
  RetainedValues,
} from "../../../src/cluster/messaging/retained.js";
import { InvalidStateError, TimeoutError } from "../../../src/core/errors.js";
import { gate } from "../../support/gate.js";
import fc from "../../support/properties.js";
import { type FakeNode, FakeWorld } from "./messaging-world.js";

let world: FakeWorld;
beforeEach(() => {
  world = new FakeWorld();
});
afterEach(() => world.close());

/** Retained values have stamps of the wall clock: what any node publishes after this has a later one. */
async function nextMillisecond(): Promise<void> {
  const before = Date.now();
  while (Date.now() <= before) await new Promise((resolve) => setImmediate(resolve));
}

/** A line as the seed prints it: data, sender, topic, subtopic. */
type Line = readonly [string, string, number, number];

/** The three programs of the example: `ping` by topic or to all nodes, `pong` to the sender. */
function example(pingTo: "topic" | "nodes"): { nodes: FakeNode[]; lines: Line[][] } {
  const nodes = ["a", "b", "c"].map((name) => world.node(name));
  const lines = nodes.map(({ messaging }) => {
    const printed: Line[] = [];
    const { self } = messaging;
    messaging.createTopic("ping", 2, false);
    messaging.createTopic("ping", 3, true);
    messaging.createTopic("pong", 4, true);
    const print = ({ data, sender, topicId, subtopicId }: ClusterMessage): void => {
      printed.push([String(data), sender.id === 1 ? "self" : "alias", topicId, subtopicId]);
    };
    const onPing = (message: ClusterMessage): void => {
      print(message);
      void self.sendTo(message.sender, "I am good, thanks!", { subtopic: "pong" });
    };
    if (pingTo === "topic") self.subscribe("ping", onPing);
    else self.subscribe("self", { subtopic: "ping" }, onPing);
    self.subscribe("self", { subtopic: "pong" }, print);
    return printed;
  });
  return { nodes, lines };
}

describe("the example of server-to-server communication", () => {
  test("with itself: a ping by topic reaches three nodes, and three pongs come back to the sender", async () => {
    const { nodes, lines } = example("topic");
    expect(await nodes[0]?.messaging.self.publish(2, "How are you?")).toBe(3);
    await world.settle();
    expect(lines[0]?.toSorted()).toEqual([
      ["How are you?", "self", 2, 0],
      ["I am good, thanks!", "alias", 1, 4],
      ["I am good, thanks!", "alias", 1, 4],
      ["I am good, thanks!", "self", 1, 4],
    ]);
    expect(lines[1]).toEqual([["How are you?", "alias", 2, 0]]);
  });

  test("without itself: a ping to the own client of every other node", async () => {
    const { nodes, lines } = example("nodes");
    expect(await nodes[0]?.messaging.self.sendToNodes("How are you?", { subtopic: 3 })).toBe(2);
    await world.settle();
    expect(lines[0]).toEqual([
      ["I am good, thanks!", "alias", 1, 4],
      ["I am good, thanks!", "alias", 1, 4],
    ]);
    expect(lines[1]).toEqual([["How are you?", "alias", 1, 3]]);
    expect(lines[2]).toEqual([["How are you?", "alias", 1, 3]]);
  });
});

describe("topics", () => {
  test("a message crosses to each interested node once, and to no other one", async () => {
    const [a, b, c, d] = nodes(4);
    const got = collect(b.messaging.self, "t/+/x", "t/+/y");
    collect(c.messaging.self, "t/#");
    collect(d.messaging.self, "other");
    b.messaging.self.subscribe("t/#", () => undefined);
    expect(await a.messaging.self.publish("t/a/x", "1")).toBe(2);
    await world.settle();
    expect(got).toEqual(["t/a/x 1"]);
    expect(a.links.sent).toBe(2);
    expect(d.messaging.stats().received).toBe(0);
  });

  test("wildcards and empty topics in a publish are refused, and nothing is sent", async () => {
    const [a, b] = nodes(2);
    b.messaging.self.subscribe("#", () => undefined);
    for (const topic of ["", "a/+", "#", "a\0b", "\ud800", "x".repeat(65_536), "/".repeat(128)])
      await expect(a.messaging.self.publish(topic, "x")).rejects.toMatchObject({ code: "EINVAL" });
    await expect(a.messaging.self.publish(77, "x")).rejects.toMatchObject({ code: "EINVAL" });
    await expect(a.messaging.self.publish("t", 5 as never)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(a.messaging.self.publish("t", "x", { retian: true } as never)).rejects.toMatchObject({
      code: "EINVAL",
    });
    expect(() => a.messaging.self.subscribe("a/#/b")).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(a.links.sent).toBe(0);
  });

  test("of subscriptions of a client that overlap the first gets a message, and each that asks for it", async () => {
    const [a, b] = nodes(2);
    const { self } = b.messaging;
    const [first, second, third] = [collect(self, "t/#"), collect(self, "t/x"), [] as string[]];
    self.subscribe("+/x", { each: true }, ({ data }) => void third.push(String(data)));
    const other = collect(b.messaging.createClient(), "t/x");
    await a.messaging.self.publish("t/x", "1");
    await b.messaging.self.publish("t/x", "2");
    await world.settle();
    expect(first.toSorted()).toEqual(["t/x 1", "t/x 2"]);
    expect(second).toEqual([]);
    expect(third.toSorted()).toEqual(["1", "2"]);
    expect(other.toSorted()).toEqual(["t/x 1", "t/x 2"]);
  });

  test("self: false leaves this node out, whose interest counts otherwise", async () => {
    const [a, b] = nodes(2);
    const [mine, theirs] = [collect(a.messaging.self, "t"), collect(b.messaging.self, "t")];
    expect(await a.messaging.self.publish("t", "1", { self: false })).toBe(1);
    expect(await a.messaging.self.publish("t", "2")).toBe(2);
    await world.settle();
    expect([mine, theirs]).toEqual([["t 2"], ["t 1", "t 2"]]);
  });

  test("a handler that publishes is called after the handlers of the message before", async () => {
    const [a] = nodes(1);
    const { self } = a.messaging;
    const seen: string[] = [];
    self.subscribe("t", ({ data }) => {
      seen.push(`first ${data}`);
      if (String(data) === "1") void self.publish("t", "2");
    });
    a.messaging.createClient().subscribe("t", ({ data }) => void seen.push(`second ${data}`));
    await self.publish("t", "1");
    await world.settle();
    expect(seen).toEqual(["first 1", "second 1", "first 2", "second 2"]);
  });

  test("a handler is not called before publish has returned", async () => {
    const [a] = nodes(1);
    const got = collect(a.messaging.self, "t");
    const published = a.messaging.self.publish("t", "1");
    expect(got).toEqual([]);
    await published;
    await world.settle();
    expect(got).toEqual(["t 1"]);
  });

  test("messages of one turn are apart, though small ones share memory on their way", async () => {
    const [a, b] = nodes(2);
    const got = collect(b.messaging.self, "t/#");
    const large = "y".repeat(20_000);
    for (const data of ["one", "two", "x".repeat(2_000), large, "six"])
      await a.messaging.self.publish("t/1", data);
    await world.settle();
    expect(got).toEqual(["one", "two", "x".repeat(2_000), large, "six"].map((data) => `t/1 ${data}`));
  });

  test("data that the program changes afterwards arrive as they were", async () => {
    const [a, b] = nodes(2);
    const got = [...[a, b].map((each) => collect(each.messaging.self, "t"))];
    const data = Buffer.from("before");
    await a.messaging.self.publish("t", data);
    data.fill("x");
    await world.settle();
    expect(got).toEqual([["t before"], ["t before"]]);
  });

  test("a subscription whose ready was rejected stands, and the next one with its filter is ready when all know it", async () => {
    const [a] = nodes(1);
    const late = new TimeoutError("ETIMEDOUT", "late");
    vi.spyOn(a.routes, "subscribe").mockRejectedValueOnce(late);
    const first = a.messaging.self.subscribe("t", () => undefined);
    await expect(first.ready).rejects.toBe(late);
    const client = a.messaging.createClient();
    await client.subscribe("t", () => undefined).ready;
    expect(first.closed).toBe(false);
  });

  test("subtopics: a subscription with one gets those alone, by name or number", async () => {
    const [a, b] = nodes(2);
    const seen: string[] = [];
    b.messaging.createTopic("pong", 4, true);
    b.messaging.self.subscribe(
      "t",
      { subtopic: 4 },
      ({ data, subtopic }) => void seen.push(`${subtopic} ${data}`),
    );
    await a.messaging.self.publish("t", "1", { subtopic: "pong" });
    await a.messaging.self.publish("t", "2", { subtopic: "ping" });
    await a.messaging.self.publish("t", "3");
    await world.settle();
    expect(seen).toEqual(["pong 1"]);
  });

  test("a number that nobody gave is made when the program asks for it, and not before", async () => {
    const [a, b] = nodes(2);
    const numbers: number[] = [];
    b.messaging.self.subscribe("t/#", (message) => {
      if (message.topic === "t/1") numbers.push(message.topicId, message.topicId);
    });
    world.mark = MAX_TOPIC_IDS;
    for (let i = 0; i < MAX_TOPIC_IDS; i++) await a.messaging.self.publish(`t/${i}`, "x");
    await vi.waitFor(() => expect(b.messaging.stats().received).toBe(MAX_TOPIC_IDS));
    expect(numbers[0]).toBeGreaterThan(1);
    expect(numbers[0]).toBe(numbers[1]);
    expect(b.messaging.createTopic("another", undefined, false)).toBeGreaterThan(1);
  });
});

describe("a loop of publishes", () => {
  test("lets the event loop turn, though each has settled at once", async () => {
    const [a] = nodes(1);
    a.messaging.self.subscribe("t", () => undefined);
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    let count = 0;
    // A loop that never lets it turn would not end.
    while (!turned && count < 10_000_000) {
      await a.messaging.self.publish("t", "x", { self: false });
      count += 1;
    }
    expect(turned).toBe(true);
  });

  test("lets links know that more follows when it waits for a turn", async () => {
    const [a] = nodes(1);
    for (let i = 0; i < 10_000_000 && a.links.pauses === 0; i++) await a.messaging.self.publish("t", "x");
    expect(a.links.pauses).toBe(1);
  });
});

describe("a full node", () => {
  test("loses by its own mark, is counted and reported once, and nobody else waits", async () => {
    const [a, b, c] = nodes(3);
    world.mark = 5;
    const { passed: blocked, open: release } = gate();
    b.messaging.self.subscribe("t/#", { maxQueue: 1 }, () => blocked);
    const fast = collect(c.messaging.self, "t/#");
    const counts: number[] = [];
    for (let i = 0; i < 20; i++) {
      counts.push(await a.messaging.self.publish("t/x", `${i}`));
      await world.settle();
    }
    expect(fast).toHaveLength(20);
    expect(counts.slice(0, 2)).toEqual([2, 2]);
    expect(counts.at(-1)).toBe(1);
    const lost = counts.filter((count) => count === 1).length;
    expect(a.links.dropped).toHaveLength(lost);
    expect(a.links.dropped[0]).toBe(b.id);
    expect(a.messaging.stats().droppedFull).toBe(lost);
    expect(a.events.filter(({ type }) => type === "message:dropped")).toEqual([
      { type: "message:dropped", reason: "full", node: b.id, filter: undefined, prefix: "t", count: 1 },
    ]);
    release();
  });

  test("onFull wait: waits for that node alone, in order, and later ones do not pass", async () => {
    const [a, b, c] = nodes(3);
    world.mark = 2;
    const { passed: blocked, open: release } = gate();
    const slow: string[] = [];
    b.messaging.self.subscribe("t", { maxQueue: 1 }, async ({ data }) => {
      slow.push(String(data));
      await blocked;
    });
    const fast = collect(c.messaging.self, "t");
    const published = [];
    for (let i = 0; i < 10; i++) {
      published.push(a.messaging.self.publish("t", `${i}`, { onFull: "wait" }));
      await world.settle();
    }
    const dropped = a.messaging.self.publish("t", "dropped");
    expect(await dropped).toBe(1);
    await world.settle();
    expect(fast).toHaveLength(11);
    expect(a.messaging.stats().waiting).toBeGreaterThan(0);
    release();
    expect(await Promise.all(published)).toEqual(Array.from({ length: 10 }, () => 2));
    await world.settle();
    expect(slow).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
    expect(a.messaging.stats().waiting).toBe(0);
  });

  test("one that may be dropped does not pass one that waits, though there is room for a moment", async () => {
    const [a, b] = nodes(2);
    world.mark = 1;
    const { passed, open: release } = gate();
    world.held = passed;
    const got = collect(b.messaging.self, "t");
    await a.messaging.self.publish("t", "0");
    let count: Promise<number> | undefined;
    const room = a.links.room(b.id).then(() => {
      count = a.messaging.self.publish("t", "dropped");
    });
    const waiting = a.messaging.self.publish("t", "1", { onFull: "wait" });
    release();
    await room;
    expect(await count).toBe(0);
    expect(await waiting).toBe(1);
    await world.settle();
    expect(got).toEqual(["t 0", "t 1"]);
  });

  test("a wait ends with ETIMEDOUT, and by the bounds of what waits", async () => {
    const a = world.node("a", { maxPending: 3 });
    const [b] = nodes(1);
    world.mark = 1;
    world.held = new Promise(() => undefined);
    b.messaging.self.subscribe("t", () => undefined);
    await a.messaging.self.publish("t", "0");
    const late = a.messaging.self.publish("t", "1", { onFull: "wait", timeout: 20 });
    const waiting = [2, 3].map((i) => a.messaging.self.publish("t", `${i}`, { onFull: "wait" }));
    await expect(a.messaging.self.publish("t", "4", { onFull: "wait" })).rejects.toMatchObject({
      code: "ERR_TOO_MANY_PENDING",
    });
    await expect(late).rejects.toMatchObject({ code: "ETIMEDOUT" });
    void a.messaging.close(0);
    for (const each of waiting) await expect(each).rejects.toMatchObject({ code: "EAGAIN" });
  });

  test("onFull wait: copies that find room are not bounded by what may wait, and a call that is refused changes nothing", async () => {
    const a = world.node("a", { maxPendingBytes: 1_000 });
    const [b, c] = nodes(2);
    const got = collect(b.messaging.self, "t", "b");
    const others = collect(c.messaging.self, "t");
    const own = collect(a.messaging.self, "a");
    const text = (letter: string): string => letter.repeat(600);
    // Two copies of it are more than may wait; none does.
    expect(await a.messaging.self.publish("t", text("1"), { onFull: "wait" })).toBe(2);
    expect(await a.messaging.self.publish("a", text("22"), { onFull: "wait" })).toBe(1);
    await world.settle();
    world.mark = 1;
    const { passed, open: release } = gate();
    world.held = passed;
    await a.messaging.self.publish("b", "full");
    // One node is full: one copy waits.
    const waiting = a.messaging.self.publish("t", text("3"), { onFull: "wait" });
    const before = a.messaging.stats();
    expect(before).toMatchObject({ waiting: 1, retained: 0 });
    const refused = a.messaging.self.publish("t", text("4"), { onFull: "wait", retain: true });
    await expect(refused).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    expect(a.messaging.stats()).toEqual(before);
    release();
    expect(await waiting).toBe(2);
    await world.settle();
    expect(got).toEqual([`t ${text("1")}`, "b full", `t ${text("3")}`]);
    expect(others).toEqual([`t ${text("1")}`, `t ${text("3")}`]);
    expect(own).toEqual([`a ${text("22")}`]);
  });
});

describe("a node that was just met, whose interest is not known yet", () => {
  test("gets every message, in order, until it is known whether it wants them", async () => {
    const [a, b, c] = nodes(3);
    const got = collect(b.messaging.self, "t/#");
    a.routes.meet(b);
    a.routes.meet(c);
    for (let i = 0; i < 4; i++) expect(await a.messaging.self.publish(`t/${i % 2}`, `${i}`)).toBe(2);
    expect(a.routes.asked).toBe(2); // Once for each topic.
    a.routes.settle(b);
    a.routes.settle(c);
    expect(await a.messaging.self.publish("t/1", "4")).toBe(1);
    await world.settle();
    expect(got).toEqual(["t/0 0", "t/1 1", "t/0 2", "t/1 3", "t/1 4"]);
    expect(c.messaging.stats()).toMatchObject({ received: 4, unclaimed: 4 });
  });
});

describe("subscriptions", () => {
  test("an async iterable keeps up to its mark, and drops and counts the newest", async () => {
    const [a, b] = nodes(2);
    const subscription = b.messaging.self.subscribe("t/#", { maxQueue: 3 });
    for (let i = 0; i < 5; i++) await a.messaging.self.publish("t/x", `${i}`);
    await world.settle();
    expect([subscription.waiting, subscription.dropped]).toEqual([3, 2]);
    expect(b.messaging.stats()).toMatchObject({ received: 5, delivered: 3, droppedSlow: 2 });
    subscription.close();
    const seen: string[] = [];
    for await (const { data } of subscription) seen.push(String(data));
    expect(seen).toEqual(["0", "1", "2"]);
    expect(b.events).toContainEqual(
      expect.objectContaining({ type: "message:dropped", reason: "slow", filter: "t/#", prefix: "t" }),
    );
  });

  test("one that is refused since the node has too many leaves nothing behind", async () => {
    const [a, b] = nodes(2);
    const subscribe = vi.spyOn(b.routes, "subscribe").mockImplementationOnce(() => {
      throw new InvalidStateError("EFSM", "too many");
    });
    const got: string[] = [];
    const handler = ({ data }: ClusterMessage): void => void got.push(String(data));
    expect(() => b.messaging.self.subscribe("t", handler)).toThrow("too many");
    expect(b.messaging.stats()).toMatchObject({ subscriptions: 0, filters: 0 });
    b.messaging.self.subscribe("t", handler);
    expect(subscribe).toHaveBeenCalledTimes(2);
    await a.messaging.self.publish("t", "once");
    await world.settle();
    expect(got).toEqual(["once"]);
  });

  test("a queued message does not keep the read that it came in, unless it is a good part of it", async () => {
    const [a, b] = nodes(2);
    const subscription = b.messaging.self.subscribe("t");
    const reads = new Set<ArrayBufferLike>();
    const receive = (messages: number): void => {
      const read = Buffer.alloc(65_536);
      reads.add(read.buffer);
      for (let i = 0; i < messages; i++) {
        const item = encodePublish(1, encodeName("t"), undefined, 0, "x".repeat(1_000));
        const start = i * item.length;
        item.copy(read, start);
        void b.onItem(a.id, MessageKind.PUBLISH, read.subarray(start, start + item.length));
      }
    };
    const kept = async (): Promise<number> => {
      let count = 0;
      const reader = subscription[Symbol.asyncIterator]();
      while (subscription.waiting > 0) {
        const { value } = await reader.next();
        expect(String(value?.data)).toBe("x".repeat(1_000));
        if (value !== undefined && reads.has(value.data.buffer)) count += 1;
      }
      return count;
    };
    for (let i = 0; i < 20; i++) receive(1);
    expect(await kept()).toBe(0);
    receive(60);
    expect(await kept()).toBeGreaterThan(40);
  });

  test("a handler that throws or rejects is an event, and is called for the next message", async () => {
    const [a, b] = nodes(2);
    const seen: string[] = [];
    b.messaging.self.subscribe("t", ({ data }) => {
      seen.push(String(data));
      if (String(data) === "0") throw new Error("thrown");
      if (String(data) === "1") return Promise.reject(new Error("rejected"));
      return undefined;
    });
    for (let i = 0; i < 3; i++) await a.messaging.self.publish("t", `${i}`);
    await world.settle();
    expect(seen).toEqual(["0", "1", "2"]);
    expect(b.events.map((event) => event.type === "subscription:failed" && String(event.error))).toEqual([
      "Error: thrown",
      "Error: rejected",
    ]);
    expect(b.messaging.stats().failed).toBe(2);
  });

  test("a handler that returns what throws when it is looked at is an event as well", async () => {
    const [a, b] = nodes(2);
    const trap = {
      // biome-ignore lint/suspicious/noThenProperty: what a program returns by mistake.
      get then(): never {
        throw new Error("trap");
      },
    };
    b.messaging.self.subscribe("t", () => trap as never);
    await a.messaging.self.publish("t", "x");
    await world.settle();
    expect(b.events).toMatchObject([{ type: "subscription:failed", error: { message: "trap" } }]);
  });

  test("a handler of promises is called one at a time, and in order", async () => {
    const [a, b] = nodes(2);
    const seen: string[] = [];
    b.messaging.self.subscribe("t", async ({ data }) => {
      seen.push(`+${data}`);
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(`-${data}`);
    });
    for (let i = 0; i < 3; i++) await a.messaging.self.publish("t", `${i}`);
    await world.settle();
    expect(seen).toEqual(["+0", "-0", "+1", "-1", "+2", "-2"]);
  });

  test("the last one of a filter ends the interest; one that is closed gets nothing more", async () => {
    const [a, b] = nodes(2);
    const got = collect(b.messaging.self, "t");
    const other = b.messaging.createClient();
    const subscription = other.subscribe("t", () => undefined);
    b.messaging.self.subscriptions.values().next().value?.close();
    expect(b.routes.filters.has("t")).toBe(true);
    expect(await a.messaging.self.publish("t", "0")).toBe(1);
    await world.settle();
    const newMember = b.messaging.createClient();
    const late = collect(newMember, "t");
    await a.messaging.self.publish("t", "late");
    await world.settle();
    expect(late).toEqual(["t late"]);
    newMember.close();
    subscription.close();
    subscription.close();
    expect(b.routes.filters.has("t")).toBe(false);
    expect(await a.messaging.self.publish("t", "1")).toBe(0);
    await world.settle();
    expect(got).toEqual([]);
    b.messaging.self.subscribe("self", () => undefined).close();
    await a.messaging.self.sendTo(a.messaging.addressOf(b.id), "2");
    expect(b.messaging.stats().unclaimed).toBe(1);
  });
});

describe("one-to-one", () => {
  test("id 1 of another node is not reached before it was discovered; addressOf discovers it", async () => {
    const [a, b] = nodes(2);
    const got = collect(b.messaging.self, "self");
    await expect(a.messaging.self.sendTo({ node: b.id, id: 1 }, "x")).rejects.toMatchObject({
      code: "EHOSTUNREACH",
    });
    const address = a.messaging.addressOf(b.id);
    expect(address.id).toBeGreaterThanOrEqual(0x8000_0000);
    await a.messaging.self.sendTo(address, "1");
    await a.messaging.self.sendTo({ node: b.id, id: 1 }, "2");
    await a.messaging.self.sendTo(address.id, "3");
    await a.messaging.self.publish(address.id, "4");
    await a.messaging.self.sendTo({ id: b.id, name: "b" }, "5");
    expect(got).toEqual(["self 1", "self 2", "self 3", "self 4", "self 5"]);
  });

  test("a client of another node is reached by its node and its id, which programs may hand on", async () => {
    const [a, b] = nodes(2);
    const client = b.messaging.createClient();
    const got = collect(client, "self");
    await a.messaging.self.sendTo({ ...client.address }, "x");
    expect(got).toEqual(["self x"]);
  });

  test("a send to one that is gone fails with the reason, once it is known", async () => {
    const [a, b] = nodes(2);
    const client = b.messaging.createClient();
    const address = { ...client.address };
    await a.messaging.self.sendTo(address, "x");
    client.close();
    // Its node takes it, and says that there is no such client.
    await a.messaging.self.sendTo(address, "x");
    await world.settle();
    expect(b.messaging.stats().refused).toEqual({ "direct:closed": 1 });
    const sent = a.links.sent;
    // Known from then on: it does not go there again.
    await expect(a.messaging.self.sendTo(address, "x")).rejects.toThrow("closed");
    expect(a.links.sent).toBe(sent);
    await expect(a.messaging.self.sendTo(0x8000_0001, "x")).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    await expect(a.messaging.self.sendTo({ node: "f".repeat(32), id: 5 }, "x")).rejects.toThrow("gone");
    b.die();
    await expect(a.messaging.self.sendTo({ id: b.id, name: "b" }, "x")).rejects.toThrow("lost");
  });

  test("one under way fails when the node is lost, when it does not acknowledge it, and when the bus closes", async () => {
    const [a, b] = nodes(2);
    const address = a.messaging.addressOf(b.id);
    world.held = new Promise(() => undefined);
    await expect(a.messaging.self.sendTo(address, "x", { timeout: 20 })).rejects.toMatchObject({
      code: "ETIMEDOUT",
    });
    const lost = a.messaging.self.sendTo(address, "x");
    b.die();
    await expect(lost).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    const c = world.node("c");
    const closing = a.messaging.self.sendTo(a.messaging.addressOf(c.id), "x");
    void a.messaging.close(0);
    await expect(closing).rejects.toMatchObject({ code: "EAGAIN" });
  });

  test("what waits for room is bounded in bytes, is a copy, and is refused at once where it is too large", async () => {
    const a = world.node("a", { maxPendingBytes: 1_000, maxItem: 262_144 });
    const [b] = nodes(1);
    world.mark = 1;
    const { passed, open: release } = gate();
    world.held = passed;
    const got = collect(b.messaging.self, "self");
    const address = a.messaging.addressOf(b.id);
    const sent = a.messaging.self.sendTo(address, "0");
    const data = Buffer.from("1".repeat(10));
    const waiting = a.messaging.self.sendTo(address, data);
    data.fill("x");
    const tooMuch = a.messaging.self.sendTo(address, Buffer.alloc(1_000));
    await expect(tooMuch).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    const tooLarge = a.messaging.self.sendTo(address, Buffer.alloc(262_144));
    await expect(tooLarge).rejects.toMatchObject({ code: "EINVAL" });
    release();
    await Promise.all([sent, waiting]);
    expect(got).toEqual(["self 0", `self ${"1".repeat(10)}`]);
  });

  test("notes to a node that reads none are dropped where there is no room", async () => {
    const [a, evil] = nodes(2);
    world.mark = 1;
    world.held = new Promise(() => undefined);
    for (let i = 0; i < 10; i++)
      void a.onItem(evil.id, MessageKind.DIRECT, encodeDirect(7, 1, undefined, "x"));
    await world.settle();
    expect(a.messaging.stats()).toMatchObject({ directReceived: 10, waiting: 0, droppedFull: 0 });
    expect(a.links.sent).toBe(1);
  });

  test("to a client of this node: what waits for its handler is bounded as well", async () => {
    const a = world.node("a", { maxPendingBytes: 1_000, maxPending: 3 });
    const client = a.messaging.createClient();
    client.subscribe("self", { maxQueue: 1 }, () => new Promise(() => undefined));
    const send = (bytes: number): Promise<void> =>
      a.messaging.self.sendTo(client.address, Buffer.alloc(bytes));
    // One is handled, and one is in the queue.
    await send(1);
    await world.settle();
    await send(1);
    await world.settle();
    const waiting = [1, 2, 3].map(() => send(1));
    await expect(send(1)).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    await expect(send(1_000)).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
    expect(a.messaging.stats()).toMatchObject({ waiting: 3, directSent: 2 });
    void a.messaging.close(0);
    for (const each of waiting) await expect(each).rejects.toMatchObject({ code: "EAGAIN" });
  });
});

describe("publishing for another client", () => {
  test("a client of this node is its sender; another node's is refused", async () => {
    const [a, b, c] = nodes(3);
    const senders: string[] = [];
    c.messaging.self.subscribe("#", ({ sender }) => void senders.push(sender.node));
    const client = a.messaging.createClient();
    expect(await a.messaging.publishAs(client.id, "t", "x", undefined)).toBe(1);
    await world.settle();
    expect(senders).toEqual([a.id]);
    const bOnA = a.messaging.addressOf(b.id);
    await expect(a.messaging.publishAs(bOnA, "t", "x", undefined)).rejects.toMatchObject({ code: "EINVAL" });
  });
});

describe("retained values", () => {
  test("a new subscription gets the last value of each topic, as long as its publisher is there", async () => {
    const [a, b, c, d] = nodes(4);
    collect(b.messaging.self, "t/#");
    await a.messaging.self.publish("t/1", "old", { retain: true });
    await a.messaging.self.publish("t/1", "new", { retain: true });
    await a.messaging.self.publish("t/2", "gone", { retain: true });
    await a.messaging.self.publish("t/2", "", { retain: true });
    await a.messaging.self.publish("t/3", "not retained");
    await world.settle();
    const got: string[] = [];
    const read = ({ topic, data, retained, sender }: ClusterMessage): void => {
      got.push(`${topic} ${data} ${retained} ${sender.node === a.id}`);
    };
    await c.messaging.self.subscribe("t/+", { retained: true }, read).ready;
    expect(got.splice(0)).toEqual(["t/1 new true true"]);
    // Its own node has them at once.
    a.messaging.self.subscribe("t/+", { retained: true }, read);
    await world.settle();
    expect(got.splice(0)).toEqual(["t/1 new true true"]);
    a.die();
    await d.messaging.self.subscribe("t/+", { retained: true }, read).ready;
    await world.settle();
    expect(got).toEqual([]);
  });

  test("options after the handler are refused, not overlooked", () => {
    const [a] = nodes(1);
    const subscribe = a.messaging.self.subscribe.bind(a.messaging.self) as (...given: unknown[]) => unknown;
    expect(() => subscribe("t", () => undefined, { retained: true })).toThrow(
      "subscribe takes its options before the handler; got an object after it",
    );
  });

  test("the values of a member that is met later, or is back, come then, once to each subscription", async () => {
    const [a, b] = nodes(2);
    await b.messaging.self.publish("t/1", "known", { retain: true });
    const got: string[] = [];
    const note =
      (who: string) =>
      ({ topic, data, retained }: ClusterMessage): void =>
        void got.push(`${who} ${topic} ${data} ${retained}`);
    await a.messaging.self.subscribe("t/#", { retained: true }, note("one")).ready;
    await a.messaging.self.subscribe("t/+", { retained: true }, note("other")).ready;
    const closed = a.messaging.self.subscribe("t/#", { retained: true }, note("closed"));
    await closed.ready;
    closed.close();
    a.messaging.self.subscribe("t/#", note("without"));
    await world.settle();
    got.length = 0;

    // What is published meanwhile does not come; the same holds for a node that nobody has met yet.
    const away = async (work: () => Promise<unknown>): Promise<string[]> => {
      b.die();
      world.cut(b, a);
      await work();
      await world.settle();
      world.heal(b, a);
      expect(got).toEqual([]);
      b.revive();
      await world.settle();
      return got.splice(0).sort();
    };
    const publish = (topic: string, data: string) => b.messaging.self.publish(topic, data, { retain: true });
    const both = await away(async () => {
      await publish("t/2", "earlier");
      await publish("u/1", "of another topic");
    });
    expect(both).toEqual(["one t/2 earlier true", "other t/2 earlier true"]);
    // What is known does not come again.
    expect(await away(async () => undefined)).toEqual([]);
    // One that subscribes now gets each once, also while the same is on its way.
    await a.messaging.self.subscribe("t/1", { retained: true }, note("new")).ready;
    await world.settle();
    expect(got).toEqual(["new t/1 known true"]);
  });

  test.each<[string, (a: FakeNode, b: FakeNode) => void]>([
    [
      "that is restarted before it has answered",
      (a, b) => {
        a.messaging.onMember(b.id, "gone");
        a.messaging.onMember(b.id, "alive");
      },
    ],
    ["whose link lost the question", (a, b) => a.loses(b.id, 1)],
  ])("a member %s is asked again", async (_, happens) => {
    const [a, b] = nodes(2);
    await b.messaging.self.publish("t", "x", { retain: true });
    vi.spyOn(b, "onItem").mockReturnValueOnce(undefined);
    const { got, ready } = retained(a, "t");
    await world.settle();
    happens(a, b);
    await ready;
    await world.settle();
    expect(got).toContain("t x");
  });

  test("many subscriptions at once are few questions", async () => {
    const [a, b] = nodes(2);
    for (let i = 0; i < 100; i++) await b.messaging.self.publish(`t/${i}`, "x", { retain: true });
    const send = vi.spyOn(a.links, "send");
    const got: string[] = [];
    const note = ({ topic }: ClusterMessage): void => void got.push(topic);
    const all = Array.from({ length: 100 }, (_, i) => {
      return a.messaging.self.subscribe(`t/${i}`, { retained: true }, note);
    });
    await Promise.all(all.map(({ ready }) => ready));
    expect(new Set(got).size).toBe(100);
    expect(send.mock.calls.filter(([, kind]) => kind === MessageKind.RETAINED).length).toBeLessThan(5);
  });

  test("a member that does not answer holds up ready, and no values of others", async () => {
    const [a, b, c] = nodes(3);
    await b.messaging.self.publish("t", "x", { retain: true });
    vi.spyOn(c, "onItem").mockReturnValue(undefined);
    let isReady = false;
    const { got, ready } = retained(a, "t");
    void ready.then(() => {
      isReady = true;
    });
    await world.settle();
    expect([got, isReady]).toEqual([["t x"], false]);
    c.die();
    await ready;
  });

  test("the latest of several publishers counts, and is the one that is given last", async () => {
    const [a, b, c] = nodes(3);
    await a.messaging.self.publish("t", "1", { retain: true });
    await nextMillisecond();
    await b.messaging.self.publish("t", "2", { retain: true });
    const { got, ready } = retained(c, "t");
    await ready;
    await world.settle();
    expect(got.at(-1)).toBe("t 2");
    expect(c.messaging.stats().retained).toBe(0);
  });

  test("past the bounds the one goes that was updated the longest ago", async () => {
    const a = world.node("a", { maxRetained: 2 });
    for (const topic of ["t/1", "t/2", "t/1", "t/3"])
      await a.messaging.self.publish(topic, "x", { retain: true });
    const { got, ready } = retained(a, "#");
    await ready;
    await world.settle();
    expect(got.toSorted()).toEqual(["t/1 x", "t/3 x"]);
    expect(a.messaging.stats().retainedEvicted).toBe(1);
  });

  test("a stamp is later than all that were seen, and one from far ahead counts as of now", () => {
    const values = new RetainedValues({ topics: 2, bytes: 100_000 });
    expect(values.stamp(0)).toBe(1);
    expect(values.seen(50, 1)).toBe(50);
    expect(values.stamp(0)).toBe(51);
    expect(values.seen(2 ** 53 - 1, 1)).toBe(1_000);
    expect(values.stamp(0)).toBe(1_001);
  });

  test("what is published after all clocks were set back is later than what was there before", async () => {
    const [a, b] = nodes(2);
    const hour = 3_600_000;
    a.wall = b.wall = () => Date.now() + hour;
    await b.messaging.self.publish("t", "before", { retain: true });
    const { got, ready } = retained(a, "t");
    await ready;
    a.wall = b.wall = Date.now;
    for (const data of ["1", "2"]) await b.messaging.self.publish("t", data, { retain: true });
    await world.settle();
    expect(got).toEqual(["t before", "t 1", "t 2"]);
  });
});

describe("what an evil node sends", () => {
  test("fills no subscription beyond its bytes by long subtopics", async () => {
    const [a, b] = nodes(2);
    const slow = b.messaging.self.subscribe("t", { maxQueueBytes: 100_000 });
    const item = encodePublish(1, encodeName("t"), encodeName("x".repeat(50_000)), 0, "x");
    for (let i = 0; i < 10; i++) a.links.forge(b, MessageKind.PUBLISH, item);
    await world.settle();
    expect([slow.waiting, slow.dropped]).toEqual([2, 8]);
  });

  test("as topic aliases is refused where it defines none that is granted", async () => {
    const [a, b] = nodes(2);
    const got = collect(b.messaging.self, "#");
    const name = (topic: string): number[] => [...encodeName(topic)];
    const forge = (...bytes: number[]): void =>
      a.links.forge(b, MessageKind.PUBLISH, Buffer.from([...bytes, 0x78]));
    forge(ALIAS, 5); // Not defined.
    forge(ALIAS | DEFINE, 5, ...name("t/1")); // Both.
    forge(DEFINE, 0x80, 0x08, ...name("t/1")); // 1,024.
    forge(DEFINE, 1, ...name("x".repeat(256)));
    forge(DEFINE, 2, ...name("t/+"));
    forge(ALIAS, 2); // What it was to stand for is not a topic.
    forge(DEFINE, 3, ...name("self"));
    forge(ALIAS, 3);
    await world.settle();
    expect(got).toEqual([]);
    expect(b.messaging.stats().refused).toEqual({
      "publish:alias": 4,
      "publish:malformed": 1,
      "publish:topic": 3,
    });
    // A right one; the number is given to another topic; one of 255 bytes; the last number.
    forge(DEFINE, 5, ...name("t/1"));
    forge(ALIAS, 5);
    forge(DEFINE, 5, ...name("t/2"));
    forge(ALIAS, 5);
    forge(DEFINE, 0xff, 0x07, ...name("x".repeat(255)));
    forge(ALIAS, 0xff, 0x07);
    await world.settle();
    const long = "x".repeat(255);
    expect(got).toEqual(["t/1 x", "t/1 x", "t/2 x", "t/2 x", `${long} x`, `${long} x`]);
    const value = Buffer.from([RetainedItem.VALUE, ALIAS | RETAIN, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0x78]);
    a.links.forge(b, MessageKind.RETAINED, value);
    await world.settle();
    expect(b.messaging.stats().refused).toMatchObject({ "retained:malformed": 1 });
  });

  test("is refused by reason, and no byte of it throws into the program", async () => {
    const [a, b] = nodes(2);
    const got = collect(b.messaging.self, "#", "self");
    const publish = (topic: string): Buffer => encodePublish(1, encodeName(topic), undefined, 0, "x");
    const topics = ["a/+", "#", "a\0", "self", "/".repeat(129), "x/".repeat(1_000), "x".repeat(65_536)];
    for (const topic of topics) a.links.forge(b, MessageKind.PUBLISH, publish(topic));
    a.links.forge(b, MessageKind.PUBLISH, Buffer.concat([publish("t").subarray(0, 2), Buffer.from([0xff])]));
    const notUtf8 = Buffer.from(publish("abc"));
    notUtf8[2] = 0xff;
    a.links.forge(b, MessageKind.PUBLISH, notUtf8);
    a.links.forge(b, MessageKind.DIRECT, Buffer.from([0, 1]));
    // To what stands for a client of another node, and to nobody; from an alias, and from nobody.
    for (const id of [b.messaging.addressOf(a.id).id, 0]) {
      a.links.forge(b, MessageKind.DIRECT, encodeDirect(id, 1, undefined, "x"));
      a.links.forge(b, MessageKind.DIRECT, encodeDirect(1, id, undefined, "x"));
    }
    a.links.forge(b, MessageKind.RETAINED, Buffer.from([9, 0]));
    a.links.forge(b, MessageKind.RETAINED, encodeAsk(1, ["a/#/b"]));
    a.links.forge(b, 99, Buffer.from([1]));
    await world.settle();
    expect(got).toEqual([]);
    const { refused } = b.messaging.stats();
    expect(refused).toEqual({
      "publish:topic": 8,
      "publish:malformed": 1,
      "direct:closed": 2,
      "direct:malformed": 3,
      "retained:malformed": 2,
      kind: 1,
    });
  });

  test("junk of any kind", async () => {
    const [a, b] = nodes(2);
    collect(b.messaging.self, "#", "self");
    b.messaging.self.subscribe("t/#", { retained: true });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 6 }), fc.uint8Array({ maxLength: 64 }), (kind, bytes) => {
        void b.onItem(a.id, kind, Buffer.from(bytes));
      }),
      { numRuns: 1_000_000, defaultRuns: 20_000 },
    );
    await world.settle();
    expect(await a.messaging.self.publish("t", "alive")).toBe(1);
  });

  test("a source of random numbers that repeats itself gives each client and alias an id all the same", () => {
    for (const number of [0, 0.5, 1 - 2 ** -32]) {
      const { addresses } = addressBook(() => number);
      const ids = [1, 2, 3].map((client) => addresses.aliasOf("a", client).address.id);
      for (let i = 0; i < 3; i++)
        addresses.add((id) => {
          ids.push(id);
          return "client";
        });
      expect(new Set(ids).size).toBe(6);
    }
  });

  test("a node that makes up clients loses its own aliases, and no other node one", () => {
    const { addresses, dropped } = addressBook();
    const honest = Array.from({ length: 45 }, (_, i) => addresses.aliasOf(`honest ${i % 9}`, i));
    for (let client = 1; client < 10_000; client++) addresses.aliasOf("evil", client);
    expect(addresses.aliases).toBe(100);
    expect(new Set(dropped)).toEqual(new Set(["evil"]));
    expect(honest.filter((alias) => alias.dropped)).toEqual([]);
    // Another node has room all the same.
    addresses.aliasOf("late", 1);
    expect([addresses.aliases, addresses.find("late", 1)?.dropped]).toEqual([100, false]);
    // Of two over their share the one with more loses an alias; one that is used is the last to go.
    const used = addresses.aliasOf("other", 0);
    for (let client = 1; client < 1_000; client++) {
      addresses.aliasOf("other", client);
      addresses.alias(used.address.id);
    }
    expect([addresses.aliases, used.dropped]).toEqual([100, false]);
  });

  test("nor does a newMember drop those of a third node while the clients of one that makes them up fill the table", () => {
    const { addresses, dropped } = addressBook();
    for (let client = 1; client <= 10; client++) addresses.aliasOf("third", client);
    for (let client = 1; client <= 1_000; client++) addresses.aliasOf("evil", client);
    for (let client = 1; client <= 33; client++) addresses.aliasOf("newMember", client);
    expect(new Set(dropped)).toEqual(new Set(["evil"]));
    expect(addresses.aliases).toBe(100);
  });

  test("questions for retained values, over and over, hold up nobody: the last one is answered", async () => {
    const [a, b] = nodes(2);
    for (let i = 0; i < 2_000; i++)
      await b.messaging.self.publish(`t/${i}`, "x", { retain: true, self: false });
    const send = vi.spyOn(b.links, "send");
    const ask = (number: number, filter: string): void =>
      void b.onItem(a.id, MessageKind.RETAINED, encodeAsk(number, [filter]));
    for (let i = 0; i < 200; i++) ask(i, "nothing/of/this/kind");
    ask(200, "t/7");
    // Microtasks alone come before the next turn: without a pause all would be answered by then.
    await new Promise((resolve) => setImmediate(resolve));
    await vi.waitFor(() => expect(send.mock.results.length).toBeGreaterThanOrEqual(2));
    await world.settle();
    const values = send.mock.calls.filter(([, , item]) => item[0] === RetainedItem.VALUE);
    expect(values).toHaveLength(1);
    const last = send.mock.calls.at(-1)?.[2] as Buffer;
    expect([...last]).toEqual([RetainedItem.END, 0xc8, 0x01]);
  });

  test("questions of a node without room for answers are not kept: the last one is answered", async () => {
    const [a, b] = nodes(2);
    await b.messaging.self.publish("t", "x", { retain: true });
    world.mark = 0;
    const room = vi.spyOn(b.links, "room");
    for (let i = 0; i < 100; i++) void b.onItem(a.id, MessageKind.RETAINED, encodeAsk(i, ["t"]));
    await world.settle();
    expect(room).toHaveBeenCalledTimes(1);
    world.mark = 1_000;
    const send = vi.spyOn(b.links, "send");
    // There is room once this is taken.
    b.links.forge(a, 99, Buffer.of(0));
    await world.settle();
    expect(send.mock.calls.map(([, , [type, question]]) => [type, question])).toEqual([
      [RetainedItem.VALUE, RETAIN],
      [RetainedItem.END, 99],
    ]);
  });

  test("notes to ask again, over and over, make a node ask one question at a time", async () => {
    const [a, b] = nodes(2);
    await b.messaging.self.subscribe("t", { retained: true }).ready;
    world.held = new Promise(() => undefined);
    const send = vi.spyOn(b.links, "send");
    for (let i = 0; i < 10_000; i++)
      void b.onItem(a.id, MessageKind.RETAINED, Buffer.from([RetainedItem.AGAIN]));
    await world.settle();
    expect(send.mock.calls.length).toBeLessThanOrEqual(2);
  });

  test("values without end for a subscription hold the link while it handles them", async () => {
    const [a, b] = nodes(2);
    const { passed: blocked, open: release } = gate();
    b.messaging.self.subscribe("t/#", { retained: true, maxQueue: 5 }, () => blocked);
    await world.settle();
    let held: unknown;
    let given = 0;
    while (held === undefined && given < 1_000) {
      given += 1;
      const data = Buffer.from("x");
      const value = { topic: `t/${given}`, client: 1, subtopic: undefined, stamp: given, data };
      held = b.onItem(a.id, MessageKind.RETAINED, encodeValue(value));
    }
    expect(given).toBe(6);
    release();
    await held;
  });
});

function nodes(count: number): [FakeNode, FakeNode, FakeNode, FakeNode] {
  return Array.from({ length: count }, (_, i) => world.node("abcd"[i] as string)) as [
    FakeNode,
    FakeNode,
    FakeNode,
    FakeNode,
  ];
}

/** What a client's new subscriptions get: topic and data. */
function collect(client: MessageClient, ...filters: string[]): string[] {
  const got: string[] = [];
  for (const filter of filters)
    client.subscribe(filter, ({ topic, data }) => void got.push(`${topic} ${data}`));
  return got;
}

/** Room for 100 aliases, and the nodes of those that were dropped. */
function addressBook(random = Math.random) {
  const dropped: string[] = [];
  const addresses = new Addresses<string>(
    { random, isTaken: () => false, dropped: ({ node }) => void dropped.push(node) },
    100,
  );
  return { addresses, dropped };
}

/** A new subscription with the values that are retained: topics and data. */
function retained(node: FakeNode, filter: string) {
  const got: string[] = [];
  const note = ({ topic, data }: ClusterMessage): void => void got.push(`${topic} ${data}`);
  return { got, ready: node.messaging.self.subscribe(filter, { retained: true }, note).ready };
}
