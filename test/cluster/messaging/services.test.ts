/** send, query, channels and their handlers, over links in memory. */
import { afterEach, describe, it, vi } from "vitest";
import { MAX_HANDLING, MAX_HANDLING_BYTES } from "../../../src/cluster/messaging/bounds.js";
import type { QueryError } from "../../../src/cluster/messaging/query.js";
import type { ServiceMessage, ServiceSendResult } from "../../../src/cluster/messaging/service-types.js";
import { encodeService, ServiceOp } from "../../../src/cluster/messaging/service-wire.js";
import { gate } from "../../support/gate.js";
import { LONG } from "../../support/long.js";
import { expect } from "../../support/quick-expect.js";
import { oneService, ServiceWorld, type SimulatedService, settle, twoServices } from "./service-world.js";

afterEach(() => void vi.useRealTimers());

function inbox(simulated: SimulatedService): ServiceMessage[] {
  const messages: ServiceMessage[] = [];
  simulated.services.receiver.onMessage((message) => void messages.push(message));
  return messages;
}

const names = (services: Iterable<{ readonly name: string }>): string[] =>
  [...services].map(({ name }) => name.split("@")[0] as string);

describe("what a service sends that is lost here", () => {
  it("is handled, unless a hook vetoed the service before", async () => {
    const world = new ServiceWorld();
    const b = world.add("b");
    const box = inbox(b);
    b.services.hook("service:discovered", ({ name }) => {
      if (name.startsWith("evil")) throw new Error("no");
    });
    const [a, evil] = [world.add("a"), world.add("evil")];
    for (const each of [a, evil]) {
      b.unknown.add(each.service.id);
      b.lost.add(each.service.id);
      b.services.onMember("lost", each.service);
      await each.services.send({ services: ["b"], data: "x" });
    }
    await settle();
    expect(names(box.map(({ service }) => service))).toEqual(["a"]);
    b.lost.clear();
    await a.services.send({ services: ["b"], data: "x" });
    await settle();
    expect(b.services.stats().refused).toEqual({ "service:validate": 1, "service:sender": 1 });
  });
});

