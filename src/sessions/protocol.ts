/**
 * What clients and servers of sessions say to each other (docs/spec/sessions.md). A message's first frame begins with its
 * kind; a context is that of a trace, and absent where there is none; numbers are big-endian, times are ms since 1970.
 *
 *   01 OPEN          01 | "SSN1"          | id | terms                   81 OPENED     81 | flags 1 | published 6 | count 6 | life
 *   02 SUBSCRIBE     02 | request 4       | filter…                      82 DONE       82 | request 4
 *   03 UNSUBSCRIBE   03 | request 4       | filter…
 *   04 PUBLISH       04 | number 6        | id | topic | data | context  83 PUBLISHED  83 | number 6 | duplicate 1 | sessions 4
 *   05 SETTLE        05 | low 6 | number 6…                              84 REFUSED    84 | what 1 | number 6 | reason | text
 *   06 REPORTED      06 | drops 6                                        85 MESSAGE    85 | number 6 | redelivered 1 | time 6 | topic | publisher | id | data | context
 *   07 CLOSE         07 | end 1                                          86 DROPPED    86 | drops 6 | not reported 6 | old 6
 *   08 PING          08                                                  87 ENDED      87 | reason | text
 *                                                                        88 PONG       88
 */
import { isUtf8 } from "node:buffer";
import { filterFault, topicFault } from "../cluster/messaging/topics.js";
import { ProtocolError } from "../core/errors.js";
import { MAX_CONTEXT_BYTES } from "../core/trace-context.js";
import { MAX_MESSAGE_ID, MAX_SESSION_FILTERS, MAX_SETTLED } from "./bounds.js";
import { SESSION_FAILURES, type SessionFailure } from "./error.js";
import { isSessionId, type SessionDropPolicy } from "./records.js";
import type { Publication } from "./rules.js";

export const Kind = {
  OPEN: 0x01,
  SUBSCRIBE: 0x02,
  UNSUBSCRIBE: 0x03,
  PUBLISH: 0x04,
  SETTLE: 0x05,
  REPORTED: 0x06,
  CLOSE: 0x07,
  PING: 0x08,
  OPENED: 0x81,
  DONE: 0x82,
  PUBLISHED: 0x83,
  REFUSED: 0x84,
  MESSAGE: 0x85,
  DROPPED: 0x86,
  ENDED: 0x87,
  PONG: 0x88,
} as const;

const VERSION = "SSN1";
/** Flags of OPENED. */
const PRESENT = 1;
const CONTINUED = 2;
/** Bytes of a number that may grow to 2^48. */
const LONG = 6;
const MAX_LONG = 2 ** 48 - 1;
const INSTANCE = /^[0-9a-f]{16,32}$/;
const MAX_TERMS = 1_024;
/** The longest time that a platform timer holds. */
const MAX_TIME = 2_147_483_647;

/** What a client asks for, as it stands in OPEN. */
export interface OpenRequest {
  readonly id: string;
  /** Another one for each client that a program makes, and the number of its attempt: each one is greater. */
  readonly instance: string;
  readonly attempt: number;
  /** What the client proves that the session is its own with; "": nothing. */
  readonly token: string;
  /** ms; -1: without limit. */
  readonly expiry: number;
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  readonly maxAge: number;
  readonly drop: SessionDropPolicy;
  readonly clean: boolean;
  /** Whether this instance has had the session before: where another one has opened it since, it does not get it back. */
  readonly again: boolean;
  /** Messages, and bytes of them, that the client takes without acknowledging one. */
  readonly window: number;
  readonly windowBytes: number;
}

/** What a client says. */
export type ClientMessage =
  | { readonly kind: "open"; readonly open: OpenRequest }
  | {
      readonly kind: "subscribe" | "unsubscribe";
      readonly request: number;
      readonly filters: readonly string[];
    }
  | { readonly kind: "publish"; readonly publication: Publication }
  | { readonly kind: "settle"; readonly low: number; readonly numbers: readonly number[] }
  | { readonly kind: "reported"; readonly drops: number }
  | { readonly kind: "close"; readonly end: boolean }
  | { readonly kind: "ping" };

/** What REFUSED is about. */
export const Refused = { REQUEST: 0, PUBLICATION: 1 } as const;

