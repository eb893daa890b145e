/** Messages of nodes as programs run them: real links, real routes. */
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { type ClusterMessage, ClusterNode, type ClusterNodeOptions } from "../../../src/cluster/index.js";

const PORT = 27_411;
const KEY = "01234567890123456789012345678901234567ab";

const open: ClusterNode[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.close({ linger: 0 })));
});

function create(name: string, options: ClusterNodeOptions = {}): ClusterNode {
  const node = new ClusterNode({
    name,
    group: "bus-messages",
    multicast: { port: PORT },
    registry: false,
    ...options,
  });
  open.push(node);
  return node;
}

/** All of them see each other. */
async function cluster(names: readonly string[], options: ClusterNodeOptions = {}): Promise<ClusterNode[]> {
  const nodes = names.map((name) => create(name, options));
  const joined = nodes.map((node) => joins(node, nodes.length - 1));
  await Promise.all(nodes.map((node) => node.start()));
  await Promise.all(joined);
  return nodes;
}

/** So many others have joined, with what they announce. */
function joins(node: ClusterNode, count: number): Promise<void> {
  return new Promise((resolve) => {
    let seen = 0;
    node.events.on("joined", () => {
      seen += 1;
      if (seen === count) resolve();
    });
    if (count === 0) resolve();
  });
}

/** One that is free on every address, for a range of one. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("messages of nodes", () => {
  test("a range without a port for them is reported, and counted", async () => {
    const port = await freePort();
    const node = create("a", { ports: `${port}-${port}`, multicast: false });
    const failed: unknown[] = [];
    node.events.on("protocol:failed", (event) => failed.push(event));
    await node.start();
    expect(node.address).toBe(`127.0.0.1:${port}`);
    expect(failed).toEqual([
      {
        type: "protocol:failed",
        node: undefined,
        protocol: "tcp",
        reason: `no port from ${port} to ${port} is free`,
      },
    ]);
    expect(node.stats().dropped["messages:listen"]).toBe(1);
  });

  test("a subscription gets what another node publishes, with its sender, which is answered", async () => {
    const [a, b] = (await cluster(["a", "b"])) as [ClusterNode, ClusterNode];
    const answers = a.subscribe("self");
    const subscription = b.subscribe("sensors/+/temperature", async (message) => {
      await b.sendTo(message.sender, `got ${message.data} of ${message.topic}`);
    });
    await subscription.ready;
    expect(await a.publish("sensors/3/temperature", "21")).toBe(1);
    for await (const message of answers) {
      expect(String(message.data)).toBe("got 21 of sensors/3/temperature");
      expect(message.sender.node).toBe(b.id);
      break;
    }
  });

  test("with a key they are sealed, and arrive", async () => {
    const [a, b] = (await cluster(["a", "b"], { key: KEY })) as [ClusterNode, ClusterNode];
    const got: ClusterMessage[] = [];
    const subscription = b.subscribe("topic");
    await subscription.ready;
    for (let i = 0; i < 100; i++) expect(await a.publish("topic", `${i}`)).toBe(1);
    for await (const message of subscription) {
      got.push(message);
      if (got.length === 100) break;
    }
    expect(got.map(({ data }) => String(data))).toEqual(Array.from({ length: 100 }, (_, i) => `${i}`));
  });
});
