/**
 * Two versions in one cluster: nodes of this one, and of a next one that has more of everything that may be added without a
 * break (docs/spec/cluster.md, Versions).
 */
import { describe, expect, it } from "vitest";
import { MAX_PACKET, MAX_STREAM_PACKET } from "../../src/cluster/bounds.js";
import { namespaceNumber } from "../../src/cluster/identity.js";
import { bodySize, encodePacket, PREFIX } from "../../src/cluster/wire/codec.js";
import { Packet, PacketType, type Update, UpdateKind } from "../../src/cluster/wire/packets.js";
import { type Nodes, type SimulatedNode, stateOf, World } from "./simulation/world.js";

const NAMESPACE = namespaceNumber("simulated");
const FROM = "a1".repeat(16);
/** A flag of an alive and a kind of update that this version does not know. */
const FLAG = 0x40;
const KIND = 77;

function packetOf(...updates: Update[]): Packet {
  return new Packet({ type: PacketType.GOSSIP, from: FROM, start: 1, count: 2, digest: 3 }, { updates });
}

/** An update as this version writes it. */
const updateOf = (update: Update): Buffer =>
  encodePacket(packetOf(update), NAMESPACE).subarray(PREFIX + bodySize(PacketType.GOSSIP));

/** An update as the next version writes it: one more flag, a field at its end. */
function nextUpdate(update: Update): Buffer {
  const bytes = updateOf(update);
  const written = Buffer.concat([bytes, Buffer.from("more")]);
  written.writeUInt16BE(bytes.length - 3 + 4, 1);
  if (update.kind === UpdateKind.ALIVE) written[29] = (written[29] as number) | FLAG;
  return written;
}

/** A packet as the next version writes it: its updates, one of a new kind, and a field after them. */
function nextPacket(packet: Packet, isOwn: (update: Update) => boolean): Buffer {
  const { updates } = packet;
  const head = encodePacket(packet, NAMESPACE);
  const size = updates.reduce((sum, update) => sum + update.size, 0);
  const unknown = Buffer.alloc(3 + 20, 9);
  unknown[0] = KIND;
  unknown.writeUInt16BE(20, 1);
  const before = [head.subarray(0, head.length - size - 1), Buffer.from([updates.length + 1])];
  const parts = updates.map((update) => (isOwn(update) ? nextUpdate(update) : updateOf(update)));
  return Buffer.concat([...before, ...parts, unknown, Buffer.from("after")]);
}

/** Four nodes of this version, and as many of the next. */
function mixed(seed: number): World {
  const isNext = (node: SimulatedNode): boolean => node.index % 2 === 1;
  const world = new World({
    seed,
    loss: 0.02,
    encodes: true,
    rewrite: (from, packet, bytes) => {
      if (!isNext(from)) return undefined;
      const ids = new Set(world.nodes.filter(isNext).map(({ id }) => id));
      const next = nextPacket(packet, ({ id }) => ids.has(id));
      const most = packet.type >= PacketType.SYNC ? MAX_STREAM_PACKET : MAX_PACKET;
      return next.length <= most && packet.updates.length < 64 ? next : bytes;
    },
  });
  world.start(8);
  expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
  return world;
}

describe("two versions in one cluster", () => {
  it("agree, and an older node passes on the flags that it does not know", () => {
    const world = mixed(1);
    for (const at of world.nodes)
      for (const of of world.nodes) {
        if (at === of) continue;
        const member = at.rules.get(of.id);
        expect((member?.flags ?? 0) & FLAG).toBe(of.index % 2 === 1 ? FLAG : 0);
      }
    // One that comes later and knows older nodes only.
    const late = world.add();
    world.join(late);
    expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
    expect(late.rules.get((world.nodes[1] as SimulatedNode).id)?.flags).toBe(FLAG);
  });

  it("keep details, leaving, death, removal and a healed cut", () => {
    const world = mixed(2);
    const [a, b, c, d, e, f] = world.nodes as Nodes;
    for (const node of [a, b])
      world.act(node, (rules, now) => rules.setDetails(now, [node.name], { of: node.name }));
    for (const node of [c, d]) world.act(node, (rules, now) => rules.leave(now));
    world.run(1_000);
    for (const node of [c, d]) world.crash(node);
    world.crash(e);
    world.act(a, (rules, now) => rules.remove(now, f.id));
    world.run(20_000);
    const there = world.nodes.filter((node) => ![c, d, e, f].includes(node));
    expect(world.agree(there)).toBe(true);
    for (const node of there) {
      for (const of of [a, b]) expect(node.rules.get(of.id)?.details).toEqual(of.rules.self.details);
      expect(stateOf(node, f)).toBe("none");
    }
    world.cut((node) => node.index % 4);
    world.run(20_000);
    world.heal();
    expect(world.runUntil(() => world.agree(there), 20_000)).toBeGreaterThanOrEqual(0);
    expect(world.falseDeaths).toBe(0);
  });
});
