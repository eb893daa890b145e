/** A topic that is published to, or that arrives: its bytes, its alias on links, and what it leads to (topic-plans.ts). */
import { encodeName } from "./items.js";
import type { Subscription } from "./subscription.js";

export class TopicPlan {
  readonly topic: string;
  /** As it is in an item. */
  readonly name: Buffer;
  /** The bytes of the topic alone. */
  readonly bytes: Buffer;
  /** Its first level: messages are counted by it. */
  readonly prefix: string;
  /** Ids of members with interest. */
  targets: string[] = [];
  /** Of this node, the oldest first. */
  subscriptions: Subscription[] = [];
  routesVersion = -1;
  /** The number that stands for it on links, and since when (topic-aliases.ts); -1: none does. */
  alias = -1;
  aliasGeneration = 0;
  /** Whether it was published to before. */
  isRepeated = false;
  subscriptionsVersion = -1;

  constructor(topic: string) {
    this.topic = topic;
    this.name = encodeName(topic);
    this.bytes = this.name.subarray(this.name.length - Buffer.byteLength(topic));
    this.prefix = prefixOf(topic);
  }
}

/** The first level of a topic. */
export function prefixOf(topic: string): string {
  const end = topic.indexOf("/");
  return end < 0 ? topic : topic.slice(0, end);
}
