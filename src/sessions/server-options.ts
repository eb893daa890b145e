/** Options, events and statistics of a server of sessions. */

import { checkFilter } from "../cluster/messaging/topics.js";
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { EventNames } from "../core/event-stream.js";
import {
  anything,
  bytes,
  checkOptions,
  func,
  type GivenWith,
  integer,
  object,
  text,
} from "../patterns/kit/options.js";
import type { RouterOptions } from "../sockets/request-reply.js";
import { MAX_CLUSTER_TOPICS } from "./bounds.js";
import type { SessionFailure } from "./error.js";
import { decodeJson, lastPart, type SessionDropPolicy, type SessionRecord } from "./records.js";
import type { SessionStore } from "./store.js";

/** A message of a node, as a server of sessions uses it. */
export interface SessionNodeMessage {
  readonly topic: string;
  readonly data: Buffer;
  /** The trace of its publisher, if messages of this process are observed. */
  readonly context?: Buffer | undefined;
}

/** A client of a node, as a server of sessions uses it. */
export interface SessionNodeClient {
  /** `ready` settles when the other nodes know of the subscription, or rejects when one does not answer. */
  subscribe(
    filter: string,
    handler: (message: SessionNodeMessage) => unknown,
  ): { readonly ready: Promise<void>; close(): unknown };
  close(): unknown;
}

/** A `ClusterNode` or one of its namespaces, as a server of sessions uses it. */
export interface SessionNode {
  publish(topic: string, data: string, options?: { readonly self?: boolean }): Promise<number>;
  subscribe(filter: string, handler: (message: { readonly data: Buffer }) => void): { close(): unknown };
  createClient(): SessionNodeClient;
  advertise(name: string, endpoint: string): () => void;
}

/** A client that wants a session. */
export interface SessionRequest {
  readonly id: string;
  readonly token: string;
}

/** Events of {@link SessionServer}. */
export type SessionServerEvent =
  /** A client has its session. */
  | { readonly type: "session:opened"; readonly id: string; readonly isPresent: boolean }
  /** A connection has ended; the session is kept for its `expiry`. */
  | {
      readonly type: "session:closed";
      readonly id: string;
      readonly reason: SessionFailure | "left" | "closed";
    }
  /** A session was removed by its client or an operator, or has expired. */
  | { readonly type: "session:removed"; readonly id: string; readonly reason: "ended" | "expired" }
  /** A client did not get its session. */
  | { readonly type: "session:refused"; readonly id: string; readonly reason: string }
  /** From now on this server keeps what nodes publish, and all nodes know of its subscriptions. */
  | { readonly type: "topics:taken" }
  /** This server no longer keeps what nodes publish. */
  | { readonly type: "topics:left" }
  /** The node refused a session's filter, so the session gets no messages of nodes by it. */
  | { readonly type: "topics:refused"; readonly filter: string; readonly error: unknown }
  /** The store failed. Affected clients are disconnected, and repeat their requests. */
  | { readonly type: "store:failed"; readonly error: unknown }
  /** A client sent a malformed message, and was disconnected. */
  | { readonly type: "message:invalid"; readonly reason: string };

/** Statistics of {@link SessionServer}. */
export interface SessionServerStats {
  readonly connections: number;
  /** Stored copies of publications, delivered and acknowledged messages. */
  readonly published: number;
  readonly delivered: number;
  readonly acknowledged: number;
  /** Stored copies of messages of nodes, and messages lost by failures of the store. */
  readonly clusterKept: number;
  readonly clusterLost: number;
  /** Bytes of unacknowledged messages. */
  readonly inFlightBytes: number;
  /** Repeated publications. */
  readonly duplicates: number;
  /** Waiting operations; commits, operations in them, and conflicts with other servers. */
  readonly pending: number;
  readonly commits: number;
  readonly operations: number;
  readonly conflicts: number;
  /** Filters of all sessions. */
  readonly filters: number;
}

export const SESSION_SERVER_EVENTS: EventNames<SessionServerEvent> = {
  "session:opened": true,
  "session:closed": true,
  "session:removed": true,
  "session:refused": true,
  "topics:taken": true,
  "topics:left": true,
  "topics:refused": true,
  "store:failed": true,
  "message:invalid": true,
};

