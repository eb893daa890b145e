/**
 * Options by libzmq's numbers (zmq_setsockopt(3), zmq_ctx_set(3)), for programs that extend the classes of the package
 * `zeromq` and reach options through its protected calls. Each number stands for an option, or a property, of the socket.
 *
 *   Bool, Int32, Uint32   4 bytes in libzmq: any of the three calls reaches the option
 *   Int64, Uint64         8 bytes: either call
 *   String                text or bytes
 *
 * A number that the socket type does not have, and a call of another width, is `EINVAL`, as in libzmq.
 */
import { isBytes } from "../core/bytes.js";
import { InvalidArgumentError } from "../core/errors.js";
import { OPTIONS, type OptionSpec } from "../core/option-table.js";

type Width = "4 bytes" | "8 bytes" | "text";
type Numbered = readonly [property: string, width: Width, access?: "read" | "write"];

const WORD = "4 bytes";
const LONG = "8 bytes";
const TEXT = "text";

/** zmq.h, Socket options. Those that select bytes by themselves (file descriptors, more frames) have no use here. */
const SOCKET: Readonly<Record<number, Numbered>> = {
  4: ["affinity", LONG],
  5: ["routingId", TEXT],
  6: ["subscribe", TEXT, "write"],
  7: ["unsubscribe", TEXT, "write"],
  8: ["rate", WORD],
  9: ["recoveryInterval", WORD],
  11: ["sendBufferSize", WORD],
  12: ["receiveBufferSize", WORD],
  16: ["type", WORD, "read"],
  17: ["linger", WORD],
  18: ["reconnectInterval", WORD],
  19: ["backlog", WORD],
  21: ["reconnectMaxInterval", WORD],
  22: ["maxMessageSize", LONG],
  23: ["sendHighWaterMark", WORD],
  24: ["receiveHighWaterMark", WORD],
  25: ["multicastHops", WORD],
  27: ["receiveTimeout", WORD],
  28: ["sendTimeout", WORD],
  32: ["lastEndpoint", TEXT, "read"],
  33: ["mandatory", WORD],
  34: ["tcpKeepalive", WORD],
  35: ["tcpKeepaliveCount", WORD],
  36: ["tcpKeepaliveIdle", WORD],
  37: ["tcpKeepaliveInterval", WORD],
  38: ["tcpAcceptFilter", TEXT],
  39: ["immediate", WORD],
  40: ["verbosity:allSubs", WORD, "write"],
  42: ["ipv6", WORD],
  43: ["securityMechanism", WORD, "read"],
  44: ["plainServer", WORD],
  45: ["plainUsername", TEXT],
  46: ["plainPassword", TEXT],
  47: ["curveServer", WORD],
  48: ["curvePublicKey", TEXT],
  49: ["curveSecretKey", TEXT],
  50: ["curveServerKey", TEXT],
  51: ["probeRouter", WORD],
  52: ["correlate", WORD],
  53: ["relaxed", WORD],
  54: ["conflate", WORD],
  55: ["zapDomain", TEXT],
  56: ["handover", WORD],
  57: ["typeOfService", WORD],
  61: ["connectRoutingId", TEXT, "write"],
  62: ["gssapiServer", WORD],
  63: ["gssapiPrincipal", TEXT],
  64: ["gssapiServicePrincipal", TEXT],
  65: ["gssapiPlainText", WORD],
  66: ["handshakeInterval", WORD],
  68: ["socksProxy", TEXT],
  69: ["noDrop", WORD],
  71: ["manual", WORD],
  72: ["welcomeMessage", TEXT],
  73: ["notify", WORD],
  74: ["invertMatching", WORD],
  75: ["heartbeatInterval", WORD],
  76: ["heartbeatTimeToLive", WORD],
  77: ["heartbeatTimeout", WORD],
  78: ["verbosity:allSubsUnsubs", WORD, "write"],
  79: ["connectTimeout", WORD],
  80: ["tcpMaxRetransmitTimeout", WORD],
  81: ["threadSafe", WORD, "read"],
  84: ["multicastMaxTransportDataUnit", WORD],
  85: ["vmciBufferSize", LONG],
  86: ["vmciBufferMinSize", LONG],
  87: ["vmciBufferMaxSize", LONG],
  88: ["vmciConnectTimeout", WORD],
  90: ["gssapiPrincipalNameType", WORD],
  91: ["gssapiServicePrincipalNameType", WORD],
  92: ["interface", TEXT],
  93: ["zapEnforceDomain", WORD],
  94: ["loopbackFastPath", WORD],
};

