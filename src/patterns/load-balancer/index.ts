export type {
  BrokerDriverOptions,
  BrokerEndpoints,
  ReplyDropped,
} from "../../kit/broker-driver.js";
export * from "../../kit/index.js";
export type { JobDropReason } from "../../statistics/patterns.js";
export {
  LoadBalancer,
  LoadBalancerClient,
  type LoadBalancerClientEvent,
  type LoadBalancerClientOptions,
  type LoadBalancerClientStats,
  type LoadBalancerEvent,
  type LoadBalancerOptions,
  type LoadBalancerStats,
} from "./load-balancer.js";
