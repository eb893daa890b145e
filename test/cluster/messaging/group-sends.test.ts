/** Messages by datagram to the group: receipts, links for those that gave none, and that each service takes a message once. */
import { describe, expect, it, vi } from "vitest";
import { MAX_QUERIES, MAX_SEEN_IDS, MAX_WAITING_DATAGRAMS } from "../../../src/cluster/messaging/bounds.js";
import { GroupSends, SeenIds } from "../../../src/cluster/messaging/group-sends.js";
import type { ServiceSendResult } from "../../../src/cluster/messaging/service-types.js";
import { encodeService, ServiceOp } from "../../../src/cluster/messaging/service-wire.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";
import { createService, ServiceWorld, type SimulatedService, settle } from "./service-world.js";

interface Crowd {
  readonly world: ServiceWorld;
  readonly a: SimulatedService;
  readonly others: readonly SimulatedService[];
  /** What each of the others got. */
  readonly got: unknown[][];
}

function crowd(size: number, link = ""): Crowd {
  const world = new ServiceWorld();
  const a = world.add("a");
  a.protocol = link;
  const others = Array.from({ length: size }, (_, i) => world.add(`s${i}`, [i % 2 === 0 ? "even" : "odd"]));
  const got = others.map(({ services }) => {
    const messages: unknown[] = [];
    services.onMessage(({ data, protocol }) => void messages.push([data, protocol]));
    services.onQuery(({ protocol }) => protocol);
    return messages;
  });
  return { world, a, others, got };
}

