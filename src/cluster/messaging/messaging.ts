/**
 * Messages of a cluster: topics, one-to-one messages, retained values.
 *
 *   publish ──> plan of the topic ──┬── members with interest ──> links: one copy each, sent directly
 *                                   └── this node's own subscriptions, at the end of the turn
 *   item of a link ──> checked ──> this node's own subscriptions, never another node
 */
import { randomInt } from "node:crypto";
import { checkCallOptions, describe, invalidArgument } from "../../core/arguments.js";
import { isObserved, MESSAGE_SEND } from "../../core/diagnostics.js";
import { InvalidArgumentError, InvalidStateError, NotSupportedError } from "../../core/errors.js";
import { observeMessageSend } from "../../core/message-operations.js";
import { checkOptions } from "../../kit/options.js";
import type { MESSAGING } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import type { ClusterChange } from "../membership/context.js";
import { serviceOfRoute } from "../requests/wire.js";
import {
  LocalClient,
  type MessageRecipient,
  PUBLISH_KEYS,
  type PublishOptions,
  type SendToNodesOptions,
  type SendToOptions,
  SUBSCRIBE_OPTIONS,
  type SubscribeOptions,
} from "./client.js";
import { DirectMessages } from "./direct-messages.js";
import { type IncomingLink, MessageKind, type MessageLinksStats, type MessageRoutesStats } from "./parts.js";
import { type MessagingNamespace, MessagingState } from "./state.js";
import {
  type ClusterAddress,
  type ClusterSubscription,
  type MessageHandler,
  ReceivedMessage,
  SELF_ID,
  SELF_TOPIC,
  Subscription,
} from "./subscription.js";
import { TopicMessages } from "./topic-messages.js";
import { checkedSubtopic, checkTopic, matches } from "./topics.js";
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

/** What a member is to messages after a change; others make no difference. */
const STATES: Readonly<Partial<Record<ClusterChange["type"], "alive" | "lost" | "gone">>> = {
  joined: "alive",
  back: "alive",
  restarted: "alive",
  rejoined: "alive",
  moved: "alive",
  cleared: "alive",
  details: "alive",
  lost: "lost",
  left: "gone",
  cleaned: "gone",
};

export class Messaging extends MessagingState {
  readonly self: MessageClient;
  readonly topics: TopicMessages;
  readonly directs: DirectMessages;
  /** `undefined` before the start, and without messages. */
  started: this | undefined = undefined;

  constructor(namespace: MessagingNamespace) {
    super(namespace);
    this.self = new MessageClient(this, Object.freeze({ node: this.id, id: SELF_ID }), "");
    this.clients.set(SELF_ID, this.self);
    this.topics = new TopicMessages(this);
    this.directs = new DirectMessages(this);
  }

  // --- Subscriptions -------------------------------------------------------------------------------------------------

  /** @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` */
  add(subscription: Subscription): void {
    const { filter } = subscription;
    this.table.add(filter, subscription);
    try {
      subscription.ready = this.routes.subscribe(filter, subscription.retained);
    } catch (error) {
      // The limit of filters per node is reached.
      this.table.delete(filter, subscription);
      throw error;
    }
    this.plans.changed();
    if (!subscription.retained) return;
    const { id: node, retained, deliveries } = this;
    for (const { topic, data, client, subtopic, stamp } of retained.matching(filter)) {
      // The value's memory is that of the item for other nodes.
      const message = new ReceivedMessage(topic, Buffer.from(data), { node, id: client }, subtopic, true);
      deliveries.queue([subscription], message, stamp);
    }
  }

  delete(subscription: Subscription): void {
    if (this.table.delete(subscription.filter, subscription)) this.plans.changed();
  }

  // --- Publishing ----------------------------------------------------------------------------------------------------

