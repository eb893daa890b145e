/** What a server of sessions takes, reports and counts. */

import { checkFilter } from "../cluster/messaging/topics.js";
import { describe } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";
import type { EventNames } from "../core/event-stream.js";
import { anything, bytes, checkOptions, func, integer, object, text } from "../patterns/kit/options.js";
import type { RouterOptions } from "../sockets/request-reply.js";
import { MAX_CLUSTER_TOPICS } from "./bounds.js";
import type { SessionFailure } from "./error.js";
import { decodeJson, lastPart, type SessionDropPolicy, type SessionRecord } from "./records.js";
import type { SessionStore } from "./store.js";

/** A message of a node, as a server of sessions uses it. */
export interface SessionNodeMessage {
  readonly topic: string;
  readonly data: Buffer;
  /** Of its publisher's trace, where somebody observes messages of this process. */
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

/** What a server of sessions uses of a node: a `ClusterNode` or one of its buses. */
export interface SessionNode {
  publish(topic: string, data: string, options?: { readonly self?: boolean }): Promise<number>;
  subscribe(filter: string, handler: (message: { readonly data: Buffer }) => void): { close(): unknown };
  createClient(): SessionNodeClient;
  advertise(name: string, endpoint: string): () => void;
}

/** Who wants a session. */
export interface SessionRequest {
  readonly id: string;
  /** The token that the client was made with; "": none. */
  readonly token: string;
}

/** Options of {@link SessionServer}; times are in ms. */
export interface SessionServerOptions {
  /** Where the sessions are kept. The program closes it, after the server. */
  readonly store: SessionStore;
  /**
   * The node that this server runs on: servers of one name wake each other over it, and it advertises the endpoints under the name. Without it a client
   * of another server gets its messages within `pollInterval`.
   */
  readonly node?: SessionNode | undefined;
  /**
   * Topics of the cluster that sessions get, as filters: what is published by a node to one of them is kept by each session with a filter for it. `["#"]`: all but
   * those that begin with `$`. Servers of one store have the same. Default: none.
   */
  readonly clusterTopics?: readonly string[] | undefined;
  /** Servers of one store have one name. Default "sessions". */
  readonly name?: string | undefined;
  /** Whether a client may have a session. Default: each client may have each. */
  readonly authorize?: ((request: SessionRequest) => boolean | Promise<boolean>) | undefined;
  /** Sessions of this server that have a connection. One more is refused. Default 100,000. */
  readonly maxConnections?: number | undefined;
  /** Sessions of the store, with and without a connection. One more is not made: its client is refused as `unavailable`, and asks again. Default 1,000,000. */
  readonly maxSessions?: number | undefined;
  /** Filters of all sessions of the store. Default 1,000,000. */
  readonly maxFilters?: number | undefined;
  /** Bytes of them: each server has them in memory. Default 64 MiB. */
  readonly maxFilterBytes?: number | undefined;
  /**
   * Bytes of messages that the clients of this server have and have not acknowledged. Past it each of them has an equal part, 16 KiB or one message at least.
   * Default 256 MiB.
   */
  readonly maxInFlightBytes?: number | undefined;
  /** Messages that a client asks its session to keep, at most: more is as much. Default 1,000,000. */
  readonly maxQueue?: number | undefined;
  /** Bytes of them. Default 1 GiB. */
  readonly maxQueueBytes?: number | undefined;
  /** ms that a client asks its session to be kept, at most. Default 2,592,000,000: 30 days. */
  readonly maxExpiry?: number | undefined;
  /** Operations that wait for the store; past it clients are read no further. Default 10,000. */
  readonly maxPending?: number | undefined;
  /** Bytes of messages that wait for it. Default 64 MiB. */
  readonly maxPendingBytes?: number | undefined;
  /** After so many ms a server looks by itself at what the others have done. Default 1,000. */
  readonly pollInterval?: number | undefined;
  /** After so many ms without a sign of life in the store, another server is lost. Default 10,000. */
  readonly serverTimeout?: number | undefined;
  /** Options of the ROUTER, such as security. */
  readonly socketOptions?: RouterOptions | undefined;
}

/** What happens at a server of sessions. */
export type SessionServerEvent =
  /** A client has its session. */
  | { readonly type: "session:opened"; readonly id: string; readonly isPresent: boolean }
  /** A connection has ended, and why; the session is kept as long as its expiry says. */
  | {
      readonly type: "session:closed";
      readonly id: string;
      readonly reason: SessionFailure | "left" | "closed";
    }
  /** A session was removed: its client ended it, or its time was over. */
  | { readonly type: "session:removed"; readonly id: string; readonly reason: "ended" | "expired" }
  /** A client was not given the session that it asked for. */
  | { readonly type: "session:refused"; readonly id: string; readonly reason: string }
  /** This server keeps what nodes publish from now on, and all nodes know of it; or it does so no longer. */
  | { readonly type: "topics:taken" }
  | { readonly type: "topics:left" }
  /** The node does not subscribe to a session's filter: what is published over the cluster does not reach the session by it. */
  | { readonly type: "topics:refused"; readonly filter: string; readonly error: unknown }
  /** The store failed. Clients whose work was lost with it are disconnected, and ask again. */
  | { readonly type: "store:failed"; readonly error: unknown }
  /** A client sent what is not a message of this protocol. Its connection has ended. */
  | { readonly type: "message:invalid"; readonly reason: string };

/** The statistics of a server of sessions. */
export interface SessionServerStats {
  /** Clients that have a session here. */
  readonly connections: number;
  /** Messages that were kept, each as often as a session keeps it, and those that were delivered and acknowledged. */
  readonly published: number;
  readonly delivered: number;
  readonly acknowledged: number;
  /** Copies of messages of the cluster that sessions keep, and messages that were lost since the store failed. */
  readonly clusterKept: number;
  readonly clusterLost: number;
  /** Bytes of those that were delivered and not acknowledged. */
  readonly inFlightBytes: number;
  /** Publications that were known already. */
  readonly duplicates: number;
  /** Operations that wait for the store; its commits, operations in them, and those that another server was faster than. */
  readonly pending: number;
  readonly commits: number;
  readonly operations: number;
  readonly conflicts: number;
  /** Filters, each as often as a session of the store has it. */
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
  store: object<SessionStore>(),
  node: object<SessionNode>(),
  clusterTopics: anything<readonly string[]>(),
  name: text(),
  authorize: func<NonNullable<SessionServerOptions["authorize"]>>(),
  maxConnections: integer({ default: 100_000 }),
  maxSessions: integer({ default: 1_000_000 }),
  maxFilters: integer({ default: 1_000_000 }),
  maxFilterBytes: bytes({ default: 67_108_864 }),
  maxInFlightBytes: bytes({ default: 268_435_456 }),
  maxQueue: integer({ default: 1_000_000 }),
  maxQueueBytes: bytes({ default: 1_073_741_824 }),
  maxExpiry: bytes({ default: 2_592_000_000 }),
  maxPending: integer({ default: 10_000 }),
  maxPendingBytes: bytes({ default: 67_108_864 }),
  pollInterval: integer({ default: 1_000 }),
  serverTimeout: integer({ default: 10_000 }),
  socketOptions: object<RouterOptions>(),
};

/** Of `sessions`. */
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
  /** Whether it has a connection, to whichever server. */
  readonly isConnected: boolean;
  /** Whether that is this server. */
  readonly isHere: boolean;
  /** ms since 1970 at which it was connected or left. */
  readonly since: number;
  /** ms that it is kept without a connection. */
  readonly expiry: number;
  readonly filters: number;
  /** Messages that it has not acknowledged, and bytes of them. */
  readonly queued: number;
  readonly queuedBytes: number;
  readonly maxQueue: number;
  readonly drop: SessionDropPolicy;
  /** Messages that were dropped: for want of room, and for their age. */
  readonly droppedFull: number;
  readonly droppedOld: number;
}

/** @param server that is asked @throws StoreError `damaged` */
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
