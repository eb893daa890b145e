import { isUtf8 } from "node:buffer";
import { KeyTable } from "../../core/collections/key-table.js";
import { TopicPlan } from "./publication.js";
import type { RouteDriver } from "./route-driver.js";
import type { Subscription } from "./subscription.js";
import type { SubscriptionTable } from "./subscription-table.js";
import { checkTopic, topicFault } from "./topics.js";

/**
 * Cached results for a topic: its bytes, the members with interest, this node's own subscriptions. Received topics are
 * found by their bytes, without making a text.
 */
export class TopicPlans {
  readonly #routes: RouteDriver;
  readonly #table: SubscriptionTable<Subscription>;
  readonly #plans = new Map<string, TopicPlan>();
  /** The same ones, by the topic's bytes. */
  readonly #byKey = new KeyTable<TopicPlan>();
  /** Changes with the subscriptions. */
  #version = 0;

  constructor(routes: RouteDriver, table: SubscriptionTable<Subscription>) {
    this.#routes = routes;
    this.#table = table;
  }

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
    const known = this.#byKey.getAt(item, start, end);
    if (known !== undefined) return known;
    if (!isUtf8(item.subarray(start, end))) return undefined;
    const topic = item.toString("utf8", start, end);
    return topicFault(topic) === undefined ? this.#add(topic) : undefined;
  }

  /** Current ids of members with interest, and of new ones without known interest. Not to be kept. */
  targets(plan: TopicPlan): readonly string[] {
    const { version } = this.#routes;
    if (plan.routesVersion !== version) {
      const targets: string[] = [];
      this.#routes.table.match(plan.topic, targets);
      const isSettling = this.#routes.isSettling();
      plan.targets = isSettling ? [...new Set([...targets, ...this.#routes.unsettled.keys()])] : targets;
      plan.routesVersion = version;
    }
    return plan.targets;
  }

  /** Currently matching subscriptions. Not to be changed. */
  subscriptions(plan: TopicPlan): readonly Subscription[] {
    if (plan.subscriptionsVersion !== this.#version) {
      const subscriptions: Subscription[] = [];
      this.#table.match(plan.topic, subscriptions);
      // A client gets a message once, by its oldest one.
      subscriptions.sort((one, other) => one.age - other.age);
      plan.subscriptions = subscriptions;
      plan.subscriptionsVersion = this.#version;
    }
    return plan.subscriptions;
  }

  #add(topic: string): TopicPlan {
    const plan = new TopicPlan(topic);
    if (plan.key.length > 1_024) return plan;
    // All at once: an order of use would cost each message more.
    if (this.#plans.size >= 8_192) {
      this.#plans.clear();
      this.#byKey.clear();
    }
    this.#plans.set(topic, plan);
    this.#byKey.set(plan);
    return plan;
  }
}
