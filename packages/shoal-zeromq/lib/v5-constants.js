// @ts-check
"use strict";
/** Numbers and names that version 5 of the package zeromq exports: those of zmq.h. */

/** In the order of their numbers. */
const TYPES = [
  "PAIR",
  "PUB",
  "SUB",
  "REQ",
  "REP",
  "DEALER",
  "ROUTER",
  "PULL",
  "PUSH",
  "XPUB",
  "XSUB",
  "STREAM",
];

const OPTIONS = {
  AFFINITY: 4,
  IDENTITY: 5,
  SUBSCRIBE: 6,
  UNSUBSCRIBE: 7,
  RATE: 8,
  RECOVERY_IVL: 9,
  RECOVERY_IVL_MSEC: 9,
  SNDBUF: 11,
  RCVBUF: 12,
  RCVMORE: 13,
  FD: 14,
  EVENTS: 15,
  TYPE: 16,
  LINGER: 17,
  RECONNECT_IVL: 18,
  BACKLOG: 19,
  RECONNECT_IVL_MAX: 21,
  MAXMSGSIZE: 22,
  SNDHWM: 23,
  RCVHWM: 24,
  MULTICAST_HOPS: 25,
  RCVTIMEO: 27,
  SNDTIMEO: 28,
  IPV4ONLY: 31,
  LAST_ENDPOINT: 32,
  ROUTER_MANDATORY: 33,
  TCP_KEEPALIVE: 34,
  TCP_KEEPALIVE_CNT: 35,
  TCP_KEEPALIVE_IDLE: 36,
  TCP_KEEPALIVE_INTVL: 37,
  TCP_ACCEPT_FILTER: 38,
  DELAY_ATTACH_ON_CONNECT: 39,
  XPUB_VERBOSE: 40,
  ROUTER_RAW: 41,
  IPV6: 42,
  MECHANISM: 43,
  PLAIN_SERVER: 44,
  PLAIN_USERNAME: 45,
  PLAIN_PASSWORD: 46,
  CURVE_SERVER: 47,
  CURVE_PUBLICKEY: 48,
  CURVE_SECRETKEY: 49,
  CURVE_SERVERKEY: 50,
  ZAP_DOMAIN: 55,
  ROUTER_HANDOVER: 56,
  HEARTBEAT_IVL: 75,
  HEARTBEAT_TTL: 76,
  HEARTBEAT_TIMEOUT: 77,
  CONNECT_TIMEOUT: 79,
};

/** Options that are properties of a socket, too, of the same name in small letters. */
const NAMED = [
  ...["AFFINITY", "BACKLOG", "IDENTITY", "LINGER", "RATE", "RCVBUF", "SNDBUF", "LAST_ENDPOINT", "MECHANISM"],
  ...["RECONNECT_IVL", "RECOVERY_IVL", "PLAIN_SERVER", "PLAIN_USERNAME", "PLAIN_PASSWORD", "ZAP_DOMAIN"],
  ...["CURVE_SERVER", "CURVE_PUBLICKEY", "CURVE_SECRETKEY", "CURVE_SERVERKEY"],
  ...["HEARTBEAT_IVL", "HEARTBEAT_TTL", "HEARTBEAT_TIMEOUT", "CONNECT_TIMEOUT"],
];

/** @type {Record<string, number>} properties of a socket, and the options that they are */
const PROPERTIES = {
  _fd: OPTIONS.FD,
  _ioevents: OPTIONS.EVENTS,
  _receiveMore: OPTIONS.RCVMORE,
  _subscribe: OPTIONS.SUBSCRIBE,
  _unsubscribe: OPTIONS.UNSUBSCRIBE,
  ...Object.fromEntries(
    Object.entries(OPTIONS).flatMap(([name, option]) =>
      NAMED.includes(name) ? [[name.toLowerCase(), option]] : [],
    ),
  ),
};

const STATES = { STATE_READY: 0, STATE_BUSY: 1, STATE_CLOSED: 2 };

const OTHERS = {
  SNDMORE: 2,
  POLLIN: 1,
  POLLOUT: 2,
  POLLERR: 4,
  CAN_MONITOR: 1,
  CAN_DISCONNECT: 1,
  CAN_UNBIND: 1,
  CAN_SET_CTX: 1,
  IO_THREADS: 1,
  MAX_SOCKETS: 2,
};

const TYPE_NUMBERS = { ...Object.fromEntries(TYPES.map((name, i) => [name, i])), XREQ: 5, XREP: 6 };

/** @type {Record<string, number>} */
const EXPORTED = {
  ...Object.fromEntries(
    Object.entries({ ...TYPE_NUMBERS, ...OPTIONS, ...OTHERS }).map(([name, value]) => [`ZMQ_${name}`, value]),
  ),
  ...STATES,
};

module.exports = { EXPORTED, OPTIONS, OTHERS, PROPERTIES, STATES };