/** What a server says. */
export type ServerMessage =
  | {
      readonly kind: "opened";
      /** The session was there. */
      readonly isPresent: boolean;
      /** It was opened by this instance before, and by nobody else since. */
      readonly isContinued: boolean;
      readonly published: number;
      readonly count: number;
      readonly life: string;
    }
  | { readonly kind: "done"; readonly request: number }
  | {
      readonly kind: "published";
      readonly number: number;
      readonly isDuplicate: boolean;
      readonly sessions: number;
    }
  | {
      readonly kind: "refused";
      readonly what: number;
      readonly number: number;
      readonly reason: SessionFailure;
      readonly text: string;
    }
  | { readonly kind: "message"; readonly message: DeliveredMessage }
  | { readonly kind: "dropped"; readonly drops: number; readonly unreported: number; readonly old: number }
  | { readonly kind: "ended"; readonly reason: SessionFailure; readonly text: string }
  | { readonly kind: "pong" };

/** A message as its client gets it. */
export interface DeliveredMessage {
  readonly number: number;
  readonly redelivered: boolean;
  readonly time: number;
  readonly topic: string;
  readonly publisher: string;
  readonly id: string;
  readonly data: Buffer;
  /** Of the publisher's trace, as it came. */
  readonly context?: Buffer | undefined;
}

const PING = [Buffer.from([Kind.PING])];
const PONG = [Buffer.from([Kind.PONG])];

export function encodeClientMessage(message: ClientMessage): Buffer[] {
  switch (message.kind) {
    case "open": {
      const { id, ...terms } = message.open;
      return [
        Buffer.concat([Buffer.from([Kind.OPEN]), Buffer.from(VERSION)]),
        Buffer.from(id),
        Buffer.from(JSON.stringify(terms)),
      ];
    }
    case "subscribe":
    case "unsubscribe": {
      const kind = message.kind === "subscribe" ? Kind.SUBSCRIBE : Kind.UNSUBSCRIBE;
      return [head(kind, [message.request, 4]), ...message.filters.map((filter) => Buffer.from(filter))];
    }
    case "publish": {
      const { number, id, topic, data, context } = message.publication;
      const frames = [head(Kind.PUBLISH, [number, LONG]), Buffer.from(id), Buffer.from(topic), data];
      if (context !== undefined) frames.push(context);
      return frames;
    }
    case "settle": {
      const numbers = message.numbers.map((number): [number, number] => [number, LONG]);
      return [head(Kind.SETTLE, [message.low, LONG], ...numbers)];
    }
    case "reported":
      return [head(Kind.REPORTED, [message.drops, LONG])];
    case "close":
      return [head(Kind.CLOSE, [message.end ? 1 : 0, 1])];
    case "ping":
      return PING;
  }
}

export function encodeServerMessage(message: ServerMessage): Buffer[] {
  switch (message.kind) {
    case "opened": {
      const { isPresent, isContinued, published, count, life } = message;
      const flags = (isPresent ? PRESENT : 0) | (isContinued ? CONTINUED : 0);
      return [head(Kind.OPENED, [flags, 1], [published, LONG], [count, LONG]), Buffer.from(life)];
    }
    case "done":
      return [head(Kind.DONE, [message.request, 4])];
    case "published": {
      const { number, isDuplicate, sessions } = message;
      return [head(Kind.PUBLISHED, [number, LONG], [isDuplicate ? 1 : 0, 1], [sessions, 4])];
    }
    case "refused": {
      const { what, number, reason, text } = message;
      return [head(Kind.REFUSED, [what, 1], [number, LONG]), Buffer.from(reason), Buffer.from(text)];
    }
    case "message": {
      const { number, redelivered, time, topic, publisher, id, data, context } = message.message;
      const frames = [
        head(Kind.MESSAGE, [number, LONG], [redelivered ? 1 : 0, 1], [time, LONG]),
        Buffer.from(topic),
        Buffer.from(publisher),
        Buffer.from(id),
        data,
      ];
      if (context !== undefined) frames.push(context);
      return frames;
    }
    case "dropped":
      return [head(Kind.DROPPED, [message.drops, LONG], [message.unreported, LONG], [message.old, LONG])];
    case "ended":
      return [head(Kind.ENDED), Buffer.from(message.reason), Buffer.from(message.text)];
    case "pong":
      return PONG;
  }
}

