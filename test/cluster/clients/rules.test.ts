/** What decides about dynamic clients, without a network: rounds, fail-over, balance, addresses, users, limits, lists. */
import { scryptSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  addressesFor,
  type HostAddress,
  isPrivate,
  prefixOf,
} from "../../../src/cluster/clients/addresses.js";
import { DiscoveryClientRules, type NodeLossReason } from "../../../src/cluster/clients/client-rules.js";
import {
  type DescribedMember,
  type DiscoveredNode,
  describeNode,
  encodeDescription,
  MAX_DESCRIPTION,
  parseDescription,
  xmlOf,
} from "../../../src/cluster/clients/description.js";
import { NodeDirectory } from "../../../src/cluster/clients/directory.js";
import {
  CallerGate,
  type CallerGateOptions,
  FAILURES,
  MAX_SOURCES,
} from "../../../src/cluster/clients/gate.js";
import { parseRequest, parseUpdate } from "../../../src/cluster/clients/protocol.js";
import { ClientRoster } from "../../../src/cluster/clients/roster.js";
import { hashPassword, UserTable } from "../../../src/cluster/clients/users.js";
import type { Requests } from "../../../src/cluster/requests/requests.js";
import { Random } from "../../../src/testing/index.js";
import { LONG } from "../../support/long.js";
import { codes, ROOT, tableUnder } from "../../support/markdown.js";

function nodeOf(name: string, more: Partial<DiscoveredNode> = {}): DiscoveredNode {
  return {
    id: name.padEnd(32, "0"),
    name: `${name}@h`,
    addresses: [],
    discovery: [`tcp://${name}:1`],
    endpoints: {},
    tags: [],
    draining: false,
    ...more,
  };
}

/** A client, what it asks of its connections, and the time. */
class World {
  now = 0;
  readonly done: string[] = [];
  /** Endpoints of attempts that are open, by their number. */
  readonly attempts = new Map<number, string>();
  readonly rules: DiscoveryClientRules;

  constructor(
    addresses: string[],
    options: Partial<Record<string, number>> = {},
    draw: () => number = Math.random,
  ) {
    this.rules = new DiscoveryClientRules(
      {
        addresses,
        retries: 0,
        connectionDelay: 0,
        cycleCount: 2,
        refreshInterval: 60_000,
        attemptTimeout: 1_000,
        ...options,
      },
      {
        connect: (endpoint, attempt) => {
          this.attempts.set(attempt, endpoint);
          this.done.push(`connect ${endpoint}`);
        },
        disconnect: (attempt) => {
          this.attempts.delete(attempt);
        },
        refresh: () => void this.done.push("refresh"),
        connected: (node, endpoint) => void this.done.push(`connected ${node?.name ?? endpoint}`),
        lost: (node, endpoint, reason) => void this.done.push(`lost ${node?.name ?? endpoint} ${reason}`),
        refused: (endpoint, reason) => void this.done.push(`refused ${endpoint} ${reason}`),
        changed: (joined, left) => void this.done.push(`changed +${joined.length} -${left.length}`),
        failed: (attempts) => void this.done.push(`failed ${attempts}`),
      },
      draw,
    );
    this.rules.start(this.now);
  }

  /** What happened since the last call. */
  take(): string[] {
    return this.done.splice(0);
  }

  get open(): [number, string][] {
    return [...this.attempts];
  }

  end(attempt: number, reason: NodeLossReason = "disconnected"): void {
    this.rules.onEnd(this.now, attempt, reason);
  }

  list(attempt: number, nodes: DiscoveredNode[], at: DiscoveredNode | undefined, revision = 1): void {
    this.rules.onUpdate(this.now, attempt, {
      node: at?.id ?? "",
      revision,
      from: undefined,
      nodes,
      gone: [],
    });
  }

  /** To the next time that something is due. */
  step(): void {
    this.now = Math.max(this.now, this.rules.nextWakeUp());
    this.rules.tick(this.now);
  }
}

