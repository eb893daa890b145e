/** Messages by datagram to the group: who gets them, what goes by links all the same, and junk. */
import { describe, expect, it, vi } from "vitest";
import type { ClusterNode, Member } from "../../../src/cluster/index.js";
import { MAX_HANDLING_BYTES } from "../../../src/cluster/messaging/bounds.js";
import { simulate, type World } from "../../../src/testing/index.js";
import fc from "../../support/properties.js";
import { nodesTogether, onOneHost, SETTLED } from "../simulated.js";
import { withMessaging } from "./with-messaging.js";

const OTHERS = ["s0", "s1", "s2", "s3", "s4"] as const;

function received(node: ClusterNode): unknown[] {
  const messages: unknown[] = [];
  node.onMessage(({ data, protocol }) => void messages.push([data, protocol]));
  return messages;
}

interface Crowd {
  readonly a: ClusterNode;
  readonly others: readonly ClusterNode[];
  /** What each of the others got. */
  readonly got: unknown[][];
  readonly world: World;
}

/** Of the others three are even, and two are odd. */
const crowd = (story: (crowd: Crowd) => Promise<void>): Promise<void> =>
  onOneHost(["a", ...OTHERS], async ({ a, ...rest }, world) => {
    const others = OTHERS.map((name) => rest[name]);
    for (const [i, node] of others.entries()) node.tags(i % 2 === 0 ? "even" : "odd");
    await world.advance(1_000);
    await story({ a, others, got: others.map(received), world });
  });

