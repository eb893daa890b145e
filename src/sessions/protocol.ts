/**
 * Messages between clients and servers (docs/spec/sessions.md), and the reasons with which servers refuse: tables give
 * types, encoding and decoding. The first frame has code and numbers, big-endian; other fields are frames. Times are ms
 * since 1970.
 */
import { isUtf8 } from "node:buffer";
import { filterFault, topicFault } from "../cluster/messaging/topics.js";
import { type ErrorDetails, ProtocolError, ShoalError } from "../core/errors.js";
import { MAX_CONTEXT_BYTES } from "../core/message-operations.js";
import {
  isSessionId,
  MAX_MESSAGE_ID,
  MAX_SESSION_FILTERS,
  MAX_SETTLED,
  MAX_TOKEN,
  type SessionDropPolicy,
} from "./records.js";

/** {@link SessionError.reason}, also on the wire. */
export const SESSION_FAILURES = {
  taken: "Another connection has the session now.",
  refused: "The server does not give this session to this client.",
  full: 'The store, or a session with the policy "refuse" that should get the message, is full.',
  "too-large": "The message, or the list of filters, is larger than the server allows.",
  invalid: "The server received a malformed message.",
  unavailable: "The store of the sessions fails or cannot be reached.",
  stopping: "The server stops.",
  gone: "The session was removed.",
} as const;

export type SessionFailure = keyof typeof SESSION_FAILURES;

/** A session refused a call, or ended; `reason` says why. Code `ERR_SESSION`. */
export class SessionError extends ShoalError {
  readonly reason: SessionFailure;

  constructor(reason: SessionFailure, text = "", details: ErrorDetails = {}) {
    super("ERR_SESSION", text === "" ? SESSION_FAILURES[reason] : text, details);
    this.reason = reason;
  }
}

/** Field types. Lists (`u48s`, `texts`) and the optional trace `context` come last. */
interface FieldTypes {
  readonly flag: boolean;
  readonly u32: number;
  readonly u48: number;
  /** -1: no limit. */
  readonly limit: number;
  readonly u48s: readonly number[];
  readonly text: string;
  readonly policy: SessionDropPolicy;
  readonly reason: SessionFailure;
  readonly bytes: Buffer;
  readonly texts: readonly string[];
  readonly context: Buffer | undefined;
}

/** Bytes of numbers in the first frame. */
const NUMBERS: Readonly<Partial<Record<keyof FieldTypes, number>>> = {
  flag: 1,
  u32: 4,
  u48: 6,
  limit: 6,
  u48s: 6,
};

const CLIENT_MESSAGES = {
  open: {
    code: 0x01,
    fields: {
      version: "u32",
      attempt: "u48",
      expiry: "limit",
      maxQueue: "u48",
      maxQueueBytes: "u48",
      maxAge: "limit",
      window: "u48",
      windowBytes: "u48",
      clean: "flag",
      again: "flag",
      id: "text",
      instance: "text",
      token: "text",
      drop: "policy",
    },
  },
  subscribe: { code: 0x02, fields: { request: "u32", filters: "texts" } },
  unsubscribe: { code: 0x03, fields: { request: "u32", filters: "texts" } },
  publish: {
    code: 0x04,
    fields: { number: "u48", id: "text", topic: "text", data: "bytes", context: "context" },
  },
  settle: { code: 0x05, fields: { low: "u48", numbers: "u48s" } },
  reported: { code: 0x06, fields: { drops: "u48" } },
  close: { code: 0x07, fields: { end: "flag" } },
} as const;

const SERVER_MESSAGES = {
  opened: {
    code: 0x81,
    fields: {
      isPresent: "flag",
      isContinued: "flag",
      published: "u48",
      count: "u48",
      maxMessage: "limit",
      life: "text",
    },
  },
  done: { code: 0x82, fields: { request: "u32" } },
  published: { code: 0x83, fields: { number: "u48", isDuplicate: "flag", sessions: "u32" } },
  refused: { code: 0x84, fields: { isPublication: "flag", number: "u48", reason: "reason", text: "text" } },
  message: {
    code: 0x85,
    fields: {
      number: "u48",
      redelivered: "flag",
      time: "u48",
      topic: "text",
      publisher: "text",
      id: "text",
      data: "bytes",
      context: "context",
    },
  },
  dropped: { code: 0x86, fields: { drops: "u48", unreported: "u48", old: "u48" } },
  ended: { code: 0x87, fields: { reason: "reason", text: "text" } },
} as const;

