// @ts-check
"use strict";
/** The draft socket types, as `zeromq/draft` has them. */
const { SocketType } = require("shoal");
const draft = require("shoal/draft");
const { READABLE, WRITABLE } = require("./lib/options.js");
const { INNERS } = require("./lib/socket.js");
const { socketClass } = require("./lib/sockets.js");

/** @param {"Server" | "Client" | "Radio" | "Dish" | "Gather" | "Scatter" | "Datagram"} name @param {...any} options */
function draftClass(name, ...options) {
  INNERS.set(SocketType[name], draft[name]);
  return socketClass(name, SocketType[name], ...options);
}

process.emitWarning("ZeroMQ draft features are experimental and could change at any time.");

module.exports = {
  Server: draftClass("Server", WRITABLE, READABLE),
  Client: draftClass("Client", WRITABLE, READABLE),
  Radio: draftClass("Radio", WRITABLE),
  Dish: draftClass("Dish", READABLE),
  Gather: draftClass("Gather", READABLE, "conflate"),
  Scatter: draftClass("Scatter", WRITABLE, "conflate"),
  Datagram: draftClass("Datagram", WRITABLE, READABLE),
};
for (const [name, value] of Object.entries({ __esModule: true, default: module.exports }))
  Object.defineProperty(module.exports, name, { value });
