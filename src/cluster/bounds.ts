/**
 * Every bound of the cluster's rules, in one place: what a peer, a key holder or a busy network can make a node keep.
 * Past a bound the oldest goes, or the newcomer is refused with a reason that is counted.
 */

/** Members of a bus, the dead included. */
export const MAX_MEMBERS = 16_384;
/** Members of the past that are remembered so that old gossip does not bring them back; the oldest goes. */
export const MAX_TOMBSTONES = 4_096;
/** Removed and admitted nodes that are remembered; the oldest goes. */
export const MAX_REMOVALS = 1_024;
/** Updates that wait to be spread, two of each member and of each removal; the oldest goes, and the others learn of it when they synchronize. */
export const MAX_GOSSIP = 34_816;
/** Senders that wait for their first ack; the oldest goes. */
export const MAX_NEWCOMERS = 256;
/** Addresses that were given by configuration or discovery and are no member's; a further one is refused. */
export const MAX_SEEDS = 1_024;
/** Streams of a node at a time, without those whose other end has not proved itself; a further one is refused. */
export const MAX_LINKS = 512;
/** Addresses of a connection manager: the other streams are for the membership, and for who dials this node. */
export const MAX_KEPT_ADDRESSES = 448;
/** Sources of discovery of a bus. */
export const MAX_SOURCES = 16;
/** Probes at a time; a further one waits. */
export const MAX_PROBES = 64;
/** Probes for others at a time; a further one is answered with a nack at once. */
export const MAX_RELAYS = 256;
/** Accusers of one member that count. */
export const MAX_ACCUSERS = 8;

/** Link-local addresses of IPv6 whose zones are remembered; the oldest is forgotten. */
export const MAX_ZONES = 1_024;

/** Listeners of a node beyond its own. */
export const MAX_LISTENERS = 8;

/** Buses of a node. */
export const MAX_BUSES = 64;

/** Bytes of a datagram, as the network sees it. */
export const MAX_PACKET = 1_400;
/** Bytes of a packet over a stream, before it is sealed. */
export const MAX_STREAM_PACKET = 98_304;
/** Updates in one packet. */
export const MAX_UPDATES = 64;
/** Buckets of a synchronization. */
export const BUCKETS = 64;

/** Bytes of `name@host`. */
export const MAX_NAME = 128;
/** Bytes of an address. */
export const MAX_ADDRESS = 128;
/** Bytes of a bus's name. */
export const MAX_BUS_NAME = 64;
/** Bytes of a member's tags, props and endpoints, encoded. */
export const MAX_DETAILS = 1_000;
/** Tags of a member, and bytes of one. */
export const MAX_TAGS = 64;
export const MAX_TAG = 64;
/** Tags and pairs of tags in one change: each may cost as much as a node has tags by then. */
export const MAX_TAG_CHANGES = 1_000;
/** Props of a member, bytes of a key and of a value. */
export const MAX_PROPS = 64;
export const MAX_PROP_KEY = 64;
export const MAX_PROP_VALUE = 512;
/** Endpoints of a member, and bytes of one. */
export const MAX_ENDPOINTS = 8;
export const MAX_ENDPOINT = 128;

/** Sessions of senders whose replay windows are kept; half of them at least. */
export const MAX_SESSIONS = 32_768;
/** Packets that may overtake each other in one session. */
export const REPLAY_WINDOW = 256;
/** Keys of a bus at a time: the one that seals, and the one before or after it. */
export const MAX_KEYS = 2;

/** ZRE: bytes of a HELLO. */
export const MAX_HELLO = 131_072;
/** ZRE: groups of one node, and bytes of a group's name: a SHOUT cannot name a longer one. */
export const MAX_ZRE_GROUPS = 256;
export const MAX_ZRE_GROUP = 255;
/** ZRE: headers of a node, bytes of a name and of a value. */
export const MAX_ZRE_HEADERS = 64;
export const MAX_ZRE_HEADER_NAME = 255;
export const MAX_ZRE_HEADER_VALUE = 4_096;
/** ZRE: bytes of all headers that a node sends, encoded. */
export const MAX_ZRE_HEADER_BYTES = 32_768;
/** ZRE: frames of a whisper or a shout. */
export const MAX_ZRE_FRAMES = 1_024;
/** ZRE: peers that were heard of and have not said HELLO; a further one is refused. */
export const MAX_ZRE_PENDING = 128;
/** ZRE: mailboxes that are opened at once, and per second after that; a further one has to wait for its next beacon. */
export const MAX_ZRE_BURST = 256;
export const MAX_ZRE_CONNECTS = 64;
