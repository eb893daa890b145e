/** A page loads only the routings of the classes that it uses. */

import { PairRouting } from "../engine/zmtp/routing/pair.js";
import { PipelineRouting } from "../engine/zmtp/routing/pipeline.js";
import { PublishRouting } from "../engine/zmtp/routing/publish.js";
import { ReplyRouting } from "../engine/zmtp/routing/reply.js";
import { RequestRouting } from "../engine/zmtp/routing/request.js";
import { RouterRouting } from "../engine/zmtp/routing/router.js";
import type { RoutingOf } from "../engine/zmtp/routing/routing.js";
import { SubscribeRouting } from "../engine/zmtp/routing/subscribe.js";

export const pair: RoutingOf = (effects) => new PairRouting(effects);
export const push: RoutingOf = (effects) => new PipelineRouting(effects, true, false);
export const pull: RoutingOf = (effects) => new PipelineRouting(effects, false, true);
export const publisher: RoutingOf = (effects) => new PublishRouting(effects, false);
export const xPublisher: RoutingOf = (effects) => new PublishRouting(effects, true);
export const subscriber: RoutingOf = (effects) => new SubscribeRouting(effects, true);
export const xSubscriber: RoutingOf = (effects) => new SubscribeRouting(effects, false);
export const request: RoutingOf = (effects) => new RequestRouting(effects);
export const reply: RoutingOf = (effects) => new ReplyRouting(effects);
export const dealer: RoutingOf = (effects) => new PipelineRouting(effects, true, true);
export const router: RoutingOf = (effects) => new RouterRouting(effects);
