export type {
  BrokerDriverOptions,
  BrokerEndpoints,
  ReplyDropped,
} from "../../kit/broker-driver.js";
export type { JobDropReason } from "../../kit/dispatcher.js";
export * from "../../kit/index.js";
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
