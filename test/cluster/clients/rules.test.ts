/** What decides about dynamic clients, without a network: addresses, users, limits, lists. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MAX_ADVERT } from "../../../src/cluster/bounds.js";
import {
  type AddressScope,
  addressesFor,
  type HostAddress,
  isPrivate,
} from "../../../src/cluster/clients/addresses.js";
import { askClients } from "../../../src/cluster/clients/client-registry.js";
import {
  type DescribedMember,
  type DiscoveredNode,
  describeNode as describeBy,
  descriptionOf,
  encodeDescription,
  NodeDirectory,
  parseDescription,
  xmlOf,
} from "../../../src/cluster/clients/directory.js";
import { parseList, parseRequest } from "../../../src/cluster/clients/protocol.js";
import {
  CallerGate,
  type CallerGateOptions,
  FAILURES,
  MAX_SOURCES,
  UserTable,
} from "../../../src/cluster/clients/users.js";
import type { OutgoingRequests } from "../../../src/cluster/requests/outgoing.js";
import { codes, ROOT, tableUnder } from "../../support/markdown.js";

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
    const inner = ADDRESSES.slice(0, 1);
    expect(addressesFor(inner, "8.8.8.8", "auto").map(({ ip }) => ip)).toEqual(["10.100.4.165"]);
    const open = [{ ip: "203.0.113.5", interface: "eth0", prefix: 24 }];
    expect(addressesFor(open, "203.0.113.9", "auto")).toHaveLength(1);
    // A neighbour needs no detour, whatever its address looks like.
    const mapped = [{ ip: "203.0.113.5", interface: "eth0", prefix: 24, public: "198.51.100.1" }];
    expect(addressesFor(mapped, "203.0.113.9", "auto").map(({ ip }) => ip)).toEqual(["203.0.113.5"]);
    expect(addressesFor(mapped, "192.0.2.1", "auto").map(({ ip }) => ip)).toEqual(["198.51.100.1"]);
  });
});

describe("what a node says about itself", () => {
  const description = {
    discoveryPort: 7_000,
    discoveryTls: false,
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
    const addressOf = (i: number) => ({ ip: `10.0.0.${i}`, interface: `interface-${i}`, prefix: 24 });
    const many = Array.from({ length: 40 }, (_, i) => addressOf(i));
    const { text, left } = encodeDescription({ ...description, addresses: many });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MAX_ADVERT);
    expect(parseDescription(text).addresses).toHaveLength(40 - left);
    const nothing = { discoveryPort: 0, discoveryTls: false, port: 0, securePort: 0, addresses: [] };
    for (const junk of [
      "",
      "{",
      "null",
      '{"a":7}',
      '{"a":[7]}',
      '{"a":[["x",1,"y"]]}',
      '{"a":[["1.2.3.4",99,"y"]]}',
      '{"t":99999}',
      '{"p":-1,"s":"1"}',
      '{"z":1}',
      '{"a":[["1.2.3.4",8,"y","z"]]}',
      '{"a":[["1.2.3.4",8,"y",["8.8.8.8"]]]}',
    ])
      expect(parseDescription(junk), junk).toEqual(nothing);
  });

  const member: DescribedMember = {
    id: "6a9d",
    name: "billing@db1",
    tags: ["eu"],
    props: { "shoal-discovery": encodeDescription(description).text },
    endpoints: {
      orders: ["tcp://172.31.5.9:5555", "ipc:///tmp/x", "tls://172.31.5.9:5556"],
      local: ["tcp://127.0.0.1:1", "tls://localhost:2"],
    },
    isDraining: false,
    local: true,
  };

  const describeNode = (of: DescribedMember, caller: string, scope: AddressScope): DiscoveredNode =>
    describeBy(of, descriptionOf(of), caller, scope);

  it("is a node for a caller, with its public address in what it advertises", () => {
    // What leads nowhere from another host is for callers on the node's own.
    for (const caller of ["127.0.0.1", "10.100.4.165"])
      expect({ ...describeNode(member, caller, "private").endpoints }).toEqual(member.endpoints);
    const outside = { orders: ["tcp://172.31.5.9:5555", "tls://172.31.5.9:5556"] };
    expect({ ...describeNode({ ...member, local: false }, "127.0.0.1", "auto").endpoints }).toEqual(outside);
    expect({ ...describeNode(member, "10.100.4.7", "auto").endpoints }).toEqual(outside);
    expect(describeNode(member, "8.8.8.8", "auto")).toEqual({
      id: "6a9d",
      name: "billing@db1",
      addresses: [{ ip: "54.1.2.3", interface: "eth0", port: 5_672, securePort: 8_672 }],
      discovery: ["tcp://54.1.2.3:7000"],
      endpoints: { orders: ["tcp://54.1.2.3:5555", "tls://54.1.2.3:5556"] },
      tags: ["eu"],
      draining: false,
    });
  });

  it("is what the examples of the specification show, as JSON and as XML", () => {
    const text = readFileSync(join(ROOT, "docs/spec/discovery.md"), "utf8");
    const example = (language: string): string =>
      new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(text)?.[1] ?? "";
    const shown = parseList([Buffer.from(example("json"))]);
    const [first] = shown.nodes;
    const { text: described } = encodeDescription({ ...description, addresses: ADDRESSES.slice(0, 1) });
    const endpoints = { orders: ["tcp://10.100.4.165:5555"] };
    const of = { ...member, id: "6a9d…", props: { "shoal-discovery": described }, endpoints };
    const seen = describeNode(of, "10.100.4.7", "auto");
    expect(shown.node).toBe("6a9d…");
    expect(JSON.parse(JSON.stringify(first))).toEqual(JSON.parse(JSON.stringify(seen)));
    expect(xmlOf([seen])).toBe(example("xml"));
    expect(xmlOf([{ ...seen, name: '<&">' }])).toContain('id="&#60;&#38;&#34;&#62;"');
  });

  it("is encoded once for all callers that see the same, and for no other", () => {
    const directory = new NodeDirectory();
    directory.update([member, { ...member, id: "b", props: {}, local: false }]);
    const alike = directory.list("10.0.0.1", "auto");
    for (let i = 2; i < 2_000; i++) expect(directory.list(`10.0.${i >> 8}.${i & 255}`, "auto")).toBe(alike);
    const own = ["127.0.0.1", "::1", "10.100.4.165", "172.31.5.9"];
    const others = ["", "10.0.0.1", "10.100.4.7", "172.31.1.1", "8.8.8.8", "fd00::1", "2001:db8::1"];
    for (const caller of [...own, ...others])
      for (const scope of ["auto", "private", "public"] as const) {
        const { nodes } = JSON.parse(String(directory.list(caller, scope))) as { nodes: unknown };
        const alone = JSON.parse(JSON.stringify(directory.nodes(caller, scope)));
        expect(nodes, `${scope} ${caller}`).toEqual(alone);
      }
  });
});

describe("requests and lists", () => {
  it("have defaults", () => {
    const request = { command: "watch", addresses: "auto", id: "", name: "x" };
    expect(parseRequest([Buffer.from('{"command":"watch","name":"x","new":1}')])).toEqual(request);
  });

  it.each([
    ["null", "an object"],
    ['{"command":"wach"}', "nodes or watch"],
    ['{"command":"watch","name":"\\u0000"}', "control characters"],
    [`{"command":"watch","id":"${"x".repeat(65)}"}`, "64 bytes"],
    [" ".repeat(5_000), "4096 bytes"],
  ])("refuse %j", (text, why) => {
    expect(() => parseRequest([Buffer.from(text)])).toThrow(why);
  });

  it("take what is wrong in a list for nothing", () => {
    const list = (nodes: unknown): string => JSON.stringify({ ok: true, nodes });
    const of = (text: string) => parseList([Buffer.from(text)]);
    const odd = { id: "a", name: "b", addresses: [7, { ip: 7 }], endpoints: { x: "y" } };
    expect(of(list([1, null, {}, { id: "a" }, odd])).nodes).toEqual([
      { id: "a", name: "b", addresses: [], discovery: [], endpoints: { x: [] }, tags: [], draining: false },
    ]);
    for (const junk of ["", "1", "null", "{}", list("x"), '{"ok":false}'])
      expect(() => of(junk), junk).toThrow(expect.objectContaining({ code: "ERR_PROTOCOL" }));
    const many = Array.from({ length: 16_385 }, (_, i) => ({ id: `n${i}`, name: "n" }));
    expect(of(list(many)).nodes).toHaveLength(16_384);
  });
});

describe("users", () => {
  const from = { address: "10.0.0.1", via: "http" } as const;
  const caller = (username: string, password: string) => ({ username, password, ...from });

  it("are let in by their password and the permission", () => {
    const users = new UserTable({
      ana: "secret",
      bob: { password: "other", permissions: ["other", "dynamicDiscovery"] },
      eve: { password: "e", permissions: ["other"] },
      dan: { password: "d", permissions: [] },
    });
    expect(users.check(caller("ana", "secret"))).toBe("ok");
    expect(users.check(caller("bob", "other"))).toBe("ok");
    expect(users.knows(caller("bob", "other"))).toBe(true);
    expect(users.knows(caller("bob", "othe"))).toBe(false);
    expect(users.check(caller("eve", "e"))).toBe("permission");
    expect(users.check(caller("dan", "d"))).toBe("permission");
    for (const [name, password] of [
      ["ana", "Secret"],
      ["ana", ""],
      ["bob", "x"],
      ["zoe", "secret"],
      ["__proto__", "x"],
    ] as const)
      expect(users.check(caller(name, password)), name).toBe("credentials");
  });

  it.each([
    [{ "a:b": "x" }, "colon"],
    [{ ana: "" }, "not empty"],
    [{ ana: {} }, "either a password or a publicKey"],
    [{ ana: { password: "x", permission: ["y"] } }, "permissions?"],
    [{ ana: { password: "x", permissions: 5 } }, "permissions of the user ana must be an array of texts"],
    [{ ana: { password: "x", permissions: "dynamicDiscovery" } }, "must be an array of texts"],
  ])("refuse %j", (users, why) => {
    expect(() => new UserTable(users as never)).toThrow(why);
  });
});

describe("how often an address may be wrong", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  /** A gate, and the reasons that it reported. */
  function gateOf(by: Pick<CallerGateOptions, "users" | "authenticate">) {
    const reports: [string, string | undefined][] = [];
    const gate = new CallerGate({
      ...by,
      report: (_, reason, error) => reports.push([reason, (error as Error | undefined)?.message]),
    });
    const allows = (username: string, password: string, address = "10.0.0.1") =>
      gate.allows({ username, password, address, via: "socket" });
    return { reports, gate, allows };
  }

  it("is ten times, and once a second then, but for credentials that were right before", async () => {
    const world = gateOf({ users: new UserTable({ ana: "a", bob: "b", eve: "e" }) });
    expect(await world.allows("ana", "a")).toBe(true);
    for (let i = 0; i < FAILURES; i++) expect(await world.allows("ana", "x")).toBe(false);
    expect(await world.allows("bob", "b")).toBe(false);
    expect(await world.allows("ana", "a")).toBe(true);
    expect(await world.allows("bob", "b", "10.0.0.2")).toBe(true);
    for (let i = 0; i < 1_000; i++) await world.allows("ana", "x");
    vi.advanceTimersByTime(1_001);
    expect(await world.allows("ana", "x")).toBe(false);
    vi.advanceTimersByTime(500);
    expect(await world.allows("eve", "e")).toBe(false);
    vi.advanceTimersByTime(1_001);
    expect(world.gate.refused).toBe(FAILURES + 1_003);
    expect(await world.allows("eve", "e")).toBe(true);
  });

  it("is no longer for clients that go on trying while they are refused unchecked", async () => {
    const world = gateOf({ users: new UserTable({ ana: "a" }) });
    for (let i = 0; i < FAILURES; i++) await world.allows("ana", "x");
    expect(await world.allows("ana", "a")).toBe(false);
    vi.advanceTimersByTime(600);
    expect(await world.allows("ana", "a")).toBe(false);
    vi.advanceTimersByTime(600);
    expect(await world.allows("ana", "a")).toBe(true);
  });

  it("counts each of many that are checked at once", async () => {
    const world = gateOf({ authenticate: async ({ password }) => password === "right" });
    await Promise.all(Array.from({ length: 30 }, () => world.allows("ana", "x")));
    vi.advanceTimersByTime(20_000);
    expect(await world.allows("ana", "right")).toBe(false);
    vi.advanceTimersByTime(2_000);
    expect(await world.allows("ana", "right")).toBe(true);
  });

  it("is reported once a minute for an address and a reason, and eight times at once in all", async () => {
    const world = gateOf({ authenticate: () => false });
    for (let i = 0; i < 2 * FAILURES; i++) await world.allows("", "");
    expect(world.reports.map(([reason]) => reason)).toEqual(["credentials", "limited"]);
    for (let i = 0; i < 1_000; i++) await world.allows("", "", `10.0.${i & 63}.2`);
    expect(world.reports).toHaveLength(8);
    vi.advanceTimersByTime(60_000);
    expect(await world.allows("", "")).toBe(false);
    expect(world.reports).toHaveLength(9);
  });

  it("is remembered for a bounded number of addresses, and a network of IPv6 is one", async () => {
    const world = gateOf({ users: new UserTable({ ana: "a", bob: "b" }) });
    for (let i = 0; i < FAILURES; i++) await world.allows("bob", "x", "10.9.9.9");
    for (let i = 0; i < MAX_SOURCES; i++) {
      if (i === MAX_SOURCES - 1) expect(await world.allows("bob", "b", "10.9.9.9")).toBe(false);
      await world.allows("ana", "x", `${i & 255}.${(i >> 8) & 255}.${i >> 16}.1`);
    }
    expect(await world.allows("bob", "b", "10.9.9.9")).toBe(true);
    for (let i = 0; i < FAILURES; i++) await world.allows("ana", "x", `2001:db8::${i.toString(16)}:1`);
    expect(await world.allows("ana", "a", "2001:db8:0:0:ffff::1")).toBe(false);
    expect(await world.allows("ana", "a", "2001:db8:0:1:ffff::1")).toBe(true);
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
      ["permission", undefined],
      ["credentials", undefined],
      ["failed", "down"],
    ]);
  });
});

