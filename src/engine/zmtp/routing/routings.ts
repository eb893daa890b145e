/** The routing of each socket type. */
import type { SocketTypeName } from "../../../core/socket-type.js";
import { PairRouting } from "./pair.js";
import { PipelineRouting } from "./pipeline.js";
import { PublishRouting } from "./publish.js";
import { SingleFrameQueue } from "./queues.js";
import { DishRouting, RadioRouting } from "./radio-dish.js";
import { ReplyRouting } from "./reply.js";
import { RequestRouting } from "./request.js";
import { RouterRouting, StreamRouting } from "./router.js";
import type { RoutingOf } from "./routing.js";
import { ServerRouting } from "./server.js";
import { SubscribeRouting } from "./subscribe.js";

export const ROUTINGS: Readonly<Record<SocketTypeName, RoutingOf>> = {
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
  Stream: (effects) => new StreamRouting(effects),
  Client: (effects) => new PipelineRouting(effects, true, true, SingleFrameQueue),
  Server: (effects) => new ServerRouting(effects),
  Peer: (effects) => new ServerRouting(effects),
  Radio: (effects) => new RadioRouting(effects),
  Dish: (effects) => new DishRouting(effects),
  Scatter: (effects) => new PipelineRouting(effects, true, false, SingleFrameQueue),
  Gather: (effects) => new PipelineRouting(effects, false, true, SingleFrameQueue),
  Datagram: (effects) => new PairRouting(effects),
  Channel: (effects) => new PairRouting(effects, SingleFrameQueue),
};
