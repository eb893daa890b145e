/**
 * Options by libzmq's numbers (zmq_setsockopt(3), zmq_ctx_set(3)), for programs that use the protected calls of the
 * package `zeromq`.
 *
 *   Bool, Int32, Uint32   4 bytes in libzmq: any of the three calls reaches the option
 *   Int64, Uint64         8 bytes: either call
 *   String                text or bytes
 *
 * An unknown number or another width is `EINVAL`, as in libzmq.
 */
import { describe } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import { InvalidArgumentError } from "../core/errors.js";
import { INT32 } from "../core/option-spec.js";
import { OPTIONS, type OptionSpec } from "../core/option-table.js";

type Width = "4 bytes" | "8 bytes" | "text";
type Numbered = readonly [property: string, width: Width, access?: "read" | "write"];

const WORD = "4 bytes";
const LONG = "8 bytes";
const TEXT = "text";

/**
 * Socket options of zmq.h, without file descriptors and the like: the option table's, properties and calls outside it,
 * and an option with two numbers.
 */
const SOCKET: Readonly<Record<number, Numbered>> = {
  ...ofTable(),
  6: ["subscribe", TEXT, "write"],
  7: ["unsubscribe", TEXT, "write"],
  16: ["type", WORD, "read"],
  32: ["lastEndpoint", TEXT, "read"],
  40: ["verbosity:allSubs", WORD, "write"],
  43: ["securityMechanism", WORD, "read"],
  61: ["connectRoutingId", TEXT, "write"],
  78: ["verbosity:allSubsUnsubs", WORD, "write"],
  81: ["threadSafe", WORD, "read"],
};

function ofTable(): Record<number, Numbered> {
  const numbers: Record<number, Numbered> = {};
  for (const [name, spec] of Object.entries<OptionSpec>(OPTIONS))
    if (spec.zmq !== undefined) numbers[spec.zmq] = [name, widthOf(spec)];
  return numbers;
}

function widthOf({ kind, max }: OptionSpec): Width {
  if (kind === "boolean" || kind === "choice") return WORD;
  if (kind !== "integer") return TEXT;
  return max !== undefined && max > INT32 ? LONG : WORD;
}

/** Context options of zmq.h; number 3 reads one option and writes another. */
const CONTEXT: Readonly<Record<number, Numbered>> = {
  1: ["ioThreads", WORD],
  2: ["maxSockets", WORD],
  3: ["maxSocketsLimit|threadPriority", WORD],
  4: ["threadSchedulingPolicy", WORD, "write"],
  5: ["maxMessageSize", WORD],
  42: ["ipv6", WORD],
  70: ["blocky", WORD],
};

const MECHANISMS: readonly unknown[] = [null, "plain", "curve", "gssapi"];

export type NumberedType = "Bool" | "Int32" | "Uint32" | "Int64" | "Uint64" | "String";

const WIDTHS: Readonly<Record<NumberedType, Width>> = {
  Bool: WORD,
  Int32: WORD,
  Uint32: WORD,
  Int64: LONG,
  Uint64: LONG,
  String: TEXT,
};

type Owner = object;

export const NUMBERED = { socket: SOCKET, context: CONTEXT } as const;

/**
 * @returns a boolean, a number, text or `null`
 * @throws InvalidArgumentError `EINVAL` for an unknown or write-only number, or another width
 */
export function getNumbered(
  owner: Owner,
  numbers: Readonly<Record<number, Numbered>>,
  option: number,
  type: NumberedType,
): unknown {
  const [read] = propertyOf(owner, numbers, option, type, "read").split("|") as [string];
  const value = (owner as Record<string, unknown>)[read];
  const choice = choicesOf(read);
  if (type === "String") return value;
  const number = choice === undefined ? Number(value) : choice.indexOf(value);
  return type === "Bool" ? number !== 0 : number;
}

