export { FederatedBroker, type FederatedBrokerOptions, type SiteEndpoints } from "./broker.js";
export type { FederationEvent, FederationStats } from "./rules.js";
