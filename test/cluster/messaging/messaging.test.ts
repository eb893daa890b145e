/** Topics, one-to-one messages and retained values, between nodes in virtual time. */
import { describe, expect, test, vi } from "vitest";
import {
  type ClusterMessage,
  ClusterNode,
  type ClusterNodeOptions,
  type ClusterSubscription,
  type MessageHandler,
} from "../../../src/cluster/index.js";
import { DropReports } from "../../../src/cluster/messaging/events.js";
import { encodeDirect, encodeName, ItemFlag } from "../../../src/cluster/messaging/items.js";
import { type IncomingLink, MessageKind } from "../../../src/cluster/messaging/parts.js";
import { RetainedValues } from "../../../src/cluster/messaging/retained.js";
import { RouteChangesWriter } from "../../../src/cluster/messaging/route-own.js";
import { InvalidStateError } from "../../../src/core/errors.js";
import { ignore } from "../../../src/core/waiter.js";
import { simulate } from "../../../src/testing/index.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { gate } from "../../support/gate.js";
import fc from "../../support/properties.js";
import { turn, watch } from "../../support/settled.js";
import { testNodes } from "../nodes.js";
import { eventsOf, nodesTogether, onOneHost, SETTLED, startNodes } from "../simulated.js";
import { publishItem } from "./published.js";
import { throwing } from "./throwing.js";
import { withMessaging } from "./with-messaging.js";

const { ALIAS, DEFINE, RETAIN } = ItemFlag;
const EINVAL = expect.objectContaining({ code: "EINVAL" });
const never = (): Promise<void> => new Promise(() => undefined);

const statsOf = (node: ClusterNode) =>
  node.stats().messaging as NonNullable<ReturnType<ClusterNode["stats"]>["messaging"]>;

interface Client {
  subscribe(filter: string, handler: MessageHandler): ClusterSubscription;
}

/** What a client's new subscriptions get: topic and data. */
function collect(client: Client, ...filters: string[]): string[] {
  const got: string[] = [];
  for (const filter of filters)
    client.subscribe(filter, ({ topic, data }) => void got.push(`${topic} ${data}`));
  return got;
}

/** Its handler takes its time with the first message of a topic; one more waits here, and the rest at the senders. */
function hold(node: ClusterNode, topic: string): { got: string[]; release: () => void } {
  const { passed, open: release } = gate();
  const got: string[] = [];
  node.subscribe(topic, { maxQueue: 1 }, async ({ data }) => {
    got.push(String(data));
    await passed;
  });
  return { got, release };
}

/** Gives a node an item as it is, as a member would that is evil. */
function forge(from: ClusterNode, to: ClusterNode, kind: number, bytes: Uint8Array): void {
  expect(from.parts.messages.links.send(to.id, kind, bytes)).toBe("sent");
}

const heapUsed = (): number => {
  collectGarbage();
  return process.memoryUsage().heapUsed;
};

/** What a node's link brings of another one, within the call. */
function bring(to: ClusterNode, from: ClusterNode) {
  const { messaging } = to.parts.messages;
  const link: IncomingLink = { id: from.id, protocol: "tcp", topics: [] };
  return (kind: number, bytes: Buffer): void | Promise<void> =>
    messaging.onItem(link, { kind, frame: bytes, start: 0, end: bytes.length, view: () => bytes });
}

