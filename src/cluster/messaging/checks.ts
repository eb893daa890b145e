/** Checks of the arguments of calls that concern messages. */

import { describe } from "../../core/arguments.js";
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

export function checkCount(name: string, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1)
    throw new InvalidArgumentError(`${name} is a whole number from 1; got ${describe(value)}`);
  return value as number;
}

export function checkTimeout(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < -1 || (value as number) > MAX_TIMEOUT)
    throw new InvalidArgumentError(
      `timeout is a whole number of ms from -1 to ${MAX_TIMEOUT}; got ${describe(value)}`,
    );
  return value as number;
}

export function checkOnFull(value: unknown = "drop"): "drop" | "wait" {
  if (value !== "drop" && value !== "wait")
    throw new InvalidArgumentError(`onFull is "drop" or "wait"; got ${describe(value)}`);
  return value;
}
