/** Checks of what a program gives to calls of messages. */
import { checkInteger, describe, isThenable } from "../../core/arguments.js";
import { isBytes, isTransferred } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { ignore } from "../../core/ignore.js";
import { MAX_TIMEOUT } from "../../core/waiter.js";
import { MAX_RUID } from "./bounds.js";

export function checkData(data: unknown): void {
  if (typeof data !== "string" && !isBytes(data))
    throw new InvalidArgumentError(`data must be a text or bytes; got ${describe(data)}`);
}

/**
 * @returns the data; bytes as a Buffer of the same memory
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkedData(what: string, data: unknown): string | Buffer {
  if (typeof data === "string") return data;
  if (!isBytes(data))
    throw new InvalidArgumentError(`${what} must be a text or bytes; got ${describe(data)}`);
  if (isTransferred(data)) throw new InvalidArgumentError(`${what} has memory that was transferred`);
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkRuid(ruid: unknown): asserts ruid is string {
  if (typeof ruid !== "string" || ruid.length > MAX_RUID || Buffer.byteLength(ruid) > MAX_RUID)
    throw new InvalidArgumentError(`ruid must be a text of at most ${MAX_RUID} bytes; got ${describe(ruid)}`);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean")
    throw new InvalidArgumentError(`${name} must be true or false; got ${describe(value)}`);
  return value;
}

export function checkTimeout(value: unknown): number {
  return checkInteger("timeout", value, -1, MAX_TIMEOUT);
}

export function checkOnFull(value: unknown = "drop"): "drop" | "wait" {
  if (value !== "drop" && value !== "wait")
    throw new InvalidArgumentError(`onFull must be "drop" or "wait"; got ${describe(value)}`);
  return value;
}

/** @throws InvalidArgumentError `EINVAL` for a promise */
export function refusePromise(what: string, result: unknown): void {
  if (!isThenable(result)) return;
  Promise.resolve(result).catch(ignore);
  throw new InvalidArgumentError(`${what} must be synchronous; it returned a promise`);
}
