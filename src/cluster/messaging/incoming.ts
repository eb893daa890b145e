/**
 * What the links of other nodes bring of topics and retained values: checked, and given to this node's own subscriptions, never to
 * another node.
 */

import { keepMessageContext } from "../../core/message-operations.js";
import { MAX_ALIASED_TOPIC, MAX_TOPIC_ALIASES } from "./bounds.js";
import type { Deliveries } from "./deliveries.js";
import { ALIAS, CLIENT, ItemReader, ORIGIN, PublishItem, RETAIN } from "./items.js";
import { SELF_TOPIC } from "./message.js";
import type { MessageNames } from "./names.js";
import type { IncomingLink } from "./parts.js";
import type { RetainedValues } from "./retained.js";
import { ASK, END, readAsk, readEnd, readStale, STALE, VALUE } from "./retained-items.js";
import type { Retention } from "./retention.js";
import type { MessagingState } from "./state.js";
import type { TopicPlan } from "./topic-plan.js";
import type { TopicPlans } from "./topic-plans.js";

export class IncomingItems {
  readonly #state: MessagingState;
  readonly #names: MessageNames;
  readonly #plans: TopicPlans;
  readonly #deliveries: Deliveries;
  readonly #retained: RetainedValues;
  readonly #retention: Retention;
  readonly #incoming = new PublishItem();
  readonly #reader = new ItemReader();
  /** Messages of topics. */
  received = 0;

  constructor(state: MessagingState) {
    this.#state = state;
    this.#names = state.names;
    this.#plans = state.plans;
    this.#deliveries = state.deliveries;
    this.#retained = state.retained;
    this.#retention = state.retention;
  }

  onPublish(link: IncomingLink, bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const incoming = this.#incoming;
    const { reader } = incoming;
    if (!incoming.readHead(bytes, start, end)) return this.#state.refuse("publish:malformed");
    const { alias } = incoming;
    let plan: TopicPlan | undefined;
    if ((incoming.flags & ALIAS) !== 0) {
      plan = link.topics.get(alias);
      if (plan === undefined) return this.#state.refuse("publish:alias");
    } else {
      const { nameStart, nameEnd } = reader;
      plan = this.#plans.ofBytes(bytes, nameStart, nameEnd);
      if (alias >= 0) {
        if (alias >= MAX_TOPIC_ALIASES || nameEnd - nameStart > MAX_ALIASED_TOPIC)
          return this.#state.refuse("publish:alias");
        link.topics.set(alias, plan);
      }
    }
    if (plan === undefined || plan.topic === SELF_TOPIC) return this.#state.refuse("publish:topic");
    if (!incoming.readTail()) return this.#state.refuse("publish:malformed");
    const { client, origin, subtopic, flags } = incoming;
    this.received += 1;
    const from = link.id;
    const node = (flags & ORIGIN) === 0 ? from : origin;
    const subscriptions = this.#plans.subscriptions(plan);
    if (subscriptions.length === 0) {
      this.#state.unclaimed += 1;
      return undefined;
    }
    if (node !== from && !this.#mayBeOf(from, node, client, plan.topic))
      return this.#state.refuse("publish:origin");
    const data = reader.rest();
    let retains = (flags & RETAIN) !== 0;
    if (retains && node !== from) {
      // Its client's node answers for that one's values, and has not got this one: it is a message, and no value.
      this.#state.refuse("publish:retain");
      retains = false;
    }
    const isSuperseded = retains && !this.#keep(plan.topic, node, client, subtopic, incoming.stamp, data);
    const sender =
      (flags & CLIENT) === 0 ? this.#names.ownSenderOf(link) : this.#names.senderOf(node, client);
    const message = this.#names.message(plan.topic, data, sender, subtopic, false);
    if (incoming.context !== undefined) keepMessageContext(message, incoming.context);
    return this.#deliveries.deliver(subscriptions, message, true, isSuperseded);
  }

  /** @returns whether it is the last one of its topic */
  #keep(
    topic: string,
    node: string,
    client: number,
    subtopic: string | undefined,
    given: number,
    data: Buffer,
  ): boolean {
    const stamp = this.#retained.seen(given, this.#state.effects.wall());
    const value = { topic, node, client, subtopic, stamp, data: Buffer.from(data) };
    if (!this.#retained.keep(value)) return false;
    this.#retention.published(value);
    return true;
  }

  onRetained(from: string, item: Buffer): Promise<void> | undefined {
    const reader = this.#reader;
    reader.start(item, 0);
    switch (reader.byte()) {
      case ASK: {
        const ask = readAsk(reader);
        if (ask === undefined) break;
        const reason = this.#retention.onAsk(from, ask, item.length);
        return reason === undefined ? undefined : this.#state.refuse(reason);
      }
      case VALUE: {
        const request = reader.varint();
        return reader.failed
          ? this.#state.refuse("retained:malformed")
          : this.#onValue(from, request, item, reader.at);
      }
      case END: {
        const request = reader.varint();
        const differing = readEnd(reader);
        if (differing === undefined) break;
        this.#retention.onEnd(from, request, differing);
        return undefined;
      }
      case STALE: {
        const stale = readStale(reader);
        if (stale === undefined) break;
        this.#retention.onStale(from, stale);
        return undefined;
      }
    }
    return this.#state.refuse("retained:malformed");
  }

  #onValue(from: string, request: number, item: Buffer, at: number): Promise<void> | undefined {
    const incoming = this.#incoming;
    const { reader } = incoming;
    const isRead = incoming.readHead(item, at, item.length);
    if (!isRead || incoming.alias >= 0 || (incoming.flags & (RETAIN | ORIGIN)) !== (RETAIN | ORIGIN))
      return this.#state.refuse("retained:malformed");
    const { nameStart, nameEnd } = reader;
    if (!incoming.readTail()) return this.#state.refuse("retained:malformed");
    const plan = this.#plans.ofBytes(item, nameStart, nameEnd);
    if (plan === undefined) return this.#state.refuse("retained:topic");
    const { origin, client, subtopic } = incoming;
    // A live node answers for itself: nobody else has its values.
    if (origin !== from && (origin === this.#state.id || this.#state.effects.member(origin)?.isLive === true))
      return this.#state.refuse("retained:origin");
    const stamp = this.#retained.seen(incoming.stamp, this.#state.effects.wall());
    const data = Buffer.from(reader.rest());
    const value = { topic: plan.topic, node: origin, client, subtopic, stamp, data };
    const reason = this.#retention.onValue(from, request, value, stamp !== incoming.stamp);
    if (reason !== undefined) return this.#state.refuse(reason);
    // Values are queued for the subscription that asked: what the node gives is bounded by its link.
    return this.#deliveries.isFull ? this.#deliveries.drained() : undefined;
  }

  /** Nothing is kept of what is refused: an alias for each origin that was made up would cost others theirs. */
  #mayBeOf(from: string, node: string, client: number, topic: string): boolean {
    const isKnown = node === this.#state.id || this.#state.effects.member(node) !== undefined;
    return isKnown && this.#state.mayPublishAs(from, this.#names.knownAddress(node, client), topic);
  }
}
