export { EventStream, type TypedEvent } from "../core/event-stream.js";
export type { BodyFor, BodyOf } from "./body.js";
export type { CallOptions } from "./calls.js";
export {
  defineService,
  type ServiceClient,
  type ServiceContract,
  type ServiceDefinition,
  type ServiceHandlers,
  type ServiceMethod,
  type ServiceMethods,
  type ServiceStreamMethod,
} from "./contract.js";
export { Driver, type PatternCloseOptions, type PatternWaitOptions } from "./driver.js";
export type { EndpointSourceEvent, PatternEndpoints } from "./endpoint-list.js";
export { FAILURES, type FailureReason, type HandlerErrorDetails, ServiceError } from "./errors.js";
export type { RequestContext, RequestHandler } from "./handler-runtime.js";
export type { PublisherGate, ServerGate } from "./options.js";
export type {
  RequestCallOptions,
  RequestClientEvent,
  RequestClientStats,
  RetryReason,
} from "./request-client.js";
