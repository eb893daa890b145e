/** What every pattern's entry point has beside its own: the same classes, whichever they come from. */
export { EventStream, type TypedEvent } from "../../core/event-stream.js";
export { Driver, type PatternCloseOptions, type PatternWaitOptions } from "./driver.js";
export { FAILURES, type FailureReason, type HandlerErrorDetails, ServiceError } from "./errors.js";
export type { ServerGate } from "./server-gate.js";