describe("the rules of a client", () => {
  it("try every address in each of 2 cycles, report it, and rest", () => {
    const world = new World(["tcp://a:1", "tcp://b:1"]);
    for (let i = 0; i < 4; i++) {
      const [[attempt] = [0]] = world.open;
      world.end(attempt);
      if (i < 3) world.step();
    }
    expect(world.now).toBe(0);
    world.step();
    const done = world.take();
    for (const name of ["a", "b"])
      expect(done.filter((each) => each === `connect tcp://${name}:1`)).toHaveLength(2);
    expect(done.indexOf("failed 4")).toBe(8);
    world.step();
    expect(world.now).toBeGreaterThanOrEqual(500);
    expect(world.take().at(-1)).toMatch(/^connect/);
  });

  it("retry one address after a delay before the next one", () => {
    const world = new World(["tcp://a:1"], { retries: 2, connectionDelay: 100, cycleCount: 1 });
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      times.push(world.now);
      const [[attempt] = [0]] = world.open;
      world.end(attempt, "refused");
      world.step();
    }
    expect(times).toEqual([0, 100, 200]);
    expect(world.take()).toContain("failed 3");
  });

  it("give up an address that does not answer in time", () => {
    const world = new World(["tcp://a:1"]);
    world.step();
    expect(world.now).toBe(1_000);
    expect(world.take()).toEqual(["connect tcp://a:1", "refused tcp://a:1 timeout", "connect tcp://a:1"]);
  });

  it("move by lot after the first list, keep the old node until the new one answers, and stay then", () => {
    const [a, b] = [nodeOf("a"), nodeOf("b")];
    const world = new World(["tcp://a:1"], {}, () => 0.99);
    world.list(1, [a, b], a);
    expect(world.take()).toEqual([
      "connect tcp://a:1",
      "changed +2 -0",
      "connected a@h",
      "connect tcp://b:1",
    ]);
    expect(world.rules.current?.name).toBe("a@h");
    world.list(2, [a, b], b);
    expect(world.open).toEqual([[2, "tcp://b:1"]]);
    expect(world.take()).toEqual(["connected b@h"]);
    world.list(2, [a, b, nodeOf("c")], b, 2);
    expect(world.take()).toEqual(["changed +1 -0"]);
  });

  it("stay where they are when the better node does not answer", () => {
    const [a, b] = [nodeOf("a"), nodeOf("b")];
    const world = new World(["tcp://a:1"], {}, () => 0.99);
    world.list(1, [a, b], a);
    world.end(2);
    expect(world.rules.current?.name).toBe("a@h");
    expect(world.open).toEqual([[1, "tcp://a:1"]]);
    expect(world.rules.nextWakeUp()).toBeGreaterThan(50_000); // Only the next look at the list.
  });

  it("try to move again when the better node is busy, and not when it has gone", () => {
    const [a, b] = [nodeOf("a"), nodeOf("b")];
    const world = new World(["tcp://a:1"], {}, () => 0.99);
    world.list(1, [a, b], a);
    for (const [attempt, due] of [
      [2, 1_000],
      [3, 2_000],
    ] as const) {
      world.rules.onProgress(world.now, attempt, false);
      const since = world.now;
      world.step();
      expect(world.now - since).toBe(due);
      expect(world.open).toEqual([[1, "tcp://a:1"]]);
      world.step();
      expect(world.open).toEqual([
        [1, "tcp://a:1"],
        [attempt + 1, "tcp://b:1"],
      ]);
    }
    world.rules.onProgress(world.now, 4, false);
    world.step();
    world.list(1, [a], a, 2);
    world.step();
    expect(world.open).toEqual([[1, "tcp://a:1"]]);
  });

  it("give a busy server twice as long each time, one in reach of nobody as long as before, and one that has answered the longest", () => {
    const times = (progress?: boolean): number[] => {
      const world = new World(["tcp://a:1"], { cycleCount: 6 });
      return Array.from({ length: 6 }, () => {
        const since = world.now;
        if (progress !== undefined) world.rules.onProgress(world.now, world.open[0]?.[0] as number, progress);
        world.step();
        return world.now - since;
      });
    };
    expect(times()).toEqual([1_000, 1_000, 1_000, 1_000, 1_000, 1_000]);
    expect(times(false)).toEqual([1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    expect(times(true)).toEqual([8_000, 8_000, 8_000, 8_000, 8_000, 8_000]);
  });

  it("give a server its time from when its system took the connection, and from when it finished the handshake", () => {
    const world = new World(["tcp://a:1"]);
    world.now = 900;
    world.rules.onProgress(world.now, 1, false);
    expect(world.rules.nextWakeUp()).toBe(1_900);
    world.now = 1_800;
    world.rules.onProgress(world.now, 1, true);
    expect(world.rules.nextWakeUp()).toBe(9_800);
  });

  it("rest for eight seconds at most, or for the interval where that is shorter", () => {
    for (const [refreshInterval, longest] of [
      [60_000, 8_000],
      [300, 300],
    ] as const) {
      const world = new World(["tcp://a:1"], { cycleCount: 1, refreshInterval }, () => 0.999);
      let rest = 0;
      for (let i = 0; i < 10; i++) {
        world.end(world.open[0]?.[0] as number);
        const since = world.now;
        world.step(); // It rests.
        world.step(); // The next round.
        rest = world.now - since;
      }
      expect(rest).toBeLessThanOrEqual(longest);
      expect(rest).toBeGreaterThan(longest * 0.99);
    }
  });

  it("do not move after a rest among the nodes that they chose from, and do where there are others", () => {
    const [a, b, c] = [nodeOf("a"), nodeOf("b"), nodeOf("c")];
    for (const nodes of [
      [a, b],
      [a, b, c],
    ]) {
      const world = new World(["tcp://a:1"], { cycleCount: 1 }, () => 0.99);
      world.list(1, [a, b], a);
      world.list(2, [a, b], b);
      world.end(2);
      while (!world.take().some((each) => each.startsWith("failed"))) {
        const [[attempt] = [0]] = world.open;
        world.end(attempt);
        world.step();
      }
      world.step();
      const [[attempt] = [0]] = world.open;
      world.take();
      world.list(attempt, nodes, a);
      expect(world.take().filter((each) => each.startsWith("connect "))).toEqual(
        nodes.length === 3 ? ["connect tcp://c:1"] : [],
      );
    }
  });

  it("are all connected again in seconds, and evenly, when servers need seconds for thousands that come at once", () => {
    const random = new Random(20_260_102);
    const draw = (): number => random.next();
    const live = ["a", "b", "c"].map((name) => nodeOf(name));
    const all = [...live, nodeOf("d")];
    // A server answers one in this time, in the order of their coming. One whose client has gone costs it some of that, too.
    const TURN = LONG ? 10 : 20;
    const COST_OF_GONE = 0.25;
    const CLIENTS = LONG ? 2_500 : 750;
    const queues = new Map(live.map(({ discovery: [at] }) => [at as string, [] as [World, number][]]));
    const seen = new Map<World, number>();
    const worlds = Array.from({ length: CLIENTS }, () => {
      const world = new World(["tcp://d:1"], {}, draw);
      world.list(1, all, all[3]);
      for (const [attempt] of world.open) if (attempt > 1) world.end(attempt);
      world.end(1);
      return world;
    });
    for (let now = 0; worlds.some((world) => !world.rules.connected); now += TURN) {
      expect(now, `${worlds.filter((world) => world.rules.connected).length} connected`).toBeLessThan(20_000);
      for (const world of worlds) {
        world.now = now;
        if (world.rules.nextWakeUp() <= now) world.rules.tick(now);
        for (const [attempt, endpoint] of world.open) {
          if (attempt <= (seen.get(world) ?? 1)) continue;
          seen.set(world, attempt);
          const queue = queues.get(endpoint);
          if (queue === undefined) world.end(attempt);
          else {
            queue.push([world, attempt]);
            world.rules.onProgress(world.now, attempt, false);
          }
        }
      }
      for (const [endpoint, queue] of queues)
        for (let left = 1; left > 0 && queue.length > 0; ) {
          const [world, attempt] = queue.shift() as [World, number];
          const isThere = world.attempts.has(attempt);
          left -= isThere ? 1 : COST_OF_GONE;
          const node = live.find(({ discovery: [at] }) => at === endpoint);
          if (isThere) world.list(attempt, live, node);
        }
    }
    for (const { id } of live) {
      const count = worlds.filter((world) => world.rules.current?.id === id).length;
      expect(Math.abs(count - CLIENTS / 3)).toBeLessThan(CLIENTS / 20);
    }
  });

  it("fail over at once, to another node first, and to the lost one last", () => {
    const all = ["a", "b", "c"].map((name) => nodeOf(name));
    const world = new World(["tcp://a:1"], {}, () => 0);
    world.list(1, all, all[0]);
    world.take();
    world.end(1);
    const [lost, connect] = world.take();
    expect(lost).toBe("lost a@h disconnected");
    expect(["connect tcp://b:1", "connect tcp://c:1"]).toContain(connect);
    expect(world.now).toBe(0);
    const tried = [connect];
    for (let i = 0; i < 2; i++) {
      world.end([...world.attempts.keys()][0] as number);
      world.step();
      tried.push(world.take().at(-1));
    }
    expect(tried[2]).toBe("connect tcp://a:1");
  });

  it("try a few nodes that the node before knew of, last, where the next one goes before it knows them", () => {
    const [a, c] = [nodeOf("a"), nodeOf("c")];
    for (const others of [["b"], Array.from({ length: 100 }, (_, i) => `b${i}`)]) {
      const world = new World(["tcp://a:1"], { cycleCount: 1 }, () => 0.995);
      // To the last of them by lot, which has met nobody yet.
      world.list(1, [a, ...others.map((name) => nodeOf(name)), c], a);
      world.list(2, [c], c);
      world.take();
      world.end(2);
      while (!world.done.some((each) => each.startsWith("failed"))) {
        for (const [attempt] of world.open) world.end(attempt);
        world.step();
      }
      const tried = world.take().filter((each) => each.startsWith("connect "));
      expect(tried[0]).toBe("connect tcp://a:1");
      expect(tried.slice(1).filter((each) => each.startsWith("connect tcp://b"))).not.toEqual([]);
      expect(new Set(tried).size).toBe(tried.length);
      expect(tried.length).toBe(others.length === 1 ? 3 : 6);
      // It goes on with one of them.
      world.step();
      while (!world.rules.connected) {
        const [[attempt, endpoint] = [0, ""]] = world.open;
        const node = nodeOf(endpoint.slice("tcp://".length, -":1".length));
        if (node.name.startsWith("b")) world.list(attempt, [node], node);
        else {
          world.end(attempt);
          world.step();
        }
      }
    }
  });

  it("leave a draining node when there is another, and stay when there is not", () => {
    const [a, b] = [nodeOf("a"), nodeOf("b")];
    const world = new World(["tcp://a:1"], {}, () => 0);
    world.list(1, [a], a);
    world.list(1, [{ ...a, draining: true }], a, 2);
    expect(world.open).toHaveLength(1);
    world.list(1, [{ ...a, draining: true }, b], a, 3);
    expect(world.open.map(([, endpoint]) => endpoint)).toEqual(["tcp://a:1", "tcp://b:1"]);
  });

  it("ask for the whole list when a change is missing, and at each interval", () => {
    const a = nodeOf("a");
    const world = new World(["tcp://a:1"], {}, () => 0);
    world.list(1, [a], a);
    world.take();
    const change = { node: a.id, nodes: [nodeOf("b")], gone: [] };
    world.rules.onUpdate(0, 1, { ...change, revision: 3, from: 2 });
    expect(world.take()).toEqual(["refresh"]);
    world.rules.onUpdate(0, 1, { ...change, revision: 2, from: 1 });
    expect(world.take()).toEqual(["changed +1 -0"]);
    world.rules.onUpdate(0, 1, { node: a.id, revision: 3, from: 2, nodes: [], gone: [nodeOf("b").id] });
    expect(world.take()).toEqual(["changed +0 -1"]);
    world.step();
    expect([world.now, world.take()]).toEqual([30_000, ["refresh"]]);
    world.step();
    expect(world.now).toBe(90_000);
  });

  it("spread thousands of clients that know one node over 4 nodes within 10 %, and again after one is killed", () => {
    const count = LONG ? 10_000 : 4_000;
    const random = new Random(20_260_101);
    const draw = (): number => random.next();
    let live = ["a", "b", "c", "d"].map((name) => nodeOf(name));
    const at = (endpoint: string): DiscoveredNode | undefined =>
      live.find(({ discovery }) => discovery[0] === endpoint);
    const worlds = Array.from({ length: count }, () => new World(["tcp://a:1"], {}, draw));
    const settle = (world: World): void => {
      while (!world.rules.connected || world.open.length > 1) {
        const [attempt, endpoint] = world.open.at(-1) ?? [0, ""];
        const node = at(endpoint);
        if (node === undefined) {
          world.end(attempt);
          world.step();
        } else world.list(attempt, live, node);
      }
    };
    const spread = (): number[] =>
      live.map(({ id }) => worlds.filter((world) => world.rules.current?.id === id).length);
    for (const world of worlds) settle(world);
    for (const clients of spread()) expect(Math.abs(clients - count / 4)).toBeLessThan(count / 40);
    const [killed] = live.splice(1, 1);
    live = [...live];
    for (const world of worlds) {
      if (world.rules.current?.id !== killed?.id) continue;
      world.end(world.open[0]?.[0] ?? 0);
      settle(world);
    }
    expect(spread().reduce((sum, clients) => sum + clients, 0)).toBe(count);
    for (const clients of spread()) expect(Math.abs(clients - count / 3)).toBeLessThan(count / 30);
  });
});

const ADDRESSES: HostAddress[] = [
  { ip: "10.100.4.165", interface: "wlp3s0", prefix: 24 },
  { ip: "172.31.5.9", interface: "eth0", prefix: 20, public: "54.1.2.3" },
];

describe("addresses", () => {
  it.each([
    ["10.0.0.1", true],
    ["172.31.0.1", true],
    ["172.32.0.1", false],
    ["192.168.1.1", true],
    ["100.64.0.1", true],
    ["169.254.1.1", true],
    ["127.0.0.1", true],
    ["::1", true],
    ["fd00::1", true],
    ["fe80::1%eth0", true],
    ["::ffff:10.0.0.1", true],
    ["::ffff:8.8.8.8", false],
    ["2001:db8::1", false],
    ["8.8.8.8", false],
    ["", true],
  ])("%s is private: %s", (ip, expected) => {
    expect(isPrivate(ip)).toBe(expected);
  });

  it("are those that suit the caller, or that it asks for", () => {
    const ips = (caller: string, scope: "auto" | "private" | "public"): string[] =>
      addressesFor(ADDRESSES, caller, scope).map(({ ip }) => ip);
    expect(ips("10.100.4.7", "auto")).toEqual(["10.100.4.165", "172.31.5.9"]);
    expect(ips("172.31.1.1", "auto")).toEqual(["172.31.5.9", "10.100.4.165"]);
    expect(ips("8.8.8.8", "auto")).toEqual(["54.1.2.3"]);
    expect(ips("8.8.8.8", "private")).toEqual(["10.100.4.165", "172.31.5.9"]);
    expect(ips("10.100.4.7", "public")).toEqual(["54.1.2.3"]);
    // Better than nothing.
    expect(addressesFor(ADDRESSES.slice(0, 1), "8.8.8.8", "auto").map(({ ip }) => ip)).toEqual([
      "10.100.4.165",
    ]);
    const open = [{ ip: "203.0.113.5", interface: "eth0", prefix: 24 }];
    expect(addressesFor(open, "203.0.113.9", "auto")).toHaveLength(1);
    // A neighbour needs no detour, whatever its address looks like.
    const mapped = [{ ip: "203.0.113.5", interface: "eth0", prefix: 24, public: "198.51.100.1" }];
    expect(addressesFor(mapped, "203.0.113.9", "auto").map(({ ip }) => ip)).toEqual(["203.0.113.5"]);
    expect(addressesFor(mapped, "192.0.2.1", "auto").map(({ ip }) => ip)).toEqual(["198.51.100.1"]);
  });

  it("have the prefix of a netmask", () => {
    expect(["255.255.255.0", "255.255.240.0", "255.0.255.0", "x", undefined].map(prefixOf)).toEqual([
      24, 20, 0, 0, 0,
    ]);
  });
});

describe("what a node says about itself", () => {
  const description = {
    discoveryPort: 7_000,
    discoveryTls: false,
    httpPort: 0,
    port: 5_672,
    securePort: 8_672,
    addresses: ADDRESSES,
  };

  it("has the form of the specification", () => {
    const vectors = tableUnder("spec/discovery.md", "Vector");
    const described = [
      description,
      { ...description, discoveryTls: true, port: 0, securePort: 0, addresses: ADDRESSES.slice(0, 1) },
    ];
    expect(vectors).toHaveLength(described.length);
    for (const [at, each] of described.entries()) {
      const [text] = codes(vectors[at]?.[1] ?? "");
      expect(encodeDescription(each)).toEqual({ text, left: 0 });
      expect(parseDescription(text as string)).toEqual(each);
    }
  });

  it("leaves out what does not fit, and reads junk as nothing", () => {
    const many = Array.from({ length: 40 }, (_, i) => ({
      ip: `10.0.0.${i}`,
      interface: `interface-${i}`,
      prefix: 24,
    }));
    const { text, left } = encodeDescription({ ...description, addresses: many });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_DESCRIPTION);
    expect(parseDescription(text).addresses).toHaveLength(40 - left);
    for (const junk of [
      "",
      ";;;",
      "a=",
      "a=x/1,y",
      "a=1.2.3.4/99,y",
      "t=99999",
      "p=-1",
      "z=1",
      "a=1.2.3.4/8,y,z",
    ])
      expect(parseDescription(junk), junk).toEqual({
        discoveryPort: 0,
        discoveryTls: false,
        httpPort: 0,
        port: 0,
        securePort: 0,
        addresses: [],
      });
  });

  const member: DescribedMember = {
    id: "6a9d",
    name: "billing@db1",
    tags: ["eu"],
    props: { "shoal-discovery": encodeDescription(description).text },
    endpoints: { orders: ["tcp://172.31.5.9:5555", "ipc:///tmp/x"], local: ["tcp://127.0.0.1:1"] },
    isDraining: false,
    local: true,
  };

  it("is a node for a caller, with its public address in what it advertises", () => {
    const here = { orders: ["tcp://172.31.5.9:5555", "ipc:///tmp/x"], local: ["tcp://127.0.0.1:1"] };
    // What leads nowhere from another host is for callers on the node's own.
    for (const caller of ["127.0.0.1", "10.100.4.165"])
      expect({ ...describeNode(member, caller, "private").endpoints }).toEqual(here);
    expect({ ...describeNode({ ...member, local: false }, "127.0.0.1", "auto").endpoints }).toEqual({
      orders: ["tcp://172.31.5.9:5555"],
    });
    expect({ ...describeNode(member, "10.100.4.7", "auto").endpoints }).toEqual({
      orders: ["tcp://172.31.5.9:5555"],
    });
    expect(describeNode(member, "8.8.8.8", "auto")).toEqual({
      id: "6a9d",
      name: "billing@db1",
      addresses: [{ ip: "54.1.2.3", interface: "eth0", port: 5_672, securePort: 8_672 }],
      discovery: ["tcp://54.1.2.3:7000"],
      endpoints: { orders: ["tcp://54.1.2.3:5555"] },
      tags: ["eu"],
      draining: false,
    });
  });

  it("is what the examples of the specification show, as JSON and as XML", () => {
    const text = readFileSync(join(ROOT, "docs/spec/discovery.md"), "utf8");
    const example = (language: string): string =>
      new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(text)?.[1] ?? "";
    const shown = parseUpdate([Buffer.from(example("json"))]);
    const [first] = shown.nodes;
    const seen = describeNode(
      {
        ...member,
        id: "6a9d…",
        props: {
          "shoal-discovery": encodeDescription({ ...description, addresses: ADDRESSES.slice(0, 1) }).text,
        },
        endpoints: { orders: ["tcp://10.100.4.165:5555"] },
      },
      "10.100.4.7",
      "auto",
    );
    expect(shown).toMatchObject({ node: "6a9d…", revision: 3, from: undefined });
    expect(JSON.parse(JSON.stringify(first))).toEqual(JSON.parse(JSON.stringify(seen)));
    expect(xmlOf([seen])).toBe(example("xml"));
    expect(xmlOf([{ ...seen, name: '<&">' }])).toContain('id="&#60;&#38;&#34;&#62;"');
  });

  it("makes a new revision only when something changed", () => {
    const directory = new NodeDirectory();
    expect(directory.update([member])).toBe(true);
    expect(directory.update([{ ...member }])).toBe(false);
    expect(directory.update([member, { ...member, id: "b" }])).toBe(true);
    const change = parseUpdate([directory.change("10.0.0.1", "auto")]);
    expect(change).toMatchObject({ node: "6a9d", revision: 2, from: 1, gone: [] });
    expect(change.nodes.map(({ id }) => id)).toEqual(["b"]);
    directory.update([member]);
    expect(parseUpdate([directory.change("", "auto")]).gone).toEqual(["b"]);
    expect(parseUpdate([directory.whole("", "auto")])).toMatchObject({
      revision: 3,
      from: undefined,
    });
  });
});

