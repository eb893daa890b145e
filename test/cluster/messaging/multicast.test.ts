/** Messages by datagram to the group: who gets them, what goes by links all the same, and junk. */
import { describe, expect, it } from "vitest";
import { MAX_HANDLING_BYTES, MAX_SEEN_IDS } from "../../../src/cluster/messaging/bounds.js";
import { encodeService, ServiceOp } from "../../../src/cluster/messaging/service-wire.js";
import fc from "../../support/properties.js";
import { oneService, type ServiceWorld, type SimulatedService, settle } from "./service-world.js";

interface Crowd {
  readonly world: ServiceWorld;
  readonly a: SimulatedService;
  readonly others: readonly SimulatedService[];
  /** What each of the others got. */
  readonly got: unknown[][];
}

function crowd(size: number, link = ""): Crowd {
  const { world, a } = oneService();
  a.protocol = link;
  const others = Array.from({ length: size }, (_, i) => world.add(`s${i}`, [i % 2 === 0 ? "even" : "odd"]));
  const got = others.map(({ services }) => {
    const messages: unknown[] = [];
    services.receiver.onMessage(({ data, protocol }) => void messages.push([data, protocol]));
    return messages;
  });
  return { world, a, others, got };
}

describe("a message with broadcast", () => {
  it("is one datagram, with those who are meant in it", async () => {
    const { a, got } = crowd(16);
    const { sent, failed, means } = await a.services.send({ resolve: "even", broadcast: true, data: "hi" });
    expect([sent.length, failed, means, a.multicasts, a.sent.length]).toEqual([8, [], "datagram", 1, 0]);
    await settle();
    expect(got).toEqual(got.map((_, i) => (i % 2 === 0 ? [["hi", "udp"]] : [])));
  });

  it("goes by links where the program does not ask for a datagram, and where it fits none", async () => {
    const { a } = crowd(20);
    const means = async (options: object): Promise<string> =>
      (await a.services.send({ resolve: "even", ...options })).means;
    expect(await means({})).toBe("links");
    expect(await means({ broadcast: true, protocols: ["tcp"] })).toBe("links");
    expect(await means({ protocols: ["tcp", "udp"] })).toBe("links");
    expect(await means({ protocols: ["udp", "tcp"] })).toBe("datagram");
    expect(await means({ protocols: ["udp"] })).toBe("datagram");
    expect(await means({ broadcast: true, data: "x".repeat(1_300) })).toBe("links");
    a.room = 0;
    expect(await means({ broadcast: true })).toBe("links");
    const { failed } = await a.services.send({ resolve: "even", protocols: ["udp"] });
    expect(failed[0]?.error.message).toBe("s0@here is not reached by udp");
  });

  it("is lost where the datagram is, and comes once where that comes twice", async () => {
    const { world, a, others, got } = crowd(12);
    const deaf = others[0]?.service.id;
    world.copies = (_, to) => (to === deaf ? 0 : 3);
    const { sent, means } = await a.services.send({ broadcast: true, data: "hi" });
    expect([sent.length, means, a.multicasts, a.sent.length]).toEqual([12, "datagram", 1, 0]);
    await settle();
    expect(got.map((messages) => messages.length)).toEqual(got.map((_, i) => (i === 0 ? 0 : 1)));
    expect(others[1]?.services.stats().refused).toEqual({ "datagram:again": 2 });
  });

  it("goes in several datagrams where one does not hold them all", async () => {
    const { a, got } = crowd(600);
    const options = { resolve: "even", broadcast: true, data: "x".repeat(700) };
    const { sent, means } = await a.services.send(options);
    expect([sent.length, means]).toEqual([300, "datagram"]);
    // 1,200 bytes: 30 ids.
    expect(a.multicasts).toBe(10);
    await settle();
    expect(got.filter((messages) => messages.length === 1).length).toBe(300);
  });

  it("reaches nobody that was not selected, though the sender does not know of it; without a selection it does", async () => {
    const { world, a } = crowd(8);
    const late = world.add("late", ["other"]);
    a.unknown.add(late.service.id);
    const box: unknown[] = [];
    late.services.receiver.onMessage(({ data }) => void box.push(data));
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
    await settle();
    expect(got.map((messages) => messages[0])).toEqual([
      ["hi!?", "udp"],
      undefined,
      ...Array.from({ length: 7 }, () => ["hi!", "udp"]),
    ]);
    expect([others[1]?.services.stats().notJoined, a.sent.length]).toEqual([1, 0]);
  });

  it("is dropped by a service that handles as many as it may", async () => {
    const { a, others } = crowd(9);
    const busy = others[0] as SimulatedService;
    const free: (() => void)[] = [];
    busy.services.receiver.onMessage(() => new Promise<void>((resolve) => free.push(resolve)));
    await a.services.send({ services: [busy.service], data: Buffer.alloc(MAX_HANDLING_BYTES) });
    await settle();
    await a.services.send({ broadcast: true });
    await settle();
    expect([free.length, busy.services.stats().refused]).toEqual([1, { "datagram:busy": 1 }]);
  });

  it("is new again of a service that is another process, or of which so many were taken since", async () => {
    const { a, others, got } = crowd(1);
    const b = others[0] as SimulatedService;
    const { id } = a.service;
    const take = (number: number): void => {
      const item = encodeService({ op: ServiceOp.MESSAGE, channel: 0, id: number, ruid: "", data: "x" });
      b.services.receiver.onDatagram(id, Buffer.concat([Buffer.of(0), item]));
    };
    take(5);
    take(5);
    b.services.onMember("lost", a.service);
    b.services.onMember("found", a.service);
    take(5);
    expect(got[0]?.length).toBe(1);
    b.services.onForgotten(id);
    take(5);
    expect(got[0]?.length).toBe(2);
    for (let number = 6; number <= MAX_SEEN_IDS + 5; number++) take(number);
    take(5);
    expect(got[0]?.length).toBe(MAX_SEEN_IDS + 3);
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
      a.services.receiver.onDatagram(from, Buffer.from(hex, "hex"));
    a.services.receiver.onDatagram("f".repeat(32), Buffer.from("00290168", "hex"));
    await settle();
    expect(a.services.stats().refused).toEqual({
      "datagram:filter": 5,
      "datagram:empty": 1,
      "datagram:op": 2,
      "datagram:id": 3,
      "datagram:sender": 1,
    });
    expect(got).toEqual([[]]);
  });

  it("never throw, whatever they are", () => {
    const { world, a } = crowd(1);
    const from = world.services()[1]?.id as string;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (junk) =>
        a.services.receiver.onDatagram(from, Buffer.from(junk)),
      ),
      { numRuns: 100_000, defaultRuns: 2_000 },
    );
  });
});
