import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missing } from "../support/peers.js";
import { HostNetworks, type NodeLine, NodeProcess, NodeRun, newCluster } from "./nodes.js";
import { ipc, useShoal } from "./support.js";

useShoal();

const start = (name: string, cluster: string, ...args: readonly string[]): NodeRun =>
  NodeRun.start(name, ["--cluster", cluster, ...args]);

describe("shoal node start", () => {
  it("with --discovery finds others at the addresses of its sources", async () => {
    const cluster = newCluster();
    const a = start("a", cluster);
    await a.ready();
    const address = String(a.lines[0]?.address);
    const b = start("b", cluster, "--discovery", "static:127.0.0.1:9", "--discovery", `static:${address}`);
    await Promise.all([a.untilSees("b"), b.untilSees("a")]);
    b.signal("SIGTERM");
    const { code, stderr } = await b.ended;
    expect(code).toBe(0);
    expect(String(stderr)).toMatch(/discovery by static is up\n/);
  });

  it("two of one name: both sides say so", async () => {
    const cluster = newCluster();
    const first = start("twin", cluster);
    await first.ready();
    const second = start("twin", cluster);
    await Promise.all([first.untilSaid("conflict", "twin"), second.untilSaid("conflict", "twin")]);
  });
});

describe.skipIf(missing("networks"))("nodes on hosts of their own", () => {
  let networks: HostNetworks;
  let nodes: NodeProcess[] = [];
  beforeAll(() => {
    networks = new HostNetworks(2);
  });
  afterEach(async () => {
    for (const node of nodes) node.kill();
    await Promise.all(nodes.map(({ ended }) => ended));
  });
  afterAll(() => networks.remove());

  it("are ZRE peers with --zre, without a key: groups, and the end of one", async () => {
    const controls = [ipc(), ipc()];
    nodes = ["north", "south"].map((name, host) => {
      const room = ["--zre", "--cluster", `${name}-room`, "--interface", "eth0"];
      const args = [...room, "--control", controls[host] as string];
      return new NodeProcess(name, args, networks.hosts[host] as string);
    });
    const [north, south] = nodes as [NodeProcess, NodeProcess];
    const inRoom = (name: string) => (lines: readonly NodeLine[]) =>
      lines.some((line) => line.event === "joined" && line.name === name && line.group === `${name}-room`);
    await Promise.all([north.untilLines(inRoom("south")), south.untilLines(inRoom("north"))]);
    expect([north.sees, south.sees]).toEqual([["south"], ["north"]]);
    expect(north.lines[0]).toMatchObject({ event: "ready", name: "north" });

    south.signal("SIGTERM");
    expect((await south.ended).code).toBe(0);
    await north.untilSees();
  });
});
