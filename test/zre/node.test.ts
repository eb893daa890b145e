/** A node of a cluster that is on the ZRE plane, too: over real sockets, on the loopback interface. */
import { createSocket } from "node:dgram";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterNode, type ClusterNodeOptions, type ZreEvent } from "../../src/cluster/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { freePort } from "../support/ports.js";
import { Plane } from "./planes.js";

let port = 0;
const closing = closeAfterEach();

beforeEach(async () => {
  port = await freePort();
});

const TYPES = ["enter", "exit", "join", "leave", "shout", "whisper"] as const;

async function node(name: string, options: ClusterNodeOptions = {}) {
  const found = new ClusterNode({
    name,
    multicast: false,
    zre: { port, interface: "lo", headers: { "X-A": name } },
    ...options,
  });
  closing(found);
  const events: ZreEvent[] = [];
  for (const type of TYPES) found.zre.events.on(type, (event) => void events.push(event));
  await found.start();
  return { node: found, events, said: () => events.map(({ type }) => type) };
}

async function plane(name: string, headers: Record<string, string> = {}): Promise<Plane> {
  const found = closing(new Plane({ name, port, interface: "lo", headers }));
  await found.start();
  return found;
}

const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 5 });

describe("a node on the ZRE plane", () => {
  it("has peers with their headers, and their groups and messages as events; none of them is a member", async () => {
    const a = await node("a");
    const z = await plane("z", { "X-FILEMQ": "tcp://127.0.0.1:5777" });
    await eventually(() => expect(a.said()).toEqual(["enter"]));
    const [peer] = a.node.zre.peers();
    expect(peer).toMatchObject({ uuid: z.uuid, name: "z", endpoint: z.endpoint, evasive: false });
    expect({ ...peer?.headers }).toEqual({ "X-FILEMQ": "tcp://127.0.0.1:5777" });
    expect(a.node.zre.peer("z")?.uuid).toBe(z.uuid);
    expect(a.node.members({ self: false })).toEqual([]);
    expect([a.node.member("z"), a.node.member(z.uuid)]).toEqual([undefined, undefined]);
    for (const tag of ["zre", "FILEMQ", "z", z.uuid]) expect(a.node.resolve(tag), tag).toEqual([]);
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
        .map((event) => ({ ...event, peer: 0, frames: "frames" in event ? event.frames.map(String) : [] })),
    ).toEqual([
      { type: "join", group: "G", peer: 0, frames: [] },
      { type: "shout", group: "G", peer: 0, frames: ["from z"] },
      { type: "whisper", peer: 0, frames: ["for a"] },
    ]);
    a.node.zre.leave("G");
    await z.close();
    await eventually(() => expect(a.events.at(-1)).toMatchObject({ type: "exit", reason: "left" }));
    expect(a.node.zre.peers()).toEqual([]);
  });

  it("finds a node of its cluster as a peer, which stays no member, and has the node's id", async () => {
    const options = {
      scope: "link",
      interface: "lo",
      key: "01234567890123456789012345678901234567ab",
    } as const;
    const a = await node("a", options);
    const b = await node("b", options);
    await eventually(() => expect(a.node.zre.peers()).toMatchObject([{ uuid: b.node.id, name: "b" }]));
    expect(a.node.members({ self: false })).toEqual([]);
    a.node.zre.whisper(b.node.id, "hello");
    await eventually(() => expect(b.said()).toContain("whisper"));
  });

  it("ends its events with the node", async () => {
    const a = await node("a");
    const reading = (async () => {
      const types: string[] = [];
      for await (const { type } of a.node.zre.events) types.push(type);
      return types;
    })();
    await a.node.close();
    expect(await reading).toEqual([]);
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
