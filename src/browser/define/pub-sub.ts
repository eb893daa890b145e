/** Used by sockets/pub-sub.ts. */
import { PublishRouting } from "../../engine/zmtp/routing/publish.js";
import { SubscribeRouting } from "../../engine/zmtp/routing/subscribe.js";
import { defineWith } from "./define.js";

export const defineSocket = /* @__PURE__ */ defineWith({
  Publisher: (effects) => new PublishRouting(effects, false),
  XPublisher: (effects) => new PublishRouting(effects, true),
  Subscriber: (effects) => new SubscribeRouting(effects, true),
  XSubscriber: (effects) => new SubscribeRouting(effects, false),
});
