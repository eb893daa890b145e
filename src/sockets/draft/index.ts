/**
 * The draft socket types of `zeromq/draft`, with PEER and CHANNEL: single-frame messages, on the engine `zmtp` only. The RFCs
 * may still change.
 *
 * @module
 */

export { Datagram, type DatagramOptions } from "./datagram.js";
export * from "./sockets.js";
