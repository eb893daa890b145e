/** Messages over streams to the node's own port: a cluster for which a firewall opens one tcp port a node. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { ClusterNode, type ClusterNodeOptions } from "../../../src/cluster/index.js";
import { Reply, Request } from "../../../src/index.js";
import { MemorySessionStore, SessionClient, SessionServer } from "../../../src/sessions/index.js";
import { makeAuthority, makeCertificate } from "../../support/certificates.js";

const PASSWORD = "correct horse battery staple";
const GROUP = `one-port-${process.pid}`;
const open: { close(options: { linger: number }): Promise<unknown> }[] = [];
const folder = mkdtempSync(join(tmpdir(), "shoal-one-port-"));

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(open.splice(0).map((each) => each.close({ linger: 0 })));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function opened<T extends (typeof open)[number]>(each: T): T {
  open.push(each);
  return each;
}

async function started(name: string, options: ClusterNodeOptions): Promise<ClusterNode> {
  const node = new ClusterNode({
    name,
    group: GROUP,
    multicast: false,
    registry: false,
    ...options,
  });
  await opened(node).start();
  return node;
}

/** Three nodes, the later ones with the addresses of the earlier ones. */
async function three(options: ClusterNodeOptions): Promise<ClusterNode[]> {
  const nodes: ClusterNode[] = [];
  for (const name of ["a", "b", "c"])
    nodes.push(await started(name, { ...options, seeds: nodes.map(({ address }) => address) }));
  return nodes;
}

async function answersOf(nodes: readonly ClusterNode[]): Promise<unknown[]> {
  const [a, ...others] = nodes as [ClusterNode, ...ClusterNode[]];
  a.serve("double", async (body: number) => body * 2);
  return Promise.all(
    others.map((node, i) => node.request("double", i, { waitForReady: true, timeout: 10_000 })),
  );
}

describe("a socket at the node's own port", () => {
  it("is one, of a node that has started, and is for binding", async () => {
    const node = opened(new ClusterNode({ group: GROUP, multicast: false, registry: false }));
    const [one, other] = [new Reply(), new Reply()].map((each) => opened(each)) as [Reply, Reply];
    // Also where sockets have looked up their transports before there was a node.
    await opened(new Reply()).bind("tcp://127.0.0.1:*");
    await expect(one.bind(node.ownPort)).rejects.toMatchObject({ code: "EADDRNOTAVAIL" });
    await node.start();
    const bound = await one.bind(node.ownPort);
    await expect(other.bind(node.ownPort)).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(() => other.connect(node.ownPort)).toThrow("tcp://HOST:PORT");
    const request = opened(new Request());
    request.connect(`tcp://${node.address}`);
    await request.send("x");
    expect(String(await one.receive())).toBe("x");
    await one.unbind(one.lastEndpoint ?? bound);
    await other.bind(node.ownPort);
    await node.close();
    await expect(one.bind(node.ownPort)).rejects.toMatchObject({ code: "EADDRNOTAVAIL" });
  });
});

describe("messages over the node's own port", () => {
  it("need no other: three nodes with a password, of two buses, and sessions on all of them", {
    timeout: 30_000,
  }, async () => {
    const listens = vi.spyOn(Server.prototype, "listen");
    const ports = (): number =>
      listens.mock.calls.filter(([where]) => Object(where).path === undefined).length;
    const nodes = await three({ password: PASSWORD });
    expect(await answersOf(nodes)).toEqual([0, 2]);
    const [first, second] = nodes as [ClusterNode, ClusterNode];
    const bus = { password: "another one, as good" };
    const a = first.bus("other", { ...bus, seeds: [second.address] });
    const b = second.bus("other", { ...bus, seeds: [first.address] });
    a.serve("where", async () => "other");
    expect(await b.request("where", 0, { waitForReady: true, timeout: 10_000 })).toBe("other");
    // Each listens once, with its address of IPv4.
    expect(ports()).toBe(3);
  });

  it("nor do clients of sessions, which are no nodes: they connect to the nodes' ports, and listen nowhere", {
    timeout: 30_000,
  }, async () => {
    const nodes = await three({ password: PASSWORD });
    const listens = vi.spyOn(Server.prototype, "listen");
    const store = new MemorySessionStore();
    const servers = nodes
      .slice(0, 2)
      .map((node) => opened(new SessionServer({ node, store, pollInterval: 60_000 })));
    const endpoints = await Promise.all(servers.map((server, i) => server.bind(nodes[i]?.ownPort ?? "")));
    const ports = nodes.map(({ address }) => address.split(":")[1]);
    expect(endpoints).toEqual([`tcp://0.0.0.0:${ports[0]}`, `tcp://0.0.0.0:${ports[1]}`]);
    const at = nodes.slice(0, 2).map(({ address }) => `tcp://${address}`);
    const reader = opened(new SessionClient(at, { id: "reader" }));
    // One on a node finds them by what they advertise.
    const found = (nodes[2] as ClusterNode).resolver({ has: ["sessions"] });
    const writer = opened(new SessionClient(found, { id: "writer" }));
    await reader.subscribe("news/#");
    const messages = reader[Symbol.asyncIterator]();
    await writer.publish("news/1", "soup");
    expect(String((await messages.next()).value?.data)).toBe("soup");
    // It goes on at the other one.
    const [first] = servers as [SessionServer];
    expect(reader.endpoint).toBe(at[0]);
    await first.close({ linger: 0 });
    await writer.publish("news/2", "bread");
    expect(String((await messages.next()).value?.data)).toBe("bread");
    expect(reader.endpoint).toBe(at[1]);
    expect(listens).not.toHaveBeenCalled();
    // A node still joins by a port at which a socket is bound.
    const [, second] = nodes as [ClusterNode, ClusterNode];
    second.serve("double", async (body: number) => body * 2);
    const late = await started("d", { password: PASSWORD, seeds: [second.address] });
    expect(await late.request("double", 4, { waitForReady: true, timeout: 10_000 })).toBe(8);
  });

  it("go over TLS, where streams do", { timeout: 30_000 }, async () => {
    makeAuthority(folder, "ca");
    makeCertificate(folder, "node", { extensions: "extendedKeyUsage=serverAuth,clientAuth\n" });
    const [ca, cert, key] = ["ca.pem", "node.pem", "node.key"].map((name) =>
      readFileSync(join(folder, name), "latin1"),
    );
    const tls = { ca, cert, key } as NonNullable<ClusterNodeOptions["tls"]>;
    const nodes = await three({ password: PASSWORD, tls });
    expect(await answersOf(nodes)).toEqual([0, 2]);
    const [node] = nodes as [ClusterNode];
    const server = opened(new SessionServer({ node, store: new MemorySessionStore() }));
    expect(await server.bind(node.ownPort)).toMatch(/^tls:/);
    const socketOptions = { tlsCa: `${ca}`, tlsCert: `${cert}`, tlsKey: `${key}`, tlsCheckName: false };
    const client = opened(new SessionClient(`tls://${node.address}`, { id: "reader", socketOptions }));
    await client.ready({ timeout: 10_000 });
  });
});
