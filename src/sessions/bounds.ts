/** The bounds of sessions. */

export const MAX_BATCH = 256;
/** Keys of one read, bytes of their values, and sessions in one message between servers. */
export const PAGE = 500;
export const PAGE_BYTES = 8_388_608;
/** Commits of one batch until it is given up. */
export const MAX_COMMIT_TRIES = 50;
/** ms before a commit is tried again, by chance, doubling six times. */
export const COMMIT_BACK_OFF = 1;

export const MAX_SESSION_FILTERS = 1_000;
export const MAX_SESSION_FILTER_BYTES = 65_536;
/** Changes of filters in the store; a server that missed more reads all sessions. */
export const KEPT_CHANGES = 1_024;
export const MAX_MESSAGE_ID = 128;
/** Remembered message ids of a session, and their age in ms. */
export const ID_WINDOW = 1_000;
export const ID_WINDOW_TIME = 600_000;
/** Messages that a client has published and not heard of; numbers of refused ones that a session remembers. */
export const MAX_PUBLISHING = 1_024;
/** Messages of a queue read at once to make room. */
export const EVICTED_AT_ONCE = 16;
export const MAX_SETTLED = 8_192;
export const MAX_SERVERS = 1_000;
/** Messages read for a client at once. */
export const DELIVERED_AT_ONCE = 256;
/** Bytes that a client may have without acknowledging them, however many clients there are. */
export const MIN_SHARE = 16_384;
/** Waiting messages of the cluster; past it their links wait. */
export const MAX_BRIDGED = 1_024;
export const MAX_CLUSTER_TOPICS = 64;
export const MAX_TOKEN = 512;
/** The queue of the ROUTER for a client (its window, and answers to its requests), and of a client's DEALER. */
export const HIGH_WATER_MARK = 16_384;
