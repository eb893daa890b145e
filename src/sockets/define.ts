/** Gives socket classes methods and option properties. */

import { isBytes } from "../core/bytes.js";
import { hasOption, OPTIONS, type OptionName, READABLE, WRITABLE } from "../core/option-table.js";
import type { SocketTypeName } from "../core/socket-type.js";
import { encodeZ85 } from "../core/z85.js";
import { LOADED_ROUTINGS, type RoutingOf } from "../engine/zmtp/routing/routing.js";
import { RECEIVING } from "./readable.js";
import { CORE, type HasCore } from "./socket-core.js";
import { SENDING } from "./writable.js";

/**
 * A Push has no `receive` and a Pull no `send`, also at run time.
 *
 * @internal
 * @param routing the part of the engine `zmtp` for this type
 */
export function defineSocket(
  socketClass: { readonly prototype: HasCore },
  type: SocketTypeName,
  routing: RoutingOf,
  sending: object = SENDING,
): void {
  LOADED_ROUTINGS[type] = routing;
  if (WRITABLE.some((each) => each === type)) defineMethods(socketClass, sending);
  if (READABLE.some((each) => each === type)) defineMethods(socketClass, RECEIVING);
  defineOptions(socketClass, type);
}

/** The methods are not enumerable. */
function defineMethods(socketClass: { readonly prototype: HasCore }, methods: object): void {
  const descriptors = Object.getOwnPropertyDescriptors(methods) as Record<PropertyKey, PropertyDescriptor>;
  // One key is Symbol.asyncIterator.
  for (const key of Reflect.ownKeys(descriptors))
    Object.defineProperty(socketClass.prototype, key, { ...descriptors[key], enumerable: false });
}

function defineOptions(socketClass: { readonly prototype: HasCore }, type: SocketTypeName): void {
  for (const name of Object.keys(OPTIONS)) {
    if (!hasOption(type, name)) continue;
    Object.defineProperty(socketClass.prototype, name, {
      configurable: true,
      get(this: HasCore) {
        return asText(name, this[CORE].options[name]);
      },
      set(this: HasCore, value: unknown) {
        this[CORE].setOption(name, value);
      },
    });
  }
}

/** Bytes are read as text, as in the package `zeromq`. */
function asText(name: string, value: unknown): unknown {
  if (!isBytes(value)) return value;
  return OPTIONS[name as OptionName].kind === "key" ? encodeZ85(value) : Buffer.from(value).toString();
}
