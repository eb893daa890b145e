/** Options of commands that connect to `cluster:NAME`. cluster-endpoints.ts implements them and loads on use. */
import { type Command, Option } from "commander";
import { repeatable } from "./values.js";

export const SCHEME = "cluster:";

export interface ClusterSettings {
  readonly clusterName?: string;
  readonly clusterKey?: string;
  readonly clusterPasswordFile?: string;
  readonly clusterDiscovery?: readonly string[];
}

/** @param prefix of the options' names, such as `frontend-` */
export function addClusterOptions(command: Command, prefix = ""): Command {
  const flags = `--${prefix}cluster`;
  const options = [
    new Option(`${flags}-name <N>`, `cluster of --${prefix}connect cluster:NAME (default default)`),
    new Option(
      `${flags}-key <FILE>`,
      "file with its key, as for shoal node start; finds nodes on the network, too",
    ),
    new Option(`${flags}-password-file <FILE>`, "its password in place of a key, as for shoal node start"),
    repeatable(
      `${flags}-discovery <TEXT>`,
      "where to find its nodes, in place of multicast, as for shoal node start (repeatable)",
    ),
  ];
  for (const option of options) command.addOption(option.helpGroup("Cluster options:"));
  return command;
}

export function isOfCluster(endpoint: string): boolean {
  return endpoint.startsWith(SCHEME);
}
