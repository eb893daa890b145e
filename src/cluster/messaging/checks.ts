/** Checks of what a program gives to calls of messages. */
import { checkInteger, invalidArgument, isThenable } from "../../core/arguments.js";
import { isBytes, isTransferred } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { ignore, MAX_TIMEOUT } from "../../core/waiter.js";
import { MAX_RUID } from "./bounds.js";

export function checkData(data: unknown): void {
  if (typeof data !== "string" && !isBytes(data)) throw invalidArgument("data must be a text or bytes", data);
}

/**
 * @returns the data; bytes as a Buffer of the same memory
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkedData(what: string, data: unknown): string | Buffer {
  if (typeof data === "string") return data;
  if (!isBytes(data)) throw invalidArgument(`${what} must be a text or bytes`, data);
  if (isTransferred(data)) throw new InvalidArgumentError(`${what} has memory that was transferred`);
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkRuid(ruid: unknown): asserts ruid is string {
  if (typeof ruid !== "string" || ruid.length > MAX_RUID || Buffer.byteLength(ruid) > MAX_RUID)
    throw invalidArgument(`ruid must be a text of at most ${MAX_RUID} bytes`, ruid);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw invalidArgument(`${name} must be true or false`, value);
  return value;
}

export function checkTimeout(value: unknown): number {
  return checkInteger("timeout", value, -1, MAX_TIMEOUT);
}

export function checkOnFull(value: unknown = "drop"): "drop" | "wait" {
  if (value !== "drop" && value !== "wait") throw invalidArgument('onFull must be "drop" or "wait"', value);
  return value;
}

/** @throws InvalidArgumentError `EINVAL` for a promise */
export function refusePromise(what: string, result: unknown): void {
  if (!isThenable(result)) return;
  Promise.resolve(result).catch(ignore);
  throw new InvalidArgumentError(`${what} must be synchronous; it returned a promise`);
}
