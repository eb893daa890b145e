// @ts-check
"use strict";
/** Errors with libzmq's texts and numbers, as the package zeromq throws them; shoal's own error is the `cause`. */
// Not by require alone: esbuild has none in what it bundles as an ES module.
const { constants } = process.getBuiltinModule?.("node:os") ?? require("node:os");

/** libzmq's own numbers (zmq.h). */
const ERRNO = { ...constants.errno, EFSM: 156_384_763, ENOCOMPATPROTO: 156_384_764, ETERM: 156_384_765 };

/** @type {Readonly<Record<string, string>>} */
const TEXTS = {
  EACCES: "Permission denied",
  EADDRINUSE: "Address already in use",
  EADDRNOTAVAIL: "Cannot assign requested address",
  EAGAIN: "Operation was not possible or timed out",
  EBADF: "Socket is closed",
  EBUSY: "Socket is busy",
  EFSM: "Operation cannot be accomplished in current state",
  EHOSTUNREACH: "Host unreachable",
  EINVAL: "Invalid argument",
  EMFILE: "Too many open file descriptors",
  ENOCOMPATPROTO: "The protocol is not compatible with the socket type",
  ENODEV: "No such device",
  ENOENT: "No such endpoint",
  ENOTSUP: "Operation not supported",
  EPROTONOSUPPORT: "Protocol not supported",
  ETERM: "Context was terminated",
};

/** What shoal refuses for reasons that libzmq has no number for is an invalid argument there. */
const AS = { NOT_SUPPORTED: "EINVAL", ERR_ENGINE_UNAVAILABLE: "EINVAL", ERR_TOO_MANY_PENDING: "EBUSY" };

/**
 * @param {string} code
 * @param {{ message?: string, address?: string | undefined, cause?: unknown }} [details]
 * @returns {Error & { code: string, errno: number, address?: string }}
 */
function errno(code, { message = TEXTS[code] ?? code, address, cause } = {}) {
  const error = cause === undefined ? new Error(message) : new Error(message, { cause });
  return Object.assign(error, {
    errno: /** @type {Record<string, number>} */ (ERRNO)[code] ?? ERRNO.EINVAL,
    code,
    ...(address === undefined ? {} : { address }),
  });
}

/**
 * @param {any} error of shoal
 * @param {string} [address] what the call was about
 */
function translated(error, address) {
  const given = String(error?.code);
  const code = Object.hasOwn(AS, given) ? AS[/** @type {keyof typeof AS} */ (given)] : given;
  return Object.hasOwn(TEXTS, code) ? errno(code, { address, cause: error }) : error;
}

/**
 * Calls shoal, and throws its errors as the package zeromq would.
 *
 * @template T
 * @param {() => T} call
 * @param {string} [address]
 * @returns {T}
 */
function translating(call, address) {
  try {
    return call();
  } catch (error) {
    throw translated(error, address);
  }
}

/** @param {any} error of shoal, in an event @returns {Error} */
function translatedEvent(error) {
  const { code, status } = error;
  if (typeof status === "number") {
    const text = { 300: "Temporary error", 400: "Authentication failure", 500: "Internal error" }[status];
    return Object.assign(new Error(text ?? "Unknown error", { cause: error }), { status });
  }
  const [, protocol] = /^ERR_(ZMTP|ZAP)_/.exec(code) ?? [];
  if (protocol === undefined) return translated(error);
  return Object.assign(new Error(`${protocol} protocol error`, { cause: error }), { code });
}

/** @typedef {[check: (value: any) => boolean, text: string]} Check what an argument has to pass, and the error's text */

/** @param {ArrayLike<unknown>} given @param {...Check} checks of each argument */
function checkArguments(given, ...checks) {
  const { length } = checks;
  for (let i = 0; i < length; i++) {
    const [check, text] = /** @type {Check} */ (checks[i]);
    if (!check(given[i])) throw new TypeError(text);
  }
  if (given.length > length)
    throw new TypeError(`Expected ${length} argument${length === 1 ? "" : "s"} but received ${given.length}`);
}

/** @param {unknown} value */
const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";
/** @param {unknown} value */
const isOptionalObject = (value) => value === undefined || isObject(value);
/** @param {unknown} value */
const isText = (value) => typeof value === "string";
/** @param {unknown} value */
const isNumber = (value) => typeof value === "number";

module.exports = {
  checkArguments,
  errno,
  isNumber,
  isObject,
  isOptionalObject,
  isText,
  translated,
  translatedEvent,
  translating,
};
