/** The protocols of messages between nodes, over the host's sockets: what travels by which, with a key and without. */
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { Server } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import {
  ClusterNode,
  type ClusterNodeOptions,
  type ClusterTlsOptions,
  type MessagingOptions,
} from "../../../src/cluster/index.js";
import { makeAuthority, makeCertificate } from "../../support/certificates.js";
import { sharedFolder } from "../../support/folders.js";
import { gate } from "../../support/gate.js";
import { freePort } from "../../support/ports.js";
import { event, testNodes } from "../nodes.js";

const KEY = "01234567890123456789012345678901234567ab";
const BOTH = "extendedKeyUsage=serverAuth,clientAuth\n";
type Protocols = NonNullable<MessagingOptions["protocols"]>;

const { node, started } = testNodes(() => ({ multicast: false, registry: false }));
const folder = sharedFolder();

beforeAll(() => {
  for (const name of ["ca", "other"]) makeAuthority(folder, name);
  makeCertificate(folder, "node", { extensions: BOTH });
  makeCertificate(folder, "next", { extensions: BOTH, authority: "other" });
});

function tls(name = "node", ca = "ca"): ClusterTlsOptions {
  const pem = (file: string): string => readFileSync(join(folder, file), "latin1");
  return { cert: pem(`${name}.pem`), key: pem(`${name}.key`), ca: pem(`${ca}.pem`) };
}

/** Two nodes that know each other. */
async function pair(
  one: Protocols,
  other: Protocols,
  options: ClusterNodeOptions = {},
): Promise<[ClusterNode, ClusterNode]> {
  const a = node("a", { ...options, messaging: { protocols: one } });
  const b = node("b", { ...options, messaging: { protocols: other } });
  const joined = [a, b].map((each) => event(each, "joined"));
  await Promise.all([a.start(), b.start()]);
  b.join(a.address);
  await Promise.all(joined);
  return [a, b];
}

/** Messages of each form and size go from one to the other. @returns by which protocol, there and back */
async function exchange(a: ClusterNode, b: ClusterNode): Promise<string[]> {
  const got: number[] = [];
  const { passed: all, open } = gate();
  const subscription = b.subscribe("size/+", ({ data }) => {
    if (got.push(data.length) === 4) open();
  });
  await subscription.ready;
  const sizes = [0, 1, 70_000, 1_000_000];
  for (const size of sizes) await a.publish(`size/${size}`, Buffer.alloc(size, 7));
  await all;
  expect([...got].sort((x, y) => x - y)).toEqual(sizes);
  subscription.close();
  const end = b.onQuery(({ data, protocol }) => `${data} by ${protocol}`);
  const { replies } = await a.query({ members: [b.id], data: "asked" }).collect();
  end();
  expect(replies).toHaveLength(1);
  const [there, back] = [protocolOf(a, b), protocolOf(b, a)];
  expect(String(replies[0]?.data)).toBe(`asked by ${there}`);
  return [there, back];
}

/** Of messages from one node to another; a third node may be a peer of both. */
function protocolOf(from: ClusterNode, to: ClusterNode): string {
  return from.stats().messaging?.links.peers.find(({ id }) => id === to.id)?.protocol ?? "";
}

describe("messages between nodes", () => {
  it.each([
    ["tcp", undefined],
    ["ws", undefined],
    ["ws", KEY],
    ["tcp", KEY],
    ["ipc", KEY],
  ] as const)("travel by %s, with the key %s", async (protocol, key) => {
    const [a, b] = await pair([protocol], [protocol], key === undefined ? {} : { key });
    expect(await exchange(a, b)).toEqual([protocol, protocol]);
  });

  it("travel by ws to no page, though its browser takes it for one of this host", async () => {
    const [port, ws] = [await freePort(), await freePort()];
    await started("a", { port, ports: `${ws}-${ws}`, messaging: { protocols: ["ws"] } });
    const statusOf = (headers: Record<string, string>): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const upgrade = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" };
        const key = { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "ZWS2.0" };
        const asked = get({ host: "127.0.0.1", port: ws, headers: { ...upgrade, ...key, ...headers } });
        asked.on("response", ({ statusCode }) => resolve(statusCode));
        asked.on("upgrade", ({ statusCode }, socket) => {
          socket.destroy();
          resolve(statusCode);
        });
        asked.on("error", reject);
      });
    expect(await statusOf({})).toBe(101);
    expect(await statusOf({ Origin: `http://127.0.0.1:${ws}` })).toBe(403);
  });

  it("travel by TLS, with a key of the cluster within it, and go on with renewed certificates", async () => {
    const [a, b] = await pair(["tls"], ["tls"], { key: KEY, tls: tls() });
    expect(await exchange(a, b)).toEqual(["tls", "tls"]);
    for (const each of [a, b]) each.setTls(tls("next", "other"));
    expect(await exchange(a, b)).toEqual(["tls", "tls"]);
    const messaging = { protocols: ["tls"] } as const;
    const c = node("c", { key: KEY, tls: tls("next", "other"), seeds: [a.address], messaging });
    const joined = event(c, "joined");
    await c.start();
    await joined;
    expect(await exchange(c, a)).toEqual(["tls", "tls"]);
  });

  it("take the first protocol that both nodes have", async () => {
    const [a, b] = await pair(["ipc", "ws", "tls"], ["tls", "ws"], { key: KEY, tls: tls() });
    expect(await exchange(a, b)).toEqual(["ws", "tls"]);
  });

  it("need no other port than the node's own: three nodes with a password, of two namespaces", async () => {
    const listens = vi.spyOn(Server.prototype, "listen");
    const nodes: ClusterNode[] = [];
    for (const name of ["a", "b", "c"]) {
      const seeds = nodes.map(({ address }) => address);
      nodes.push(await started(name, { password: "correct horse battery staple", seeds }));
    }
    const [first, second, third] = nodes as [ClusterNode, ClusterNode, ClusterNode];
    const soon = { waitForReady: true, timeout: 10_000 };
    first.serve("double", async (body: number) => body * 2);
    const answers = [second, third].map((each, i) => each.request("double", i, soon));
    expect(await Promise.all(answers)).toEqual([0, 2]);
    const namespace = { password: "another one, as good" };
    const a = first.namespace("other", { ...namespace, seeds: [second.address] });
    const b = second.namespace("other", { ...namespace, seeds: [first.address] });
    a.serve("where", async () => "other");
    expect(await b.request("where", 0, soon)).toBe("other");
    // Each listens once, with its address of IPv4.
    expect(listens.mock.calls.filter(([where]) => Object(where).path === undefined)).toHaveLength(3);
    listens.mockRestore();
  });

  it("need certificates for TLS", () => {
    const messaging = { protocols: ["tls"] as const };
    expect(() => new ClusterNode({ messaging })).toThrow("the node's option tls");
    expect(() => node("a").namespace("more", { messaging })).toThrow("the node's option tls");
    expect(() => new ClusterNode({ messaging: { protocols: ["wss" as never] } })).toThrow(
      "a protocol must be",
    );
  });
});
