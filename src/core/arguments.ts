/**
 * What is checked at every door: keys of options, names of events, what programs throw. An unknown word is an error that names the nearest
 * known one. Pure.
 */
import { isBytes } from "./bytes.js";
import { InvalidArgumentError } from "./errors.js";
import { suggest } from "./suggestions.js";

/** Letters of a text that an error's message repeats, at most. */
const MAX_SHOWN = 60;

/**
 * An object of options has known keys only. A key whose value is `undefined` must be known, too.
 *
 * @param what whose options they are: "PirateClient", "close"
 * @throws InvalidArgumentError `EINVAL` for what is not an object, and for an unknown key
 */
export function checkKeys(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new InvalidArgumentError(`The options of ${what} are an object; got ${describe(options)}`);
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = suggest(key, known);
    const rest = near === "" ? `; known are ${known.join(", ")}` : near;
    throw new InvalidArgumentError(`${what} has no option ${key}${rest}`);
  }
}

/**
 * The same for the options of one call: cheap, for calls that are made often. `undefined` counts as not given.
 *
 * @param call its name: "receive"
 * @throws InvalidArgumentError `EINVAL` for what is not an object, and for an unknown key
 */
export function checkCallOptions(call: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  if (typeof options === "object" && options !== null && !Array.isArray(options)) {
    let unknown: string | undefined;
    for (const key in options) if (!known.includes(key)) unknown = key;
    if (unknown === undefined) return;
    if (options instanceof AbortSignal)
      throw new InvalidArgumentError(`The options of ${call} are an object, { signal }; got an AbortSignal`);
  }
  checkKeys(call, options as object, known);
}

/**
 * Arguments that a call does not take. `undefined` counts as not given.
 *
 * @param takes what it takes: "an endpoint"
 * @throws InvalidArgumentError `EINVAL`
 */
export function refuseExtra(call: string, takes: string, extra: readonly unknown[]): void {
  const [first] = extra.filter((argument) => argument !== undefined);
  if (first !== undefined)
    throw new InvalidArgumentError(`${call} takes ${takes}, and nothing else; got ${describe(first)}, too`);
}

/** A value for an error's message: its type, and a number or a short text as it is. */
export function describe(value: unknown): string {
  if (typeof value === "string") return value.length <= MAX_SHOWN ? JSON.stringify(value) : "a long string";
  if (Array.isArray(value)) return "an array";
  if (isBytes(value)) return `${value.byteLength} bytes`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}

/** A text as an error's message quotes it: a long one is cut. Other values, where a text was expected, as JSON. */
export function quoted(text: unknown): string {
  const shown = typeof text === "string" && text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return JSON.stringify(shown) ?? String(shown);
}

/** The message of what a program's function threw: anything may be thrown. Empty where it has no text. */
export function thrownText(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    // An object without a prototype, a getter that throws.
    return "";
  }
}
