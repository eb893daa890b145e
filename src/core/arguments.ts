/** Checks shared by public calls. Errors suggest the nearest known name. */

import type { Duplex } from "node:stream";
import { isBytes } from "./bytes.js";
import { InvalidArgumentError } from "./errors.js";

const MAX_SHOWN = 60;

/**
 * @param what the owner of the options, such as "PirateClient" or "close"
 * @throws InvalidArgumentError `EINVAL` for an unknown key, even with `undefined`, or a value of another type
 */
export function checkKeys(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw invalidArgument(`The options of ${what} must be an object`, options);
  // Its properties are not its own.
  if (options instanceof AbortSignal) {
    const form = known.includes("signal") ? "an object, { signal }" : "an object";
    throw new InvalidArgumentError(`The options of ${what} must be ${form}; got an AbortSignal`);
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = suggest(key, known);
    const rest = near === "" ? `; known are ${known.join(", ")}` : near;
    throw new InvalidArgumentError(`${what} has no option ${key}${rest}`);
  }
}

/** As `checkKeys`, cheaper, but `undefined` counts as not given. @param call its name */
export function checkCallOptions(call: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  if (typeof options === "object" && options !== null && !Array.isArray(options)) {
    let unknown: string | undefined;
    for (const key in options) if (!known.includes(key)) unknown = key;
    if (unknown === undefined) return;
  }
  checkKeys(call, options as object, known);
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkInteger(name: string, value: unknown, min = 1, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max)
    return value as number;
  throw invalidArgument(`${name} must be a whole number from ${min} to ${max}`, value);
}

/** @param rule such as "Option topic must be a text"; the error adds what it got, so never a secret */
export function invalidArgument(rule: string, got: unknown): InvalidArgumentError {
  return new InvalidArgumentError(`${rule}; got ${describe(got)}`);
}

export function describe(value: unknown): string {
  if (typeof value === "string") return value.length <= MAX_SHOWN ? JSON.stringify(value) : "a long string";
  if (Array.isArray(value)) return "an array";
  if (isBytes(value)) return `${value.byteLength} bytes`;
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}

/** Cuts a long text. Other values are shown as by `describe`. */
export function quoted(text: unknown): string {
  if (typeof text !== "string") return describe(text);
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

export function thrownText(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    // The value may lack a prototype, or its getter may throw.
    return "an error without a message";
  }
}

/** A Proxy may throw. */
export function isInstance<T>(error: unknown, type: new (...parameters: never[]) => T): error is T {
  try {
    return error instanceof type;
  } catch {
    return false; // Not one of ours.
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === "object" &&
    typeof (value as Partial<AsyncIterable<unknown>> | null)?.[Symbol.asyncIterator] === "function"
  );
}

/** The members that have a value. */
export function defined<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

/** The share of a word's letters that may differ. */
const WRONG = 0.4;

export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const most = WRONG * Math.max(word.length, candidate.length);
    if (Math.abs(word.length - candidate.length) > most) continue;
    const changes = distance(word.toLowerCase(), candidate.toLowerCase());
    if (changes > most || changes >= least) continue;
    best = candidate;
    least = changes;
  }
  return best;
}

/** `; did you mean WORD?`, or "". */
export function suggest(word: unknown, known: readonly string[]): string {
  const meant = typeof word === "string" ? nearest(word, known) : undefined;
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}

/** Edit distance with swaps of neighbours (optimal string alignment). */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1;
      let least = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + same);
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        least = Math.min(least, at(before, j - 2) + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return at(last, other.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] as number;
}

const CALLS = ["on", "once", "off", "write", "end", "cork", "uncork", "pause", "resume", "destroy"] as const;
const given = new WeakSet<Duplex>();

/**
 * Takes a stream that has not been given before, by any call. What it throws from now on destroys it.
 *
 * @throws InvalidArgumentError `EINVAL` also for a stream with an encoding or in object mode
 */
export function takeDuplex(duplex: Duplex): void {
  if (CALLS.some((call) => typeof duplex?.[call] !== "function"))
    throw invalidArgument("the stream must be a Duplex", duplex);
  const { readableObjectMode, writableObjectMode, readableEncoding } = duplex;
  if (readableObjectMode || writableObjectMode || readableEncoding)
    throw new InvalidArgumentError("the stream must be of bytes, without an encoding or objectMode");
  if (given.has(duplex)) throw new InvalidArgumentError("the stream has been given before");
  given.add(duplex);
  const calls = duplex as unknown as Record<string, (...given: unknown[]) => unknown>;
  for (const call of ["write", "uncork", "end"]) {
    const inner = calls[call] as (...given: unknown[]) => unknown;
    calls[call] = (...values) => {
      try {
        return inner.apply(duplex, values);
      } catch (error) {
        duplex.destroy(isInstance(error, Error) ? error : new Error(thrownText(error)));
        return false;
      }
    };
  }
}

/**
 * Node.js ignores an unreadable certificate and those after it, and refuses their peers.
 *
 * @param what names the option
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkAuthorities(what: string, pem: string): void {
  const found = pem.match(
    /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[\s\S]*?(?:-----END (?:X509 |TRUSTED )?CERTIFICATE-----|$)/g,
  );
  if (found === null) throw new InvalidArgumentError(`${what} has no certificate in PEM`);
  const { X509Certificate } = process.getBuiltinModule("node:crypto");
  for (const [at, each] of found.entries()) {
    try {
      new X509Certificate(each);
    } catch {
      const which = found.length === 1 ? "" : `, number ${at + 1} of ${found.length},`;
      throw new InvalidArgumentError(`${what} has a certificate${which} that cannot be read`);
    }
  }
}
