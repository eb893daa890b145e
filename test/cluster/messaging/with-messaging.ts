import type { ClusterNode, ClusterNodeOptions } from "../../../src/cluster/index.js";
import type { World } from "../../../src/testing/index.js";
import { onOneHost } from "../simulated.js";

type Messaging = ClusterNodeOptions["messaging"];

/** Tells a story of nodes on one host whose messages have such options. */
export function withMessaging<const N extends string>(
  messaging: Messaging | ((name: N) => Messaging),
  names: readonly N[],
  story: (nodes: Record<N, ClusterNode>, world: World) => Promise<void>,
): Promise<void> {
  const of = (name: N): Messaging => (typeof messaging === "function" ? messaging(name) : messaging);
  return onOneHost(names, story, (name) => ({ messaging: of(name) }));
}
