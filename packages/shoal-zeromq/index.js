// @ts-check
"use strict";
/** What the package zeromq exports, version 6.8, on shoal. */
const shoal = require("shoal");
const { Context, context } = require("./lib/context.js");
const { Observer } = require("./lib/observer.js");
const { Proxy } = require("./lib/proxy.js");
const { Socket } = require("./lib/socket.js");
const { socketClass: _internal, ...sockets } = /** @type {any} */ (require("./lib/sockets.js"));

const { ipc, pgm, tipc, norm, curve, gssapi } = shoal.capability;

module.exports = {
  version: shoal.version,
  capability: { ipc, pgm, tipc, norm, curve, gssapi, draft: true },
  curveKeyPair: shoal.curveKeyPair,
  context,
  Context,
  Observer,
  Proxy,
  Socket,
  ...sockets,
};

// For `import zmq from "zeromq"` in what a compiler makes CommonJS of; and for shoal, whose engine libzmq needs the addon.
for (const [name, value] of Object.entries({ __esModule: true, default: module.exports, shoal: true }))
  Object.defineProperty(module.exports, name, { value });
