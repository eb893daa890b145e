/** Topic messages and retained values from other nodes' links: checked, and given to this node's own subscriptions. */

import { keepMessageContext } from "../../core/message-operations.js";
import { ignore } from "../../core/waiter.js";
import { MAX_ALIASED_TOPIC, MAX_TOPIC_ALIASES } from "./bounds.js";
import { ALIAS, ItemReader, PublishItem, RETAIN } from "./items.js";
import { SELF_TOPIC } from "./message.js";
import type { IncomingLink } from "./parts.js";
import type { TopicPlan } from "./publication.js";
import { RetainedItem, readFilters } from "./retained.js";
import type { MessagingState } from "./state.js";

export class IncomingItems {
  readonly #state: MessagingState;
  readonly #incoming = new PublishItem();
  readonly #reader = new ItemReader();
  received = 0;

  constructor(state: MessagingState) {
    this.#state = state;
  }

  onPublish(link: IncomingLink, bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const state = this.#state;
    const { names, plans } = state;
    const incoming = this.#incoming;
    const { reader } = incoming;
    if (!incoming.readHead(bytes, start, end)) return state.refuse("publish:malformed");
    const { alias } = incoming;
    let plan: TopicPlan | undefined;
    if ((incoming.flags & ALIAS) !== 0) {
      plan = link.topics[alias];
      if (plan === undefined) return state.refuse("publish:alias");
    } else {
      const { nameStart, nameEnd } = reader;
      plan = plans.ofBytes(bytes, nameStart, nameEnd);
      if (alias >= 0) {
        if (alias >= MAX_TOPIC_ALIASES || nameEnd - nameStart > MAX_ALIASED_TOPIC)
          return state.refuse("publish:alias");
        while (link.topics.length < alias) link.topics.push(undefined);
        link.topics[alias] = plan;
      }
    }
    if (plan === undefined || plan.topic === SELF_TOPIC) return state.refuse("publish:topic");
    if (!incoming.readTail()) return state.refuse("publish:malformed");
    const { client, subtopic, flags } = incoming;
    this.received += 1;
    const subscriptions = plans.subscriptions(plan);
    if (subscriptions.length === 0) {
      state.unclaimed += 1;
      return undefined;
    }
    const data = reader.rest();
    const stamp = (flags & RETAIN) === 0 ? 0 : state.retained.seen(incoming.stamp, Date.now());
    const message = names.message(plan.topic, data, names.senderOf(link.id, client), subtopic, false);
    if (incoming.context !== undefined) keepMessageContext(message, incoming.context);
    return state.deliveries.deliver(subscriptions, message, true, stamp);
  }

  onRetained(from: string, item: Buffer): Promise<void> | undefined {
    const reader = this.#reader;
    reader.start(item, 0);
    switch (reader.byte()) {
      case RetainedItem.ASK: {
        const number = reader.varint();
        const filters = readFilters(reader);
        if (filters === undefined) break;
        this.#state.retention.onAsk(from, { number, filters });
        return undefined;
      }
      case RetainedItem.VALUE:
        return this.#onValue(from, item, reader.at);
      case RetainedItem.END: {
        const question = reader.varint();
        if (reader.failed) break;
        this.#state.retention.onEnd(from, question);
        return undefined;
      }
      case RetainedItem.AGAIN:
        this.#state.retention.onAgain(from);
        return undefined;
    }
    return this.#state.refuse("retained:malformed");
  }

  #onValue(from: string, item: Buffer, at: number): Promise<void> | undefined {
    const { deliveries, names, plans, retained } = this.#state;
    const incoming = this.#incoming;
    const { reader } = incoming;
    const isRead = incoming.readHead(item, at, item.length);
    if (!isRead || incoming.alias >= 0 || (incoming.flags & RETAIN) === 0)
      return this.#state.refuse("retained:malformed");
    const { nameStart, nameEnd } = reader;
    if (!incoming.readTail()) return this.#state.refuse("retained:malformed");
    const plan = plans.ofBytes(item, nameStart, nameEnd);
    if (plan === undefined) return this.#state.refuse("retained:topic");
    const stamp = retained.seen(incoming.stamp, Date.now());
    const sender = names.senderOf(from, incoming.client);
    const message = names.message(plan.topic, reader.rest(), sender, incoming.subtopic, true);
    // Overlapping subscriptions get it each: which of them asked is not known.
    const held: Promise<void>[] = [];
    for (const subscription of plans.subscriptions(plan)) {
      if (!subscription.retained) continue;
      const room = deliveries.deliver([subscription], message, true, stamp);
      if (room !== undefined) held.push(room);
    }
    return held.length === 0 ? undefined : Promise.all(held).then(ignore);
  }
}
