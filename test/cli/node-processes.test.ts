import { it } from "vitest";
import { NodeRun, newCluster } from "./nodes.js";
import { useShoal } from "./support.js";

useShoal();

it("two nodes of one name: both sides say so", async () => {
  const cluster = ["--cluster", newCluster()];
  const first = NodeRun.start("twin", cluster);
  await first.ready();
  const second = NodeRun.start("twin", cluster);
  await Promise.all([first.untilSaid("conflict", "twin"), second.untilSaid("conflict", "twin")]);
});
