export * from "../kit/index.js";
export {
  FederatedBroker,
  type FederatedBrokerOptions,
  type FederationEndpoints,
  type SiteEndpoints,
} from "./broker.js";
export type { FederationEvent, FederationStats } from "./rules.js";
