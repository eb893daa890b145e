// @ts-check
"use strict";
/**
 * The API of version 5 of the package zeromq, as its own `zeromq/v5-compat` has it: sockets are event emitters, `send` queues,
 * messages come as events.
 */
const { EventEmitter } = process.getBuiltinModule?.("node:events") ?? require("node:events");
const { inherits } = process.getBuiltinModule?.("node:util") ?? require("node:util");
const zmq = require("./index.js");
const { READABLE, SOCKET, SOME, WRITABLE } = require("./lib/options.js");
const { EXPORTED, OPTIONS, OTHERS, PROPERTIES, STATES } = require("./lib/v5-constants.js");

const { POLLIN, POLLOUT, SNDMORE } = OTHERS;

const CLASSES = {
  pair: zmq.Pair,
  req: zmq.Request,
  rep: zmq.Reply,
  pub: zmq.Publisher,
  sub: zmq.Subscriber,
  dealer: zmq.Dealer,
  xreq: zmq.Dealer,
  router: zmq.Router,
  xrep: zmq.Router,
  pull: zmq.Pull,
  push: zmq.Push,
  xpub: zmq.XPublisher,
  xsub: zmq.XSubscriber,
  stream: zmq.Stream,
};
/** Types without messages to receive. */
const SILENT = ["push", "pub"];

/** @type {ReadonlyMap<number, readonly [property: string, kind: string]>} options of version 6 by number */
const BY_NUMBER = new Map(
  Object.entries({ ...SOCKET, ...WRITABLE, ...READABLE, ...SOME }).map(([name, [number, kind]]) => [
    number,
    [name, kind],
  ]),
);

/**
 * A constructor that programs also call on objects of their own: `Socket.call(this, type)` after `util.inherits`.
 *
 * @this {any}
 * @param {keyof typeof CLASSES} type
 */
function Socket(type) {
  if (!Object.hasOwn(CLASSES, type)) throw new Error(`Invalid socket type: ${type}`);
  EventEmitter.call(this);
  this.type = type;
  const hidden = {
    /** The socket of version 6. */
    _socket: new CLASSES[type](),
    /** Frames given with ZMQ_SNDMORE. */
    _parts: [],
    /** Messages and callbacks that wait for `resume` or the end of a `bind`. */
    _unsent: [],
    /** Messages that came while the socket was paused. */
    _unheard: [],
    _paused: false,
    /** bind and unbind calls under way. */
    _binding: 0,
    _sending: false,
  };
  for (const [name, value] of Object.entries(hidden))
    Object.defineProperty(this, name, { value, writable: true });
  if (!SILENT.includes(type)) void receiveAll(this);
}
inherits(Socket, EventEmitter);

/** @param {any} socket */
async function receiveAll(socket) {
  const { _socket } = socket;
  while (!_socket.closed) {
    try {
      const message = await _socket.receive();
      if (socket._paused) socket._unheard.push(message);
      // Outside of the promise: what a listener throws is an exception of the program.
      else process.nextTick(() => socket.emit("message", ...message));
      // A paused socket leaves the next one where the peer's high-water mark counts it.
      while (socket._paused && !_socket.closed)
        await new Promise((resolve) => socket.once("_resumed", resolve));
    } catch (error) {
      if (_socket.closed) return;
      // A bind or unbind is under way: the next call is a turn later.
      if (/** @type {any} */ (error).code !== "EBUSY") process.nextTick(() => socket.emit("error", error));
    }
  }
}

/** Sends what waits, as long as nothing is in the way. @param {any} socket */
async function sendAll(socket) {
  const { _socket, _unsent } = socket;
  if (socket._sending) return;
  socket._sending = true;
  try {
    while (_unsent.length > 0 && !socket._paused && socket._binding === 0 && !_socket.closed) {
      const [message, callback] = _unsent.shift();
      const settle = (/** @type {Error} */ error) => {
        if (callback !== undefined) callback(error);
        else if (error !== undefined) socket.emit("error", error);
      };
      const isAccepted = _socket.writable;
      const sent = (async () => _socket.send(message))().then(
        () => undefined,
        (error) => error,
      );
      // A message that is accepted at once leaves the way free: a `close` right behind does not lose those after it.
      const settled = sent.then((error) => process.nextTick(settle, error));
      if (!isAccepted) await settled;
    }
  } finally {
    socket._sending = false;
  }
}

