/**
 * Proxies: what passes messages between two sockets.
 *
 * @module
 */

export type { ProxyDropReason, ProxyEvent, ProxyListening } from "./events.js";
export type { ProxyLoopPeer } from "./loop-detector.js";
export type {
  ProxyCaptureOptions,
  ProxyControlOptions,
  ProxyEndpoints,
  ProxyOptions,
  ProxyPoliced,
  ProxySideOptions,
  ProxySideOptionsByType,
  ProxySubscriptions,
  TypedProxySideOptions,
} from "./options.js";
export { LEGAL_PAIRS, type ProxyKind, type ProxySide, type ProxySocketType } from "./pairs.js";
export type {
  PolicyLimits,
  PolicyList,
  PolicyRate,
  PolicyReason,
  PolicyRefusals,
  ProxyPolicy,
} from "./policy/policy.js";
export { Proxy } from "./proxy.js";
export type { ProxySocketName } from "./proxy-sockets.js";
export {
  type DrainOptions,
  ForwarderProxy,
  type ForwarderProxyOptions,
  QueueProxy,
  type QueueProxyOptions,
  SocketProxy,
  type SocketProxyOptions,
  type StopOptions,
  StreamerProxy,
  type StreamerProxyOptions,
} from "./socket-proxy.js";
export type { ProxyState } from "./states.js";
export type {
  CaptureStats,
  ControlStats,
  DrainResult,
  ProxyIncoming,
  ProxyOutgoing,
  ProxySideStats,
  ProxyStats,
} from "./stats.js";