describe("topics", () => {
  test("wildcards and empty topics in a publish are refused, and nothing is sent", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      collect(b, "#");
      await world.advance(SETTLED);
      for (const topic of [
        "",
        "a/+",
        "#",
        "a\0b",
        "\ud800",
        "x".repeat(65_536),
        "/".repeat(128),
        77 as never,
      ])
        await expect(a.publish(topic, "x")).rejects.toMatchObject({ code: "EINVAL" });
      await expect(a.publish("t", 5 as never)).rejects.toMatchObject({ code: "EINVAL" });
      await expect(a.publish("t", "x", { retian: true } as never)).rejects.toMatchObject({ code: "EINVAL" });
      expect(() => a.subscribe("a/#/b")).toThrow(EINVAL);
      expect(statsOf(a).sent).toBe(0);
    }));

  test("a size is allowed or refused whoever gets the message: nobody, this node, another one", () =>
    withMessaging({ maxItem: 262_144 }, ["a", "b"], async ({ a, b }, world) => {
      const client = a.createClient();
      client.subscribe("own", never);
      client.subscribe("self", never);
      b.subscribe("other", never);
      b.subscribe("self", never);
      await world.advance(SETTLED);
      const subtopic = "pong";
      const large = Buffer.alloc(262_144);
      const most = (calls: ((data: Buffer) => unknown)[], head: number) =>
        Promise.all(
          calls.map(async (call) => {
            await call(large.subarray(head));
            await expect(call(large.subarray(head - 1))).rejects.toMatchObject({ code: "EINVAL" });
          }),
        );
      const topics = ["none", "own", "other"];
      for (const topic of topics) await most([(data) => a.publish(topic, data)], 2 + topic.length);
      const clients = [client.address, a.addressOf(b.id)];
      await most(
        clients.map((to) => (data) => a.sendTo(to, data)),
        5,
      );
      await most(
        clients.map((to) => (data) => client.sendTo(to, data, { subtopic })),
        14,
      );
      await most([(data) => client.sendToNodes(data, { subtopic })], 14);
    }));

  test("of subscriptions of a client that overlap the first gets a message, and each that asks for it", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const [first, second, third] = [collect(b, "t/#"), collect(b, "t/x"), [] as string[]];
      b.subscribe("+/x", { each: true }, ({ data }) => void third.push(String(data)));
      const client = b.createClient();
      const [other, later] = [collect(client, "t/x"), collect(client, "t/#")];
      await world.advance(SETTLED);
      await a.publish("t/x", "1");
      await b.publish("t/x", "2");
      await world.advance(SETTLED);
      expect(first.toSorted()).toEqual(["t/x 1", "t/x 2"]);
      expect([second, later]).toEqual([[], []]);
      expect(third.toSorted()).toEqual(["1", "2"]);
      expect(other.toSorted()).toEqual(["t/x 1", "t/x 2"]);
    }));

  test("a handler is called after publish has returned, and after the handlers of the message before", () =>
    onOneHost(["a"], async ({ a }, world) => {
      const seen: string[] = [];
      a.subscribe("t", ({ data }) => {
        seen.push(`first ${data}`);
        if (String(data) === "1") void a.publish("t", "2");
      });
      a.createClient().subscribe("t", ({ data }) => void seen.push(`second ${data}`));
      const published = a.publish("t", "1");
      expect(seen).toEqual([]);
      await published;
      await world.advance(SETTLED);
      expect(seen).toEqual(["first 1", "second 1", "first 2", "second 2"]);
    }));

  test("messages of one turn are apart, though small ones share memory on their way, and arrive as they were given", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const got = [a, b].map((node) => collect(node, "t"));
      await world.advance(SETTLED);
      const texts = ["one", "two", "x".repeat(2_000), "y".repeat(20_000), "six"];
      const given = texts.map((text) => Buffer.from(text));
      for (const data of given) {
        await a.publish("t", data);
        data.fill("z");
      }
      await world.advance(SETTLED);
      const all = texts.map((text) => `t ${text}`);
      expect(got).toEqual([all, all]);
    }));

  test("subtopics: a subscription with one gets those alone", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const seen: string[] = [];
      const print = ({ data, topic, subtopic }: ClusterMessage): void => {
        seen.push(`${topic} ${subtopic} ${data}`);
      };
      b.subscribe("t", { subtopic: "pong" }, print);
      b.subscribe("self", print);
      await world.advance(SETTLED);
      await a.publish("t", "1", { subtopic: "pong" });
      await a.publish("t", "2", { subtopic: "ping" });
      await a.publish("t", "3");
      await a.sendToNodes("4", { subtopic: "pong" });
      await a.sendToNodes("5");
      await world.advance(SETTLED);
      expect(seen.sort()).toEqual(["self pong 4", "self undefined 5", "t pong 1"]);
    }));

  test("a subtopic has at most 255 bytes; its errors name it", () =>
    onOneHost(["a"], async ({ a }) => {
      await a.publish("t", "x", { subtopic: `${"é".repeat(127)}x` });
      for (const subtopic of ["é".repeat(128), "", "a/+", 5 as never])
        await expect(a.publish("t", "x", { subtopic })).rejects.toThrow(/^A subtopic must/);
    }));
});

test("ready of a subscription is rejected where a node does not know it in time; it stands, and the next one with its filter is ready when all know it", () =>
  simulate({ seed: 1, shrink: false }, async (world) => {
    // Nobody is lost so soon.
    const nodes = await startNodes(world, ["a", "b"], { profile: "tcl" });
    const a = nodes.get("a") as ClusterNode;
    const subscribe = () => world.node("a").run(() => a.subscribe("t", ignore));
    await world.until(() => a.resolve().length === 2, 30_000);
    await world.advance(5_000);
    world.node("b").stall(15_000);
    const first = await subscribe();
    const start = world.now;
    const message = expect.stringContaining("1 of the other nodes");
    await expect(first.ready).rejects.toMatchObject({ code: "ETIMEDOUT", message });
    expect(Math.round((world.now - start) / 1_000)).toBe(10);
    expect(first.closed).toBe(false);
    await (await subscribe()).ready;
    world.node("b").stall(15_000);
    const last = await world.node("a").run(() => a.subscribe("u", ignore));
    void world.node("a").run(() => a.close({ linger: 0 }));
    await expect(last.ready).rejects.toMatchObject({ code: "EAGAIN" });
    expect(() => a.subscribe("v")).toThrow(expect.objectContaining({ code: "EBADF" }));
  }));

