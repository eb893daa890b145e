/** send, query, channels and their handlers, between nodes in virtual time. */
import { describe, expect, it, vi } from "vitest";
import {
  ClusterNode,
  type Member,
  type MemberMessage,
  type MemberMessagesStats,
  type MemberSendOptions,
  type MemberSendResult,
  type QueryError,
} from "../../../src/cluster/index.js";
import { MAX_HANDLING, MAX_HANDLING_BYTES } from "../../../src/cluster/messaging/bounds.js";
import { encodeMemberItem, MemberOp } from "../../../src/cluster/messaging/member-wire.js";
import { MessageKind } from "../../../src/cluster/messaging/parts.js";
import { ignore } from "../../../src/core/waiter.js";
import { simulate } from "../../../src/testing/index.js";
import { gate } from "../../support/gate.js";
import { LONG } from "../../support/long.js";
import { eventsOf, onOneHost, SETTLED, startNodes } from "../simulated.js";
import { MemoryProtocol } from "./memory-protocol.js";
import { throwing } from "./throwing.js";
import { withMessaging } from "./with-messaging.js";

const never = (): Promise<never> => new Promise(() => undefined);

function inbox(node: ClusterNode): MemberMessage[] {
  const messages: MemberMessage[] = [];
  node.onMessage((message) => void messages.push(message));
  return messages;
}

const dataOf = (messages: readonly MemberMessage[]) => messages.map(({ data }) => data);

const names = (members: Iterable<{ readonly name: string }>): string[] =>
  [...members].map(({ name }) => name.split("@")[0] as string).sort();

function statsOf(node: ClusterNode) {
  return node.stats().memberMessages as MemberMessagesStats;
}

it("what a member sends that is lost here is handled, unless a hook vetoed the member before", () =>
  simulate({ seed: 1, runs: 3, shrink: false }, async (world) => {
    const nodes = await startNodes(world, ["a", "b", "evil"]);
    const [a, b, evil] = [...nodes.values()] as [ClusterNode, ClusterNode, ClusterNode];
    await world.node("b").run(() => {
      b.hook("member:validate", ({ name }) => {
        if (name.startsWith("evil")) throw new Error("no");
      });
    });
    const box = inbox(b);
    await world.until(() => [a, b, evil].every((node) => node.members().length === 3), 10_000);
    const each = (does: (node: ClusterNode, name: string) => unknown) =>
      Promise.all([...nodes].map(([name, node]) => name !== "b" && does(node, name)));
    await each((node, name) => world.node(name).run(() => node.send({ members: ["b"], data: "before" })));
    const came = (count: number): boolean =>
      box.length === count && statsOf(b).refused["member:validate"] === count;
    await world.until(() => came(1), 5_000);
    // The first that they do when they go on, long after, is to send, and no datagram is faster.
    await each((node, name) =>
      world.node(name).run(() => {
        setTimeout(() => void node.send({ members: ["b"], data: "late" }), 10);
      }),
    );
    await each((_, name) => world.node(name).stall());
    await world.until(() => b.members().length === 1, 60_000);
    world.network({ loss: 1 });
    await each((_, name) => world.node(name).resume());
    await world.until(() => came(2), 60_000);
    expect(dataOf(box)).toEqual(["before", "late"]);
  }));

it("services say what a namespace without messages, and one that was not started, cannot do", async () => {
  const off = new ClusterNode({ messaging: false });
  expect(() => off.onQuery(() => "")).toThrow("messaging is false");
  expect(() => off.hook("event", () => undefined)).toThrow("messaging is false");
  await expect(off.send({ resolve: "x" })).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  const early = new ClusterNode({ messaging: { channels: [7, "orders"] } });
  early.hook("event", () => undefined);
  early.onMessage(() => undefined);
  expect(early.channels.joined).toEqual([7, "orders"]);
  await expect(early.send({ resolve: "x" })).rejects.toMatchObject({ code: "EFSM" });
  expect(() => early.query({ resolve: "x" })).toThrow("was not started");
  expect(() => new ClusterNode({ messaging: { channels: [256] } })).toThrow("a channel must be");
});

