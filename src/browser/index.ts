/**
 * The sockets of shoal over `ws://` and `wss://`, with NULL and PLAIN, for browsers, workers and other platforms with a
 * standard `WebSocket`. CURVE, inproc and draft sockets have separate entry points.
 *
 * @module
 */

export * from "../sockets/index.js";
export { pageEndpoint } from "./endpoints.js";