/**
 * @param {any} socket
 * @param {"bind" | "unbind"} call
 * @param {string} address
 * @param {((error?: Error) => void) | undefined} callback
 */
function settleEndpoint(socket, call, address, callback) {
  const end = (/** @type {Error | undefined} */ error) => {
    socket._binding -= 1;
    process.nextTick(() => {
      if (error === undefined) socket.emit(call, address);
      if (callback !== undefined) callback(error);
      else if (error !== undefined) socket.emit("error", error);
    });
    void sendAll(socket);
  };
  const settled = socket._socket[call](address);
  socket._binding += 1;
  settled.then(() => end(undefined), end);
  return socket;
}

/** @type {any} */
const methods = {
  /**
   * @param {unknown} message a frame, or frames
   * @param {number | null} [flags] 2, ZMQ_SNDMORE: more frames follow in the next call
   * @param {(error?: Error) => void} [callback]
   */
  send(message, flags, callback) {
    this._parts = this._parts.concat(message);
    if ((Number(flags ?? 0) & SNDMORE) !== 0) return this;
    this._unsent.push([this._parts, callback]);
    this._parts = [];
    void sendAll(this);
    return this;
  },
  read() {
    throw new Error("read() is not part of the compatibility layer: listen to 'message'");
  },
  pause() {
    this._paused = true;
    return this;
  },
  resume() {
    this._paused = false;
    for (const message of this._unheard.splice(0)) process.nextTick(() => this.emit("message", ...message));
    this.emit("_resumed");
    void sendAll(this);
    return this;
  },
  close() {
    this._socket.close();
    this.emit("_resumed");
    return this;
  },
  /** @param {number} [interval] of version 5; has no effect */
  monitor(interval) {
    if (interval !== undefined)
      process.emitWarning("The arguments of monitor() have no effect: all events are read as they come");
    void monitorAll(this, this._socket.events);
    return this;
  },
  unmonitor() {
    this._socket.events.close();
    return this;
  },
  /** @param {number | keyof typeof PROPERTIES} given @param {any} value */
  setsockopt(given, value) {
    const option = numberOf(given);
    const socket = this._socket;
    if (option === OPTIONS.SUBSCRIBE || option === OPTIONS.UNSUBSCRIBE)
      socket[option === OPTIONS.SUBSCRIBE ? "subscribe" : "unsubscribe"](value);
    else if (option === OPTIONS.IPV4ONLY) socket.ipv6 = !value;
    else if (option === OPTIONS.XPUB_VERBOSE) socket.verbosity = value ? "allSubs" : null;
    else {
      const [name, kind] = known(option);
      // libzmq takes an identity from every socket; where no message is routed by it, it has no use.
      if (name === "routingId" && !(name in socket)) return this;
      socket[name] = kind === "Bool" ? Boolean(value) : value;
    }
    return this;
  },
  /** @param {number | keyof typeof PROPERTIES} given */
  getsockopt(given) {
    const option = numberOf(given);
    const socket = this._socket;
    switch (option) {
      case OPTIONS.EVENTS:
        return (socket.readable ? POLLIN : 0) | (socket.writable ? POLLOUT : 0);
      case OPTIONS.IPV4ONLY:
        return !socket.ipv6;
      case OPTIONS.MECHANISM:
        return socket.getInt32Option(option);
      default: {
        const [name, kind] = known(option);
        return kind === "Bool" ? Number(socket[name]) : socket[name];
      }
    }
  },
};

/** @param {any} socket @param {any} events */
async function monitorAll(socket, events) {
  while (!events.closed) {
    try {
      const event = await events.receive();
      // Version 5 knows no handshakes.
      if (event === undefined || /^(?:handshake|end|unknown)/.test(event.type)) continue;
      const name = event.type === "bind" ? "listen" : event.type.replace(":", "_");
      const value = event.interval ?? event.error?.errno;
      socket.emit(name, value, event.address, event.error);
    } catch (error) {
      if (!socket.closed && !events.closed) socket.emit("error", error);
      return;
    }
  }
}

