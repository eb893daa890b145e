/** Numeric options of the patterns here: complete, in range, and none unknown. */
import { InvalidArgumentError } from "../../core/errors.js";

/** The largest whole number that an option takes, and the longest time a timer holds, in ms. */
const MAX = 2_147_483_647;

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
