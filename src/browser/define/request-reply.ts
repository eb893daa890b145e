/** Used by sockets/request-reply.ts. */
import { PipelineRouting } from "../../engine/zmtp/routing/pipeline.js";
import { ReplyRouting } from "../../engine/zmtp/routing/reply.js";
import { RequestRouting } from "../../engine/zmtp/routing/request.js";
import { RouterRouting } from "../../engine/zmtp/routing/router.js";
import { defineWith } from "./define.js";

export const defineSocket = /* @__PURE__ */ defineWith({
  Dealer: (effects) => new PipelineRouting(effects, true, true),
  Request: (effects) => new RequestRouting(effects),
  Reply: (effects) => new ReplyRouting(effects),
  Router: (effects) => new RouterRouting(effects),
});
