/** Values of options: repeated ones, numbers, and those that are given. */
import { InvalidArgumentError, Option } from "commander";

/** An option that may be given several times. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, previous: unknown) => [
    ...(Array.isArray(previous) ? (previous as string[]) : []),
    value,
  ]);
}

/** The largest whole number that most options take, and the longest time of a timer, in ms. */
const MAX = 2_147_483_647;

/** The parser of a whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number = MAX): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** The parser of seconds from `min` to `max`, with a fraction or without. */
export function seconds(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+(?:\.\d+)?$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected seconds from ${min} to ${max}.`);
  };
}

/** The members that are not `undefined`, for options of the library. */
export function defined<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}
