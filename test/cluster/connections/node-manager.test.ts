/** Connection managers over the host's sockets: the same list on every node. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { withPort } from "../../../src/cluster/connections/manager.js";
import {
  ClusterNode,
  type ClusterNodeOptions,
  ConnectionManager,
  type ConnectionStatus,
} from "../../../src/cluster/index.js";
import { listening } from "../../support/listening.js";
import { freePort } from "../../support/ports.js";
import { managerOf, portOf, testNodes, until } from "../nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const EINVAL = expect.objectContaining({ code: "EINVAL" });
const { node, started } = testNodes(() => ({ multicast: false, key: KEY }));

const statesOf = (of: ConnectionManager): string[] => of.status().map(({ state }) => state);

async function connected(...all: readonly ConnectionManager[]): Promise<void> {
  await until(() =>
    all.every((each) => statesOf(each).every((state) => state === "connected" || state === "self")),
  );
}

it("ports are completed where there are none, of IPv6 addresses too", () => {
  const given = ["10.0.0.1", "10.0.0.1:8", "db", "db:8", "::1", "[::1]", "[::1]:8", "fe80::1%eth0"];
  const completed = given.map((each) => withPort(each, 9)).join(" ");
  expect(completed).toBe("10.0.0.1:9 10.0.0.1:8 db:9 db:8 [::1]:9 [::1]:9 [::1]:8 [fe80::1%eth0]:9");
});

describe("a connection manager", () => {
  it("finds itself behind another address of its own, and behind a name", async () => {
    const port = await freePort();
    // It listens there, and announces another address.
    const a = await started("a", { announce: "127.0.0.1:1", port });
    const manager = managerOf(a, [`127.0.0.1:${port}`, `localhost:${port}`]);
    await until(() => statesOf(manager).every((state) => state === "self"));
    const byName = { address: `localhost:${port}`, resolved: `127.0.0.1:${port}` };
    expect(manager.status()[1]).toMatchObject(byName);
  });

  it("adds an address once, completes ports, and refuses what is none before anything changes", async () => {
    const a = await started("a");
    const manager = new ConnectionManager(a, { port: 9 });
    manager.add("127.0.0.1");
    manager.add("127.0.0.1:9");
    manager.add("127.0.0.1", 9);
    manager.add("127.0.0.1", 10);
    expect(manager.status().map(({ address }) => address)).toEqual(["127.0.0.1:9", "127.0.0.1:10"]);
    for (const wrong of [["127.0.0.1:0"], ["a b"], [7], "127.0.0.1", ["192.0.2.1:9"], [""]])
      expect(() => manager.setList(wrong as never), JSON.stringify(wrong)).toThrow(EINVAL);
    const many = Array.from({ length: 449 }, (_, at) => `127.0.0.1:${at + 1}`);
    expect(() => manager.setList(many)).toThrow(EINVAL);
    expect(manager.status().length).toBe(2);
    for (const port of [0, 65_536, Number.NaN, "9", Symbol("x")])
      expect(() => manager.add("127.0.0.1", port as never), String(port)).toThrow(EINVAL);
    expect(manager.status().length).toBe(2);
    expect(() => new ConnectionManager(a, { prot: 9 } as never)).toThrow(EINVAL);
    for (const node of [undefined, null, {}, "a"])
      expect(() => new ConnectionManager(node as never)).toThrow(EINVAL);
    const idle = node("idle");
    const EFSM = expect.objectContaining({ code: "EFSM" });
    expect(() => new ConnectionManager(idle).add("127.0.0.1:9")).toThrow(EFSM);
  });

  it("changes nothing where the node has too many seeds for the list", async () => {
    // Ports where no node of another test is.
    const seeds = Array.from({ length: 1_024 }, (_, at) => `127.0.0.1:${at + 1}`);
    const a = await started("a", { seeds });
    const manager = managerOf(a, seeds.slice(0, 2));
    expect(() => manager.add("127.0.0.1", 1_025)).toThrow(EINVAL);
    expect(manager.status().map(({ address }) => address)).toEqual(seeds.slice(0, 2));
  });

  it("says why an address is broken: nobody there, another key, something else", async () => {
    const a = await started("a");
    const b = await started("b", { key: [...KEY].reverse().join("") });
    const hello = "220 smtp ready, at your service, and longer than any hello could be\r\n";
    const server = createServer((socket) => socket.on("error", () => undefined).end(hello));
    const [nobody, other] = [await freePort(), await listening(server)];
    const list = [`127.0.0.1:${nobody}`, b.address, `127.0.0.1:${other}`, "no-such-name.invalid:9"];
    const manager = managerOf(a, list);
    const codes = (): (string | undefined)[] => manager.status().map(({ error }) => error?.code);
    const wanted = ["ECONNREFUSED", "ERR_AUTHENTICATION", "ERR_HANDSHAKE", "ENOTFOUND"];
    await until(() => JSON.stringify(codes()) === JSON.stringify(wanted));
    await until(() => manager.status().every(({ state }) => state === "broken"));
    const [first] = manager.status() as [ConnectionStatus];
    expect(first.attempts).toBeGreaterThan(0);
  });

  it("replaces the list: a member of the old one stays a member, and the same stream is not dialled twice", async () => {
    const [a, b] = [await started("a"), await started("b")];
    const managers = [managerOf(a, [b.address]), managerOf(b, [a.address])] as const;
    await connected(...managers);
    await until(() => a.members().length === 2);
    managers[0].setList([]);
    expect(managers[0].status()).toEqual([]);
    expect(a.discovery()).toEqual([]);
    expect(a.members().length).toBe(2);
    expect(statesOf(managers[1])).toEqual(["connected"]);
  });

  it("links by another listener of a node, which has a port of its own; all end with shutdown", async () => {
    const port = await freePort();
    const a = await started("a", { listen: [{}, { ports: `${port}-${port}` }] });
    expect(a.listeners.length).toBe(2);
    expect(a.listeners[1]).toBe(`127.0.0.1:${port}`);
    const b = await started("b");
    const manager = managerOf(b, [...a.listeners]);
    await until(() => statesOf(manager).join() === "connected,connected");
    await until(() => manager.status()[0]?.member?.id === a.id);
    // Taken: nothing is left open, and the start may be tried again.
    const second = node("c", { listen: [{ port }] });
    await expect(second.start()).rejects.toMatchObject({ code: "EADDRINUSE" });
    const own = new ConnectionManager(a);
    for (let twice = 0; twice < 2; twice++) await own.shutdown();
    const refused = connect(portOf(a), "127.0.0.1");
    await expect(once(refused, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await second.start();
    expect(second.listeners).toEqual([`127.0.0.1:${port}`]);
    expect(statesOf(manager)).toEqual(["connected", "connected"]);
  });

  it("shuts down while its node drains, and while it closes", async () => {
    const [draining, closing] = [await started("a"), await started("b")];
    const address = `127.0.0.1:${await freePort()}`;
    const [manager, other] = [managerOf(draining, [address]), managerOf(closing, [address])];
    await draining.drain();
    // It takes no other list, and keeps the one it has.
    const EAGAIN = expect.objectContaining({ code: "EAGAIN" });
    expect(() => manager.setList(["127.0.0.1:1"])).toThrow(EAGAIN);
    expect(manager.status()).toMatchObject([{ address }]);
    await manager.shutdown();
    expect(draining.parts.discovery.seeds).toEqual([]);
    const ended = other.shutdown();
    await closing.close({ linger: 0 });
    await ended;
  });

  it("refuses wrong listeners", () => {
    const wrong: readonly ClusterNodeOptions[] = [
      { listen: {} as never },
      { listen: [{ host: "db" }] },
      { listen: [{ port: -1 }] },
      { listen: [{ ports: "5" }, { prot: 5 } as never] },
      { listen: Array.from({ length: 9 }, () => ({})) },
    ];
    for (const options of wrong)
      expect(() => new ClusterNode(options), JSON.stringify(options)).toThrow(EINVAL);
  });
});
