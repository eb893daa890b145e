/**
 * One row per key of a node's configuration. The JSON Schema (draft-07, best supported by editors), the flags, their
 * help, completion and the tables of the documentation come from these rows.
 */
import { Option } from "commander";
import { MAX_MEMBERS } from "../cluster/bounds.js";
import { OPTIONS as CLIENTS } from "../cluster/clients/server.js";
import { OPTIONS as MESSAGING, type MessagingOptions } from "../cluster/messaging/options.js";
import { LISTENER_OPTIONS, NODE_OPTIONS } from "../cluster/node/options.js";
import { NUMBERS, PROFILES } from "../cluster/profiles.js";
import type { Schema } from "../config/validate.js";
import { quoted } from "../core/arguments.js";
import { type IntegerRange, integer } from "../kit/options.js";
import { OPTIONS as SESSIONS } from "../sessions/server-options.js";
import { UsageError } from "./failure.js";
import { numberFlag, repeatable } from "./options.js";

const text = (description: string, more: Schema = {}): Schema => ({
  type: "string",
  minLength: 1,
  description,
  ...more,
});
const flagged = (flag: string, row: Schema): Schema => ({ flag, ...row });
const file = (flag: string, description: string): Schema => flagged(`${flag} <FILE>`, text(description));
const list = (description: string): Schema => ({ type: "array", description, items: { type: "string" } });
const texts = (description: string, pattern?: string): Schema => ({
  type: ["string", "array"],
  description,
  minItems: 1,
  ...(pattern === undefined ? {} : { pattern }),
  items: { type: "string", ...(pattern === undefined ? {} : { pattern }) },
});
const whole = (description: string, range: IntegerRange): Schema => {
  const { default: standard, min: minimum, max: maximum } = integer(range);
  const shown = standard === undefined ? "" : `; default ${standard}`;
  return { type: "integer", description: `${description}${shown}`, minimum, maximum };
};
/** Keys for options of the library, with the ranges and defaults of their rows. */
const wholes = <K extends string>(
  rows: Readonly<Record<NoInfer<K>, IntegerRange>>,
  descriptions: Readonly<Record<K, string>>,
): Readonly<Record<K, Schema>> => {
  const keys = Object.keys(descriptions) as K[];
  const schemas = keys.map((key) => [key, whole(descriptions[key], rows[key])]);
  return Object.fromEntries(schemas) as Record<K, Schema>;
};
const map = (description: string, properties: Schema, more: Schema = {}): Schema => ({
  type: "object",
  description,
  properties,
  additionalProperties: false,
  ...more,
});

const PORT = { max: 65_535 };
const Z85 = "^[0-9A-Za-z.:+=^!/*?&<>()\\[\\]{}@%$#-]{40}$";

/** A running node takes these keys over from a changed file. Others need a restart. */
export const LIVE_KEYS = [
  "tags",
  "props",
  "seeds",
  "discovery",
  "key",
  "keyFile",
  "password",
  "passwordFile",
  "tls",
] as const;

/** @param prefix of their flags; `undefined`: no flags */
const tls = (
  description: string,
  prefix: string | undefined,
  more: Schema,
  required: readonly string[],
): Schema => {
  const named = (name: string, what: string): Schema =>
    prefix === undefined ? text(what) : file(`--${prefix}tls-${name}`, what);
  return map(
    description,
    {
      cert: named("cert", "certificate, and those that lead to its authority, in PEM"),
      key: named("key", "its private key, in PEM"),
      passphrase: text("of the key, if it is encrypted"),
      ...(more.ca === undefined ? {} : { ca: named("ca", more.ca as string) }),
      ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "ca")),
    },
    { required },
  );
};
const AUTHORITIES = "authorities whose certificates are accepted, in PEM";

