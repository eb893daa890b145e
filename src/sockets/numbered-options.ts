/**
 * Options by libzmq's numbers (zmq_setsockopt(3), zmq_ctx_set(3)), for programs that use the protected calls of the
 * package `zeromq`. Most numbers are in the rows of the option tables.
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
import { INT32, type OptionSpec } from "../core/option-spec.js";
import { CONTEXT_OPTIONS } from "../core/option-table.js";

/** A property or call, and the kind of its values. */
type Numbered = Pick<OptionSpec, "kind" | "max" | "choices"> & { readonly name: string };
export type Table = Readonly<Record<number, Numbered>>;

export interface Numbers {
  readonly read: Table;
  readonly write: Table;
}

export type NumberUse = keyof Numbers;

/** @param read, write numbers of zmq.h outside the option table */
export function numbersOf(options: Readonly<Record<string, OptionSpec>>, read: Table, write: Table): Numbers {
  const rows: Record<number, Numbered> = {};
  for (const [name, spec] of Object.entries(options))
    if (spec.zmq !== undefined) rows[spec.zmq] = { name, ...spec };
  return { read: { ...rows, ...read }, write: { ...rows, ...write } };
}

const CONTEXT = numbersOf(
  CONTEXT_OPTIONS,
  { 3: { name: "maxSocketsLimit", kind: "integer" } },
  { 3: { name: "threadPriority", kind: "integer" }, 4: { name: "threadSchedulingPolicy", kind: "integer" } },
);

type Width = "4 bytes" | "8 bytes" | "text";
type Call = keyof typeof WIDTHS;

const WIDTHS = {
  Bool: "4 bytes",
  Int32: "4 bytes",
  Uint32: "4 bytes",
  Int64: "8 bytes",
  Uint64: "8 bytes",
  String: "text",
} as const satisfies Record<string, Width>;

function widthOf({ kind, max = 0 }: Numbered): Width {
  if (kind === "boolean" || kind === "choice") return "4 bytes";
  if (kind !== "integer") return "text";
  return max > INT32 ? "8 bytes" : "4 bytes";
}

/** @internal */
export const NUMBERS: unique symbol = Symbol("shoal.numbers");
/** @internal */
export const WRITE: unique symbol = Symbol("shoal.write");

export abstract class ContextByNumber {
  /** @internal */
  [NUMBERS](use: NumberUse): Table {
    return CONTEXT[use];
  }

  /** @internal */
  abstract [WRITE](name: string, value: unknown): void;

  protected getBoolOption(option: number): boolean {
    return getNumbered(this, "Bool", option) as boolean;
  }
  protected setBoolOption(option: number, value: boolean): void {
    setNumbered(this, "Bool", option, value);
  }
  protected getInt32Option(option: number): number {
    return getNumbered(this, "Int32", option) as number;
  }
  protected setInt32Option(option: number, value: number): void {
    setNumbered(this, "Int32", option, value);
  }
}

/** @returns a boolean, a number, text or `null` @throws InvalidArgumentError `EINVAL` */
export function getNumbered(owner: ContextByNumber, type: Call, option: number): unknown {
  const { name, choices } = rowOf(owner, "read", option, type);
  if (!(name in owner))
    throw new InvalidArgumentError(
      `get${type}Option: ${owner.constructor.name} has no option ${name} (${option})`,
    );
  const value = (owner as unknown as Record<string, unknown>)[name];
  if (type === "String") return value;
  const number = choices === undefined ? Number(value) : choices.indexOf(value as string | null);
  return type === "Bool" ? number !== 0 : number;
}

/** @throws InvalidArgumentError `EINVAL`, also for a value of another type */
export function setNumbered(owner: ContextByNumber, type: Call, option: number, value: unknown): void {
  const row = rowOf(owner, "write", option, type);
  checkType(type, value);
  owner[WRITE](row.name, given(row, type, value));
}

/** The value for the property. */
function given({ kind, choices }: Numbered, type: Call, value: unknown): unknown {
  if (choices !== undefined) return choices[Number(value)];
  if (type !== "String") return kind === "boolean" ? Number(value) !== 0 : Number(value);
  // libzmq also accepts a key's 40 characters as bytes, with or without a final zero.
  const isText = kind === "string" || (kind === "key" && isBytes(value) && value.length > 32);
  if (!isText || value === null) return value;
  return Buffer.from(value as string)
    .toString()
    .replace(/\0$/, "");
}

function rowOf(owner: ContextByNumber, use: NumberUse, option: number, type: Call): Numbered {
  const numbers = owner[NUMBERS](use);
  const call = `${use === "read" ? "get" : "set"}${type}Option`;
  const isKnown = typeof option === "number" && Object.hasOwn(numbers, option);
  const row = isKnown ? numbers[option] : undefined;
  if (row === undefined) {
    const done = use === "read" ? "read" : "written";
    throw new InvalidArgumentError(
      `${call}: no option that can be ${done} has the number ${describe(option)}`,
    );
  }
  const width = widthOf(row);
  if (width !== WIDTHS[type]) throw new InvalidArgumentError(`${call}: option ${option} has ${width}`);
  return row;
}

function checkType(type: Call, value: unknown): void {
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
