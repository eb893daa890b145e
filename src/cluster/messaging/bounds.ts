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
/** Ids of topics of a node, and bytes of their names. */
export const MAX_TOPIC_IDS = 4_096;
export const MAX_TOPIC_ID_BYTES = 1_048_576;
/** Random ids that are tried for a topic, a client or an alias. */
export const MAX_ID_ATTEMPTS = 64;

/** Bytes of a frame with more than one item. */
export const MAX_BATCH = 65_536;
/** Bytes of an item, unless the option has another number. */
export const MAX_ITEM = 1_048_576;
/** Bytes of an item that the option may ask for: what fits a block of routes with what is around it, and the most. */
export const MIN_ITEM_LIMIT = 262_144;
export const MAX_ITEM_LIMIT = 268_435_456;
/** Bytes from which an item is a frame of its own, sent without being copied. */
export const ITEM_BY_REFERENCE = 16_384;
/** What waits for one peer at most, unless the options have other numbers: items, and bytes with their headers. */
export const LINK_ITEMS = 262_144;
export const LINK_BYTES = 4_194_304;
/** Bytes that a peer may send beyond what was acknowledged to it. */
export const LINK_WINDOW = 4_194_304;
/**
 * The same in messages of the connection: each costs some hundred bytes where it waits, however small it is. A sender that sends full batches alone beyond
 * `LINK_BEHIND` has fewer.
 */
export const LINK_MESSAGES = 65_536;
/** Bytes on their way to a peer beyond which only full batches are sent to it; more than what it acknowledges at once. */
export const LINK_BEHIND = 524_288;
/** Bytes of publications, and ms, for which those wait for more to a peer that has not acknowledged all: in a loop that has to let the event loop turn. */
export const HELD_BYTES = 262_144;
export const HELD_TIME = 20;
/** Slabs of `MAX_BATCH` bytes that all links of the process keep for what they send next. */
export const MAX_FREE_SLABS = 256;
/** Bytes that were delivered after which they are acknowledged before the turn ends. */
export const ACK_BYTES = 262_144;
/** ms that an acknowledgement waits for more to acknowledge, unless half of what the sender keeps has come. From half of them on it goes when more comes. */
export const ACK_DELAY = 20;
/** The same while more comes: where the last items came so many ms before, it waits for so many. */
export const ACK_FLOW = 50;
export const ACK_FLOW_DELAY = 100;
/** Prefixes under which drops are counted; further ones are counted together. */
export const MAX_DROP_PREFIXES = 1_024;
/** Bytes of such a prefix; longer ones are counted together. */
export const MAX_DROP_PREFIX = 256;
/** Connections whose hello waits until its sender is a member here, and ms that each waits. */
export const MAX_HELLOS = 1_024;
export const HELLO_TIMEOUT = 5_000;
/** Protocols of a node, bytes of a protocol's name, and bytes of what a node advertises for all of them. */
export const MAX_PROTOCOLS = 8;
export const MAX_PROTOCOL_NAME = 16;
export const MAX_ADVERT = 400;
/** Lists of protocols that messages of services name, each with a link of its own to a peer (a lane), besides the one for everything else. */
export const MAX_LANES = 8;
/** Bytes of what the listener of one protocol advertises. */
export const MAX_WHERE = 128;
/** ms without traffic after which a link to a peer closes, unless the option has another number. */
export const LINK_IDLE = 60_000;
/** Times `LINK_IDLE` without an item after which the end that came is closed: the other one is gone, or would have closed it. Looks in one of these times. */
export const LINK_IDLE_TIMES = 2;
export const LINK_IDLE_LOOKS = 4;
/** ms without an answer to what was sent after which a link asks whether its connection stands, and until it does not then. */
export const LINK_HEARTBEAT = 5_000;
/** ms until an attempt to connect, its handshakes included, is given up: the first time, and the longest, doubling with each round that fails. */
export const DIAL_TIMEOUT = 3_000;
export const DIAL_TIMEOUT_MAX = 24_000;
/** ms between two rounds of attempts: the first and the longest wait. */
export const DIAL_RETRY = 50;
export const DIAL_RETRY_MAX = 2_000;
/** ms that a message or an answer waits for a link where its hooks or its sender have to know by which protocol it goes. */
export const LINK_TIMEOUT = 10_000;
/** ms after which a protocol that failed is tried again, while another one serves. */
export const PROTOCOL_RETRY = 30_000;
/** ms between two looks at the own listeners, which others ask for that fail to reach this node. */
export const LISTENER_CHECK = 5_000;

