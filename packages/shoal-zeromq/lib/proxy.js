// @ts-check
"use strict";
const shoal = require("shoal");
const { checkArguments, errno, isObject, translated } = require("./errors.js");
const inners = require("./inner.js");
const { Socket } = require("./socket.js");

class Proxy {
  /** @type {InstanceType<typeof Socket>} */
  #front;
  /** @type {InstanceType<typeof Socket>} */
  #back;
  /** @type {any} shoal's, while it runs */
  #inner;

  /** @param {...any} given the two sockets */
  constructor(...given) {
    checkArguments(
      given,
      [isObject, "Front-end must be a socket object"],
      [isObject, "Back-end must be a socket object"],
    );
    for (const socket of given) if (inners.get(socket) === undefined) throw new TypeError("Invalid argument");
    [this.#front, this.#back] = given;
  }

  get frontEnd() {
    return this.#front;
  }
  get backEnd() {
    return this.#back;
  }

  /** @param {...never} given @returns {Promise<void>} */
  run(...given) {
    checkArguments(given);
    const [front, back] = [Socket.lend(this.#front, "Front-end"), Socket.lend(this.#back, "Back-end")];
    this.#inner = new shoal.Proxy(front, back);
    const sockets = [this.#front, this.#back];
    for (const socket of sockets) Socket.block(socket, true);
    const end = () => {
      this.#inner = undefined;
      for (const socket of sockets) Socket.block(socket, false);
    };
    return this.#inner.run().then(end, (/** @type {unknown} */ error) => {
      end();
      throw translated(error);
    });
  }

  /** @param {...never} given */
  pause(...given) {
    checkArguments(given);
    this.#running.pause();
  }
  /** @param {...never} given */
  resume(...given) {
    checkArguments(given);
    this.#running.resume();
  }
  /** @param {...never} given */
  terminate(...given) {
    checkArguments(given);
    this.#running.terminate();
    this.#inner = undefined;
  }

  get #running() {
    if (this.#inner === undefined) throw errno("EBADF");
    return this.#inner;
  }
}

module.exports = { Proxy };
