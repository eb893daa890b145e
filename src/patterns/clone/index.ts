/** Clone: a key-value map that every client holds, in one order for all (12/CHP). */
export { CloneClient } from "./client.js";
export type { CloneChange, CloneClientEvent, CloneClientStats, CloneState } from "./client-events.js";
export type {
  CloneClientOptions,
  CloneKey,
  CloneSetOptions,
  CloneValue,
  CloneValueIn,
  CloneWatchOptions,
} from "./client-options.js";
export type { CloneEndpoints } from "./endpoints.js";
export { CloneLmdbStore, type CloneLmdbStoreOptions } from "./lmdb-store.js";
export type { CloneSocketOptions } from "./pair-security.js";
export type { CloneFault } from "./protocol.js";
export { CloneServer } from "./server.js";
export type { CloneServerEvent, CloneServerStats, RefusalReason, SnapshotLoss } from "./server-events.js";
export type { ClonePairOptions, CloneServerOptions } from "./server-options.js";
export type { CloneStore, StoredChange, StoredEntry, StoredState, StoreReplacement } from "./store.js";
export { CloneWatch } from "./watch.js";
