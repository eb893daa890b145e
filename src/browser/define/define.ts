/**
 * Puts a socket class together, and gives the engine the routing of its type: a page loads the routings of the classes that it
 * uses. The build gives the files of src/browser/define to those of src/sockets that have classes, in the place of
 * sockets/define.ts (rolldown.config.js).
 */
import type { SocketTypeName } from "../../core/socket-type.js";
import { defineSocket as define } from "../../sockets/define.js";
import type { HasCore } from "../../sockets/socket-core.js";
import { ADDITIONS, type RoutingOf } from "../additions.js";

/** @returns `defineSocket` for classes of these types */
export function defineWith(routings: Readonly<Partial<Record<SocketTypeName, RoutingOf>>>): typeof define {
  return (socketClass: { readonly prototype: HasCore }, type) => {
    define(socketClass, type);
    ADDITIONS.routings[type] = routings[type];
  };
}