describe("send", () => {
  it("keeps texts and bytes apart", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const box = inbox(b);
      for (const data of ["züge", Buffer.from("züge"), new Uint8Array([0xff, 0]), undefined])
        await a.send({ members: ["b"], data });
      await world.advance(SETTLED);
      expect(dataOf(box)).toEqual(["züge", Buffer.from("züge"), Buffer.from([0xff, 0]), ""]);
    }));

  it("goes to this node only where it is asked for", () =>
    onOneHost(["a", "b"], async ({ a }, world) => {
      const box = inbox(a);
      const sent = async (options: MemberSendOptions) => names((await a.send(options)).sent);
      expect(await sent({ resolve: "localhost" })).toEqual(["b"]);
      expect(await sent({ resolve: "localhost", self: true, data: "me" })).toEqual(["a", "b"]);
      expect(await sent({ members: ["a"] })).toEqual([]);
      await world.advance(SETTLED);
      expect(box.map(({ data, protocol }) => [data, protocol])).toEqual([["me", "self"]]);
    }));

  it("says who failed, and why", () => {
    const messaging = (name: string) => name !== "c" && { highWaterMark: name === "a" ? 1 : 10 };
    return withMessaging(messaging, ["a", "b", "c", "d", "e"], async ({ a, d }, world) => {
      const [b, c, gone, e] = ["b", "c", "d", "e"].map((name) => a.member(name) as Member);
      await d.leave();
      await world.advance(SETTLED);
      // There is room for one.
      await a.send({ members: ["b"] });
      const members = [b, c, gone, "nobody", e, gone, "nobody", e] as Member[];
      const { sent, failed } = await a.send({ members });
      expect(names(sent)).toEqual(["e"]);
      const results = failed.map(({ name, member, error }) => [name.split("@")[0], member?.id, error.code]);
      expect(results.sort()).toEqual([
        ["b", b?.id, "EAGAIN"],
        ["c", c?.id, "EHOSTUNREACH"],
        ["d", gone?.id, "EHOSTUNREACH"],
        ["nobody", undefined, "EHOSTUNREACH"],
      ]);
      expect(statsOf(a)).toMatchObject({ sent: 2, failed: 4 });
      const { id } = gone as Member;
      const query = a.query({ members: [gone as Member, gone as Member] });
      expect(query.members).toEqual([gone]);
      const either = [gone as Member, id];
      for (const members of [either, either.toReversed()])
        expect(() => a.query({ members })).toThrow("no live member");
      const [named] = (await a.send({ members: ["c"], protocols: ["tcp"] })).failed;
      expect(named?.error.message).toBe(`${c?.name} is not reached by tcp`);
    });
  });

  it("refuses protocols that nobody knows, and takes those of the program's own", () => {
    const protocols = [new MemoryProtocol("pipe").protocol, "tcp"] as const;
    const messaging = (name: string) => (name === "c" ? {} : { protocols });
    return withMessaging(messaging, ["a", "b", "c"], async ({ a, c }) => {
      const wrong = a.send({ members: ["b"], protocols: ["tcpp"] });
      await expect(wrong).rejects.toThrow('got "tcpp"; did you mean tcp?');
      expect(() => a.query({ members: ["b"], protocols: ["pipe", "x"] })).toThrow('got "x"');
      expect((await a.send({ members: ["b"], protocols: ["pipe"] })).sent.length).toBe(1);
      await expect(c.send({ members: ["a"], protocols: ["pipe"] })).rejects.toThrow("protocols must be");
    });
  });

  it("refuses what is of another form", () =>
    onOneHost(["a", "b"], async ({ a }) => {
      const EINVAL = { code: "EINVAL" };
      for (const options of [
        undefined,
        null,
        {},
        { members: "b" },
        { members: [7] },
        { members: ["b"], channel: 256 },
        { members: ["b"], channel: "" },
        { members: ["b"], channel: "x".repeat(65) },
        { members: ["b"], channel: "\ud800" },
        { members: ["b"], data: 7 },
        { members: ["b"], ruid: "x".repeat(129) },
        { members: ["b"], protocols: [] },
        { members: ["b"], protocols: "tcp" },
        { members: ["b"], broadcast: 1 },
        { members: ["b"], self: 1 },
        { members: ["b"], chanel: 1 },
        { resolver: "b" },
        { resolver: [{ had: [] }] },
        { resolver: [] },
      ])
        await expect(a.send(options as never), JSON.stringify(options)).rejects.toMatchObject(EINVAL);
      expect(statsOf(a).sent).toBe(0);
    }));
});

