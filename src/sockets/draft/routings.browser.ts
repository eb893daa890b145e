/** Draft types of ../routings.browser.ts. */

import { PairRouting } from "../../engine/zmtp/routing/pair.js";
import { PipelineRouting } from "../../engine/zmtp/routing/pipeline.js";
import { SingleFrameQueue } from "../../engine/zmtp/routing/queues.js";
import { DishRouting, RadioRouting } from "../../engine/zmtp/routing/radio-dish.js";
import type { RoutingOf } from "../../engine/zmtp/routing/routing.js";
import { ServerRouting } from "../../engine/zmtp/routing/server.js";

export const client: RoutingOf = (effects) => new PipelineRouting(effects, true, true, SingleFrameQueue);
export const server: RoutingOf = (effects) => new ServerRouting(effects);
export const peer: RoutingOf = (effects) => new ServerRouting(effects);
export const radio: RoutingOf = (effects) => new RadioRouting(effects);
export const dish: RoutingOf = (effects) => new DishRouting(effects);
export const scatter: RoutingOf = (effects) => new PipelineRouting(effects, true, false, SingleFrameQueue);
export const gather: RoutingOf = (effects) => new PipelineRouting(effects, false, true, SingleFrameQueue);
export const channel: RoutingOf = (effects) => new PairRouting(effects, SingleFrameQueue);
