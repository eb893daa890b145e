/** Puts a socket class together: what it can do, and its options as properties. */
import type { SocketTypeName } from "../core/socket-type.js";
import { READABLE, WRITABLE } from "./option-table.js";
import { defineReadable } from "./readable.js";
import { defineOptions, type Socket } from "./socket.js";
import { defineWritable } from "./writable.js";

/** Direction holds at run time, too: a Push has no `receive`, a Pull no `send`. @internal */
export function defineSocket(socketClass: { readonly prototype: Socket }, type: SocketTypeName): void {
  if (WRITABLE.includes(type)) defineWritable(socketClass);
  if (READABLE.includes(type)) defineReadable(socketClass);
  defineOptions(socketClass, type);
}