describe("what is sent to a member", () => {
  it("arrives in its order, whichever links the other recipients have: messages, and queries with hooks of some protocols", () => {
    const protocols = [new MemoryProtocol("pipe").protocol, "tcp"] as const;
    const messaging = (name: string) => (name === "c" ? {} : { protocols });
    return withMessaging(messaging, ["a", "b", "c"], async ({ a, b, c }, world) => {
      const box = inbox(c);
      const each = [["b", "c"], ["c"], ["b", "c"], ["c"]];
      const sends = each.map((members, i) => a.send({ members, data: String(i) }));
      expect((await Promise.all(sends)).map(({ sent }) => sent.length)).toEqual([2, 1, 2, 1]);
      await world.advance(SETTLED);
      expect(dataOf(box)).toEqual(["0", "1", "2", "3"]);
      const asked: unknown[] = [];
      b.onQuery(() => "b");
      c.onQuery(({ data }) => {
        asked.push(data);
        return "c";
      });
      a.hook("protocol:send", { protocols: ["pipe"] }, () => undefined);
      const queries = each.map((members, i) => a.query({ members, data: String(i) }).collect());
      expect((await Promise.all(queries)).map(({ replies }) => replies.length)).toEqual([2, 1, 2, 1]);
      expect(asked).toEqual(["0", "1", "2", "3"]);
    });
  });

  it("is vetoed where a hook is called for what it sends itself, without an end", () =>
    onOneHost(["a", "b"], async ({ a }, world) => {
      let calls = 0;
      const failures: unknown[] = [];
      a.hook("evaluate:send", ({ data }) => {
        calls += 1;
        a.send({ members: ["b"], data }).catch((error: unknown) => failures.push(error));
      });
      expect((await a.send({ members: ["b"] })).sent.length).toBe(1);
      await world.advance(SETTLED);
      expect([calls, statsOf(a).sent, failures]).toMatchObject([17, 17, [{ code: "EFSM" }]]);
    }));
});

describe("channels", () => {
  it("drops what comes on one that is not joined before any hook", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const hook = vi.fn(() => undefined);
      b.hook("protocol:receive", hook);
      const box = inbox(b);
      for (const channel of [0, 1, 2, 3, 255, "orders", "5"])
        await a.send({ members: ["b"], channel, data: `on ${channel}` });
      const query = a.query({ members: ["b"], channel: 9, timeout: 0 });
      await world.advance(SETTLED);
      expect([box.map(({ channel }) => channel), hook.mock.calls.length]).toEqual([[0, 1, 2], 3]);
      expect(statsOf(b)).toMatchObject({ notJoined: 5, received: 3 });
      // A text that is not UTF-8.
      for (const channel of [1, 3])
        a.parts.messages.links.send(b.id, MessageKind.MEMBER, Buffer.of(0x19, channel, 0xff));
      await world.advance(SETTLED);
      expect(statsOf(b)).toMatchObject({ notJoined: 5, refused: { "member:utf8": 2 } });
      expect(names((await query.collect()).missing)).toEqual(["b"]);

      b.channels.join("orders", 5, 255);
      b.channels.leave(0);
      expect(b.channels.joined).toEqual([1, 2, 5, 255, "orders"]);
      box.length = 0;
      for (const channel of [0, 1, 255, "orders", 5, "5"])
        await a.send({ members: ["b"], channel, data: "again" });
      await world.advance(SETTLED);
      expect(box.map(({ channel }) => channel)).toEqual([1, 255, "orders", 5]);
    }));

  it("may have handlers of their own", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const got: string[] = [];
      b.onMessage(({ data }) => void got.push(`all ${data}`));
      const remove = b.onMessage(({ data }) => void got.push(`one ${data}`), { channels: [1] });
      await a.send({ members: ["b"], channel: 1, data: "x" });
      await a.send({ members: ["b"], channel: 2, data: "y" });
      await world.advance(SETTLED);
      remove();
      await a.send({ members: ["b"], channel: 1, data: "z" });
      await world.advance(SETTLED);
      expect(got).toEqual(["all x", "one x", "all y", "all z"]);
    }));

  it("are bounded, and change nothing when one of several is refused", () => {
    const { channels } = new ClusterNode();
    expect(() => channels.join(7, -1)).toThrow("a channel must be a number from 0 to 255");
    expect(channels.joined).toEqual([0, 1, 2]);
    expect(() => channels.leave(1, 1.5)).toThrow("a channel must be");
    expect(channels.joined).toEqual([0, 1, 2]);
  });
});