describe("the list of a directory", () => {
  it("describes what changed alone, to watchers that have what was before", () => {
    let reads = 0;
    const of = (id: string, tags: readonly string[] = []): DescribedMember => ({
      id,
      name: `${id}@h`,
      tags,
      props: {},
      get endpoints() {
        reads += 1;
        return {};
      },
      isDraining: false,
      local: true,
    });
    const directory = new NodeDirectory();
    const others = Array.from({ length: 100 }, (_, i) => of(`n${i}`));
    directory.update([of("a"), ...others]);
    directory.update([of("a", ["x"]), ...others]);
    reads = 0;
    expect(parseUpdate([directory.change("10.0.0.1", "auto")]).nodes.map(({ id }) => id)).toEqual(["a"]);
    expect(reads).toBe(1);
    expect(parseUpdate([directory.whole("10.0.0.1", "auto")]).nodes).toHaveLength(101);
  });
});

describe("requests and lists", () => {
  it("have defaults", () => {
    expect(parseRequest([Buffer.from('{"command":"watch","name":"x"}')])).toEqual({
      command: "watch",
      addresses: "auto",
      id: "",
      name: "x",
    });
  });

  it.each([
    ["null", "an object"],
    ['{"command":"wach"}', "watch?"],
    ['{"command":"nodes","name":"x"}', "no member"],
    ['{"command":"watch","name":"\\u0000"}', "control characters"],
    [`{"command":"watch","id":"${"x".repeat(65)}"}`, "64 bytes"],
    [" ".repeat(5_000), "4096 bytes"],
  ])("refuse %j", (text, why) => {
    expect(() => parseRequest([Buffer.from(text)])).toThrow(why);
  });

  it("take what is wrong in a list for nothing", () => {
    const list = (nodes: unknown): string => JSON.stringify({ ok: true, revision: 1, nodes });
    const of = (text: string) => parseUpdate([Buffer.from(text)]);
    expect(
      of(
        list([
          1,
          null,
          {},
          { id: "a" },
          { id: "a", name: "b", addresses: [7, { ip: 7 }], endpoints: { x: "y" } },
        ]),
      ).nodes,
    ).toEqual([
      { id: "a", name: "b", addresses: [], discovery: [], endpoints: { x: [] }, tags: [], draining: false },
    ]);
    for (const junk of [
      "",
      "1",
      "null",
      "{}",
      '{"ok":true,"revision":-1,"nodes":[]}',
      list("x"),
      '{"ok":false}',
    ])
      expect(() => of(junk), junk).toThrow(expect.objectContaining({ code: "ERR_PROTOCOL" }));
  });
});

