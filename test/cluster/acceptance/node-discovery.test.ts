/** Autocluster: nodes find each other by multicast, DNS, etcd or Kubernetes, each of which is one line of configuration. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { type ClusterNode, kubernetesSource, parseDiscovery } from "../../../src/cluster/index.js";
import { makeCertificates } from "../../support/certificates.js";
import { sharedFolder } from "../../support/folders.js";
import { missing } from "../../support/peers.js";
import { freePort } from "../../support/ports.js";
import { ApiServer, pod, slice } from "../discovery/api-server.js";
import { EtcdServer } from "../discovery/etcd-server.js";
import { event, testNodes, together } from "../nodes.js";

const folder = sharedFolder();
const { node, started } = testNodes(() => ({ cluster: `autocluster-${process.pid}` }));

/** Ended after the nodes that use them. */
const servers: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** Starts nodes that all have the same line of configuration. */
async function autocluster(line: string, ports: readonly number[]): Promise<ClusterNode[]> {
  const nodes = ports.map((port, i) => node(`ekka${i + 1}`, { port, discovery: [parseDiscovery(line)] }));
  await Promise.all(nodes.map((each) => each.start()));
  return nodes;
}

describe("nodes make a cluster", () => {
  test("by multicast, in the group of its configuration", async () => {
    const multicast = { group: "239.192.0.1", port: await freePort(), ttl: 255 };
    const nodes = await Promise.all([1, 2, 3].map((i) => started(`ekka${i}`, { multicast })));
    await together(3, ...nodes);
  });

  test("by the A records of a name", async () => {
    const port = await freePort();
    await together(3, ...(await autocluster(`dns://localhost:${port}`, [port, 0, 0])));
  });

  test.skipIf(missing("etcd"))(
    "by etcd, where each has its key under a lease as long as it is there",
    async () => {
      const etcd = await EtcdServer.start();
      servers.push({ close: () => etcd.stop() });
      const [first, second] = await autocluster(`etcd://127.0.0.1:${etcd.port}/emqcl?ttl=60000`, [0, 0]);
      if (first === undefined || second === undefined) throw new Error("two nodes");
      await together(2, first, second);
      const key = `emqcl/${first.cluster}/${first.id}`;
      expect(await etcd.get(key)).toEqual({ value: first.address, lease: expect.stringMatching(/^\d+$/) });
      const left = event(second, "left");
      await first.leave();
      await left;
      expect(await etcd.get(key)).toBeUndefined();
    },
  );

  test("by the pods of a service of Kubernetes", async () => {
    const files = makeCertificates(folder);
    const api = new ApiServer(files);
    await api.run();
    servers.push({ close: () => api.kill() });
    const port = await freePort();
    api.set(
      slice("shoal-1", [pod("127.0.0.1", "ekka-0")], { ports: [{ name: "ekka", port, protocol: "TCP" }] }),
    );
    const source = () =>
      kubernetesSource({
        server: api.url,
        ca: readFileSync(files.ca, "utf8"),
        token: api.token,
        namespace: "sea",
        service: "shoal",
        port: "ekka",
        addressType: "ip",
      });
    const first = await started("ekka1", { port, discovery: [source()] });
    const second = await started("ekka2", { discovery: [source()] });
    await together(2, first, second);
  });
});
