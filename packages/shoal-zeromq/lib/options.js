// @ts-check
"use strict";
/**
 * Options by libzmq's numbers (zmq.h): a class reaches each through its calls by number, so that subclasses of a program can
 * define options in the same way.
 */
const { checkArguments, errno, isNumber, translating } = require("./errors.js");
const inners = require("./inner.js");

/** @typedef {readonly [number, Kind, ("r" | "w" | undefined)?, (readonly unknown[])?]} Option number, kind, access, the values that stand for numbers from 0 on */
/** @typedef {"Bool" | "Int32" | "Uint32" | "Int64" | "Uint64" | "String"} Kind */

/** @type {Readonly<Record<Kind, [(value: unknown) => boolean, string]>>} */
const CHECKS = {
  Bool: [(value) => typeof value === "boolean", "Option value must be a boolean"],
  Int32: [isNumber, "Option value must be a number"],
  Uint32: [isNumber, "Option value must be a number"],
  Int64: [isNumber, "Option value must be a number"],
  Uint64: [isNumber, "Option value must be a number"],
  String: [
    (value) => value === null || typeof value === "string" || ArrayBuffer.isView(value),
    "Option value must be a string or buffer",
  ],
};

/** A number as the package's C++ takes it: the fraction goes, `NaN` is 0. @type {Partial<Record<Kind, (value: any) => unknown>>} */
const AS = {
  Int32: (value) => value | 0,
  Uint32: (value) => value >>> 0,
  Int64: (value) => Math.trunc(value) || 0,
  Uint64: (value) => Math.max(0, Math.trunc(value) || 0),
  String: (value) =>
    ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value,
};

/** Bytes of the option in libzmq, where calls of one width reach the same options. @type {Readonly<Record<Kind, string>>} */
const WIDTHS = { Bool: "4", Int32: "4", Uint32: "4", Int64: "8", Uint64: "8", String: "text" };

/** Their values stay bytes. */
const BYTES = [5, 6, 7, 61, 72];
/** libzmq also takes the 40 characters of a key as bytes. */
const KEYS = [48, 49, 50];
const KEY_LENGTH = 32;

/**
 * Gives a class `get…Option` and `set…Option` of these kinds, which reach the properties of shoal's object.
 *
 * @param {{ prototype: any }} Class
 * @param {readonly Kind[]} kinds
 * @param {readonly Readonly<Record<string, Option>>[]} tables
 * @param {Readonly<Record<string, (inner: any, value: any) => void>>} [setters] of names that are not properties of shoal's object
 */
function defineCalls({ prototype }, kinds, tables, setters = {}) {
  /** @type {Record<"r" | "w", Map<number, [name: string, option: Option]>>} */
  const rows = { r: new Map(), w: new Map() };
  for (const [name, option] of tables.flatMap((table) => Object.entries(table))) {
    const [number, , access] = option;
    if (access !== "w") rows.r.set(number, [name, option]);
    if (access !== "r") rows.w.set(number, [name, option]);
  }
  /** @param {Kind} kind @param {"r" | "w"} use @param {unknown} number @returns {[name: string, option: Option]} */
  const rowOf = (kind, use, number) => {
    const row = rows[use].get(/** @type {number} */ (number));
    if (row === undefined || WIDTHS[row[1][1]] !== WIDTHS[kind]) throw errno("EINVAL");
    return row;
  };
  for (const kind of kinds) {
    define(prototype, `get${kind}Option`, function (/** @type {unknown[]} */ ...given) {
      checkArguments(given, [isNumber, "Identifier must be a number"]);
      const [name, [, , , choices]] = rowOf(kind, "r", given[0]);
      const inner = inners.get(this);
      if (!(name in inner)) throw errno("EINVAL");
      const value = translating(() => inner[name]);
      if (kind === "String") return value;
      const number = choices === undefined ? Number(value) : choices.indexOf(value);
      return kind === "Bool" ? number !== 0 : number;
    });
    define(prototype, `set${kind}Option`, function (/** @type {unknown[]} */ ...given) {
      checkArguments(given, [isNumber, "Identifier must be a number"], CHECKS[kind]);
      const inner = inners.get(this);
      if (inner.closed) throw errno("EBADF");
      const [name, option] = rowOf(kind, "w", given[0]);
      const value = valueOf(option, kind, AS[kind]?.(given[1]) ?? given[1]);
      const set = setters[name];
      if (set === undefined && !(name in inner)) throw errno("EINVAL");
      translating(() => {
        if (set === undefined) inner[name] = value;
        else set(inner, value);
      });
    });
  }
}

/** What shoal's property takes. @param {Option} option @param {Kind} call @param {any} value */
function valueOf([number, kind, , choices], call, value) {
  if (choices !== undefined) return choices[Number(value)];
  if (call !== "String") return kind === "Bool" ? Number(value) !== 0 : Number(value);
  const isKey = KEYS.includes(number) && value?.length <= KEY_LENGTH;
  if (value === null || isKey || BYTES.includes(number)) return value;
  return String(value).replace(/\0$/, "");
}

/** @param {object} prototype @param {string} name @param {(this: any, ...given: unknown[]) => unknown} value */
function define(prototype, name, value) {
  Object.defineProperty(prototype, name, { value, configurable: true, writable: true });
}

