/**
 * The JSON Schema (draft-07, which editors know best) of a node's configuration: the keys are the options of `ClusterNode`, and what
 * `shoal node start` adds. What the library itself checks (addresses, sizes, splits) is left to it. Pure.
 */

import { PROFILES } from "../cluster/profiles.js";
import type { Schema } from "../config/validate.js";

const text = (description: string, more: Schema = {}): Schema => ({
  type: "string",
  minLength: 1,
  description,
  ...more,
});
const list = (description: string): Schema => ({ type: "array", description, items: { type: "string" } });
/** One text, or a list of them. */
const texts = (description: string, pattern?: string): Schema => ({
  type: ["string", "array"],
  description,
  minItems: 1,
  ...(pattern === undefined ? {} : { pattern }),
  items: { type: "string", ...(pattern === undefined ? {} : { pattern }) },
});
const whole = (description: string, minimum: number, maximum: number): Schema => ({
  type: "integer",
  description,
  minimum,
  maximum,
});
const map = (description: string, properties: Schema, more: Schema = {}): Schema => ({
  type: "object",
  description,
  properties,
  additionalProperties: false,
  ...more,
});

/** The largest whole number that an option of a count takes. */
const MAX_COUNT = 2_147_483_647;

const Z85 = "^[0-9A-Za-z.:+=^!/*?&<>()\\[\\]{}@%$#-]{40}$";

/** Keys that a running node takes over when the file changes. Any other needs a restart. */
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

/** Files of certificates. */
const tls = (description: string, more: Schema, required: readonly string[]): Schema =>
  map(
    description,
    {
      cert: text("a file with the certificate, and those that lead to its authority, in PEM"),
      key: text("a file with its private key, in PEM"),
      passphrase: text("of the key, where it is encrypted"),
      ...more,
    },
    { required },
  );
const authorities = text("a file with the authorities whose certificates are accepted, in PEM");

