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
import { CONTEXT_OPTIONS, OPTIONS } from "../core/option-table.js";
import type { EngineSocket } from "../engine/engine.js";
import { CORE, checkPeerId } from "./socket-endpoints.js";

/** A property or call, and the kind of its values. */
type Numbered = Pick<OptionSpec, "kind" | "max" | "choices"> & { readonly name: string };
type Table = Readonly<Record<number, Numbered>>;

interface Numbers {
  readonly read: Table;
  readonly write: Table;
}

type NumberUse = keyof Numbers;

/** @param read, write numbers of zmq.h outside the option table */
function numbersOf(options: Readonly<Record<string, OptionSpec>>, read: Table, write: Table): Numbers {
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

/** Socket options of zmq.h, without file descriptors and the like. */
const SOCKET = numbersOf(
  OPTIONS,
  {
    16: { name: "type", kind: "integer" },
    32: { name: "lastEndpoint", kind: "string" },
    43: { name: "securityMechanism", kind: "choice", choices: [null, "plain", "curve", "gssapi"] },
    81: { name: "threadSafe", kind: "boolean" },
  },
  {
    6: { name: "subscribe", kind: "bytes" },
    7: { name: "unsubscribe", kind: "bytes" },
    40: { name: "allSubs", kind: "boolean" },
    61: { name: "connectRoutingId", kind: "bytes" },
    78: { name: "allSubsUnsubs", kind: "boolean" },
  },
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

const NUMBERS: unique symbol = Symbol("shoal.numbers");
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

/** Of a socket. */
interface Core {
  readonly typeName: string;
  readonly engine: Pick<EngineSocket, "subscriptions">;
  readonly endpoints: { nextName: string | undefined };
  setOption(name: string, value: unknown): void;
  assertOpen(): void;
}

export abstract class SocketByNumber extends ContextByNumber {
  /** @internal */
  declare readonly [CORE]: Core;

  /** @internal */
  override [NUMBERS](use: NumberUse): Table {
    if (use === "write") this[CORE].assertOpen();
    return SOCKET[use];
  }

  /** @internal */
  override [WRITE](name: string, value: unknown): void {
    const core = this[CORE];
    if (name === "allSubs" || name === "allSubsUnsubs")
      core.setOption("verbosity", value === true ? name : null);
    else if (name === "subscribe" || name === "unsubscribe")
      changeSubscription(core, name, value as string | null);
    else if (name === "connectRoutingId") nameNext(core, value as string | null);
    else core.setOption(name, value);
  }

  protected getUint32Option(option: number): number {
    return getNumbered(this, "Uint32", option) as number;
  }
  protected setUint32Option(option: number, value: number): void {
    setNumbered(this, "Uint32", option, value);
  }
  protected getInt64Option(option: number): number {
    return getNumbered(this, "Int64", option) as number;
  }
  protected setInt64Option(option: number, value: number): void {
    setNumbered(this, "Int64", option, value);
  }
  protected getUint64Option(option: number): number {
    return getNumbered(this, "Uint64", option) as number;
  }
  protected setUint64Option(option: number, value: number): void {
    setNumbered(this, "Uint64", option, value);
  }
  protected getStringOption(option: number): string | null {
    return getNumbered(this, "String", option) as string | null;
  }
  protected setStringOption(option: number, value: string | Uint8Array | null): void {
    setNumbered(this, "String", option, value);
  }
}

/** @returns a boolean, a number, text or `null` @throws InvalidArgumentError `EINVAL` */
function getNumbered(owner: ContextByNumber, type: Call, option: number): unknown {
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
function setNumbered(owner: ContextByNumber, type: Call, option: number, value: unknown): void {
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

function changeSubscription(
  { typeName, engine }: Core,
  call: "subscribe" | "unsubscribe",
  prefix: string | Uint8Array | null,
): void {
  const { subscriptions } = engine;
  if (typeName !== "Subscriber" || subscriptions === undefined)
    throw new InvalidArgumentError(`${typeName} has no subscriptions`);
  subscriptions[call](Buffer.from((prefix ?? "") as string));
}

/** Name of a ROUTER or STREAM for the next connected peer; null: none. */
function nameNext({ typeName, endpoints }: Core, routingId: string | Uint8Array | null): void {
  if (typeName !== "Router" && typeName !== "Stream")
    throw new InvalidArgumentError(`${typeName} gives its peers no names`);
  const name = routingId === null ? undefined : Buffer.from(routingId as string).toString();
  if (name !== undefined) checkPeerId(name);
  endpoints.nextName = name;
}
