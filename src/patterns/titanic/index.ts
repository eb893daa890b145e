export * from "../../kit/index.js";
export { StoreError, type StoreErrorReason } from "../../store/store.js";
export {
  TitanicClient,
  type TitanicReply,
  type TitanicRequestOptions,
  type TitanicWaitOptions,
} from "./client.js";
export type { TitanicOptions } from "./dispatch-rules.js";
export type { TitanicEvent } from "./dispatcher.js";
export { LmdbStore, type LmdbStoreOptions } from "./lmdb-store.js";
export { PostgresStore, type PostgresStoreOptions } from "./postgres-store.js";
export { TITANIC_SERVICES, TitanicStatus } from "./protocol.js";
export type {
  TitanicClaimedRequest,
  TitanicDamagedRecord,
  TitanicDeath,
  TitanicNewRequest,
  TitanicRequestState,
  TitanicStore,
  TitanicStoredDeadLetter,
  TitanicStoreStats,
} from "./store.js";
export { Titanic, type TitanicDeadLetter, type TitanicStats } from "./titanic.js";
