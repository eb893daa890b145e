/**
 * Proxies: what passes messages between two sockets.
 *
 * @module
 */
export { Proxy } from "./proxy.js";
