/**
 * Every bound of messaging, in one place: what a program, a peer or an admitted but evil node can make a node keep. Past a
 * bound the caller gets an error, and a peer's is refused with a reason that is counted.
 */

/** Bytes of a topic or a filter, as MQTT has it. */
export const MAX_TOPIC = 65_535;
/** Levels of a topic or a filter. */
export const MAX_TOPIC_LEVELS = 128;
/** Shapes of filters in a table, and of one node: which levels are "+", and where "#" ends it. A match looks once for each. */
export const MAX_SHAPES = 4_096;
export const MAX_SHAPES_OF_NODE = 1_024;
/** Ids of topics that one node registers, and bytes of their names. */
export const MAX_TOPIC_IDS = 4_096;
export const MAX_TOPIC_ID_BYTES = 1_048_576;

/** Bytes of a frame with more than one item. */
export const MAX_BATCH = 65_536;
/** Bytes of an item, unless the option has another number. */
export const MAX_ITEM = 1_048_576;
/** Bytes of an item that the option may ask for, at most. */
export const MAX_ITEM_LIMIT = 268_435_456;
/** Bytes from which an item is a frame of its own, sent without being copied. */
export const ITEM_BY_REFERENCE = 16_384;
/** What waits for one peer at most, unless the options have other numbers: items, and bytes with their headers. */
export const LINK_ITEMS = 262_144;
export const LINK_BYTES = 16_777_216;
/** Bytes that a peer may send beyond what was acknowledged to it. */
export const LINK_WINDOW = 4_194_304;
/** Bytes that were delivered after which they are acknowledged before the turn ends. */
export const ACK_BYTES = 262_144;
/** Prefixes under which drops are counted; further ones are counted together. */
export const MAX_DROP_PREFIXES = 1_024;
/** Bytes of such a prefix; longer ones are counted together. */
export const MAX_DROP_PREFIX = 256;
/** Connections whose hello waits until its sender is a member here, and ms that each waits. */
export const MAX_HELLOS = 1_024;
export const HELLO_TIMEOUT = 5_000;
/** Connections that peers have opened. */
export const MAX_LINK_CONNECTIONS = 16_384;
/** Protocols of a node, bytes of a protocol's name, and bytes of what a node advertises for all of them. */
export const MAX_PROTOCOLS = 8;
export const MAX_PROTOCOL_NAME = 16;
export const MAX_ADVERT = 400;
/** ms without traffic after which a link to a peer closes, unless the option has another number. */
export const LINK_IDLE = 60_000;
/** ms until an attempt to connect, its handshakes included, is given up. */
export const DIAL_TIMEOUT = 3_000;
/** ms between two rounds of attempts: the first and the longest wait. */
export const DIAL_RETRY = 50;
export const DIAL_RETRY_MAX = 2_000;
/** ms after which a protocol that failed is tried again, while another one serves. */
export const PROTOCOL_RETRY = 30_000;

/** Channels that a bus joins, and bytes of a channel's name. */
export const MAX_CHANNELS = 1_024;
export const MAX_CHANNEL_NAME = 64;
/** Bytes of a request unique id. */
export const MAX_RUID = 128;
/** Bytes of the reason of a veto, as its sender gets it; the rest is cut off. */
export const MAX_VETO_REASON = 256;
/** Hooks of a bus. */
export const MAX_HOOKS = 256;
/** Services of one send or query. */
export const MAX_TARGETS = 16_384;

/** Queries of a bus that wait for responses, and the responses that they wait for. */
export const MAX_QUERIES = 1_024;
export const MAX_AWAITED = 65_536;
/** Bytes of responses that one query keeps for a program that has not read them; a further one is counted as failed. */
export const MAX_UNREAD_BYTES = 16_777_216;
/** Messages and queries of others that are handled at a time, and their bytes. A further query is refused, a further message waits. */
export const MAX_HANDLING = 1_024;
export const MAX_HANDLING_BYTES = 16_777_216;