describe("send", () => {
  it("goes to the union of what the selectors find, to each once", async () => {
    const { world, a } = oneService();
    const b = world.add("b", ["eu", "billing"]);
    const c = world.add("c", ["eu"]);
    const d = world.add("d", ["us"]);
    const e = world.add("e");
    const boxes = [b, c, d, e].map(inbox);
    const { sent, failed, means } = await a.services.send({
      services: [b.service, "d"],
      resolver: [{ has: ["eu"] }],
      resolve: ["eu", "billing"],
      ruid: "r1",
      data: "hello",
    });
    expect(names(sent).sort()).toEqual(["b", "c", "d"]);
    expect(failed).toEqual([]);
    expect(means).toBe("links");
    await settle();
    expect(boxes.map((box) => box.length)).toEqual([1, 1, 1, 0]);
    expect(boxes[0]?.[0]).toEqual({
      service: a.service,
      channel: 0,
      ruid: "r1",
      data: "hello",
      protocol: "tcp",
    });
    expect(a.sent.length).toBe(3);
    expect(new Set(a.sent.map(({ item }) => item.toString("hex"))).size).toBe(1);
  });

  it("takes a list of services for a resolver, as any iterable of them", async () => {
    const { world, a } = oneService();
    const [b, c] = [world.add("b").service, world.add("c").service];
    for (const resolver of [[b, c], new Set([b, c])])
      expect(names((await a.services.send({ resolver, data: "x" })).sent).sort()).toEqual(["b", "c"]);
  });

  it("keeps texts and bytes apart", async () => {
    const { world, a } = oneService();
    const box = inbox(world.add("b"));
    await a.services.send({ services: ["b"], data: "züge" });
    await a.services.send({ services: ["b"], data: Buffer.from("züge") });
    await a.services.send({ services: ["b"], data: new Uint8Array([0xff, 0]) });
    await a.services.send({ services: ["b"] });
    await settle();
    expect(box.map(({ data }) => data)).toEqual(["züge", Buffer.from("züge"), Buffer.from([0xff, 0]), ""]);
  });

  it("goes to this node only where it is asked for", async () => {
    const world = new ServiceWorld();
    const a = world.add("a", ["x"]);
    world.add("b", ["x"]);
    const box = inbox(a);
    expect(names((await a.services.send({ resolve: "x" })).sent)).toEqual(["b"]);
    expect(names((await a.services.send({ resolve: "x", self: true, data: "me" })).sent).sort()).toEqual([
      "a",
      "b",
    ]);
    expect(names((await a.services.send({ services: ["a"] })).sent)).toEqual([]);
    await settle();
    expect(box.map(({ data, protocol }) => [data, protocol])).toEqual([["me", "self"]]);
  });

  it("says who failed, and why", async () => {
    const { world, a } = oneService();
    const [b, c, d, e] = [world.add("b"), world.add("c"), world.add("d"), world.add("e")];
    a.full.add(b.service.id);
    a.unreachable.add(c.service.id);
    world.kill(d);
    const result = await a.services.send({
      services: [b.service, c.service, d.service, "nobody", e.service, d.service, "nobody", e.service],
    });
    expect(names(result.sent)).toEqual(["e"]);
    expect(
      Object.fromEntries(
        result.failed.map(({ name, service, error }) => [name.split("@")[0], [service?.name, error.code]]),
      ),
    ).toEqual({
      b: ["b@here", "EAGAIN"],
      c: ["c@here", "EHOSTUNREACH"],
      d: ["d@here", "EHOSTUNREACH"],
      nobody: [undefined, "EHOSTUNREACH"],
    });
    expect(a.services.stats()).toMatchObject({ sent: 1, failed: 4 });
    expect(a.services.query({ services: [d.service, d.service] }).services).toEqual([d.service]);
    for (const services of [
      [d.service, d.service.id],
      [d.service.id, d.service],
    ])
      expect(() => a.services.query({ services })).toThrow("no live member");
    a.links.set(c.service.id, "");
    const { failed } = await a.services.send({ services: [c.service], protocols: ["tcp"] });
    expect(failed.map(({ error }) => error.message)).toEqual(["c@here is not reached by tcp"]);
  });

  it("goes to all with broadcast, and to nobody without a selection", async () => {
    const { world, a } = oneService();
    for (const name of ["b", "c", "d"]) world.add(name);
    expect((await a.services.send({ broadcast: true, data: "all" })).sent.length).toBe(3);
    await expect(a.services.send({ data: "x" })).rejects.toMatchObject({ code: "EINVAL" });
    const { sent, means } = await a.services.send({ resolve: "none" });
    expect([sent, means]).toEqual([[], "none"]);
  });

  it("refuses protocols that nobody knows, and takes those of the program's own", async () => {
    const world = new ServiceWorld();
    const a = world.add("a", [], { protocols: ["pipe", "tcp"] });
    const b = world.add("b");
    a.links.set(b.service.id, "pipe");
    await expect(a.services.send({ services: ["b"], protocols: ["tcpp"] })).rejects.toThrow(
      'got "tcpp"; did you mean tcp?',
    );
    expect(() => a.services.query({ services: ["b"], protocols: ["pipe", "x"] })).toThrow('got "x"');
    expect((await a.services.send({ services: ["b"], protocols: ["pipe"] })).sent.length).toBe(1);
    await expect(b.services.send({ services: ["a"], protocols: ["pipe"] })).rejects.toThrow(
      "protocols must be",
    );
  });

  it.each([
    [undefined],
    [null],
    [{}],
    [{ services: "b" }],
    [{ services: [7] }],
    [{ services: ["b"], channel: 256 }],
    [{ services: ["b"], channel: "" }],
    [{ services: ["b"], channel: "x".repeat(65) }],
    [{ services: ["b"], channel: "\ud800" }],
    [{ services: ["b"], data: 7 }],
    [{ services: ["b"], ruid: "x".repeat(129) }],
    [{ services: ["b"], protocols: [] }],
    [{ services: ["b"], protocols: "tcp" }],
    [{ services: ["b"], broadcast: 1 }],
    [{ services: ["b"], self: 1 }],
    [{ services: ["b"], chanel: 1 }],
    [{ resolver: "b" }],
    [{ resolver: [{ had: [] }] }],
    [{ resolver: [] }],
  ])("refuses %j", async (options) => {
    const { world, a } = oneService();
    world.add("b");
    await expect(a.services.send(options as never)).rejects.toMatchObject({ code: "EINVAL" });
    expect(a.sent).toEqual([]);
  });
});