describe("query", () => {
  it("asks each once, and gives who answered what; this node only where it is asked for", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }) => {
      for (const [name, node] of Object.entries({ a, b, c }))
        node.onQuery(
          ({ member, data, ruid, channel }) => `${name} to ${names([member])}: ${data} ${ruid} ${channel}`,
        );
      const query = a.query({ resolve: "localhost", id: "q1", channel: 2, data: "stock?" });
      const got: unknown[] = [];
      for await (const { member, data } of query) got.push([...names([member]), data]);
      expect(got.sort()).toEqual([
        ["b", "b to a: stock? q1 2"],
        ["c", "c to a: stock? q1 2"],
      ]);
      expect([query.id, query.ended, query.missing]).toEqual(["q1", "done", []]);
      expect(statsOf(a)).toMatchObject({ sent: 2, queries: 0, awaited: 0 });
      const { replies } = await a.query({ members: ["a"], id: "q2", self: true }).collect();
      expect([replies.map(({ data }) => data), statsOf(b).received]).toEqual([["a to a:  q2 0"], 1]);
    }));

  it("collects replies, failures and who is missing", () => {
    const answers = {
      text: () => "yes",
      bytes: () => Buffer.from([1, 2]),
      throws: throwing(new Error("password is 1234")),
      exposes: throwing(Object.assign(new Error("no stock"), { expose: true })),
      none: undefined,
      wrong: () => 7 as never,
      odd: () =>
        new Proxy({}, { get: throwing(Object.assign(new Error("no then"), { expose: true })) }) as never,
      hangs: never,
      dies: never,
    } as const;
    const all = Object.keys(answers) as (keyof typeof answers)[];
    return onOneHost(["a", ...all], async ({ a, ...nodes }, world) => {
      for (const name of all) {
        nodes[name].events.on("handler:failed", ignore);
        const answer = answers[name];
        if (answer !== undefined) nodes[name].onQuery(answer);
      }
      const query = a.query({ members: all, timeout: -1 });
      await world.advance(SETTLED);
      void nodes.dies.close({ linger: 0 });
      await world.advance(SETTLED);
      query.cancel();
      const { replies, failed, missing } = await query.collect();
      const replied = Object.fromEntries(replies.map(({ member, data }) => [names([member])[0], data]));
      expect(replied).toEqual({ text: "yes", bytes: Buffer.from([1, 2]) });
      const { host } = a.self;
      const texts = failed.map(({ error }) => error.message.replaceAll(`@${host}`, ""));
      expect(texts.sort()).toEqual([
        "dies is gone",
        "exposes: the handler failed: no stock",
        "none: no handler answers queries on this channel",
        "odd: the handler failed: no then",
        "throws: the handler failed",
        "wrong: the handler failed",
      ]);
      expect([names(missing), query.ended]).toEqual([["hangs"], "cancelled"]);
      expect(statsOf(nodes.odd).handling).toBe(0);
      const late = a.query({ members: ["hangs"], timeout: 1 });
      expect(names((await late.collect()).missing)).toEqual(["hangs"]);
      expect(late.ended).toBe("timeout");
    });
  });

  it("drops late, double and foreign replies, and counts them", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }, world) => {
      for (const node of [b, c]) node.onQuery(never);
      const query = a.query({ members: ["b"], timeout: -1 });
      const id = Number(query.id);
      const reply = (from: ClusterNode, to: number, data: string): void => {
        const item = encodeMemberItem({ op: MemberOp.REPLY, channel: 0, id: to, ruid: "", data });
        from.parts.messages.links.send(a.id, MessageKind.MEMBER, item);
      };
      reply(c, id, "not asked");
      reply(b, id + 1, "no such query");
      reply(b, id - 1, "before the first");
      await world.advance(SETTLED);
      const two = a.query({ members: ["b", "c"], timeout: -1 });
      reply(b, id + 1, "first");
      reply(b, id + 1, "second");
      reply(b, id, "right");
      reply(b, id, "late");
      await world.advance(SETTLED);
      expect((await query.collect()).replies.map(({ data }) => data)).toEqual(["right"]);
      two.cancel();
      expect((await two.collect()).replies.map(({ data }) => data)).toEqual(["first"]);
      expect(statsOf(a).refused).toEqual({ "member:unawaited": 5 });
    }));

  it("ends when the loop is left, aborted, or the node closes", () =>
    onOneHost(["a", "b", "c", "slow"], async ({ a, b, c, slow }) => {
      b.onQuery(() => "here");
      for (const node of [c, slow]) node.onQuery(never);
      const left = a.query({ members: ["b", "c"] });
      for await (const { data } of left) {
        expect(data).toBe("here");
        break;
      }
      expect([left.ended, statsOf(a).queries]).toEqual(["cancelled", 0]);
      const stop = new AbortController();
      const aborted = a.query({ members: ["slow"], signal: stop.signal, timeout: -1 });
      const closed = a.query({ members: ["slow"], timeout: -1 });
      expect(statsOf(a)).toMatchObject({ queries: 2, awaited: 2 });
      stop.abort();
      expect(names((await aborted.collect()).missing)).toEqual(["slow"]);
      const collected = closed.collect();
      await a.close();
      expect(names((await collected).missing)).toEqual(["slow"]);
      expect([aborted.ended, closed.ended]).toEqual(["cancelled", "cancelled"]);
      expect(() => a.query({ members: ["b"] })).toThrow("closed");
      await expect(closed.collect()).rejects.toMatchObject({ code: "EFSM" });
    }));

  it("is bounded in queries, in responses and in bytes that nobody reads", () => {
    const big = ["v", "w", "x", "y", "z"] as const;
    return onOneHost(["a", "slow", ...big], async ({ a, slow, ...others }) => {
      slow.onQuery(never);
      const ask = () => a.query({ members: ["slow"], timeout: -1 });
      const queries = Array.from({ length: 1_024 }, ask);
      expect(ask).toThrow("1024 calls wait");
      for (const query of queries) query.cancel();
      for (const name of big) others[name].onQuery(() => Buffer.alloc(400));
      const { replies, failed } = await a.query({ members: big, maxReplyBytes: 1_000 }).collect();
      expect([replies.length, failed.length]).toEqual([2, 3]);
      expect(failed[0]?.error.message).toContain("too many bytes of answers");
    });
  });

  it("is answered by a failure where the handler takes longer than it may, and its place is free then", () =>
    onOneHost(["a", "b", "c", "d", "e"], async ({ a, b, c, d, e }, world) => {
      const late: ((text: string) => void)[] = [];
      const hang = (): Promise<string> => new Promise((resolve) => late.push(resolve));
      b.onQuery(hang);
      c.onQuery(hang, { timeout: 100 });
      d.onQuery(hang, { timeout: -1 });
      e.onMessage(never, { timeout: 100 });
      const [failedB, failedE] = [eventsOf(b, "handler:failed"), eventsOf(e, "handler:failed")];
      await a.send({ members: ["e"] });
      const query = a.query({ members: ["b", "c", "d"], timeout: -1 });
      await world.advance(90);
      expect([query.missing.length, statsOf(e).handling]).toEqual([3, 1]);
      await world.advance(20);
      expect([statsOf(e).handling, failedE]).toMatchObject([0, [{ error: { code: "ETIMEDOUT" } }]]);
      expect([query.missing.length, statsOf(c).handling]).toEqual([2, 0]);
      await world.advance(59_800);
      expect(query.missing.length).toBe(2);
      await world.advance(200);
      expect(names(query.missing)).toEqual(["d"]);
      expect([statsOf(b).handling, statsOf(d).handling]).toEqual([0, 1]);
      expect(failedB).toMatchObject([{ error: { code: "ETIMEDOUT" } }]);
      for (const resolve of late) resolve("late");
      const { replies, failed } = await query.collect();
      expect(replies.map(({ member, data }) => [...names([member]), data])).toEqual([["d", "late"]]);
      const reasons = failed.map(({ error }) => (error as QueryError).reason);
      expect(reasons).toEqual(["handler-failed", "handler-failed"]);
      for (const timeout of [1.5, -2, 2 ** 31, "1", Number.NaN] as number[])
        expect(() => b.onMessage(ignore, { timeout })).toThrow("timeout of onMessage must be");
    }));

  it("is refused past those that are handled, and is taken again later", () =>
    withMessaging({ maxItem: 2 * MAX_HANDLING_BYTES }, ["a", "b"], async ({ a, b }, world) => {
      const free: (() => void)[] = [];
      b.onQuery(() => new Promise<string>((resolve) => free.push(() => resolve("late"))));
      const data = Buffer.alloc(MAX_HANDLING_BYTES);
      const large = b.query({ members: ["b"], self: true, data, timeout: -1 });
      await world.advance(SETTLED);
      expect(statsOf(b).handling).toBe(1);
      large.cancel();
      const { failed } = await a.query({ members: ["b"] }).collect();
      expect(failed[0]?.error).toMatchObject({ code: "ERR_SERVICE", reason: "overloaded" });
      for (const each of free) each();
      await world.advance(SETTLED);
      expect(statsOf(b).handling).toBe(0);
      const again = a.query({ members: ["b"] });
      await world.advance(SETTLED);
      free.at(-1)?.();
      expect((await again.collect()).replies.length).toBe(1);
    }));

  it("fails where the handler threw what has no text", () =>
    onOneHost(["a", "b"], async ({ a, b }) => {
      const events = eventsOf(b, "handler:failed");
      const trap = new Proxy({}, { get: throwing(new Error("trap")) });
      for (const thrown of [undefined, Object.create(null), trap, Symbol("s")]) {
        const remove = b.onQuery(throwing(thrown));
        const { failed, missing } = await a.query({ members: ["b"] }).collect();
        const reasons = failed.map(({ error }) => (error as QueryError).reason);
        expect([reasons, missing]).toEqual([["handler-failed"], []]);
        remove();
      }
      expect(events.length).toBe(4);
    }));

  it("has one handler for a channel", () => {
    const node = new ClusterNode();
    const remove = node.onQuery(() => "all");
    node.onQuery(() => "one", { channels: [1] });
    expect(() => node.onQuery(() => "x")).toThrow("already");
    expect(() => node.onQuery(() => "x", { channels: [0, 1] })).toThrow("already");
    remove();
    node.onQuery(() => "other");
  });
});

