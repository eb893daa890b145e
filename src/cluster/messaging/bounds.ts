/** Bounds of what programs and peers can make a node keep. Times in ms, sizes in bytes. */

/** As in MQTT. */
export const MAX_TOPIC = 65_535;
export const MAX_TOPIC_LEVELS = 128;
/** A shape: which levels are "+", and whether "#" ends it. A match probes once for each. */
export const MAX_SHAPES = 4_096;
export const MAX_SHAPES_OF_NODE = 1_024;

/** A frame with more than one item. */
export const MAX_BATCH = 65_536;
export const MAX_ITEM = 1_048_576;
/** The minimum fits a block of routes with its headers. */
export const MIN_ITEM_LIMIT = 262_144;
/** Larger items are separate frames, sent without a copy. */
export const ITEM_BY_REFERENCE = 16_384;
/** Unacknowledged by a peer. */
export const LINK_WINDOW = 4_194_304;
export const LINK_MESSAGES = 65_536;
/** Above these unacknowledged bytes a peer gets only full batches. */
export const LINK_BEHIND = 524_288;
/**
 * What a node holds back to send it together: publications of a loop to a peer with unacknowledged ones, and the
 * acknowledgements that release them.
 */
export const HELD_BYTES = 262_144;
export const HELD_TIME = 20;
/** Checks in the option `idle`. */
export const LINK_IDLE_LOOKS = 4;
/** For the listeners of protocols: the node starts then, also without some. */
export const LISTEN_TIMEOUT = 10_000;
export const DIAL_TIMEOUT_MAX = 24_000;
/** For a stream of a message that names protocols. */
export const OPEN_TIMEOUT = 3_000;
/** A failed protocol, while another one serves. */
export const PROTOCOL_RETRY = 30_000;

export const MAX_VETO_REASON = 256;
/** Characters of why a query or a request failed. */
export const MAX_FAILURE_TEXT = 1_024;

/** The same for answers without a slot; more are dropped. */
export const MAX_UNREAD_ANSWERS = 4_096;
export const MAX_UNREAD_ANSWER_BYTES = 16_777_216;
/** Items of requests beyond the mark of a node's link. Above them the request is ended. */
export const MAX_QUEUED_ITEMS = 65_536;
export const MAX_QUEUED_BYTES = 268_435_456;
/** Messages and queries of members with pending handlers. A further query is refused, a further message dropped. */
export const MAX_HANDLING = 16_384;
export const MAX_HANDLING_BYTES = 33_554_432;
/** Topics with aliases on links. */
export const MAX_TOPIC_ALIASES = 1_024;
/** Of a topic with an alias, and of a subtopic. */
export const MAX_SHORT_TOPIC = 255;

/** Further routes are not taken. */
export const MAX_NODE_ROUTES = 4_194_304;
/** Changes in a sent item, unless a single one is larger. */
export const ROUTE_BLOCK = 4_096;
/** Collects changes of this node's subscriptions. */
export const ROUTE_FLUSH = 5;
/** For `ready` of a subscription. */
export const ROUTE_READY_TIMEOUT = 10_000;