describe("what is sent to a service", () => {
  it("arrives in its order, whichever links the other recipients have", async () => {
    const { world, a } = oneService();
    world.add("b");
    const c = world.add("c");
    a.links.set(c.service.id, "");
    const box = inbox(c);
    const sends = [["b", "c"], ["c"], ["b", "c"], ["c"]].map((services, i) =>
      a.services.send({ services, data: String(i) }),
    );
    expect((await Promise.all(sends)).map(({ sent }) => sent.length)).toEqual([2, 1, 2, 1]);
    await settle();
    expect(box.map(({ data }) => data)).toEqual(["0", "1", "2", "3"]);
  });

  it("is so with queries, too, and with hooks of the protocols of some recipients", async () => {
    const { world, a, b } = twoServices();
    const c = world.add("c");
    a.links.set(b.service.id, "ipc");
    const asked: unknown[] = [];
    for (const { services } of [b, c])
      services.receiver.onQuery(({ data, service }) => {
        if (services === c.services) asked.push(data);
        return service.name;
      });
    a.services.hook("protocol:send", { protocols: ["ipc"] }, () => undefined);
    const queries = [["b", "c"], ["c"], ["b", "c"]].map((services, i) =>
      a.services.query({ services, data: String(i) }).collect(),
    );
    expect((await Promise.all(queries)).map(({ replies }) => replies.length)).toEqual([2, 1, 2]);
    expect(asked).toEqual(["0", "1", "2"]);
  });

  it("is vetoed where a hook is called for what it sends itself, without an end", async () => {
    const { world, a } = oneService();
    world.add("b");
    let calls = 0;
    const failures: unknown[] = [];
    a.services.hook("evaluate:send", ({ data }) => {
      calls += 1;
      a.services.send({ services: ["b"], data }).catch((error: unknown) => failures.push(error));
    });
    expect((await a.services.send({ services: ["b"] })).sent.length).toBe(1);
    await settle();
    expect([calls, a.sent.length, failures]).toMatchObject([17, 17, [{ code: "EFSM" }]]);
  });
});

