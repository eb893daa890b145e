import { InvalidArgumentError } from "../core/errors.js";
import { OPTIONS } from "../core/option-table.js";
import {
  ContextByNumber,
  getNumbered,
  NUMBERS,
  type NumberUse,
  numbersOf,
  setNumbered,
  type Table,
  WRITE,
} from "./numbered-options.js";
import { CORE, type SocketCore } from "./socket-core.js";
import { checkPeerId } from "./socket-endpoints.js";

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

/** A socket's calls by libzmq's numbers (numbered-options.ts). */
export abstract class SocketByNumber extends ContextByNumber {
  /** @internal */
  declare readonly [CORE]: SocketCore;

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

function changeSubscription(
  { typeName, engine }: SocketCore,
  call: "subscribe" | "unsubscribe",
  prefix: string | Uint8Array | null,
): void {
  const { subscriptions } = engine;
  if (typeName !== "Subscriber" || subscriptions === undefined)
    throw new InvalidArgumentError(`${typeName} has no subscriptions`);
  subscriptions[call](Buffer.from((prefix ?? "") as string));
}

/** Name of a ROUTER or STREAM for the next connected peer; null: none. */
function nameNext({ typeName, endpoints }: SocketCore, routingId: string | Uint8Array | null): void {
  if (typeName !== "Router" && typeName !== "Stream")
    throw new InvalidArgumentError(`${typeName} gives its peers no names`);
  const name = routingId === null ? undefined : Buffer.from(routingId as string).toString();
  if (name !== undefined) checkPeerId(name);
  endpoints.nextName = name;
}
