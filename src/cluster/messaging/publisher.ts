/**
 * Publishing: an item is encoded once, given to the link of each node with interest, and queued for this node's own
 * subscriptions.
 *
 *   at a mark       drop: counted, and reported; wait: the call waits until all nodes with interest have room, in order for
 *                   its topic (waiting-sends.ts)
 */
import { ClosedError, InvalidArgumentError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { ignore } from "../../core/ignore.js";
import { keepMessageContext } from "../../core/message-operations.js";
import { TurnBudget } from "../../core/turn-budget.js";
import type { ClusterAddress } from "./addresses.js";
import { checkBoolean, checkData, checkOnFull, checkTimeout } from "./checks.js";
import type { PublishOptions } from "./client.js";
import type { Deliveries } from "./deliveries.js";
import { dataBytes } from "./items.js";
import { type ReceivedMessage, SELF_TOPIC } from "./message.js";
import type { MessageNames } from "./names.js";
import type { MessageLinks } from "./parts.js";
import { Publication } from "./publication.js";
import { type RetainedValues, VALUE_HEADER } from "./retained.js";
import type { MessagingState } from "./state.js";
import type { Subscription } from "./subscription.js";
import { AliasNumbers } from "./topic-aliases.js";
import type { TopicPlan } from "./topic-plan.js";
import type { TopicPlans } from "./topic-plans.js";
import { type WaitingSends, waitingTopic } from "./waiting-sends.js";

const COUNTS: readonly Promise<number>[] = Array.from({ length: 65 }, (_, count) => Promise.resolve(count));
const NONE: readonly Subscription[] = [];
/** Bytes of an item besides its topic and data, at most. */
const MOST_HEAD = 2_048;

function mostBytes(plan: TopicPlan, data: string | Uint8Array): number {
  return MOST_HEAD + plan.name.length + dataBytes(data);
}

export class Publisher {
  readonly #state: MessagingState;
  readonly #links: MessageLinks;
  readonly #names: MessageNames;
  readonly #plans: TopicPlans;
  readonly #deliveries: Deliveries;
  readonly #waiting: WaitingSends;
  readonly #retained: RetainedValues;
  /** ms of publishes between turns of the event loop. */
  readonly #budget = new TurnBudget(1);
  readonly #aliases = new AliasNumbers();
  /** For the next publish. */
  #spare: Publication | undefined = undefined;
  /** Settles in the next turn. */
  #turn: Promise<void> | undefined = undefined;
  published = 0;
  sent = 0;

  constructor(state: MessagingState) {
    this.#state = state;
    this.#links = state.links;
    this.#names = state.names;
    this.#plans = state.plans;
    this.#deliveries = state.deliveries;
    this.#waiting = state.waiting;
    this.#retained = state.retained;
  }

  /** @param context of a trace */
  publish(
    sender: ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    context?: Buffer,
  ): Promise<number> {
    const plan = this.#plans.of(topic);
    if (topic === SELF_TOPIC)
      throw new InvalidArgumentError('the topic "self" is each client\'s own: sendTo reaches it');
    checkData(data);
    let subtopic: string | undefined;
    let isLocal = true;
    let retain = false;
    let waits = false;
    let timeout = -1;
    if (options !== undefined) {
      subtopic = this.#names.subtopicOf(options.subtopic);
      isLocal = checkBoolean("self", options.self ?? true);
      retain = checkBoolean("retain", options.retain ?? false);
      waits = checkOnFull(options.onFull) === "wait";
      timeout = checkTimeout(options.timeout ?? -1);
    }
    if (waits) {
      const isBehind = !this.#waiting.isEmpty && this.#waiting.has(waitingTopic(topic));
      if (isBehind || !this.#hasRoom(plan, mostBytes(plan, data)))
        return this.#publishLater(sender, plan, data, subtopic, isLocal, retain, timeout, context);
    }
    return this.#settled(this.#publish(sender, plan, data, subtopic, isLocal, retain, context));
  }

  /** Whether each node with interest has room. */
  #hasRoom(plan: TopicPlan, bytes: number): boolean {
    for (const id of this.#plans.targets(plan)) if (!this.#links.hasRoom(id, bytes)) return false;
    return true;
  }

  async #publishLater(
    sender: ClusterAddress,
    plan: TopicPlan,
    given: string | Uint8Array,
    subtopic: string | undefined,
    isLocal: boolean,
    retain: boolean,
    timeout: number,
    context: Buffer | undefined,
  ): Promise<number> {
    const bytes = dataBytes(given);
    if (this.#waiting.isFull(1, bytes))
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many messages wait for room: messaging.maxPending and maxPendingBytes",
      );
    // A copy: the program may reuse its bytes.
    const data = typeof given === "string" ? given : Buffer.from(given);
    let count = 0;
    const result = await this.#waiting.wait(waitingTopic(plan.topic), bytes, timeout, () => {
      if (!this.#hasRoom(plan, mostBytes(plan, data))) return "full";
      count = this.#publish(sender, plan, data, subtopic, isLocal, retain, context);
      return "sent";
    });
    if (result === "sent") return count;
    if (result === "timeout")
      throw new TimeoutError("ETIMEDOUT", `no room within ${timeout} ms: no node has the message`);
    throw new ClosedError("EAGAIN", "the bus closed while the message waited for room");
  }

  /** Settles when a node may have room for a waiting message of a topic. */
  async roomFor(topic: string): Promise<void> {
    const full = this.#plans.targets(this.#plans.of(topic)).find((id) => !this.#links.hasRoom(id, MOST_HEAD));
    // A node that is gone has no interest.
    if (full !== undefined) await this.#links.room(full).catch(ignore);
  }

  /** @returns the number of nodes that get it */
  #publish(
    sender: ClusterAddress,
    plan: TopicPlan,
    data: string | Uint8Array,
    subtopic: string | undefined,
    isLocal: boolean,
    retain: boolean,
    context: Buffer | undefined,
  ): number {
    const { topic } = plan;
    const client = sender.id;
    const targets = this.#plans.targets(plan);
    const subscriptions = isLocal ? this.#plans.subscriptions(plan) : NONE;
    const stamp = retain ? this.#retained.stamp(this.#state.effects.wall()) : 0;
    const publication = this.#spare ?? new Publication(plan);
    // A program's protocol may publish when it dials.
    this.#spare = undefined;
    if (targets.length > 0 || retain) {
      const name = subtopic === undefined ? undefined : this.#names.subtopicName(subtopic);
      publication.set(plan, client, name, stamp, data, context);
      this.#state.checkSize(retain ? publication.bytes + VALUE_HEADER : publication.bytes);
      this.#aliases.look(plan);
    }
    let message: ReceivedMessage | undefined;
    if (retain || subscriptions.length > 0) {
      // A copy: the program may reuse its bytes.
      const bytes = Buffer.from(data as Uint8Array);
      if (retain) this.#retained.keep({ topic, client, subtopic, stamp, data: Buffer.from(bytes) });
      if (subscriptions.length > 0) {
        message = this.#names.message(topic, bytes, sender, subtopic, false);
        if (context !== undefined) keepMessageContext(message, context);
      }
    }
    this.published += 1;
    const { fulls } = publication;
    let count = targets.length > 0 ? this.#links.publish(targets, publication, fulls) : 0;
    this.sent += count;
    while (fulls.length > 0) this.#state.dropFull(fulls.pop() as string, plan.prefix);
    if (message !== undefined && this.#queueLocal(subscriptions, message, stamp)) count += 1;
    publication.clear();
    this.#spare = publication;
    return count;
  }

  /** A loop of publishes must let links, timers and heartbeats run. */
  #settled(count: number): Promise<number> {
    if (this.#turn === undefined) {
      if (!this.#budget.spend()) return COUNTS[count] ?? Promise.resolve(count);
      this.#links.publishesMore();
      this.#turn = new Promise((resolve) => setImmediate(resolve)).then(() => {
        this.#turn = undefined;
      });
    }
    return this.#turn.then(() => count);
  }

  /** @returns whether this node's own subscriptions get it */
  #queueLocal(subscriptions: readonly Subscription[], message: ReceivedMessage, stamp: number): boolean {
    if (this.#deliveries.isFull) {
      this.#state.dropSlow(message.topic, message.topic);
      return false;
    }
    this.#deliveries.queue(subscriptions, message, stamp);
    return true;
  }
}
