/** Replaces define.ts, and gives the page's contexts the class's routing. */
import { PAGE_PARTS } from "../browser/parts.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { RoutingOf } from "../engine/zmtp/routing/routing.js";
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
  PAGE_PARTS.routings[type] = routing;
}