/** The whole schema. */
export function nodeSchema(): Schema {
  const numbers = Object.keys(PROFILES.lan);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Configuration of a node of a cluster: shoal node start --config FILE",
    ...map("A node.", {
      name: text("name, or name@host; unique in its cluster"),
      group: text("name of the cluster; default default"),
      scope: {
        enum: ["host", "link"],
        description: "this host (default), or the local networks, which needs a key",
      },
      interface: text("network interface, by name or address; default: all active ones"),
      port: whole("UDP and TCP port; default 0: a free one", 0, 65_535),
      ports: text("FIRST-LAST: the first free port of these"),
      ipv6: { type: "boolean", description: "addresses of IPv6; default false" },
      announce: text("HOST:PORT for other nodes, if not the node's own"),
      tags: list("tags that others select it by"),
      props: {
        type: "object",
        description: "properties that others can read",
        additionalProperties: { type: ["string", "number", "boolean"] },
      },
      advertise: {
        type: "object",
        description: "endpoints of the node's sockets by name, for resolvers",
        additionalProperties: texts("an endpoint, or a list"),
      },
      seeds: list("HOST:PORT of nodes that may be there"),
      discovery: list("discovery sources, such as dns://NAME:PORT; they turn multicast off by default"),
      multicast: {
        ...map("multicast discovery; default true", {
          group: text("an IPv4 multicast address"),
          port: whole("its port", 1, 65_535),
        }),
        type: ["boolean", "object"],
      },
      key: texts("the cluster's key, 40 characters of Z85; of two, the first seals, both open", Z85),
      keyFile: texts("a file with the key, or two"),
      password: texts("a password instead of a key, or two"),
      passwordFile: texts("a file with the password, or two"),
      profile: {
        ...map("a profile by name, or with changed numbers", {
          base: { enum: Object.keys(PROFILES), description: "the profile that the numbers change" },
          ...Object.fromEntries(numbers.map((name) => [name, { type: "number" }])),
        }),
        type: ["string", "object"],
      },
      split: map("behaviour after a network partition", {
        strategy: {
          ...map("majority (default), oldest, none, a quorum or a referee", {
            quorum: whole("nodes that the side that goes on has", 1, 16_384),
            referee: text("the node that the side that goes on reaches"),
          }),
          type: ["string", "object"],
        },
        autoheal: { type: "boolean", description: "whether a minority rejoins by itself; default true" },
      }),
      messaging: {
        ...map("messages over the node; default true", {
          protocols: {
            type: "array",
            description: "how messages travel, by priority; default ipc, tcp",
            items: { enum: ["ipc", "tcp", "node", "ws", "tls"] },
          },
          highWaterMark: whole("messages that wait for one other node", 1, MAX_COUNT),
          highWaterMarkBytes: whole("bytes of them", 1, Number.MAX_SAFE_INTEGER),
          maxItem: whole("bytes of a message with its topic", 1, 268_435_456),
          idle: whole("ms without messages after which a connection closes", 1, MAX_COUNT),
          maxQueue: whole("messages that wait for a subscription", 1, MAX_COUNT),
          maxQueueBytes: whole("bytes of them", 1, Number.MAX_SAFE_INTEGER),
          maxRetained: whole("retained values", 0, MAX_COUNT),
          maxRetainedBytes: whole("bytes of them", 0, Number.MAX_SAFE_INTEGER),
          maxPending: whole("copies that wait for room, messages without an answer", 1, MAX_COUNT),
          maxPendingBytes: whole("bytes of the copies", 1, Number.MAX_SAFE_INTEGER),
        }),
        type: ["boolean", "object"],
      },
      tls: tls(
        "TLS 1.3 under the node's streams; both ends need a certificate signed by ca",
        {
          ca: authorities,
          dialling: tls("shown in place of it where this node dials", {}, ["cert", "key"]),
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
          port: whole("default 0: one that is free", 0, 65_535),
          ports: text("FIRST-LAST: the first free port of these"),
          certificate: text("CURVE keys shown here in place of the node's, from the secret file"),
          tls: {
            ...tls("a certificate shown here in place of the node's; false: no TLS", { ca: authorities }, [
              "cert",
              "key",
            ]),
            type: ["object", "boolean"],
          },
        }),
      },
      beats: { enum: ["loop", "thread"], description: "thread that answers probes; default loop" },
      registry: { type: "boolean", description: "whether shoal node names lists it; default true" },
      curve: map(
        "the node's own key, and the keys that it admits",
        {
          certificate: text("its keys, from the secret file"),
          allow: texts("a folder of public keys, or a list of them"),
        },
        { required: ["certificate", "allow"] },
      ),
      clients: map("a server for dynamic clients", {
        endpoint: text("tcp://HOST:PORT, or tls://HOST:PORT, of the ROUTER that they connect to"),
        http: text("HOST:PORT of /nodes"),
        users: {
          type: "object",
          description: "who may ask: a password or its hash by name, or an object",
          additionalProperties: {
            ...map("a user", {
              password: text("a password, or its hash"),
              publicKey: text("a CURVE key, in place of a password", { pattern: Z85 }),
              roles: list("names of roles"),
              permissions: list("such as dynamicDiscovery"),
            }),
            type: ["string", "object"],
          },
        },
        usersFile: text("a file with a line NAME:PASSWORD for each user, in place of users"),
        roles: {
          type: "object",
          description: "permissions by role",
          additionalProperties: list("such as dynamicDiscovery"),
        },
        port: whole("port at which this node serves clients", 1, 65_535),
        securePort: whole("the same over TLS", 1, 65_535),
        host: text("address that these ports are bound to; default: the host of endpoint"),
        addresses: {
          enum: ["interfaces", "ec2", "openstack"],
          description: "where this machine's addresses come from; default interfaces",
        },
        xml: { type: "boolean", description: "whether the list is there as XML, too; default false" },
        certificate: text("CURVE keys of endpoint, from the secret file"),
        tls: tls(
          "TLS of endpoint, which is tls:// then, and of http: with ca, callers need a certificate of it",
          { ca: authorities },
          ["cert", "key"],
        ),
        maxClients: whole("connections; default 16,384", 1, 1_000_000),
      }),
      sessions: map(
        "a session server",
        {
          listen: texts(
            "tcp://HOST:PORT of the ROUTER that clients connect to, or node: the port of the node; one or several",
          ),
          store: text(
            "where they are kept: a folder, postgres://USER@HOST/DATABASE, nats://HOST/STREAM, or memory",
          ),
          name: text("servers of one store have one name; default sessions"),
          clusterTopics: list("filters of topics of the cluster that sessions may get; default none"),
          certificate: text("CURVE keys of listen, from the secret file"),
          maxConnections: whole("clients at a time; default 100,000", 1, MAX_COUNT),
          maxSessions: whole("sessions of the store; default 1,000,000", 1, MAX_COUNT),
          maxFilters: whole("filters of all sessions; default 1,000,000", 1, MAX_COUNT),
          maxFilterBytes: whole("bytes of them; default 64 MiB", 1, Number.MAX_SAFE_INTEGER),
          maxInFlightBytes: whole(
            "bytes of messages that clients have not acknowledged; default 256 MiB",
            1,
            Number.MAX_SAFE_INTEGER,
          ),
          maxQueue: whole("messages that a session keeps at most; default 1,000,000", 1, MAX_COUNT),
          maxQueueBytes: whole("bytes of them; default 1 GiB", 1, Number.MAX_SAFE_INTEGER),
          maxExpiry: whole(
            "ms that a session is kept without a connection at most; default 30 days",
            1,
            Number.MAX_SAFE_INTEGER,
          ),
          maxPending: whole("operations that wait for the store; default 10,000", 1, MAX_COUNT),
          maxPendingBytes: whole("bytes of them; default 64 MiB", 1, Number.MAX_SAFE_INTEGER),
          pollInterval: whole("ms between two looks at the store; default 1,000", 1, MAX_COUNT),
          serverTimeout: whole(
            "ms without a sign of life after which a server is lost; default 10,000",
            1,
            MAX_COUNT,
          ),
        },
        { required: ["listen", "store"] },
      ),
      zre: { type: "boolean", description: "joins zyre programs, unencrypted; default false" },
      control: {
        ...texts("control socket; false: none. Default: a socket for its user only"),
        type: ["string", "array", "boolean"],
      },
      controlCurveCertificate: text("CURVE keys of the control socket, from the secret file"),
      controlKeys: text("a folder of public keys that may send commands"),
      metrics: text("HOST:PORT of /metrics, /healthz and /readyz"),
    }),
    required: ["name"],
  };
}
