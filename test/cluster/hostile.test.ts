/** A node under packets of strangers, of a removed node, and of a member that means harm. */
import { describe, expect, it } from "vitest";
import { MAX_MEMBERS, MAX_NEW_MEMBERS, MAX_REMOVALS, MAX_STREAM_PACKET } from "../../src/cluster/bounds.js";
import { MAX_COUNT, MAX_START } from "../../src/cluster/identity.js";
import { bodySize, PREFIX } from "../../src/cluster/wire/codec.js";
import { Packet, PacketType, Update } from "../../src/cluster/wire/packets.js";
import fc from "../support/properties.js";
import { packet } from "./packets.js";
import { type SimulatedNode, stateOf, World } from "./simulation/world.js";

const FROM = "e7".repeat(16);

function size({ type, address, updates, data }: Packet): number {
  const ofUpdates = updates.reduce((sum, each) => sum + each.size, 0);
  return PREFIX + bodySize(type) + address.length + ofUpdates + (data?.length ?? 0);
}

function from(id: string, type: PacketType, updates: readonly Update[], start = 1_900_000_000_000): Packet {
  return new Packet({ type, from: id, start, count: 0, digest: 0 }, { seq: 1, flags: 1, updates });
}

function aliveOf(id: string, start: number, count: number, name: string, address = "evil"): Update {
  return Update.alive({ id, start, count, name, address });
}

function idOf(n: number): string {
  return (n + 1).toString(16).padStart(8, "0").repeat(4);
}

/** A cluster of four, and what the first of them sends to an address at which nobody is. */
function attacked() {
  const world = new World({ seed: 1, encodes: true });
  world.start(4);
  expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
  world.run(2_000);
  const [node] = world.nodes as [SimulatedNode];
  let sent = 0;
  const { send } = node;
  node.send = (address, out, overStream) => {
    if (address === "evil") sent += size(out);
    else send.call(node, address, out, overStream);
  };
  /** From an address at which nobody is, by a datagram. */
  const receive = (packet: Packet): void =>
    world.act(node, (rules, now) => rules.onPacket(now, packet, "evil", false));
  const events: string[] = [];
  world.onChange = (_, change) => void events.push(change.type === "refused" ? change.reason : change.type);
  return { world, node, receive, sent: () => sent, events };
}

describe("a sender that is no member", () => {
  it("changes nobody's membership, and gets at most four times its bytes", () => {
    const { world, node, receive, sent, events } = attacked();
    let received = 0;
    fc.assert(
      fc.property(packet, fc.boolean(), fc.boolean(), (made, aboutUs, introduces) => {
        const updates = [...made.updates];
        if (aboutUs) updates.push(Update.dead(node.rules.self, 1, 7));
        if (introduces) updates.push(aliveOf(made.from, made.start, 0, "a@b"));
        const hostile = new Packet({ ...made, count: 0 }, { ...made, updates, data: undefined });
        received += size(hostile);
        receive(hostile);
        world.run(10);
      }),
      { numRuns: 400 },
    );
    for (const type of Object.values(PacketType)) {
      const smallest = from(FROM, type, []);
      const before = sent();
      for (let i = 0; i < 50; i++) receive(smallest);
      received += 50 * size(smallest);
      expect(sent() - before).toBeLessThanOrEqual(4 * 50 * size(smallest));
    }
    expect(sent()).toBeLessThanOrEqual(4 * received);
    world.run(5_000);
    expect(world.agree()).toBe(true);
    expect(events.filter((each) => ["joined", "lost", "left", "removed", "back"].includes(each))).toEqual([]);
  });

  it("costs a bounded table, however many there are, and one refutation in a gossip interval", () => {
    const { node, receive, events } = attacked();
    const { count } = node.rules.self;
    for (let i = 0; i < 4 * MAX_NEW_MEMBERS; i++) {
      const { id, start, count: now } = node.rules.self;
      const own = aliveOf(idOf(i), 1_900_000_000_000, 0, `n${i}@evil`);
      const hostile = from(idOf(i), PacketType.PING, [own, Update.dead({ id, start, count: now }, 1, 7)]);
      receive(hostile);
    }
    expect(events.filter((each) => each === "new-members")).toHaveLength(3 * MAX_NEW_MEMBERS);
    expect(node.rules.size).toBe(4);
    expect(node.rules.self.count - count).toBeLessThanOrEqual(1);
  });

  it("that was removed gets one answer in a probe timeout, and stays out", () => {
    const { world, node, sent } = attacked();
    const out = world.nodes[3] as SimulatedNode;
    world.act(node, (rules, now) => rules.remove(now, out.id));
    world.run(2_000);
    const { id, start, name } = out.rules.self;
    const own = aliveOf(id, start + 1, 5, name);
    for (let i = 0; i < 500; i++)
      for (const type of Object.values(PacketType))
        world.act(node, (rules, now) =>
          rules.onPacket(now, from(id, type, [own], start + 1), "evil", i % 2 === 0),
        );
    expect(sent()).toBeLessThanOrEqual(200);
    for (const at of world.nodes.slice(0, 3)) expect(stateOf(at, out)).toBe("none");
  });
});

