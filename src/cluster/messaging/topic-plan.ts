/** A published or received topic: its bytes, its alias on links, and its cached recipients (topic-plans.ts). */
import type { Keyed } from "../../core/collections/key-table.js";
import { encodeName } from "./items.js";
import type { Subscription } from "./subscription.js";

export class TopicPlan implements Keyed {
  readonly topic: string;
  /** As in an item. */
  readonly name: Buffer;
  /** Bytes of the topic alone. */
  readonly key: Buffer;
  /** Its first level, for counters. */
  readonly prefix: string;
  /** Ids of members with interest. */
  targets: string[] = [];
  /** Of this node, the oldest first. */
  subscriptions: Subscription[] = [];
  routesVersion = -1;
  /** Its number on links (topic-aliases.ts); -1: none. */
  alias = -1;
  /** Whether it was published to before. */
  isRepeated = false;
  subscriptionsVersion = -1;

  constructor(topic: string) {
    this.topic = topic;
    this.name = encodeName(topic);
    this.key = this.name.subarray(this.name.length - Buffer.byteLength(topic));
    this.prefix = prefixOf(topic);
  }
}

export function prefixOf(topic: string): string {
  const end = topic.indexOf("/");
  return end < 0 ? topic : topic.slice(0, end);
}
