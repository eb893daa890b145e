// @ts-check
"use strict";
/**
 * The base class, with the habits of the package zeromq over a socket of shoal: one call of a kind at a time (`EBUSY`), calls
 * that throw at once, values that are sent as their text, a `close` that returns nothing, and sockets that do not hold the
 * process while no call waits.
 */
const shoal = require("shoal");
const { context: globalContext } = require("./context.js");
const errors = require("./errors.js");
const inners = require("./inner.js");
const { Observer } = require("./observer.js");
const { CALLS, defineCalls, defineOptions, READABLE, SOCKET, SOME, WRITABLE } = require("./options.js");

const { checkArguments, errno, isNumber, isOptionalObject, isText, translated, translating } = errors;

/** libzmq's defaults, where shoal has others. */
const DEFAULTS = { heartbeatInterval: 0, maxMessageSize: -1 };

/** Closes what the program has forgotten, as the package does. @type {FinalizationRegistry<any>} */
const FORGOTTEN = new FinalizationRegistry((inner) => inner.close().catch(() => undefined));

const BLOCKED = "Socket is blocked by a bind or unbind operation";
const WRITING = "Socket is busy writing; only one send operation may be in progress at any time";
const READING = "Socket is busy reading; only one receive operation may be in progress at any time";
const [SUBSCRIBER, REQUEST, REPLY, ROUTER, STREAM] = [2, 3, 4, 6, 11];
/** @type {errors.Check} */
const ADDRESS = [isText, "Address must be a string"];
/** @type {errors.Check} */
const MESSAGE = [(message) => message !== undefined, "Message must be present"];
/** @type {errors.Check} */
const OPTIONS = [errors.isObject, "Options must be an object"];

class Socket {
  /** @type {any} shoal's socket */
  #inner;
  /** @type {object | undefined} */
  #context;
  /** @type {InstanceType<typeof Observer> | undefined} */
  #events;
  /** bind and unbind calls, a proxy: nothing else may use the socket meanwhile, and `close` waits. */
  #blocked = false;
  #closesLater = false;
  #closed = false;
  #reading = false;
  #writing = false;
  /** A send that waits for its turn. @type {((isOver?: boolean) => void) | undefined} */
  #turn;
  /** Endpoints bound and connected. */
  #endpoints = 0;

