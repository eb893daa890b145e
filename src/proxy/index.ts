/**
 * Proxies between two sockets.
 *
 * @module
 */

export type { ProxyDropReason, ProxyEvent, ProxyListening } from "./events.js";
export type {
  ProxyCaptureOptions,
  ProxyCertificates,
  ProxyControlOptions,
  ProxyEndpoints,
  ProxyOptions,
  ProxyPoliced,
  ProxySideOptions,
  ProxySideOptionsByType,
  ProxySocketName,
  ProxySubscriptions,
  TypedProxySideOptions,
} from "./options.js";
export { LEGAL_PAIRS, type ProxyKind, type ProxySide, type ProxySocketType } from "./pairs.js";
export type {
  ProxyPolicy,
  ProxyPolicyLimits,
  ProxyPolicyList,
  ProxyPolicyRate,
  ProxyPolicyReason,
  ProxyPolicyRefusals,
} from "./policy/policy.js";
export { Proxy } from "./proxy.js";
export {
  ForwarderProxy,
  type ForwarderProxyOptions,
  type ProxyCloseOptions,
  type ProxyDrainOptions,
  QueueProxy,
  type QueueProxyOptions,
  SocketProxy,
  type SocketProxyOptions,
  StreamerProxy,
  type StreamerProxyOptions,
} from "./socket-proxy.js";
export type { ProxyState } from "./states.js";
export type {
  ProxyCaptureStats,
  ProxyControlStats,
  ProxyDrainResult,
  ProxyHandshakeReason,
  ProxyIncoming,
  ProxyOutgoing,
  ProxySideStats,
  ProxyStats,
} from "./stats.js";
