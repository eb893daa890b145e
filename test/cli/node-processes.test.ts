import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missing } from "../support/peers.js";
import { HostNetworks, type NodeLine, NodeProcess, NodeRun, newCluster } from "./nodes.js";
import { ipc, useShoal } from "./support.js";

useShoal();

const start = (name: string, cluster: string, ...args: readonly string[]): NodeRun =>
  NodeRun.start(name, ["--cluster", cluster, ...args]);

describe("shoal node start", () => {
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
