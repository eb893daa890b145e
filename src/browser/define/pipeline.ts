/** Used by sockets/pipeline.ts. */
import { PipelineRouting } from "../../engine/zmtp/routing/pipeline.js";
import { defineWith } from "./define.js";

export const defineSocket = /* @__PURE__ */ defineWith({
  Push: (effects) => new PipelineRouting(effects, true, false),
  Pull: (effects) => new PipelineRouting(effects, false, true),
});
