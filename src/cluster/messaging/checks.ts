/** Checks of the arguments of calls that concern messages. */

import { checkInteger, describe } from "../../core/arguments.js";
import { isBytes } from "../../core/bytes.js";
import { InvalidArgumentError } from "../../core/errors.js";

/** The longest time that a platform timer holds. */
const MAX_TIMEOUT = 2_147_483_647;

export function checkData(data: unknown): void {
  if (typeof data !== "string" && !isBytes(data))
    throw new InvalidArgumentError(`data are a text or bytes; got ${describe(data)}`);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean")
    throw new InvalidArgumentError(`${name} is true or false; got ${describe(value)}`);
  return value;
}

export function checkTimeout(value: unknown): number {
  return checkInteger("timeout", value, -1, MAX_TIMEOUT);
}

export function checkOnFull(value: unknown = "drop"): "drop" | "wait" {
  if (value !== "drop" && value !== "wait")
    throw new InvalidArgumentError(`onFull is "drop" or "wait"; got ${describe(value)}`);
  return value;
}
