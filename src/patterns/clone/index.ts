/** Clone: a key-value map that every client holds, in one order for all (12/CHP). */
export {
  CloneClient,
  type CloneClientOptions,
  type CloneKey,
  type CloneSetOptions,
  type CloneValue,
  type CloneValueIn,
  type CloneWatchOptions,
} from "./client.js";
export type { CloneChange, CloneClientEvent, CloneClientStats, CloneState } from "./client-events.js";
export type { CloneEndpoints } from "./endpoints.js";
export { CloneLmdbStore, type CloneLmdbStoreOptions } from "./lmdb-store.js";
export type { CloneFault } from "./protocol.js";
export { type ClonePairOptions, CloneServer, type CloneServerOptions } from "./server.js";
export type { CloneServerEvent, CloneServerStats, RefusalReason, SnapshotLoss } from "./server-events.js";
export type { CloneStore, StoredChange, StoredEntry, StoredState, StoreReplacement } from "./store.js";
export { CloneWatch } from "./watch.js";