describe("a message to many services", () => {
  it("is one datagram, with those who are meant in it", async () => {
    const { a, got } = crowd(16);
    const { sent, failed, means } = await a.services.send({ resolve: "even", data: "hi" });
    expect([sent.length, failed, means, a.multicasts, a.sent.length]).toEqual([8, [], "datagram", 1, 0]);
    expect(got).toEqual(got.map((_, i) => (i % 2 === 0 ? [["hi", "udp"]] : [])));
  });

  it("goes by links where these are there, where few are meant, and where it has to", async () => {
    const few = crowd(7);
    expect((await few.a.services.send({ broadcast: true, data: "hi" })).means).toBe("datagram");
    expect((await few.a.services.send({ resolve: "even" })).means).toBe("links");
    const linked = crowd(20, "tcp");
    expect((await linked.a.services.send({ resolve: "even" })).means).toBe("links");
    expect((await linked.a.services.send({ resolve: "even", broadcast: true })).means).toBe("datagram");
    const many = crowd(20);
    expect((await many.a.services.send({ resolve: "even", broadcast: false })).means).toBe("links");
    expect((await many.a.services.send({ resolve: "even", protocols: ["tcp"] })).means).toBe("links");
    expect((await many.a.services.send({ resolve: "even", protocols: ["udp"] })).means).toBe("datagram");
    expect((await many.a.services.send({ resolve: "even", data: "x".repeat(1_300) })).means).toBe("links");
    many.a.room = 0;
    expect((await many.a.services.send({ resolve: "even" })).means).toBe("links");
    const { failed } = await many.a.services.send({ resolve: "even", protocols: ["udp"] });
    expect(failed[0]?.error.message).toBe("s0@here is not reached by udp");
  });

  it("goes by a link to those who acknowledge no datagram, once to each, and from then on at once", async () => {
    const { world, a, others, got } = crowd(12);
    const deaf = new Set(others.slice(0, 3).map(({ service }) => service.id));
    // One hears the datagram, and its receipt is lost.
    const mute = others[3]?.service.id;
    world.copies = (from, to) => (deaf.has(to) || from.id === mute ? 0 : 1);
    const { sent, means } = await a.services.send({ broadcast: true, data: "hi" });
    expect([sent.length, means, a.sent.length]).toEqual([12, "both", 4]);
    await settle();
    expect(got.map((messages) => messages.length)).toEqual(got.map(() => 1));
    expect(others[3]?.services.stats().refused).toEqual({ "service:again": 1 });
    await a.services.send({ resolve: "even", broadcast: true });
    expect([a.multicasts, a.sent.length]).toEqual([2, 6]);
  });

  it("is taken once, whatever arrives twice", async () => {
    const { world, a, got } = crowd(9);
    world.copies = () => 3;
    await a.services.send({ broadcast: true, data: "hi" });
    await settle();
    expect(got.map((messages) => messages.length)).toEqual(got.map(() => 1));
    expect(a.services.stats().refused["datagram:receipt"]).toBeGreaterThan(0);
  });

  it("is taken once, however many queries come by a link before a lost receipt is made good by it", async () => {
    // However long the queries take, the receipt is not missed before they are through.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const { world, a, others, got } = crowd(9);
      const mute = (others[0] as SimulatedService).service;
      world.copies = (from) => (from === mute ? 0 : 1);
      const sending = a.services.send({ broadcast: true, data: "hi" });
      await settle();
      expect(got[0]).toEqual([["hi", "udp"]]);
      const queries = Array.from({ length: MAX_QUERIES }, () =>
        a.services.query({ services: [mute], broadcast: false }).collect(),
      );
      for (const { replies } of await Promise.all(queries)) expect(replies.length).toBe(1);
      vi.advanceTimersByTime(100);
      expect((await sending).means).toBe("both");
      await settle();
      expect(got[0]).toEqual([["hi", "udp"]]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("is taken once of more than a service remembers, all of which are sent before a receipt is missed", async () => {
    const { world, a, others, got } = crowd(9);
    const mute = (others[0] as SimulatedService).service;
    world.copies = (from) => (from === mute ? 0 : 1);
    const count = MAX_SEEN_IDS + 300;
    const sending = Array.from({ length: count }, (_, i) =>
      a.services.send({ broadcast: true, data: String(i) }),
    );
    for (const { sent, failed } of await Promise.all(sending)) expect([sent.length, failed]).toEqual([9, []]);
    await settle();
    const all = Array.from({ length: count }, (_, i) => String(i)).sort();
    for (const messages of got)
      expect(messages.map((message) => (message as string[])[0] as string).sort()).toEqual(all);
  });

  it("goes by links past so many as wait for older ones", async () => {
    // However long the sends take, none is given up meanwhile.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const means = { room: () => 1_200, multicast: vi.fn(), unicast: () => undefined };
      const group = new GroupSends(means, () => "");
      const services = [createService("s")];
      const send = (number: number) => group.send(number, Buffer.alloc(1), services, services, true);
      const most = MAX_SEEN_IDS + MAX_WAITING_DATAGRAMS;
      const sending = Array.from({ length: most }, (_, i) => send(i));
      // The last one waits for nothing.
      expect(await send(most)).toEqual(new Set());
      expect(means.multicast).toHaveBeenCalledTimes(MAX_SEEN_IDS);
      group.close();
      await Promise.all(sending);
    } finally {
      vi.useRealTimers();
    }
  });

  it("goes in several datagrams where one does not hold them all", async () => {
    const { a, got } = crowd(600);
    const { sent, means } = await a.services.send({ resolve: "even", data: "x".repeat(700) });
    expect([sent.length, means]).toEqual([300, "datagram"]);
    // 1,200 bytes: 124 short ids.
    expect(a.multicasts).toBe(3);
    expect(got.filter((messages) => messages.length === 1).length).toBe(300);
  });

  it("goes on with its next datagram where the last receipt of one comes as its time is over", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const means = { room: () => 1_200, multicast: vi.fn(), unicast: () => undefined };
      const group = new GroupSends(means, () => "");
      const services = Array.from({ length: 200 }, (_, i) => createService(`s${i}`));
      const item = Buffer.alloc(700);
      let reached: ReadonlySet<string> | undefined;
      const sending = group.send(1, item, services, services, false).then((ids) => {
        reached = ids;
      });
      // The program held the event loop: time is up, and the receipts are there.
      vi.advanceTimersByTime(100);
      for (const { id } of services.slice(0, 124)) expect(group.onReceipt(id, 1)).toBe(true);
      await settle();
      expect(means.multicast).toHaveBeenCalledTimes(2);
      expect(services.slice(124).map(({ id }) => group.onReceipt(id, 1))).not.toContain(false);
      await sending;
      expect(reached?.size).toBe(200);
    } finally {
      vi.useRealTimers();
    }
  });

  it("has datagrams of its own to those about whom hooks decide meanwhile", async () => {
    const { world, a, got } = crowd(10);
    const late = world.add("late");
    const box: unknown[] = [];
    late.services.onMessage(({ data }) => void box.push(data));
    a.services.hook("service:validate", async () => undefined);
    await a.services.send({ resolver: [{ some: ["even", "odd"] }], broadcast: true });
    const multicasts = a.multicasts;
    let result: ServiceSendResult | undefined;
    const sending = a.services.send({ broadcast: true, data: "hi" }).then((each) => {
      result = each;
    });
    await settle();
    expect([result?.sent.length, result?.means, a.multicasts - multicasts]).toEqual([11, "datagram", 2]);
    await sending;
    expect([got.map((messages) => messages[1]), box]).toEqual([got.map(() => ["hi", "udp"]), ["hi"]]);
    // Nobody is taken for out of reach.
    await a.services.send({ broadcast: true });
    expect([a.sent.length, a.services.stats().refused]).toEqual([0, {}]);
  });

  it("reaches nobody that was not selected, though the sender does not know of it; without a selection it does", async () => {
    const { world, a } = crowd(8);
    const late = world.add("late", ["other"]);
    a.unknown.add(late.service.id);
    const box: unknown[] = [];
    late.services.onMessage(({ data }) => void box.push(data));
    const { sent, means } = await a.services.send({ resolver: [{ some: ["even", "odd"] }], broadcast: true });
    expect([sent.length, means, a.multicasts]).toEqual([8, "datagram", 1]);
    await settle();
    expect(box).toEqual([]);
    await a.services.send({ broadcast: true, data: "all" });
    await settle();
    expect(box).toEqual(["all"]);
  });

  it("is on a channel, and passes the hooks of udp", async () => {
    const { a, others, got } = crowd(9);
    a.services.hook("protocol:send", { protocols: ["udp"] }, ({ data }) => ({ data: `${data}!` }));
    others[0]?.services.hook("protocol:receive", { protocols: ["udp"] }, ({ data }) => ({
      data: `${data}?`,
    }));
    others[1]?.services.channels.leave(2);
    await a.services.send({ broadcast: true, channel: 2, data: "hi" });
    expect(got.map((messages) => messages[0])).toEqual([
      ["hi!?", "udp"],
      undefined,
      ...Array.from({ length: 7 }, () => ["hi!", "udp"]),
    ]);
    expect([others[1]?.services.stats().notJoined, a.sent.length]).toEqual([1, 0]);
  });

  it("is a query, too, and each answers once", async () => {
    const { world, a, others } = crowd(30);
    const [deaf, mute] = others.map(({ service }) => service.id);
    world.copies = (from, to) => (to === deaf || from.id === mute ? 0 : 2);
    const { replies, failed, missing } = await a.services
      .query({ resolver: [{ some: ["even", "odd"] }] })
      .collect();
    expect([replies.length, failed, missing, a.multicasts]).toEqual([30, [], [], 1]);
    expect(replies.filter(({ data }) => data === "udp").length).toBe(29);
  });

  it("that cannot be taken gets no receipt, and waits in its link", async () => {
    const { a, others } = crowd(9);
    const busy = others[0] as SimulatedService;
    const free: (() => void)[] = [];
    busy.services.onMessage(() => new Promise<void>((resolve) => free.push(resolve)));
    for (let i = 0; i < 1_024; i++) await a.services.send({ services: [busy.service] });
    await settle();
    const { sent, means } = await a.services.send({ broadcast: true });
    expect([sent.length, means, busy.services.stats().refused]).toEqual([9, "both", { "datagram:busy": 1 }]);
    for (const each of free.splice(0)) each();
    await settle();
    expect(free.length).toBe(1);
  });
});