/** Channels that a bus joins, and bytes of a channel's name. */
export const MAX_CHANNELS = 1_024;
export const MAX_CHANNEL_NAME = 64;
/** Bytes of a request unique id. */
export const MAX_RUID = 128;
/** Bytes of the reason of a veto, as its sender gets it; the rest is cut off. */
export const MAX_VETO_REASON = 256;
/** Hooks of a bus; and hooks of sending, each of which sends within the one before. */
export const MAX_HOOKS = 256;
export const MAX_HOOK_DEPTH = 16;
/** Services of one send or query. */
export const MAX_TARGETS = 16_384;

/** Queries of a bus that wait for responses, and the responses that they wait for. */
export const MAX_QUERIES = 1_024;
export const MAX_AWAITED = 65_536;
/** Bytes of responses that one query keeps for a program that has not read them; a further one is counted as failed. */
export const MAX_UNREAD_BYTES = 16_777_216;
/**
 * Answers to a node that wait, which it does not read and which hold no slot (answers to queries, refusals, repeated replies), and bytes of all that waits for it;
 * past them these are dropped.
 */
export const MAX_UNREAD_ANSWERS = 4_096;
export const MAX_UNREAD_ANSWER_BYTES = 16_777_216;
/** Items of requests that wait for room at a node that is there, and bytes of them; one may wait, whatever its size. Past them what they are of is ended. */
export const MAX_QUEUED_ITEMS = 65_536;
export const MAX_QUEUED_BYTES = 268_435_456;
/** Messages and queries of others that are handled at a time, and their bytes. A further query is refused, a further message waits. */
export const MAX_HANDLING = 1_024;
export const MAX_HANDLING_BYTES = 16_777_216;
/** What came by datagram, or a node sent to itself, and waits for hooks or for room at handlers, since no link holds its sender; bytes of it. */
export const MAX_OWN_WAITING = 16_384;
export const MAX_OWN_WAITING_BYTES = 16_777_216;
/** Messages and queries to one service of which something waits, such as a hook, and bytes of them; one may wait, whatever its size. */
export const MAX_WAITING_SENDS = 16_384;
export const MAX_WAITING_SEND_BYTES = 16_777_216;
/** ms that a handler of messages or queries may take, unless its option has another number. */
export const HANDLER_TIMEOUT = 60_000;
/** Services that one datagram to the group is for; ids of each service's datagrams that are remembered, so that none is taken twice. */
export const MAX_GROUP_TARGETS = 255;
export const MAX_SEEN_IDS = 1_024;
/** Clients of a node, its own included, and aliases of clients of other nodes. */
export const MAX_MESSAGE_CLIENTS = 65_536;
export const MAX_ALIASES = 65_536;
/** Messages that wait for a subscription's program, and bytes of them, unless the options have other numbers. */
export const SUBSCRIPTION_MESSAGES = 10_000;
export const SUBSCRIPTION_BYTES = 16_777_216;
/** ms for which a handler may hold a link; after that, messages for it are dropped past its mark. */
export const STALL_TIME = 10_000;
/** Messages of this node's own publishers to its own subscriptions in one turn, and bytes of them. */
export const LOCAL_MESSAGES = 65_536;
export const LOCAL_BYTES = 67_108_864;
/** Copies that wait for room at other nodes, and one-to-one messages that are not acknowledged; bytes of the copies; unless the options have other numbers. */
export const MAX_PENDING = 65_536;
export const MAX_PENDING_BYTES = 67_108_864;
/** Topics that have aliases on links, bytes of such a topic, and publishes of others after which all aliases are given again. */
export const MAX_TOPIC_ALIASES = 1_024;
export const MAX_ALIASED_TOPIC = 255;
export const ALIAS_RESTART = 65_536;
/** Topics whose members and subscriptions are remembered, and bytes of such a topic. */
export const MAX_PLANS = 8_192;
export const MAX_PLANNED_TOPIC = 1_024;
/** Bytes of a subtopic, and subtopics whose bytes are remembered. */
export const MAX_SUBTOPIC = 255;
export const MAX_SUBTOPIC_NAMES = 256;
/** Retained values of a node, and bytes of them, unless the options have other numbers. */
export const MAX_RETAINED = 10_000;
export const MAX_RETAINED_BYTES = 16_777_216;
/** ms that a retained value's stamp may be ahead of this node's clock. */
export const MAX_STAMP_AHEAD = 300_000;
/** Topics of which a subscription with `retained` remembers the latest stamp. */
export const MAX_RETAINED_SEEN = 100_000;
/** ms that a new subscription waits until the others know it before it asks them for retained values, and ms that it waits for their answers. */
export const ASK_DELAY = 1_000;
export const ASK_TIMEOUT = 5_000;
/** Filters of one question for retained values, and bytes of them. */
export const MAX_ASK_FILTERS = 1_024;
export const MAX_ASK_BYTES = 65_536;
/** ms between two events about drops of one cause, and causes that have events at once. */
export const DROP_INTERVAL = 1_000;
export const MAX_DROP_REPORTS = 1_024;