export function nodeSchema(): Schema {
  const numbers = Object.entries(NUMBERS).map(([name, [, minimum, maximum]]) => {
    return [name, { type: "number", minimum, maximum }];
  });
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Configuration of a node of a cluster: shoal node start --config FILE",
    ...map("A node.", {
      name: flagged("--name <N>", text("name, or name@host; unique in its cluster")),
      cluster: flagged("--cluster <C>", text("name of the cluster; default default")),
      scope: {
        flag: "--scope <SCOPE>",
        enum: ["host", "link"],
        description: "this host (default), or the local networks, which needs a key or a password",
      },
      interface: flagged(
        "--interface <IF>",
        text("network interface, by name or address; default: all active ones"),
      ),
      port: whole("UDP and TCP port, 0: a free one", NODE_OPTIONS.port),
      ports: flagged("--ports <FIRST-LAST>", text("the first free port of these")),
      ipv6: flagged("--ipv6", { type: "boolean", description: "IPv6 addresses, too; default false" }),
      announce: text("HOST:PORT for other nodes, if not the node's own"),
      tags: flagged("--tag <T>", list("tags that others select it by")),
      props: {
        flag: "--prop <K=V>",
        type: "object",
        description: "properties that others can read",
        additionalProperties: { type: ["string", "number", "boolean"] },
      },
      advertise: {
        flag: "--advertise <NAME=EP>",
        type: "object",
        description:
          "endpoints by name, which others reach by --connect cluster:NAME; tcp://*:PORT has the node's address",
        additionalProperties: texts("an endpoint, or a list"),
      },
      seeds: list("HOST:PORT of nodes to dial"),
      discovery: flagged(
        "--discovery <TEXT>",
        list(
          "where to find nodes, in place of multicast: static:HOST:PORT,…, dns://NAME:PORT, etcd://HOST:PORT/PREFIX …",
        ),
      ),
      multicast: {
        ...map("multicast discovery; default true", {
          group: text("an IPv4 multicast address"),
          port: whole("its port", PORT),
          ttl: whole("networks that it passes, 1: the local one", { default: 1, max: 255 }),
        }),
        type: ["boolean", "object"],
      },
      key: texts("the cluster's key, 40 characters of Z85; of two, the first seals, both open", Z85),
      keyFile: flagged(
        "--key <FILE>",
        texts(
          "file with the key, 40 Z85 characters, readable by its owner only; the first of two seals, both open",
        ),
      ),
      password: texts("a password instead of a key, or two"),
      passwordFile: flagged(
        "--password-file <FILE>",
        texts(
          "file with the password, 8 to 1,024 bytes, readable by its owner only; the first of two seals, both open",
        ),
      ),
      profile: {
        ...map("a profile by name, or with changed numbers", {
          base: { enum: Object.keys(PROFILES), description: "the profile that the numbers change" },
          ...Object.fromEntries(numbers),
        }),
        type: ["string", "object"],
      },
      split: map("behaviour after a network partition", {
        strategy: {
          ...map("majority (default), none, or a quorum", {
            quorum: whole("nodes that the continuing side must have", { max: MAX_MEMBERS }),
          }),
          type: ["string", "object"],
        },
        autoheal: { type: "boolean", description: "whether a minority rejoins by itself; default true" },
      }),
      messaging: {
        ...map("messages over the node; default true", {
          protocols: {
            type: "array",
            description: "protocols of the streams between nodes, by priority; default: the port of the node",
            items: { enum: ["tcp", "tls", "ipc", "ws"] },
          },
          channels: {
            type: "array",
            description: "channels of send and query, by number or name; default 0, 1, 2",
            items: { type: ["integer", "string"] },
          },
          ...wholes(MESSAGING, {
            highWaterMark: "messages that wait for one other node",
            highWaterMarkBytes: "bytes of them",
            maxItem: "bytes of a message with its topic",
            idle: "ms without messages after which a connection closes",
            heartbeat: "ms without an acknowledgement after which a connection is checked",
            maxQueue: "messages that wait for a subscription",
            maxQueueBytes: "bytes of them",
            maxRetained: "retained values",
            maxRetainedBytes: "bytes of them",
            settle: "ms for which a new node gets all messages until its subscriptions are known",
            maxPending: "messages of calls that wait, beyond the mark of a node",
            maxPendingBytes: "bytes of them",
          }),
        } satisfies Record<keyof MessagingOptions, Schema>),
        type: ["boolean", "object"],
      },
      tls: tls(
        "TLS 1.3 beneath the node's streams: both ends show a certificate that ca signed",
        "",
        {
          ca: AUTHORITIES,
          dialling: tls("shown in place of it where this node dials", undefined, {}, ["cert", "key"]),
          checkAddress: {
            type: "boolean",
            description: "whether a node that is dialled needs a certificate with its address; default false",
          },
        },
        ["cert", "key", "ca"],
      ),
      listen: {
        type: "array",
        description: "more listeners for streams",
        items: map("a listener", {
          host: text("IP address to bind; default: that of the node's own listener"),
          port: whole("its port, 0: a free one", LISTENER_OPTIONS.port),
          ports: text("FIRST-LAST: the first free port of these"),
          tls: {
            ...tls(
              "a certificate shown here in place of the node's; false: no TLS",
              undefined,
              { ca: AUTHORITIES },
              ["cert", "key"],
            ),
            type: ["object", "boolean"],
          },
        }),
      },
      registry: { type: "boolean", description: "whether shoal node names lists it; default true" },
      curve: map(
        "the node's own key, and the keys that it admits",
        {
          certificate: file("--curve-certificate", "its keys, from the secret file"),
          allow: flagged(
            "--curve-allow <FOLDER>",
            texts("a folder of public keys, whose changes are followed, or a list of them"),
          ),
        },
        { required: ["certificate", "allow"] },
      ),
      clients: map("programs that are not nodes learn the members here", {
        endpoint: flagged(
          "--clients <EP>",
          text(
            "endpoint where programs that are not nodes learn the members: tcp://HOST:PORT or tls://HOST:PORT",
          ),
        ),
        http: flagged("--clients-http <HOST:PORT>", text("the same over HTTP: /nodes, as JSON")),
        users: {
          type: "object",
          description: "who may ask: a password or its hash by name, or an object",
          additionalProperties: {
            ...map("a user", {
              password: text("a password, or its hash"),
              publicKey: text("a CURVE key, in place of a password", { pattern: Z85 }),
              permissions: list("such as dynamicDiscovery"),
            }),
            type: ["string", "object"],
          },
        },
        usersFile: file(
          "--clients-users",
          "file with a line NAME:PASSWORD per client, readable by its owner only",
        ),
        port: flagged("--clients-port <PORT>", whole("port at which this node serves clients", PORT)),
        securePort: whole("the same over TLS", PORT),
        host: text("address that these ports are bound to; default: the host of endpoint"),
        addresses: {
          enum: ["interfaces", "ec2"],
          description: "where this machine's addresses come from; default interfaces",
        },
        xml: { type: "boolean", description: "whether the list is there as XML, too; default false" },
        certificate: text("CURVE keys of endpoint, from the secret file"),
        tls: tls(
          "TLS of endpoint, which is tls:// then, and of http: with ca, callers need a certificate of it",
          "clients-",
          { ca: AUTHORITIES },
          ["cert", "key"],
        ),
        maxClients: whole("connections", CLIENTS.maxClients),
      }),
      sessions: map(
        "a session server",
        {
          listen: flagged("--sessions <EP>", texts("endpoint for clients with sessions: tcp://HOST:PORT")),
          store: flagged(
            "--sessions-store <STORE>",
            text("store of the sessions: a folder, postgres://USER@HOST/DATABASE, or memory"),
          ),
          name: text("servers of one store have one name; default sessions"),
          certificate: text("CURVE keys of listen, from the secret file"),
          ...wholes(SESSIONS, {
            maxConnections: "clients at a time",
            maxSessions: "sessions of the store",
            maxFilters: "filters of all sessions",
            maxFilterBytes: "bytes of them",
            maxInFlightBytes: "bytes of messages that clients have not acknowledged",
            maxQueue: "messages that a session keeps at most",
            maxQueueBytes: "bytes of them",
            maxExpiry: "ms that a session is kept without a connection at most",
            maxPending: "operations that wait for the store",
            maxPendingBytes: "bytes of them",
            pollInterval: "ms between polls of the store",
            serverTimeout: "ms without a sign of life after which a server is lost",
          }),
        },
        { required: ["listen", "store"] },
      ),
      control: {
        flag: "--control <EP>",
        ...texts("control endpoint; false: none. Default: a socket for its user only"),
        type: ["string", "array", "boolean"],
      },
      controlCurveCertificate: file(
        "--control-curve-certificate",
        "CURVE keys of the control socket, from the secret file; users with the same file may connect",
      ),
      controlKeys: flagged(
        "--control-keys <FOLDER>",
        text("folder of public keys that may send commands, too; changes are followed"),
      ),
      metrics: flagged("--metrics <HOST:PORT>", text("answer /metrics, /healthz and /readyz over HTTP")),
    }),
    required: ["name"],
  };
}

