/** JSON Schemas of `/api/state` and `/api/traces`: what a page may rely on. Types: src/dashboard/state.ts. */

const text = { type: "string", maxLength: 256 };
const number = { type: "number" };
const count = { type: "number", minimum: 0 };
const whole = { type: "integer", minimum: 0 };
const endpoints = { type: "array", items: text, maxItems: 16 };

const COUNTS = { in: count, out: count, inBytes: count, outBytes: count, dropped: count, refused: count };

const SIDE = {
  type: "object",
  description:
    "One side of a source. Counters are since the start of its program; what is not known is absent.",
  required: ["side", "rates"],
  additionalProperties: false,
  properties: {
    side: text,
    type: { ...text, description: "The type of its socket." },
    peers: whole,
    queued: count,
    ...COUNTS,
    rates: {
      type: "object",
      description: "The counters, per second.",
      additionalProperties: false,
      properties: COUNTS,
    },
    drops: {
      type: "object",
      description: "Messages that it dropped, by reason; 32 reasons at most.",
      additionalProperties: count,
      maxProperties: 32,
    },
    bound: { ...endpoints, description: "Endpoints that it listens at." },
    connected: { ...endpoints, description: "Endpoints that it is connected to, or tries to." },
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
    lists: {
      type: "object",
      description: "Lists that /api/list has of it, and their lengths.",
      additionalProperties: whole,
    },
    refusal: { ...text, description: "Why what it was asked to do last failed, after that was accepted." },
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
    up: { type: "boolean", description: "Absent: it has not answered yet." },
    latency: { ...count, description: "ms of its last answer." },
    since: { ...number, description: "ms since 1970, from which on it does not answer." },
    reason: text,
    cpu: { ...count, description: "Share of one processor." },
    memory: { ...count, description: "Bytes." },
    loopDelay: { ...count, description: "s: the 99th percentile of the event loop's delay." },
    sources: { type: "array", items: SOURCE },
  },
};

const LINK = {
  type: "object",
  required: ["from", "fromSide", "endpoint"],
  additionalProperties: false,
  properties: {
    from: { type: "string", description: "The id of the source that connects." },
    fromSide: text,
    endpoint: text,
    to: { type: "string", description: "The id of the source that listens there, if it is watched." },
    toSide: text,
  },
};

export const STATE_SCHEMA = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "The state of a dashboard",
  type: "object",
  required: ["version", "time", "interval", "control", "processes", "links", "omitted"],
  additionalProperties: false,
  properties: {
    version: { const: 1 },
    time: { ...number, description: "ms since 1970." },
    interval: { ...count, description: "ms between two states." },
    control: { type: "boolean", description: "Whether there is a token, with which sources can be steered." },
    processes: { type: "array", items: PROCESS },
    links: { type: "array", items: LINK, maxItems: 4_096 },
    omitted: { ...whole, description: "Sources that were left out; a state has 2,000 at most." },
  },
} as const;

const digits = (count: number) => ({ type: "string", pattern: `^[0-9a-f]{${count}}$` });

const STEP = {
  type: "object",
  required: ["process", "address", "span", "kind", "name", "at", "bytes"],
  additionalProperties: false,
  properties: {
    process: { type: "string", description: "The id of the process that recorded it." },
    address: text,
    span: digits(16),
    parent: {
      ...digits(16),
      description: "The span of the step that caused it; it may be one that was not recorded.",
    },
    kind: { enum: ["send", "request", "receive", "process", "acknowledge"] },
    name: text,
    at: { ...number, description: "ms since 1970, by the clock of its machine." },
    duration: { ...count, description: "ms; absent: of one moment, or its end was not waited for." },
    bytes: { ...count, description: "Of the message; 0: not known." },
    error: { ...text, description: "The code of the error that it failed with." },
  },
};

const TRACE = {
  type: "object",
  required: ["id", "name", "start", "duration", "processes", "failed", "steps", "omitted"],
  additionalProperties: false,
  properties: {
    id: digits(32),
    name: text,
    start: { ...number, description: "ms since 1970." },
    duration: { ...count, description: "ms from the first step's begin to the last one's end." },
    processes: whole,
    failed: { type: "boolean" },
    steps: { type: "array", items: STEP, maxItems: 64, description: "Each after the one that caused it." },
    omitted: { ...whole, description: "Steps that were left out." },
  },
};

export const TRACES_SCHEMA = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "The ways of sampled messages",
  type: "object",
  required: ["version", "traces", "omitted", "missed"],
  additionalProperties: false,
  properties: {
    version: { const: 1 },
    traces: { type: "array", items: TRACE, maxItems: 50, description: "The newest first." },
    omitted: { ...whole, description: "Traces that were left out." },
    missed: { ...whole, description: "Steps that the processes have not recorded: 1,000 a second each are." },
  },
} as const;