  /** @param {...any} given type and options */
  constructor(...given) {
    checkArguments(
      given,
      [isNumber, "Socket type must be a number"],
      [isOptionalObject, "Options must be an object"],
    );
    const [type, { context = globalContext, ...options } = {}] = given;
    this.#context = context;
    const inner = { context: inners.get(context), ...DEFAULTS };
    if (inner.context === undefined) throw new TypeError("Invalid argument");
    const Inner = INNERS.get(type);
    if (Inner === undefined) throw errno("EINVAL");
    this.#inner = translating(() => new Inner(inner)).unref();
    // libzmq's queues have a bound in messages alone, up to which a publisher drops nothing.
    if (this.#inner.context.engine === "zmtp" && "sendHighWaterMarkBytes" in this.#inner)
      this.#inner.sendHighWaterMarkBytes = 0;
    inners.set(this, this.#inner);
    FORGOTTEN.register(this, this.#inner);
    Object.seal(this);
    Object.assign(this, options);
  }

  get context() {
    return this.#context;
  }
  get closed() {
    return this.#closed;
  }
  get readable() {
    return !this.#closed && this.#inner.readable;
  }
  get writable() {
    return !this.#closed && this.#inner.writable;
  }
  get events() {
    this.#events ??= new Observer(this);
    return this.#events;
  }

  /** @param {...any} given the address */
  bind(...given) {
    return this.#block(given, (address) => this.#inner.bind(address), 1);
  }
  /** @param {...any} given the address */
  unbind(...given) {
    return this.#block(given, (address) => this.#end(address, "unbind"), -1);
  }
  /** @param {...any} given the address */
  bindSync(...given) {
    this.#now(given, (address) => this.#inner.bindSync(address), 1);
  }
  /** @param {...any} given the address */
  unbindSync(...given) {
    this.#now(given, (address) => this.#end(address, "unbindSync"), -1);
  }
  /** @param {...any} given the address */
  connect(...given) {
    this.#now(given, (address) => this.#connect(address), 1);
  }
  /** @param {...any} given the address */
  disconnect(...given) {
    this.#now(given, (address) => this.#end(address, "disconnect"), -1);
  }

  /** @param {...never} given */
  close(...given) {
    checkArguments(given);
    if (this.#blocked) this.#closesLater = true;
    else this.#close();
  }

  /**
   * @param {...any} given the message; for Server and Radio its address
   * @returns {Promise<void>}
   */
  send(...given) {
    const addressed = ADDRESSED.get(this.#inner.type);
    if (addressed === undefined) checkArguments(given, MESSAGE);
    else checkArguments(given, MESSAGE, OPTIONS);
    this.#assertOpen();
    if (this.#writing || this.#turn !== undefined) throw errno("EBUSY", { message: WRITING });
    const [message, options] = given;
    if (addressed !== undefined && options[addressed] === undefined) throw errno("EINVAL");
    if (Array.isArray(message) && message.length === 0) return Promise.resolve();
    const inner = this.#inner;
    if (inner.send === undefined) return later(errno("ENOTSUP"));
    const frames = Array.isArray(message) ? message.map(frameOf) : frameOf(message);
    // A call that need not wait leaves the way free for the next one at once.
    this.#writing = !inner.writable;
    const sent =
      addressed === undefined ? inner.send(frames) : inner.send(frames, addressOf(addressed, options));
    if (!this.#writing || (inner.type !== REQUEST && inner.type !== REPLY))
      return sent.then(this.#sent, this.#notSent);
    return sent
      .catch((/** @type {any} */ error) => this.#sendInTurn(frames, error))
      .then(this.#sent, this.#notSent);
  }

  /** Request and Reply of shoal refuse what is not their turn; those of libzmq wait. @param {any} frames @param {any} error */
  #sendInTurn(frames, error) {
    const inner = this.#inner;
    const { sendTimeout } = inner;
    if (error.code !== "EFSM" || sendTimeout === 0 || this.#closed) throw error;
    if (inner.writable) return inner.send(frames);
    return new Promise((resolve, reject) => {
      const timer = sendTimeout > 0 ? setTimeout(() => this.#turn?.(true), sendTimeout) : undefined;
      this.#turn = (isOver) => {
        this.#turn = undefined;
        clearTimeout(timer);
        this.#writing = false;
        if (isOver) reject(error);
        else resolve(inner.send(frames));
      };
    });
  }

  #sent = () => {
    this.#writing = false;
  };
  /** @param {unknown} error */
  #notSent = (error) => {
    this.#writing = false;
    throw translated(error);
  };

  /** @param {...never} given @returns {Promise<any[]>} */
  receive(...given) {
    checkArguments(given);
    // A loop that calls again whenever the call fails leaves the event loop its turns.
    try {
      this.#assertOpen();
    } catch (error) {
      return later(error);
    }
    if (this.#reading) return later(errno("EBUSY", { message: READING }));
    const inner = this.#inner;
    if (inner.receive === undefined) return later(errno("ENOTSUP"));
    this.#reading = !inner.readable;
    return inner.receive().then(this.#received, this.#notReceived);
  }

  /** @param {any} message */
  #received = (message) => {
    this.#reading = false;
    this.#turn?.();
    return message;
  };
  /** @param {unknown} error */
  #notReceived = (error) => {
    this.#reading = false;
    throw translated(error);
  };

  /** Not a generator: a loop goes on after a receive that failed. */
  [Symbol.asyncIterator]() {
    const done = { value: undefined, done: true };
    return {
      next: async () => {
        if (this.#closed) return done;
        try {
          return { value: await this.receive(), done: false };
        } catch (error) {
          if (this.#closed && /** @type {any} */ (error).code === "EAGAIN") return done;
          throw error;
        }
      },
    };
  }

  /** @param {...(string | Buffer)} groups */
  join(...groups) {
    this.#assertOpen();
    for (const group of groups) translating(() => this.#inner.join(groupOf(group)));
  }
  /** @param {...(string | Buffer)} groups */
  leave(...groups) {
    this.#assertOpen();
    for (const group of groups) translating(() => this.#inner.leave(groupOf(group)));
  }

  /** @param {any[]} given @param {(address: string) => unknown} call @param {1 | -1} endpoints */
  #now(given, call, endpoints) {
    checkArguments(given, ADDRESS);
    this.#assertOpen();
    this.#completeCurve();
    const [address] = given;
    translating(() => call(address), address);
    this.#endpoints += endpoints;
  }

  /** @param {string} address */
  #connect(address) {
    const inner = this.#inner;
    const routingId = PEER_NAMES.get(inner);
    if (routingId === undefined) inner.connect(address);
    else inner.connect(address, { routingId });
    PEER_NAMES.delete(inner);
  }

  /**
   * @param {any[]} given
   * @param {(address: string) => Promise<unknown>} call
   * @param {1 | -1} endpoints
   * @returns {Promise<void>}
   */
  #block(given, call, endpoints) {
    checkArguments(given, ADDRESS);
    this.#assertOpen();
    this.#completeCurve();
    const [address] = given;
    this.#blocked = true;
    return call(address).then(
      () => {
        this.#endpoints += endpoints;
        this.#unblock();
      },
      (error) => {
        this.#unblock();
        throw translated(error, address);
      },
    );
  }

  /** libzmq's CURVE server without a key fails every handshake; shoal's refuses to bind. */
  #completeCurve() {
    const inner = this.#inner;
    if (inner.curveServer && inner.curveSecretKey === null)
      inner.curveSecretKey = shoal.curveKeyPair().secretKey;
  }

  #unblock() {
    this.#blocked = false;
    if (this.#closesLater) this.#close();
  }

  /**
   * Ends an endpoint of either kind, as libzmq does.
   *
   * @param {string} address
   * @param {"unbind" | "unbindSync" | "disconnect"} call
   */
  #end(address, call) {
    const inner = this.#inner;
    const other = () => (call === "disconnect" ? inner.unbindSync(address) : inner.disconnect(address));
    /** @param {any} error */
    const instead = (error) => {
      if (error.code !== "ENOENT") throw error;
      try {
        return other();
      } catch {
        throw error;
      }
    };
    if (call === "unbind") return inner.unbind(address).catch(instead);
    try {
      return inner[call](address);
    } catch (error) {
      return instead(error);
    }
  }

  #close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#closesLater = false;
    this.#context = undefined;
    this.#turn?.(true);
    this.#inner.close().catch(() => undefined);
  }

  #assertOpen() {
    if (this.#closed) throw errno("EBADF");
    if (this.#blocked) throw errno("EBUSY", { message: BLOCKED });
  }

  /** Used by a proxy from now on. @param {Socket} socket @param {"Front-end" | "Back-end"} side @returns {any} shoal's socket */
  static lend(socket, side) {
    if (socket.#endpoints === 0 || socket.#closed)
      throw errno("EINVAL", { message: `${side} socket must be bound or connected` });
    return socket.#inner;
  }
  /** @param {Socket} socket @param {boolean} on */
  static block(socket, on) {
    socket.#blocked = on;
    if (!on) socket.#close();
  }
}

/** By shoal's Router or Stream: the routing id of the peer that it connects to next. @type {WeakMap<object, string>} */
const PEER_NAMES = new WeakMap();

/** @type {Readonly<Record<keyof typeof CALLS, (inner: any, value: any) => void>>} */
const SETTERS = {
  subscribe: (inner, prefix) => changeSubscription(inner, "subscribe", prefix),
  unsubscribe: (inner, prefix) => changeSubscription(inner, "unsubscribe", prefix),
  allSubs: (inner, isOn) => setVerbosity(inner, isOn ? "allSubs" : null),
  allSubsUnsubs: (inner, isOn) => setVerbosity(inner, isOn ? "allSubsUnsubs" : null),
  connectRoutingId(inner, given) {
    if (inner.type !== ROUTER && inner.type !== STREAM) throw errno("EINVAL");
    const name = String(given ?? "");
    if (given === null) PEER_NAMES.delete(inner);
    else if (/^[^\0]/.test(name) && Buffer.byteLength(name) <= 255) PEER_NAMES.set(inner, name);
    else throw errno("EINVAL");
  },
};

/** @param {any} inner @param {"subscribe" | "unsubscribe"} call @param {string | Buffer | null} prefix */
function changeSubscription(inner, call, prefix) {
  if (inner.type !== SUBSCRIBER) throw errno("EINVAL");
  inner[call](prefix ?? "");
}

/** @param {any} inner @param {"allSubs" | "allSubsUnsubs" | null} verbosity */
function setVerbosity(inner, verbosity) {
  if (!("verbosity" in inner)) throw errno("EINVAL");
  inner.verbosity = verbosity;
}

defineCalls(
  Socket,
  ["Bool", "Int32", "Uint32", "Int64", "Uint64", "String"],
  [SOCKET, WRITABLE, READABLE, SOME, CALLS],
  SETTERS,
);
defineOptions(Socket, SOCKET);

/** shoal's sockets by the type's number; draft.js adds those of its types. */
const INNERS = new Map(
  /** @type {[number, new (options: any) => any][]} */ ([
    [0, shoal.Pair],
    [1, shoal.Publisher],
    [SUBSCRIBER, shoal.Subscriber],
    [REQUEST, shoal.Request],
    [REPLY, shoal.Reply],
    [5, shoal.Dealer],
    [ROUTER, shoal.Router],
    [7, shoal.Pull],
    [8, shoal.Push],
    [9, shoal.XPublisher],
    [10, shoal.XSubscriber],
    [STREAM, shoal.Stream],
  ]),
);

/** @type {ReadonlyMap<number, "routingId" | "group">} what `send` takes beside the message, by the type's number */
const ADDRESSED = new Map([
  [12, "routingId"],
  [14, "group"],
]);

/** @param {"routingId" | "group"} name @param {any} options */
function addressOf(name, options) {
  return name === "group" ? { group: groupOf(options.group) } : { routingId: options.routingId };
}

/** Up to the first zero byte, where libzmq's text ends. @param {string | Buffer} group */
function groupOf(group) {
  const text = String(group);
  const end = text.indexOf("\0");
  return end === -1 ? group : text.slice(0, end);
}

/** @param {any} part of a message @returns {any} what shoal sends */
function frameOf(part) {
  if (part === null || typeof part === "string" || ArrayBuffer.isView(part)) return part;
  if (part instanceof ArrayBuffer || part instanceof SharedArrayBuffer) return new Uint8Array(part);
  return String(part);
}

/** @param {unknown} error @returns {Promise<never>} */
function later(error) {
  return new Promise((_resolve, reject) => setImmediate(reject, error));
}

module.exports = { INNERS, Socket };
