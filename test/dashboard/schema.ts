/** The JSON Schema of `/api/state`: what a page may rely on. Types: src/dashboard/state.ts. */

const text = { type: "string", maxLength: 256 };
const number = { type: "number" };
const count = { type: "number", minimum: 0 };
const whole = { type: "integer", minimum: 0 };
const endpoints = { type: "array", items: text, maxItems: 16 };

const COUNTS = { in: count, out: count, inBytes: count, outBytes: count, dropped: count, refused: count };

const SIDE = {
  type: "object",
  description: "One side of a source. Counters start with the program; unknown values are absent.",
  required: ["side", "rates"],
  additionalProperties: false,
  properties: {
    side: text,
    type: { ...text, description: "Socket type." },
    peers: whole,
    queued: count,
    ...COUNTS,
    rates: {
      type: "object",
      description: "Rates of the counters per second.",
      additionalProperties: false,
      properties: COUNTS,
    },
    drops: {
      type: "object",
      description: "Dropped messages by reason; at most 32 reasons.",
      additionalProperties: count,
      maxProperties: 32,
    },
    refusals: {
      type: "object",
      description: "Refused peers and messages by reason.",
      additionalProperties: count,
    },
    refusing: {
      type: "object",
      description: "Reasons of the last minute, each with the ms since its last refusal.",
      additionalProperties: count,
    },
    bound: { ...endpoints, description: "Bound endpoints." },
    connected: { ...endpoints, description: "Endpoints that are connected or connecting." },
  },
};

const SOURCE = {
  type: "object",
  required: ["id", "name", "kind", "state", "sides", "lists", "actions"],
  additionalProperties: false,
  properties: {
    id: { type: "string" },
    name: text,
    kind: text,
    state: text,
    sides: { type: "array", items: SIDE },
    members: {
      type: "array",
      description: 'Other members of a cluster: NAME, or "NAME, STATE" unless it is alive.',
      items: text,
      maxItems: 32,
    },
    lists: {
      type: "object",
      description: "Lists for /api/list, with their lengths.",
      additionalProperties: whole,
    },
    refusal: { ...text, description: "Why the last accepted action failed." },
    actions: { type: "array", items: { enum: ["pause", "resume", "drain"] } },
  },
};

const PROCESS = {
  type: "object",
  required: ["id", "address", "sources"],
  additionalProperties: false,
  properties: {
    id: { type: "string" },
    address: text,
    up: { type: "boolean", description: "Absent until the first answer." },
    latency: { ...count, description: "ms of the last answer." },
    since: { ...number, description: "Start of the outage, ms since 1970." },
    reason: text,
    cpu: { ...count, description: "Share of one processor." },
    memory: { ...count, description: "Bytes." },
    version: { ...text, description: "Version of shoal." },
    started: { ...count, description: "s since 1970." },
    instance: { ...text, description: "The same at each address of one process." },
    loopDelay: { ...count, description: "s: 99th percentile of the event loop's delay." },
    sources: { type: "array", items: SOURCE },
  },
};

const LINK = {
  type: "object",
  required: ["from", "fromSide", "endpoint"],
  additionalProperties: false,
  properties: {
    from: { type: "string", description: "Id of the connecting source." },
    fromSide: text,
    endpoint: text,
    to: { type: "string", description: "Id of the listening source, if it is watched." },
    toSide: text,
  },
};

export const STATE_SCHEMA = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "State of a dashboard",
  type: "object",
  required: ["version", "time", "interval", "control", "processes", "links", "omitted"],
  additionalProperties: false,
  properties: {
    version: { const: 1 },
    time: { ...number, description: "ms since 1970." },
    interval: { ...count, description: "ms between two states." },
    control: {
      type: "boolean",
      description: "Whether a token is set; without one nothing can be paused or drained.",
    },
    processes: { type: "array", items: PROCESS },
    links: { type: "array", items: LINK, maxItems: 4_096 },
    omitted: { ...whole, description: "Omitted sources; a state has at most 2,000." },
  },
} as const;
