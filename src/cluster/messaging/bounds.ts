/**
 * Bounds on what a program, a peer or a malicious member can make a node keep. Above a bound the caller gets an error,
 * and a peer is refused with a counted reason.
 */

/** As in MQTT. */
export const MAX_TOPIC = 65_535;
export const MAX_TOPIC_LEVELS = 128;
/** Which levels are "+", and whether "#" ends it: in a table, and of one node. A match probes once for each. */
export const MAX_SHAPES = 4_096;
export const MAX_SHAPES_OF_NODE = 1_024;
export const MAX_TOPIC_IDS = 4_096;
export const MAX_TOPIC_ID_BYTES = 1_048_576;

/** Bytes of a frame with more than one item. */
export const MAX_BATCH = 65_536;
/** Default. */
export const MAX_ITEM = 1_048_576;
/** Range of the option: the minimum fits a block of routes with its headers. */
export const MIN_ITEM_LIMIT = 262_144;
export const MAX_ITEM_LIMIT = 268_435_456;
/** Larger items are separate frames, sent without a copy. */
export const ITEM_BY_REFERENCE = 16_384;
/** Default of one peer; bytes include headers. */
export const LINK_ITEMS = 262_144;
export const LINK_BYTES = 4_194_304;
/** Unacknowledged bytes of a peer. */
export const LINK_WINDOW = 4_194_304;
/** Unacknowledged messages, each of which costs some hundred bytes in a queue. */
export const LINK_MESSAGES = 65_536;
/** With more unacknowledged bytes a peer gets only full batches; more than one acknowledgement covers. */
export const LINK_BEHIND = 524_288;
/** In a loop that must yield, publications to a peer with unacknowledged ones are batched up to these bytes and ms. */
export const HELD_BYTES = 262_144;
export const HELD_TIME = 20;
/** Slabs that all links of the process keep for reuse. */
export const MAX_FREE_SLABS = 256;
/** Delivered bytes that are acknowledged before the turn ends. */
export const ACK_BYTES = 262_144;
/** An acknowledgement may wait until half of what the sender keeps was received. */
export const ACK_DELAY = 20;
/** An acknowledgement may wait for longer when the last items came within this time. */
export const ACK_FLOW = 50;
export const ACK_FLOW_DELAY = 100;
/** Further ones are counted together. */
export const MAX_DROP_PREFIXES = 1_024;
/** Longer ones are counted together. */
export const MAX_DROP_PREFIX = 256;
/** For hellos of future members. */
export const MAX_HELLOS = 1_024;
export const HELLO_TIMEOUT = 5_000;
/** Protocols of a node, bytes of a name, and bytes of all adverts. */
export const MAX_PROTOCOLS = 8;
export const MAX_PROTOCOL_NAME = 16;
export const MAX_ADVERT = 400;
/** Lists of protocols named by messages of services, each with a separate link to a peer (a lane). */
export const MAX_LANES = 8;
/** Bytes of one listener's advert. */
export const MAX_WHERE = 128;
/** Default, without traffic. */
export const LINK_IDLE = 60_000;
/**
 * Multiples of `LINK_IDLE` after which the accepting end closes, as the other one would have; and checks in one of
 * these.
 */
export const LINK_IDLE_TIMES = 2;
export const LINK_IDLE_LOOKS = 4;
/** Until a link asks whether its connection is alive, and until it then gives up. */
export const LINK_HEARTBEAT = 5_000;
/** Including handshakes: the first and the longest, doubling with each failed round. */
export const DIAL_TIMEOUT = 3_000;
export const DIAL_TIMEOUT_MAX = 24_000;
/** Between rounds: the first and the longest. */
export const DIAL_RETRY = 50;
export const DIAL_RETRY_MAX = 2_000;
/** Wait for a link whose protocol hooks or the sender need. */
export const LINK_TIMEOUT = 10_000;
/** Of a failed protocol, while another one serves. */
export const PROTOCOL_RETRY = 30_000;
/** Requested by peers that cannot reach this node. */
export const LISTENER_CHECK = 5_000;

/** Joined ones, and bytes of a name. */
export const MAX_CHANNELS = 1_024;
export const MAX_CHANNEL_NAME = 64;
export const MAX_RUID = 128;
/** The rest is cut off. */
export const MAX_VETO_REASON = 256;
/** Hooks of a cluster, and nesting depth of send hooks. */
export const MAX_HOOKS = 256;
export const MAX_HOOK_DEPTH = 16;
export const MAX_TARGETS = 16_384;

