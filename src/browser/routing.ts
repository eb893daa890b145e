/**
 * The routing of each socket type whose class the page has loaded (src/browser/define). The build puts it in the place of
 * engine/zmtp/routing/create.ts (rolldown.config.js).
 */
import { NotSupportedError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { Routing, RoutingEffects } from "../engine/zmtp/routing/routing.js";
import { ADDITIONS } from "./additions.js";

/** The types that have one. */
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
