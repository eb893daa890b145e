/**
 * The draft socket types for `shoal/browser`, over `ws://`, `wss://` and inproc. The RFCs may still change.
 *
 * @module
 */

// Puts code shared by both entry points into the main one.
import "../index.js";

export * from "../../sockets/draft/sockets.js";
