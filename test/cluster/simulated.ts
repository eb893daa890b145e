/** Nodes as programs run them, in virtual time: each on a machine of its name. */
import { ClusterNode, type ClusterNodeOptions } from "../../src/cluster/index.js";
import type { World } from "../../src/testing/index.js";

export const KEY = "01234567890123456789012345678901234567ab";

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts one after the other. @returns them by name */
export async function startNodes(
  world: World,
  names: readonly string[],
  options: ClusterNodeOptions | ((name: string) => ClusterNodeOptions) = {},
): Promise<Map<string, ClusterNode>> {
  const nodes = new Map<string, ClusterNode>();
  for (const name of names)
    await world.node(name).start(async () => {
      const own = typeof options === "function" ? options(name) : options;
      const node = new ClusterNode({ name, scope: "link", key: KEY, ...own });
      nodes.set(name, node);
      await node.start();
    });
  return nodes;
}
