/**
 * What is kept of a session, and under which keys. Sessions of one store share these; the form is that of
 * docs/spec/sessions.md, so that servers of several versions can work on one database.
 *
 *   s/ID                the session: who has it, its limits, its counters
 *   f/ID                its filters
 *   q/ID/LIFE/NUMBER    a message that it has not acknowledged
 *   i/ID/LIFE/HASH      a message id that it published with, and when
 *   j/ID/LIFE/SLOT      the hash in a place of the window of these ids
 *   t                   how many sessions there are, their filters, and bytes of these
 *   b                   the server that keeps what is published over the cluster
 *   v                   how often filters of any session have changed
 *   c/NUMBER            whose filters changed then
 *   n/SERVER            a server that runs: a number that grows
 *   g/ID/LIFE           messages, and message ids, of a session that was removed, to be removed as well
 *
 * LIFE is another one each time the session is made, so a number of a message is never used twice. Each value is a record
 * with a checksum (patterns/kit/store/record.ts).
 */
import { createHash } from "node:crypto";
import { StoreError } from "../patterns/kit/store/error.js";
import { decodeRecord, encodeRecord } from "../patterns/kit/store/record.js";

/** What happens to a message that a session has no room for. */
export type SessionDropPolicy = "oldest" | "newest" | "refuse";

/** How much a session keeps for its client. */
export interface SessionLimits {
  /** Messages. */
  readonly maxQueue: number;
  /** Bytes of their topics and data. */
  readonly maxQueueBytes: number;
  /** ms that a message is kept; -1: no limit. */
  readonly maxAge: number;
  /** Which message goes, or that its publisher is refused. */
  readonly drop: SessionDropPolicy;
}

/** Messages that were dropped since the session was made, by reason. */
export interface SessionDrops {
  /** The queue had no room. */
  readonly full: number;
  /** They were too old. */
  readonly old: number;
}

/** Who has a session: one connection of one server. */
export interface SessionOwner {
  readonly server: string;
  readonly connection: string;
}

/** A session as it is kept. */
export interface SessionRecord {
  /** The program that opened it last, and which of its attempts that was: an earlier one that comes late is refused. */
  readonly instance: string;
  readonly attempt: number;
  /** Grows with each connection: what an earlier one still wants is refused. */
  readonly epoch: number;
  readonly life: string;
  readonly owner?: SessionOwner | undefined;
  /** Whether the session was there when it was opened last, and whether the same program had opened it before that. */
  readonly isPresent: boolean;
  readonly isContinued: boolean;
  /** ms since 1970 at which it got its owner, or lost it. */
  readonly since: number;
  /** ms that it is kept without an owner; -1: without limit. */
  readonly expiry: number;
  readonly limits: SessionLimits;
  readonly filters: number;
  /** No message is kept below this number; the next one gets `tail`. */
  readonly head: number;
  readonly tail: number;
  readonly count: number;
  readonly bytes: number;
  /** Messages below this number may have been delivered. */
  readonly mark: number;
  /** The last number that its client published with, and those of the last ones that were refused. */
  readonly published: number;
  readonly refused: readonly number[];
  /** Message ids that its client published with. */
  readonly ids: number;
  readonly drops: SessionDrops;
  /** Drops that the client knows of. */
  readonly reported: number;
}

/** All sessions of a store. */
export interface StoreTotals {
  readonly sessions: number;
  /** Filters, each as often as a session has it, and bytes of them. */
  readonly filters: number;
  readonly filterBytes: number;
}

/** A message as it is kept. */
export interface StoredMessage {
  readonly topic: string;
  /** The session that published it. */
  readonly publisher: string;
  /** The id that the publisher gave it; "": none. */
  readonly id: string;
  /** ms since 1970 at which it was published. */
  readonly time: number;
  readonly data: Buffer;
  /** Of its publisher's trace, 1,024 bytes at most: they do not count as the message's. */
  readonly context?: Buffer | undefined;
}

const SESSION_ID = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$/;
/** Digits of a message's number in a key: 48 bits. */
const NUMBER_DIGITS = 12;

/** Whether a text may be the id of a session. */
export function isSessionId(id: unknown): id is string {
  return typeof id === "string" && SESSION_ID.test(id);
}

/** Where each thing is kept. */
export const keys = {
  session: (id: string) => `s/${id}`,
  filters: (id: string) => `f/${id}`,
  message: (id: string, life: string, number: number) => `q/${id}/${life}/${hex(number)}`,
  publishedId: (id: string, life: string, hash: string) => `i/${id}/${life}/${hash}`,
  idSlot: (id: string, life: string, slot: number) => `j/${id}/${life}/${hex(slot)}`,
  totals: "t",
  bridge: "b",
  directory: "v",
  change: (number: number) => `c/${hex(number)}`,
  server: (id: string) => `n/${id}`,
  removed: (id: string, life: string) => `g/${id}/${life}`,
} as const;

/** The range of keys that begin with a text, which ends with "/". */
export function rangeOf(prefix: string): { readonly from: string; readonly to: string } {
  return { from: prefix, to: `${prefix.slice(0, -1)}0` };
}

/** The first key that may follow one: "!" is less than any character of a key. */
export function after(key: string): string {
  return `${key}!`;
}

/** What stands behind the last "/" of a key. */
export function lastPart(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

/** The number at the end of a key. */
export function numberOf(key: string): number {
  return Number.parseInt(lastPart(key), 16);
}

function hex(number: number): string {
  return number.toString(16).padStart(NUMBER_DIGITS, "0");
}

/** What a message id is kept as: it may have any characters. */
export function hashOf(message: string): string {
  return createHash("sha256").update(message).digest("base64url").slice(0, 22);
}

/** Anything that JSON has a form for. */
export function encodeJson(value: unknown): Buffer {
  return encodeRecord([Buffer.from(JSON.stringify(value))], 0);
}

/** @throws StoreError `damaged` */
export function decodeJson(key: string, bytes: Buffer): unknown {
  const record = decodeRecord(bytes);
  if (typeof record === "string") throw damaged(key, record);
  return JSON.parse((record.frames[0] as Buffer).toString("utf8"));
}

/** The record's time is the message's. */
export function encodeMessage({ topic, publisher, id, time, data, context }: StoredMessage): Buffer {
  const frames = [Buffer.from(topic), Buffer.from(publisher), Buffer.from(id), data];
  if (context !== undefined) frames.push(context);
  return encodeRecord(frames, time);
}

/** @throws StoreError `damaged` */
export function decodeMessage(key: string, bytes: Buffer): StoredMessage {
  const record = decodeRecord(bytes);
  if (typeof record === "string") throw damaged(key, record);
  const [topic, publisher, id, data, context] = record.frames;
  if (data === undefined) throw damaged(key, "a frame is missing");
  return {
    topic: String(topic),
    publisher: String(publisher),
    id: String(id),
    time: record.expires,
    data,
    context,
  };
}

/** Bytes that a message counts with. */
export function messageSize(message: Pick<StoredMessage, "topic" | "data">): number {
  return Buffer.byteLength(message.topic) + message.data.length;
}

function damaged(key: string, why: string): StoreError {
  return new StoreError("damaged", `The record ${key} is damaged: ${why}`);
}