describe("ids that were taken", () => {
  it("of datagrams are known after any number of links, and a datagram that may have come before is not taken", () => {
    const seen = new SeenIds();
    expect(seen.take("a", 1, true)).toBe(true);
    for (let id = 2; id <= MAX_SEEN_IDS + 2; id++) expect(seen.take("a", id, false)).toBe(true);
    expect([seen.take("a", 1, false), seen.take("a", 3, true)]).toEqual([false, false]);
    expect([1, 2, 3].map((id) => seen.hasForgotten("a", id))).toEqual([false, true, false]);
    expect(seen.hasForgotten("b", 2)).toBe(false);
    seen.onGone("a");
    expect([seen.hasForgotten("a", 2), seen.take("a", 1, false)]).toEqual([false, true]);
  });

  it("are known of a service that was lost and is back, until it is gone or is another process", async () => {
    const { a, others, got } = crowd(1);
    const b = others[0] as SimulatedService;
    const { id } = a.service;
    const item = encodeService({ op: ServiceOp.MESSAGE, channel: 0, id: 5, ruid: "", data: "x" });
    b.services.onDatagram(id, Buffer.concat([Buffer.of(0), item]));
    await settle();
    // Its receipt was lost, and the sender stood still: what it sends by its link is the same message.
    b.services.onMember("lost", a.service);
    b.services.onMember("found", a.service);
    await b.services.onItem(id, item);
    expect([got[0]?.length, b.services.stats().refused]).toEqual([1, { "service:again": 1 }]);
    b.services.onRestarted(id);
    await b.services.onItem(id, item);
    expect(got[0]?.length).toBe(2);
    b.services.onForgotten(id);
    await b.services.onItem(id, item);
    expect(got[0]?.length).toBe(3);
  });

  it("get no receipt for a datagram that is older than what is known", async () => {
    const { a, others } = crowd(1);
    const b = others[0] as SimulatedService;
    const { id } = a.service;
    const item = (number: number): Buffer =>
      encodeService({ op: ServiceOp.MESSAGE, channel: 0, id: number, ruid: "", data: "x" });
    for (let number = 2; number <= MAX_SEEN_IDS + 2; number++) await b.services.onItem(id, item(number));
    const datagrams = b.datagrams;
    b.services.onDatagram(id, Buffer.concat([Buffer.of(0), item(2)]));
    await settle();
    expect([b.datagrams - datagrams, b.services.stats().refused]).toEqual([0, { "datagram:old": 1 }]);
  });
});

