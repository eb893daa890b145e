/**
 * Retained values: a publisher's node keeps the last value of each topic published with `retain` until its process
 * ends. Members that want the retained values of a filter say so in their lists (route-own.ts), and get each as an item
 * of the kind RETAINED, which is that of its publication.
 *
 * docs/spec/messaging.md has the rules, and how stamps order the publications of a topic.
 */
import { TurnBudget } from "../../core/turn-budget.js";
import type { DropReports } from "./events.js";
import type { NodeLinks } from "./links.js";
import type { MessagingSettings } from "./options.js";
import { MessageKind, type SendResult } from "./parts.js";
import type { RouteDriver } from "./route-driver.js";
import { SubscriptionTable } from "./subscription-table.js";
import { matches } from "./topics.js";

export interface RetainedValue {
  readonly topic: string;
  readonly client: number;
  readonly subtopic: string | undefined;
  readonly stamp: number;
  /** The PUBLISH item, with the topic's name, and the data in it. */
  readonly item: Buffer;
  readonly data: Buffer;
}

interface RetainedContext {
  readonly links: Pick<NodeLinks, "send" | "room">;
  readonly drops: Pick<DropReports, "dropped">;
  readonly routes: Pick<RouteDriver, "wantedBy">;
  readonly settings: Pick<MessagingSettings, "maxRetained" | "maxRetainedBytes">;
  readonly closed: boolean;
}

/** Of this node. Above a bound the least recently updated value is dropped. */
export class RetainedValues {
  readonly #messaging: RetainedContext;
  /** By topic. */
  readonly values = new Map<string, RetainedValue>();
  /** Members that are getting values, and whether they want others meanwhile. */
  readonly #answering = new Map<string, boolean>();
  /** ms of answers between turns of the event loop. */
  readonly #budget = new TurnBudget(1);
  #lastStamp = 0;
  bytes = 0;
  evicted = 0;

  constructor(messaging: RetainedContext) {
    this.#messaging = messaging;
  }

  /** @param wall ms since 1970 */
  stamp(wall: number): number {
    this.#lastStamp = Math.max(this.#lastStamp + 1, Math.floor(wall * 1_000));
    return this.#lastStamp;
  }

  /**
   * @param stamp of another node
   * @returns the stamp that counts: a new one for one more than five minutes ahead of this clock
   */
  seen(stamp: number, wall: number): number {
    if (stamp > Math.floor(wall * 1_000) + 300_000_000) return this.stamp(wall);
    this.#lastStamp = Math.max(this.#lastStamp, stamp);
    return stamp;
  }

  /** Replaces the value of its topic; empty data removes it. */
  keep(value: RetainedValue): void {
    const { maxRetained, maxRetainedBytes } = this.#messaging.settings;
    this.#delete(value.topic);
    if (value.data.length === 0) return;
    this.values.set(value.topic, value);
    this.bytes += sizeOf(value);
    for (const oldest of this.values.keys()) {
      if (this.values.size <= maxRetained && this.bytes <= maxRetainedBytes) return;
      this.#delete(oldest);
      this.evicted += 1;
    }
  }

  matching(filter: string): RetainedValue[] {
    return [...this.values.values()].filter(({ topic }) => matches(filter, topic));
  }

  #delete(topic: string): void {
    const value = this.values.get(topic);
    if (value === undefined) return;
    this.values.delete(topic);
    this.bytes -= sizeOf(value);
  }

  /** Sends a member the values of its filters, one answer at a time: it may want them over and over. */
  answer(id: string, filters: Iterable<string>): void {
    if (this.values.size === 0) return;
    if (this.#answering.has(id)) this.#answering.set(id, true);
    else void this.#answerAll(id, filters);
  }

  async #answerAll(id: string, filters: Iterable<string>): Promise<void> {
    this.#answering.set(id, false);
    await this.#answer(id, filters);
    const wantsOthers = this.#answering.get(id) === true;
    this.#answering.delete(id);
    // All of its list as it is then: subscriptions leave out values that they have.
    if (wantsOthers) this.answer(id, this.#messaging.routes.wantedBy(id));
  }

  async #answer(to: string, all: Iterable<string>): Promise<void> {
    const wanted = new SubscriptionTable<string>();
    for (const filter of all) wanted.add(filter, filter);
    if (wanted.size === 0) return;
    const filters: string[] = [];
    for (const topic of [...this.values.keys()]) {
      if (this.#budget.spend()) await new Promise((resolve) => setImmediate(resolve));
      wanted.match(topic, filters);
      if (filters.length > 0 && (await this.#send(to, topic)) === "unreachable") return;
      filters.length = 0;
    }
  }

  /** Waits for room: a slow peer delays only its own answers. */
  async #send(to: string, topic: string): Promise<SendResult> {
    const { links, drops } = this.#messaging;
    for (;;) {
      // Read when there is room: a later publication was sent before.
      const item = this.values.get(topic)?.item;
      if (item === undefined) return "sent";
      const result = links.send(to, MessageKind.RETAINED, item);
      if (result === "too-large") drops.dropped("size", to, "$retained");
      if (result !== "full") return result;
      if (this.#messaging.closed || !(await links.room(to, item.length))) return "unreachable";
    }
  }
}

function sizeOf({ topic, subtopic, item }: RetainedValue): number {
  return 2 * (topic.length + (subtopic?.length ?? 0)) + item.length + 256;
}
