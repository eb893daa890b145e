// @ts-check
"use strict";
const { EventEmitter } = process.getBuiltinModule?.("node:events") ?? require("node:events");
const shoal = require("shoal");
const inners = require("./inner.js");
const { checkArguments, errno, isObject, translatedEvent } = require("./errors.js");

/** What the package zeromq reports; shoal reports more. */
const TYPES = new Set([
  "accept",
  "accept:error",
  "bind",
  "bind:error",
  "close",
  "close:error",
  "connect",
  "connect:delay",
  "connect:retry",
  "disconnect",
  "end",
  "handshake",
  "handshake:error:auth",
  "handshake:error:other",
  "handshake:error:protocol",
  "unknown",
]);

class Observer {
  /** @type {any} shoal's observer */
  #inner;
  #reading = false;
  #closed = false;
  /** @type {InstanceType<typeof EventEmitter> | undefined} */
  #emitter;
  /** @type {any[]} events that one of shoal's stands for, besides the first */
  #queued = [];
  /** Addresses that are not connected to, and whether the attempt was reported. @type {Map<string, boolean>} */
  #dialled = new Map();

  /** @param {...any} given the socket */
  constructor(...given) {
    checkArguments(given, [isObject, "Socket must be a socket object"]);
    const inner = inners.get(given[0]);
    if (inner === undefined) throw new TypeError("Invalid argument");
    if (inner.closed) throw errno("EBADF");
    this.#inner = new shoal.Observer(inner);
  }

  get closed() {
    return this.#closed || this.#inner.closed;
  }

  /** @param {...never} given */
  close(...given) {
    checkArguments(given);
    this.#closed = true;
    this.#inner.close();
  }

  /** @param {...never} given @returns {Promise<any>} */
  receive(...given) {
    checkArguments(given);
    if (this.#emitter !== undefined)
      throw new Error(
        "Observer is in event emitter mode. After a call to events.on() it is not possible to read events with events.receive().",
      );
    if (this.closed) throw errno("EBADF");
    if (this.#reading)
      throw errno("EBUSY", {
        message: "Observer is busy reading; only one receive operation may be in progress at any time",
      });
    return this.#next();
  }

  async #next() {
    this.#reading = true;
    try {
      for (;;) {
        const { type, address, interval, error } = this.#queued.shift() ?? (await this.#attempts());
        // libzmq reports nothing of inproc but the end.
        if (!TYPES.has(type) || address?.startsWith("inproc:")) continue;
        if (type === "end") this.#closed = true;
        return {
          type,
          // libzmq reports the address that it could not bind without its transport.
          ...(address === undefined
            ? {}
            : { address: type === "bind:error" ? address.replace(/^tcp:\/\//, "") : address }),
          ...(interval === undefined ? {} : { interval }),
          ...(error === undefined ? {} : { error: translatedEvent(error) }),
        };
      }
    } catch (error) {
      // Closed meanwhile: the package ends the wait without an event.
      if (this.closed) return undefined;
      throw error;
    } finally {
      this.#reading = false;
    }
  }

  /** shoal reports the first attempt to connect, and when the next one is; libzmq each attempt, and its end. */
  async #attempts() {
    const event = await this.#inner.receive();
    const { type, address } = event;
    if (type === "connect:delay") this.#dialled.set(address, true);
    if (type !== "connect" && type !== "connect:retry") return event;
    const isReported = this.#dialled.get(address);
    if (type === "connect") this.#dialled.delete(address);
    else this.#dialled.set(address, false);
    if (isReported === false) this.#queued.push({ type: "connect:delay", address });
    if (isReported !== undefined && type === "connect:retry") this.#queued.push({ type: "close", address });
    this.#queued.push(event);
    return this.#queued.shift();
  }

  /** @param {string} type @param {(event: any) => void} listener */
  on(type, listener) {
    return this.#listen().on(type, listener);
  }
  /** @param {string} type @param {(event: any) => void} listener */
  off(type, listener) {
    return this.#listen().off(type, listener);
  }

  #listen() {
    if (this.#reading && this.#emitter === undefined)
      throw new Error("Events are being read with events.receive(): no listener can be added meanwhile");
    if (this.#emitter === undefined) {
      this.#emitter = new EventEmitter();
      void this.#emitAll(this.#emitter);
    }
    return this.#emitter;
  }

  /** @param {InstanceType<typeof EventEmitter>} emitter */
  async #emitAll(emitter) {
    while (!this.closed) {
      const event = await this.#next();
      if (event === undefined) return;
      // What a listener throws is the program's, and no later event is lost to it.
      process.nextTick(() => emitter.emit(event.type, event));
    }
  }

  async *[Symbol.asyncIterator]() {
    while (!this.closed) {
      const event = await this.receive();
      if (event === undefined) return;
      yield event;
    }
  }
}

module.exports = { Observer };
