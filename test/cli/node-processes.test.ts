import { expect, it, onTestFinished } from "vitest";
import { missing } from "../support/peers.js";
import { HostNetworks, type NodeLine, NodeRun, newCluster } from "./nodes.js";
import { ipc, useShoal } from "./support.js";

useShoal();

it("two nodes of one name: both sides say so", async () => {
  const cluster = ["--cluster", newCluster()];
  const first = NodeRun.start("twin", cluster);
  await first.ready();
  const second = NodeRun.start("twin", cluster);
  await Promise.all([first.untilSaid("conflict", "twin"), second.untilSaid("conflict", "twin")]);
});

it.skipIf(missing("networks"))(
  "nodes on hosts of their own are ZRE peers with --zre, without a key: groups, and the end of one",
  async () => {
    const networks = new HostNetworks(2);
    onTestFinished(() => networks.remove());
    const controls = [ipc(), ipc()];
    const [north, south] = ["north", "south"].map((name, host) => {
      const room = ["--zre", "--cluster", `${name}-room`, "--interface", "eth0"];
      const args = [...room, "--control", controls[host] as string];
      return NodeRun.startIn(networks.hosts[host] as string, name, args);
    }) as [NodeRun, NodeRun];
    const inRoom = (name: string) => (lines: readonly NodeLine[]) =>
      lines.some((line) => line.event === "joined" && line.name === name && line.group === `${name}-room`);
    await Promise.all([north.untilLines(inRoom("south")), south.untilLines(inRoom("north"))]);
    expect([north.sees, south.sees]).toEqual([["south"], ["north"]]);
    expect(north.lines[0]).toMatchObject({ event: "ready", name: "north" });

    south.signal("SIGTERM");
    expect((await south.ended).code).toBe(0);
    await north.untilSees();
  },
);
