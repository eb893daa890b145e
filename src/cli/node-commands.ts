/** The commands that steer a running node: as a control socket parses them, as the command line offers them, and what they do. */
import type { CommandMember } from "../control/protocol.js";
import type { CommandFace } from "./options.js";

/** Bytes of a command: a text to pass on is a part of it. */
export const MAX_NODE_COMMAND = 65_536;

/** What the commands need of a node. */
export interface SteeredNode {
  remove(nameOrId: string): unknown;
  shout(group: string, ...frames: string[]): unknown;
  whisper(nameOrId: string, ...frames: string[]): unknown;
}

export interface NodeCommand {
  readonly face: Omit<CommandFace, "name">;
  /** The arguments on the command line, in their order, which are the command's members; with their help. */
  readonly arguments: Readonly<Record<string, string>>;
  /** What it does; what it gives is part of the reply. */
  run(node: SteeredNode, members: Readonly<Record<string, string>>): unknown;
  /** What was done, in words. */
  done(members: Readonly<Record<string, string>>): string;
}

export const NODE_COMMANDS: Readonly<Record<string, NodeCommand>> = {
  remove: {
    face: {
      summary: "remove a member from the cluster",
      description:
        "Removes a member: all others drop it, and it stays out, even while it lives, until it is admitted again.",
      examples: ["shoal node remove billing --control ipc:///tmp/audit"],
    },
    arguments: { name: "the member's name, or its id" },
    run: (node, { name = "" }) => node.remove(name),
    done: ({ name }) => `removed ${name}`,
  },
  shout: {
    face: {
      summary: "send a text to all peers of a ZRE group",
      description: "Sends a text to every peer of a ZRE group. The node runs with --zre.",
      examples: ["shoal node shout CHAT hello --control ipc:///tmp/bridge"],
    },
    arguments: { group: "the group's name", text: "the text: one frame" },
    run: (node, { group = "", text = "" }) => ({ peers: node.shout(group, text) }),
    done: ({ group }) => `sent to ${group}`,
  },
  whisper: {
    face: {
      summary: "send a text to one ZRE peer",
      description: "Sends a text to one ZRE peer. The node runs with --zre.",
      examples: ["shoal node whisper billing hello --control ipc:///tmp/bridge"],
    },
    arguments: { name: "the peer's name, or its id", text: "the text: one frame" },
    run: (node, { name = "", text = "" }) => node.whisper(name, text),
    done: ({ name }) => `sent to ${name}`,
  },
};

const TEXT: CommandMember = {
  required: true,
  expected: "a text",
  accepts: (value) => typeof value === "string",
};

/** The same commands as a control socket parses them. */
export const NODE_COMMAND_TABLE = Object.fromEntries(
  Object.entries(NODE_COMMANDS).map(([name, { arguments: names }]) => [
    name,
    Object.fromEntries(Object.keys(names).map((argument) => [argument, TEXT])),
  ]),
);
