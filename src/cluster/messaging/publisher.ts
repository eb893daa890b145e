/**
 * Publishing: an item is encoded once, given to the link of each node with interest, and queued for this node's own
 * subscriptions.
 *
 *   at a mark       drop: counted, and reported; wait: a copy waits for that node alone (waiting-sends.ts)
 */
import { ClosedError, InvalidArgumentError, InvalidStateError, TimeoutError } from "../../core/errors.js";
import { keepMessageContext } from "../../core/message-operations.js";
import { TurnBudget } from "../../core/turn-budget.js";
import type { ClusterAddress } from "./addresses.js";
import type { PublishOptions } from "./client.js";
import { encodeName } from "./items.js";
import { type ReceivedMessage, SELF_TOPIC } from "./message.js";
import type { WaitResult } from "./node-queues.js";
import { checkBoolean, checkData, checkOnFull, checkTimeout } from "./options.js";
import { MessageKind, type SendResult } from "./parts.js";
import { AliasNumbers, Publication } from "./publication.js";
import { type RetainedValue, VALUE_HEADER } from "./retained.js";
import type { MessagingState } from "./state.js";
import type { Subscription } from "./subscription.js";

const COUNTS: readonly Promise<number>[] = Array.from({ length: 65 }, (_, count) => Promise.resolve(count));
const NONE: readonly Subscription[] = [];

export class Publisher {
  readonly #state: MessagingState;
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
  }

  /** @param context of a trace */
  publish(
    sender: ClusterAddress,
    topic: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    context?: Buffer,
  ): Promise<number> {
    const state = this.#state;
    const { id, names, plans, deliveries, waiting, retained } = state;
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
      subtopic = names.subtopicOf(options.subtopic);
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
    const isItem = targets.length > 0 || retain;
    if (isItem) {
      const name = subtopic === undefined ? undefined : encodeName(subtopic);
      publication.set(plan, client, name, stamp, data, context);
      state.checkSize(retain ? publication.bytes + VALUE_HEADER : publication.bytes);
      this.#aliases.look(plan);
    }
    // Copies: the program may reuse its bytes.
    let message: ReceivedMessage | undefined;
    if (subscriptions.length > 0) {
      message = names.message(topic, Buffer.from(data as Uint8Array), sender, subtopic, false);
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
    const bytes = isItem ? publication.bytes : (message?.bytes ?? 0);
    if (waits && this.#isTooMuch(targets, publication, bytes, subscriptions))
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        "too many messages wait for room: messaging.maxPending and maxPendingBytes",
      );
    this.published += 1;
    if (value !== undefined) retained.keep(value);
    const { fulls } = publication;
    let count = 0;
    if (targets.length > 0) {
      const open = waiting.count === 0 ? targets : this.#notBehind(targets, fulls);
      count = state.links.publish(open, publication, fulls);
      this.sent += count;
    }
    let copies = waits && fulls.length > 0 ? this.#waitForNodes(publication, timeout) : undefined;
    while (fulls.length > 0) state.dropFull(fulls.pop() as string, plan.prefix);
    if (message !== undefined) {
      const isBehind = waiting.count > 0 && waiting.has(id);
      if (waits && (isBehind || this.#isFullHere(subscriptions))) {
        copies ??= [];
        copies.push(this.#waitHere(subscriptions, message, stamp, bytes, timeout));
      } else if (isBehind || deliveries.isFull) state.dropSlow(topic, topic);
      else {
        deliveries.queue(subscriptions, message, stamp);
        count += 1;
      }
    }
    publication.clear();
    this.#spare = publication;
    return copies === undefined ? this.#settled(count) : this.#settleAll(count, copies, timeout);
  }

  /** A loop of publishes must let links, timers and heartbeats run. */
  #settled(count: number): Promise<number> {
    if (this.#turn === undefined) {
      if (!this.#budget.spend()) return COUNTS[count] ?? Promise.resolve(count);
      this.#state.links.publishesMore();
      this.#turn = new Promise((resolve) => setImmediate(resolve)).then(() => {
        this.#turn = undefined;
      });
    }
    return this.#turn.then(() => count);
  }

  /** @param fulls gets nodes with waiting copies, which a message must not overtake @returns the others */
  #notBehind(targets: readonly string[], fulls: string[]): readonly string[] {
    return targets.filter((id) => {
      const isBehind = this.#state.waiting.has(id);
      if (isBehind) fulls.push(id);
      return !isBehind;
    });
  }

  /** Copies for the nodes without room. */
  #waitForNodes(publication: Publication, timeout: number): Promise<WaitResult>[] {
    const { bytes, fulls, plan } = publication;
    const item = publication.item();
    return fulls
      .splice(0)
      .map((id) => this.#state.waiting.wait(id, bytes, timeout, () => this.#send(id, item, plan.prefix)));
  }

  #waitHere(
    subscriptions: readonly Subscription[],
    message: ReceivedMessage,
    stamp: number,
    bytes: number,
    timeout: number,
  ): Promise<WaitResult> {
    const { id, deliveries, waiting } = this.#state;
    return waiting.wait(id, bytes, timeout, () => {
      if (this.#isFullHere(subscriptions)) return "full";
      deliveries.queue(subscriptions, message, stamp);
      return "sent";
    });
  }

  /** Whether copies without room now are more than may wait. @param bytes of a waiting copy */
  #isTooMuch(
    targets: readonly string[],
    publication: Publication,
    bytes: number,
    subscriptions: readonly Subscription[],
  ): boolean {
    const { id: self, links, waiting } = this.#state;
    if (!waiting.isFull(targets.length + 1, bytes)) return false;
    let copies = 0;
    for (const id of targets) if (waiting.has(id) || !links.hasRoom(id, publication.mostBytes)) copies += 1;
    const isHere = subscriptions.length > 0;
    if (isHere && (waiting.has(self) || this.#isFullHere(subscriptions))) copies += 1;
    return copies > 0 && waiting.isFull(copies, bytes);
  }

  #isFullHere(subscriptions: readonly Subscription[]): boolean {
    return this.#state.deliveries.isFull || subscriptions.some((each) => each.isFull);
  }

  #send(id: string, item: Buffer, prefix: string): SendResult {
    const result = this.#state.links.send(id, MessageKind.PUBLISH, item);
    if (result === "sent") this.sent += 1;
    else if (result === "too-large") this.#state.drops.dropped("size", id, prefix);
    return result;
  }

  async #settleAll(count: number, copies: readonly Promise<WaitResult>[], timeout: number): Promise<number> {
    const results = await Promise.all(copies);
    const sent = count + results.filter((result) => result === "sent").length;
    const late = results.filter((result) => result === "timeout").length;
    if (this.#state.closed)
      throw new ClosedError("EAGAIN", "the node closed while the message waited for room");
    if (late > 0)
      throw new TimeoutError(
        "ETIMEDOUT",
        `no room within ${timeout} ms at ${late} of ${late + sent} nodes; the others have it`,
      );
    return sent;
  }
}
