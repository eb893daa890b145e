/**
 * The reliability patterns. None is finished yet; each will be exported here,
 * from a folder of its own. Meanwhile `Request.request` retries (Lazy Pirate).
 *
 * @module
 */
export {};
