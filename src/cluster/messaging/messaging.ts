/**
 * Messages of a cluster: topics, one-to-one messages, retained values.
 *
 *   publish ──> plan of the topic ──┬── members with interest ──> links: one copy each, sent directly
 *                                   └── this node's own subscriptions, at the end of the turn
 *   item of a link ──> checked ──> this node's own subscriptions, never another node
 */
import { checkCallOptions, describe, invalidArgument } from "../../core/arguments.js";
import { isObserved, MESSAGE_SEND } from "../../core/diagnostics.js";
import { InvalidArgumentError, InvalidStateError } from "../../core/errors.js";
import { observeMessageSend } from "../../core/message-operations.js";
import { ignore } from "../../core/waiter.js";
import { checkOptions } from "../../kit/options.js";
import type { MESSAGING } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { serviceOfRoute } from "../requests/wire.js";
import { type ClusterAddress, SELF_ID } from "./addresses.js";
import {
  LocalClient,
  type MessageRecipient,
  type PublishOptions,
  type SendToNodesOptions,
  type SendToOptions,
  SUBSCRIBE_OPTIONS,
  type SubscribeOptions,
} from "./client.js";
import { DirectMessages } from "./direct-messages.js";
import type { MessagingSettings } from "./options.js";
import { type IncomingLink, MessageKind, type MessageLinksStats, type MessageRoutesStats } from "./parts.js";
import { type MessagingEffects, MessagingState } from "./state.js";
import { type ClusterSubscription, type MessageHandler, SELF_TOPIC, Subscription } from "./subscription.js";
import { SubscriptionTable } from "./subscription-table.js";
import { IncomingItems, Publisher } from "./topic-messages.js";
import { checkTopic, matches } from "./topics.js";
import type { PlacedItem } from "./wire.js";

/** A filter, and the nodes that subscribe to it. */
export interface ClusterRoute {
  readonly filter: string;
  /** Node ids. */
  readonly nodes: readonly string[];
}

/** Statistics of a cluster's messages. */
export type MessagingStats = StatisticsOf<typeof MESSAGING> & {
  readonly links: MessageLinksStats;
  readonly routes: MessageRoutesStats;
};

const PUBLISH_KEYS = ["subtopic", "self", "retain", "onFull", "timeout"] as const;

export class Messaging {
  readonly self: MessageClient;
  readonly #publisher: Publisher;
  /** For its clients, as `failed`. */
  readonly state: MessagingState;
  readonly directs: DirectMessages;
  readonly incoming: IncomingItems;
  readonly #table: SubscriptionTable<Subscription>;
  /** Handlers' errors. */
  failed = 0;