/** @param {number | string} option */
function numberOf(option) {
  return typeof option === "number" ? option : /** @type {Record<string, number>} */ (PROPERTIES)[option];
}

/** @param {number | undefined} option */
function known(option) {
  const found = BY_NUMBER.get(/** @type {number} */ (option));
  if (found === undefined) throw new Error("Unknown option");
  return found;
}

for (const call of /** @type {const} */ (["bind", "unbind"]))
  methods[call] = function (/** @type {string} */ address, /** @type {(error?: Error) => void} */ callback) {
    return settleEndpoint(this, call, address, callback);
  };
for (const call of ["bindSync", "unbindSync", "connect", "disconnect", "subscribe", "unsubscribe"])
  methods[call] = function (/** @type {string} */ given) {
    if (this._socket[call] === undefined) throw new Error("Subscriber socket required");
    this._socket[call](given);
    return this;
  };
for (const [name, value] of Object.entries(methods))
  Object.defineProperty(Socket.prototype, name, { value, configurable: true, writable: true });

Object.defineProperties(Socket.prototype, {
  closed: {
    get() {
      return this._socket.closed;
    },
  },
  /** Of the native socket of version 5, what programs look at. */
  _zmq: {
    get() {
      const state = this._socket.closed
        ? STATES.STATE_CLOSED
        : this._binding > 0
          ? STATES.STATE_BUSY
          : STATES.STATE_READY;
      return { state };
    },
  },
});

for (const [name, option] of Object.entries(PROPERTIES))
  Object.defineProperty(Socket.prototype, name, {
    get() {
      return this.getsockopt(option);
    },
    set(value) {
      this.setsockopt(option, typeof value === "string" ? Buffer.from(value) : value);
    },
  });

/**
 * @param {keyof typeof CLASSES} type
 * @param {Record<string, unknown>} [options] properties to set
 */
function createSocket(type, options = {}) {
  return Object.assign(Reflect.construct(Socket, [type]), options);
}

/** The context's options, of all sockets. */
class Context {
  constructor() {
    throw new Error("Context cannot be instantiated in compatibility mode");
  }
}
for (const [name, option] of /** @type {const} */ ([
  ["MaxThreads", "ioThreads"],
  ["MaxSockets", "maxSockets"],
]))
  Object.assign(Context, {
    [`get${name}`]: () => zmq.context[option],
    [`set${name}`]: (/** @type {number} */ value) => {
      zmq.context[option] = value;
    },
  });

function curveKeypair() {
  const { publicKey, secretKey } = zmq.curveKeyPair();
  return { public: publicKey, secret: secretKey };
}

/** Pairs of types between which `proxy` forwards, and how many frames of a reply are its envelope, which `capture` does not get. */
const PROXIED = new Map([
  ["push/pull", 0],
  ["pull/push", 0],
  ["xpub/xsub", 0],
  ["router/dealer", 2],
  ["xrep/xreq", 2],
]);

/** @param {any} frontend @param {any} backend @param {any} [capture] gets what the backend sends */
function proxy(frontend, backend, capture) {
  const envelope = PROXIED.get(`${frontend.type}/${backend.type}`);
  if (envelope === undefined)
    throw new Error("This socket type order is not supported in compatibility mode");
  frontend.on("message", (/** @type {Buffer[]} */ ...frames) => backend.send(frames));
  backend.on("message", (/** @type {Buffer[]} */ ...frames) => {
    frontend.send(frames);
    capture?.send(frames.slice(envelope));
  });
}

module.exports = {
  Context,
  Socket,
  createSocket,
  curveKeypair,
  options: PROPERTIES,
  proxy,
  socket: createSocket,
  version: zmq.version,
  ...EXPORTED,
};
for (const [name, value] of Object.entries({ __esModule: true, default: module.exports }))
  Object.defineProperty(module.exports, name, { value });
