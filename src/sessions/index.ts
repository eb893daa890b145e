/** Sessions that outlive connections and nodes: `shoal/sessions`. */
export { StoreError, type StoreErrorReason } from "../store/store.js";
export { SessionClient, type SessionMessage } from "./client.js";
export type {
  SessionClientEvent,
  SessionClientOptions,
  SessionClientStats,
  SessionPublishOptions,
} from "./client-options.js";
export type { PublishedResult as SessionPublishResult } from "./client-rules.js";
export { LmdbSessionStore, type LmdbSessionStoreOptions } from "./lmdb-store.js";
export { PostgresSessionStore, type PostgresSessionStoreOptions } from "./postgres-store.js";
export { SessionError, type SessionFailure } from "./protocol.js";
export type { SessionDropPolicy } from "./records.js";
export { SessionServer } from "./server.js";
export type {
  SessionInfo,
  SessionNode,
  SessionRequest,
  SessionServerEvent,
  SessionServerOptions,
  SessionServerStats,
} from "./server-options.js";
export type {
  SessionStore,
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";
export { MemorySessionStore } from "./store.js";
