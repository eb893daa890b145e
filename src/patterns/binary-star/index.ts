/** Binary Star: two servers, of which one serves at any time. */
export * from "../kit/index.js";
export {
  BinaryStarClient,
  type BinaryStarClientEvent,
  type BinaryStarClientOptions,
  type BinaryStarClientStats,
} from "./client.js";
export type { StarEvent, StarStateName } from "./events.js";
export { BinaryStarGate, type BinaryStarGateOptions, type BinaryStarGateStats } from "./gate.js";
export type { StarHolding, StarOrder } from "./holding.js";
export { StarState } from "./protocol.js";
export { BinaryStarReactor, type BinaryStarReactorOptions, type BinaryStarReactorStats } from "./reactor.js";
export type { Admission, FenceReason, StarCause, StarRole, StarRulesStats } from "./rules.js";
export {
  BinaryStarServer,
  type BinaryStarServerEvent,
  type BinaryStarServerOptions,
  type BinaryStarServerStats,
  type StarHandler,
  type StarRequest,
  type StarRequestContext,
} from "./server.js";
export { BinaryStar, type BinaryStarOptions, type StarStats } from "./star.js";
