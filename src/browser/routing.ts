/**
 * The routings of the socket classes that a page has loaded (src/browser/define). Replaces
 * engine/zmtp/routing/create.ts (rolldown.config.js).
 */
import { NotSupportedError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { Routing, RoutingEffects } from "../engine/zmtp/routing/routing.js";
import { ADDITIONS } from "./additions.js";

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
