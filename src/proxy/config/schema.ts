/**
 * The JSON Schema of a configuration (draft-07, best supported by editors), built from the library's tables, so that
 * editors and `shoal proxy check` find the same faults. Pure.
 *
 * Variables are accepted wherever a text is; values are checked after substitution.
 */
import type { Schema } from "../../config/validate.js";
import { hasOption, OPTIONS, type OptionName, type OptionSpec } from "../../core/option-table.js";
import { DRAIN, NAME_PATTERN, type PlanType, typeNameOf, UNFIT } from "../options.js";
import { KINDS, type ProxySocketType, SIDE_TYPES, WITH_SENDERS, WITH_TOPICS } from "../pairs.js";

/** A `socket`'s sides name their types. */
export const CONFIGURED_KINDS = { ...KINDS, socket: undefined } as const;

export type ConfiguredKind = keyof typeof CONFIGURED_KINDS;

const CAPTURES = ["pub", "push"] as const;
const CONTROLS = ["rep", "pair", "sub"] as const;
/** Expressed by the key plainUsers. */
const REPLACED = ["plainServer"];
const VARIABLE = "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}";
const Z85 = "[0-9A-Za-z.:+=^!/*?&<>()\\[\\]{}@%$#-]{40}";

const text = (description: string, more: Schema = {}): Schema => ({ type: "string", description, ...more });
const whole = (description: string, minimum: number, maximum: number, more: Schema = {}): Schema => ({
  type: "integer",
  description,
  minimum,
  maximum,
  ...more,
});
const texts = (description: string): Schema => ({
  type: ["string", "array"],
  description,
  items: { type: "string" },
  minItems: 1,
});
const list = (description: string): Schema => ({ type: "array", description, items: { type: "string" } });
const map = (description: string, properties: Schema, more: Schema = {}): Schema => ({
  type: "object",
  description,
  properties,
  additionalProperties: false,
  ...more,
});

export function configurationSchema(): Schema {
  const definitions: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries<OptionSpec>(OPTIONS))
    if (isOption(name)) definitions[`option-${name}`] = optionSchema(spec);
  const types = Object.keys(SIDE_TYPES) as ProxySocketType[];
  for (const type of types) {
    definitions[`policy-${type}`] = policySchema(type);
    definitions[`side-${type}`] = socketSchema(type, true);
  }
  for (const type of [...CAPTURES, ...CONTROLS]) definitions[`socket-${type}`] = socketSchema(type, false);
  definitions.side = byType(types, undefined, "side");
  definitions.capture = byType(CAPTURES, undefined, "socket");
  definitions.control = byType(CONTROLS, "rep", "socket");
  for (const kind of Object.keys(CONFIGURED_KINDS) as ConfiguredKind[]) definitions[kind] = proxySchema(kind);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Configuration of shoal proxy",
    ...map(
      "Proxies that one process runs.",
      {
        drain: whole(
          `Seconds that draining a proxy may take, when it ends or has to be started again. Default: ${DRAIN.default}.`,
          DRAIN.min,
          DRAIN.max,
        ),
        proxies: {
          type: "object",
          description: "The proxies, each under its name.",
          minProperties: 1,
          propertyNames: { pattern: NAME_PATTERN },
          additionalProperties: { $ref: "#/definitions/proxy" },
        },
      },
      { required: ["proxies"] },
    ),
    definitions: {
      proxy: {
        type: "object",
        required: ["frontend", "backend", "kind"],
        properties: {
          kind: {
            enum: Object.keys(CONFIGURED_KINDS),
            description:
              "queue: requests and replies; forwarder: publications; streamer: work; socket: any legal pair.",
          },
        },
        allOf: Object.keys(CONFIGURED_KINDS).map((kind) => when("kind", kind, kind)),
      },
      ...definitions,
    },
  };
}

function when(property: string, value: string, definition: string, orAbsent = false): Schema {
  return {
    if: { properties: { [property]: { const: value } }, ...(orAbsent ? {} : { required: [property] }) },
    // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
    then: { $ref: `#/definitions/${definition}` },
  };
}

function proxySchema(kind: ConfiguredKind): Schema {
  const [frontend, backend] = CONFIGURED_KINDS[kind]?.map((type) => `side-${type}`) ?? ["side", "side"];
  const ref = (name: string | undefined): Schema => ({ $ref: `#/definitions/${name}` });
  return map(`A proxy of kind ${kind}.`, {
    kind: {},
    frontend: ref(frontend),
    backend: ref(backend),
    capture: ref("capture"),
    control: ref("control"),
  });
}

