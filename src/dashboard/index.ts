/**
 * A web page with connections, rates, queues and drops of a program.
 *
 * @module
 */
export type { DashboardSources, DashboardSourcesByName } from "./local.js";
export { type DashboardOptions, type DashboardServer, serveDashboard } from "./server.js";
export type * from "./state.js";
