/**
 * Puts a draft socket class together, and gives the engine its routing, which a page without such classes does not load. The
 * build gives it to the files of sockets/draft in the place of sockets/define.ts (rolldown.config.js).
 */
import type { SocketTypeName } from "../../core/socket-type.js";
import { PairRouting } from "../../engine/zmtp/routing/pair.js";
import { PipelineRouting } from "../../engine/zmtp/routing/pipeline.js";
import { DishRouting, RadioRouting } from "../../engine/zmtp/routing/radio-dish.js";
import { ServerRouting } from "../../engine/zmtp/routing/server.js";
import { defineSocket as define } from "../../sockets/define.js";
import { defineAddressed } from "../../sockets/draft/addressed.js";
import type { HasCore } from "../../sockets/socket-core.js";
import { ADDITIONS, type RoutingOf } from "../additions.js";

const ROUTINGS: Readonly<Partial<Record<SocketTypeName, RoutingOf>>> = {
  Client: (effects) => new PipelineRouting(effects, true, true, true),
  Server: (effects) => new ServerRouting(effects),
  Peer: (effects) => new ServerRouting(effects),
  Radio: (effects) => new RadioRouting(effects),
  Dish: (effects) => new DishRouting(effects),
  Scatter: (effects) => new PipelineRouting(effects, true, false, true),
  Gather: (effects) => new PipelineRouting(effects, false, true, true),
  Channel: (effects) => new PairRouting(effects, true),
};

export function defineSocket(socketClass: { readonly prototype: HasCore }, type: SocketTypeName): void {
  define(socketClass, type);
  // In the place of the methods of sockets without addresses.
  defineAddressed(socketClass, type);
  ADDITIONS.routings[type] = ROUTINGS[type];
}
