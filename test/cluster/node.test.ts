/** Nodes over the host's own sockets, in one process: what a program sees of its cluster. */
import { createSocket, Socket } from "node:dgram";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterNode, type ClusterNodeOptions } from "../../src/cluster/index.js";
import { LISTEN_TIMEOUT } from "../../src/cluster/messaging/bounds.js";
import { removeAfterEach } from "../support/folders.js";
import { listening } from "../support/listening.js";
import { freePort } from "../support/ports.js";
import { event, testNodes, together } from "./nodes.js";

/** A group and a port of each test's own, so that other clusters of this host are not seen. */
const group = "239.192.84.10";
const key = "01234567890123456789012345678901234567ab";
let port = 0;
const makeFolder = removeAfterEach();
const { node, started } = testNodes(() => ({ multicast: { group, port } }));

beforeEach(async () => {
  port = await freePort();
});

describe("nodes of one host", () => {
  it("have the channel of a beat by hand", async () => {
    const [a, b] = [await started("a"), await started("b")];
    await together(2, a, b);
    const beat = event(b, "heartbeat");
    a.heartbeat();
    a.heartbeat({ channel: 2, props: { load: 1 } });
    expect(await beat).toMatchObject({ member: { id: a.id }, channel: 2 });
    expect(b.member("a")?.props.load).toBe("1");
  });
});

describe("the group of a node", () => {
  it.each([
    ["host", 7, 0],
    ["link", 7, 7],
    ["link", undefined, 1],
  ] as const)("has in the scope %s with the ttl %s the TTL %i", async (scope, ttl, expected) => {
    const set = vi.spyOn(Socket.prototype, "setMulticastTTL");
    try {
      await started("a", { scope, key, interface: "lo", multicast: { group, port, ttl } });
      expect(set.mock.calls).toEqual([[expected]]);
    } finally {
      set.mockRestore();
    }
  });
});

describe("a node with seeds that meets no other", () => {
  it.each([
    "dead",
    "refusing",
    "heard",
  ])("says so after 10 s, unless its program hears of it: seed %s", async (how) => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const b = how === "dead" ? undefined : await started("b", { multicast: false, cluster: "another" });
    const seed = b?.address ?? `127.0.0.1:${port}`;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const a = node("a", { multicast: false, seeds: [seed] });
      if (how === "heard") a.events.on("refused", () => undefined);
      await a.start();
      const dropped = (): number | undefined =>
        a.stats().dropped[b === undefined ? "link:failed" : "link:refused"];
      for (let ms = 0; ms < 10_100 || dropped() === undefined; ms += 20) {
        vi.advanceTimersByTime(20);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(warn.mock.calls.map(([text]) => String(text))).toEqual(
        how === "heard"
          ? []
          : [
              expect.stringMatching(
                `a@.* has met no other at its seeds ${seed}. ${b === undefined ? "Check" : "They refuse it: check the cluster name"}`,
              ),
            ],
      );
    } finally {
      vi.useRealTimers();
      warn.mockRestore();
    }
  });
});

describe("what a node refuses", () => {
  const EINVAL = expect.objectContaining({ code: "EINVAL" });

  it("wrong arguments of calls, and then nothing has changed", async () => {
    const a = await started("a", { tags: ["one"], props: { color: "red" } });
    const wrong: readonly (() => unknown)[] = [
      () => a.discover(-1),
      () => a.discover(65_536),
      () => a.discover("8" as never),
      () => a.heartbeat(null as never),
      () => a.heartbeat({ chanel: 1 } as never),
      () => a.heartbeat({ tags: "two" as never }),
      () => a.heartbeat({ tags: ["two"], props: { color: {} as never } }),
      () => a.heartbeat({ tags: ["two"], channel: 256 }),
      () => a.heartbeatAfter("5" as never),
      () => a.heartbeatAfter(Number.POSITIVE_INFINITY),
      () => a.members({ slef: false } as never),
      () => a.members(null as never),
      () => a.props(null as never),
      () => a.props("red" as never),
      () => a.props(["red"] as never),
      () => a.join(1n as never),
      () => a.resolver([] as never),
      () => a.resolver({ has: new Set(["zre"]) } as never),
      ...[undefined, null, 5, "", {}, Symbol("x"), 1n].map((name) => () => a.namespace(name as never)),
    ];
    expect(() => a.member(null as never)).toThrow("a member must be named by a text; got null");
    for (const call of wrong) expect(call, String(call)).toThrow(EINVAL);
    expect([a.tags(), { ...a.props() }]).toEqual([["one"], { color: "red" }]);
    expect(Object.entries(a.props(JSON.parse('{"__proto__": "x"}')))).toContainEqual(["__proto__", "x"]);
  });

  it("wrong options", () => {
    const wrong: readonly ClusterNodeOptions[] = [
      { multicast: { group: "239.999.0.1" } },
      { multicast: { ttl: 256 } },
      { seeds: Array.from({ length: 1_025 }, (_, index) => `127.0.0.1:${index + 1}`) },
      { seeds: ["192.0.2.1:7946"] },
      { profile: [] as never },
      { scope: "link", key, zre: [] as never },
      { key: [key, [...key].reverse().join(""), `ba${key.slice(2)}`] },
      { split: { strategy: { quorum: 0 } } },
    ];
    for (const options of wrong)
      expect(() => new ClusterNode(options), JSON.stringify(options).slice(0, 60)).toThrow(EINVAL);
    expect(() => new ClusterNode({ scope: "link", key, seeds: ["192.0.2.1:7946"] })).not.toThrow();
  });

  it("calls after it was closed", async () => {
    const a = await started("a");
    await a.close();
    const EBADF = expect.objectContaining({ code: "EBADF" });
    for (const call of [() => a.discover(), () => a.heal(), () => a.heartbeatAfter(5), () => a.heartbeat()])
      expect(call, String(call)).toThrow(EBADF);
    await expect(a.start()).rejects.toEqual(EBADF);
  });

  it("more than 64 namespaces, before and after its start", async () => {
    const a = node("a");
    const EFSM = expect.objectContaining({ code: "EFSM" });
    for (let i = 1; i < 64; i++) a.namespace(`namespace-${i}`);
    expect(() => a.namespace("one too many")).toThrow(EFSM);
    await a.start();
    expect(() => a.namespace("one too many")).toThrow(EFSM);
  });

  it("to drain before its start, and starts nevertheless", async () => {
    const a = node("a");
    await expect(a.drain()).rejects.toMatchObject({ code: "EFSM" });
    expect(a.draining).toBe(false);
    await a.start();
    await a.drain();
    expect(a.self.isDraining).toBe(true);
  });

  it("keys that are no texts, by which no stream could be proved", () => {
    const a = node("a", { key });
    for (const wrong of [Buffer.alloc(32, 1), 5, undefined])
      expect(() => a.setKeys(wrong as never, key)).toThrow(EINVAL);
    expect(a.parts.codec.keys).toEqual([key]);
  });
});

