import { describe, expect, it } from "vitest";
import { Membership } from "../../src/cluster/membership/membership.js";
import { PROFILES } from "../../src/cluster/profiles.js";
import { DeathReason, Packet, PacketType, Update } from "../../src/cluster/wire/packets.js";
import { LONG } from "../support/long.js";
import { type Nodes, type SimulatedNode, stateOf, World } from "./simulation/world.js";

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ??
  Number.NaN;

function cluster(count: number, options: Partial<ConstructorParameters<typeof World>[0]> = {}): World {
  const world = new World({ seed: 1, encodes: true, counts: true, ...options });
  world.start(count);
  const joined = world.runUntil(() => world.agree(), 20_000);
  expect(joined, "all see all").toBeGreaterThanOrEqual(0);
  world.run(1_000);
  return world;
}

const up = (world: World): SimulatedNode[] => world.nodes.filter((node) => node.up);

describe("joining", () => {
  it("forty at once meet by datagrams: streams between all of them would cost more than what they carry", () => {
    for (let seed = 1; seed <= (LONG ? 20 : 2); seed++) {
      const world = new World({ seed, counts: true });
      world.start(40);
      const time = world.runUntil(() => world.agree(), 10_000, 1);
      expect(time, `seed ${seed}`).toBeGreaterThanOrEqual(0);
      expect(time, `seed ${seed}`).toBeLessThanOrEqual(100);
      const bytes = world.nodes.map(({ streamBytes }) => streamBytes).reduce((sum, each) => sum + each, 0);
      expect(bytes / 40, `seed ${seed}: bytes a node over streams`).toBeLessThanOrEqual(1_000);
    }
  });

  it("a newMember's exchange that overtakes its ack is answered when the ack comes, and not before", () => {
    const world = cluster(3);
    const [node] = world.nodes as [SimulatedNode];
    const sent: Packet[] = [];
    const transmit = world.transmit.bind(world);
    world.transmit = (from, address, packet, overStream) => {
      if (address === "new") sent.push(packet);
      else transmit(from, address, packet, overStream);
    };
    const id = "ab".repeat(16);
    const alive = Update.alive({ id, start: 1_900_000_000_000, count: 0, name: "new@host", address: "new" });
    const receive = (type: PacketType, seq: number, buckets?: Uint32Array): void => {
      const head = { type, from: id, start: alive.start, count: 0, digest: 0 };
      const packet = new Packet(head, { seq, buckets, updates: [alive] });
      world.act(node, (rules, now) => rules.onPacket(now, packet, "new", false));
    };
    receive(PacketType.SYNC, 0, new Uint32Array(64));
    expect(sent.map(({ type }) => type)).toEqual([PacketType.PING]);
    receive(PacketType.ACK, (sent[0] as Packet).seq);
    const entries = sent.filter(({ type }) => type === PacketType.ENTRIES);
    expect(entries.flatMap(({ updates }) => updates.map((update) => update.name))).toEqual(
      expect.arrayContaining(world.nodes.map(({ name }) => name)),
    );
  });
});

describe("gossip that a member is suspected", () => {
  it("has who hears of it ask that member at once, where there are few", () => {
    const world = cluster(3);
    const [at, about, from] = world.nodes as Nodes;
    const sent = sentBy(at);
    world.act(at, (rules, now) => rules.onPacket(now, accusation(from, about), from.address, false));
    expect(sent).toEqual([[PacketType.PING, about.address]]);
    expect(world.runUntil(() => world.agree(), 1_000)).toBeGreaterThanOrEqual(0);
  });
});

describe("gossip that a member is dead", () => {
  it("is believed where that was not heard of lately; where it was, it is asked", () => {
    const world = cluster(3);
    const [at, about, from] = world.nodes as Nodes;
    const { self } = about.rules;
    const word = gossip(from, [Update.dead(self, DeathReason.SILENT, from.rules.self.short)]);
    world.act(at, (rules, now) => {
      rules.onPacket(now, gossip(about, []), about.address, false);
      rules.onPacket(now, word, from.address, false);
    });
    expect(stateOf(at, about)).toBe("live");
    world.run(5_000);
    expect([stateOf(at, about), world.falseDeaths]).toEqual(["live", 0]);
    world.crash(about);
    world.run(PROFILES.lan.probeInterval);
    const said = gossip(from, [Update.dead(self, DeathReason.SILENT, from.rules.self.short)]);
    world.act(at, (rules, now) => rules.onPacket(now, said, from.address, false));
    expect(stateOf(at, about)).toBe("dead");
  });
});

