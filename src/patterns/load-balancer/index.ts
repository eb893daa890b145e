export type {
  BrokerDriverOptions,
  BrokerEndpoints,
  ReplyDropped,
} from "../../kit/broker-driver.js";
export type { JobDropReason } from "../../kit/dispatcher.js";
export * from "../../kit/index.js";
export {
  LoadBalancer,
  type LoadBalancerEvent,
  type LoadBalancerOptions,
  type LoadBalancerStats,
} from "./balancer.js";
export {
  LoadBalancerClient,
  type LoadBalancerClientEvent,
  type LoadBalancerClientOptions,
  type LoadBalancerClientStats,
} from "./client.js";
