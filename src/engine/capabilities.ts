/**
 * What an engine can do, as data. A call that needs a capability the engine
 * lacks throws `NOT_SUPPORTED`; it never silently does nothing. docs/engines.md
 * is kept equal to the engines' tables by a test.
 */
export interface EngineCapabilities {
  /** Transports an endpoint can name. */
  readonly transports: readonly string[];
  /** Security mechanisms, both sides. */
  readonly mechanisms: readonly string[];
  /** Peer events and statistics over these transports. */
  readonly peerEvents: readonly string[];
  /** Peer events carry the peer's routing id. */
  readonly peerRoutingIds: boolean;
  /** A disconnect event carries the reason. */
  readonly disconnectReasons: boolean;
  /** A PUB that drops for a full peer counts and reports it. */
  readonly publisherDrops: boolean;
  /** A publisher sees its subscriptions (not with `conflate`). */
  readonly subscriptions: boolean;
  /** With the option `manual` the program sets the subscriptions of each peer of an XPUB. */
  readonly manualSubscriptions: boolean;
  /** An XPUB knows which peer sent a message, and can send to that peer alone. */
  readonly answerSubscribers: boolean;
  /** How a topic's subscribers are counted: per connection, or per SUBSCRIBE received. */
  readonly subscriptionCount: "connections" | "subscriptions";
  /** The depth of the outgoing queue is known, in messages and in bytes. */
  readonly queueDepth: boolean;
  /** `close` counts exactly what it discarded. */
  readonly discardCount: boolean;
  /** A single connected peer can be disconnected. */
  readonly disconnectPeer: boolean;
  /** Peers can be refused by their address before they shake hands, and each be held to a rate. */
  readonly policePeers: boolean;
  /** Socket options that the engine cannot set; it throws `NOT_SUPPORTED` for any value but their default. */
  readonly unsupportedOptions: readonly string[];
  /** Messages that the engine may hold for the program beyond `receiveHighWaterMark`. */
  readonly prefetch: number;
}
