/** What is wrong with options is said before anything is opened. */
import { InvalidArgumentError } from "../../core/errors.js";

/** ms of the longest interval: what a platform timer holds. */
const MAX_INTERVAL = 2_147_483_647;

/** @throws InvalidArgumentError `EINVAL` for a key that is not among `known` */
export function checkKeys(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null)
    throw new InvalidArgumentError(`The options of ${what} are an object; got ${String(options)}`);
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new InvalidArgumentError(`${what} has no option ${key}; known are ${known.join(", ")}`);
  }
}

/** @throws InvalidArgumentError `EINVAL` unless it is a whole number from `min` to `max` */
export function checkCount(name: string, value: unknown, min: number, max: number = MAX_INTERVAL): number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw new InvalidArgumentError(
    `Option ${name} is a whole number from ${min} to ${max}; got ${String(value)}`,
  );
}

/** @throws InvalidArgumentError `EINVAL` unless it is a text that is not empty */
export function checkEndpoint(name: string, value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  throw new InvalidArgumentError(`Option ${name} is an endpoint; got ${String(value)}`);
}

/** @throws InvalidArgumentError `EINVAL` unless it is a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new InvalidArgumentError(`Option ${name} is a function; got ${typeof value}`);
}
