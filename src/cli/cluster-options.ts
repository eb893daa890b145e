/** Options of commands that connect to `cluster:NAME`; what they do is in cluster-endpoints.ts, which is loaded when it is used. */
import { type Command, Option } from "commander";

/** What an endpoint begins with that names what members of a cluster advertise. */
export const SCHEME = "cluster:";

const GROUP = "Cluster options:";

/** What the options come to. */
export interface ClusterSettings {
  readonly clusterGroup?: string;
  readonly clusterKey?: string;
  readonly clusterPasswordFile?: string;
  readonly clusterDiscovery?: readonly string[];
}

/** Adds the options of commands that connect, once; those that a command hid are shown. */
export function addClusterOptions(command: Command): Command {
  const known = command.options.filter((option) => option.attributeName().startsWith("cluster"));
  for (const option of known) option.hidden = false;
  if (known.length > 0) return command;
  return command
    .addOption(
      new Option("--cluster-group <G>", "cluster of --connect cluster:NAME (default default)").helpGroup(
        GROUP,
      ),
    )
    .addOption(
      new Option(
        "--cluster-key <FILE>",
        "its key, as of shoal node start: nodes on the link, not on this host alone",
      ).helpGroup(GROUP),
    )
    .addOption(
      new Option(
        "--cluster-password-file <FILE>",
        "its password in place of a key, as of shoal node start",
      ).helpGroup(GROUP),
    )
    .addOption(
      new Option(
        "--cluster-discovery <TEXT>",
        "where to find its nodes, in place of multicast, as of shoal node start (repeatable)",
      )
        .argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text])
        .helpGroup(GROUP),
    );
}

/** Whether an endpoint names what members of a cluster advertise. */
export function isOfCluster(endpoint: string): boolean {
  return endpoint.startsWith(SCHEME);
}
