/** Clone: a key-value map that every client holds, in one order for all (12/CHP). */
export * from "../../kit/index.js";
export type { CloneRefusalReason } from "../../statistics/patterns.js";
export { StoreError, type StoreErrorReason } from "../../store/store.js";
export { CloneClient } from "./client.js";
export { CloneConflictError } from "./client-calls.js";
export type {
  CloneChange,
  CloneClientEvent,
  CloneClientOptions,
  CloneClientStats,
  CloneDeleteOptions,
  CloneEntry,
  CloneKey,
  CloneSetOptions,
  CloneState,
  CloneValue,
  CloneValueIn,
  CloneWatchOptions,
} from "./client-options.js";
export type { CloneEndpoints, CloneFault } from "./protocol.js";
export { CloneServer } from "./server.js";
export type {
  ClonePairOptions,
  CloneServerEvent,
  CloneServerOptions,
  CloneServerStats,
  CloneSnapshotLoss,
  CloneSocketOptions,
} from "./server-options.js";
export type {
  CloneStore,
  CloneStoredChange,
  CloneStoredEntry,
  CloneStoredState,
  CloneStoreReplacement,
} from "./store.js";
export { CloneLmdbStore, type CloneLmdbStoreOptions } from "./store.js";
export { CloneWatch } from "./watch.js";
