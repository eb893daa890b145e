/**
 * docs/limits.md is equal to the option table and the context's options, docs/internals/constants.md to the constants of
 * the source. A constant is known by its name and value, not by its file: who moves a file edits no page.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { OPTIONS, type OptionSpec, READABLE, WRITABLE } from "../../src/core/option-table.js";
import { Context } from "../../src/index.js";
import { resolveOptions } from "../../src/sockets/options.js";
import { code, codes, grouped, ROOT, tableUnder } from "./support/markdown.js";

/** "NAME file" of a constant that the protocol gives. */
const WIRE_CONSTANT =
  /^(?!(?:ANSWER_|LAST_|MAX_|SLAB_|BY_|HANG_|FLUSH_)\S*)\S+ engine\/zmtp\/|^MAX_(?:CONTEXT|IDENTITY) engine\/zmtp\/| engine\/frame\.ts$/;

/** Sizes of fields, flags and states in the wire form of links. */
const LINK_WIRE =
  /^(?:FRAME_HEAD|FIN|ANSWER|VERSION|HAS_PASSWORD|ENCRYPTS|HELLO_SIZE|KEY_AT|KEY_SIZE|PROOF_SIZE|PROVED|RECORD_HEAD|TAG|LENGTH|OPEN) /;

/** Bytes that a text option without a bound of its own may have (options.ts). */
const MAX_TEXT = 1_024;

function rangeOf(spec: OptionSpec): string {
  switch (spec.kind) {
    case "boolean":
      return "`true`, `false`";
    case "integer":
      return `${grouped(spec.min as number)} … ${grouped(spec.max as number)}`;
    case "string":
      return `text of at most ${grouped(spec.max ?? MAX_TEXT)} bytes, \`null\``;
    case "key":
      return "40 characters of Z85, 32 bytes, `null`";
    case "bytes":
      return `text or bytes, at most ${grouped(spec.max as number)}, \`null\``;
    case "choice":
      return (spec.choices ?? []).map(code).join(", ");
    case "certificates":
      return "a function, a list of at most 1,000 certificates and keys, `null`";
  }
}

function socketsOf(spec: OptionSpec): string {
  if (spec.on === undefined) return "all";
  if (spec.on === WRITABLE) return "all that send";
  if (spec.on === READABLE) return "all that receive";
  return spec.on.join(", ");
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? sources(path) : [path];
  });
}

interface Constant {
  readonly name: string;
  readonly value: string;
  /** The file, for the message of a test that fails. */
  readonly file: string;
}

/** The constants of folders of src that are numbers. */
function constantsOf(...folders: string[]): Constant[] {
  return folders
    .flatMap((folder) => sources(`src/${folder}`))
    .flatMap((path) => {
      const file = path.slice("src/".length);
      const found = readFileSync(join(ROOT, path), "utf8").matchAll(
        /^(?:export )?const ([A-Z0-9_]+) = ([0-9_.]+);/gm,
      );
      return [...found].map(([, name, value]) => ({
        name: name as string,
        value: grouped(Number((value as string).replaceAll("_", ""))),
        file,
      }));
    });
}

/** The rows under a heading of the page of constants. */
function listed(heading: string): { name: string; value: string }[] {
  return tableUnder("internals/constants.md", heading).map(([, value, name]) => ({
    name: codes(name as string)[0] as string,
    value: value as string,
  }));
}

/** Rows that no constant has, and constants that no row has. */
function differences(heading: string, all: Constant[], wanted: Constant[]): string[] {
  const rows = listed(heading);
  const bounds = (row: { name: string; value: string }, constant: Constant): boolean =>
    row.name === constant.name && row.value.split(/[ ,;](?!\d)/)[0] === constant.value;
  return [
    ...rows
      .filter((row) => !all.some((each) => bounds(row, each)))
      .map(({ name, value }) => `${name} is not ${value}`),
    ...wanted
      .filter((each) => !rows.some((row) => bounds(row, each)))
      .map(({ name, value, file }) => `${name} (${file}) has no row with ${value}`),
  ];
}

