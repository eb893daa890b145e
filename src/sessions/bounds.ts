/** Bounds of sessions, at servers and clients. */
export const MAX_BATCH = 256;
/** Keys of one read, bytes of their values, and sessions in a message between servers. */
export const PAGE = 500;
export const PAGE_BYTES = 8_388_608;
/** Tries of a batch. */
export const MAX_COMMIT_TRIES = 50;
/** Tries with messages read once. */
export const TRIES_OF_A_READ = 8;
/** ms before another try, by chance, doubling six times. */
export const COMMIT_BACK_OFF = 1;

export const MAX_SESSION_FILTERS = 1_000;
export const MAX_SESSION_FILTER_BYTES = 65_536;
/** Filter changes in the store; a server that missed more reads all sessions. */
export const KEPT_CHANGES = 1_024;
/** Bytes by which a delivered message may be larger than its publication: publisher and longer head. */
export const DELIVERY_BYTES = 128;
export const MAX_MESSAGE_ID = 128;
/** Message ids remembered by a session, and their age in ms. */
export const ID_WINDOW = 1_000;
export const ID_WINDOW_TIME = 600_000;
/** A client's unanswered publications, and refused ones remembered by a session. */
export const MAX_PUBLISHING = 1_024;
/** First messages read to make room; then twice as many each time. */
export const EVICTED_AT_ONCE = 16;
export const MAX_SETTLED = 8_192;
export const MAX_SERVERS = 1_000;
/** Messages read for a client. */
export const DELIVERED_AT_ONCE = 256;
/** Unacknowledged bytes for each of any number of clients. */
export const MIN_SHARE = 16_384;
export const MAX_TOKEN = 512;
/** Queue of the ROUTER for a client (window and answers), and of a client's DEALER. */
export const HIGH_WATER_MARK = 16_384;