describe("a message with broadcast", () => {
  it("goes by links where the program does not ask for a datagram, and where it fits none", () =>
    crowd(async ({ a }) => {
      const means = async (options: object) => (await a.send({ resolve: "even", ...options })).means;
      expect(await means({})).toBe("links");
      expect(await means({ broadcast: true, protocols: ["tcp"] })).toBe("links");
      expect(await means({ protocols: ["tcp", "udp"] })).toBe("links");
      expect(await means({ protocols: ["udp", "tcp"] })).toBe("datagram");
      expect(await means({ protocols: ["udp"] })).toBe("datagram");
      expect(await means({ broadcast: true, data: "x".repeat(1_300) })).toBe("links");
    }));

  it("goes by links where the node has no group", () =>
    simulate({ seed: 1, shrink: false }, async (world) => {
      const options = { multicast: false, port: 7000, seeds: ["a:7000"] } as const;
      const [a] = await nodesTogether(world, ["a", "b"], options);
      await world.advance(1_000);
      const send = (options: object) => world.node("a").run(() => a.send({ members: ["b"], ...options }));
      expect((await send({ broadcast: true })).means).toBe("links");
      const { failed } = await send({ protocols: ["udp"] });
      expect(failed[0]?.error.message).toContain("is not reached by udp");
    }));

  it("comes once where its datagram comes twice, as by two interfaces", () =>
    simulate({ seed: 1, shrink: false, network: { duplication: 1 } }, async (world) => {
      const [a, b] = await nodesTogether(world, ["a", "b"]);
      const got = received(b);
      const before = b.stats().dropped.replayed ?? 0;
      await world.node("a").run(() => a.send({ broadcast: true, data: "hi" }));
      await world.advance(SETTLED);
      expect(got).toEqual([["hi", "udp"]]);
      expect(b.stats().dropped.replayed).toBeGreaterThan(before);
    }));

  it("goes in several datagrams where one does not hold them all", () =>
    crowd(async ({ a, got, world }) => {
      const datagrams = vi.spyOn(a.parts.rules, "multicastMessage");
      // Room for two ids.
      const data = "x".repeat(a.parts.messageRoom - 50);
      const services = OTHERS.map((name) => a.member(name) as Member);
      const { sent, means } = await a.send({ members: services, broadcast: true, data });
      expect([sent.length, means, datagrams.mock.calls.length]).toEqual([5, "datagram", 3]);
      await world.advance(SETTLED);
      expect(got.map((messages) => messages.length)).toEqual(got.map(() => 1));
    }));

  it("reaches nobody that was not selected, though the sender does not know of it; without a selection it does", () =>
    simulate({ seed: 1, shrink: false }, async (world) => {
      const [a, , late] = await nodesTogether(world, ["a", "b", "late"], { tags: ["all"] });
      await world.until(() => a.resolve("all").length === 3, 10_000);
      const box = received(late);
      for (const name of ["a", "b"]) world.cut("late", name, { oneWay: true });
      await world.until(() => a.members().length === 2, 60_000);
      await world.node("a").run(async () => {
        for (const [options, data] of [
          [{ resolver: [{ some: ["all"] }] }, "some"],
          [{}, "all"],
        ] as const) {
          const { sent, means } = await a.send({ ...options, broadcast: true, data });
          expect([sent.length, means]).toEqual([1, "datagram"]);
        }
      });
      await world.advance(SETTLED);
      expect(box).toEqual([["all", "udp"]]);
    }));

  it("is on a channel, and passes the hooks of udp", () =>
    crowd(async ({ a, others, got, world }) => {
      a.hook("protocol:send", { protocols: ["udp"] }, ({ data }) => ({ data: `${data}!` }));
      others[0]?.hook("protocol:receive", { protocols: ["udp"] }, ({ data }) => ({ data: `${data}?` }));
      others[1]?.channels.leave(2);
      await a.send({ broadcast: true, channel: 2, data: "hi" });
      await world.advance(SETTLED);
      const each = [["hi!", "udp"]];
      expect(got).toEqual([[["hi!?", "udp"]], [], each, each, each]);
      expect([others[1]?.stats().memberMessages?.notJoined, a.stats().messaging?.links.peers]).toEqual([
        1,
        [],
      ]);
    }));

  it("goes by datagram if it fits as the hooks of sending leave it, in bytes", () =>
    crowd(async ({ a }) => {
      const passed: string[] = [];
      a.hook("protocol:send", (_, { protocol }) => void passed.push(protocol));
      const means = async (data: string) => (await a.send({ broadcast: true, data })).means;
      // Few characters, many bytes: no hook of udp is called for it.
      expect(await means("€".repeat(500))).toBe("links");
      expect(passed).not.toContain("udp");
      a.hook("evaluate:send", ({ data }) => ({ data: data.slice(0, 100) }));
      expect(await means("x".repeat(5_000))).toBe("datagram");
    }));

  it("is dropped by a service that handles as many as it may", () =>
    withMessaging({ maxItem: 2 * MAX_HANDLING_BYTES }, ["a", "b"], async ({ a, b }, world) => {
      let count = 0;
      b.onMessage(() => {
        count += 1;
        return new Promise(() => undefined);
      });
      await b.send({ members: ["b"], self: true, data: Buffer.alloc(MAX_HANDLING_BYTES) });
      await world.advance(SETTLED);
      await a.send({ broadcast: true });
      await world.advance(SETTLED);
      expect([count, b.stats().memberMessages?.refused]).toEqual([1, { "datagram:busy": 1 }]);
    }));
});

it("datagrams of others change nothing and are counted where they are junk, or of nobody here, and never throw", () =>
  onOneHost(["a", "b"], async ({ a, b }) => {
    const got = received(a);
    const take = (bytes: Uint8Array, from = b.id): void =>
      a.parts.memberMessages.onDatagram(from, Buffer.from(bytes));
    const all = ["", "ff", "80", "ffff03", "02aabbccdd", "00", "0000", "002900", "0026", "002305"];
    for (const hex of all) take(Buffer.from(hex, "hex"));
    take(Buffer.from("00290168", "hex"), "f".repeat(32));
    expect([a.stats().memberMessages?.refused, got]).toEqual([
      {
        "datagram:filter": 5,
        "datagram:empty": 1,
        "datagram:op": 2,
        "datagram:id": 2,
        "member:sender": 1,
      },
      [],
    ]);
    const junk = fc.uint8Array({ maxLength: 60 });
    fc.assert(
      fc.property(junk, (bytes) => take(bytes)),
      { numRuns: 100_000, defaultRuns: 2_000 },
    );
  }));