describe("handlers", () => {
  it.runIf(LONG)("that never settle have messages dropped past a bound, with one event", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const events = eventsOf(b, "handler:failed");
      const free: (() => void)[] = [];
      let got = 0;
      const hang = (): Promise<void> => {
        got += 1;
        return new Promise((resolve) => free.push(resolve));
      };
      b.onMessage(hang, { timeout: -1 });
      const send = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) await a.send({ members: ["b"] });
        await world.advance(SETTLED);
      };
      await send(MAX_HANDLING + 5);
      expect([got, statsOf(b).refused]).toEqual([MAX_HANDLING, { "member:overloaded": 5 }]);
      expect(events).toMatchObject([{ error: { code: "EAGAIN" } }]);
      free.shift()?.();
      await world.advance(SETTLED);
      await send(2);
      expect([got, statsOf(b).refused]).toEqual([MAX_HANDLING + 1, { "member:overloaded": 6 }]);
      expect(events.length).toBe(1);
      for (const done of free.splice(0)) done();
      await world.advance(SETTLED);
      expect(statsOf(b).handling).toBe(0);
    }),
  );

  it("that are busy drop messages past the bytes that may be handled, one event each time", () =>
    withMessaging({ maxItem: 2 * MAX_HANDLING_BYTES }, ["a", "b"], async ({ a, b }, world) => {
      const events = eventsOf(b, "handler:failed");
      const free: (() => void)[] = [];
      b.onMessage(() => new Promise<void>((resolve) => free.push(resolve)), { timeout: -1 });
      const data = Buffer.alloc(MAX_HANDLING_BYTES);
      for (let i = 1; i <= 2; i++) {
        await b.send({ members: ["b"], self: true, data });
        await world.advance(SETTLED);
        for (let j = 0; j < 2; j++) await a.send({ members: ["b"] });
        await world.advance(SETTLED);
        expect([events.length, statsOf(b).refused]).toEqual([i, { "member:overloaded": 2 * i }]);
        for (const done of free.splice(0)) done();
        await world.advance(SETTLED);
      }
    }));
});

