export * from "../../kit/index.js";
export { MajordomoBroker } from "./broker.js";
export type {
  MajordomoBrokerEvent,
  MajordomoBrokerLimits,
  MajordomoBrokerOptions,
  MajordomoBrokerStats,
  MajordomoServiceStats,
  MajordomoWorkerLeaveReason,
} from "./broker-options.js";
export { MajordomoClient } from "./client.js";
export type {
  MajordomoBrokerLeaveReason,
  MajordomoCallOptions,
  MajordomoClientEvent,
  MajordomoClientOptions,
  MajordomoClientStats,
  MajordomoService,
} from "./client-options.js";
export type { MajordomoFaultReason } from "./protocol.js";
export { MajordomoWorker } from "./worker.js";
export type {
  MajordomoHandler,
  MajordomoHandlerResult,
  MajordomoHandlers,
  MajordomoRequestContext,
  MajordomoServeOptions,
  MajordomoWorkerEvent,
  MajordomoWorkerOptions,
  MajordomoWorkerStats,
} from "./worker-options.js";