  /** @param id of this node */
  constructor(id: string, settings: MessagingSettings, effects: MessagingEffects) {
    this.self = new MessageClient(this, Object.freeze({ node: id, id: SELF_ID }), "");
    this.#table = new SubscriptionTable((filter) => {
      if (!this.state.closed) void this.state.routes.unsubscribe(filter);
    });
    const state = new MessagingState(settings, effects, this.self, this.#table);
    this.state = state;
    this.#publisher = new Publisher(state);
    this.directs = new DirectMessages(state);
    this.incoming = new IncomingItems(state);
  }

  // --- Subscriptions -------------------------------------------------------------------------------------------------

  /** @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` */
  add(subscription: Subscription): void {
    const { filter } = subscription;
    this.#table.add(filter, subscription);
    let known: Promise<void>;
    try {
      known = this.state.routes.subscribe(filter);
    } catch (error) {
      // The limit of filters per node is reached.
      this.#table.delete(filter, subscription);
      throw error;
    }
    this.state.plans.changed();
    if (!subscription.retained) {
      subscription.ready = known;
      return;
    }
    const { id, names, retained, retention, deliveries } = this.state;
    for (const { topic, data, client, subtopic, stamp } of retained.matching(filter)) {
      // The value's memory is that of the item for other nodes.
      const message = names.message(topic, Buffer.from(data), names.senderOf(id, client), subtopic, true);
      deliveries.queue([subscription], message, stamp);
    }
    subscription.ready = Promise.all([known, retention.ask(subscription, known)]).then(ignore);
    subscription.ready.catch(ignore); // Awaiting it is optional.
  }

  delete(subscription: Subscription): void {
    this.state.retention.forget(subscription);
    if (this.#table.delete(subscription.filter, subscription)) this.state.plans.changed();
  }

  // --- Publishing ----------------------------------------------------------------------------------------------------

  publishBy(
    sender: ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number> {
    if (!isObserved(MESSAGE_SEND)) return this.#publisher.publish(sender, topic, data, options);
    return observeMessageSend(
      "publish",
      topic,
      data,
      async (context) => this.#publisher.publish(sender, topic, data, options, context),
      count,
    );
  }

  /** @throws in the promise: InvalidArgumentError `EINVAL`; UnroutableError `EHOSTUNREACH` */
  publishAs(
    publisher: number | ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number> {
    try {
      this.state.assertOpen(this.self);
      if (options !== undefined) checkCallOptions("publishAs", options, PUBLISH_KEYS);
      const { node, client } = this.directs.recipient(publisher);
      if (node !== this.state.id)
        throw new InvalidArgumentError(
          `publishAs must get a client of this node; got one of ${this.state.nameOf(node)}`,
        );
      return this.publishBy({ node, id: client }, topic, data, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // --- One-to-one ----------------------------------------------------------------------------------------------------

  /** @throws InvalidStateError `EFSM` for too many; InvalidArgumentError `EINVAL` */
  createClient(name = ""): MessageClient {
    this.state.assertOpen(this.self);
    if (typeof name !== "string") throw invalidArgument("a client's name must be a text", name);
    const client = this.state.addresses.add(
      (id) => new MessageClient(this, Object.freeze({ node: this.state.id, id }), name),
    );
    if (client === undefined) throw new InvalidStateError("EFSM", "a node has 65,536 clients at most");
    return client;
  }

  /** @throws UnroutableError `EHOSTUNREACH` */
  addressOf(node: string): ClusterAddress {
    this.state.assertOpen(this.self);
    return this.directs.ownClientOf(node).alias?.address ?? this.self.address;
  }

  // --- What links bring ----------------------------------------------------------------------------------------------

  onLost(peer: string, count: number): void {
    this.state.drops.lost(peer, count);
    this.state.retention.onLost(peer);
  }

  onTooLarge(peer: string, prefix: string): void {
    this.state.drops.dropped("size", peer, prefix);
  }

  /** Publications and requests are read in place. */
  onItem(link: IncomingLink, item: PlacedItem): Promise<void> | undefined {
    // Not acknowledged, so the sender counts it as lost. Waiters for one shared promise would never be collected.
    if (this.state.closed) return new Promise(() => undefined);
    const { kind, frame, start, end } = item;
    const { id: from, protocol } = link;
    switch (kind) {
      case MessageKind.PUBLISH:
        return this.incoming.onPublish(link, frame, start, end);
      case MessageKind.DIRECT:
        return this.directs.onItem(from, item.view());
      case MessageKind.ROUTES: {
        const reason = this.state.routes.onItem(from, item.view());
        if (reason !== undefined) this.state.refuse(`routes:${reason}`);
        return undefined;
      }
      case MessageKind.MEMBER:
        this.state.effects.onMemberItem(from, item.view(), protocol);
        return undefined;
      case MessageKind.REQUEST:
        this.state.effects.onRequest(from, frame, start, end);
        return undefined;
      case MessageKind.RETAINED:
        return this.incoming.onRetained(from, item.view());
      default:
        return this.state.refuse("kind");
    }
  }

  /**
   * `alive`: new or changed. `lost`: it may return. `gone`: left or removed. `forgotten`: lost, and forgotten by
   * membership; its interest is kept longer.
   */
  onMember(id: string, state: "alive" | "lost" | "gone" | "forgotten"): void {
    if (this.state.closed) return;
    this.state.links.onMember(id, state === "forgotten" ? "gone" : state);
    if (state !== "forgotten") this.state.routes.onMember(id, state);
    if (state === "alive") {
      this.state.retention.onMember(id);
      return;
    }
    if (state !== "lost") this.state.effects.onGone(id);
    this.state.retention.onGone(id);
  }

  // --- Life ----------------------------------------------------------------------------------------------------------

  /** @param linger ms for links to send queued items; -1: no limit */
  async close(linger: number): Promise<void> {
    if (this.state.closed) return;
    this.state.closed = true;
    this.state.waiting.close();
    this.state.retention.close();
    this.state.drops.close();
    for (const client of [...this.state.addresses.clients.values()]) client.close();
    this.state.routes.close();
    await this.state.links.close(linger);
  }

  /**
   * Filters, and the live nodes, including this one, that subscribe to them.
   *
   * @param topic only filters that match it
   * @throws InvalidArgumentError `EINVAL` for an invalid topic
   */
  listRoutes(most: number, topic?: string): ClusterRoute[] {
    if (topic !== undefined) checkTopic(topic);
    const nodes = new Map<string, string[]>();
    for (const filter of this.#table.keys()) {
      if (nodes.size >= most) break;
      if (topic === undefined || matches(filter, topic)) nodes.set(filter, [this.state.id]);
    }
    for (const { filter, nodes: ids } of this.state.routes.table.list(most, topic)) {
      // Internal topics of services.
      if (serviceOfRoute(filter) !== undefined) continue;
      const own = nodes.get(filter);
      if (own !== undefined) own.push(...ids);
      else if (nodes.size < most) nodes.set(filter, [...ids]);
    }
    return [...nodes]
      .map(([filter, ids]) => ({ filter, nodes: ids.sort() }))
      .sort((one, other) => (one.filter < other.filter ? -1 : 1));
  }

  stats(): MessagingStats {
    return {
      published: this.#publisher.published,
      sent: this.#publisher.sent,
      droppedFull: this.state.droppedFull,
      received: this.incoming.received,
      delivered: this.state.deliveries.delivered,
      droppedSlow: this.state.droppedSlow,
      unclaimed: this.state.unclaimed,
      directSent: this.directs.sent,
      directReceived: this.directs.received,
      directPending: this.directs.pending,
      waiting: this.state.waiting.count,
      waitingBytes: this.state.waiting.bytes,
      subscriptions: this.#table.size,
      filters: this.#table.filters,
      clients: this.state.addresses.clients.size,
      aliases: this.state.addresses.aliases,
      retained: this.state.retained.values.size,
      retainedBytes: this.state.retained.bytes,
      retainedEvicted: this.state.retained.evicted,
      failed: this.failed,
      refused: { ...this.state.refused },
      links: this.state.links.stats(),
      routes: this.state.routes.stats(),
    };
  }

  // --- Names and numbers ---------------------------------------------------------------------------------------------

  /**
   * The number of a topic or subtopic on this node.
   *
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` above the limit; ClosedError `EBADF`
   */
  createTopic(name: string, id: number | undefined, isSubtopic: boolean): number {
    this.state.assertOpen(this.self);
    return this.state.names.create(name, id, isSubtopic);
  }
}

/**
 * A client of this node with a separate id, subscriptions and messages (`createClient`).
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const node = new ClusterNode({ cluster: `client-${process.pid}` });
 * await node.start();
 * const client = node.createClient();
 * const letters = client.subscribe("self"); // What is sent to this client alone.
 * await node.sendTo(client.id, "a letter");
 * for await (const { data } of letters) {
 *   console.log(String(data)); // a letter
 *   break;
 * }
 * await node.close();
 * ```
 */
export class MessageClient extends LocalClient {
  readonly #messaging: Messaging;

  /** @internal */
  constructor(messaging: Messaging, address: ClusterAddress, name: string) {
    super(address, name);
    this.#messaging = messaging;
  }

  /** Like `subscribe` of the node, for this client. @throws as that; ClosedError `EBADF` */
  subscribe(filter: string | number, handler: MessageHandler): ClusterSubscription;
  subscribe(
    filter: string | number,
    options?: SubscribeOptions,
    handler?: MessageHandler,
  ): ClusterSubscription;
  subscribe(
    filter: string | number,
    given?: SubscribeOptions | MessageHandler,
    handler?: MessageHandler,
  ): ClusterSubscription {
    const messaging = this.#messaging;
    const { state } = messaging;
    state.assertOpen(this);
    if (typeof given === "function" && handler !== undefined)
      throw new InvalidArgumentError(
        `subscribe takes its options before the handler; got ${describe(handler)} after it`,
      );
    const options = typeof given === "function" ? {} : (given ?? {});
    const call = typeof given === "function" ? given : handler;
    const checked = checkOptions("subscribe", SUBSCRIBE_OPTIONS, options);
    if (call !== undefined && typeof call !== "function")
      throw invalidArgument("A handler must be a function", call);
    const { effects, names, settings } = state;
    const { each, retained, maxQueue = settings.maxQueue, maxQueueBytes = settings.maxQueueBytes } = checked;
    const name =
      filter === SELF_ID ? SELF_TOPIC : typeof filter === "number" ? names.topicOf(filter) : filter;
    const subscription: Subscription = new Subscription({
      filter: name,
      subtopic: names.subtopicOf(checked.subtopic),
      each,
      retained,
      subscriber: this,
      handler: call,
      maxQueue,
      maxQueueBytes,
      onFailed: (error) => {
        messaging.failed += 1;
        effects.emit({ type: "subscription:failed", filter: name, error });
      },
      onDropped: ({ topic }) => {
        state.deliveries.delivered -= 1;
        state.dropSlow(name, topic);
      },
      onClosed: () => {
        this.subscriptions.delete(subscription);
        this.direct = this.direct.filter((other) => other !== subscription);
        messaging.delete(subscription);
      },
    });
    if (name === SELF_TOPIC) this.direct = [...this.direct, subscription];
    else messaging.add(subscription);
    this.subscriptions.add(subscription);
    return subscription;
  }

  /** Like that of the node, by this client. @throws as that; ClosedError `EBADF` */
  publish(topic: string | number, data: string | Uint8Array, options?: PublishOptions): Promise<number> {
    try {
      const { state } = this.#messaging;
      state.assertOpen(this);
      if (options !== undefined) checkCallOptions("publish", options, PUBLISH_KEYS);
      const name = typeof topic === "number" ? state.names.topicUnlessClient(topic) : topic;
      if (name !== undefined && name !== SELF_TOPIC)
        return this.#messaging.publishBy(this.address, name, data, options);
      const { subtopic, timeout } = options ?? {};
      const to = name === SELF_TOPIC ? SELF_ID : (topic as number);
      return this.sendTo(to, data, { subtopic, timeout }).then(() => 1);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Like that of the node, by this client. @throws as that; ClosedError `EBADF` */
  sendTo(to: MessageRecipient, data: string | Uint8Array, options?: SendToOptions): Promise<void> {
    const { directs } = this.#messaging;
    if (!isObserved(MESSAGE_SEND)) return directs.sendTo(this, to, data, options);
    return observeMessageSend(
      "sendTo",
      SELF_TOPIC,
      data,
      (context) => directs.sendTo(this, to, data, options, context),
      () => 1,
    );
  }

  /** Like that of the node, by this client. @throws as that; ClosedError `EBADF` */
  sendToNodes(data: string | Uint8Array, options?: SendToNodesOptions): Promise<number> {
    const { directs } = this.#messaging;
    if (!isObserved(MESSAGE_SEND)) return directs.sendToNodes(this, data, options);
    return observeMessageSend(
      "sendToNodes",
      SELF_TOPIC,
      data,
      (context) => directs.sendToNodes(this, data, options, context),
      count,
    );
  }

  override close(): void {
    if (this.closed) return;
    super.close();
    this.#messaging.state.addresses.clients.delete(this.id);
  }
}

function count(recipients: number): number {
  return recipients;
}
