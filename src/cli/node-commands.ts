/** One row per command of a running node. */
import type { CommandMember, CommandTable } from "../control/server.js";
import { withTimeout } from "../core/waiter.js";
import { boolean, type IntegerRange, integer } from "../kit/options.js";
import type { MessageLine, NodeRoute } from "./node-messages.js";
import type { NodeOperator, NodeRequest } from "./node-operator.js";
import { clientsText, sessionsText, shown, statusText } from "./node-text.js";
import type { Exchange } from "./node-transfer.js";
import type { CommandFace } from "./options.js";

/** Bytes of a command with its text. */
export const MAX_NODE_COMMAND = 65_536;

/** Default timeout of a reply, and default of `wait`, ms. */
export const TIMEOUT = 5_000;
/** Most ms of a drain or a leave before its reply, so that the client still waits. */
const ENDING = 4_000;

export type Members = Readonly<Record<string, unknown>>;

/** Without `flags` only programs set it. */
export interface NodeMember extends CommandMember {
  /** `<name>`, `[filter...]`: an argument. `--remove <ID>`: an option. `--retain`: a boolean. */
  readonly flags?: string;
  readonly help?: string;
  readonly isList?: true;
  /** Of a whole number. */
  readonly range?: IntegerRange;
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
  /** The effect, in words. */
  done?(members: Members, reply: Members): string;
  /** Replaces the single request and its output. */
  exchange?(exchange: Exchange): Promise<void>;
  /** Without `text`, each line of standard input is one. */
  readonly lines?: true;
  /** Of --json, if it does not print the reply. */
  readonly json?: string;
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
const whole = (range: IntegerRange, face: Pick<NodeMember, "flags" | "help"> = {}): NodeMember => ({
  ...integer(range),
  ...face,
  range,
});
const truth = boolean(false);
const ANY_NUMBER = { min: 0, max: Number.MAX_SAFE_INTEGER };
/** ms. */
const ANY_WAIT = { min: 0, max: 60_000 };

const NAME = "the member's name, or its id";

export const NODE_COMMANDS: Readonly<Record<string, NodeCommand>> = {
  status: {
    face: {
      summary: "show the cluster as a node sees it",
      description:
        "Shows members that run, members that were lost or left and are not forgotten, removed ones, and the " +
        "sources of discovery.",
      examples: ["shoal node status", "shoal node status --json --node billing"],
    },
    members: {},
    run: (node) => node.status(),
    text: (reply) => statusText(reply),
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
    run: ({ node }) => node.close({ linger: ENDING }),
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
    run: ({ node }) => withTimeout(node.drain(), ENDING),
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
  request: {
    face: {
      summary: "send a request to a service, and print its reply",
      description:
        "Sends a text, or each line of standard input, to one of the nodes that serve SERVICE, and prints " +
        "the reply. Exit code 1 without a reply.",
      examples: ["shoal node request upper hello", "shoal node request pay 7 --wait 500"],
    },
    json: "print the reply to each text as JSON",
    lines: true,
    members: {
      service: text("<service>", "the service's name"),
      text: { ...text("[text]", "the text; without it each line of standard input is one"), required: true },
      wait: whole(
        { ...ANY_WAIT, default: TIMEOUT },
        { flags: "--wait <MS>", help: "ms until it is given up" },
      ),
    },
    run: (node, members) => node.request(members as unknown as NodeRequest),
    text: ({ reply }) => [typeof reply === "string" ? reply : JSON.stringify(reply)],
    waits: true,
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
        ...truth,
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
      count: whole(
        { max: Number.MAX_SAFE_INTEGER },
        { flags: "--count <N>", help: "end after so many messages" },
      ),
      retained: { ...truth, flags: "--retained", help: "print the retained values of the topics first" },
      session: whole(ANY_NUMBER),
      after: whole(ANY_NUMBER),
      wait: whole(ANY_WAIT),
      end: truth,
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

export const NODE_COMMAND_TABLE: CommandTable = Object.fromEntries(
  Object.entries(NODE_COMMANDS).map(([name, { members }]) => [name, members]),
);