describe("a silent node", () => {
  it("is lost at all within 5 s, and back within 300 ms", () => {
    const times: number[] = [];
    const backs: number[] = [];
    for (let seed = 1; seed <= (LONG ? 30 : 4); seed++) {
      const world = cluster(10, { seed, loss: 0.01 });
      const silent = world.nodes[seed % 10] as SimulatedNode;
      const others = up(world).filter((node) => node !== silent);
      world.stall(silent, 10_000);
      const since = world.now;
      times.push(world.runUntil(() => others.every((node) => stateOf(node, silent) === "dead"), 10_000));
      world.run(10_000 - (world.now - since));
      backs.push(world.runUntil(() => world.agree(), 20_000));
      expect(world.falseDeaths, `seed ${seed}`).toBe(0);
    }
    expect(Math.min(...times, ...backs)).toBeGreaterThanOrEqual(0);
    expect(percentile(times, 0.5)).toBeLessThanOrEqual(3_000);
    expect(Math.max(...times)).toBeLessThanOrEqual(5_000);
    expect(percentile(backs, 0.95)).toBeLessThanOrEqual(300);
  });
});

describe("a cut", () => {
  it("is healed as fast when the other side was forgotten meanwhile", () => {
    const healed: number[] = [];
    for (let seed = 1; seed <= (LONG ? 60 : 5); seed++) {
      const world = cluster(4, { seed, profile: { ...PROFILES.lan, autoclean: 20_000 } });
      world.cut((node) => node.index % 2);
      world.run(60_000);
      for (const node of world.nodes) expect(node.rules.dead).toEqual([]);
      world.heal();
      healed.push(world.runUntil(() => world.agree(), 60_000));
    }
    expect(Math.min(...healed)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...healed)).toBeLessThanOrEqual(1_000);
  });
});

describe("a node that comes again", () => {
  it("ends the suspicion of its earlier life, which it does not refute", () => {
    const world = cluster(3);
    const [node, suspect, accuser] = world.nodes as Nodes;
    const receive = (from: SimulatedNode, later: number, updates: Update[]): void => {
      const { id, start, count } = from.rules.self;
      const head = { type: PacketType.PING, from: id, start: start + later, count, digest: 0 };
      const packet = new Packet(head, { seq: 1, updates });
      world.act(node, (rules, now) => rules.onPacket(now, packet, from.address, false));
    };
    const changes: string[] = [];
    world.onChange = (at, change) => {
      if (at === node) changes.push(change.type);
    };
    receive(accuser, 0, [Update.suspect(suspect.rules.self, [7])]);
    receive(suspect, 1, []);
    expect(changes).toEqual(["suspect", "cleared"]);
  });

  it("is another process when it was started again, and the same one when it rejoins, also where nobody saw the start between", () => {
    for (const cut of [false, true]) {
      const world = cluster(5, { seed: 7 });
      const node = world.nodes[2] as SimulatedNode;
      const others = world.nodes.filter((each) => each !== node);
      const changes = new Map(others.map((each) => [each, [] as string[]]));
      world.onChange = (at, change) => {
        if (change.type === "back") changes.get(at)?.push(change.restarted ? "restarted" : "back");
        else if (change.type === "restarted" || change.type === "rejoined")
          changes.get(at)?.push(change.type);
      };
      world.act(node, (rules, now) => rules.setDetails(now, ["here"], {}));
      world.run(2_000);
      world.act(node, (rules, now) => rules.rejoin(now, rules.self.start + 1));
      world.run(2_000);
      for (const each of others) expect(each.rules.get(node.id)?.details.tags).toEqual(["here"]);
      expect([...changes.values()]).toEqual(others.map(() => ["rejoined"]));
      world.crash(node);
      if (cut) world.cut((each) => (each === node ? 1 : 0));
      world.restart(node);
      if (cut) world.act(node, (rules, now) => rules.rejoin(now, rules.self.start + 1));
      if (cut) world.heal();
      expect(world.runUntil(() => world.agree(), 60_000)).toBeGreaterThanOrEqual(0);
      expect([...changes.values()]).toEqual(others.map(() => ["rejoined", "restarted"]));
      for (const each of others) expect(each.rules.get(node.id)?.details.tags).toEqual([]);
    }
  });
});

