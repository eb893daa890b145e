/** The routing of each socket type that a page has. The build puts it in the place of engine/zmtp/routing/create.ts (rolldown.config.js). */
import { NotSupportedError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import { PairRouting } from "../engine/zmtp/routing/pair.js";
import { PipelineRouting } from "../engine/zmtp/routing/pipeline.js";
import { PublishRouting } from "../engine/zmtp/routing/publish.js";
import { ReplyRouting } from "../engine/zmtp/routing/reply.js";
import { RequestRouting } from "../engine/zmtp/routing/request.js";
import { RouterRouting } from "../engine/zmtp/routing/router.js";
import type { Routing, RoutingEffects } from "../engine/zmtp/routing/routing.js";
import { SubscribeRouting } from "../engine/zmtp/routing/subscribe.js";
import { ADDITIONS, type RoutingOf } from "./additions.js";

const ROUTINGS: Readonly<Partial<Record<SocketTypeName, RoutingOf>>> = {
  Pair: (effects) => new PairRouting(effects),
  Publisher: (effects) => new PublishRouting(effects, false),
  XPublisher: (effects) => new PublishRouting(effects, true),
  Subscriber: (effects) => new SubscribeRouting(effects, true),
  XSubscriber: (effects) => new SubscribeRouting(effects, false),
  Push: (effects) => new PipelineRouting(effects, true, false),
  Pull: (effects) => new PipelineRouting(effects, false, true),
  Dealer: (effects) => new PipelineRouting(effects, true, true),
  Request: (effects) => new RequestRouting(effects),
  Reply: (effects) => new ReplyRouting(effects),
  Router: (effects) => new RouterRouting(effects),
};

/** The types that it has, with those of draft sockets that the program has loaded. */
export function routedTypes(): readonly string[] {
  return [...Object.keys(ROUTINGS), ...Object.keys(ADDITIONS.routings)];
}

export function createRouting(type: SocketTypeName, effects: RoutingEffects): Routing {
  const create = ROUTINGS[type] ?? ADDITIONS.routings[type];
  if (create === undefined) throw new NotSupportedError(`A page has no sockets of the type ${type}`);
  return create(effects);
}
