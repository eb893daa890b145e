/**
 * A web page with connections, rates, queues and drops of a program.
 *
 * @module
 */
export type { DashboardSources, DashboardSourcesByName } from "./local.js";
export { serveDashboard } from "./serve.js";
export type { DashboardOptions, DashboardServer } from "./server.js";
export type * from "./state.js";
