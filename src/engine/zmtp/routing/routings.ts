/** The routing of each socket type, by its name. A page loads only those of the classes that it uses. */
import { PairRouting } from "./pair.js";
import { PipelineRouting } from "./pipeline.js";
import { PublishRouting } from "./publish.js";
import { ReplyRouting, RequestRouting } from "./request-reply.js";
import { RouterRouting, StreamRouting } from "./router.js";
import type { RoutingOf } from "./routing.js";
import { SubscribeRouting } from "./subscribe.js";

export const Pair: RoutingOf = (effects) => new PairRouting(effects);
export const Publisher: RoutingOf = (effects) => new PublishRouting(effects, false);
export const XPublisher: RoutingOf = (effects) => new PublishRouting(effects, true);
export const Subscriber: RoutingOf = (effects) => new SubscribeRouting(effects, true);
export const XSubscriber: RoutingOf = (effects) => new SubscribeRouting(effects, false);
export const Push: RoutingOf = (effects) => new PipelineRouting(effects, true, false);
export const Pull: RoutingOf = (effects) => new PipelineRouting(effects, false, true);
export const Dealer: RoutingOf = (effects) => new PipelineRouting(effects, true, true);
export const Request: RoutingOf = (effects) => new RequestRouting(effects);
export const Reply: RoutingOf = (effects) => new ReplyRouting(effects);
export const Router: RoutingOf = (effects) => new RouterRouting(effects);
export const Stream: RoutingOf = (effects) => new StreamRouting(effects);

export const ROUTINGS = {
  Pair,
  Publisher,
  XPublisher,
  Subscriber,
  XSubscriber,
  Push,
  Pull,
  Dealer,
  Request,
  Reply,
  Router,
  Stream,
};