describe("a full node", () => {
  const MARK = { highWaterMark: 5 };

  test("loses by its own mark, is counted and reported once, and nobody else waits", () =>
    withMessaging(MARK, ["a", "b", "c"], async ({ a, b, c }, world) => {
      const events = eventsOf(a, "message:dropped");
      const slow = hold(b, "t/#");
      const fast = collect(c, "t/#");
      await world.advance(SETTLED);
      const counts: number[] = [];
      for (let i = 0; i < 20; i++) {
        counts.push(await a.publish("t/x", `${i}`));
        await world.advance(10);
      }
      expect(fast).toHaveLength(20);
      expect([counts[0], counts.at(-1)]).toEqual([2, 1]);
      const lost = counts.filter((count) => count === 1).length;
      expect(statsOf(a).droppedFull).toBe(lost);
      expect(statsOf(a).links.peers.find(({ id }) => id === b.id)?.dropped).toBe(lost);
      const full = { type: "message:dropped", reason: "full", filter: undefined, prefix: "t", count: 1 };
      expect(events).toEqual([{ ...full, node: b.id }]);
      slow.release();
      await world.advance(SETTLED);
      expect(slow.got).toHaveLength(20 - lost);
    }));

  test("onFull wait: waits until all nodes have room, in order", () =>
    withMessaging(MARK, ["a", "b", "c"], async ({ a, b, c }, world) => {
      const slow = hold(b, "t");
      const fast = collect(c, "t");
      await world.advance(SETTLED);
      const published: Promise<number>[] = [];
      for (let i = 0; i < 20; i++) {
        published.push(a.publish("t", `${i}`, { onFull: "wait" }));
        await world.advance(SETTLED);
      }
      expect(await a.publish("t", "dropped")).toBe(1);
      await world.advance(SETTLED);
      expect(fast).toHaveLength(21);
      const waiting = () => statsOf(a).links.peers.find(({ id }) => id === b.id)?.waiting;
      expect(waiting()).toBeGreaterThan(MARK.highWaterMark);
      slow.release();
      expect(await Promise.all(published)).toEqual(Array.from({ length: 20 }, () => 2));
      await world.advance(SETTLED);
      expect(slow.got).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
      expect(waiting()).toBe(0);
    }));

  test("a wait ends with ETIMEDOUT, and by the bounds of what waits", () =>
    withMessaging({ maxPending: 3, highWaterMark: 5 }, ["a", "b"], async ({ a, b }, world) => {
      hold(b, "t");
      await world.advance(SETTLED);
      while ((await a.publish("t", "x")) > 0) await world.advance(SETTLED);
      const wait = (timeout = -1) => a.publish("t", "x", { onFull: "wait", timeout });
      const late = wait(20);
      const waiting = [wait(), wait()];
      await expect(wait()).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
      await expect(late).rejects.toMatchObject({ code: "ETIMEDOUT" });
      void a.close({ linger: 0 });
      for (const each of waiting) await expect(each).rejects.toMatchObject({ code: "EAGAIN" });
    }));

  test("onFull wait: a call past the bound in bytes is refused, and the other nodes get it; own subscriptions have their own", () =>
    withMessaging(
      { highWaterMarkBytes: 1_000, maxPendingBytes: 1_000 },
      ["a", "b", "c"],
      async ({ a, b, c }, world) => {
        const slow = hold(b, "t");
        const others = collect(c, "t");
        const own = collect(a, "a");
        await world.advance(SETTLED);
        const publish = (topic: string, length: number) =>
          a.publish(topic, "x".repeat(length), { onFull: "wait" });
        expect(await publish("a", 2_500)).toBe(1);
        while ((await a.publish("t", "x".repeat(200))) === 2) await world.advance(SETTLED);
        const waiting = publish("t", 601);
        await expect(publish("t", 602)).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
        slow.release();
        expect(await waiting).toBe(2);
        await world.advance(SETTLED);
        const large = (got: readonly string[]) =>
          got.map(({ length }) => length).filter((length) => length > 209);
        expect([large(slow.got), large(others), large(own)]).toEqual([[601], [603, 604], [2_502]]);
      },
    ));
});

describe("subscriptions", () => {
  test("an async iterable keeps up to its mark, and drops and counts the newest", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const dropped = eventsOf(b, "message:dropped");
      const subscription = b.subscribe("t/#", { maxQueue: 3 });
      await world.advance(SETTLED);
      for (let i = 0; i < 5; i++) await b.publish("t/x", `${i}`);
      await world.advance(SETTLED);
      expect([subscription.waiting, subscription.dropped]).toEqual([3, 2]);
      expect(statsOf(b)).toMatchObject({ delivered: 3, droppedSlow: 2 });
      subscription.close();
      const seen: string[] = [];
      for await (const { data } of subscription) seen.push(String(data));
      expect(seen).toEqual(["0", "1", "2"]);
      expect(dropped).toMatchObject([{ reason: "slow", filter: "t/#", prefix: "t" }]);
      expect(await a.publish("t/x", "late")).toBe(1);
    }));

  test("one that is refused since the node has too many leaves nothing behind", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const subscribe = vi.spyOn(b.parts.messages.routes, "subscribe");
      subscribe.mockImplementationOnce(throwing(new InvalidStateError("EFSM", "too many")));
      const before = statsOf(b);
      expect(() => b.subscribe("t")).toThrow("too many");
      expect(statsOf(b)).toEqual(before);
      const got = collect(b, "t");
      expect(subscribe).toHaveBeenCalledTimes(2);
      await world.advance(SETTLED);
      await a.publish("t", "once");
      await world.advance(SETTLED);
      expect(got).toEqual(["t once"]);
    }));

  test("a queued message does not keep the read that it came in, unless it is a good part of it", () =>
    onOneHost(["a", "b"], async ({ a, b }) => {
      const subscription = b.subscribe("t");
      const reads = new Set<ArrayBufferLike>();
      const { topics } = b.parts.messages.messaging;
      const link: IncomingLink = { id: a.id, protocol: "tcp", topics: [] };
      const receive = (messages: number): void => {
        const read = Buffer.alloc(65_536);
        reads.add(read.buffer);
        for (let i = 0; i < messages; i++) {
          const item = publishItem("t", { data: "x".repeat(1_000) });
          const start = i * item.length;
          item.copy(read, start);
          void topics.onPublish(link, read, start, start + item.length);
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
    }));

  test("a handler that throws or rejects is an event, and is called for the next message", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const failed = eventsOf(b, "subscription:failed");
      const seen: string[] = [];
      const get = throwing(new Error("trap"));
      // biome-ignore lint/suspicious/noThenProperty: what a program returns by mistake.
      const trap = Object.defineProperty({}, "then", { get });
      b.subscribe("t", ({ data }) => {
        seen.push(String(data));
        if (String(data) === "0") throw new Error("thrown");
        if (String(data) === "1") return Promise.reject(new Error("rejected"));
        return String(data) === "2" ? (trap as never) : undefined;
      });
      await world.advance(SETTLED);
      for (let i = 0; i < 4; i++) await a.publish("t", `${i}`);
      await world.advance(SETTLED);
      expect(seen).toEqual(["0", "1", "2", "3"]);
      expect(failed.map(({ error }) => (error as Error).message)).toEqual(["thrown", "rejected", "trap"]);
      expect(statsOf(b).failed).toBe(3);
    }));

  test("the last one of a filter ends the interest; one that is closed gets nothing more", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const got: string[] = [];
      const first = b.subscribe("t", ({ data }) => void got.push(String(data)));
      const second = b.createClient().subscribe("t", ignore);
      await world.advance(SETTLED);
      first.close();
      await world.advance(SETTLED);
      expect(await a.publish("t", "0")).toBe(1);
      await world.advance(SETTLED);
      const newMember = b.createClient();
      const late = collect(newMember, "t");
      await a.publish("t", "late");
      await world.advance(SETTLED);
      newMember.close();
      second.close();
      second.close();
      await world.advance(SETTLED);
      expect(await a.publish("t", "1")).toBe(0);
      await world.advance(SETTLED);
      expect([got, late]).toEqual([[], ["t late"]]);
      b.subscribe("self", ignore).close();
      await a.sendTo(a.addressOf(b.id), "2");
      expect(statsOf(b).unclaimed).toBe(1);
    }));
});

