/**
 * Defines a socket class and registers the routing of its type, so that a page loads only the routings it uses.
 * Replaces sockets/define.ts in the files of src/sockets with classes (rolldown.config.js).
 */
import type { SocketTypeName } from "../../core/socket-type.js";
import { defineSocket as define } from "../../sockets/define.js";
import type { HasCore } from "../../sockets/socket-core.js";
import { ADDITIONS, type RoutingOf } from "../additions.js";

/** @returns `defineSocket` for these types */
export function defineWith(routings: Readonly<Partial<Record<SocketTypeName, RoutingOf>>>): typeof define {
  return (socketClass: { readonly prototype: HasCore }, type) => {
    define(socketClass, type);
    ADDITIONS.routings[type] = routings[type];
  };
}