describe("a node that sends to itself", () => {
  const toItself = { broadcast: true, self: true } as const;

  it.runIf(LONG)("has so many messages waiting, and further ones fail", () =>
    onOneHost(["a"], async ({ a }, world) => {
      const { passed: released, open: release } = gate();
      let got = 0;
      const handler = (): Promise<void> => {
        got += 1;
        return released;
      };
      for (let i = 0; i < 2; i++) a.onMessage(handler);
      const send = (count: number): Promise<MemberSendResult[]> =>
        Promise.all(Array.from({ length: count }, () => a.send({ ...toItself, data: "x" })));
      const results = await send(MAX_HANDLING + 5);
      expect(results.filter(({ sent }) => sent.length === 1)).toHaveLength(MAX_HANDLING);
      const failures = results.flatMap(({ failed }) => failed);
      expect(failures).toHaveLength(5);
      expect(failures[0]).toMatchObject({ member: { id: a.id }, error: { code: "EAGAIN" } });
      await world.advance(SETTLED);
      expect(statsOf(a)).toMatchObject({ handling: 2 * MAX_HANDLING, failed: 5 });
      release();
      await world.advance(SETTLED);
      // There is room for more.
      expect(got).toBe(2 * MAX_HANDLING);
      expect(await send(1)).toMatchObject([{ failed: [] }]);
    }),
  );

  it("has a bound of bytes, too, below which one of any size may be handled", () =>
    onOneHost(
      ["a"],
      async ({ a }, world) => {
        a.onMessage(never, { timeout: -1 });
        const data = Buffer.alloc(MAX_HANDLING_BYTES);
        const results = [];
        for (let i = 0; i < 3; i++) {
          results.push(await a.send({ ...toItself, data }));
          // It is handled before the last one is sent.
          if (i === 1) await world.advance(SETTLED);
        }
        const codes = results.map(({ failed }) => failed.map(({ error }) => error.code));
        expect(codes).toEqual([[], ["EAGAIN"], ["EAGAIN"]]);
      },
      { messaging: { maxItem: 2 * MAX_HANDLING_BYTES } },
    ));

  it("may do so in each handler without an end, and the event loop turns", () =>
    onOneHost(["a"], async ({ a }) => {
      let got = 0;
      let isOver = false;
      const send = (): void => void a.send({ ...toItself, data: "again" });
      a.onMessage(() => {
        got += 1;
        if (!isOver) send();
      });
      send();
      while (got < 10) await new Promise((resolve) => setImmediate(resolve));
      isOver = true;
    }));

  it("is not asked for what it sent before it closed", () =>
    onOneHost(["a"], async ({ a }, world) => {
      const box = inbox(a);
      for (let i = 0; i < 3; i++) void a.send({ ...toItself, data: "x" });
      await a.close({ linger: 0 });
      await world.advance(SETTLED);
      expect(box).toEqual([]);
    }));
});
