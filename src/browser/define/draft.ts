/** Used by sockets/draft, whose sockets may have addresses. */
import { PairRouting } from "../../engine/zmtp/routing/pair.js";
import { PipelineRouting } from "../../engine/zmtp/routing/pipeline.js";
import { SingleFrameQueue } from "../../engine/zmtp/routing/queues.js";
import { DishRouting, RadioRouting } from "../../engine/zmtp/routing/radio-dish.js";
import { ServerRouting } from "../../engine/zmtp/routing/server.js";
import { defineMethods } from "../../sockets/define.js";
import { ADDRESSED } from "../../sockets/draft/addressed.js";
import type { HasCore } from "../../sockets/socket-core.js";
import { defineWith } from "./define.js";

const define = /* @__PURE__ */ defineWith({
  Client: (effects) => new PipelineRouting(effects, true, true, SingleFrameQueue),
  Server: (effects) => new ServerRouting(effects),
  Peer: (effects) => new ServerRouting(effects),
  Radio: (effects) => new RadioRouting(effects),
  Dish: (effects) => new DishRouting(effects),
  Scatter: (effects) => new PipelineRouting(effects, true, false, SingleFrameQueue),
  Gather: (effects) => new PipelineRouting(effects, false, true, SingleFrameQueue),
  Channel: (effects) => new PairRouting(effects, SingleFrameQueue),
});

export function defineSocket(
  socketClass: { readonly prototype: HasCore },
  type: Parameters<typeof define>[1],
): void {
  define(socketClass, type);
  // Replaces the methods of sockets without addresses.
  defineMethods(socketClass, ADDRESSED[type]);
}
