/** The options of the patterns: what is wrong with them is said before anything is opened. */
import { InvalidArgumentError } from "../../core/errors.js";

/** The largest whole number that an option takes, and in ms the longest time that a platform timer holds. */
const MAX = 2_147_483_647;

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
export function checkCount(name: string, value: unknown, min: number, max: number = MAX): number {
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

/** @throws InvalidArgumentError `EINVAL` unless it is a list of one endpoint or more */
export function checkServers(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new InvalidArgumentError(`Option ${name} has one server or more`);
  return value.map((endpoint) => checkEndpoint(name, endpoint));
}

/** A client's servers: one, or a list to be tried in its order. @throws InvalidArgumentError `EINVAL` for an empty list */
export function serversOf<S>(servers: S | readonly S[] | undefined): S[] {
  const list = Array.isArray(servers) ? [...servers] : servers === undefined ? [] : [servers as S];
  if (list.length > 0) return list;
  throw new InvalidArgumentError("A client has at least one server");
}

/** @throws InvalidArgumentError `EINVAL` unless it is a function */
export function checkFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new InvalidArgumentError(`Option ${name} is a function; got ${typeof value}`);
}

/**
 * The options that were given, over their defaults.
 *
 * @param smallest of each option that may not be 1 or less: 1 where it says nothing
 * @throws InvalidArgumentError `EINVAL` for an unknown name or a value out of range; nothing was changed
 */
export function numbers<T extends { readonly [K in keyof T]: number }>(
  what: string,
  defaults: T,
  given: object,
  smallest: { readonly [K in keyof T]?: number } = {},
): T {
  const resolved = { ...defaults } as Record<string, number>;
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (value === undefined) continue;
    if (!Object.hasOwn(defaults, name)) throw new InvalidArgumentError(`${what} has no option ${name}`);
    const min = smallest[name as keyof T] ?? 1;
    if (!Number.isInteger(value) || Number(value) < min || Number(value) > MAX) {
      throw new InvalidArgumentError(
        `Option ${name} of ${what} is a whole number from ${min} to ${MAX}; got ${String(value)}`,
      );
    }
    resolved[name] = value as number;
  }
  return Object.freeze(resolved) as T;
}