export interface NodeFlag {
  /** `["tls", "cert"]`. */
  readonly path: readonly string[];
  readonly row: Schema;
  readonly option: Option;
}

export function nodeFlags(
  rows = nodeSchema().properties,
  above: readonly string[] = [],
): readonly NodeFlag[] {
  return Object.entries(rows as Readonly<Record<string, Schema>>).flatMap(([key, row]) => {
    const path = [...above, key];
    if (row.flag !== undefined) return [{ path, row, option: optionOf(row) }];
    return row.type === "object" && row.properties !== undefined ? nodeFlags(row.properties, path) : [];
  });
}

function optionOf({ flag, type, description, enum: words, minimum, maximum }: Schema): Option {
  const [flags, help] = [flag as string, description as string];
  const isList = type === "object" || type === "array" || Array.isArray(type);
  if (isList && !flags.endsWith("<FOLDER>")) return repeatable(flags, `${help} (repeatable)`);
  if (type === "integer") return numberFlag(flags, help, { min: Number(minimum), max: Number(maximum) });
  const option = new Option(flags, help);
  if (words !== undefined) option.choices(words as string[]);
  return option;
}

export function valuesOfFlags(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const { path, row, option } of nodeFlags()) {
    const value = given[option.attributeName()];
    if (value === undefined) continue;
    let holder = values;
    for (const key of path.slice(0, -1)) {
      holder[key] ??= {};
      holder = holder[key] as Record<string, unknown>;
    }
    holder[path.at(-1) as string] = row.type === "object" ? pairsOf(option, row, value as string[]) : value;
  }
  return values;
}

/** `--prop load=3`: a text by key; `--advertise NAME=EP`: a list. */
function pairsOf(option: Option, row: Schema, pairs: readonly string[]): object {
  const isList = [(row.additionalProperties as Schema).type].flat().includes("array");
  const values = new Map<string, string[]>();
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at < 1)
      throw new UsageError(`${option.flags.replace(/ <(.*)>/, " expects $1")}; got ${quoted(pair)}`);
    const key = pair.slice(0, at);
    const before = values.get(key) ?? [];
    if (before.length > 0 && !isList) throw new UsageError(`${option.long} ${key} is given twice`);
    values.set(key, [...before, pair.slice(at + 1)]);
  }
  return Object.fromEntries([...values].map(([key, list]) => [key, isList ? list : list[0]]));
}