describe("one-to-one", () => {
  test("is a publication to self, too", () =>
    onOneHost(["a"], async ({ a }, world) => {
      const got = collect(a, "self");
      expect(await a.publish("self", "x")).toBe(1);
      await world.advance(SETTLED);
      expect(got).toEqual(["self x"]);
    }));

  test("goes to a client by its address, by its id on this node, or to a member's own client", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const got = collect(b, "self");
      expect(a.addressOf(b.id)).toEqual({ node: b.id, id: 1 });
      await a.sendTo(a.addressOf(b.id), "1");
      await a.sendTo({ id: b.id, name: "b" }, "2");
      // A client by its node and its id, which programs may hand on.
      const client = b.createClient();
      client.subscribe("self", ({ data }) => void got.push(`client ${data}`));
      await a.sendTo({ ...client.address }, "3");
      await b.sendTo(client.id, "4");
      await world.advance(SETTLED);
      expect(got).toEqual(["self 1", "self 2", "client 3", "client 4"]);
    }));

  test("a send to one that is gone fails with the reason, once it is known", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const client = b.createClient();
      const address = { ...client.address };
      await a.sendTo(address, "x");
      client.close();
      // Its node takes it, and says that there is no such client.
      await a.sendTo(address, "x");
      await world.advance(SETTLED);
      expect(statsOf(b).refused).toEqual({ "direct:closed": 1 });
      // Known from then on: it does not go there again.
      await expect(a.sendTo(address, "x")).rejects.toThrow("closed");
      expect(statsOf(b).directReceived).toBe(2);
      await expect(a.sendTo(5, "x")).rejects.toMatchObject({ code: "EHOSTUNREACH" });
      await expect(a.sendTo({ node: "f".repeat(32), id: 5 }, "x")).rejects.toThrow("gone");
      const to = { id: b.id, name: "b" };
      await b.close();
      await world.advance(SETTLED);
      await expect(a.sendTo(to, "x")).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    }));

  test("one under way fails when the node does not acknowledge it, and when its own node closes", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      hold(b, "self");
      const send = (timeout = -1) => a.sendTo(a.addressOf(b.id), "x", { timeout });
      await send();
      await expect(send(20)).rejects.toMatchObject({ code: "ETIMEDOUT" });
      const closing = send();
      await world.advance(SETTLED);
      void a.close({ linger: 0 });
      await expect(closing).rejects.toMatchObject({ code: "EAGAIN" });
    }));

  test("what waits for room is bounded in bytes, is a copy, and is refused at once where it is too large", () =>
    withMessaging(
      { highWaterMarkBytes: 1_000, maxPendingBytes: 1_000, maxItem: 262_144 },
      ["a", "b"],
      async ({ a, b }, world) => {
        const { got, release } = hold(b, "self");
        const address = a.addressOf(b.id);
        await a.sendTo(address, "0");
        const sent = a.sendTo(address, "1");
        await world.advance(SETTLED);
        const data = Buffer.from("2222");
        const waiting = a.sendTo(address, data);
        data.fill("x");
        const tooMuch = a.sendTo(address, Buffer.alloc(2_000));
        await expect(tooMuch).rejects.toMatchObject({ code: "ERR_TOO_MANY_PENDING" });
        const tooLarge = a.sendTo(address, Buffer.alloc(262_144));
        await expect(tooLarge).rejects.toMatchObject({ code: "EINVAL" });
        release();
        await Promise.all([sent, waiting]);
        await world.advance(SETTLED);
        expect(got).toEqual(["0", "1", "2222"]);
      },
    ));

  test("to a client of this node with a full queue fails at once", () =>
    onOneHost(["a"], async ({ a }, world) => {
      const client = a.createClient();
      client.subscribe("self", { maxQueue: 1 }, never);
      // One is handled, and one is in the queue.
      for (let i = 0; i < 2; i++) {
        await a.sendTo(client.address, "x");
        await world.advance(SETTLED);
      }
      await expect(a.sendTo(client.address, "x")).rejects.toMatchObject({ code: "EAGAIN" });
      expect(statsOf(a).directSent).toBe(2);
    }));
});

