/** Puts a socket class together: what it can do, and its options as properties. */

import { isBytes } from "../core/bytes.js";
import { hasOption, OPTIONS, type OptionName, READABLE, WRITABLE } from "../core/option-table.js";
import type { SocketTypeName } from "../core/socket-type.js";
import { encodeZ85 } from "../core/z85.js";
import { BATCHES } from "./batches.js";
import { ADDRESSED } from "./draft/addressed.js";
import { RECEIVING } from "./readable.js";
import { SENDING_MANY } from "./send-many.js";
import { CORE, type HasCore } from "./socket-core.js";
import { SENDING } from "./writable.js";

/** Direction holds at run time, too: a Push has no `receive`, a Pull no `send`. @internal */
export function defineSocket(
  socketClass: { readonly prototype: HasCore },
  type: SocketTypeName,
  _routing?: undefined,
  sending: object = ADDRESSED[type] ?? { ...SENDING, ...SENDING_MANY },
): void {
  if (WRITABLE.some((each) => each === type)) defineMethods(socketClass, sending);
  if (READABLE.some((each) => each === type)) defineMethods(socketClass, { ...RECEIVING, ...BATCHES });
  defineOptions(socketClass, type);
}

/** Gives a socket class methods, which loops over a socket do not see. @internal */
export function defineMethods(socketClass: { readonly prototype: HasCore }, methods: object = {}): void {
  const descriptors = Object.getOwnPropertyDescriptors(methods) as Record<PropertyKey, PropertyDescriptor>;
  // One of them has a symbol: that of loops.
  for (const key of Reflect.ownKeys(descriptors))
    Object.defineProperty(socketClass.prototype, key, { ...descriptors[key], enumerable: false });
}

const generic = new Map<SocketTypeName, PropertyDescriptorMap>();

/**
 * Gives one socket, whose class extends `Socket` directly, what its type can do. What that class defines itself stays.
 *
 * @internal
 */
export function defineGeneric(socket: HasCore, type: SocketTypeName): void {
  let all = generic.get(type);
  if (all === undefined) {
    const prototype = {} as HasCore;
    defineSocket({ prototype }, type);
    all = Object.getOwnPropertyDescriptors(prototype) as PropertyDescriptorMap;
    generic.set(type, all);
  }
  for (const key of Reflect.ownKeys(all)) {
    if (!(key in socket)) Object.defineProperty(socket, key, all[key as string] as PropertyDescriptor);
  }
}

/** Gives a socket class a property for each of its options. */
function defineOptions(socketClass: { readonly prototype: HasCore }, type: SocketTypeName): void {
  for (const name of Object.keys(OPTIONS)) {
    if (!hasOption(type, name)) continue;
    Object.defineProperty(socketClass.prototype, name, {
      configurable: true,
      get(this: HasCore) {
        return asText(name, this[CORE].getOption(name));
      },
      set(this: HasCore, value: unknown) {
        this[CORE].setOption(name, value);
      },
    });
  }
}

/** Keys and ids that were given as bytes are read back as text, as in the package `zeromq`. */
function asText(name: string, value: unknown): unknown {
  if (!isBytes(value)) return value;
  return OPTIONS[name as OptionName].kind === "key" ? encodeZ85(value) : Buffer.from(value).toString();
}
