/** Bounds of requests to services. Above a bound callers get an error; peers' items are refused and counted. */

/** Bytes of a service name, a method name, and an idempotency key. */
export const MAX_SERVICE_NAME = 128;
export const MAX_METHOD_NAME = 255;
export const MAX_KEY = 128;
/** Headers of a request, and bytes of their names and values. */
export const MAX_HEADERS = 64;
export const MAX_HEADER_BYTES = 8_192;
/** Characters of a failure's message. */
export const MAX_FAILURE_TEXT = 1_024;
/** Bytes of a handler error's code and data. */
export const MAX_FAILURE_DETAILS = 65_536;

/** Pending requests of a bus, and bytes of their bodies, which are kept for retries. */
export const MAX_CALLS = 65_536;
export const MAX_CALL_BYTES = 67_108_864;
/** Called services with node statistics, per bus. */
export const MAX_CALLED_SERVICES = 4_096;
/** Default timeout of a request in ms; of a streamed reply, until its first part. */
export const REQUEST_TIMEOUT = 5_000;
/** Default attempts after the first, first retry delay in ms, and largest delay. */
export const RETRIES = 3;
export const RETRY_DELAY = 20;
export const MAX_RETRY_DELAY = 1_000;
/** Share of a service's requests that may be repeated, repetitions per second always allowed, and the most saved up. */
export const RETRY_SHARE = 0.2;
export const RETRIES_A_SECOND = 10;
export const MAX_SAVED_RETRIES = 100;

/**
 * First silence in ms before a node is asked whether it still has a request (of a streamed one, the caller is asked,
 * too), and the longest, doubling.
 */
export const CHECK_AFTER = 2_000;
export const MAX_CHECK_AFTER = 30_000;

/** Consecutive failures before ejection; first and longest ejection in ms, doubling. */
export const EJECT_AFTER = 5;
export const EJECT_TIME = 1_000;
export const MAX_EJECT_TIME = 60_000;
/** Initial window: requests at another node before its first report. */
export const FIRST_WINDOW = 4_096;
/** ms for which a reported load is valid. */
export const LOAD_AGE = 1_000;
/** Random draws before all nodes are scanned. */
export const DRAWS = 8;

/** Served services per bus. */
export const MAX_SERVED = 1_024;
/** Default concurrency of a service, queued requests, and their bytes. */
export const SERVE_CONCURRENCY = 256;
export const SERVE_QUEUE = 4_096;
export const SERVE_QUEUE_BYTES = 16_777_216;
/** Replies kept by idempotency key, their bytes, and default ms. */
export const MAX_KEPT_REPLIES = 10_000;
export const MAX_KEPT_REPLY_BYTES = 16_777_216;
export const KEEP_REPLIES = 60_000;

/** Default unread parts of a streamed reply, and their bytes. */
export const STREAM_PARTS = 256;
export const STREAM_BYTES = 1_048_576;