describe("a start that fails", () => {
  it("leaves nothing open, and may be tried again", async () => {
    const taken = createServer();
    const a = node("a", { port: await listening(taken) });
    await expect(a.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    await new Promise<void>((resolve) => void taken.close(() => resolve()));
    await a.start();
    expect(a.members()).toHaveLength(1);
    // An address that is not known: the port is free again.
    const port = Number(a.address.split(":")[1]);
    await a.close();
    const b = node("b", { port, announce: "no.such.host.invalid:7000" });
    await expect(b.start()).rejects.toMatchObject({ code: "EINVAL" });
    const c = await started("c", { port });
    // A further listener has no port.
    const d = node("d", { listen: [{ port: Number(c.address.split(":")[1]) }] });
    await expect(d.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect([d.address, d.listeners]).toEqual(["", []]);
  });
});

it("starts where another program has the group's port to itself, and counts that", async () => {
  const other = createSocket("udp4").bind(port);
  await once(other, "listening");
  const a = await started("a");
  expect(a.stats().dropped.group).toBeGreaterThan(0);
  await new Promise<void>((resolve) => other.close(resolve));
  const b = await started("b");
  await together(2, a, b); // A later poll joins it.
});

describe("a node that is closed while it starts", () => {
  const EBADF = expect.objectContaining({ code: "EBADF" });

  it("has closed when close() has, its start is refused, and its port is free", async () => {
    const port = await freePort();
    for (const how of ["close", "leave"] as const) {
      const a = node("a", { port });
      const starting = a.start();
      const refused = expect(starting).rejects.toEqual(EBADF);
      await Promise.all([a[how](), a[how]()]);
      await refused;
      expect(a.closed).toBe(true);
      await expect(a.start()).rejects.toEqual(EBADF);
      expect(() => a.members()).toThrow(EBADF);
      const b = node("b", { port });
      await b.start();
      await b.close();
    }
  });

  it("when it was started twice, too; a start of one that has started resolves", async () => {
    const a = node("a");
    await Promise.all([a.start(), a.start()]);
    await a.start();
    expect(a.members()).toHaveLength(1);
    const b = node("b");
    const both = Promise.allSettled([b.start(), b.start()]);
    await b.close();
    expect((await both).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  it("by `await using`, before, during and after its start", async () => {
    for (const wait of ["none", "during", "after"]) {
      const given = node("a");
      {
        await using a = given;
        const starting = wait === "none" ? undefined : a.start();
        starting?.catch(() => undefined);
        if (wait === "after") await starting;
      }
      expect(given.closed, wait).toBe(true);
    }
  });

  it("also while a protocol never listens, and the folder of its ipc is gone by then", async () => {
    const folder = makeFolder();
    vi.stubEnv("TMPDIR", folder);
    for (const linger of [0, undefined]) {
      let asked: (() => void) | undefined;
      const isAsked = new Promise<void>((resolve) => (asked = resolve));
      const silent = {
        name: "silent",
        reaches: () => true,
        listen: () => new Promise<never>(() => asked?.()),
        connect: () => new Promise<never>(() => undefined),
      };
      const a = node("a", { messaging: { protocols: [silent, "ipc", "tcp"] } });
      const refused = expect(a.start()).rejects.toEqual(EBADF);
      await isAsked;
      const since = performance.now();
      await a.close({ linger });
      await refused;
      expect(performance.now() - since).toBeLessThan(LISTEN_TIMEOUT / 2);
      expect(readdirSync(folder).filter((name) => name.startsWith("shoal-m-"))).toEqual([]);
    }
    vi.unstubAllEnvs();
  });

  it("with its namespaces, those of before the start and those that were added meanwhile", async () => {
    const a = node("a");
    const before = a.namespace("before");
    const starting = a.start();
    starting.catch(() => undefined);
    const meanwhile = a.namespace("meanwhile");
    await a.close();
    expect([before.closed, meanwhile.closed]).toEqual([true, true]);
    expect(() => a.namespace("after")).toThrow(EBADF);
  });
});
