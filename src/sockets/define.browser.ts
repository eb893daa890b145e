/** As define.ts, and gives the engine the routing that the class brings. */
import { ADDITIONS, type RoutingOf } from "../browser/additions.js";
import type { SocketTypeName } from "../core/socket-type.js";
import { defineSocket as define } from "./define.ts";
import type { HasCore } from "./socket-core.js";

export { defineGeneric } from "./define.ts";

export function defineSocket(
  socketClass: { readonly prototype: HasCore },
  type: SocketTypeName,
  routing?: RoutingOf,
  sending?: object,
): void {
  define(socketClass, type, undefined, sending);
  ADDITIONS.routings[type] = routing;
}