type Fields<F extends Readonly<Record<string, keyof FieldTypes>>> = {
  readonly [K in keyof F as F[K] extends "context" ? never : K]: FieldTypes[F[K]];
} & { readonly [K in keyof F as F[K] extends "context" ? K : never]?: Buffer | undefined };

type Messages<
  T extends Readonly<Record<string, { readonly fields: Readonly<Record<string, keyof FieldTypes>> }>>,
> = { [K in keyof T]: { readonly kind: K } & Fields<T[K]["fields"]> }[keyof T];

export type ClientMessage = Messages<typeof CLIENT_MESSAGES>;

export type ServerMessage = Messages<typeof SERVER_MESSAGES>;

export type Publication = Omit<Extract<ClientMessage, { readonly kind: "publish" }>, "kind">;

export type DeliveredMessage = Omit<Extract<ServerMessage, { readonly kind: "message" }>, "kind">;

/**
 * `instance` differs for each client, and `attempt` grows with its OPENs. With `again` the instance had the session
 * before, and must not take it from another.
 */
export type OpenRequest = Omit<Extract<ClientMessage, { readonly kind: "open" }>, "kind" | "version">;

/** "SSN1". */
export const VERSION = 0x53534e31;
const MAX_U48 = 2 ** 48 - 1;
const POLICIES: ReadonlySet<string> = new Set<SessionDropPolicy>(["oldest", "newest", "refuse"]);

interface Layout {
  readonly kind: string;
  readonly code: number;
  readonly numbers: readonly (readonly [name: string, type: keyof FieldTypes, bytes: number])[];
  readonly frames: readonly (readonly [name: string, type: keyof FieldTypes])[];
}

type Values = Readonly<Record<string, unknown>>;

class Codec {
  readonly #byKind = new Map<string, Layout>();
  readonly #byCode = new Map<number, Layout>();

  constructor(
    table: Readonly<
      Record<string, { readonly code: number; readonly fields: Readonly<Record<string, keyof FieldTypes>> }>
    >,
  ) {
    for (const [kind, { code, fields }] of Object.entries(table)) {
      const numbers: [string, keyof FieldTypes, number][] = [];
      const frames: [string, keyof FieldTypes][] = [];
      for (const [name, type] of Object.entries(fields)) {
        const bytes = NUMBERS[type];
        if (bytes === undefined) frames.push([name, type]);
        else numbers.push([name, type, bytes]);
      }
      const layout: Layout = { kind, code, numbers, frames };
      this.#byKind.set(kind, layout);
      this.#byCode.set(code, layout);
    }
  }

  encode(kind: string, values: Values): Buffer[] {
    const { code, numbers, frames } = this.#byKind.get(kind) as Layout;
    let size = 1;
    for (const [name, type, bytes] of numbers)
      size += type === "u48s" ? bytes * (values[name] as number[]).length : bytes;
    const head = Buffer.allocUnsafe(size);
    let at = head.writeUInt8(code, 0);
    for (const [name, type, bytes] of numbers) {
      const all = type === "u48s" ? (values[name] as number[]) : [values[name]];
      for (const each of all) {
        const value = type === "limit" && Number(each) < 0 ? MAX_U48 : Number(each);
        at = head.writeUIntBE(Math.min(value, MAX_U48), at, bytes);
      }
    }
    const message: Buffer[] = [head];
    for (const [name, type] of frames) {
      const value = values[name];
      if (type === "texts") for (const each of value as string[]) message.push(Buffer.from(each));
      else if (value !== undefined)
        message.push(typeof value === "string" ? Buffer.from(value) : (value as Buffer));
    }
    return message;
  }

