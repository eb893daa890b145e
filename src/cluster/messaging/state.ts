/** Shared state of messaging's parts, with the recipients of each topic, which are looked up once. */

import { isUtf8 } from "node:buffer";
import { randomStart } from "../../core/bytes.js";
import { KeyTable } from "../../core/collections/key-table.js";
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import type { Member } from "../membership/members.js";
import { Addresses, SELF_ID } from "./addresses.js";
import type { LocalClient } from "./client.js";
import { DropReports, type MessagingEvent } from "./events.js";
import type { NodeLinks } from "./links.js";
import { MessageNames, TopicIds } from "./names.js";
import { WaitingSends } from "./node-queues.js";
import type { MessagingSettings } from "./options.js";
import { prefixOf, TopicPlan } from "./publication.js";
import { RetainedValues, Retention } from "./retained.js";
import type { RouteDriver } from "./route-driver.js";
import { Deliveries, type Subscription } from "./subscription.js";
import type { SubscriptionTable } from "./subscription-table.js";
import { checkSubtopic, checkTopic, topicFault } from "./topics.js";

/**
 * Cached results for a topic: its bytes, the members with interest, this node's own subscriptions. Received topics are
 * found by their bytes, without making a text.
 */
class TopicPlans {
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

/** What messaging needs of its cluster. */
export interface MessagingEffects {
  /** Another node, live or gone; `undefined`: not known, or forgotten. */
  member(id: string): Readonly<Member> | undefined;
  /** Ids of the live members that take messages, without this node. */
  peers(): readonly string[];
  /** What they bring is for Messaging and its `incoming`. */
  readonly links: NodeLinks;
  readonly routes: RouteDriver;
  emit(event: MessagingEvent): void;
  /** An item of the kind MEMBER. */
  onMemberItem(from: string, item: Buffer, protocol: string): void;
  /** An item of the kind REQUEST. */
  onRequest(from: string, bytes: Buffer, start: number, end: number): void;
  /** A node is gone for good. */
  onGone(id: string): void;
}

export class MessagingState {
  /** Of this node. */
  readonly id: string;
  readonly settings: MessagingSettings;
  readonly effects: MessagingEffects;
  readonly addresses: Addresses<LocalClient>;
  readonly self: LocalClient;
  readonly names: MessageNames;
  readonly links: NodeLinks;
  readonly routes: RouteDriver;
  readonly plans: TopicPlans;
  readonly deliveries: Deliveries;
  readonly waiting: WaitingSends;
  readonly retained: RetainedValues;
  readonly retention: Retention;
  readonly drops: DropReports;
  readonly refused: Record<string, number> = {};
  closed = false;
  droppedFull = 0;
  droppedSlow = 0;
  unclaimed = 0;

  constructor(
    settings: MessagingSettings,
    effects: MessagingEffects,
    self: LocalClient,
    table: SubscriptionTable<Subscription>,
  ) {
    const id = self.address.node;
    this.id = id;
    this.settings = settings;
    this.effects = effects;
    const topics = new TopicIds(randomStart, (number) => this.addresses.has(number));
    const subtopics = new TopicIds(randomStart, undefined, checkSubtopic);
    this.addresses = new Addresses({
      random: Math.random,
      isTaken: (number) => topics.names.has(number),
      dropped: (address) => effects.emit({ type: "address:dropped", address }),
    });
    this.self = self;
    this.addresses.clients.set(SELF_ID, self);
    const isClosed = (): boolean => this.closed || self.closed;
    this.names = new MessageNames(id, topics, subtopics, this.addresses, isClosed);
    this.links = effects.links;
    this.routes = effects.routes;
    this.plans = new TopicPlans(this.routes, table);
    this.waiting = new WaitingSends(settings.maxPending, settings.maxPendingBytes, (peer, bytes) =>
      peer === id ? this.#localRoom() : this.links.room(peer, bytes),
    );
    this.retained = new RetainedValues({ topics: settings.maxRetained, bytes: settings.maxRetainedBytes });
    this.deliveries = new Deliveries();
    this.drops = new DropReports((event) => effects.emit(event));
    this.retention = new Retention(
      this.retained,
      this.links,
      () => effects.peers(),
      (peer) => this.drops.dropped("size", peer, "$retained"),
    );
  }

  /** An item was not given to a link, whose mark is reached. */
  dropFull(id: string, prefix: string): void {
    this.links.drop(id);
    this.droppedFull += 1;
    this.drops.dropped("full", id, prefix);
  }

  /** A subscription, or all of this node's own, had no room for a message. @param of its filter, or the topic */
  dropSlow(of: string, topic: string): void {
    this.droppedSlow += 1;
    this.drops.dropped("slow", of, prefixOf(topic));
  }

  nameOf(node: string): string {
    return this.effects.member(node)?.name ?? node;
  }

  /** @throws InvalidArgumentError `EINVAL` */
  checkSize(length: number): void {
    const { maxItem } = this.settings;
    if (length > maxItem)
      throw new InvalidArgumentError(
        `a message with its topic has ${maxItem} bytes at most (messaging.maxItem); got ${length}`,
      );
  }

  refuse(reason: string): undefined {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  assertOpen({ closed }: LocalClient): void {
    if (closed || this.closed) throw new ClosedError("EBADF", "the client is closed");
  }

  /** Room for messages to this node's own subscriptions. */
  async #localRoom(): Promise<boolean> {
    await this.deliveries.drained();
    const full: Promise<void>[] = [];
    for (const { subscriptions } of this.addresses.clients.values())
      for (const each of subscriptions) if (each.isFull) full.push(each.room());
    if (full.length > 0) await Promise.race(full);
    return true;
  }
}
