/**
 * Bounds on what peers and networks can make a node keep. Unless a comment says otherwise, the oldest entry is dropped
 * above a bound, as by LatestMap.
 */

/** Including dead ones. */
export const MAX_MEMBERS = 16_384;
export const MAX_REMOVALS = 1_024;
/** Senders waiting for their first ack, and members without details that messages wait for; more are refused. */
export const MAX_NEW_MEMBERS = 256;
/** Addresses from configuration or discovery without a member, or of a discovery client; more are refused. */
export const MAX_SEEDS = 1_024;
/** Of a node's discovery sources, and of the servers that one source asks. */
export const MAX_SERVERS = 16;
/** Proved ones of a node; more are refused. */
export const MAX_LINKS = 768;
/** Other streams are for membership and for nodes that dial this one. */
export const MAX_KEPT_ADDRESSES = 448;
/** In flight. Another member is probed in its turn. */
export const MAX_PROBES = 256;

export const MAX_NAMESPACES = 64;

/** Bytes of a datagram. */
export const MAX_PACKET = 1_400;
/** Bytes of a packet over a stream, before sealing. */
export const MAX_STREAM_PACKET = 98_304;
export const MAX_UPDATES = 64;
export const BUCKETS = 64;

/** Bytes of the name of a node, service or source, and of a program's id for a message or request. */
export const MAX_NAME = 128;
/** Bytes of an address or endpoint. */
export const MAX_ADDRESS = 128;
/** Bytes of a tag, a prop's key, and the name of a cluster, a channel, an endpoint or a client. */
export const MAX_SHORT_NAME = 64;
/** Bytes of encoded tags, props and endpoints. */
export const MAX_DETAILS = 1_000;
/** Of these, for each of the props that tell others of messaging and of a discovery server. */
export const MAX_ADVERT = 400;
/** Tags, and props, of a member; also entries of each list about a node in a discovery server's answer. */
export const MAX_TAGS = 64;
/** Endpoints of a member, its listeners, protocols and control endpoints. */
export const MAX_ENDPOINTS = 8;

/** Packets of a session may overtake each other by this. */
export const REPLAY_WINDOW = 256;
/** The key that seals, and the one before or after it. */
export const MAX_KEYS = 2;

/** Keeps the keys that were set last, `most` of them, the oldest first. */
export class LatestMap<K, V> extends Map<K, V> {
  readonly #most: number;

  constructor(most: number) {
    super();
    this.#most = most;
  }

  override set(key: K, value: V): this {
    this.delete(key);
    super.set(key, value);
    if (this.size > this.#most) this.delete(this.keys().next().value as K);
    return this;
  }
}
