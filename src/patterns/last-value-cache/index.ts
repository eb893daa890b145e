/** Last value cache: a forwarder that sends late joiners the last value of each topic. */

export * from "../../kit/index.js";
export type { ProxySide } from "../../sockets/pump.js";
export type { LastValueCacheUncachedReason } from "../../statistics/patterns.js";
export { StoreError, type StoreErrorReason } from "../../store/store.js";
export {
  LastValueCache,
  type LastValueCacheEvent,
  type LastValueCacheOptions,
  type LastValueCacheStats,
} from "./last-value-cache.js";
export type { LastValueCacheSnapshotStats } from "./snapshots.js";
export type { LastValueCacheValueStats } from "./value-cache.js";