describe("channels", () => {
  it("drops what comes on one that is not joined before it is decoded", async () => {
    const { a, b } = twoServices();
    let hooks = 0;
    b.services.hook("protocol:receive", () => {
      hooks += 1;
    });
    const box = inbox(b);
    for (const channel of [0, 1, 2, 3, 255, "orders", "5"])
      await a.services.send({ services: ["b"], channel, data: `on ${channel}` });
    const query = a.services.query({ services: ["b"], channel: 9, timeout: 0 });
    await settle();
    expect([box.map(({ channel }) => channel), hooks]).toEqual([[0, 1, 2], 3]);
    expect(b.services.stats()).toMatchObject({ notJoined: 5, received: 3 });
    // A text that is not UTF-8.
    for (const channel of [1, 3])
      void b.services.receiver.onBytes(a.service.id, Buffer.of(0x19, channel, 0xff), "tcp");
    expect(b.services.stats()).toMatchObject({ notJoined: 6, refused: { "service:utf8": 1 } });
    expect(names((await query.collect()).missing)).toEqual(["b"]);

    b.services.channels.join("orders", 5, 255);
    b.services.channels.leave(0);
    expect(b.services.channels.joined).toEqual([1, 2, 5, 255, "orders"]);
    box.length = 0;
    for (const channel of [0, 1, 255, "orders", 5, "5"])
      await a.services.send({ services: ["b"], channel, data: "again" });
    await settle();
    expect(box.map(({ channel }) => channel)).toEqual([1, 255, "orders", 5]);
  });

  it("may have handlers of their own", async () => {
    const { a, b } = twoServices();
    const got: string[] = [];
    b.services.receiver.onMessage(({ data }) => void got.push(`all ${data}`));
    const remove = b.services.receiver.onMessage(({ data }) => void got.push(`one ${data}`), {
      channels: [1],
    });
    await a.services.send({ services: ["b"], channel: 1, data: "x" });
    await a.services.send({ services: ["b"], channel: 2, data: "y" });
    await settle();
    remove();
    await a.services.send({ services: ["b"], channel: 1, data: "z" });
    await settle();
    expect(got).toEqual(["all x", "one x", "all y", "all z"]);
  });

  it("are bounded, and change nothing when one of several is refused", () => {
    const { channels } = new ServiceWorld().add("a").services;
    expect(() => channels.join(7, -1)).toThrow("a channel must be a number from 0 to 255");
    expect(channels.joined).toEqual([0, 1, 2]);
    expect(() => channels.join(...Array.from({ length: 1_022 }, (_, i) => `c${i}`))).toThrow("1024");
    expect(() => channels.leave(1, 1.5)).toThrow("a channel must be");
    expect(channels.joined).toEqual([0, 1, 2]);
  });
});

