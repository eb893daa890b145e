export * from "../../kit/index.js";
export {
  FederatedBroker,
  type FederatedBrokerOptions,
  type FederationEndpoints,
  type SiteEndpoints,
  type SiteSources,
} from "./broker.js";
export type { FederationEvent, FederationStats } from "./rules.js";
