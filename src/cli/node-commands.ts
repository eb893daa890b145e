/** One row per command of a running node. */
import { resolve } from "node:path";
import type { TagChange, TagPair } from "../cluster/index.js";
import type { CommandMember, CommandTable } from "../control/protocol.js";
import { quoted } from "../core/arguments.js";
import { NotSupportedError } from "../index.js";
import { hasCode, UsageError } from "./failure.js";
import { generateKey, KEY_ACTIONS, type KeyAction, keysText } from "./node-keys.js";
import type { MessageLine, NodeRoute } from "./node-messages.js";
import type { NodeOperator, NodeRequest, NodeSend } from "./node-operator.js";
import {
  clientsText,
  discoveredText,
  nodesText,
  propsText,
  sessionsText,
  shown,
  statusText,
} from "./node-text.js";
import type { Exchange } from "./node-transfer.js";
import type { CommandFace } from "./options.js";

/** Bytes of a command with its text. */
export const MAX_NODE_COMMAND = 65_536;

/** ms. */
const MAX_WAIT = 60_000;
/** ms for peers to receive a leave. */
const LEAVE_LINGER = 5_000;

export type Members = Readonly<Record<string, unknown>>;

/** Without `flags` only programs set it. */
export interface NodeMember extends CommandMember {
  /** `<name>`, `[tag...]`: an argument. `--remove <T>`: an option. `--retain`: a boolean. */
  readonly flags?: string;
  readonly help?: string;
  readonly isList?: true;
  /** Of a whole number. */
  readonly range?: readonly [min: number, max: number];
  /** @throws UsageError */
  parse?(written: unknown): unknown;
}

export interface NodeCommand {
  /** Absent: only programs send this command. */
  readonly face?: Omit<CommandFace, "name">;
  /** In the order of the arguments. */
  readonly members: Readonly<Record<string, NodeMember>>;
  /** @returns the reply */
  run(operator: NodeOperator, members: Members): unknown;
  /** The reply as lines; absent: `done` is logged. */
  text?(reply: Members): readonly string[];
  /** Exit code 1. */
  isFailure?(reply: Members): boolean;
  /** The effect, in words. */
  done?(members: Members, reply: Members): string;
  /** Needs no node. @returns whether nothing is left to do */
  local?(members: Members): Promise<boolean>;
  prepare?(members: Members): Members;
  /** Replaces the single request and its output. */
  exchange?(exchange: Exchange): Promise<void>;
  /** Without `text`, each line of standard input is one. */
  readonly lines?: true;
  /** Of --json, if it does not print the reply. */
  readonly json?: string;
  /** ms, if longer than usual. */
  readonly timeout?: number;
  /** Replies after `wait` ms. */
  readonly waits?: true;
  /** The process ends after the reply. */
  readonly ends?: true;
}

const isText = (value: unknown): boolean => typeof value === "string";
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);

const text = (flags: string, help: string): NodeMember => ({
  flags,
  help,
  required: flags.startsWith("<"),
  expected: "a text",
  accepts: isText,
});
const texts = (flags: string, help: string): NodeMember => ({
  flags,
  help,
  isList: true,
  required: flags.startsWith("<"),
  expected: "a list of texts",
  accepts: isTexts,
});
const whole = (
  range: readonly [min: number, max: number],
  face: Pick<NodeMember, "flags" | "help"> = {},
): NodeMember => ({
  ...face,
  range,
  expected: `a whole number from ${range[0]} to ${range[1]}`,
  accepts: (value) => Number.isInteger(value) && Number(value) >= range[0] && Number(value) <= range[1],
});
const ANY_NUMBER = [0, Number.MAX_SAFE_INTEGER] as const;
const ANY_WAIT = [0, MAX_WAIT] as const;

const truth = (): NodeMember => ({
  expected: "true or false",
  accepts: (value) => typeof value === "boolean",
});

const isEmpty = (list: unknown): boolean => (list as readonly unknown[]).length === 0;
const failures = (failed: unknown): string[] =>
  (failed as { name: string; error: string }[]).map(({ name, error }) =>
    shown(error.startsWith(`${name}: `) ? error : `${name}: ${error}`),
  );

const NAME = "the member's name, or its id";
const SELECTED: Readonly<Record<string, NodeMember>> = {
  text: { ...text("[text]", "the text; without it each line of standard input is one"), required: true },
  to: texts("--to <NAME>", "a service: its name, or its id (repeatable)"),
  resolve: texts("--resolve <TAG>", "services that have this tag; of several tags all (repeatable)"),
  channel: text("--channel <C>", "0 to 255, or a name (default 0)"),
  id: text("--id <ID>", "a text that goes with it: its ruid"),
};