describe("users", () => {
  const caller = (username: string, password: string) => ({
    username,
    password,
    address: "10.0.0.1",
    via: "http" as const,
  });

  it("are let in by their password and the permission of a role", async () => {
    const users = new UserTable(
      {
        ana: "secret",
        bob: { password: await hashPassword("hashed"), roles: ["reader", "guest"] },
        eve: { password: "e", roles: ["guest"] },
        dan: { password: "d", permissions: [] },
      },
      { reader: ["dynamicDiscovery"], guest: ["other"] },
    );
    expect(await users.check(caller("ana", "secret"))).toBe("ok");
    expect(await users.check(caller("bob", "hashed"))).toBe("ok");
    expect(users.knows(caller("bob", "hashed"))).toBe(true);
    expect(users.knows(caller("bob", "hashe"))).toBe(false);
    expect(await users.check(caller("eve", "e"))).toBe("permission");
    expect(await users.check(caller("dan", "d"))).toBe("permission");
    for (const [name, password] of [
      ["ana", "Secret"],
      ["ana", ""],
      ["bob", "x"],
      ["zoe", "secret"],
      ["__proto__", "x"],
    ] as const)
      expect(await users.check(caller(name, password)), name).toBe("credentials");
  });

  it.each([
    [{ "a:b": "x" }, "colon"],
    [{ ana: "" }, "not empty"],
    [{ ana: {} }, "either a password or a publicKey"],
    [{ ana: { password: "x", role: ["y"] } }, "roles?"],
    [{ ana: { password: "x", roles: ["y"] } }, "missing in roles"],
    [
      { ana: "$scrypt$ln=30,r=8,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHQ" },
      "not a valid scrypt hash",
    ],
  ])("refuse %j", (users, why) => {
    expect(() => new UserTable(users as never)).toThrow(why);
  });

  it("hash no more than two passwords at once, and refuse what has to wait too long", async () => {
    const salt = Buffer.alloc(16, 7);
    const unpadded = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");
    const key = scryptSync("secret", salt, 32, { N: 16, r: 8, p: 1 });
    const users = new UserTable({ ana: `$scrypt$ln=4,r=8,p=1$${unpadded(salt)}$${unpadded(key)}` });
    const verdicts = await Promise.all(
      Array.from({ length: 80 }, (_, i) => users.check(caller("ana", `x${i}`))),
    );
    expect(verdicts.filter((verdict) => verdict === "busy")).toHaveLength(80 - 66);
    expect(await users.check(caller("ana", "secret"))).toBe("ok");
  });
});

