/**
 * Traces and metrics by OpenTelemetry, with the package `@opentelemetry/api`.
 *
 * @module
 */

export {
  Operation,
  type ProcessOperation,
  type RequestOperation,
  type ServiceSystem,
  type Wrapper,
} from "../core/diagnostics.js";
export type {
  MessageCall,
  MessageHandlerKind,
  MessageProcessOperation,
  MessageSendOperation,
  MessageSystem,
  ObservedMessage,
} from "../core/message-operations.js";
export { SEMANTIC_CONVENTIONS_VERSION } from "./conventions.js";
export { type Observation, type ObserveOptions, observeDrivers } from "./drivers.js";
export { type Instrumentation, type InstrumentOptions, instrument } from "./instrument.js";
export { contextOf, processMessage } from "./messages.js";
