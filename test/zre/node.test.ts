/** A node of a cluster that is on the ZRE plane, too: over real sockets, on the loopback interface. */
import { createSocket } from "node:dgram";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type ClusterEvent, ClusterNode, type ClusterNodeOptions } from "../../src/cluster/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { freePort } from "../support/ports.js";
import { Plane } from "./planes.js";

let port = 0;
const closing = closeAfterEach();

beforeEach(async () => {
  port = await freePort();
});

const TYPES = ["joined", "back", "left", "lost", "group:joined", "group:left", "shout", "whisper"] as const;

async function node(name: string, options: ClusterNodeOptions = {}) {
  const found = new ClusterNode({
    name,
    multicast: false,
    zre: { port, interface: "lo", headers: { "X-A": name } },
    ...options,
  });
  closing(found);
  const events: ClusterEvent[] = [];
  for (const type of TYPES) found.events.on(type, (event) => void events.push(event));
  await found.start();
  return { node: found, events, said: () => events.map(({ type }) => type) };
}

async function plane(name: string, headers: Record<string, string> = { "X-Z": "1" }): Promise<Plane> {
  const found = closing(new Plane({ name, port, interface: "lo", headers }));
  await found.start();
  return found;
}

const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 5 });

describe("a node on the ZRE plane", () => {
  it("has ZRE's peers as members, with their headers, and their groups and messages as events", async () => {
    const a = await node("a");
    const z = await plane("z");
    await eventually(() => expect(a.said()).toEqual(["joined"]));
    const [, member] = a.node.members();
    expect(member).toMatchObject({
      id: z.uuid,
      name: "z",
      state: "alive",
      zre: true,
      local: true,
      addresses: [z.endpoint],
    });
    expect({ ...member?.props }).toEqual({ "X-Z": "1" });
    expect(a.node.member("z")?.id).toBe(z.uuid);
    // It may have heard the other one's HELLO first.
    await eventually(() => expect(z.peer("a")?.uuid).toBe(a.node.id));
    expect({ ...z.peer("a")?.headers }).toEqual({ "X-A": "a" });
    // ZRE's programs see no group that the program did not join.
    expect(z.peer("a")?.groups).toEqual([]);
    a.node.zre.join("G");
    z.join("G");
    await eventually(() => expect([a.said().length, z.peer("a")?.groups]).toEqual([2, ["G"]]));
    expect(a.node.zre.shout("G", "to all")).toBe(1);
    a.node.zre.whisper("z", "to z");
    z.shout("G", "from z");
    z.whisper("a", "for a");
    await eventually(() => expect(a.events).toHaveLength(4));
    expect(
      a.events
        .slice(1)
        .map((event) => ({ ...event, member: 0, frames: "frames" in event ? event.frames.map(String) : [] })),
    ).toEqual([
      { type: "group:joined", group: "G", member: 0, frames: [] },
      { type: "shout", group: "G", member: 0, frames: ["from z"] },
      { type: "whisper", member: 0, frames: ["for a"] },
    ]);
    a.node.zre.leave("G");
    await z.close();
    await eventually(() => expect(a.said().at(-1)).toBe("left"));
    expect(a.node.members({ self: false })).toEqual([]);
  });

  it("resolves no ZRE peer, whose name and headers nothing proves", async () => {
    const a = await node("a");
    const z = await plane("z", { "X-FILEMQ": "tcp://127.0.0.1:5777" });
    await eventually(() => expect(a.said()).toEqual(["joined"]));
    const [, member] = a.node.members();
    expect(member).toMatchObject({ id: z.uuid, addresses: [z.endpoint], tags: [] });
    expect({ ...member?.endpoints }).toEqual({});
    for (const tag of ["zre", "FILEMQ", "z", z.uuid]) expect(a.node.resolve(tag), tag).toEqual([]);
    expect(a.node.resolver("match", { has: ["*"] }).members.map(({ name }) => name)).toEqual([a.node.name]);
  });

  it("stays a peer of a node that finds it by ZRE alone", async () => {
    const options = {
      scope: "link",
      interface: "lo",
      key: "01234567890123456789012345678901234567ab",
    } as const;
    const a = await node("a", options);
    const b = await node("b", options);
    await eventually(() =>
      expect(a.node.members({ self: false })).toMatchObject([{ id: b.node.id, zre: true }]),
    );
  });

  it("is shown once where it is a member, too, whichever plane was first", async () => {
    const a = await node("a");
    // On the plane first, a member a while later.
    const b = await node("b");
    await eventually(() =>
      expect(a.node.members({ self: false })).toMatchObject([{ id: b.node.id, zre: true }]),
    );
    const c = await node("c", { seeds: [a.node.address, b.node.address] });
    for (const each of [a, b, c])
      await eventually(() => {
        const others = each.node.members({ self: false });
        expect(others.map(({ zre }) => zre)).toEqual([undefined, undefined]);
      });
    for (const each of [a, b, c]) {
      const joined = (): string[] =>
        each.events.flatMap((event) => (event.type === "joined" ? [event.member.id] : []));
      // A newcomer's event waits for its tags.
      await eventually(() => expect(new Set(joined()).size).toBe(2));
      expect(joined()).toHaveLength(2);
    }
    // A member's id is that of its peer.
    a.node.zre.whisper(b.node.id, "hello");
    await eventually(() => expect(b.said()).toContain("whisper"));
    const [whisper] = b.events.filter((event) => event.type === "whisper");
    expect(whisper).toMatchObject({ member: { id: a.node.id } });
    await c.node.leave();
    await eventually(() => expect(a.said().filter((type) => type === "left")).toEqual(["left"]));
    expect(a.node.members({ self: false })).toHaveLength(1);
  });

  it("is not disturbed by peers that shout and leave while it closes", async () => {
    const thrown: unknown[] = [];
    const onThrown = (error: unknown): void => void thrown.push(error);
    process.on("uncaughtException", onThrown);
    const a = await node("a");
    const peers = [await plane("x"), await plane("y")];
    a.node.zre.join("G");
    for (const peer of peers) {
      peer.join("G");
      await eventually(() => expect(peer.peer("a")?.groups).toEqual(["G"]));
    }
    for (const peer of peers) for (let i = 0; i < 200; i++) peer.shout("G", "x".repeat(1_000));
    await eventually(() => expect(a.said()).toContain("shout"));
    const closing = a.node.close({ linger: 1_000 });
    for (const peer of peers) for (let i = 0; i < 200; i++) peer.shout("G", "x".repeat(1_000));
    await (peers[0] as Plane).close();
    await closing;
    process.off("uncaughtException", onThrown);
    expect(thrown).toEqual([]);
  });

  it("is in the groups that it joined before the start", async () => {
    const early = closing(
      new ClusterNode({ name: "early", multicast: false, zre: { port, interface: "lo" } }),
    );
    early.zre.join("G");
    early.zre.join("H");
    early.zre.leave("H");
    expect(early.zre.groups).toEqual(["G"]);
    const p = closing(new Plane({ name: "p", port, interface: "lo" }));
    p.join("P");
    expect(p.groups).toEqual(["P"]);
    await Promise.all([early.start(), p.start()]);
    await eventually(() => expect(p.peer("early")?.groups).toEqual(["G"]));
    await eventually(() => expect(early.zre.shout("P", "x")).toBe(1));
  });

  it("counts malformed packets among those that it drops", async () => {
    const a = await node("a");
    const stranger = createSocket("udp4");
    stranger.send("junk", port, "127.0.0.1");
    await eventually(() => expect(a.node.stats().dropped).toMatchObject({ "zre:beacon": 1 }));
    stranger.close();
  });

  it("refuses what cannot be", async () => {
    expect(() => new ClusterNode({ zre: true, scope: "host" })).toThrow(/not with the scope "host"/);
    expect(() => new ClusterNode({ zre: { prot: 1 } as never })).toThrow(/did you mean port/);
    expect(() => new ClusterNode({ zre: { headers: { "": "x" } } })).toThrow(/header "" is empty/);
    expect(() => new ClusterNode({ zre: 1 as never })).toThrow(/true, false or an object/);
    const headers = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`X-${i}`, ""]));
    expect(() => new ClusterNode({ zre: { headers } })).toThrow(/at most 64/);
    const without = closing(new ClusterNode({ multicast: false }));
    expect(() => without.zre.shout("G", "x")).toThrow(expect.objectContaining({ code: "NOT_SUPPORTED" }));
    expect(() => without.zre.whisper("x", "x")).toThrow(expect.objectContaining({ code: "NOT_SUPPORTED" }));
    const early = closing(new ClusterNode({ multicast: false, zre: { port, interface: "lo" } }));
    expect(() => early.zre.shout("G", "x")).toThrow(expect.objectContaining({ code: "EFSM" }));
    expect(() => early.zre.join("")).toThrow(expect.objectContaining({ code: "EINVAL" }));
    await early.start();
    expect(() => early.zre.whisper("nobody", "x")).toThrow(expect.objectContaining({ code: "EHOSTUNREACH" }));
    await early.close();
    expect(() => early.zre.join("G")).toThrow(expect.objectContaining({ code: "EBADF" }));
    const lost = new ClusterNode({ multicast: false, zre: { port, interface: "no-such" } });
    await expect(lost.start()).rejects.toThrow(/no-such/);
    expect(lost.closed).toBe(true);
    await lost.close();
  });
});