function byType(types: readonly PlanType[], usual: PlanType | undefined, of: "side" | "socket"): Schema {
  return {
    type: "object",
    ...(usual === undefined ? { required: ["type"] } : {}),
    properties: {
      type: {
        enum: types,
        description: `The socket's type.${usual === undefined ? "" : ` Default: ${usual}.`}`,
      },
    },
    allOf: types.map((type) => when("type", type, `${of}-${type}`, type === usual)),
  };
}

function isOption(name: string): name is OptionName {
  return !(name in UNFIT) && !REPLACED.includes(name);
}

/** @param side whether it may have a policy */
function socketSchema(type: PlanType, side: boolean): Schema {
  const options: Record<string, Schema> = {};
  for (const name of Object.keys(OPTIONS)) {
    if (!isOption(name) || !hasOption(typeNameOf(type), name)) continue;
    if (name === "conflate" && type === "dealer") continue; // Requests have more than one frame.
    options[name] = { $ref: `#/definitions/option-${name}` };
  }
  return map(
    `A socket of type ${type}.`,
    {
      type: { enum: [type], description: "The socket's type." },
      bind: texts("Endpoints to listen at: tcp://HOST:PORT, ipc://PATH, inproc://NAME."),
      connect: texts("Endpoints to connect to."),
      ...(side && type === "sub"
        ? { subscribe: texts("Topic prefixes to ask for. Default: everything.") }
        : {}),
      curveCertificate: text(
        "CURVE keys: a secret certificate file, from the folder of this file. Without curveServerKey: the server.",
        { minLength: 1 },
      ),
      tls: tlsSchema(),
      plainUsers: {
        type: "object",
        description: "PLAIN security, as the server: the password of each user.",
        minProperties: 1,
        additionalProperties: { type: "string", minLength: 1 },
      },
      ...(side ? { policy: { $ref: `#/definitions/policy-${type}` } } : {}),
      ...options,
    },
    { anyOf: [{ required: ["bind"] }, { required: ["connect"] }] },
  );
}

function tlsSchema(): Schema {
  const file = (what: string): Schema => text(`${what}: a file in PEM.`, { minLength: 1 });
  return map(
    "TLS of tls:// and wss:// endpoints: files from the folder of this file, which SIGHUP reads again.",
    {
      cert: file("The certificate"),
      key: file("Its private key"),
      ca: file(
        "Authorities. Where this side binds, peers need a certificate of theirs; where it connects, they are trusted in place of the system's",
      ),
    },
    { dependencies: { cert: ["key"], key: ["cert"] } },
  );
}

function policySchema(type: ProxySocketType): Schema {
  const both = (what: string): Schema =>
    map(`Which ${what} may pass; deny wins.`, {
      allow: list(`The ${what} that may. Default, and when empty: all.`),
      deny: list(`The ${what} that may not.`),
    });
  const most = Number.MAX_SAFE_INTEGER;
  const rates = (of: string): Schema =>
    map(`What may come ${of} in a second.`, {
      messages: whole("Messages.", 1, most),
      bytes: whole("Bytes.", 1, most),
    });
  const sends = WITH_SENDERS.includes(type);
  return map("Who and what may pass here; replaced without dropping the connections that it allows.", {
    addresses: both("addresses, CIDR blocks or single ones,"),
    keys: text(
      "A folder of the public keys that may come in, from the folder of this file; CURVE servers only.",
      {
        minLength: 1,
      },
    ),
    ...(WITH_TOPICS.includes(type) ? { topics: both("topic prefixes, of which the longest counts,") } : {}),
    limits: map("How much may come.", {
      messageSize: whole("Bytes of one message.", 1, most),
      ...(sends ? { peer: rates("from each peer") } : {}),
      ...(sends || type === "xpub" ? { all: rates("from all peers together") } : {}),
    }),
  });
}

function optionSchema(spec: OptionSpec): Schema {
  const unit = spec.unit === undefined ? "" : `In ${spec.unit}. `;
  const description = spec.default === null ? "Default: none." : `${unit}Default: ${String(spec.default)}.`;
  switch (spec.kind) {
    case "boolean":
      return { type: "boolean", description };
    case "integer":
      return whole(description, Number(spec.min), Number(spec.max));
    case "string":
    case "bytes":
      return text(description);
    case "key":
      return text(`40 characters of Z85. ${description}`, { pattern: `^(?:${Z85}|.*${VARIABLE}.*)$` });
    case "choice":
      return { enum: spec.choices?.filter((choice) => choice !== null), description };
  }
}