describe("retained values", () => {
  /** A new subscription with the values that are retained: topics and data. */
  function retained(node: ClusterNode, filter: string) {
    const got: string[] = [];
    const note = ({ topic, data }: ClusterMessage): void => void got.push(`${topic} ${data}`);
    return { got, ready: node.subscribe(filter, { retained: true }, note).ready };
  }

  const keep = (node: ClusterNode, topic: string, data: string) =>
    node.publish(topic, data, { retain: true });

  test("a new subscription gets the last value of each topic, as long as its publisher is there", () =>
    onOneHost(["a", "b", "c", "d"], async ({ a, b, c, d }, world) => {
      collect(b, "t/#");
      for (const [topic, data] of [
        ["t/1", "old"],
        ["t/1", "new"],
        ["t/2", "gone"],
        ["t/2", ""],
      ] as const)
        await keep(a, topic, data);
      await a.publish("t/3", "not retained");
      await world.advance(SETTLED);
      const got: string[] = [];
      const read = ({ topic, data, retained, sender }: ClusterMessage): void => {
        got.push(`${topic} ${data} ${retained} ${sender.node === a.id}`);
      };
      await c.subscribe("t/+", { retained: true }, read).ready;
      await world.advance(SETTLED);
      expect(got.splice(0)).toEqual(["t/1 new true true"]);
      // Its own node has them at once.
      a.subscribe("t/+", { retained: true }, read);
      await world.advance(SETTLED);
      expect(got.splice(0)).toEqual(["t/1 new true true"]);
      await a.close();
      await world.advance(SETTLED);
      await d.subscribe("t/+", { retained: true }, read).ready;
      await world.advance(SETTLED);
      expect(got).toEqual([]);
    }));

  test("what a subscriber on the publisher's node does to a value's bytes reaches no other subscriber", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const values: string[] = [];
      const note = ({ data }: ClusterMessage): void => void values.push(data.toString("latin1", 0, 4));
      b.subscribe("t", note);
      await world.advance(SETTLED);
      void a.publish("t", Buffer.alloc(65_536, "A"), { retain: true });
      a.subscribe("t", { retained: true }, ({ data }) => {
        data.fill("Z");
        structuredClone(data.buffer, { transfer: [data.buffer as ArrayBuffer] });
      });
      await world.advance(SETTLED);
      a.subscribe("t", { retained: true }, note);
      await world.advance(SETTLED);
      expect(values).toEqual(["AAAA", "AAAA"]);
    }));

  test("options after the handler are refused, not overlooked", () => {
    const node = new ClusterNode();
    const subscribe = node.subscribe.bind(node) as (...given: unknown[]) => unknown;
    expect(() => subscribe("t", () => undefined, { retained: true })).toThrow(
      "subscribe takes its options before the handler; got an object after it",
    );
  });

  test("the values of a member that is met later, or is back, come then, once to each subscription", () =>
    simulate({ seed: 1, shrink: false }, async (world) => {
      const nodes = await startNodes(world, ["a", "b"]);
      const [a, b] = [...nodes.values()] as [ClusterNode, ClusterNode];
      const together = () => world.until(() => [a, b].every((node) => node.members().length === 2), 60_000);
      const got: string[] = [];
      const subscribe = (who: string, filter: string, options = { retained: true }) =>
        world.node("a").run(() =>
          a.subscribe(filter, options, ({ topic, data, retained: isOld }) => {
            got.push(`${who} ${topic} ${data} ${isOld}`);
          }),
        );
      const publish = (topic: string, data: string) => world.node("b").run(() => keep(b, topic, data));
      await publish("t/1", "known");
      await subscribe("one", "t/#");
      await subscribe("other", "t/+");
      (await subscribe("closed", "t/#")).close();
      await subscribe("without", "t/#", { retained: false });
      await together();
      await world.advance(SETTLED);
      expect(got.splice(0).sort()).toEqual(["one t/1 known true", "other t/1 known true"]);

      const away = async (work: () => Promise<unknown>): Promise<string[]> => {
        world.cut("a", "b");
        await world.until(() => [a, b].every((node) => node.members().length === 1), 60_000);
        await work();
        expect(got).toEqual([]);
        world.heal();
        await together();
        await world.advance(1_000);
        return got.splice(0).sort();
      };
      const both = await away(async () => {
        await publish("t/2", "earlier");
        await publish("u/1", "of another topic");
      });
      expect(both).toEqual(["one t/2 earlier true", "other t/2 earlier true"]);
      // What is known does not come again.
      expect(await away(async () => undefined)).toEqual([]);
      // One that subscribes now gets each once, also while the same is on its way.
      await (await subscribe("new", "t/1")).ready;
      await world.advance(SETTLED);
      expect(got).toEqual(["new t/1 known true"]);
    }));

  test("come again where the link to a member has lost some", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      await keep(b, "t", "x");
      vi.spyOn(a.parts.messages.messaging.topics, "onValue").mockReturnValueOnce(undefined);
      const { got } = retained(a, "t");
      await world.advance(SETTLED);
      expect(got).toEqual([]);
      b.parts.messages.messaging.onLost(a.id, 1);
      await world.advance(SETTLED);
      expect(got).toEqual(["t x"]);
    }));

  test("come to a node that was removed and admitted again, also those of meanwhile", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const { got, ready } = retained(a, "t");
      await ready;
      await keep(b, "t", "1");
      await world.advance(SETTLED);
      b.remove(a.id);
      await world.advance(SETTLED);
      await keep(b, "t", "2");
      b.admit(a.id);
      await world.until(() => b.members().length === 2);
      await world.advance(2_000);
      expect(got).toEqual(["t 1", "t 2"]);
    }));

  test("many subscriptions at once cost few items, and each value one", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      for (let i = 0; i < 100; i++) await keep(b, `t/${i}`, "x");
      const asks = vi.spyOn(a.parts.messages.links, "send");
      const answers = vi.spyOn(b.parts.messages.links, "send");
      const got = new Set<string>();
      const subscribe = (filter: string) =>
        a.subscribe(filter, { retained: true }, ({ topic }) => void got.add(topic));
      await Promise.all(Array.from({ length: 100 }, (_, i) => subscribe(`t/${i}`).ready));
      await world.advance(SETTLED);
      expect(got.size).toBe(100);
      expect(asks.mock.calls.length).toBeLessThan(5);
      expect(answers.mock.calls.filter(([, kind]) => kind === MessageKind.RETAINED)).toHaveLength(100);
    }));

  test("the latest of several publishers counts, and is the one that is given last", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }, world) => {
      await keep(a, "t", "1");
      await world.advance(2);
      await keep(b, "t", "2");
      const { got, ready } = retained(c, "t");
      await ready;
      await world.advance(SETTLED);
      expect([got.at(-1), statsOf(c).retained]).toEqual(["t 2", 0]);
    }));

  test("past the bounds the one goes that was updated the longest ago", () =>
    withMessaging({ maxRetained: 2 }, ["a"], async ({ a }, world) => {
      for (const topic of ["t/1", "t/2", "t/1", "t/3"]) await keep(a, topic, "x");
      const { got, ready } = retained(a, "#");
      await ready;
      await world.advance(SETTLED);
      expect(got.toSorted()).toEqual(["t/1 x", "t/3 x"]);
      expect(statsOf(a).retainedEvicted).toBe(1);
    }));

  test("a stamp is later than all that were seen, and one from far ahead counts as of now", () => {
    const values = new RetainedValues({} as never);
    expect(values.stamp(0)).toBe(1);
    expect(values.seen(50, 1)).toBe(50);
    expect(values.stamp(0)).toBe(51);
    expect(values.seen(2 ** 53 - 1, 1)).toBe(1_000);
    expect(values.stamp(0)).toBe(1_001);
  });

  test("go to a member that changes what it wants, without reading, by its last list", async () => {
    const room = gate();
    const sent: string[] = [];
    let isFull = true;
    const values = new RetainedValues({
      links: {
        send: (_to: string, _kind: number, item: Buffer) => {
          if (!isFull) sent.push(String(item));
          return isFull ? "full" : "sent";
        },
        room: () => room.passed.then(() => true),
      },
      routes: { wantedBy: () => ["now"] },
      settings: { maxRetained: 10, maxRetainedBytes: 100_000 },
      closed: false,
    } as never);
    for (const topic of ["first", "before", "now"]) {
      const item = Buffer.from(topic);
      values.keep({ topic, client: 1, subtopic: undefined, stamp: 1, item, data: item });
    }
    values.answer("member", ["first"]);
    await turn();
    // More shapes, and then more filters, than its list may have.
    values.answer("member", ["before"]);
    values.answer(
      "member",
      Array.from({ length: 2_000 }, (_, i) =>
        [...i.toString(2)].map((bit) => (bit === "1" ? "+" : "a")).join("/"),
      ),
    );
    for (let round = 0; round < 3; round++)
      values.answer(
        "member",
        Array.from({ length: 30_000 }, (_, i) => `${round}/${i}`),
      );
    isFull = false;
    room.open();
    await turn();
    await turn();
    expect(sent).toEqual(["first", "now"]);
  });

  test("what is published after all clocks were set back is later than what was there before", () =>
    simulate({ seed: 1, shrink: false }, async (world) => {
      const jump = (by: number) => ["a", "b"].map((name) => world.node(name).clock.jump(by));
      jump(3_600_000);
      const [a, b] = await nodesTogether(world, ["a", "b"]);
      const publish = (data: string) => world.node("b").run(() => keep(b, "t", data));
      await publish("before");
      const { got, ready } = await world.node("a").run(() => retained(a, "t"));
      await ready;
      await world.advance(SETTLED);
      jump(-3_600_000);
      for (const data of ["1", "2"]) await publish(data);
      await world.advance(SETTLED);
      expect(got).toEqual(["t before", "t 1", "t 2"]);
    }));
});

