/** A proxy's name, by which metrics, logs and its status tell it from others. Pure. */

/** Characters of a proxy's name. */
export const MAX_NAME = 64;

/** For a JSON Schema, too. */
export const NAME_PATTERN = `^[A-Za-z0-9_.-]{1,${MAX_NAME}}$`;

/** What it has to be, in words. */
export const NAME_RULE = `a name of at most ${MAX_NAME} letters, digits, _, . and -`;

export function isName(value: unknown): value is string {
  return typeof value === "string" && new RegExp(NAME_PATTERN).test(value);
}