/** Routes of one node, and bytes of their filters; of all nodes together. Past them a route is not taken. */
export const MAX_NODE_ROUTES = 4_194_304;
export const MAX_NODE_ROUTE_BYTES = 268_435_456;
export const MAX_ROUTES = 33_554_432;
export const MAX_ROUTE_BYTES = 2_147_483_648;
/** Bytes of changes in an item of routes, unless one alone has more; and bytes of an item that is read. */
export const ROUTE_BLOCK = 8_192;
export const MAX_ROUTE_ITEM = 131_072;
/** Items of routes that one other node has not acknowledged, at most: they wait in its link, next to messages. */
export const ROUTE_WINDOW = 16;
/** Parts of snapshots that a node makes in a ms, for all others together, and at once after a while without any. */
export const ROUTE_PACE = 2;
export const ROUTE_BURST = 32;
/** Bytes of a node's own changes that it keeps, for those that lack some; 16 times as many while snapshots are on their way. */
export const MAX_ROUTE_LOG = 1_048_576;
/** ms until a node that has not acknowledged its routes is asked what it has: the first and the longest, doubling. */
export const ROUTE_RETRY = 1_000;
export const ROUTE_RETRY_MAX = 8_000;
/** ms between two answers to a node that asks for the state of the routes; it asks half as often. */
export const ROUTE_ASK_PAUSE = 50;
/** ms between two comparisons of routes with another node. */
export const ROUTE_DIGEST_INTERVAL = 10_000;
/** ms between two times that a node's routes are fetched again, since some were left out for those of others: the first and the longest, doubling. */
export const ROUTE_REFILL = 10_000;
export const ROUTE_REFILL_MAX = 600_000;
/** ms that changes of the own interest wait for others to go with them. */
export const ROUTE_FLUSH = 5;
/** ms that `ready` of a subscription waits, and of these for the details of a new node. */
export const ROUTE_READY_TIMEOUT = 10_000;
export const ROUTE_EXPECTED = 2_000;
/** ms for which what is published waits for the interest of a member that was just met, unless the option has another number. */
export const ROUTE_SETTLE = 1_000;
/** ms for which the routes of a lost node are kept, unless the option has another number. */
export const ROUTE_GRACE = 3_600_000;
/** ms between two steps by which the routes of nodes that are gone leave the table: each takes some tenths of one. */
export const ROUTE_SWEEP_PAUSE = 5;
