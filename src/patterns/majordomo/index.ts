export { MajordomoBroker, type MajordomoBrokerOptions, type PatternCloseOptions } from "./broker.js";
export type { BrokerEvent, BrokerLimits, BrokerStats, WorkerLeaveReason } from "./broker-options.js";
export { MajordomoClient } from "./client.js";
export type { ManyReply, ManyResult, RequestManyOptions } from "./client-calls.js";

export type { FaultReason } from "./client-messages.js";
export type {
  BrokerLeaveReason,
  CallOptions,
  ClientEvent,
  ClientStats,
  MajordomoClientOptions,
} from "./client-options.js";
export { MajordomoWorker } from "./worker.js";
export type {
  HandlerResult,
  MajordomoHandler,
  MajordomoWorkerOptions,
  ReplyBody,
  RequestBody,
  RequestContext,
  WorkerEvent,
  WorkerStats,
} from "./worker-options.js";
