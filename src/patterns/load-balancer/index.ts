export type {
  BrokerDriverOptions,
  BrokerSocketOptions,
  CloseBrokerOptions,
  ReplyDropped,
} from "../kit/broker-driver.js";
export type { JobDropReason } from "../kit/dispatcher.js";
export { LoadBalancer, type LoadBalancerOptions } from "./balancer.js";
export type { BalancerEvent, BalancerStats } from "./rules.js";