  /** @throws in the promise: InvalidArgumentError `EINVAL`; UnroutableError `EHOSTUNREACH` */
  publishAs(
    publisher: number | ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number> {
    try {
      this.assertOpen(this.self);
      if (options !== undefined) checkCallOptions("publishAs", options, PUBLISH_KEYS);
      const { node, id } = this.directs.recipient(publisher);
      if (node !== this.id) {
        const name = this.namespace.membership?.get(node)?.name ?? node;
        throw new InvalidArgumentError(`publishAs must get a client of this node; got one of ${name}`);
      }
      return this.topics.publish({ node, id }, topic, data, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // --- One-to-one ----------------------------------------------------------------------------------------------------

  /** @throws InvalidStateError `EFSM` for too many; InvalidArgumentError `EINVAL` */
  createClient(name = ""): MessageClient {
    this.assertOpen(this.self);
    if (typeof name !== "string") throw invalidArgument("a client's name must be a text", name);
    const { clients, id: node } = this;
    if (clients.size >= 65_536) throw new InvalidStateError("EFSM", "a node has 65,536 clients at most");
    let id = randomInt(SELF_ID + 1, 0x8000_0000);
    while (clients.has(id)) id = randomInt(SELF_ID + 1, 0x8000_0000);
    const client = new MessageClient(this, Object.freeze({ node, id }), name);
    clients.set(id, client);
    return client;
  }

  /** @throws UnroutableError `EHOSTUNREACH` */
  addressOf(node: string): ClusterAddress {
    this.assertOpen(this.self);
    if (node !== this.id) this.directs.nameOfLive(node);
    return { node, id: SELF_ID };
  }

  // --- What links bring ----------------------------------------------------------------------------------------------

  /** A peer is gone or forgot the session: `count` unacknowledged items are given up. */
  onLost(peer: string, count: number): void {
    this.drops.lost(peer, count);
    this.retained.answer(peer, this.routes.wantedBy(peer));
  }

  /** The peer's next item follows the return, or the promise. Publications and requests are read in place. */
  onItem(link: IncomingLink, item: PlacedItem): Promise<void> | undefined {
    // Not acknowledged, so the sender counts it as lost. Waiters for one shared promise would never be collected.
    if (this.closed) return new Promise(() => undefined);
    const { kind, frame, start, end } = item;
    const { id: from, protocol } = link;
    switch (kind) {
      case MessageKind.PUBLISH:
        return this.topics.onPublish(link, frame, start, end);
      case MessageKind.DIRECT:
        return this.directs.onItem(from, item.view());
      case MessageKind.ROUTES: {
        const reason = this.routes.onItem(from, item.view());
        if (reason !== undefined) this.refuse(`routes:${reason}`);
        return undefined;
      }
      case MessageKind.MEMBER:
        this.namespace.memberMessages.onBytes(from, item.view(), protocol);
        return undefined;
      case MessageKind.REQUEST:
        this.namespace.requests.onItem(from, frame, start, end);
        return undefined;
      case MessageKind.RETAINED:
        return this.topics.onValue(from, item.view());
      default:
        return this.refuse("kind");
    }
  }

  /** `alive`: new or changed. `lost`: it may return. `gone`: left, removed, or forgotten by membership. */
  onMember(id: string, state: "alive" | "lost" | "gone"): void {
    if (this.closed) return;
    this.links.onMember(id, state);
    this.routes.onMember(id, state);
    if (state !== "gone") return;
    this.namespace.memberMessages.hooks.onForgotten(id);
    this.namespace.requests.onForgotten(id);
  }

  onChange(change: ClusterChange): void {
    if (!this.namespace.settings.hasMessages) return;
    const { type } = change;
    if (type === "removed" || type === "admitted") {
      // While this node is removed, no other one acknowledges its subscriptions.
      if (change.id === this.id)
        for (const { id } of [...(this.namespace.membership?.live ?? [])])
          this.routes.onMember(id, type === "removed" ? "lost" : "alive");
      else if (type === "removed") this.onMember(change.id, "gone");
      return;
    }
    const state = STATES[type];
    if (state === undefined || !("member" in change) || change.member === undefined) return;
    const { id } = change.member;
    if (type === "restarted" || (type === "back" && change.restarted)) this.onMember(id, "gone");
    this.onMember(id, state);
    if (type === "joined" || type === "lost") this.#dropReplaced(change.member.address);
  }

  /** A lost process does not return to an address that another one has: a restart in a loop would fill the memory. */
  #dropReplaced(address: string): void {
    const { live = [], dead = [] } = this.namespace.membership ?? {};
    if (!live.some((member) => member.address === address)) return;
    for (const member of dead) if (member.address === address) this.onMember(member.id, "gone");
  }

  // --- Life ------------------------------------------------------------------------------------------------------

  /** @throws InvalidStateError `EFSM` before the start; NotSupportedError `NOT_SUPPORTED` without messages */
  get messaging(): this {
    this.assertSupported();
    if (this.started !== undefined) return this;
    throw new InvalidStateError("EFSM", `${this.namespace.what} was not started`);
  }

  /** @throws NotSupportedError `NOT_SUPPORTED` without messages */
  assertSupported(): void {
    if (!this.namespace.settings.hasMessages)
      throw new NotSupportedError("the node has no messages: messaging is false");
  }

  /** After a failure the node sends, and cannot be reached. */
  async start(): Promise<void> {
    if (!this.namespace.settings.hasMessages || this.started !== undefined) return;
    this.started = this;
    await this.links.start();
  }

  /** @param linger ms for links to send queued items; -1: no limit */
  async close(linger: number): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const client of [...this.clients.values()]) client.close();
    this.routes.close();
    await this.links.close(linger);
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
    for (const filter of this.table.keys()) {
      if (nodes.size >= most) break;
      if (topic === undefined || matches(filter, topic)) nodes.set(filter, [this.id]);
    }
    for (const { filter, nodes: ids } of this.routes.table.list(most, topic)) {
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
      published: this.topics.published,
      sent: this.topics.sent,
      droppedFull: this.droppedFull,
      received: this.topics.received,
      delivered: this.deliveries.delivered,
      droppedSlow: this.droppedSlow,
      unclaimed: this.unclaimed,
      directSent: this.directs.sent,
      directReceived: this.directs.received,
      directPending: this.directs.pending,
      subscriptions: this.table.size,
      filters: this.table.filters,
      clients: this.clients.size,
      retained: this.retained.values.size,
      retainedBytes: this.retained.bytes,
      retainedEvicted: this.retained.evicted,
      failed: this.failed,
      refused: { ...this.refused },
      links: this.links.stats(),
      routes: this.routes.stats(),
    };
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
  subscribe(filter: string, handler: MessageHandler): ClusterSubscription;
  subscribe(filter: string, options?: SubscribeOptions, handler?: MessageHandler): ClusterSubscription;
  subscribe(
    filter: string,
    given?: SubscribeOptions | MessageHandler,
    handler?: MessageHandler,
  ): ClusterSubscription {
    const messaging = this.#messaging;
    messaging.assertOpen(this);
    if (typeof given === "function" && handler !== undefined)
      throw new InvalidArgumentError(
        `subscribe takes its options before the handler; got ${describe(handler)} after it`,
      );
    const options = typeof given === "function" ? {} : (given ?? {});
    const call = typeof given === "function" ? given : handler;
    const checked = checkOptions("subscribe", SUBSCRIBE_OPTIONS, options);
    if (call !== undefined && typeof call !== "function")
      throw invalidArgument("A handler must be a function", call);
    const { settings } = messaging;
    const { each, retained, maxQueue = settings.maxQueue, maxQueueBytes = settings.maxQueueBytes } = checked;
    const subtopic = checkedSubtopic(checked.subtopic);
    const of = { filter, subtopic, each, retained, handler: call, maxQueue, maxQueueBytes };
    const subscription = new Subscription(of, this);
    if (filter === SELF_TOPIC) this.direct = [...this.direct, subscription];
    else messaging.add(subscription);
    this.subscriptions.add(subscription);
    return subscription;
  }

  /** @internal */
  onFailed({ filter }: Subscription, error: unknown): void {
    this.#messaging.failed += 1;
    this.#messaging.namespace.report({ type: "subscription:failed", filter, error });
  }

  /** @internal */
  onDropped({ filter }: Subscription, { topic }: ReceivedMessage): void {
    this.#messaging.deliveries.delivered -= 1;
    this.#messaging.dropSlow(filter, topic);
  }

  /** @internal */
  onClosed(subscription: Subscription): void {
    this.subscriptions.delete(subscription);
    this.direct = this.direct.filter((other) => other !== subscription);
    this.#messaging.delete(subscription);
  }

  /** Like that of the node, by this client. @throws as that; ClosedError `EBADF` */
  publish(topic: string, data: string | Uint8Array, options?: PublishOptions): Promise<number> {
    try {
      this.#messaging.assertOpen(this);
      if (options !== undefined) checkCallOptions("publish", options, PUBLISH_KEYS);
      if (topic !== SELF_TOPIC) return this.#messaging.topics.publish(this.address, topic, data, options);
      const { subtopic, timeout } = options ?? {};
      return this.sendTo(SELF_ID, data, { subtopic, timeout }).then(() => 1);
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
      (nodes) => nodes,
    );
  }

  override close(): void {
    if (this.closed) return;
    super.close();
    this.#messaging.clients.delete(this.id);
  }
}