describe("docs/limits.md", () => {
  it("lists every socket option with its range, unit, default and sockets", () => {
    const expected = Object.entries<OptionSpec>(OPTIONS).map(([name, spec]) => [
      `\`${name}\``,
      rangeOf(spec),
      spec.unit ?? "",
      code(spec.default),
      socketsOf(spec),
    ]);
    // The document has related options next to each other, the source those of systems apart (core/system-options.ts).
    const byName = (rows: readonly (readonly string[])[]) =>
      [...rows].sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
    expect(byName(tableUnder("limits.md", "Socket options"))).toEqual(byName(expected));
  });

  it("has the right bound for text", () => {
    expect(() => resolveOptions("Push", { socksProxy: "x".repeat(MAX_TEXT) })).not.toThrow();
    expect(() => resolveOptions("Push", { socksProxy: "x".repeat(MAX_TEXT + 1) })).toThrow();
  });

  it("has the bounds of clusters with the values of the source", () => {
    const values = new Map(
      constantsOf("cluster", "control", "core", "cli", "sockets").map(({ name, value, file }) => [
        `${file} ${name}`,
        value,
      ]),
    );
    const rows = tableUnder("limits.md", "Clusters");
    for (const [begins, ...constants] of CLUSTER_BOUNDS) {
      const [, bound] = rows.find(([what]) => what?.startsWith(begins)) ?? [];
      const numbers = bound?.match(/\d+(?:,\d+)*/g)?.slice(0, constants.length);
      expect(numbers, begins).toEqual(constants.map((constant) => values.get(constant) ?? constant));
    }
  });

  it("lists the options of a context with their defaults", () => {
    const context = new Context();
    for (const [name, value] of tableUnder("limits.md", "Context options")) {
      const [option] = codes(name as string) as [keyof Context & string];
      expect(value, option).toBe(value === "the system's" ? value : code(context[option]));
    }
  });
});

/** Rows of the table of clusters by how they begin, and the constants whose values are in the bound, in this order. */
const CLUSTER_BOUNDS: readonly (readonly [row: string, ...constants: string[]])[] = [
  ["Members of a cluster", "cluster/bounds.ts MAX_MEMBERS"],
  ["Clusters of one node", "cluster/bounds.ts MAX_BUSES"],
  ["Tags, props and endpoints", "cluster/bounds.ts MAX_DETAILS"],
  ["Tags of a node", "cluster/bounds.ts MAX_TAGS", "cluster/bounds.ts MAX_TAG"],
  [
    "Props of a node",
    "cluster/bounds.ts MAX_PROPS",
    "cluster/bounds.ts MAX_PROP_KEY",
    "cluster/bounds.ts MAX_PROP_VALUE",
  ],
  ["Endpoints that a node", "cluster/bounds.ts MAX_ENDPOINTS", "cluster/bounds.ts MAX_ENDPOINT"],
  ["Bytes of `name@host`", "cluster/bounds.ts MAX_NAME"],
  [
    "Keys or passwords",
    "cluster/bounds.ts MAX_KEYS",
    "core/password.ts MIN_PASSWORD",
    "core/password.ts MAX_PASSWORD",
  ],
  ["Bytes of a packet", "cluster/bounds.ts MAX_PACKET"],
  [
    "Messages between nodes: waiting for one node",
    "cluster/messaging/bounds.ts LINK_ITEMS",
    "cluster/messaging/bounds.ts LINK_BYTES",
  ],
  ["Bytes of one, with its topic", "cluster/messaging/bounds.ts MAX_ITEM"],
  ["Bytes that a node may send beyond", "cluster/messaging/bounds.ts LINK_WINDOW"],
  ["Batches and large items that a node", "cluster/messaging/bounds.ts LINK_MESSAGES"],
  ["First levels of topics", "cluster/messaging/bounds.ts MAX_DROP_PREFIXES"],
  [
    "Connections of nodes that are not members",
    "cluster/messaging/bounds.ts MAX_HELLOS",
    "cluster/messaging/bounds.ts HELLO_TIMEOUT",
  ],
  [
    "Protocols of messages",
    "cluster/messaging/bounds.ts MAX_PROTOCOLS",
    "cluster/messaging/bounds.ts MAX_ADVERT",
  ],
  ["Streams of a node", "cluster/bounds.ts MAX_LINKS", "cluster/net/links.ts MAX_UNVERIFIED"],
  ["Listeners of a node", "cluster/bounds.ts MAX_LISTENERS"],
  ["Seeds of a cluster", "cluster/bounds.ts MAX_SEEDS"],
  ["Sources of discovery", "cluster/bounds.ts MAX_SOURCES"],
  ["Addresses of a source", "cluster/bounds.ts MAX_SEEDS", "cluster/bounds.ts MAX_SEEDS"],
  [
    "Addresses that beacons",
    "cluster/discovery/beacon-rules.ts MAX_HEARD",
    "cluster/discovery/beacon-rules.ts MAX_HEARD_OF_HOST",
  ],
  ["Addresses of a `ConnectionManager`", "cluster/bounds.ts MAX_KEPT_ADDRESSES"],
  ["Endpoints of a resolver", "sockets/endpoint-source.ts MAX_SOURCE_ENDPOINTS"],
  ["Pairs of members", "cluster/node/measuring.ts MAX_PAIRS"],
  ["`DiscoveryServer`", "cluster/clients/server.ts MAX_CLIENTS"],
  ["Its users", "cluster/clients/users.ts MAX_USERS"],
  [
    "Bytes of a request",
    "cluster/clients/protocol.ts MAX_REQUEST",
    "cluster/clients/callers.ts REQUEST_RATE",
  ],
  ["Updates that wait", "cluster/clients/callers.ts QUEUE_MESSAGES"],
  [
    "Wrong credentials",
    "cluster/clients/caller-limits.ts FAILURES",
    "cluster/clients/caller-limits.ts BLOCKED",
  ],
  [
    "What a node with such a server",
    "cluster/clients/description.ts MAX_DESCRIPTION",
    "cluster/bounds.ts MAX_DETAILS",
    "cluster/clients/description.ts MAX_ADDRESSES",
  ],
  ["Calls of `node.clients()`", "cluster/clients/roster.ts MAX_ASKS", "cluster/clients/roster.ts MAX_ROSTER"],
  [
    "Clients of a node in its answers",
    "cluster/clients/roster.ts ANSWER_RATE",
    "cluster/clients/roster.ts ANSWER_BURST",
  ],
  [
    "Messages and queries that a node sent to itself",
    "cluster/messaging/bounds.ts MAX_OWN_WAITING",
    "cluster/messaging/bounds.ts MAX_OWN_WAITING_BYTES",
  ],
  ["Commands of a control socket", "control/server.ts MAX_BYTES", "control/server.ts MAX_WAITING_COMMANDS"],
  [
    "Bytes of a topic",
    "cluster/messaging/bounds.ts MAX_TOPIC",
    "cluster/messaging/bounds.ts MAX_TOPIC_LEVELS",
  ],
  [
    "Shapes of filters",
    "cluster/messaging/bounds.ts MAX_SHAPES_OF_NODE",
    "cluster/messaging/bounds.ts MAX_SHAPES",
  ],
  ["Numbers of topics", "cluster/messaging/bounds.ts MAX_TOPIC_IDS"],
  [
    "Blocks of 8 KiB of its own filters",
    "cluster/messaging/bounds.ts ROUTE_SERVED_CREDIT",
    "cluster/messaging/bounds.ts ROUTE_SERVED",
  ],
  ["Subscribers of `shoal node sub`", "cli/node-messages.ts MAX_SESSIONS", "cli/node-messages.ts MAX_KEPT"],
  ["Changes that a node keeps", "cli/node-operator.ts MAX_EVENTS"],
];

