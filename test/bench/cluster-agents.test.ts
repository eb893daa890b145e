/** The processes of a cluster, as the benchmark starts them. */
import { tmpdir } from "node:os";
import { expect, it } from "vitest";
import { type AgentKind, Cluster } from "../../bench/peers/cluster/agents.js";

it("an agent that ends by itself is reported with its last lines", async () => {
  const program = "console.log('starting\\nthe address is in use'); process.exitCode = 1";
  const kind: AgentKind = {
    command: async () => ({ file: process.execPath, args: ["-e", program] }),
    parse: () => undefined,
  };
  const cluster = new Cluster(kind, tmpdir());
  try {
    await cluster.start(0);
    await expect(cluster.until("all see all", () => false)).rejects.toThrow(
      "n0 ended with exit code 1: starting | the address is in use",
    );
  } finally {
    await cluster.end();
  }
});
