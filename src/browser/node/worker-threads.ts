/** Replaces `node:worker_threads` with nothing. */
export default {};
