/** Configurations of proxies, which the command line loads only for a file. */
export { type Change, ChangeError, difference, Fleet, type FleetEffects, type FleetMember } from "./fleet.js";
export { configurationOf, loadConfiguration } from "./load.js";
export type { Configuration, ProxyConfiguration, SocketConfiguration } from "./model.js";
export { optionsOf } from "./model.js";
export { configurationSchema } from "./schema.js";
