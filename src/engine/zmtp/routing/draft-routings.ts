/** The same as routings.ts for draft types. */
import { PairRouting } from "./pair.js";
import { PipelineRouting } from "./pipeline.js";
import { DishRouting, RadioRouting } from "./radio-dish.js";
import { ServerRouting } from "./router.js";
import type { RoutingOf } from "./routing.js";

export const Client: RoutingOf = (effects) => new PipelineRouting(effects, true, true);
export const Server: RoutingOf = (effects) => new ServerRouting(effects);
export const Peer: RoutingOf = (effects) => new ServerRouting(effects);
export const Radio: RoutingOf = (effects) => new RadioRouting(effects);
export const Dish: RoutingOf = (effects) => new DishRouting(effects);
export const Scatter: RoutingOf = (effects) => new PipelineRouting(effects, true, false);
export const Gather: RoutingOf = (effects) => new PipelineRouting(effects, false, true);
export const Datagram: RoutingOf = (effects) => new PairRouting(effects);
export const Channel: RoutingOf = (effects) => new PairRouting(effects, "CHANNEL");

export const DRAFT_ROUTINGS = { Client, Server, Peer, Radio, Dish, Scatter, Gather, Datagram, Channel };