const OPTIONS = {
  /** The store of the sessions. The program closes it, after the server. */
  store: object<SessionStore>(),
  /**
   * The node of this server: servers wake each other over it, and advertise their endpoints under `name`. Without a node, clients
   * of other servers get messages within `pollInterval`.
   */
  node: object<SessionNode>(),
  /**
   * Filters of the cluster's topics for sessions: each session with a filter keeps matching messages of nodes. `["#"]`: all topics
   * but those with a leading `$`. Must be the same at all servers of a store. Default: none.
   */
  clusterTopics: anything<readonly string[]>(),
  /** Must be the same at all servers of a store. Default "sessions". */
  name: text(),
  /** Whether a client may have a session. Default: every client may have every session. */
  authorize: func<(request: SessionRequest) => boolean | Promise<boolean>>(),
  /** Connected sessions of this server; further clients are refused. Default 100,000. */
  maxConnections: integer({ default: 100_000 }),
  /** Sessions of the store; a further one is refused as `unavailable`, and its client tries again. Default 1,000,000. */
  maxSessions: integer({ default: 1_000_000 }),
  /** Filters of all sessions of the store. Default 1,000,000. */
  maxFilters: integer({ default: 1_000_000 }),
  /** Bytes of them; each server has them in memory. Default 64 MiB. */
  maxFilterBytes: bytes({ default: 67_108_864 }),
  /**
   * Bytes of unacknowledged messages of all clients of this server. Past it each client gets an equal share, at least 16 KiB or
   * one message. Default 256 MiB.
   */
  maxInFlightBytes: bytes({ default: 268_435_456 }),
  /** Upper bound of the clients' `maxQueue`. Default 1,000,000. */
  maxQueue: integer({ default: 1_000_000 }),
  /** Upper bound of the clients' `maxQueueBytes`. Default 1 GiB. */
  maxQueueBytes: bytes({ default: 1_073_741_824 }),
  /** Upper bound of the clients' `expiry`. Default 2,592,000,000: 30 days. */
  maxExpiry: bytes({ default: 2_592_000_000 }),
  /** Waiting operations of the store; past it the server stops reading. Default 10,000. */
  maxPending: integer({ default: 10_000 }),
  /** Bytes of their messages. Default 64 MiB. */
  maxPendingBytes: bytes({ default: 67_108_864 }),
  /** Interval of polls of the store for changes by other servers. Lower finds lost wake-ups sooner and reads more. Default 1,000. */
  pollInterval: integer({ default: 1_000 }),
  /** A server without a sign of life in the store for this long is lost. Default 10,000. */
  serverTimeout: integer({ default: 10_000 }),
  /** Options of the ROUTER, such as security. */
  socketOptions: object<RouterOptions>(),
};

/** Options of {@link SessionServer}. Times are in ms. */
export type SessionServerOptions = GivenWith<typeof OPTIONS, "store">;

export const LIST_OPTIONS = { after: text(), limit: integer({ default: 1_000, max: 10_000 }) };

export type SessionServerSettings = ReturnType<typeof serverSettings>;

/** @throws InvalidArgumentError `EINVAL` */
export function serverSettings(options: SessionServerOptions) {
  const settings = checkOptions("SessionServer", OPTIONS, options);
  const { store } = settings;
  if (store === undefined) throw new InvalidArgumentError("Option store of SessionServer is missing");
  const { clusterTopics = [], node } = settings;
  if (!Array.isArray(clusterTopics) || clusterTopics.length > MAX_CLUSTER_TOPICS)
    throw new InvalidArgumentError(
      `Option clusterTopics of SessionServer is an array of at most ${MAX_CLUSTER_TOPICS} filters; got ${describe(clusterTopics)}`,
    );
  for (const filter of clusterTopics) checkFilter(filter);
  if (clusterTopics.length > 0 && node === undefined)
    throw new InvalidArgumentError("Option clusterTopics of SessionServer needs the option node");
  return { ...settings, store, clusterTopics: [...clusterTopics], name: settings.name ?? "sessions" };
}

/** A session, as an operator sees it. */
export interface SessionInfo {
  readonly id: string;
  /** Whether it has a connection to any server. */
  readonly isConnected: boolean;
  /** Whether it has a connection to this server. */
  readonly isHere: boolean;
  /** When it was connected or left, ms since 1970. */
  readonly since: number;
  /** ms. */
  readonly expiry: number;
  readonly filters: number;
  /** Unacknowledged messages, and their bytes. */
  readonly queued: number;
  readonly queuedBytes: number;
  readonly maxQueue: number;
  readonly drop: SessionDropPolicy;
  /** Messages dropped by a full queue, and by age. */
  readonly droppedFull: number;
  readonly droppedOld: number;
}

/** @throws StoreError `damaged` */
export function sessionInfo(key: string, value: Buffer, server: string): SessionInfo {
  const record = decodeJson(key, value) as SessionRecord;
  const { owner, since, expiry, filters, count, bytes: queuedBytes, limits, drops } = record;
  return {
    id: lastPart(key),
    isConnected: owner !== undefined,
    isHere: owner?.server === server,
    since,
    expiry,
    filters,
    queued: count,
    queuedBytes,
    maxQueue: limits.maxQueue,
    drop: limits.drop,
    droppedFull: drops.full,
    droppedOld: drops.old,
  };
}
