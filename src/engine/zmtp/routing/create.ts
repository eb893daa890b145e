/** The routing of each socket type. */
import type { SocketTypeName } from "../../../core/socket-type.js";
import { PairRouting } from "./pair.js";
import { PipelineRouting } from "./pipeline.js";
import { PublishRouting } from "./publish.js";
import { ReplyRouting } from "./reply.js";
import { RequestRouting } from "./request.js";
import { RouterRouting, StreamRouting } from "./router.js";
import type { Routing, RoutingHost } from "./routing.js";

import { SubscribeRouting } from "./subscribe.js";

const ROUTINGS: Readonly<Record<SocketTypeName, (host: RoutingHost) => Routing>> = {
  Pair: (host) => new PairRouting(host),
  Publisher: (host) => new PublishRouting(host, false),
  XPublisher: (host) => new PublishRouting(host, true),
  Subscriber: (host) => new SubscribeRouting(host, true),
  XSubscriber: (host) => new SubscribeRouting(host, false),
  Push: (host) => new PipelineRouting(host, true, false),
  Pull: (host) => new PipelineRouting(host, false, true),
  Dealer: (host) => new PipelineRouting(host, true, true),
  Request: (host) => new RequestRouting(host),
  Reply: (host) => new ReplyRouting(host),
  Router: (host) => new RouterRouting(host),
  Stream: (host) => new StreamRouting(host),
};

export function createRouting(type: SocketTypeName, host: RoutingHost): Routing {
  return ROUTINGS[type](host);
}
