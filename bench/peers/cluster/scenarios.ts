/** Scenarios of clusters, and their requirements. */
import { networksAbsent } from "./networks.js";

export const CLUSTER_SCENARIOS = [
  "cluster-join",
  "cluster-kill",
  "cluster-silence",
  "cluster-cut",
  "cluster-idle",
] as const;
export type ClusterScenario = (typeof CLUSTER_SCENARIOS)[number];

/** Scenarios whose nodes are separate hosts. */
const NEED_NETWORKS: readonly string[] = ["cluster-cut", "cluster-idle"];

let networks: { readonly absent: string | undefined } | undefined;

export function isClusterScenario(scenario: string): scenario is ClusterScenario {
  return (CLUSTER_SCENARIOS as readonly string[]).includes(scenario);
}

/** Why a scenario cannot run on this machine; `undefined` if it can. */
export function clusterObstacle(scenario: string): string | undefined {
  if (!NEED_NETWORKS.includes(scenario)) return undefined;
  networks ??= { absent: networksAbsent() };
  return networks.absent;
}
