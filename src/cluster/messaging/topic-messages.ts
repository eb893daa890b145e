/**
 * Topic messages: published ones, and those that the links of other nodes bring.
 *
 *   publish ──> plan of the topic ──┬── links of the nodes with interest: the item is encoded once
 *                                   └── this node's own subscriptions, at the end of the turn
 *   item of a link ──> checked ──> this node's own subscriptions
 *
 *   at a mark       drop: counted, and reported; wait: queued beyond it, and the call waits for room
 */
import { isObserved, MESSAGE_SEND } from "../../core/diagnostics.js";
import { ClosedError, InvalidArgumentError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { keepMessageContext, observeMessageSend } from "../../core/message-operations.js";
import { TurnBudget } from "../../core/turn-budget.js";
import { ignore, waitFor } from "../../core/waiter.js";
import { MAX_SHORT_TOPIC, MAX_TOPIC_ALIASES } from "./bounds.js";
import type { PublishOptions } from "./client.js";
import { encodeName, ItemFlag, PublishItem } from "./items.js";
import { checkBoolean, checkData, checkOnFull, checkTimeout } from "./options.js";
import type { IncomingLink } from "./parts.js";
import { Publication, type TopicPlan } from "./publication.js";
import type { RetainedValue } from "./retained.js";
import type { MessagingState } from "./state.js";
import { type ClusterAddress, ReceivedMessage, SELF_TOPIC, type Subscription } from "./subscription.js";
import { checkedSubtopic } from "./topics.js";

const COUNTS: readonly Promise<number>[] = Array.from({ length: 65 }, (_, count) => Promise.resolve(count));
const NONE: readonly Subscription[] = [];

export class TopicMessages {
  readonly #messaging: MessagingState;
  /** ms of publishes between turns of the event loop. */
  readonly #budget = new TurnBudget(1);
  #nextAlias = 0;
  /** For the next publish. */
  #spare: Publication | undefined = undefined;
  /** Settles in the next turn. */
  #turn: Promise<void> | undefined = undefined;
  /** Of the item that is being read. */
  readonly #incoming = new PublishItem();
  published = 0;
  sent = 0;
  received = 0;

  constructor(messaging: MessagingState) {
    this.#messaging = messaging;
  }

  /** @throws also in the promise */
  publish(
    sender: ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
  ): Promise<number> {
    if (!isObserved(MESSAGE_SEND)) return this.#publish(sender, topic, data, options);
    return observeMessageSend(
      "publish",
      topic,
      data,
      async (context) => this.#publish(sender, topic, data, options, context),
      (recipients) => recipients,
    );
  }

  /** @param context of a trace */
  #publish(
    sender: ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    context?: Buffer,
  ): Promise<number> {
    const messaging = this.#messaging;
    const { plans, deliveries, links, pending, retained } = messaging;
    const plan = plans.of(topic);
    if (topic === SELF_TOPIC)
      throw new InvalidArgumentError('the topic "self" is each client\'s own: sendTo reaches it');
    checkData(data);
    let subtopic: string | undefined;
    let isLocal = true;
    let retain = false;
    let waits = false;
    let timeout = -1;
    if (options !== undefined) {
      subtopic = checkedSubtopic(options.subtopic);
      isLocal = checkBoolean("self", options.self ?? true);
      retain = checkBoolean("retain", options.retain ?? false);
      waits = checkOnFull(options.onFull) === "wait";
      timeout = checkTimeout(options.timeout ?? -1);
    }
    const targets = plans.targets(plan);
    const subscriptions = isLocal ? plans.subscriptions(plan) : NONE;
    const stamp = retain ? retained.stamp(Date.now()) : 0;
    const client = sender.id;
    const publication = this.#spare ?? new Publication(plan);
    // A program's protocol may publish when it dials.
    this.#spare = undefined;
    // Data of so many characters or bytes fits the smallest `maxItem`, with any topic.
    const isItem = targets.length > 0 || retain || data.length > 65_000;
    if (isItem) {
      const name = subtopic === undefined ? undefined : encodeName(subtopic);
      publication.set(plan, client, name, stamp, data, context);
      messaging.checkSize(publication.bytes);
      this.#giveAlias(plan);
    }
    // Copies: the program may reuse its bytes.
    let message: ReceivedMessage | undefined;
    if (subscriptions.length > 0) {
      message = new ReceivedMessage(topic, Buffer.from(data as Uint8Array), sender, subtopic);
      if (context !== undefined) keepMessageContext(message, context);
    }
    let value: RetainedValue | undefined;
    if (retain) {
      const item = publication.item();
      value = {
        topic,
        client,
        subtopic,
        stamp,
        item,
        data: item.subarray(item.length - publication.dataBytes),
      };
    }
    this.published += 1;
    if (value !== undefined) retained.keep(value);
    const { fulls } = publication;
    let count = links.publish(targets, publication, fulls, waits ? pending : undefined);
    this.sent += count;
    const refused = fulls.length;
    while (fulls.length > 0) messaging.dropFull(fulls.pop() as string, plan.prefix);
    if (message !== undefined) {
      if (deliveries.isFull) messaging.dropSlow(topic, topic);
      else {
        deliveries.queue(subscriptions, message, stamp);
        count += 1;
      }
    }
    publication.clear();
    this.#spare = publication;
    if (waits && (refused > 0 || targets.some((id) => links.isFull(id))))
      return this.#whenRoom(count, targets, refused, timeout);
    return this.#settled(count);
  }

  /** Topics published a second time have numbers, in turn: more topics than numbers share them. */
  #giveAlias(plan: TopicPlan): void {
    if (plan.alias >= 0) return;
    if (plan.isRepeated && plan.key.length <= MAX_SHORT_TOPIC) {
      plan.alias = this.#nextAlias;
      this.#nextAlias = (this.#nextAlias + 1) % MAX_TOPIC_ALIASES;
    }
    plan.isRepeated = true;
  }

  /** A loop of publishes must let links, timers and heartbeats run. */
  #settled(count: number): Promise<number> {
    if (this.#turn === undefined) {
      if (!this.#budget.spend()) return COUNTS[count] ?? Promise.resolve(count);
      this.#messaging.links.publishesMore();
      this.#turn = new Promise((resolve) => setImmediate(resolve)).then(() => {
        this.#turn = undefined;
      });
    }
    return this.#turn.then(() => count);
  }

  /** Waits until all links have room again. @param refused nodes for which too much waits */
  async #whenRoom(
    count: number,
    targets: readonly string[],
    refused: number,
    timeout: number,
  ): Promise<number> {
    const { links } = this.#messaging;
    if (refused > 0)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `too many messages wait for ${refused} of ${targets.length} nodes; the others get it: messaging.maxPending and maxPendingBytes`,
      );
    const full = targets.filter((id) => links.isFull(id));
    const late = (): TimeoutError =>
      new TimeoutError("ETIMEDOUT", `no room within ${timeout} ms at a node; the message waits for it`);
    await waitFor(Promise.all(full.map((id) => links.room(id))), { timeout }, late);
    if (this.#messaging.closed)
      throw new ClosedError("EAGAIN", "the node closed while the message waited for room");
    return count;
  }

  // --- What links bring ----------------------------------------------------------------------------------------------

  onPublish(link: IncomingLink, bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const messaging = this.#messaging;
    const { plans } = messaging;
    const incoming = this.#incoming;
    const { reader } = incoming;
    if (!incoming.readHead(bytes, start, end)) return messaging.refuse("publish:malformed");
    const { alias } = incoming;
    let plan: TopicPlan | undefined;
    if ((incoming.flags & ItemFlag.ALIAS) !== 0) {
      plan = link.topics[alias];
      if (plan === undefined) return messaging.refuse("publish:alias");
    } else {
      const { nameStart, nameEnd } = reader;
      plan = plans.ofBytes(bytes, nameStart, nameEnd);
      if (alias >= 0) {
        if (alias >= MAX_TOPIC_ALIASES || nameEnd - nameStart > MAX_SHORT_TOPIC)
          return messaging.refuse("publish:alias");
        while (link.topics.length < alias) link.topics.push(undefined);
        link.topics[alias] = plan;
      }
    }
    if (plan === undefined || plan.topic === SELF_TOPIC) return messaging.refuse("publish:topic");
    if (!incoming.readTail()) return messaging.refuse("publish:malformed");
    const { client, subtopic, flags } = incoming;
    this.received += 1;
    const subscriptions = plans.subscriptions(plan);
    if (subscriptions.length === 0) {
      messaging.unclaimed += 1;
      return undefined;
    }
    const data = reader.rest();
    const stamp = (flags & ItemFlag.RETAIN) === 0 ? 0 : messaging.retained.seen(incoming.stamp, Date.now());
    const message = new ReceivedMessage(plan.topic, data, { node: link.id, id: client }, subtopic);
    if (incoming.context !== undefined) keepMessageContext(message, incoming.context);
    return messaging.deliveries.deliver(subscriptions, message, true, stamp);
  }

  onValue(from: string, item: Buffer): Promise<void> | undefined {
    const { deliveries, plans, retained } = this.#messaging;
    const incoming = this.#incoming;
    const { reader } = incoming;
    const isRead = incoming.readHead(item, 0, item.length);
    if (!isRead || incoming.alias >= 0 || (incoming.flags & ItemFlag.RETAIN) === 0)
      return this.#messaging.refuse("retained:malformed");
    const { nameStart, nameEnd } = reader;
    if (!incoming.readTail()) return this.#messaging.refuse("retained:malformed");
    const plan = plans.ofBytes(item, nameStart, nameEnd);
    if (plan === undefined || plan.topic === SELF_TOPIC) return this.#messaging.refuse("retained:topic");
    const stamp = retained.seen(incoming.stamp, Date.now());
    const sender = { node: from, id: incoming.client };
    const message = new ReceivedMessage(plan.topic, reader.rest(), sender, incoming.subtopic, true);
    // Overlapping subscriptions get it each: which of them wants it is not known.
    const held: Promise<void>[] = [];
    for (const subscription of plans.subscriptions(plan)) {
      if (!subscription.retained) continue;
      const room = deliveries.deliver([subscription], message, true, stamp);
      if (room !== undefined) held.push(room);
    }
    return held.length === 0 ? undefined : Promise.all(held).then(ignore);
  }
}