/**
 * Gives a class accessors of options: `name: [number, kind, access]`.
 *
 * @param {{ prototype: any }} Class
 * @param {Readonly<Record<string, Option>>} table
 */
function defineOptions({ prototype }, table) {
  for (const [name, [option, kind, access, choices]] of Object.entries(table)) {
    /** @type {PropertyDescriptor} */
    const accessors = { configurable: false, enumerable: true };
    if (access !== "w")
      accessors.get = function () {
        const value = /** @type {any} */ (this)[`get${kind}Option`](option);
        return choices === undefined ? value : choices[value];
      };
    if (access !== "r")
      accessors.set = function (value) {
        /** @type {any} */ (this)[`set${kind}Option`](
          option,
          choices === undefined ? value : choices.indexOf(value),
        );
      };
    Object.defineProperty(prototype, name, accessors);
  }
}

const PRINCIPALS = /** @type {const} */ (["hostBased", "userName", "krb5Principal"]);

const CONTEXT = /** @type {const} */ ({
  blocky: [70, "Bool"],
  ioThreads: [1, "Int32"],
  maxMessageSize: [5, "Int32"],
  maxSockets: [2, "Int32"],
  ipv6: [42, "Bool"],
  threadPriority: [3, "Int32", "w"],
  threadSchedulingPolicy: [4, "Int32", "w"],
  maxSocketsLimit: [3, "Int32", "r"],
});

/** Of every socket. */
const SOCKET = /** @type {const} */ ({
  affinity: [4, "Uint64"],
  rate: [8, "Int32"],
  recoveryInterval: [9, "Int32"],
  linger: [17, "Int32"],
  reconnectInterval: [18, "Int32"],
  backlog: [19, "Int32"],
  reconnectMaxInterval: [21, "Int32"],
  maxMessageSize: [22, "Int64"],
  tcpKeepalive: [34, "Int32"],
  tcpKeepaliveCount: [35, "Int32"],
  tcpKeepaliveIdle: [36, "Int32"],
  tcpKeepaliveInterval: [37, "Int32"],
  tcpAcceptFilter: [38, "String"],
  immediate: [39, "Bool"],
  ipv6: [42, "Bool"],
  plainServer: [44, "Bool"],
  plainUsername: [45, "String"],
  plainPassword: [46, "String"],
  curveServer: [47, "Bool"],
  curvePublicKey: [48, "String"],
  curveSecretKey: [49, "String"],
  curveServerKey: [50, "String"],
  gssapiServer: [62, "Bool"],
  gssapiPrincipal: [63, "String"],
  gssapiServicePrincipal: [64, "String"],
  gssapiPlainText: [65, "Bool"],
  gssapiPrincipalNameType: [90, "Int32", undefined, PRINCIPALS],
  gssapiServicePrincipalNameType: [91, "Int32", undefined, PRINCIPALS],
  zapDomain: [55, "String"],
  typeOfService: [57, "Int32"],
  handshakeInterval: [66, "Int32"],
  socksProxy: [68, "String"],
  heartbeatInterval: [75, "Int32"],
  heartbeatTimeToLive: [76, "Int32"],
  heartbeatTimeout: [77, "Int32"],
  connectTimeout: [79, "Int32"],
  tcpMaxRetransmitTimeout: [80, "Int32"],
  multicastMaxTransportDataUnit: [84, "Int32"],
  vmciBufferSize: [85, "Uint64"],
  vmciBufferMinSize: [86, "Uint64"],
  vmciBufferMaxSize: [87, "Uint64"],
  vmciConnectTimeout: [88, "Int32"],
  interface: [92, "String"],
  zapEnforceDomain: [93, "Bool"],
  loopbackFastPath: [94, "Bool"],
  type: [16, "Int32", "r"],
  lastEndpoint: [32, "String", "r"],
  securityMechanism: [43, "Int32", "r", [null, "plain", "curve", "gssapi"]],
  threadSafe: [81, "Bool", "r"],
});

const WRITABLE = /** @type {const} */ ({
  multicastHops: [25, "Int32"],
  sendBufferSize: [11, "Int32"],
  sendHighWaterMark: [23, "Int32"],
  sendTimeout: [28, "Int32"],
});

const READABLE = /** @type {const} */ ({
  receiveBufferSize: [12, "Int32"],
  receiveHighWaterMark: [24, "Int32"],
  receiveTimeout: [27, "Int32"],
});

/** Not properties, but calls. */
const CALLS = /** @type {const} */ ({
  subscribe: [6, "String", "w"],
  unsubscribe: [7, "String", "w"],
  allSubs: [40, "Bool", "w"],
  connectRoutingId: [61, "String", "w"],
  allSubsUnsubs: [78, "Bool", "w"],
});

/** Of some socket types. */
const SOME = /** @type {const} */ ({
  conflate: [54, "Bool"],
  correlate: [52, "Bool"],
  handover: [56, "Bool"],
  invertMatching: [74, "Bool"],
  mandatory: [33, "Bool"],
  manual: [71, "Bool"],
  noDrop: [69, "Bool"],
  notify: [73, "Bool"],
  probeRouter: [51, "Bool"],
  relaxed: [53, "Bool"],
  routingId: [5, "String"],
  welcomeMessage: [72, "String"],
});

module.exports = { CALLS, CONTEXT, defineCalls, defineOptions, READABLE, SOCKET, SOME, WRITABLE };