/** @throws InvalidArgumentError `EINVAL` as `getNumbered`, or for a value of another type */
export function setNumbered(
  owner: Owner,
  numbers: Readonly<Record<number, Numbered>>,
  option: number,
  type: NumberedType,
  value: unknown,
): readonly [property: string, value: unknown] {
  const property = propertyOf(owner, numbers, option, type, "write").split("|").at(-1) as string;
  checkType(type, value);
  const choice = choicesOf(property);
  if (choice !== undefined) return [property, choice[Number(value)]];
  if (type === "String") {
    const kind = specOf(property)?.kind;
    // libzmq also accepts a key's 40 characters as bytes, with or without a final zero.
    const isText = kind === "string" || (kind === "key" && isBytes(value) && value.length > 32);
    if (!isText || value === null) return [property, value];
    return [
      property,
      Buffer.from(value as string)
        .toString()
        .replace(/\0$/, ""),
    ];
  }
  const isFlag = typeof (owner as Record<string, unknown>)[property] === "boolean";
  return [property, isFlag ? Number(value) !== 0 : Number(value)];
}

function specOf(property: string): OptionSpec | undefined {
  return (OPTIONS as Readonly<Record<string, OptionSpec>>)[property];
}

/** Texts by libzmq's numbers, if the property has them. */
function choicesOf(property: string): readonly unknown[] | undefined {
  return property === "securityMechanism" ? MECHANISMS : specOf(property)?.choices;
}

function propertyOf(
  owner: Owner,
  numbers: Readonly<Record<number, Numbered>>,
  option: number,
  type: NumberedType,
  use: "read" | "write",
): string {
  const isKnown = typeof option === "number" && Object.hasOwn(numbers, option);
  const [property, width, access] = (isKnown ? numbers[option] : undefined) ?? [];
  const call = `${use === "read" ? "get" : "set"}${type}Option`;
  if (property === undefined || (access !== undefined && access !== use)) {
    throw new InvalidArgumentError(
      `${call}: no option that can be ${past(use)} has the number ${describe(option)}`,
    );
  }
  if (width !== WIDTHS[type]) throw new InvalidArgumentError(`${call}: option ${option} has ${width}`);
  const [name] = property.split(/[:|]/) as [string];
  if (!CALLS.has(name) && !(name in owner)) {
    throw new InvalidArgumentError(`${call}: ${owner.constructor.name} has no option ${name} (${option})`);
  }
  return property;
}

const CALLS: ReadonlySet<string> = new Set(["subscribe", "unsubscribe", "connectRoutingId"]);

function checkType(type: NumberedType, value: unknown): void {
  const fits =
    type === "Bool"
      ? typeof value === "boolean"
      : type === "String"
        ? value === null || typeof value === "string" || isBytes(value)
        : typeof value === "number";
  if (fits) return;
  const expected = type === "Bool" ? "a boolean" : type === "String" ? "a string, bytes or null" : "a number";
  throw new InvalidArgumentError(`set${type}Option takes ${expected}; got ${typeof value}`);
}

function past(use: "read" | "write"): string {
  return use === "read" ? "read" : "written";
}

/** @internal */
export const GET_NUMBERED: unique symbol = Symbol("shoal.getNumbered");
/** @internal */
export const SET_NUMBERED: unique symbol = Symbol("shoal.setNumbered");

export abstract class ContextByNumber {
  /** @internal */
  abstract [GET_NUMBERED](option: number, type: NumberedType): unknown;
  /** @internal */
  abstract [SET_NUMBERED](option: number, type: NumberedType, value: unknown): void;

  protected getBoolOption(option: number): boolean {
    return this[GET_NUMBERED](option, "Bool") as boolean;
  }
  protected setBoolOption(option: number, value: boolean): void {
    this[SET_NUMBERED](option, "Bool", value);
  }
  protected getInt32Option(option: number): number {
    return this[GET_NUMBERED](option, "Int32") as number;
  }
  protected setInt32Option(option: number, value: number): void {
    this[SET_NUMBERED](option, "Int32", value);
  }
}
