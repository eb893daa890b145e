export { StoreError, type StoreErrorReason } from "../kit/store/error.js";
export {
  TitanicClient,
  type TitanicReply,
  type TitanicRequestOptions,
  type TitanicWaitOptions,
} from "./client.js";
export type { DispatchStats } from "./dispatch-rules.js";
export { LmdbStore, type LmdbStoreOptions } from "./lmdb-store.js";
export { PostgresStore, type PostgresStoreOptions } from "./postgres-store.js";
export { TITANIC_SERVICES, TitanicStatus } from "./protocol.js";
export { openTitanic, type TitanicService } from "./service.js";
export type {
  Burial,
  ClaimedRequest,
  DamagedRecord,
  DeadLetter,
  NewRequest,
  RequestState,
  StoreStats,
  TitanicStore,
} from "./store.js";
export { Titanic, type TitanicDeadLetter } from "./titanic.js";
export type { TitanicEvent, TitanicOptions, TitanicStats } from "./titanic-options.js";
