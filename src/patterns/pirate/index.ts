export type { BodyFor, BodyOf } from "../kit/body.js";
export type { Dialect as PirateDialect, Malformed } from "../kit/worker-protocol.js";
export {
  type ClientEvent as PirateClientEvent,
  type ClientStats as PirateClientStats,
  type PirateCallOptions,
  PirateClient,
  type PirateClientOptions,
} from "./client.js";
export { PirateQueue, type PirateQueueOptions } from "./queue.js";
export type {
  PirateQueueEvent,
  PirateQueueStats,
  PirateWorkerLeftReason,
} from "./queue-rules.js";
export { type PirateHandler, PirateWorker, type PirateWorkerOptions } from "./worker.js";
export type { WorkerEvent as PirateWorkerEvent, WorkerStats as PirateWorkerStats } from "./worker-rules.js";
