export type { PirateWorkerLeftReason } from "../../kit/dispatcher.js";
export * from "../../kit/index.js";
export type { Dialect as PirateDialect, Malformed } from "../../kit/worker-protocol.js";
export {
  PirateClient,
  type PirateClientOptions,
  PirateQueue,
  type PirateQueueEvent,
  type PirateQueueOptions,
  type PirateQueueStats,
} from "./queue.js";
export { type PirateHandler, PirateWorker, type PirateWorkerOptions } from "./worker.js";
export type { PirateWorkerEvent, PirateWorkerStats } from "./worker-rules.js";