describe("one name at two nodes", () => {
  it("stays with the one that came first, at all of them", () => {
    const world = cluster(5);
    const second = world.add({ name: "node-1@host" });
    world.join(second);
    world.run(5_000);
    const first = world.nodes[1] as SimulatedNode;
    for (const node of world.nodes) expect(node.rules.named("node-1@host")?.id).toBe(first.id);
    expect(world.agree()).toBe(true);
    world.crash(first);
    world.run(10_000);
    for (const node of up(world)) expect(node.rules.named("node-1@host")?.id).toBe(second.id);
  });
});

describe("leaving, removing, draining", () => {
  /** A node among nodes that prove themselves, which was removed. */
  function removed(send: (address: string, packet: Packet, overStream: boolean) => void): Membership {
    const self = { id: "ab".repeat(16), name: "a@host", address: "10.0.0.1:1", start: 1_000 };
    const effects = { send, multicast: () => undefined, event: () => undefined };
    const options = { self, profile: PROFILES.lan, random: () => 0.5, now: 0, provesNodes: true, effects };
    const rules = new Membership(options);
    rules.setSeeds(0, ["10.0.0.9:1"]);
    rules.remove(1, self.id);
    return rules;
  }

  it("a removed node asks over a stream where nodes prove themselves", () => {
    const asked = new Map<string, boolean | undefined>();
    const rules: Membership = removed((address, packet, overStream) => {
      if (packet.updates.some(({ id, flags }) => id === packet.from && flags === 1))
        asked.set(address, overStream);
    });
    for (let now = 1; asked.size === 0 && now < 600_000; now = rules.nextWakeUp()) rules.tick(now);
    expect([...asked]).toEqual([["10.0.0.9:1", true]]);
  });

  /** A member's word that a removed node is admitted. */
  function admit(rules: Membership, overStream: boolean): void {
    const head = { type: PacketType.GOSSIP, from: "cd".repeat(16), start: 1_000, count: 0, digest: 0 };
    const updates = [Update.removal(rules.self.id, 2_000, 0, false)];
    rules.onPacket(2, new Packet(head, { updates }), "10.0.0.9:1", overStream);
  }

  it("a removed node is admitted over a stream alone where nodes prove themselves", () => {
    const rules = removed(() => undefined);
    admit(rules, false);
    expect(rules.removed).toBe(true);
    admit(rules, true);
    expect(rules.removed).toBe(false);
  });

  it("a node that was removed dials its seeds again once it is admitted", () => {
    let pings = 0;
    const rules = removed((_, packet) => {
      if (packet.type === PacketType.PING) pings += 1;
    });
    admit(rules, true);
    pings = 0;
    for (let now = rules.nextWakeUp(); now < 10_000; now = rules.nextWakeUp()) rules.tick(now);
    expect(pings).toBeGreaterThan(5);
  });

  it("a node that has left does not come back by rejoining, as where a cut heals meanwhile", () => {
    const world = cluster(3);
    const [node, other] = world.nodes as Nodes;
    world.act(node, (rules, now) => rules.leave(now));
    world.act(node, (rules, now) => rules.rejoin(now, rules.self.start + 1));
    world.run(1_000);
    expect(stateOf(other, node)).toBe("dead");
  });

  it("a node that leaves just after its start was never there, or has left: nobody loses it", () => {
    for (let seed = 1; seed <= (LONG ? 120 : 10); seed++) {
      const world = new World({ seed, latency: [1, 10] });
      for (let i = 0; i < 6; i++) world.add({ multicast: true });
      for (const node of world.nodes) world.act(node, (rules, now) => rules.discover(now));
      expect(world.runUntil(() => world.agree(), 20_000)).toBeGreaterThanOrEqual(0);
      const passing = world.add({ multicast: true });
      const changes: string[] = [];
      world.onChange = (_, change) => {
        if ("member" in change && change.member?.id === passing.id) changes.push(change.type);
      };
      world.act(passing, (rules, now) => rules.heartbeat(now));
      world.run((7 * seed) % 60);
      world.act(passing, (rules, now) => rules.leave(now));
      world.run(300);
      world.crash(passing);
      world.run(10_000);
      expect(changes, `seed ${seed}`).not.toContain("lost");
      const [joined, left] = ["joined", "left"].map((type) => changes.filter((each) => each === type).length);
      expect(left, `seed ${seed}`).toBe(joined);
    }
  });

  it("a seed that left is dialled again: another node that starts at its address, and was given none, is found", () => {
    const world = cluster(3);
    const seed = world.nodes[0] as SimulatedNode;
    // Nor is it forgotten with the member that was there.
    for (const pause of [60_000, 2 * world.profile.autoclean]) {
      world.act(seed, (rules, now) => rules.leave(now));
      world.run(1_000);
      world.crash(seed);
      world.run(pause);
      world.restart(seed, 0, false, "node-0@host", false);
      expect(world.runUntil(() => world.agree(), 10_000)).toBeGreaterThanOrEqual(0);
      expect(seed.rules.size).toBe(3);
    }
  });

  it("a seed that no source names any more is not dialled, and a member at it stays a member", () => {
    const world = cluster(3);
    const [seed, other] = world.nodes as Nodes;
    world.act(other, (rules, now) => rules.setSeeds(now, []));
    world.run(5_000);
    expect(world.agree()).toBe(true);
    expect(other.rules.get(seed.id)?.isLive).toBe(true);
    world.act(seed, (rules, now) => rules.leave(now));
    world.run(2 * world.profile.autoclean);
    let dials = 0;
    world.blocks = (from, to) => {
      if (from === other && to === seed) dials += 1;
      return false;
    };
    world.run(60_000);
    expect(dials).toBe(0);
  });

  it("a removed node's address is dialled again where it is a seed", () => {
    const world = cluster(3);
    const [seed, operator] = world.nodes as Nodes;
    world.act(operator, (rules, now) => rules.remove(now, seed.id));
    world.run(2_000);
    world.crash(seed);
    world.restart(seed, 0, false, "node-0@host", false);
    expect(world.runUntil(() => world.agree(), 10_000)).toBeGreaterThanOrEqual(0);
    expect(seed.rules.size).toBe(3);
  });
});