describe("datagrams of others", () => {
  it("that are junk, or of nobody here, change nothing and are counted", async () => {
    const { world, a, got } = crowd(1);
    const from = world.services()[1]?.id as string;
    for (const hex of [
      "",
      "ff",
      "80",
      "ffff03",
      "02aabbccdd",
      "00",
      "0000",
      "000162",
      "002900",
      "0026",
      "002305",
    ])
      a.services.onDatagram(from, Buffer.from(hex, "hex"));
    a.services.onDatagram("f".repeat(32), Buffer.from("00290168", "hex"));
    await settle();
    expect(a.services.stats().refused).toEqual({
      "datagram:group": 5,
      "datagram:empty": 1,
      "datagram:op": 2,
      "datagram:id": 3,
      "service:sender": 1,
    });
    expect(got).toEqual([[]]);
  });

  it("never throw, whatever they are", () => {
    const { world, a } = crowd(1);
    const from = world.services()[1]?.id as string;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (junk) => a.services.onDatagram(from, Buffer.from(junk))),
      { numRuns: LONG ? 100_000 : 2_000 },
    );
  });

  it("leave each service with a message once under any loss and repetition", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { minLength: 20, maxLength: 60 }),
        fc.nat(3),
        async (losses, sends) => {
          const { world, a, got } = crowd(10);
          let i = 0;
          world.copies = () => [0, 1, 1, 2][losses[i++ % losses.length] as number] as number;
          const results = [];
          for (let n = 0; n <= sends; n++)
            results.push(a.services.send({ broadcast: true, data: String(n) }));
          for (const { sent, failed } of await Promise.all(results))
            expect([sent.length, failed]).toEqual([10, []]);
          await settle();
          for (const messages of got)
            expect(messages.map((message) => (message as string[])[0]).sort()).toEqual(
              Array.from({ length: sends + 1 }, (_, n) => String(n)),
            );
        },
      ),
      { numRuns: LONG ? 300 : 12 },
    );
  });
});