describe("how often an address may be wrong", () => {
  /** A gate whose time the test sets, and the reasons that it reported. */
  function gateOf(by: Pick<CallerGateOptions, "users" | "authenticate">) {
    const reports: [string, number, string | undefined][] = [];
    const clock = { now: 0 };
    const gate = new CallerGate({
      ...by,
      report: (_, reason, count, error) =>
        reports.push([reason, count, (error as Error | undefined)?.message]),
      now: () => clock.now,
    });
    const allows = (username: string, password: string, address = "10.0.0.1") =>
      gate.allows({ username, password, address, via: "socket" });
    return { clock, reports, gate, allows };
  }

  it("is ten times, and once a second then, but for credentials that were right before", async () => {
    const world = gateOf({ users: new UserTable({ ana: "a", bob: "b", eve: "e" }) });
    expect(await world.allows("ana", "a")).toBe(true);
    for (let i = 0; i < FAILURES; i++) expect(await world.allows("ana", "x")).toBe(false);
    expect(await world.allows("bob", "b")).toBe(false);
    expect(await world.allows("ana", "a")).toBe(true);
    expect(await world.allows("bob", "b", "10.0.0.2")).toBe(true);
    for (let i = 0; i < 1_000; i++) await world.allows("ana", "x");
    world.clock.now += 1_001;
    expect(await world.allows("ana", "x")).toBe(false);
    expect(world.reports.at(-1)).toEqual(["credentials", FAILURES + 1_001, undefined]);
    world.clock.now += 500;
    expect(await world.allows("eve", "e")).toBe(false);
    world.clock.now += 1_001;
    expect(world.gate.refused).toBe(FAILURES + 1_003);
    expect(await world.allows("eve", "e")).toBe(true);
  });

  it("is reported once a second for an address, and 32 times in all", async () => {
    const world = gateOf({ authenticate: () => false });
    for (let i = 0; i < 1_000; i++) await world.allows("", "", `10.0.${i & 63}.1`);
    expect(world.reports).toHaveLength(32);
    world.clock.now += 1_000;
    for (let i = 0; i < 1_000; i++) await world.allows("", "", `10.0.${i & 63}.1`);
    expect(world.reports).toHaveLength(64);
  });

  it("is remembered for a bounded number of addresses, and a network of IPv6 is one", async () => {
    const world = gateOf({ users: new UserTable({ ana: "a" }) });
    for (let i = 0; i < MAX_SOURCES + 100; i++)
      await world.allows("ana", "x", `${i & 255}.${(i >> 8) & 255}.${i >> 16}.1`);
    expect(world.gate.sources).toBe(MAX_SOURCES);
    for (let i = 0; i < FAILURES; i++) await world.allows("ana", "x", `2001:db8::${i.toString(16)}:1`);
    expect(await world.allows("ana", "a", "2001:db8:0:0:ffff::1")).toBe(false);
    expect(await world.allows("ana", "a", "2001:db8:0:1:ffff::1")).toBe(true);
  });

  it("counts a check of users that fails", async () => {
    const users = { knows: () => false, check: () => Promise.reject(new Error("no memory")) };
    const world = gateOf({ users: users as unknown as UserTable });
    expect(await world.allows("ana", "a")).toBe(false);
    expect(world.reports).toEqual([["failed", 1, "no memory"]]);
  });

  it("counts what a function throws as a refusal", async () => {
    const world = gateOf({
      authenticate: ({ username }) => {
        if (username === "bad") throw new Error("down");
        return username === "ana" ? ["dynamicDiscovery"] : username === "bob" ? ["x"] : ("yes" as never);
      },
    });
    expect(await world.allows("ana", "", "10.0.0.1")).toBe(true);
    for (const [i, name] of ["bob", "eve", "bad"].entries())
      expect(await world.allows(name, "", `10.0.1.${i}`)).toBe(false);
    expect(world.reports).toEqual([
      ["permission", 1, undefined],
      ["credentials", 1, undefined],
      ["failed", 1, "down"],
    ]);
  });
});