/** @throws ProtocolError `ERR_PROTOCOL` */
export function decodeClientMessage(frames: readonly Buffer[]): ClientMessage {
  const [first] = frames;
  const reader = new HeadReader(first);
  switch (reader.kind) {
    case Kind.OPEN:
      return { kind: "open", open: decodeOpen(frames) };
    case Kind.SUBSCRIBE:
    case Kind.UNSUBSCRIBE: {
      const request = reader.take(4);
      reader.end();
      const filters = frames.slice(1).map((frame) => text(frame));
      const wrong = filters.find((filter) => filterFault(filter) !== undefined);
      if (filters.length === 0 || filters.length > MAX_SESSION_FILTERS || wrong !== undefined)
        throw new ProtocolError(wrong === undefined ? `${filters.length} filters` : "what is not a filter");
      return { kind: reader.kind === Kind.SUBSCRIBE ? "subscribe" : "unsubscribe", request, filters };
    }
    case Kind.PUBLISH: {
      const number = reader.take(LONG);
      reader.end();
      const [, id, topic, data, context] = expectFrames(frames, frames.length === 5 ? 5 : 4);
      if ((id as Buffer).length > MAX_MESSAGE_ID) throw new ProtocolError("the message id is too long");
      const name = text(topic as Buffer);
      if (topicFault(name) !== undefined) throw new ProtocolError("what is not a topic");
      return {
        kind: "publish",
        publication: {
          number,
          id: text(id as Buffer),
          topic: name,
          data: data as Buffer,
          context: usableContext(context),
        },
      };
    }
    case Kind.SETTLE: {
      expectFrames(frames, 1);
      const low = reader.take(LONG);
      if (reader.left > MAX_SETTLED * LONG) throw new ProtocolError("too many numbers");
      const numbers: number[] = [];
      while (reader.left > 0) numbers.push(reader.take(LONG));
      return { kind: "settle", low, numbers };
    }
    case Kind.REPORTED: {
      const drops = reader.take(LONG);
      reader.end();
      return { kind: "reported", drops };
    }
    case Kind.CLOSE: {
      const end = reader.take(1) !== 0;
      reader.end();
      return { kind: "close", end };
    }
    case Kind.PING:
      return { kind: "ping" };
    default:
      throw new ProtocolError(`unknown kind ${reader.kind}`);
  }
}

/** @throws ProtocolError `ERR_PROTOCOL` */
export function decodeServerMessage(frames: readonly Buffer[]): ServerMessage {
  const reader = new HeadReader(frames[0]);
  switch (reader.kind) {
    case Kind.OPENED: {
      const [flags, published, count] = [reader.take(1), reader.take(LONG), reader.take(LONG)];
      const [, life] = expectFrames(frames, 2);
      return {
        kind: "opened",
        isPresent: (flags & PRESENT) !== 0,
        isContinued: (flags & CONTINUED) !== 0,
        published,
        count,
        life: text(life),
      };
    }
    case Kind.DONE:
      return { kind: "done", request: reader.take(4) };
    case Kind.PUBLISHED: {
      const number = reader.take(LONG);
      const isDuplicate = reader.take(1) !== 0;
      return { kind: "published", number, isDuplicate, sessions: reader.take(4) };
    }
    case Kind.REFUSED: {
      const [what, number] = [reader.take(1), reader.take(LONG)];
      const [, reason, why] = expectFrames(frames, 3);
      return {
        kind: "refused",
        what,
        number,
        reason: failureOf(reason as Buffer),
        text: text(why as Buffer),
      };
    }
    case Kind.MESSAGE: {
      const number = reader.take(LONG);
      const redelivered = reader.take(1) !== 0;
      const time = reader.take(LONG);
      const [, topic, publisher, id, data, context] = expectFrames(
        frames,
        frames.length === 6 ? 6 : 5,
      ) as Buffer[];
      return {
        kind: "message",
        message: {
          number,
          redelivered,
          time,
          topic: text(topic),
          publisher: text(publisher),
          id: text(id),
          data: data as Buffer,
          context: usableContext(context),
        },
      };
    }
    case Kind.DROPPED:
      return {
        kind: "dropped",
        drops: reader.take(LONG),
        unreported: reader.take(LONG),
        old: reader.take(LONG),
      };
    case Kind.ENDED: {
      const [, reason, why] = expectFrames(frames, 3);
      return { kind: "ended", reason: failureOf(reason as Buffer), text: text(why as Buffer) };
    }
    case Kind.PONG:
      return { kind: "pong" };
    default:
      throw new ProtocolError(`unknown kind ${reader.kind}`);
  }
}

