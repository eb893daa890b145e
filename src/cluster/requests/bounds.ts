/** Every bound of requests to services, in one place. Past one the caller gets an error; what a peer sends past one is refused, and counted. */

/** Bytes of a service's name, of a method's name, and of an idempotency key. */
export const MAX_SERVICE_NAME = 128;
export const MAX_METHOD_NAME = 255;
export const MAX_KEY = 128;
/** Headers of a request, and bytes of their names and values together. */
export const MAX_HEADERS = 64;
export const MAX_HEADER_BYTES = 8_192;
/** Characters of the message of a failure. */
export const MAX_FAILURE_TEXT = 1_024;
/** Bytes of the code and data of a handler's error. */
export const MAX_FAILURE_DETAILS = 65_536;

/** Requests of a bus that wait for replies, and bytes of their bodies, which are kept for further attempts. */
export const MAX_CALLS = 65_536;
export const MAX_CALL_BYTES = 67_108_864;
/** Services that a bus has statistics of nodes for. */
export const MAX_CALLED_SERVICES = 4_096;
/** ms for a request, unless it is given another time; of a streamed reply, until its first part. */
export const REQUEST_TIMEOUT = 5_000;
/** Attempts after the first one, ms before the next one and the longest such wait, unless the request is given others. */
export const RETRIES = 3;
export const RETRY_DELAY = 20;
export const MAX_RETRY_DELAY = 1_000;
/** Of the requests to a service, the part that may be repeated; repetitions a second that are always allowed, and that are saved up at most. */
export const RETRY_SHARE = 0.2;
export const RETRIES_A_SECOND = 10;
export const MAX_SAVED_RETRIES = 100;

/** ms without a sign of a request until its node is asked whether it still has it, of a streamed one until its caller is asked, too; and the longest such time, doubling. */
export const CHECK_AFTER = 2_000;
export const MAX_CHECK_AFTER = 30_000;

/** Failures in a row after which a node is ejected; ms for the first time, and the longest, doubling. */
export const EJECT_AFTER = 5;
export const EJECT_TIME = 1_000;
export const MAX_EJECT_TIME = 60_000;
/** Requests of this node that wait at another one, until that has reported what it takes. */
export const FIRST_WINDOW = 4_096;
/** ms for which the load that a node reported counts. */
export const LOAD_AGE = 1_000;
/** Nodes that are drawn before all are looked at. */
export const DRAWS = 8;

/** Services that a bus serves. */
export const MAX_SERVED = 1_024;
/** Requests that a service handles at a time, those that wait, and bytes of these, unless it is given other numbers. */
export const SERVE_CONCURRENCY = 256;
export const SERVE_QUEUE = 4_096;
export const SERVE_QUEUE_BYTES = 16_777_216;
/** Replies that a service keeps by idempotency key, bytes of them, and ms, unless it is given another time. */
export const MAX_KEPT_REPLIES = 10_000;
export const MAX_KEPT_REPLY_BYTES = 16_777_216;
export const KEEP_REPLIES = 60_000;

/** Parts of a streamed reply that the caller has not read, and bytes of them, unless it is given other numbers. */
export const STREAM_PARTS = 256;
export const STREAM_BYTES = 1_048_576;
