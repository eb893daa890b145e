/**
 * shoal node start, and the commands that steer a running node over its control socket.
 *
 * A command of the control socket stands in {@link NODE_COMMANDS} and nowhere else: it is a command here, too.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { Log } from "./log.js";
import { NODE_COMMANDS, type NodeCommand } from "./node-commands.js";
import type { StartSettings } from "./node-start.js";
import { addCommand, addGroup, checkEndpoints, repeatable, wholeNumber } from "./options.js";
import { Stop } from "./stop.js";
import { terminal } from "./terminal.js";

/** The default time-out of a command's reply, in ms. */
const TIMEOUT = 5_000;

interface SteerSettings {
  readonly control?: string;
  readonly timeout?: number;
  readonly json?: boolean;
}

export function addNodeCommand(program: Command): void {
  const node = addGroup(program, {
    name: "node",
    summary: "a node of a cluster: programs that find and keep each other",
    description:
      "Starts a node, which finds the other nodes of its cluster and prints who comes and goes, and steers one that runs.",
    examples: [
      "shoal node start --name billing",
      "shoal node start --name audit --json --control ipc:///tmp/audit",
      "shoal node remove billing --control ipc:///tmp/audit",
    ],
  });
  addStartCommand(node);
  for (const [name, command] of Object.entries(NODE_COMMANDS)) addSteerCommand(node, name, command);
}

function addStartCommand(node: Command): void {
  addCommand(node, {
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
      "shoal node start --name bridge --zre --group CHAT --control ipc:///tmp/bridge",
    ],
  })
    .requiredOption("--name <N>", "name of the node, unique in its cluster")
    .option("--json", "print changes as JSON lines, with at least event and name")
    .addOption(repeatable("--tag <T>", "a tag by which others can find it (repeatable)"))
    .addOption(repeatable("--prop <K=V>", "a property that others can read (repeatable)"))
    .option("--group <G>", "name of the cluster (default default); with --zre also a ZRE group to join")
    .addOption(
      new Option(
        "--scope <SCOPE>",
        "how far it reaches: this host, or the link, which needs --key or --password-file",
      ).choices(["host", "link"]),
    )
    .option("--interface <IF>", "network interface, by name or address (default: all that are usable)")
    .option("--ports <FIRST-LAST>", "ports that a firewall lets through: the first free one is taken")
    .option("--key <FILE>", "the cluster's key: one line of 40 Z85 characters, readable by its owner only")
    .option(
      "--password-file <FILE>",
      "in place of --key: one line of 8 to 1,024 bytes, readable by its owner only, from which the key is derived",
    )
    .option("--zre", "also a peer of zyre programs (36/ZRE) on the link; that traffic is not encrypted")
    .addOption(
      repeatable(
        "--control <EP>",
        "listen for shoal node remove, shout, whisper at a REP socket (repeatable)",
      ),
    )
    .action(async (settings: StartSettings) => {
      const { startNode } = await import("./node-start.js");
      await startNode(settings);
    });
}

function addSteerCommand(node: Command, name: string, { face, arguments: names }: NodeCommand): void {
  const command = addCommand(node, { name, ...face });
  for (const [argument, description] of Object.entries(names)) command.argument(`<${argument}>`, description);
  command
    .requiredOption("--control <EP>", "the control endpoint of a running node", controlEndpoint)
    .option("--timeout <MS>", `time-out of its reply (default ${TIMEOUT})`, wholeNumber(1))
    .option("--json", "print the reply as JSON")
    .action(async (...given: unknown[]) => {
      const settings = given[command.registeredArguments.length] as SteerSettings;
      const members = Object.fromEntries(Object.keys(names).map((argument, at) => [argument, given[at]]));
      await steer(name, members, settings);
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

async function steer(name: string, members: object, settings: SteerSettings): Promise<void> {
  const { control = "", timeout = TIMEOUT, json } = settings;
  const [{ ControlClient }, { callFailure }] = await Promise.all([
    import("./control-client.js"),
    import("./service.js"),
  ]);
  const client = await ControlClient.open(control, {});
  const stop = new Stop().listen();
  try {
    const reply = await client.command({ command: name, ...members }, { timeout, signal: stop.requested });
    if (json === true) terminal().stdout.write(`${JSON.stringify(reply)}\n`);
    else
      new Log(`node ${name}`).info(
        NODE_COMMANDS[name]?.done(members as Readonly<Record<string, string>>) ?? "done",
      );
  } catch (error) {
    throw callFailure(error, timeout);
  } finally {
    await client.close();
    stop.dispose();
  }
}