/** zmq.h, Context options. Number 3 is read as one option and written as another. */
const CONTEXT: Readonly<Record<number, Numbered>> = {
  1: ["ioThreads", WORD],
  2: ["maxSockets", WORD],
  3: ["maxSocketsLimit|threadPriority", WORD],
  4: ["threadSchedulingPolicy", WORD, "write"],
  5: ["maxMessageSize", WORD],
  42: ["ipv6", WORD],
  70: ["blocky", WORD],
};

/** Texts that libzmq has numbers for, in the order of the numbers. */
const CHOICES: Readonly<Record<string, readonly unknown[]>> = {
  securityMechanism: [null, "plain", "curve", "gssapi"],
  gssapiPrincipalNameType: ["hostBased", "userName", "krb5Principal"],
  gssapiServicePrincipalNameType: ["hostBased", "userName", "krb5Principal"],
};

/** One of the calls; what it takes and gives, and how wide the option has to be. */
export type NumberedType = "Bool" | "Int32" | "Uint32" | "Int64" | "Uint64" | "String";

const WIDTHS: Readonly<Record<NumberedType, Width>> = {
  Bool: WORD,
  Int32: WORD,
  Uint32: WORD,
  Int64: LONG,
  Uint64: LONG,
  String: TEXT,
};

/** Whose options they are: properties by name. */
type Owner = object;

/** The options of sockets and of contexts, by number. */
export const NUMBERED = { socket: SOCKET, context: CONTEXT } as const;

/**
 * @returns what `get…Option` gives: a boolean, a number, or text and `null`
 * @throws InvalidArgumentError `EINVAL` for a number that `owner` does not have, cannot be read or has another width
 */
export function getNumbered(
  owner: Owner,
  numbers: Readonly<Record<number, Numbered>>,
  option: number,
  type: NumberedType,
): unknown {
  const [read] = propertyOf(owner, numbers, option, type, "read").split("|") as [string];
  const value = (owner as Record<string, unknown>)[read];
  const choice = CHOICES[read];
  if (type === "String") return value;
  const number = choice === undefined ? Number(value) : choice.indexOf(value);
  return type === "Bool" ? number !== 0 : number;
}

/**
 * What `set…Option` does.
 *
 * @returns what is to be set: the property's name, and its value
 * @throws InvalidArgumentError `EINVAL` as for `getNumbered`, and for a value of another type
 */
export function setNumbered(
  owner: Owner,
  numbers: Readonly<Record<number, Numbered>>,
  option: number,
  type: NumberedType,
  value: unknown,
): readonly [property: string, value: unknown] {
  const property = propertyOf(owner, numbers, option, type, "write").split("|").at(-1) as string;
  checkType(type, value);
  const choice = CHOICES[property];
  if (choice !== undefined) return [property, choice[Number(value)]];
  if (type === "String") {
    const { kind } = (OPTIONS as Readonly<Record<string, OptionSpec>>)[property] ?? {};
    // libzmq takes a key's 40 characters as bytes, too, with or without the zero byte that ends a text in C.
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

function propertyOf(
  owner: Owner,
  numbers: Readonly<Record<number, Numbered>>,
  option: number,
  type: NumberedType,
  use: "read" | "write",
): string {
  const [property, width, access] = (Object.hasOwn(numbers, option) ? numbers[option] : undefined) ?? [];
  const call = `${use === "read" ? "get" : "set"}${type}Option`;
  if (property === undefined || (access !== undefined && access !== use)) {
    throw new InvalidArgumentError(`${call}: no option that can be ${past(use)} has the number ${option}`);
  }
  if (width !== WIDTHS[type]) throw new InvalidArgumentError(`${call}: option ${option} has ${width}`);
  const [name] = property.split(/[:|]/) as [string];
  if (!SPECIAL.has(name) && !(name in owner)) {
    throw new InvalidArgumentError(`${call}: ${owner.constructor.name} has no option ${name} (${option})`);
  }
  return property;
}

/** Calls of the socket, not properties. */
const SPECIAL: ReadonlySet<string> = new Set(["subscribe", "unsubscribe", "connectRoutingId"]);

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

/** @internal Reads an option by its number. */
export const GET_NUMBERED: unique symbol = Symbol("shoal.getNumbered");
/** @internal Sets one. */
export const SET_NUMBERED: unique symbol = Symbol("shoal.setNumbered");

/** The calls by number of a context, for classes that extend that of the package zeromq. */
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
