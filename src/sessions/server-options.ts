/** Options, events and statistics of session servers. */
import { InvalidArgumentError } from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { bytes, checkOptions, func, type GivenWith, integer, methods, object, text } from "../kit/options.js";
import type { RouterOptions } from "../sockets/request-reply.js";
import type { SessionFailure } from "./protocol.js";
import { decodeJson, lastPart, type SessionDropPolicy, type SessionRecord } from "./records.js";
import type { SessionStore } from "./store.js";

/** A `ClusterNode` or one of its namespaces, as a server uses it. */
export interface SessionNode {
  publish(topic: string, data: string): Promise<number>;
  subscribe(filter: string, handler: (message: { readonly data: Buffer }) => void): { close(): unknown };
  advertise(name: string, endpoint: string): () => void;
}

export interface SessionRequest {
  readonly id: string;
  readonly token: string;
}

export const SESSION_SERVER_EVENTS = {
  "session:opened": event<{ readonly id: string; readonly isPresent: boolean }>(),
  /** The session stays for its `expiry`. */
  "session:closed": event<{ readonly id: string; readonly reason: SessionFailure | "left" | "closed" }>(),
  /** Removed by its client or an operator, or expired. */
  "session:removed": event<{ readonly id: string; readonly reason: "ended" | "expired" }>(),
  "session:refused": event<{ readonly id: string; readonly reason: string }>(),
  /** Affected clients are disconnected, and repeat their requests. */
  "store:failed": event<{ readonly error: unknown }>(),
  /** The client was disconnected. */
  "message:invalid": event<{ readonly reason: string }>(),
};

export type SessionServerEvent = EventsOf<typeof SESSION_SERVER_EVENTS>;

export interface SessionServerStats {
  readonly connections: number;
  /** Stored copies of publications. */
  readonly published: number;
  readonly delivered: number;
  readonly acknowledged: number;
  readonly inFlightBytes: number;
  readonly duplicates: number;
  /** Waiting operations; commits, their operations, and conflicts with other servers. */
  readonly pending: number;
  readonly commits: number;
  readonly operations: number;
  readonly conflicts: number;
  readonly filters: number;
}

export const OPTIONS = {
  /** Store of the sessions, which the program closes after the server. */
  store: methods<SessionStore>("a store of sessions, an object", ["read", "scan", "commit"]),
  /**
   * Node for waking each other and advertising endpoints under `name`. Without it, clients of other servers get
   * messages within `pollInterval`.
   */
  node: methods<SessionNode>("a ClusterNode, an object", ["publish", "subscribe", "advertise"]),
  /** Name, equal at all servers of a store. Default "sessions". */
  name: text(),
  /** Whether a client may have a session. Default: always. */
  authorize: func<(request: SessionRequest) => boolean | Promise<boolean>>(),
  /** Connected sessions of this server; further clients are refused. Default 100,000. */
  maxConnections: integer({ default: 100_000 }),
  /** Sessions of the store; further ones are refused as `unavailable`, and their clients retry. Default 1,000,000. */
  maxSessions: integer({ default: 1_000_000 }),
  /** Filters of all the store's sessions. Default 1,000,000. */
  maxFilters: integer({ default: 1_000_000 }),
  /** Bytes of these filters, which each server has in memory. Default 64 MiB. */
  maxFilterBytes: bytes({ default: 67_108_864 }),
  /**
   * Unacknowledged bytes of all clients of this server. Beyond it each client gets an equal share, at least 16 KiB or
   * one message. Default 256 MiB.
   */
  maxInFlightBytes: bytes({ default: 268_435_456 }),
  /** Limit of the clients' `maxQueue`. Default 1,000,000. */
  maxQueue: integer({ default: 1_000_000 }),
  /** Limit of the clients' `maxQueueBytes`. Default 1 GiB. */
  maxQueueBytes: bytes({ default: 1_073_741_824 }),
  /** Limit of the clients' `expiry`. Default 2,592,000,000: 30 days. */
  maxExpiry: bytes({ default: 2_592_000_000 }),
  /** Waiting store operations beyond which the server stops reading. Default 10,000. */
  maxPending: integer({ default: 10_000 }),
  /** Bytes of their messages. Default 64 MiB. */
  maxPendingBytes: bytes({ default: 67_108_864 }),
  /** Time between polls for other servers' changes. Lower finds lost wake-ups sooner and reads more. Default 1,000. */
  pollInterval: integer({ default: 1_000 }),
  /** Time without a sign of life in the store until a server is lost. Default 10,000. */
  serverTimeout: integer({ default: 10_000 }),
  /** Options of the ROUTER, such as security. */
  socketOptions: object<RouterOptions>(),
};

/** Options of {@link SessionServer}; times in ms. */
export type SessionServerOptions = GivenWith<typeof OPTIONS, "store">;

export const LIST_OPTIONS = { after: text(), limit: integer({ default: 1_000, max: 10_000 }) };

export type SessionServerSettings = ReturnType<typeof serverSettings>;

export function serverSettings(options: SessionServerOptions) {
  const settings = checkOptions("SessionServer", OPTIONS, options);
  const { store } = settings;
  if (store === undefined)
    throw new InvalidArgumentError(
      "Option store of SessionServer must be a store of sessions; got undefined",
    );
  return { ...settings, store, name: settings.name ?? "sessions" };
}

/** A session for an operator. */
export interface SessionInfo {
  readonly id: string;
  /** Connected to any server. */
  readonly isConnected: boolean;
  /** Connected to this server. */
  readonly isHere: boolean;
  /** Time of connecting or leaving, ms since 1970. */
  readonly since: number;
  /** ms. */
  readonly expiry: number;
  readonly filters: number;
  /** Unacknowledged messages, and their bytes. */
  readonly queued: number;
  readonly queuedBytes: number;
  readonly maxQueue: number;
  readonly drop: SessionDropPolicy;
  /** Dropped because the queue was full, and by age. */
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