describe("a member that means harm", () => {
  it("keeps nobody from being probed by leaving and coming back", () => {
    const { world, node } = attacked();
    const evil = world.nodes[3] as SimulatedNode;
    const { id, name, start, count } = evil.rules.self;
    for (let i = 0; i < 640; i += 32) {
      const updates = Array.from({ length: 32 }, (_, j) => count + 2 * (i + j) + 1).flatMap((next) => [
        Update.left({ id, start, count: next }),
        aliveOf(id, start, next + 1, name, evil.address),
      ]);
      const gossip = from(id, PacketType.GOSSIP, updates, start);
      world.act(node, (rules, now) => rules.onPacket(now, gossip, evil.address, true));
    }
    const probed = new Map<string, number>();
    const { send } = node;
    node.send = (address, out, overStream) => {
      if (out.type === PacketType.PING) probed.set(address, (probed.get(address) ?? 0) + 1);
      send.call(node, address, out, overStream);
    };
    world.run(30 * world.profile.probeInterval);
    for (const each of world.nodes.slice(1, 3)) expect(probed.get(each.address)).toBeGreaterThanOrEqual(8);
  });

  it("fills what is to be passed on up to its bound", () => {
    const { world, node, events } = attacked();
    const { id, start } = (world.nodes[3] as SimulatedNode).rules.self;
    for (let i = 0; i <= 2 * (MAX_MEMBERS + MAX_REMOVALS); i += 64) {
      const updates = Array.from({ length: 64 }, (_, j) =>
        Update.removal(idOf(1_000_000 + i + j), start, 0, true),
      );
      node.rules.onPacket(world.now, from(id, PacketType.GOSSIP, updates, start), "evil", true);
    }
    expect(events).toContain("gossip");
  });

  it("removes nobody for longer than an operator can undo", () => {
    const { world, node, events } = attacked();
    const evil = world.nodes[3] as SimulatedNode;
    const out = idOf(7);
    const removal = Update.removal(out, MAX_START, MAX_COUNT, true);
    const forged = from(evil.rules.self.id, PacketType.GOSSIP, [removal], evil.rules.self.start);
    world.act(node, (rules, now) => rules.onPacket(now, forged, evil.address, true));
    expect(events).toContain("ahead");
    world.act(node, (rules, now) => rules.admit(now, out));
    world.run(1_000);
    expect(events.filter((each) => each === "admitted")).toHaveLength(4);
  });

  it("that is removed is out at a node whose clock was never set, too", () => {
    const { world, node } = attacked();
    const evil = world.nodes[3] as SimulatedNode;
    world.restart(node, -1_800_000_000_000, false);
    expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
    expect(node.rules.self.start).toBeLessThan(86_400_000);
    world.act(world.nodes[1] as SimulatedNode, (rules, now) => rules.remove(now, evil.id));
    world.run(2_000);
    expect(stateOf(node, evil)).toBe("none");
  });

  it("fills no table past its bound, and takes nobody from the others by floods of names, ids and removals", () => {
    const { world, node, events } = attacked();
    const evil = world.nodes[3] as SimulatedNode;
    const { id, start } = evil.rules.self;
    const flood = (packets: number, make: (i: number) => Update): void => {
      for (let i = 0; i < packets; i++) {
        const updates = Array.from({ length: 64 }, (_, j) => make(64 * i + j));
        const entries = from(id, PacketType.ENTRIES, updates, start);
        expect(size(entries)).toBeLessThanOrEqual(MAX_STREAM_PACKET);
        node.rules.onPacket(world.now, entries, evil.address, true);
      }
    };
    flood(300, (i) => aliveOf(idOf(i), start, 0, `ghost-${i % 100}@evil`, `ghost${i}`));
    flood(40, (i) => Update.removal(idOf(1_000_000 + i), start, i, true));
    expect(node.rules.size + node.rules.dead.length).toBeLessThanOrEqual(MAX_MEMBERS + 1);
    expect(events).toContain("full");
    expect(events.filter((each) => each === "removed").length).toBeGreaterThan(MAX_REMOVALS);
    for (const each of world.nodes.slice(1, 3)) {
      expect(stateOf(node, each)).toBe("live");
      expect(node.rules.named(each.name)?.id).toBe(each.id);
    }
  });
});

it("of too many strangers, forgets the one that waits the longest", () => {
  const { world, node } = attacked();
  const asked = new Map<string, number>();
  node.send = (address, out) => void (out.type === PacketType.PING && asked.set(address, out.seq));
  const receive = (i: number, type: PacketType, seq: number): void => {
    const own = aliveOf(idOf(i), 1_900_000_000_000, 0, `n${i}@x`, `x${i}`);
    const head = { type, from: idOf(i), start: own.start, count: 0, digest: 0 };
    node.rules.onPacket(world.now, new Packet(head, { seq, updates: [own] }), `x${i}`, false);
  };
  for (let i = 0; i <= MAX_NEW_MEMBERS; i++) receive(i, PacketType.GOSSIP, 1);
  for (const i of [1, 0]) receive(i, PacketType.ACK, asked.get(`x${i}`) as number);
  expect([1, 0].map((i) => node.rules.get(idOf(i))?.isLive)).toEqual([true, undefined]);
});

it("a member that has others asked gets the answer that they are silent, from 256 at a time on", () => {
  const { node, world } = attacked();
  const [, asker, silent] = world.nodes as [SimulatedNode, SimulatedNode, SimulatedNode];
  const sent: string[] = [];
  node.send = (address, { type }) => void sent.push(`${type} ${address}`);
  const { id, start, count } = asker.rules.self;
  for (let seq = 1; seq <= 257; seq++) {
    const head = { type: PacketType.PING_REQ, from: id, start, count, digest: 0 };
    const request = new Packet(head, { seq, about: silent.id });
    node.rules.onPacket(world.now, request, asker.address, false);
  }
  expect(sent.filter((each) => each === `${PacketType.PING} ${silent.address}`)).toHaveLength(256);
  expect(sent.filter((each) => each === `${PacketType.NACK} ${asker.address}`)).toHaveLength(1);
});