describe("query", () => {
  it("asks each once, and gives who answered what", async () => {
    const { world, a } = oneService();
    for (const name of ["b", "c"]) {
      const { services } = world.add(name, ["store"]);
      services.receiver.onQuery(
        ({ service, data, ruid, channel }) => `${name} to ${service.name}: ${data} ${ruid} ${channel}`,
      );
    }
    const query = a.services.query({ resolve: "store", id: "q1", channel: 2, data: "stock?" });
    const got: unknown[] = [];
    for await (const { service, data } of query) got.push([service.name, data]);
    expect(got).toEqual([
      ["b@here", "b to a@here: stock? q1 2"],
      ["c@here", "c to a@here: stock? q1 2"],
    ]);
    expect([query.id, query.ended, query.missing]).toEqual(["q1", "done", []]);
    expect(a.services.stats()).toMatchObject({ queries: 0, awaited: 0 });
  });

  it("collects replies, failures and who is missing", async () => {
    const { world, a } = oneService();
    const make = (
      name: string,
      answer: (() => string | Buffer | Promise<string>) | undefined,
    ): SimulatedService => {
      const simulated = world.add(name, ["all"]);
      if (answer !== undefined) simulated.services.receiver.onQuery(answer);
      return simulated;
    };
    make("text", () => "yes");
    make("bytes", () => Buffer.from([1, 2]));
    make("throws", () => {
      throw new Error("password is 1234");
    });
    make("exposes", () => {
      throw Object.assign(new Error("no stock"), { expose: true });
    });
    make("none", undefined);
    make("wrong", () => 7 as never);
    const odd = make("odd", () => {
      const get = () => {
        throw Object.assign(new Error("no then"), { expose: true });
      };
      return new Proxy({}, { get }) as never;
    });
    make("hangs", () => new Promise(() => undefined));
    const dies = make("dies", () => new Promise(() => undefined));
    const full = make("full", () => "x");
    a.full.add(full.service.id);
    const query = a.services.query({ resolve: "all", timeout: -1 });
    await settle();
    world.kill(dies);
    query.cancel();
    const { replies, failed, missing } = await query.collect();
    expect(replies.map(({ service, data }) => [service.name, data])).toEqual([
      ["text@here", "yes"],
      ["bytes@here", Buffer.from([1, 2])],
    ]);
    expect(Object.fromEntries(failed.map(({ service, error }) => [service.name, error.message]))).toEqual({
      "throws@here": "throws@here: the handler failed",
      "exposes@here": "exposes@here: the handler failed: no stock",
      "none@here": "none@here: no handler answers queries on this channel",
      "wrong@here": "wrong@here: the handler failed",
      "odd@here": "odd@here: the handler failed: no then",
      "full@here": "the link to full@here is full",
      "dies@here": "dies@here is gone",
    });
    expect(names(missing)).toEqual(["hangs"]);
    expect(odd.services.stats().handling).toBe(0);
    expect(query.ended).toBe("cancelled");
    const late = a.services.query({ services: ["hangs"], timeout: 1 });
    expect(names((await late.collect()).missing)).toEqual(["hangs"]);
    expect(late.ended).toBe("timeout");
  });

  it("asks this node only where it is asked for", async () => {
    const a = new ServiceWorld().add("a");
    a.services.receiver.onQuery(() => "myself");
    expect((await a.services.query({ resolve: "localhost" }).collect()).replies).toEqual([]);
    const { replies } = await a.services.query({ resolve: "localhost", self: true }).collect();
    expect(replies.map(({ data }) => data)).toEqual(["myself"]);
    expect(a.sent).toEqual([]);
  });

  it("of 100 services takes as long as the slowest round trip, in virtual time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { world, a } = oneService();
    const delays = new Map<string, number>();
    for (let i = 1; i <= 100; i++) {
      const each = world.add(`s${i}`, ["asked"]);
      each.services.receiver.onQuery(() => "here");
      delays.set(each.service.id, 3 * i);
    }
    world.deliver = (from, to) => {
      const ms = delays.get((from === a ? to : from).service.id);
      return new Promise((resolve) => setTimeout(resolve, ms));
    };
    const query = a.services.query({ resolve: "asked", timeout: -1 });
    const collected = query.collect();
    await vi.advanceTimersByTimeAsync(2 * 300 - 1);
    expect([query.ended, query.missing.length]).toEqual([undefined, 1]);
    await vi.advanceTimersByTimeAsync(1);
    expect([query.ended, (await collected).replies.length]).toEqual(["done", 100]);
  });

  it("drops late, double and foreign replies, and counts them", async () => {
    const { world, a, b } = twoServices();
    const c = world.add("c");
    const query = a.services.query({ services: ["b"], timeout: -1 });
    const id = Number(query.id);
    const reply = ({ service }: SimulatedService, to: number, data: string): void =>
      void a.services.receiver.onBytes(
        service.id,
        encodeService({ op: ServiceOp.REPLY, channel: 0, id: to, ruid: "", data }),
        "tcp",
      );
    reply(c, id, "not asked");
    reply(b, id + 1, "no such query");
    reply(b, id - 1, "before the first");
    const two = a.services.query({ services: ["b", "c"], timeout: -1 });
    reply(b, id + 1, "first");
    reply(b, id + 1, "second");
    reply(b, id, "right");
    reply(b, id, "late");
    expect((await query.collect()).replies.map(({ data }) => data)).toEqual(["right"]);
    two.cancel();
    expect((await two.collect()).replies.map(({ data }) => data)).toEqual(["first"]);
    expect(a.services.stats().refused).toEqual({
      "service:foreign": 3,
      "service:double": 1,
      "service:late": 1,
    });
  });

  it("ends when the loop is left, aborted, or the bus closes", async () => {
    const { world, a } = oneService();
    for (const name of ["b", "c"]) world.add(name, ["x"]).services.receiver.onQuery(() => name);
    const left = a.services.query({ resolve: "x" });
    for await (const { data } of left) {
      expect(data).toBe("b");
      break;
    }
    expect([left.ended, a.services.stats().queries]).toEqual(["done", 0]);
    world.add("slow").services.receiver.onQuery(() => new Promise(() => undefined));
    const stop = new AbortController();
    const aborted = a.services.query({ services: ["slow"], signal: stop.signal, timeout: -1 });
    const closed = a.services.query({ services: ["slow"], timeout: -1 });
    expect(a.services.stats()).toMatchObject({ queries: 2, awaited: 2 });
    stop.abort();
    expect(names((await aborted.collect()).missing)).toEqual(["slow"]);
    const collected = closed.collect();
    a.services.close();
    expect(names((await collected).missing)).toEqual(["slow"]);
    expect([aborted.ended, closed.ended]).toEqual(["cancelled", "cancelled"]);
    expect(() => a.services.query({ services: ["b"] })).toThrow("closed");
    await expect(closed.collect()).rejects.toMatchObject({ code: "EFSM" });
  });

  it("is bounded in queries, in responses and in bytes that nobody reads", async () => {
    const { world, a } = oneService();
    world.add("slow").services.receiver.onQuery(() => new Promise(() => undefined));
    const queries = Array.from({ length: 1_024 }, () =>
      a.services.query({ services: ["slow"], timeout: -1 }),
    );
    expect(() => a.services.query({ services: ["slow"] })).toThrow("1024 calls wait");
    for (const query of queries) query.cancel();
    for (let i = 0; i < 5; i++)
      world.add(`big${i}`, ["big"]).services.receiver.onQuery(() => Buffer.alloc(400));
    const { replies, failed } = await a.services.query({ resolve: "big", maxReplyBytes: 1_000 }).collect();
    expect([replies.length, failed.length]).toEqual([2, 3]);
    expect(failed[0]?.error.message).toContain("too many bytes of answers");
  });

  it("is answered by a failure where the handler takes longer than it may, and its place is free then", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { world, a } = oneService();
    const late: ((text: string) => void)[] = [];
    const never = (): Promise<string> => new Promise((resolve) => late.push(resolve));
    const b = world.add("b");
    b.services.receiver.onQuery(never);
    const c = world.add("c");
    c.services.receiver.onQuery(never, { timeout: 100 });
    const d = world.add("d");
    d.services.receiver.onQuery(never, { timeout: -1 });
    const e = world.add("e");
    e.services.receiver.onMessage(() => new Promise(() => undefined), { timeout: 100 });
    await a.services.send({ services: ["e"] });
    const query = a.services.query({ services: ["b", "c", "d"], timeout: -1 });
    await settle();
    vi.advanceTimersByTime(99);
    await settle();
    expect([query.missing.length, e.services.stats().handling]).toEqual([3, 1]);
    vi.advanceTimersByTime(1);
    await settle();
    expect(e.services.stats().handling).toBe(0);
    expect(e.events).toMatchObject([{ type: "handler:failed", error: { code: "ETIMEDOUT" } }]);
    expect([query.missing.length, c.services.stats().handling]).toEqual([2, 0]);
    vi.advanceTimersByTime(59_900);
    await settle();
    expect(query.missing).toEqual([d.service]);
    expect([b.services.stats().handling, d.services.stats().handling]).toEqual([0, 1]);
    expect(b.events).toMatchObject([{ type: "handler:failed", error: { code: "ETIMEDOUT" } }]);
    for (const resolve of late) resolve("late");
    const { replies, failed } = await query.collect();
    expect(replies).toMatchObject([{ service: d.service, data: "late" }]);
    expect(failed.map(({ error }) => error)).toMatchObject([
      { code: "ERR_SERVICE", reason: "handler-failed" },
      { code: "ERR_SERVICE", reason: "handler-failed" },
    ]);
    for (const timeout of [1.5, -2, 2 ** 31, "1", Number.NaN])
      expect(() => b.services.receiver.onMessage(() => undefined, { timeout: timeout as number })).toThrow(
        "timeout of onMessage must be",
      );
  });

  it("refuses queries past those that are handled, and takes some again later", async () => {
    const { a, b } = twoServices();
    const free: (() => void)[] = [];
    b.services.receiver.onQuery(() => new Promise<string>((resolve) => free.push(() => resolve("late"))));
    const data = Buffer.alloc(MAX_HANDLING_BYTES);
    const large = a.services.query({ services: ["b"], data, timeout: -1 });
    await settle();
    expect(b.services.stats().handling).toBe(1);
    large.cancel();
    const { failed } = await a.services.query({ services: ["b"] }).collect();
    expect(failed[0]?.error).toMatchObject({ code: "ERR_SERVICE", reason: "overloaded" });
    for (const each of free) each();
    await settle();
    expect(b.services.stats().handling).toBe(0);
    const again = a.services.query({ services: ["b"] });
    await settle();
    free.at(-1)?.();
    expect((await again.collect()).replies.length).toBe(1);
  });

  it("fails where the handler threw what has no text", async () => {
    const { a, b } = twoServices();
    const trap = new Proxy(
      {},
      {
        get: () => {
          throw new Error("trap");
        },
      },
    );
    for (const thrown of [undefined, Object.create(null), trap, Symbol("s")]) {
      const remove = b.services.receiver.onQuery(() => {
        throw thrown;
      });
      const { failed, missing } = await a.services.query({ services: ["b"] }).collect();
      expect([failed.map(({ error }) => (error as QueryError).reason), missing]).toEqual([
        ["handler-failed"],
        [],
      ]);
      remove();
    }
    expect(b.events.length).toBe(4);
  });

  it("has one handler for a channel", () => {
    const { services } = new ServiceWorld().add("a");
    const remove = services.receiver.onQuery(() => "all");
    services.receiver.onQuery(() => "one", { channels: [1] });
    expect(() => services.receiver.onQuery(() => "x")).toThrow("already");
    expect(() => services.receiver.onQuery(() => "x", { channels: [0, 1] })).toThrow("already");
    remove();
    services.receiver.onQuery(() => "other");
  });
});

