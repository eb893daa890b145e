/** shoal node. Rows of {@link NODE_COMMANDS} are the commands that steer a running node. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Members, NODE_COMMANDS, type NodeCommand, TIMEOUT } from "./node-commands.js";
import { nodeFlags } from "./node-schema.js";
import type { StartSettings } from "./node-start.js";
import type { SteerSettings } from "./node-steer.js";
import {
  addCheckCommand,
  addCommand,
  addGroup,
  type CommandFace,
  checkEndpoints,
  numberFlag,
  repeatable,
} from "./options.js";
import { addSecurityOptions } from "./security.js";

export function addNodeCommand(program: Command): void {
  const node = addGroup(program, {
    name: "node",
    summary: "a node of a cluster: programs that find and keep each other",
    description:
      "Starts a node, which finds the other nodes of its cluster and prints who comes and goes, and steers one that runs.",
    examples: [
      "shoal node start --name billing",
      "shoal node start --name audit --json --control ipc:///tmp/audit",
      "shoal node status",
      "shoal node remove billing --node audit",
    ],
  });
  addStartCommand(node);
  const checked = ["node start --config", "files of keys", "shoal node check /etc/shoal/node.yaml"] as const;
  addCheckCommand(node, checked, async (file, settings) => {
    const { checkNode } = await import("./node-start.js");
    await checkNode(file, settings);
  });
  addNamesCommand(node);
  for (const [name, command] of Object.entries(NODE_COMMANDS))
    if (command.face !== undefined) addSteerCommand(node, name, command, command.face);
}

function addStartCommand(node: Command): void {
  const start = addCommand(node, {
    name: "start",
    summary: "start a node",
    description:
      "Starts a node and prints a line for each change of its cluster: its own start first, then every member that is there. " +
      "Nodes on one host find each other; --scope link finds those on the network, and needs a key. SIGTERM and " +
      "SIGINT leave the cluster and end it; the end of standard input does not.",
    examples: [
      "shoal node start --name billing --tag eu --prop version=2.1",
      "shoal node start --name audit --json",
      "shoal node start --name far --scope link --interface eth0 --key cluster.key",
      "shoal node start --name six --ipv6 --scope link --key cluster.key --curve-certificate six_secret --curve-allow nodes",
      "shoal node start --name far --scope link --key cluster.key --tls-cert far.pem --tls-key far.key --tls-ca nodes.pem",
      "shoal node start --name pod --scope link --key cluster.key --discovery dns://billing.example:7946",
      "shoal node start --config /etc/shoal/node.yaml",
    ],
  })
    .option("--config <FILE>", "everything from a file (YAML or JSON), which SIGHUP reads again")
    .option("--json", "print changes as JSON lines, with at least event and name");
  for (const { option } of nodeFlags()) start.addOption(option);
  start.option("--no-control", "take no commands").action(async (settings: StartSettings) => {
    const { startNode } = await import("./node-start.js");
    await startNode(settings);
  });
}

function addNamesCommand(node: Command): void {
  addCommand(node, {
    name: "names",
    summary: "list the nodes of this user that run on this host",
    description:
      "Lists the nodes of this user that run on this host, those of programs included: name, cluster, address, process and control " +
      "endpoints. Asks no node.",
    examples: ["shoal node names", "shoal node names --json"],
  })
    .option("--json", "print them as JSON")
    .action(async ({ json }: { readonly json?: boolean }) => {
      const { printNames } = await import("./node-steer.js");
      await printNames(json === true);
    });
}

function addSteerCommand(
  node: Command,
  name: string,
  definition: NodeCommand,
  face: Omit<CommandFace, "name">,
): void {
  const { members } = definition;
  const command = addCommand(node, { name, ...face });
  const read = Object.entries(members).flatMap(([member, { flags, help = "", isList, range }]) => {
    if (flags === undefined) return [];
    if (!flags.startsWith("--")) {
      const at = command.registeredArguments.length;
      command.argument(flags, help);
      return [{ member, of: (given: readonly unknown[]) => given[at] }];
    }
    const simple = isList === true ? repeatable(flags, help) : new Option(flags, help);
    const option = range === undefined ? simple : numberFlag(flags, help, range);
    command.addOption(option);
    const key = option.attributeName();
    return [{ member, of: (given: readonly unknown[]) => (given.at(-2) as Members)[key] }];
  });
  command
    .option(
      "--control <EP>",
      "the control endpoint of a running node (default: that of this user's only one)",
      controlEndpoint,
    )
    .option("--node <NAME>", "the node of this name, where several of this user run on this host")
    .addOption(
      definition.waits === true
        ? numberFlag("--timeout <MS>", "timeout of its reply (default --wait, and 1000 more)")
        : numberFlag("--timeout <MS>", "timeout of its reply", { default: TIMEOUT }),
    )
    .option("--json", definition.json ?? "print the reply as JSON");
  addSecurityOptions(command, "connect").action(async (...given: unknown[]) => {
    const values: Record<string, unknown> = {};
    for (const { member, of } of read) {
      const written = of(given);
      // A repeatable argument that is missing is an empty list.
      if (written !== undefined && !(Array.isArray(written) && written.length === 0))
        values[member] = written;
    }
    const { steer } = await import("./node-steer.js");
    await steer(name, definition, values, given.at(-2) as SteerSettings);
  });
}

function controlEndpoint(text: string): string {
  try {
    checkEndpoints([text], "an endpoint");
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return text;
}