function decodeOpen(frames: readonly Buffer[]): OpenRequest {
  const [first, id, terms] = expectFrames(frames, 3) as [Buffer, Buffer, Buffer];
  const version = first.toString("latin1", 1);
  if (version !== VERSION) throw new ProtocolError(`the version is not ${VERSION}`);
  const name = text(id);
  if (!isSessionId(name)) throw new ProtocolError("what is not the id of a session");
  if (terms.length > MAX_TERMS) throw new ProtocolError("the terms are too long");
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(terms.toString("utf8")) as Record<string, unknown>;
  } catch {
    throw new ProtocolError("the terms are no JSON");
  }
  if (typeof given !== "object" || given === null) throw new ProtocolError("the terms are no object");
  const {
    instance,
    attempt,
    token,
    expiry,
    maxQueue,
    maxQueueBytes,
    maxAge,
    drop,
    clean,
    again,
    window,
    windowBytes,
  } = given;
  if (drop !== "oldest" && drop !== "newest" && drop !== "refuse") throw new ProtocolError("unknown policy");
  if (typeof instance !== "string" || !INSTANCE.test(instance)) throw new ProtocolError("no instance");
  if (typeof token !== "string") throw new ProtocolError("the token is not a text");
  return {
    id: name,
    instance,
    token,
    attempt: whole("attempt", attempt, 1, Number.MAX_SAFE_INTEGER),
    expiry: whole("expiry", expiry, -1, Number.MAX_SAFE_INTEGER),
    maxQueue: whole("maxQueue", maxQueue, 1, MAX_TIME),
    maxQueueBytes: whole("maxQueueBytes", maxQueueBytes, 1, Number.MAX_SAFE_INTEGER),
    maxAge: whole("maxAge", maxAge, -1, Number.MAX_SAFE_INTEGER),
    drop,
    clean: clean === true,
    again: again === true,
    window: whole("window", window, 1, MAX_SETTLED),
    windowBytes: whole("windowBytes", windowBytes, 1, Number.MAX_SAFE_INTEGER),
  };
}

function whole(name: string, value: unknown, min: number, max: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max)
    return value as number;
  throw new ProtocolError(`${name} is not a whole number from ${min} to ${max}`);
}

/** One of another size is ignored, and its message is not. */
function usableContext(frame: Buffer | undefined): Buffer | undefined {
  return frame !== undefined && frame.length > 0 && frame.length <= MAX_CONTEXT_BYTES ? frame : undefined;
}

function failureOf(frame: Buffer): SessionFailure {
  const reason = text(frame);
  return Object.hasOwn(SESSION_FAILURES, reason) ? (reason as SessionFailure) : "invalid";
}

function expectFrames(frames: readonly Buffer[], count: number): readonly Buffer[] {
  if (frames.length !== count) throw new ProtocolError(`${frames.length} frames, ${count} expected`);
  return frames;
}

/** Two frames that differ are two texts: nothing is replaced. */
function text(frame: Buffer | undefined): string {
  if (frame === undefined) return "";
  if (!isUtf8(frame)) throw new ProtocolError("a text is not UTF-8");
  return frame.toString("utf8");
}

/** A first frame: its kind, and numbers of some bytes each. */
function head(kind: number, ...numbers: readonly (readonly [value: number, bytes: number])[]): Buffer {
  let size = 1;
  for (const [, bytes] of numbers) size += bytes;
  const frame = Buffer.allocUnsafe(size);
  let at = frame.writeUInt8(kind, 0);
  for (const [value, bytes] of numbers) at = frame.writeUIntBE(Math.min(value, MAX_LONG), at, bytes);
  return frame;
}

class HeadReader {
  readonly kind: number;
  readonly #frame: Buffer;
  #at = 1;

  constructor(frame: Buffer | undefined) {
    if (frame === undefined || frame.length === 0) throw new ProtocolError("the first frame is empty");
    this.#frame = frame;
    this.kind = frame[0] as number;
  }

  get left(): number {
    return this.#frame.length - this.#at;
  }

  take(bytes: number): number {
    if (this.left < bytes) throw new ProtocolError("the first frame is too short");
    const value = this.#frame.readUIntBE(this.#at, bytes);
    this.#at += bytes;
    return value;
  }

  end(): void {
    if (this.left > 0) throw new ProtocolError("the first frame is too long");
  }
}
