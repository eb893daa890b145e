/**
 * Proxies: what passes messages between two sockets.
 *
 * @module
 */

export type { MetricsKind } from "../metrics/metrics-table.js";
export { type MetricsServer, type MetricsSource, serveMetrics } from "../metrics/serve.js";
export type { CaptureStats } from "./capture.js";
export type { ControlStats } from "./control.js";
export type { ProxyDropReason, ProxyEvent, ProxyListening } from "./events.js";
export type { ProxySocketName } from "./live-endpoints.js";
export type { WayBack } from "./neighbours.js";
export type {
  ProxyCaptureOptions,
  ProxyControlOptions,
  ProxyEndpoints,
  ProxyOptions,
  ProxyPoliced,
  ProxySide,
  ProxySides,
  ProxySubscriptions,
  TypedProxySide,
} from "./options.js";
export { LEGAL_PAIRS, type ProxySideName, type ProxySocketType } from "./pairs.js";
export type {
  PolicyLimits,
  PolicyList,
  PolicyRate,
  PolicyReason,
  PolicyRefusals,
  ProxyPolicy,
} from "./policy/policy.js";
export {
  ForwarderProxy,
  type ForwarderProxyOptions,
  QueueProxy,
  type QueueProxyOptions,
  StreamerProxy,
  type StreamerProxyOptions,
} from "./proxies.js";
export { Proxy } from "./proxy.js";
export { type DrainOptions, SocketProxy, type SocketProxyOptions, type StopOptions } from "./socket-proxy.js";
export type { ProxyState } from "./states.js";
export type { DrainResult, ProxyIncoming, ProxyOutgoing, ProxySideStats, ProxyStats } from "./stats.js";
