/** Bounds of sessions, at servers and clients. */
export const MAX_BATCH = 256;
/** Keys of one read, bytes of their values, and sessions in a message between servers. */
export const PAGE = 500;
export const PAGE_BYTES = 8_388_608;
/** Tries of a batch. */
export const MAX_COMMIT_TRIES = 50;

export const MAX_SESSION_FILTERS = 1_000;
export const MAX_SESSION_FILTER_BYTES = 65_536;
/** Filter changes in the store; a server that missed more reads all sessions. */
export const KEPT_CHANGES = 1_024;
export const MAX_MESSAGE_ID = 128;
/** A client's unanswered publications, and refused ones remembered by a session. */
export const MAX_PUBLISHING = 1_024;
export const MAX_SETTLED = 8_192;
export const MAX_TOKEN = 512;
/** Queue of the ROUTER for a client (window and answers), and of a client's DEALER. */
export const HIGH_WATER_MARK = 16_384;
