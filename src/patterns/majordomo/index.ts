export { MajordomoBroker, type MajordomoBrokerOptions, type PatternCloseOptions } from "./broker.js";
export type { BrokerEvent, BrokerStats, WorkerLeaveReason } from "./broker-events.js";
export type { BrokerLimits } from "./broker-options.js";
export { type CallOptions, MajordomoClient, type MajordomoClientOptions } from "./client.js";
export type { BrokerLeaveReason, ClientEvent, ClientStats } from "./client-events.js";
export type { FaultReason } from "./protocol-broker.js";
export type { ManyReply, ManyResult, RequestManyOptions } from "./request-many.js";
export { MajordomoWorker, type MajordomoWorkerOptions } from "./worker.js";
export type { WorkerEvent, WorkerStats } from "./worker-events.js";
export type {
  HandlerResult,
  MajordomoHandler,
  ReplyBody,
  RequestBody,
  RequestContext,
} from "./worker-handler.js";
