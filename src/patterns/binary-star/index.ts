/** Binary Star: two servers, one of them active. */
export * from "../../kit/index.js";
export {
  BinaryStarGate,
  type BinaryStarGateEvent,
  type BinaryStarGateOptions,
  type BinaryStarGateStats,
} from "./gate.js";
export type {
  BinaryStarAdmission,
  BinaryStarFenceReason,
  BinaryStarOrder,
  BinaryStarReason,
  BinaryStarReplica,
  BinaryStarRole,
  BinaryStarRulesStats,
} from "./rules.js";
export { BinaryStarState } from "./rules.js";
export {
  BinaryStarClient,
  type BinaryStarClientOptions,
  type BinaryStarEndpoints,
  type BinaryStarHandOverOptions,
  BinaryStarServer,
  type BinaryStarServerEvent,
  type BinaryStarServerOptions,
  type BinaryStarServerStats,
  type BinaryStarSide,
} from "./server.js";
export {
  BinaryStar,
  type BinaryStarEvent,
  type BinaryStarOptions,
  type BinaryStarStateName,
  type BinaryStarStats,
} from "./star.js";