export const NODE_COMMANDS: Readonly<Record<string, NodeCommand>> = {
  whoami: {
    members: {},
    run: ({ node: { name, id, group } }) => ({ name, id, group, pid: process.pid }),
  },
  status: {
    face: {
      summary: "show the cluster as a node sees it",
      description:
        "Shows members that run, members that were lost or left and are not forgotten, and removed ones.",
      examples: ["shoal node status", "shoal node status --json --node billing"],
    },
    members: {},
    run: (node) => node.status(),
    text: (reply) => statusText(reply),
  },
  peers: {
    face: {
      summary: "list the other nodes that run",
      description: "Lists the other running nodes, ZRE peers included.",
      examples: ["shoal node peers"],
    },
    members: {},
    run: (node) => node.peers(),
    text: ({ peers }) => nodesText(peers),
  },
  join: {
    face: {
      summary: "dial a node at an address",
      description:
        "Dials a node of the same cluster and waits until it is a member. Without an answer the exit code " +
        "is 1, and the node keeps dialling.",
      examples: ["shoal node join 10.0.0.5:7946"],
    },
    members: { addresses: texts("<address...>", "HOST:PORT of a node") },
    run: (node, { addresses }) => node.join(addresses as string[]),
    done: (_, { runningNodes }) => `joined; running nodes: ${(runningNodes as string[]).join(", ")}`,
  },
  leave: {
    face: {
      summary: "leave the cluster, and end the process",
      description: "Leaves the cluster, and ends the process with exit code 0. Peers record a clean leave.",
      examples: ["shoal node leave"],
    },
    members: {},
    run: ({ node }) => node.close({ linger: LEAVE_LINGER }),
    done: () => "has left the cluster",
    ends: true,
  },
  remove: {
    face: {
      summary: "remove a member from the cluster",
      description:
        "Removes a member, whether it runs or not. It stays out until it is admitted again. A node cannot " +
        "remove itself.",
      examples: ["shoal node remove billing"],
    },
    members: { name: text("<name>", NAME) },
    run: (node, { name }) => node.remove(name as string),
    done: ({ name }, { removed }) => `removed ${removed ?? name}`,
  },
  admit: {
    face: {
      summary: "admit a removed node again",
      description: "Allows a removed node to join again.",
      examples: ["shoal node admit billing"],
    },
    members: { name: text("<name>", "the node's name where this node saw its removal, or its id") },
    run: (node, { name }) => node.admit(name as string),
    done: ({ name }, { admitted }) => `admitted ${admitted ?? name}`,
  },
  drain: {
    face: {
      summary: "announce that the node takes nothing new",
      description:
        "Announces that the node is draining: peers no longer resolve it. It keeps running until leave or " +
        "a signal.",
      examples: ["shoal node drain"],
    },
    members: {},
    run: ({ node }) => node.drain(),
    done: () => "is draining",
  },
  heal: {
    face: {
      summary: "rejoin after a split, if autoheal is off",
      description: "Rejoins a node of the minority under a new incarnation. Refused to other nodes.",
      examples: ["shoal node heal"],
    },
    members: {},
    run: (node) => node.heal(),
    done: () => "rejoined",
  },
  tags: {
    face: {
      summary: "show or change the node's tags",
      description: "Shows the node's tags after the changes: replace, remove, map, then added ones.",
      examples: ["shoal node tags", "shoal node tags eu --remove us", "shoal node tags --map standby=active"],
    },
    members: {
      append: texts("[tag...]", "tags to add"),
      replace: texts("--replace <T>", "these tags and no others (repeatable)"),
      remove: texts("--remove <T>", "a tag to remove (repeatable)"),
      map: {
        flags: "--map <FROM=TO>",
        isList: true,
        help: "put TO in the place of FROM, if FROM is there (repeatable)",
        expected: "a list of pairs of texts",
        accepts: (value) =>
          Array.isArray(value) && value.every((pair) => isTexts(pair) && (pair as unknown[]).length === 2),
        parse: (written) => (written as string[]).map((pair) => splitPair(pair, "--map expects FROM=TO")),
      },
    },
    run: ({ node }, { append, replace, remove, map }) => {
      const changes: TagChange[] = [];
      if (replace !== undefined) changes.push({ replace: replace as string[] });
      if (remove !== undefined) changes.push({ remove: remove as string[] });
      if (map !== undefined) changes.push({ map: map as TagPair[] });
      if (append !== undefined) changes.push({ append: append as string[] });
      return { tags: node.tags(...changes) };
    },
    text: ({ tags }) => (tags as string[]).map(shown),
  },
  props: {
    face: {
      summary: "show or change the node's properties",
      description: "Shows the node's properties after setting and removing some.",
      examples: ["shoal node props", "shoal node props version=2.2 --remove load"],
    },
    members: {
      set: {
        flags: "[K=V...]",
        help: "properties to set",
        expected: "an object of texts",
        accepts: (value) =>
          typeof value === "object" &&
          value !== null &&
          Object.values(value).every(isText) &&
          !isTexts(value),
        parse: (written) =>
          Object.fromEntries((written as string[]).map((pair) => splitPair(pair, "expected K=V"))),
      },
      remove: texts("--remove <K>", "a property to remove (repeatable)"),
    },
    run: ({ node }, { set = {}, remove = [] }) => ({
      props: node.props({
        ...Object.fromEntries((remove as string[]).map((key) => [key, undefined])),
        ...(set as Record<string, string>),
      }),
    }),
    text: ({ props }) => propsText(props),
  },
  watch: {
    face: {
      summary: "print changes of the cluster, until a signal",
      description:
        "Prints a line for each change from now on. A slow reader misses some, which is logged; the node " +
        "keeps the last 1,024.",
      examples: ["shoal node watch", "shoal node watch --json"],
    },
    members: {
      after: whole(ANY_NUMBER),
      wait: whole(ANY_WAIT),
    },
    run: (node, { after, wait = 0 }) => node.watch(after as number | undefined, wait as number),
    json: "print events as JSON lines",
    exchange: async (exchange) => (await import("./node-transfer.js")).printEvents(exchange),
  },
  discover: {
    face: {
      summary: "ask all nodes to report, and show the sources of discovery",
      description:
        "Asks all nodes to report, and lists members and the state of discovery sources after a second.",
      examples: ["shoal node discover"],
    },
    members: {},
    run: (node) => node.discover(),
    text: (reply) => discoveredText(reply),
  },
  ping: {
    face: {
      summary: "report that a member seems to be gone",
      description:
        "Has a member probed at once. It is lost if it does not answer; shoal node watch prints that.",
      examples: ["shoal node ping billing"],
    },
    members: { name: text("<name>", NAME) },
    run: ({ node }, { name }) => {
      node.ping(name as string);
      return { name: node.member(name as string)?.name ?? name };
    },
    text: ({ name }) => [`${shown(name)} is probed`],
  },
  clients: {
    face: {
      summary: "list the clients of the cluster's discovery servers",
      description: "Lists the programs that are connected to discovery servers, with their nodes.",
      examples: ["shoal node clients"],
    },
    members: {},
    run: (node) => node.clients(),
    text: (reply) => clientsText(reply),
  },
  sessions: {
    face: {
      summary: "list the sessions that a node serves, or remove one",
      description:
        "Lists the sessions of the store of a session server (node start --sessions). A removed session " +
        "loses its messages.",
      examples: ["shoal node sessions", "shoal node sessions --remove kitchen"],
    },
    members: {
      after: text("--after <ID>", "only those after this id: there are 1,000 in a reply"),
      remove: text("--remove <ID>", "remove this session"),
    },
    run: (node, { after, remove }) =>
      node.sessions(after as string | undefined, remove as string | undefined),
    text: (reply) => sessionsText(reply),
  },
  keys: {
    face: {
      summary: "make a key; list, add, use, remove or rotate the keys of a node",
      description:
        "list prints ids of keys. rotate FILE is the next step to the key in FILE; finish each step on " +
        "every node before the next. add FILE, use ID and remove ID are single steps. generate [FILE] " +
        "makes a key and needs no node.",
      examples: ["shoal node keys generate new.key", "shoal node keys rotate new.key"],
    },
    members: {
      action: {
        flags: "[action]",
        help: "list (default), add, use, remove, rotate; or generate",
        expected: `one of ${KEY_ACTIONS.join(", ")}`,
        accepts: (value) => KEY_ACTIONS.includes(value as KeyAction),
      },
      target: text("[target]", "a key file; of use and remove, an id"),
    },
    local: async ({ action, target }) => {
      if (action !== "generate") return false;
      await generateKey(target as string | undefined);
      return true;
    },
    prepare: ({ action, target, ...others }) => ({
      ...others,
      ...(action === undefined ? {} : { action }),
      // The node may run in another folder.
      ...(target === undefined
        ? {}
        : { target: action === "add" || action === "rotate" ? resolve(target as string) : target }),
    }),
    run: (node, { action = "list", target }) => node.keys(action as KeyAction, target as string | undefined),
    text: (reply) => keysText(reply),
  },
  shout: {
    face: {
      summary: "send a text to all peers of a ZRE group",
      description: "Sends a text to all peers of a ZRE group. The node needs --zre.",
      examples: ["shoal node shout CHAT hello --control ipc:///tmp/bridge"],
    },
    members: { group: text("<group>", "the group's name"), text: text("<text>", "the text: one frame") },
    run: ({ node }, { group, text }) => ({
      peers: withZre(() => node.shout(group as string, text as string)),
    }),
    done: ({ group }) => `sent to ${group}`,
  },
  channels: {
    face: {
      summary: "show, join or leave the channels of a node",
      description:
        "Shows the channels of the node after joining and leaving some. 0 to 255 are numbers; other texts " +
        "are names.",
      examples: ["shoal node channels", "shoal node channels 5 orders --leave 2"],
    },
    members: {
      join: texts("[channel...]", "channels to join"),
      leave: texts("--leave <C>", "a channel to leave (repeatable)"),
    },
    run: (node, { join = [], leave = [] }) => node.channels(join as string[], leave as string[]),
    text: ({ channels }) => (channels as (string | number)[]).map(shown),
  },
  send: {
    face: {
      summary: "send a text to services of the cluster",
      description:
        "Sends a text, or each line of standard input, to the services of --to and --resolve, or to all " +
        "others. Failed recipients are printed. Exit code 1 for a failure or no recipient.",
      examples: ["shoal node send hello", "shoal node send reload --resolve billing --channel 5"],
    },
    members: SELECTED,
    json: "print the reply to each text as JSON",
    lines: true,
    run: (node, members) => node.send(members as unknown as NodeSend),
    text: ({ sent, failed, means }) => [
      isEmpty(sent) ? "sent to 0" : `sent to ${(sent as string[]).length} by ${shown(means)}`,
      ...failures(failed),
    ],
    isFailure: ({ sent, failed }) => isEmpty(sent) || !isEmpty(failed),
  },
  query: {
    face: {
      summary: "query services of the cluster, and print their answers",
      description:
        "Queries the services of --to and --resolve, or all others, and prints a line for each: its " +
        "answer, its error, or that it is missing. Without a text each line of standard input is a query. " +
        "Exit code 1 unless all answered.",
      examples: ["shoal node query stock --resolve billing", "shoal node query ping --json --wait 500"],
    },
    json: "print the reply to each text as JSON",
    lines: true,
    members: {
      ...SELECTED,
      wait: whole(ANY_WAIT, {
        flags: "--wait <MS>",
        help: "ms until those without an answer are missing (default 5000)",
      }),
    },
    run: (node, members) => node.query(members as unknown as NodeSend),
    text: ({ replies, failed, missing }) => [
      ...(replies as { name: string; data: unknown }[]).map(
        ({ name, data }) => `${shown(name)} ${shown(typeof data === "string" ? data : JSON.stringify(data))}`,
      ),
      ...failures(failed),
      ...(missing as string[]).map((name) => `${shown(name)} is missing`),
    ],
    isFailure: ({ replies, failed, missing }) => isEmpty(replies) || !isEmpty(failed) || !isEmpty(missing),
    waits: true,
  },
  request: {
    face: {
      summary: "send a request to a service, and print its reply",
      description:
        "Sends a text, or each line of standard input, to one of the nodes that serve SERVICE, and prints " +
        "the reply. Exit code 1 without a reply.",
      examples: ["shoal node request upper hello", "shoal node request pay 7 --key order-7 --wait 500"],
    },
    json: "print the reply to each text as JSON",
    lines: true,
    members: {
      service: text("<service>", "the service's name"),
      text: SELECTED.text as NodeMember,
      key: text("--key <KEY>", "idempotency key: requests with the same one are run once"),
      wait: whole(ANY_WAIT, { flags: "--wait <MS>", help: "ms until it is given up (default 5000)" }),
    },
    run: (node, members) => node.request(members as unknown as NodeRequest),
    text: ({ reply }) => [typeof reply === "string" ? reply : JSON.stringify(reply)],
    waits: true,
  },
  whisper: {
    face: {
      summary: "send a text to one ZRE peer",
      description: "Sends a text to one ZRE peer. The node needs --zre.",
      examples: ["shoal node whisper billing hello --control ipc:///tmp/bridge"],
    },
    members: {
      name: text("<name>", "the peer's name, or its id"),
      text: text("<text>", "the text: one frame"),
    },
    run: ({ node }, { name, text }) => withZre(() => node.whisper(name as string, text as string)),
    done: ({ name }) => `sent to ${name}`,
  },
  routes: {
    face: {
      summary: "show which nodes subscribe to which topics",
      description:
        "Lists filters with their subscribing nodes, 4,096 at most, or only those that match a topic.",
      examples: ["shoal node routes", "shoal node routes plant/7/temp --json"],
    },
    members: { topic: text("[topic]", "only filters that match this topic") },
    run: (node, { topic }) => node.messages.routes(topic as string | undefined),
    text: ({ routes }) =>
      (routes as readonly NodeRoute[]).map(
        ({ filter, nodes }) => `${shown(filter)} ${nodes.map(shown).join(" ")}`,
      ),
  },
  pub: {
    face: {
      summary: "publish messages through a running node",
      description:
        "Publishes a text, or each line of standard input, to a topic. Exit code 1 for an invalid line or " +
        "a full node; 2 for an invalid topic.",
      examples: [
        "shoal node pub plant/7/temp 21.5",
        "tail -f readings | shoal node pub plant/7/temp",
        'echo \'{"topic":"plant/7/temp","data":"21.5"}\' | shoal node pub --json',
      ],
    },
    members: {
      topic: { ...text("[topic]", "the topic; with --json it is in each line") },
      text: { ...text("[text]", "one message; without it each line of standard input is one") },
      retain: {
        ...truth(),
        flags: "--retain",
        help: "each is its topic's value from now on; an empty one takes the value back",
      },
      messages: {
        expected: 'a list of {"topic","data"}',
        accepts: (value) => Array.isArray(value) && value.every(isLine),
      },
    },
    json: 'read lines {"topic":"…","data":"…"}',
    exchange: async (exchange) => (await import("./node-transfer.js")).publishLines(exchange),
    run: (node, { messages, topic, text: data, retain }) =>
      node.messages.publish(
        (messages ?? [{ topic, data: data ?? "" }]) as MessageLine[],
        retain as boolean | undefined,
      ),
  },
  sub: {
    face: {
      summary: "subscribe through a running node, and print messages until a signal",
      description:
        "Prints TOPIC DATA for each message that matches a filter, once. + is any level, # at the end any " +
        "number of levels. A slow reader misses some messages, which is logged.",
      examples: ["shoal node sub plant/7/temp", "shoal node sub 'plant/+/temp' 'alarm/#' --json"],
    },
    members: {
      filters: texts("[filter...]", "filters of topics"),
      count: whole([1, Number.MAX_SAFE_INTEGER], {
        flags: "--count <N>",
        help: "end after so many messages",
      }),
      retained: { ...truth(), flags: "--retained", help: "print the retained values of the topics first" },
      session: whole(ANY_NUMBER),
      after: whole(ANY_NUMBER),
      wait: whole(ANY_WAIT),
      end: truth(),
    },
    json: 'print messages as lines {"topic":"…","data":"…"}',
    exchange: async (exchange) => (await import("./node-transfer.js")).printMessages(exchange),
    run: (node, { filters = [], retained, session, after = 0, wait = 0, end }) => {
      if (session === undefined)
        return node.messages.subscribe(filters as string[], retained as boolean | undefined);
      if (end === true) return node.messages.endSession(session as number);
      return node.messages.next(session as number, after as number, wait as number);
    },
  },
};

function isLine(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { topic, data, ...others } = value as { topic?: unknown; data?: unknown };
  return isText(topic) && (isText(data) || typeof data === "object") && Object.keys(others).length === 0;
}

/** With the command line's advice. */
function withZre<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!hasCode(error, "NOT_SUPPORTED")) throw error;
    throw new NotSupportedError(
      "the node is not a ZRE peer: start it with --zre, or with zre: true in its configuration file",
    );
  }
}

function splitPair(pair: string, expected: string): [string, string] {
  const at = pair.indexOf("=");
  if (at < 1) throw new UsageError(`${expected}; got ${quoted(pair)}`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}

export const NODE_COMMAND_TABLE: CommandTable = Object.fromEntries(
  Object.entries(NODE_COMMANDS).map(([name, { members }]) => [name, members]),
);
