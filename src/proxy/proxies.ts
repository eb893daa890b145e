/** The three proxies of the Guide: queue, forwarder, streamer. */
import type { ProxyOptions, ProxySides, TypedProxySide } from "./options.js";
import type { ProxySocketType } from "./pairs.js";
import { SocketProxy } from "./socket-proxy.js";

/** Options of {@link QueueProxy}. */
export type QueueProxyOptions = ProxyOptions<ProxySides["router"], ProxySides["dealer"]>;
/** Options of {@link ForwarderProxy}. */
export type ForwarderProxyOptions = ProxyOptions<ProxySides["xsub"], ProxySides["xpub"]>;
/** Options of {@link StreamerProxy}. */
export type StreamerProxyOptions = ProxyOptions<ProxySides["pull"], ProxySides["push"]>;

/**
 * Requests from clients (REQ, DEALER) at the frontend to workers (REP, ROUTER, DEALER) at the backend, in turn, and their
 * replies back. A reply to a client that has gone, or that does not read, is dropped and counted.
 */
export class QueueProxy extends SocketProxy {
  /** Opens nothing yet. @throws InvalidArgumentError `EINVAL` as {@link SocketProxy} */
  constructor(options: QueueProxyOptions) {
    super(typed(options, "router", "dealer"));
  }
}

/**
 * News from publishers (PUB, XPUB) at the frontend to subscribers (SUB, XSUB) at the backend. Subscriptions pass to the
 * publishers, each topic prefix once, however many ask for it; when the last has gone, it is cancelled.
 */
export class ForwarderProxy extends SocketProxy {
  /** Opens nothing yet. @throws InvalidArgumentError `EINVAL` as {@link SocketProxy} */
  constructor(options: ForwarderProxyOptions) {
    super(typed(options, "xsub", "xpub"));
  }
}

/** Work from PUSH peers at the frontend to PULL peers at the backend, in turn. Nothing is dropped while the proxy lives. */
export class StreamerProxy extends SocketProxy {
  /** Opens nothing yet. @throws InvalidArgumentError `EINVAL` as {@link SocketProxy} */
  constructor(options: StreamerProxyOptions) {
    super(typed(options, "pull", "push"));
  }
}

/** With the types in their places; what is no object is left for the checks. */
function typed(
  options: ProxyOptions<object, object>,
  frontend: ProxySocketType,
  backend: ProxySocketType,
): ProxyOptions<TypedProxySide, TypedProxySide> {
  if (typeof options !== "object" || options === null) return options;
  const side = (given: object, type: ProxySocketType): TypedProxySide =>
    (typeof given === "object" && given !== null ? { type, ...given } : given) as TypedProxySide;
  return { ...options, frontend: side(options.frontend, frontend), backend: side(options.backend, backend) };
}
