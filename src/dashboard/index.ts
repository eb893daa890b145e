/**
 * A web page with connections, rates, queues and drops of a program.
 *
 * @module
 */
export type {
  DashboardOptions,
  DashboardServer,
  DashboardSources,
  DashboardSourcesByName,
} from "./options.js";
export { serveDashboard } from "./serve.js";
export type * from "./state.js";
