import { InvalidArgumentError } from "../core/errors.js";
import {
  ContextByNumber,
  GET_NUMBERED,
  getNumbered,
  NUMBERED,
  type NumberedType,
  SET_NUMBERED,
  setNumbered,
} from "./numbered-options.js";
import { CORE, type SocketCore } from "./socket-core.js";
import { checkPeerId } from "./socket-endpoints.js";

/** A socket's calls by libzmq's numbers (numbered-options.ts). */
export abstract class SocketByNumber extends ContextByNumber {
  /** @internal */
  declare readonly [CORE]: SocketCore;

  /** @internal */
  [GET_NUMBERED](option: number, type: NumberedType): unknown {
    return getNumbered(this, NUMBERED.socket, option, type);
  }

  /** @internal */
  [SET_NUMBERED](option: number, type: NumberedType, value: unknown): void {
    const core = this[CORE];
    core.assertOpen();
    const [property, given] = setNumbered(this, NUMBERED.socket, option, type, value);
    const [name, choice] = property.split(":") as [string, string?];
    if (choice !== undefined) core.setOption(name, Number(value) === 0 ? null : choice);
    else if (name === "subscribe" || name === "unsubscribe")
      changeSubscription(core, name, given as string | null);
    else if (name === "connectRoutingId") nameNext(core, given as string | null);
    else core.setOption(name, given);
  }

  protected getUint32Option(option: number): number {
    return this[GET_NUMBERED](option, "Uint32") as number;
  }
  protected setUint32Option(option: number, value: number): void {
    this[SET_NUMBERED](option, "Uint32", value);
  }
  protected getInt64Option(option: number): number {
    return this[GET_NUMBERED](option, "Int64") as number;
  }
  protected setInt64Option(option: number, value: number): void {
    this[SET_NUMBERED](option, "Int64", value);
  }
  protected getUint64Option(option: number): number {
    return this[GET_NUMBERED](option, "Uint64") as number;
  }
  protected setUint64Option(option: number, value: number): void {
    this[SET_NUMBERED](option, "Uint64", value);
  }
  protected getStringOption(option: number): string | null {
    return this[GET_NUMBERED](option, "String") as string | null;
  }
  protected setStringOption(option: number, value: string | Uint8Array | null): void {
    this[SET_NUMBERED](option, "String", value);
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
