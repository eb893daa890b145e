/**
 * Cached results for a topic: its bytes, the members with interest, this node's own subscriptions. Received topics are
 * found by their bytes, without making a text.
 */
import { MAX_PLANNED_TOPIC, MAX_PLANS } from "./bounds.js";
import type { MessageRoutes } from "./parts.js";
import type { Subscription } from "./subscription.js";
import type { SubscriptionTable } from "./subscription-table.js";
import { TopicPlan } from "./topic-plan.js";
import { checkTopic, topicFault } from "./topics.js";

/** Places for received topics, by a hash of their bytes. A power of two. */
const PLACES = 1_024;

export class TopicPlans {
  readonly #routes: MessageRoutes;
  readonly #table: SubscriptionTable<Subscription>;
  readonly #plans = new Map<string, TopicPlan>();
  readonly #places = new Array<TopicPlan | undefined>(PLACES).fill(undefined);
  /** Changes with the subscriptions. */
  #version = 0;

  constructor(routes: MessageRoutes, table: SubscriptionTable<Subscription>) {
    this.#routes = routes;
    this.#table = table;
  }

  /** The subscriptions have changed. */
  changed(): void {
    this.#version += 1;
  }

  /** @throws InvalidArgumentError `EINVAL` for an invalid topic */
  of(topic: string): TopicPlan {
    const known = this.#plans.get(topic);
    if (known !== undefined) return known;
    checkTopic(topic);
    return this.#add(topic);
  }

  /** The topic of a received item. @returns `undefined` for an invalid one */
  ofBytes(item: Buffer, start: number, end: number): TopicPlan | undefined {
    const length = end - start;
    const place = hash(item, start, end) & (PLACES - 1);
    const found = this.#places[place];
    if (found !== undefined && found.bytes.length === length && isAt(item, start, found.bytes)) return found;
    const topic = item.toString("utf8", start, end);
    // Invalid UTF-8 has become another text.
    if (topicFault(topic) !== undefined || Buffer.byteLength(topic) !== length) return undefined;
    const plan = this.#plans.get(topic) ?? this.#add(topic);
    if (!isAt(item, start, plan.bytes)) return undefined;
    if (length <= MAX_PLANNED_TOPIC) this.#places[place] = plan;
    return plan;
  }

  /** Current ids of members with interest, and of new ones without known interest. Not to be kept. */
  targets(plan: TopicPlan): readonly string[] {
    const { version } = this.#routes;
    if (plan.routesVersion !== version) {
      const targets: string[] = [];
      this.#routes.targets(plan.topic, targets);
      const { unsettled } = this.#routes;
      if (unsettled.size > 0) this.#routes.askUnsettled();
      plan.targets = unsettled.size === 0 ? targets : [...new Set([...targets, ...unsettled.keys()])];
      plan.routesVersion = version;
    }
    return plan.targets;
  }

  /** Currently matching subscriptions. Not to be changed. */
  subscriptions(plan: TopicPlan): readonly Subscription[] {
    if (plan.subscriptionsVersion !== this.#version) {
      const subscriptions: Subscription[] = [];
      this.#table.match(plan.topic, subscriptions);
      plan.subscriptions = subscriptions;
      plan.subscriptionsVersion = this.#version;
    }
    return plan.subscriptions;
  }

  #add(topic: string): TopicPlan {
    const plan = new TopicPlan(topic);
    if (plan.bytes.length > MAX_PLANNED_TOPIC) return plan;
    // All at once: an order of use would cost each message more.
    if (this.#plans.size >= MAX_PLANS) {
      this.#plans.clear();
      this.#places.fill(undefined);
    }
    this.#plans.set(topic, plan);
    return plan;
  }
}

/** For topics: five times as fast as `Buffer.compare` up to some 64 bytes. */
function isAt(item: Buffer, start: number, bytes: Buffer): boolean {
  // From the end, where topics differ most.
  for (let i = bytes.length - 1; i >= 0; i--) if (item[start + i] !== bytes[i]) return false;
  return true;
}

/** FNV-1a over the length and up to 32 bytes from the end, where topics differ most. */
function hash(item: Buffer, start: number, end: number): number {
  let value = 0x811c9dc5 ^ (end - start);
  for (let i = Math.max(start, end - 32); i < end; i++)
    value = Math.imul(value ^ (item[i] as number), 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