  /** @throws ProtocolError `ERR_PROTOCOL` */
  decode([head, ...rest]: readonly Buffer[]): { readonly kind: string } & Values {
    if (head === undefined || head.length === 0) throw new ProtocolError("the first frame is empty");
    const layout = this.#byCode.get(head[0] as number);
    if (layout === undefined) throw new ProtocolError(`unknown kind ${head[0]}`);
    const values: { kind: string; [name: string]: unknown } = { kind: layout.kind };
    let at = 1;
    const take = (bytes: number): number => {
      if (head.length - at < bytes) throw new ProtocolError("the first frame is too short");
      at += bytes;
      return head.readUIntBE(at - bytes, bytes);
    };
    for (const [name, type, bytes] of layout.numbers) {
      if (type === "u48s") {
        if (head.length - at > MAX_SETTLED * bytes) throw new ProtocolError("too many numbers");
        const numbers: number[] = [];
        while (at < head.length) numbers.push(take(bytes));
        values[name] = numbers;
      } else {
        const value = take(bytes);
        values[name] = type === "flag" ? value !== 0 : type === "limit" && value === MAX_U48 ? -1 : value;
      }
    }
    if (at < head.length) throw new ProtocolError("the first frame is too long");
    let next = 0;
    for (const [name, type] of layout.frames) {
      if (type === "texts") {
        values[name] = rest.map(textOf);
        next = rest.length;
      } else if (type === "context") {
        values[name] = usableContext(rest[next]);
        if (next < rest.length) next += 1;
      } else {
        const frame = rest[next++];
        if (frame === undefined) throw new ProtocolError("a frame is missing");
        values[name] =
          type === "bytes" ? frame : type === "reason" ? failureOf(textOf(frame)) : textOf(frame);
      }
    }
    if (next !== rest.length) throw new ProtocolError(`${rest.length - next} frames too many`);
    return values;
  }
}

const client = new Codec(CLIENT_MESSAGES);
const server = new Codec(SERVER_MESSAGES);

export function encodeClientMessage(message: ClientMessage): Buffer[] {
  return client.encode(message.kind, message);
}

export function encodeServerMessage(message: ServerMessage): Buffer[] {
  return server.encode(message.kind, message);
}

export function decodeClientMessage(frames: readonly Buffer[]): ClientMessage {
  const message = client.decode(frames) as ClientMessage;
  switch (message.kind) {
    case "open":
      checkOpen(message);
      return message;
    case "subscribe":
    case "unsubscribe": {
      const { filters } = message;
      if (filters.length === 0 || filters.length > MAX_SESSION_FILTERS)
        throw new ProtocolError(`${filters.length} filters`);
      if (filters.some((filter) => filterFault(filter) !== undefined))
        throw new ProtocolError("what is not a filter");
      return message;
    }
    case "publish":
      if (Buffer.byteLength(message.id) > MAX_MESSAGE_ID)
        throw new ProtocolError("the message id is too long");
      if (topicFault(message.topic) !== undefined) throw new ProtocolError("what is not a topic");
      return message;
    default:
      return message;
  }
}

export function decodeServerMessage(frames: readonly Buffer[]): ServerMessage {
  return server.decode(frames) as ServerMessage;
}

function checkOpen(open: Extract<ClientMessage, { readonly kind: "open" }>): void {
  if (open.version !== VERSION) throw new ProtocolError("the version is not SSN1");
  if (!isSessionId(open.id)) throw new ProtocolError("what is not the id of a session");
  if (!/^[0-9a-f]{16,32}$/.test(open.instance)) throw new ProtocolError("no instance");
  if (!POLICIES.has(open.drop)) throw new ProtocolError("unknown policy");
  if (Buffer.byteLength(open.token) > MAX_TOKEN) throw new ProtocolError("the token is too long");
  if (open.window > MAX_SETTLED) throw new ProtocolError(`window is at most ${MAX_SETTLED}`);
  for (const name of ["attempt", "maxQueue", "maxQueueBytes", "window", "windowBytes"] as const)
    if (open[name] < 1) throw new ProtocolError(`${name} must be at least 1`);
}

/** A context of another size is ignored, unlike its message. */
function usableContext(frame: Buffer | undefined): Buffer | undefined {
  return frame !== undefined && frame.length > 0 && frame.length <= MAX_CONTEXT_BYTES ? frame : undefined;
}

function failureOf(reason: string): SessionFailure {
  return Object.hasOwn(SESSION_FAILURES, reason) ? (reason as SessionFailure) : "invalid";
}

/** Different frames must not become equal texts. */
function textOf(frame: Buffer): string {
  if (!isUtf8(frame)) throw new ProtocolError("a text is not UTF-8");
  return frame.toString("utf8");
}