describe("what an evil node sends", () => {
  function evil(
    story: (evil: ClusterNode, node: ClusterNode, settle: () => Promise<void>) => Promise<void>,
    options: (name: "e" | "n") => ClusterNodeOptions = () => ({}),
  ): Promise<void> {
    return onOneHost(["e", "n"], ({ e, n }, world) => story(e, n, () => world.advance(SETTLED)), options);
  }
  /** For items that are on their way from the node. */
  const LITTLE_ROOM = (name: string) => ({ messaging: { highWaterMark: name === "n" ? 1 : 20 } });

  test("fills no subscription beyond its bytes by subtopics; a long one is refused", () =>
    evil(async (e, n, settle) => {
      const slow = n.subscribe("t", { maxQueueBytes: 1_000 });
      const item = publishItem("t", { subtopic: "x".repeat(255) });
      for (let i = 0; i < 10; i++) forge(e, n, MessageKind.PUBLISH, item);
      await settle();
      expect([slow.waiting, slow.dropped]).toEqual([3, 7]);
      const long = "x".repeat(256);
      forge(e, n, MessageKind.PUBLISH, publishItem("t", { subtopic: long }));
      forge(e, n, MessageKind.DIRECT, encodeDirect(1, 1, long, "x"));
      await settle();
      expect(statsOf(n).refused).toEqual({ "publish:malformed": 1, "direct:malformed": 1 });
    }));

  test("makes no subscription with retained values keep long topics; an older value of one is left out all the same", () =>
    evil(async (e, n) => {
      const got: string[] = [];
      n.subscribe("#", { retained: true }, ({ topic, data }) => void got.push(`${topic.length} ${data}`));
      const brought = bring(n, e);
      const publish = (topic: string, stamp: number) =>
        void brought(MessageKind.PUBLISH, publishItem(topic, { stamp, data: String(stamp) }));
      const before = heapUsed();
      for (let i = 1; i <= 500; i++) publish("x".repeat(60_000) + i, i);
      expect(heapUsed() - before).toBeLessThan(10_000_000);
      expect(got.splice(0)).toHaveLength(500);
      for (const stamp of [2, 1, 3]) publish("y".repeat(256), stamp);
      expect(got).toEqual(["256 2", "256 3"]);
    }));

  test("as topic aliases is refused where it defines none that is granted", () =>
    evil(async (e, n, settle) => {
      const got = collect(n, "#");
      const name = (topic: string): number[] => [...encodeName(topic)];
      const publish = (...bytes: number[]): void =>
        forge(e, n, MessageKind.PUBLISH, Buffer.from([...bytes, 0x78]));
      publish(ALIAS, 5); // Not defined.
      publish(ALIAS | DEFINE, 5, ...name("t/1")); // Both.
      publish(DEFINE, 0x80, 0x08, ...name("t/1")); // 1,024.
      publish(DEFINE, 1, ...name("x".repeat(256)));
      publish(DEFINE, 2, ...name("t/+"));
      publish(ALIAS, 2); // What it was to stand for is not a topic.
      publish(DEFINE, 3, ...name("self"));
      publish(ALIAS, 3);
      await settle();
      expect(got).toEqual([]);
      const refused = { "publish:alias": 4, "publish:malformed": 1, "publish:topic": 3 };
      expect(statsOf(n).refused).toEqual(refused);
      // A right one; the number is given to another topic; one of 255 bytes; the last number.
      publish(DEFINE, 5, ...name("t/1"));
      publish(ALIAS, 5);
      publish(DEFINE, 5, ...name("t/2"));
      publish(ALIAS, 5);
      publish(DEFINE, 0xff, 0x07, ...name("x".repeat(255)));
      publish(ALIAS, 0xff, 0x07);
      await settle();
      const long = "x".repeat(255);
      expect(got).toEqual(["t/1 x", "t/1 x", "t/2 x", "t/2 x", `${long} x`, `${long} x`]);
      const value = Buffer.from([ALIAS | RETAIN, 5, 0, 0, 0, 0, 0, 0, 0, 5, 0x78]);
      forge(e, n, MessageKind.RETAINED, value);
      await settle();
      expect(statsOf(n).refused).toMatchObject({ "retained:malformed": 1 });
    }));

  test("is refused by reason, and no byte of it throws into the program", () =>
    evil(async (e, n, settle) => {
      const got = collect(n, "#", "self");
      n.subscribe("#", { retained: true }, ({ topic }) => void got.push(topic));
      const topics = ["a/+", "#", "a\0", "self", "/".repeat(129), "x/".repeat(1_000), "x".repeat(65_536)];
      for (const topic of topics) forge(e, n, MessageKind.PUBLISH, publishItem(topic));
      forge(e, n, MessageKind.PUBLISH, Buffer.concat([publishItem("t").subarray(0, 2), Buffer.from([0xff])]));
      const notUtf8 = Buffer.from(publishItem("abc"));
      notUtf8[2] = 0xff;
      forge(e, n, MessageKind.PUBLISH, notUtf8);
      forge(e, n, MessageKind.DIRECT, Buffer.from([0, 1]));
      // To numbers that no client has, and from them.
      for (const id of [0x8000_0001, 0]) {
        forge(e, n, MessageKind.DIRECT, encodeDirect(id, 1, undefined, "x"));
        forge(e, n, MessageKind.DIRECT, encodeDirect(1, id, undefined, "x"));
      }
      forge(e, n, MessageKind.RETAINED, Buffer.from([9, 0]));
      forge(e, n, MessageKind.RETAINED, publishItem("t"));
      for (const topic of ["a/+", "self"])
        forge(e, n, MessageKind.RETAINED, publishItem(topic, { stamp: 1 }));
      forge(e, n, 99, Buffer.from([1]));
      await settle();
      expect(got).toEqual([]);
      expect(statsOf(n).refused).toEqual({
        "publish:topic": 8,
        "publish:malformed": 1,
        "direct:closed": 2,
        "direct:malformed": 3,
        "retained:malformed": 2,
        "retained:topic": 2,
        kind: 1,
      });
    }));

  test("junk of any kind", () =>
    evil(async (e, n, settle) => {
      collect(n, "#", "self");
      n.subscribe("t/#", { retained: true });
      const take = bring(n, e);
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 6 }), fc.uint8Array({ maxLength: 64 }), (kind, bytes) => {
          void take(kind, Buffer.from(bytes));
        }),
        { numRuns: 1_000_000, defaultRuns: 20_000 },
      );
      await settle();
      expect(await e.publish("t", "alive")).toBe(1);
    }));

  test("notes to it, which reads none, are dropped where there is no room", () =>
    evil(async (e, n, settle) => {
      hold(e, "self");
      await n.sendTo(n.addressOf(e.id), "x");
      n.sendTo(n.addressOf(e.id), "x").catch(ignore);
      await settle();
      for (let i = 0; i < 10; i++) forge(e, n, MessageKind.DIRECT, encodeDirect(7, 1, undefined, "x"));
      await settle();
      expect(statsOf(n)).toMatchObject({ directReceived: 10, droppedFull: 0 });
      expect(statsOf(n).links.peers).toMatchObject([{ sent: 2, waiting: 1, dropped: 0 }]);
    }, LITTLE_ROOM));

  test("wants values over and over, without reading them: it gets one answer at a time", () =>
    evil(async (e, n, settle) => {
      await n.publish("t", "x", { retain: true });
      const { release } = hold(e, "self");
      await n.sendTo(n.addressOf(e.id), "x");
      void n.sendTo(n.addressOf(e.id), "x");
      await settle();
      const room = vi.spyOn(n.parts.messages.links, "room");
      const take = bring(n, e);
      const wants = (isFirst: boolean): Buffer => {
        const writer = new RouteChangesWriter();
        writer.add({ filter: "t", isAdded: true, isWanted: true });
        return writer.take({ isFirst, isLast: isFirst });
      };
      for (let i = 0; i < 100; i++) void take(MessageKind.ROUTES, wants(i === 0));
      await settle();
      expect(room).toHaveBeenCalledTimes(1);
      const send = vi.spyOn(n.parts.messages.links, "send");
      release();
      await settle();
      const answers = send.mock.results.filter(({ value }, i) => {
        return value === "sent" && send.mock.calls[i]?.[1] === MessageKind.RETAINED;
      });
      expect(answers).toHaveLength(2);
    }, LITTLE_ROOM));

  test("values without end for a subscription hold the link while it handles them", () =>
    evil(async (e, n) => {
      const { passed: blocked, open: release } = gate();
      n.subscribe("t/#", { retained: true, maxQueue: 5 }, () => blocked);
      const take = bring(n, e);
      let held: unknown;
      let given = 0;
      while (held === undefined && given < 1_000) {
        given += 1;
        held = take(MessageKind.RETAINED, publishItem(`t/${given}`, { stamp: given }));
      }
      expect(given).toBe(6);
      release();
      await held;
    }));
});

