// @ts-check
"use strict";
/** The socket classes: which options and calls each has. */
const { defineOptions, READABLE, SOME, WRITABLE } = require("./options.js");
const { Socket } = require("./socket.js");

/**
 * @param {string} name
 * @param {number} type libzmq's number
 * @param {readonly (Readonly<Record<string, any>> | keyof typeof SOME)[]} options tables, and single ones
 */
function socketClass(name, type, ...options) {
  const Class = class extends Socket {
    /** @param {object} [options] */
    constructor(options) {
      super(type, options);
    }
  };
  Object.defineProperty(Class, "name", { value: name });
  for (const each of options) defineOptions(Class, typeof each === "string" ? { [each]: SOME[each] } : each);
  return Class;
}

const Pair = socketClass("Pair", 0, WRITABLE, READABLE);
const Publisher = socketClass("Publisher", 1, WRITABLE, "noDrop", "conflate", "invertMatching");
const Request = socketClass(
  "Request",
  3,
  WRITABLE,
  READABLE,
  "routingId",
  "probeRouter",
  "correlate",
  "relaxed",
);
const Reply = socketClass("Reply", 4, WRITABLE, READABLE, "routingId");
const Dealer = socketClass("Dealer", 5, WRITABLE, READABLE, "routingId", "probeRouter", "conflate");
const Pull = socketClass("Pull", 7, READABLE, "conflate");
const Push = socketClass("Push", 8, WRITABLE, "conflate");
const XSubscriber = socketClass("XSubscriber", 10, WRITABLE, READABLE);

class Subscriber extends socketClass("Subscriber", 2, READABLE, "conflate", "invertMatching") {
  /** @param {...(string | Buffer | null)} prefixes none: all messages */
  subscribe(...prefixes) {
    filter(this, 6, prefixes);
  }
  /** @param {...(string | Buffer | null)} prefixes none: that of all messages */
  unsubscribe(...prefixes) {
    filter(this, 7, prefixes);
  }
}

/** @param {any} socket @param {number} option @param {(string | Buffer | null)[]} prefixes */
function filter(socket, option, prefixes) {
  for (const prefix of prefixes.length === 0 ? [null] : prefixes) socket.setStringOption(option, prefix);
}

class XPublisher extends socketClass(
  "XPublisher",
  9,
  WRITABLE,
  READABLE,
  "noDrop",
  "manual",
  "welcomeMessage",
  "invertMatching",
) {
  /** @param {null | "allSubs" | "allSubsUnsubs"} value */
  set verbosity(value) {
    /** @type {any} */ (this).setBoolOption(value === "allSubsUnsubs" ? 78 : 40, value !== null);
  }
}

/** @param {new (...given: any[]) => any} Class whose `connect` can name the peer */
function naming(Class) {
  return class extends Class {
    /** @param {...any} given address, and options: `routingId` */
    connect(...given) {
      const [address, options] = given;
      if (options?.routingId) this.setStringOption(61, options.routingId);
      super.connect(address);
    }
  };
}

class Router extends naming(
  socketClass("Router", 6, WRITABLE, READABLE, "routingId", "mandatory", "probeRouter", "handover"),
) {}
class Stream extends naming(socketClass("Stream", 11, WRITABLE, READABLE, "notify")) {}

module.exports = {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  socketClass,
  Stream,
  Subscriber,
  XPublisher,
  XSubscriber,
};
