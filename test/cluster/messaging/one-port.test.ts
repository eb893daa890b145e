/** Messages over streams to the node's own port: a cluster for which a firewall opens one tcp port a node. */
import { Server } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { ClusterNode, ClusterNodeOptions } from "../../../src/cluster/index.js";
import { testNodes } from "../nodes.js";

const PASSWORD = "correct horse battery staple";
const cluster = `one-port-${process.pid}`;
const { started } = testNodes(() => ({ cluster, multicast: false, registry: false }));

afterEach(() => void vi.restoreAllMocks());

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

describe("messages over the node's own port", () => {
  it("need no other: three nodes with a password, of two buses", {
    timeout: 30_000,
  }, async () => {
    const listens = vi.spyOn(Server.prototype, "listen");
    const ports = (): number =>
      listens.mock.calls.filter(([where]) => Object(where).path === undefined).length;
    const nodes = await three({ password: PASSWORD });
    expect(await answersOf(nodes)).toEqual([0, 2]);
    const [first, second] = nodes as [ClusterNode, ClusterNode];
    const bus = { password: "another one, as good" };
    const a = first.namespace("other", { ...bus, seeds: [second.address] });
    const b = second.namespace("other", { ...bus, seeds: [first.address] });
    a.serve("where", async () => "other");
    expect(await b.request("where", 0, { waitForReady: true, timeout: 10_000 })).toBe("other");
    // Each listens once, with its address of IPv4.
    expect(ports()).toBe(3);
  });
});