/** In real time, of which turns have a share. */
describe("a node lets the event loop turn", () => {
  const { started } = testNodes(() => ({ multicast: false }));

  test("in a loop of publishes, of which its links know that more follow", async () => {
    const a = await started("a");
    const more = vi.spyOn(a.parts.messages.links, "publishesMore");
    const next = watch(turn());
    // A loop that never lets it turn would not end.
    for (let i = 0; next.state === "pending" && i < 10_000_000; i++) await a.publish("t", "x");
    expect([next.state, more.mock.calls.length > 0]).toEqual(["fulfilled", true]);
  });

  test("while it looks for retained values that a member wants", async () => {
    const a = await started("a");
    for (let i = 0; i < 10_000; i++) await a.publish(`t/${i}`, "x", { retain: true, self: false });
    const topics: number[] = [];
    vi.spyOn(a.parts.messages.links, "send").mockImplementation((_to, kind) => {
      topics.push(kind);
      return "sent";
    });
    const { retained } = a.parts.messages.messaging;
    const next = watch(turn());
    retained.answer("b".repeat(32), ["t/9999", "nothing/of/this/kind"]);
    expect(topics, "before the next turn").toEqual([]);
    await vi.waitFor(() => expect(topics).toEqual([MessageKind.RETAINED]));
    expect(next.state).toBe("fulfilled");
  });
});

test("a listener of drops that causes one hears of each drop once", () => {
  const counts: number[] = [];
  const drops: DropReports = new DropReports((event) => {
    counts.push((event as { readonly count: number }).count);
    if (counts.length < 5) drops.dropped("full", "node", "t");
  });
  drops.dropped("full", "node", "t");
  expect(counts).toEqual([1]);
});
