/**
 * The routings of the socket classes that a page has loaded (sockets/routings.browser.ts). Replaces
 * engine/zmtp/routing/create.ts.
 */
import { ADDITIONS } from "../../../browser/additions.js";
import { NotSupportedError } from "../../../core/errors.js";
import type { SocketTypeName } from "../../../core/socket-type.js";
import type { Routing, RoutingEffects } from "./routing.js";

export function routedTypes(): readonly string[] {
  return Object.keys(ADDITIONS.routings);
}

export function createRouting(type: SocketTypeName, effects: RoutingEffects): Routing {
  const create = ADDITIONS.routings[type];
  if (create === undefined)
    throw new NotSupportedError(
      `A page has no sockets of the type ${type}, or its program does not import their class`,
    );
  return create(effects);
}