/** Pending ones, and awaited responses. */
export const MAX_QUERIES = 1_024;
export const MAX_AWAITED = 65_536;
/** Of one query; a further response counts as failed. */
export const MAX_UNREAD_BYTES = 16_777_216;
/** For answers without a slot (to queries, refusals, repeated replies) to one node; more are dropped. */
export const MAX_UNREAD_ANSWERS = 4_096;
export const MAX_UNREAD_ANSWER_BYTES = 16_777_216;
/** Of requests to a full node; one may wait, whatever its size. Above them the request is ended. */
export const MAX_QUEUED_ITEMS = 65_536;
export const MAX_QUEUED_BYTES = 268_435_456;
/** Of others' messages and queries. A further query is refused, a further message waits. */
export const MAX_HANDLING = 1_024;
export const MAX_HANDLING_BYTES = 16_777_216;
/** Items by datagram or from the node itself, before hooks and handlers, since no link holds their sender. */
export const MAX_OWN_WAITING = 16_384;
export const MAX_OWN_WAITING_BYTES = 16_777_216;
/** Waiting for one service, such as for a hook; one may wait, whatever its size. */
export const MAX_WAITING_SENDS = 16_384;
export const MAX_WAITING_SEND_BYTES = 16_777_216;
export const HANDLER_TIMEOUT = 60_000;
/** Services of one datagram; remembered ids of each service's datagrams, against duplicates. */
export const MAX_GROUP_TARGETS = 255;
export const MAX_SEEN_IDS = 1_024;
/** Of a node, including its own, and of other nodes' clients. */
export const MAX_MESSAGE_CLIENTS = 65_536;
export const MAX_ALIASES = 65_536;
/** Default. */
export const SUBSCRIPTION_MESSAGES = 10_000;
export const SUBSCRIPTION_BYTES = 16_777_216;
/** A handler may hold a link for this time; then messages above its mark are dropped. */
export const STALL_TIME = 10_000;
/** Messages of this node's publishers to its own subscriptions in one turn, and their bytes. */
export const LOCAL_MESSAGES = 65_536;
export const LOCAL_BYTES = 67_108_864;
/** Default copies waiting for room at other nodes, and unacknowledged one-to-one messages; bytes of the copies. */
export const MAX_PENDING = 65_536;
export const MAX_PENDING_BYTES = 67_108_864;
/** Topics with aliases on links, bytes of such a topic, and publishes of others before all aliases begin again. */
export const MAX_TOPIC_ALIASES = 1_024;
export const MAX_ALIASED_TOPIC = 255;
export const ALIAS_RESTART = 65_536;
/** Topics with remembered members and subscriptions. */
export const MAX_PLANS = 8_192;
export const MAX_PLANNED_TOPIC = 1_024;
/** Bytes of a subtopic, and subtopics with remembered bytes. */
export const MAX_SUBTOPIC = 255;
export const MAX_SUBTOPIC_NAMES = 256;
/** Default. */
export const MAX_RETAINED = 10_000;
export const MAX_RETAINED_BYTES = 16_777_216;
/** How far a retained value's stamp may be ahead of this node's clock. */
export const MAX_STAMP_AHEAD = 300_000;
/** Topics of a subscription with `retained`. */
export const MAX_RETAINED_SEEN = 100_000;
/** Before a new subscription asks for retained values, and for the answers. */
export const ASK_DELAY = 1_000;
export const ASK_TIMEOUT = 5_000;
/** Of one question for retained values. */
export const MAX_ASK_FILTERS = 1_024;
export const MAX_ASK_BYTES = 65_536;
/** Between events about one cause of drops, and causes with events at once. */
export const DROP_INTERVAL = 1_000;
export const MAX_DROP_REPORTS = 1_024;

/** Of one node, and bytes of filters; of all nodes. Further routes are not taken. */
export const MAX_NODE_ROUTES = 4_194_304;
export const MAX_NODE_ROUTE_BYTES = 268_435_456;
export const MAX_ROUTES = 33_554_432;
export const MAX_ROUTE_BYTES = 2_147_483_648;
/** Bytes of changes in an item, unless a single one has more; and bytes of an accepted item. */
export const ROUTE_BLOCK = 8_192;
export const MAX_ROUTE_ITEM = 131_072;
/** Unacknowledged items at one node. */
export const ROUTE_WINDOW = 16;
/** Parts of snapshots per ms for all nodes, and their burst. */
export const ROUTE_PACE = 2;
export const ROUTE_BURST = 32;
/** Bytes of changes for nodes that lack some; 16 times as many while snapshots are in flight. */
export const MAX_ROUTE_LOG = 1_048_576;
/** Until a node without an acknowledgement is asked for its version: the first and the longest, doubling. */
export const ROUTE_RETRY = 1_000;
export const ROUTE_RETRY_MAX = 8_000;
/** Between answers about the state of the routes; questions come half as often. */
export const ROUTE_ASK_PAUSE = 50;
export const ROUTE_DIGEST_INTERVAL = 10_000;
/** After routes were left out for those of others: the first and the longest, doubling. */
export const ROUTE_REFILL = 10_000;
export const ROUTE_REFILL_MAX = 600_000;
/** Collects changes of this node's subscriptions. */
export const ROUTE_FLUSH = 5;
/** For `ready` of a subscription, and of these for the details of a new node. */
export const ROUTE_READY_TIMEOUT = 10_000;
export const ROUTE_EXPECTED = 2_000;
/** Default, for the subscriptions of a new member. */
export const ROUTE_SETTLE = 1_000;
/** Default, for the routes of a lost node. */
export const ROUTE_GRACE = 3_600_000;
/** Between steps that remove the routes of gone nodes; each takes some tenths of a ms. */
export const ROUTE_SWEEP_PAUSE = 5;