describe("packets that come again", () => {
  it("bring nobody back who is dead, gone, forgotten or removed, and give up nobody who is there", () => {
    const world = cluster(6);
    const [dead, gone, out, there, at] = world.nodes as Nodes;
    const heard: [Packet, string][] = [];
    for (const node of world.nodes) {
      const { send } = node;
      node.send = (address, packet, overStream) => {
        if (!overStream) heard.push([packet, node.address]);
        send.call(node, address, packet, overStream);
      };
    }
    world.act(there, (rules, now) => rules.setDetails(now, ["a"], {}));
    world.run(20_000);
    // Accusations that were refuted since.
    for (const node of [dead, gone, out, there]) heard.push([accusation(at, node), node.address]);
    world.run(5_000);
    world.crash(dead);
    world.act(gone, (rules, now) => rules.leave(now));
    world.act(at, (rules, now) => rules.remove(now, out.id));
    world.run(1_000);
    world.crash(gone);
    world.crash(out);
    for (const pause of [10_000, 400_000]) {
      world.run(pause);
      for (const [packet, address] of heard)
        world.act(at, (rules, now) => rules.onPacket(now, packet, address, false));
      world.run(10_000);
      for (const node of up(world)) {
        for (const lost of [dead, gone, out]) expect(stateOf(node, lost)).not.toBe("live");
        expect(stateOf(node, there)).toBe("live");
      }
      expect(world.agree()).toBe(true);
      expect(world.falseDeaths).toBe(0);
    }
  });
});

/** The types of packets that a node sends from now on, and where to. */
function sentBy(node: SimulatedNode): [type: PacketType, address: string][] {
  const sent: [PacketType, string][] = [];
  const { send } = node;
  node.send = (address, packet, overStream) => {
    sent.push([packet.type, address]);
    send.call(node, address, packet, overStream);
  };
  return sent;
}

/** What one node says of another that it lost, in the incarnation that it has now. */
function accusation(from: SimulatedNode, of: SimulatedNode): Packet {
  return gossip(from, [Update.suspect(of.rules.self, [from.rules.self.short])]);
}

function gossip({ rules: { self } }: SimulatedNode, updates: readonly Update[]): Packet {
  const { id, start, count } = self;
  return new Packet({ type: PacketType.GOSSIP, from: id, start, count, digest: 0 }, { updates });
}