describe("who is connected where", () => {
  const clientsOf = (count: number, prefix: string) =>
    Array.from({ length: count }, (_, i) => ({
      id: `${prefix}${i}`,
      name: "",
      address: "10.0.0.1",
      since: i,
    }));

  const member = (name: string, isLive = true) => ({ id: name, name: `${name}@h`, isLive });
  const rosterOf = (answers: Record<string, () => AsyncIterable<unknown>>): ClientRoster =>
    new ClientRoster({
      outgoing: { streamFrom: (node: string) => answers[node]?.() },
      serveInternally: () => ({ close: async () => undefined }),
    } as unknown as Requests);
  async function* parts(...all: unknown[]): AsyncIterable<unknown> {
    yield* all;
  }

  it("is asked of all nodes: the newest connection of a client that moves counts", async () => {
    const roster = rosterOf({
      b: () => parts(clientsOf(128, "b"), [{ id: "moves", name: "", address: "", since: 7 }]),
      c: () => parts([{ id: "moves", name: "", address: "", since: 9 }]),
    });
    roster.server = { clients: () => clientsOf(2, "a") } as never;
    const { clients, missing } = await roster.ask("a@h", [member("b"), member("c")], 100);
    expect([clients.length, missing]).toEqual([131, []]);
    expect(clients.filter(({ node }) => node === "a@h")).toHaveLength(2);
    expect(clients.filter(({ id }) => id === "moves").map(({ node }) => node)).toEqual(["c@h"]);
  });

  it("has the names of nodes that do not answer in full, and drops junk and nodes that are gone", async () => {
    const roster = rosterOf({
      async *late() {
        yield clientsOf(1, "late");
        throw new Error("late");
      },
      odd: () => parts("no list"),
      junk: () => parts([1, null, { id: 1 }, { id: "x".repeat(257), name: "", address: "", since: 1 }]),
      gone: () => parts(clientsOf(1, "gone")),
      many: () => parts(clientsOf(70_000, "many")),
    });
    const members = [...["late", "odd", "junk", "many"].map((name) => member(name)), member("gone", false)];
    const { clients, missing } = await roster.ask("a@h", members, 100);
    expect(missing).toEqual(["late@h", "odd@h"]);
    expect(clients.map(({ node }) => node).filter((node) => node !== "many@h")).toEqual(["late@h"]);
    expect(clients).toHaveLength(1 + 65_536);
  });
});
