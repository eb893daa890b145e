export { LoadBalancer, type LoadBalancerOptions } from "./balancer.js";
export type {
  BrokerDriverOptions,
  BrokerSocketOptions,
  CloseBrokerOptions,
  ReplyDropped,
} from "./broker-driver.js";
export type { JobDropReason } from "./dispatcher.js";
export type { BalancerEvent, BalancerStats } from "./rules.js";
