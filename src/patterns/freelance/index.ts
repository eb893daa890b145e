/** Freelance (10/FLP): clients and servers without a broker, in three models. */
export * from "../../kit/index.js";
export {
  FreelanceClient,
  type FreelanceClientEvent,
  type FreelanceClientOptions,
  type FreelanceClientStats,
} from "./client.js";
export type { FreelanceRulesStats, FreelanceServerStatus } from "./client-rules.js";
export type { FreelanceModel } from "./protocol.js";
export {
  FreelanceServer,
  type FreelanceServerEvent,
  type FreelanceServerOptions,
  type FreelanceServerStats,
} from "./server.js";
export {
  FreelanceFailoverClient,
  type FreelanceFailoverClientOptions,
  FreelanceShotgunClient,
  type FreelanceShotgunClientEvent,
  type FreelanceShotgunClientOptions,
  type FreelanceShotgunClientStats,
} from "./simple-clients.js";
