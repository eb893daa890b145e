/** Bounds of requests. Callers get an error above them; peers' items are refused and counted. */

/** Bytes. */
export const MAX_SERVICE_NAME = 128;
export const MAX_METHOD_NAME = 255;
export const MAX_KEY = 128;
/** Per request, and bytes of names and values. */
export const MAX_HEADERS = 64;
export const MAX_HEADER_BYTES = 8_192;
/** Characters. */
export const MAX_FAILURE_TEXT = 1_024;
/** Bytes of a handler error's code and data. */
export const MAX_FAILURE_DETAILS = 65_536;

/** Services with node statistics. */
export const MAX_CALLED_SERVICES = 4_096;
/** ms; until the first part of a streamed reply. */
export const REQUEST_TIMEOUT = 5_000;

/** First and longest silence in ms, doubling, before a node is asked whether it has a request. */
export const CHECK_AFTER = 2_000;
export const MAX_CHECK_AFTER = 30_000;
/** Silence of the caller of a streamed reply, in ms, before its node gives it up. */
export const MAX_SILENCE = 90_000;

/** Requests in flight to a node before its first report. */
export const FIRST_WINDOW = 4_096;

/** Per namespace. */
export const MAX_SERVED = 1_024;

/** Default window of a streamed reply. */
export const STREAM_PARTS = 256;
export const STREAM_BYTES = 1_048_576;
