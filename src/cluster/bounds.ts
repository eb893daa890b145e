/**
 * Bounds on what peers and networks can make a node keep. Unless a comment says otherwise, the oldest entry is dropped
 * above a bound.
 */

/** Members of a cluster, including dead ones. */
export const MAX_MEMBERS = 16_384;
/** Former members, remembered so that old gossip does not bring them back. */
export const MAX_TOMBSTONES = 4_096;
/** Remembered removals and admissions. */
export const MAX_REMOVALS = 1_024;
/** Updates waiting to be spread, two for each member and each removal; synchronization repairs dropped ones. */
export const MAX_GOSSIP = 34_816;
/** Senders waiting for their first ack. */
export const MAX_NEWCOMERS = 256;
/** Addresses from configuration or discovery without a member; more are refused. */
export const MAX_SEEDS = 1_024;
/** Proved streams of a node; more are refused. */
export const MAX_LINKS = 768;
/** Addresses of a connection manager. The other streams are for membership and for nodes that dial this one. */
export const MAX_KEPT_ADDRESSES = 448;
export const MAX_SOURCES = 16;
/** Concurrent probes; more have to wait. */
export const MAX_PROBES = 64;
/** Concurrent probes for other nodes; more get a nack at once. */
export const MAX_RELAYS = 256;
export const MAX_ACCUSERS = 8;

/** Link-local IPv6 addresses with remembered zones. */
export const MAX_ZONES = 1_024;

/** In addition to the node's own. */
export const MAX_LISTENERS = 8;

export const MAX_BUSES = 64;

/** Bytes of a datagram's payload. */
export const MAX_PACKET = 1_400;
/** Bytes of a packet over a stream, before sealing. */
export const MAX_STREAM_PACKET = 98_304;
export const MAX_UPDATES = 64;
/** Buckets of a digest. */
export const BUCKETS = 64;

export const MAX_NAME = 128;
export const MAX_ADDRESS = 128;
export const MAX_BUS_NAME = 64;
/** Bytes of a member's encoded tags, props and endpoints. */
export const MAX_DETAILS = 1_000;
/** Tags of a member, and bytes of one. */
export const MAX_TAGS = 64;
export const MAX_TAG = 64;
/** Tags and pairs of tags in one change. The cost of each grows with the node's tags. */
export const MAX_TAG_CHANGES = 1_000;
/** Props of a member; bytes of a key and of a value. */
export const MAX_PROPS = 64;
export const MAX_PROP_KEY = 64;
export const MAX_PROP_VALUE = 512;
/** Endpoints of a member, and bytes of one. */
export const MAX_ENDPOINTS = 8;
export const MAX_ENDPOINT = 128;

/** Senders' sessions with replay windows; at least half of them are kept. */
export const MAX_SESSIONS = 32_768;
/** Distance by which packets of one session may overtake each other. */
export const REPLAY_WINDOW = 256;
/** The key that seals, and the one before or after it. */
export const MAX_KEYS = 2;

export const MAX_HELLO = 131_072;
/** ZRE: groups of one node; bytes of a group's name, the most that a SHOUT can name. */
export const MAX_ZRE_GROUPS = 256;
export const MAX_ZRE_GROUP = 255;
/** ZRE: headers of a node; bytes of a name and of a value. */
export const MAX_ZRE_HEADERS = 64;
export const MAX_ZRE_HEADER_NAME = 255;
export const MAX_ZRE_HEADER_VALUE = 4_096;
/** ZRE: bytes of all encoded headers of this node. */
export const MAX_ZRE_HEADER_BYTES = 32_768;
/** ZRE: frames of a WHISPER or SHOUT. */
export const MAX_ZRE_FRAMES = 1_024;
/** ZRE: peers without HELLO; more are refused. */
export const MAX_ZRE_PENDING = 128;
/** ZRE: mailboxes opened at once, and per second after that; further peers wait for their next beacon. */
export const MAX_ZRE_BURST = 256;
export const MAX_ZRE_CONNECTS = 64;
