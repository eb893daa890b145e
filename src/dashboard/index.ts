/**
 * A page that shows what runs in a program: who is connected to whom, rates, queues, drops.
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
