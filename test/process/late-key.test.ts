/** A cluster with a key that a running node without one joins: what seals its packets loads first. */
import { expect, it } from "vitest";
import { run } from "./child.js";

const PROGRAM = `
import { ClusterNode } from "shoal/cluster";

const [cluster, key] = ["late-key-" + process.pid, "A".repeat(40)];
const node = new ClusterNode({ cluster });
await node.start();
const late = node.namespace(cluster + "-sealed", { key });
const gone = node.namespace(cluster + "-gone", { key });
await gone.close();
const joined = new Promise((resolve) => late.events.once("joined", resolve));
const other = new ClusterNode({ cluster: cluster + "-sealed", key });
await other.start();
await joined;
console.log("joined");
await Promise.all([node.close({ linger: 0 }), other.close({ linger: 0 })]);
`;

it("has members once it has loaded, and does not begin if it was closed before", async () => {
  const { stdout, stderr, code } = await run(PROGRAM);
  expect([stdout, stderr, code]).toEqual(["joined\n", "", 0]);
});