describe("docs/internals/constants.md", () => {
  it("lists the constants of engines, sockets and proxies with their values", () => {
    const all = constantsOf(
      "config",
      "core",
      "engine",
      "sockets",
      "metrics",
      "opentelemetry",
      "control",
      "proxy",
    );
    const wanted = all
      // What the wire has is no bound of ours: sizes and offsets of fields, flags, counters.
      .filter(({ name, file }) => !WIRE_CONSTANT.test(`${name} ${file}`))
      // The limit of a 32-bit number stands in the ranges of the options.
      .filter(({ name }) => name !== "INT32" && name !== "MAX");
    expect(differences("Engines, sockets and proxies", all, wanted)).toEqual([]);
  });

  it("lists the constants of clusters with their values", () => {
    const all = constantsOf("cluster");
    const wanted = constantsOf("cluster/net", "cluster/node", "cluster/discovery", "cluster/clients").filter(
      ({ name }) => name !== "MAX_DELAY",
    );
    const bounds = all.filter(
      ({ name, file }) => file === "cluster/bounds.ts" && /^MAX_(?!ZRE|HELLO)/.test(name),
    );
    expect(differences("Clusters", all, [...wanted, ...bounds])).toEqual([]);
  });

  it("lists the constants of links with their values", () => {
    const all = constantsOf("link");
    // What the wire form fixes is in docs/spec/link.md.
    const wanted = all.filter(({ name, file }) => !LINK_WIRE.test(`${name} ${file}`));
    expect(differences("Links", all, wanted)).toEqual([]);
  });

  it("lists the constants of sessions with their values", () => {
    const all = constantsOf("cluster/sessions");
    const wanted = all.filter(({ file }) => file === "cluster/sessions/bounds.ts");
    expect(differences("Sessions", all, wanted)).toEqual([]);
  });

  it("lists the constants of the dashboard with their values", () => {
    const all = constantsOf("dashboard");
    // Pixels and letters of the page are its looks.
    const wanted = all.filter(({ name }) => !/_(?:WIDTH|HEIGHT|GAP|BOX_TEXT)$|^MARGIN$/.test(name));
    expect(differences("Dashboard", all, wanted)).toEqual([]);
  });

  it("lists the constants of the patterns with their values", () => {
    const all = constantsOf("core", "patterns");
    const wanted = constantsOf("patterns").filter(
      ({ name }) => /^(?:MAX|MIN|BATCH|TIMEOUT|CLOSE|DRAIN)/.test(name) && name !== "MAX",
    );
    expect(differences("Patterns", all, wanted)).toEqual([]);
  });
});
