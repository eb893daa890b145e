/**
 * Keys and values of a store of sessions (docs/spec/sessions.md), and the bounds of sessions.
 *
 *   s/ID                the session: its owner, limits and counters
 *   f/ID                its filters
 *   q/ID/LIFE/NUMBER    an unacknowledged message
 *   i/ID/LIFE/HASH      when it published with a message id
 *   j/ID/LIFE/SLOT      the hash at a place in the window of these ids
 *   t                   the number of sessions, of their filters, and of bytes of filters
 *   v                   how often filters have changed
 *   c/NUMBER            the session whose filters changed then
 *   n/SERVER            a running server: its number grows. Without it the server is lost
 *   g/ID/LIFE           a removed session, whose messages and message ids are still there
 *
 * Each new session has a new LIFE, so message numbers are never reused. Values are records with a checksum
 * (store/store.ts).
 */
import { createHash } from "node:crypto";
import { decodeRecord, encodeRecord, StoreError } from "../store/store.js";

/** Operations of a commit. */
export const MAX_BATCH = 256;
/** Keys of one read, bytes of their values, and sessions in a message between servers. */
export const PAGE = 500;
export const PAGE_BYTES = 8_388_608;
/** Tries of a batch. */
export const MAX_COMMIT_TRIES = 50;

export const MAX_SESSION_FILTERS = 1_000;
export const MAX_SESSION_FILTER_BYTES = 65_536;
/** Which levels are "+", and where "#" is: a publication is looked up once for each of them that fits. */
export const MAX_SESSION_SHAPES = 64;
/** Filter changes in the store; a server that missed more reads all sessions. */
export const KEPT_CHANGES = 1_024;
export const MAX_MESSAGE_ID = 128;
/** A client's unanswered publications, and refused ones remembered by a session. */
export const MAX_PUBLISHING = 1_024;
export const MAX_SETTLED = 8_192;
export const MAX_TOKEN = 512;
/** Queue of the ROUTER for a client (window and answers), and of a client's DEALER. */
export const HIGH_WATER_MARK = 16_384;

export type SessionDropPolicy = "oldest" | "newest" | "refuse";

export interface SessionLimits {
  readonly maxQueue: number;
  /** Bytes of topics and data. */
  readonly maxQueueBytes: number;
  /** ms; -1: no limit. */
  readonly maxAge: number;
  readonly drop: SessionDropPolicy;
}

export interface SessionDrops {
  readonly full: number;
  readonly old: number;
}

export interface SessionOwner {
  readonly server: string;
  readonly connection: string;
}

export interface SessionRecord {
  /** Last client and attempt; late earlier attempts are refused. */
  readonly instance: string;
  readonly attempt: number;
  /** Grows with each connection; operations of earlier ones are refused. */
  readonly epoch: number;
  readonly life: string;
  readonly owner?: SessionOwner | undefined;
  /** Whether it existed at its last opening, and the same instance had opened it before. */
  readonly isPresent: boolean;
  readonly isContinued: boolean;
  /** Time of getting or losing its owner, ms since 1970. */
  readonly since: number;
  /** ms without an owner; -1: no limit. */
  readonly expiry: number;
  readonly limits: SessionLimits;
  readonly filters: number;
  /** Numbers run from `head` to before `tail`; `count` messages, with `bytes`, are still there. */
  readonly head: number;
  readonly tail: number;
  readonly count: number;
  readonly bytes: number;
  /** Lower numbers may have been delivered. */
  readonly mark: number;
  /** Numbers of its last publication, and of the last refused ones. */
  readonly published: number;
  readonly refused: readonly number[];
  readonly ids: number;
  readonly drops: SessionDrops;
  /** Drops the client knows of. */
  readonly reported: number;
}

export interface StoreTotals {
  readonly sessions: number;
  readonly filters: number;
  readonly filterBytes: number;
}

export interface StoredMessage {
  readonly topic: string;
  /** The publishing session, or "" for a node. */
  readonly publisher: string;
  /** The publisher's message id, or "". */
  readonly id: string;
  /** Time of publication, ms since 1970. */
  readonly time: number;
  readonly data: Buffer;
  /** The publisher's trace, at most 1,024 bytes, not counted in the message. */
  readonly context?: Buffer | undefined;
}

export function isSessionId(id: unknown): id is string {
  return typeof id === "string" && /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$/.test(id);
}

export const keys = {
  session: (id: string) => `s/${id}`,
  filters: (id: string) => `f/${id}`,
  message: (id: string, life: string, number: number) => `q/${id}/${life}/${hex(number)}`,
  publishedId: (id: string, life: string, hash: string) => `i/${id}/${life}/${hash}`,
  idSlot: (id: string, life: string, slot: number) => `j/${id}/${life}/${hex(slot)}`,
  totals: "t",
  directory: "v",
  change: (number: number) => `c/${hex(number)}`,
  server: (id: string) => `n/${id}`,
  removed: (id: string, life: string) => `g/${id}/${life}`,
} as const;

/** @param prefix ends with "/" */
export function rangeOf(prefix: string): { readonly from: string; readonly to: string } {
  return { from: prefix, to: `${prefix.slice(0, -1)}0` };
}

/** The least greater key: "!" sorts before all characters of keys. */
export function after(key: string): string {
  return `${key}!`;
}

export function lastPart(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

export function numberOf(key: string): number {
  return Number.parseInt(lastPart(key), 16);
}

function hex(number: number): string {
  return number.toString(16).padStart(12, "0");
}

/** Message ids can have any characters. */
export function hashOf(message: string): string {
  return createHash("sha256").update(message).digest("base64url").slice(0, 22);
}

export function encodeJson(value: unknown): Buffer {
  return encodeRecord([Buffer.from(JSON.stringify(value))], 0);
}

/** @throws StoreError `damaged` */
export function decodeJson(key: string, bytes: Buffer): unknown {
  const record = decodeRecord(bytes);
  if (typeof record === "string") throw damaged(key, record);
  return JSON.parse((record.frames[0] as Buffer).toString("utf8"));
}

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

export function messageSize(message: Pick<StoredMessage, "topic" | "data">): number {
  return Buffer.byteLength(message.topic) + message.data.length;
}

function damaged(key: string, why: string): StoreError {
  return new StoreError("damaged", `The record ${key} is damaged: ${why}`);
}