describe("handlers", () => {
  it("that throw or reject are an event, and end nothing", async () => {
    const { a, b } = twoServices();
    b.services.receiver.onMessage(() => {
      throw new Error("sync");
    });
    b.services.receiver.onMessage(() => Promise.reject(new Error("async")));
    const box = inbox(b);
    await a.services.send({ services: ["b"], data: "1" });
    await a.services.send({ services: ["b"], data: "2" });
    await settle();
    expect(box.map(({ data }) => data)).toEqual(["1", "2"]);
    expect(
      b.events.map((event) => event.type === "handler:failed" && (event.error as Error).message),
    ).toEqual(["sync", "async", "sync", "async"]);
  });

  it("that settle more than once are counted once", async () => {
    const { a, b } = twoServices();
    b.services.receiver.onMessage(
      () =>
        // biome-ignore lint/suspicious/noThenProperty: a promise of another library, which is not one of the language.
        ({ then: (done: () => void) => [done(), done()] }) as never,
    );
    for (let i = 0; i < 3; i++) await a.services.send({ services: ["b"] });
    await settle();
    expect(b.services.stats()).toMatchObject({ handling: 0, received: 3 });
  });

  it.runIf(LONG)("that never settle have messages dropped past a bound, with one event", async () => {
    const { a, b } = twoServices();
    const free: (() => void)[] = [];
    let got = 0;
    b.services.receiver.onMessage(
      () => {
        got += 1;
        return new Promise<void>((resolve) => free.push(resolve));
      },
      { timeout: -1 },
    );
    const send = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await a.services.send({ services: ["b"] });
      await settle();
    };
    await send(MAX_HANDLING + 5);
    expect([got, b.services.stats().refused]).toEqual([MAX_HANDLING, { "service:overloaded": 5 }]);
    expect(b.events).toMatchObject([{ type: "handler:failed", error: { code: "EAGAIN" } }]);
    free.shift()?.();
    await settle();
    await send(2);
    expect([got, b.services.stats().refused]).toEqual([MAX_HANDLING + 1, { "service:overloaded": 6 }]);
    expect(b.events.length).toBe(1);
    while (free.length > 0) {
      for (const done of free.splice(0)) done();
      await settle();
    }
    expect(b.services.stats().handling).toBe(0);
  });

  it("that are busy drop messages past the bytes that may be handled, one event each time", async () => {
    const { a, b } = twoServices();
    const free: (() => void)[] = [];
    b.services.receiver.onMessage(() => new Promise<void>((resolve) => free.push(resolve)), { timeout: -1 });
    const large = Buffer.alloc(MAX_HANDLING_BYTES);
    for (let i = 1; i <= 2; i++) {
      for (let j = 0; j < 3; j++) await a.services.send({ services: ["b"], data: large });
      await settle();
      expect([b.events.length, b.services.stats().refused]).toEqual([i, { "service:overloaded": 2 * i }]);
      while (free.length > 0) {
        for (const done of free.splice(0)) done();
        await settle();
      }
    }
  });

  it.runIf(LONG)(
    "are a bound for a node that sends to itself: so many of its own messages wait, and further ones fail",
    async () => {
      const a = new ServiceWorld().add("a");
      const { passed: released, open: release } = gate();
      let got = 0;
      const handler = (): Promise<void> => {
        got += 1;
        return released;
      };
      for (let i = 0; i < 2; i++) a.services.receiver.onMessage(handler);
      const send = (count: number, data: string | Buffer): Promise<ServiceSendResult[]> =>
        Promise.all(
          Array.from({ length: count }, () => a.services.send({ broadcast: true, self: true, data })),
        );
      const results = await send(MAX_HANDLING + 5, "x");
      expect(results.filter(({ sent }) => sent.length === 1)).toHaveLength(MAX_HANDLING);
      const failures = results.flatMap(({ failed }) => failed);
      expect(failures).toHaveLength(5);
      expect(failures[0]).toMatchObject({ service: a.service, error: { code: "EAGAIN" } });
      await settle();
      expect(a.services.stats()).toMatchObject({ handling: 2 * MAX_HANDLING, failed: 5 });
      release();
      await settle();
      // There is room for more.
      expect(got).toBe(2 * MAX_HANDLING);
      expect(await send(1, "x")).toMatchObject([{ failed: [] }]);
    },
  );

  it("are the same bound where few and large ones are handled, of which one may always be", async () => {
    const a = new ServiceWorld().add("a");
    a.services.receiver.onMessage(() => new Promise(() => undefined), { timeout: -1 });
    const large = Buffer.alloc(MAX_HANDLING_BYTES);
    const results = [];
    for (let i = 0; i < 3; i++) {
      results.push(await a.services.send({ broadcast: true, self: true, data: large }));
      // It is handled before the last one is sent.
      if (i === 1) await settle();
    }
    expect(results.map(({ failed }) => failed.map(({ error }) => error.code))).toEqual([
      [],
      ["EAGAIN"],
      ["EAGAIN"],
    ]);
  });

  it("may send to their own node without an end, and the event loop turns", async () => {
    const a = new ServiceWorld().add("a");
    let got = 0;
    let isOver = false;
    const send = (): void => void a.services.send({ broadcast: true, self: true, data: "again" });
    a.services.receiver.onMessage(() => {
      got += 1;
      if (!isOver) send();
    });
    send();
    while (got < 10) await new Promise((resolve) => setImmediate(resolve));
    isOver = true;
  });

  it("are not asked for what their node sent itself before it closed", async () => {
    const a = new ServiceWorld().add("a");
    const box = inbox(a);
    for (let i = 0; i < 3; i++) await a.services.send({ broadcast: true, self: true, data: "x" });
    a.services.close();
    await settle();
    expect(box).toEqual([]);
  });
});