describe("who is connected where", () => {
  const clientsOf = (count: number, prefix: string) =>
    Array.from({ length: count }, (_, i) => ({ id: `${prefix}${i}`, name: "", address: "", since: i }));

  const member = (name: string, isLive = true) => ({ id: name, name: `${name}@h`, isLive });
  const requestsOf = (answers: Record<string, () => AsyncIterable<unknown>>) =>
    ({ streamFrom: (node: string) => answers[node]?.() }) as unknown as OutgoingRequests;
  async function* parts(...all: unknown[]): AsyncIterable<unknown> {
    yield* all;
  }

  it("is asked of all nodes: the newest connection of a client that moves counts", async () => {
    const requests = requestsOf({
      a: () => parts(clientsOf(2, "a")),
      b: () => parts(clientsOf(128, "b"), [{ id: "moves", name: "", address: "", since: 7 }]),
      c: () => parts([{ id: "moves", name: "", address: "", since: 9 }]),
    });
    const { clients, missing } = await askClients(
      requests,
      ["a", "b", "c"].map((name) => member(name)),
      100,
    );
    expect([clients.length, missing]).toEqual([131, []]);
    expect(clients.filter(({ node }) => node === "a@h")).toHaveLength(2);
    expect(clients.filter(({ id }) => id === "moves").map(({ node }) => node)).toEqual(["c@h"]);
  });

  it("has the names of nodes that do not answer in full, and drops junk and nodes that are gone", async () => {
    const requests = requestsOf({
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
    const { clients, missing } = await askClients(requests, members, 100);
    expect(missing).toEqual(["late@h", "odd@h", "many@h"]);
    expect(clients.map(({ node }) => node).filter((node) => node !== "many@h")).toEqual(["late@h"]);
    expect(clients).toHaveLength(1 + 65_536);
  });
});
