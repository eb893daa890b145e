/**
 * Retained values: a publisher's node keeps the last value of each topic published with `retain` until its process
 * ends, and sends matching ones to a new subscription with `retained`.
 *
 *   ASK    11 | question varint | filters texts
 *   VALUE  12 | a PUBLISH item with RETAIN: one for each topic that matches
 *   END    13 | question varint: all values were sent
 *   AGAIN  14: the receiver was lost or removed here, and missed publications
 *
 * docs/spec/messaging.md has the rules, and how stamps order the publications of a topic.
 */

import { TurnBudget } from "../../core/turn-budget.js";
import { ignore, withTimeout } from "../../core/waiter.js";
import { MAX_MEMBERS } from "../bounds.js";
import { type Reader, Writer } from "../compact.js";
import { MAX_ASK_FILTERS, MAX_TOPIC } from "./bounds.js";
import type { NodeLinks } from "./links.js";
import { WaitingSends, type WaitResult } from "./node-queues.js";
import { MessageKind, type SendResult } from "./parts.js";
import type { Subscription } from "./subscription.js";
import { filterFault, matches } from "./topics.js";

export const RetainedItem = { ASK: 0x11, VALUE: 0x12, END: 0x13, AGAIN: 0x14 } as const;

const AGAIN = Buffer.from([RetainedItem.AGAIN]);
/** Reused for one item at a time. */
const out = new Writer();

export interface RetainedValue {
  readonly topic: string;
  readonly client: number;
  readonly subtopic: string | undefined;
  readonly stamp: number;
  /** The PUBLISH item, with the topic's name, and the data in it. */
  readonly item: Buffer;
  readonly data: Buffer;
}

/** Of this node. Above a bound the least recently updated value is dropped. */
export class RetainedValues {
  readonly #bounds: { readonly topics: number; readonly bytes: number };
  /** By topic. */
  readonly values = new Map<string, RetainedValue>();
  #lastStamp = 0;
  bytes = 0;
  evicted = 0;

  constructor(bounds: { readonly topics: number; readonly bytes: number }) {
    this.#bounds = bounds;
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
    this.#delete(value.topic);
    if (value.data.length === 0) return;
    this.values.set(value.topic, value);
    this.bytes += sizeOf(value);
    for (const oldest of this.values.keys()) {
      if (this.values.size <= this.#bounds.topics && this.bytes <= this.#bounds.bytes) return;
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
}

function sizeOf({ topic, subtopic, item }: RetainedValue): number {
  return 2 * (topic.length + (subtopic?.length ?? 0)) + item.length + 256;
}

/** Of another member. */
interface Question {
  readonly number: number;
  readonly filters: readonly string[];
}

/** A member that is being asked, one question at a time. */
class Asked {
  /** To be asked for. */
  readonly filters = new Set<string>();
  /** Settles when all questions have ended. */
  done: Promise<void> = Promise.resolve();
  /** Of the current question. */
  number = 0;
  end: () => void = () => undefined;

  /** As many of the filters as a question may have. */
  take(): string[] {
    const some: string[] = [];
    let bytes = 0;
    for (const filter of this.filters) {
      if (some.length > 0 && (some.length >= MAX_ASK_FILTERS || bytes + filter.length > 65_536)) break;
      this.filters.delete(filter);
      some.push(filter);
      bytes += filter.length;
    }
    return some;
  }
}

export class Retention {
  readonly #retained: RetainedValues;
  readonly #links: Pick<NodeLinks, "send" | "room">;
  readonly #waiting: WaitingSends;
  readonly #peers: () => readonly string[];
  readonly #onTooLarge: (id: string) => void;
  readonly #readers = new Set<Subscription>();
  /** Members asked for the readers' filters. */
  readonly #met = new Set<string>();
  readonly #asked = new Map<string, Asked>();
  /** By member that has asked: its last question; `undefined`: it was lost or gone since. */
  readonly #answers = new Map<string, Question | undefined>();
  /** Members that are being answered. */
  readonly #answering = new Set<string>();
  /** The longest lost first. */
  readonly #lost = new Set<string>();
  /** ms of answers between turns of the event loop. */
  readonly #budget = new TurnBudget(1);
  #number = 0;
  #isClosed = false;

  /** @param onTooLarge called for a value that is larger than a member takes */
  constructor(
    values: RetainedValues,
    links: Pick<NodeLinks, "send" | "room">,
    peers: () => readonly string[],
    onTooLarge: (id: string) => void,
  ) {
    this.#retained = values;
    this.#links = links;
    this.#waiting = new WaitingSends(Infinity, Infinity, (id, bytes) => links.room(id, bytes));
    this.#peers = peers;
    this.#onTooLarge = onTooLarge;
  }

  // --- Asking ----------------------------------------------------------------------------------------------------------

  /**
   * Asks all members, and later new ones, for the values of a new subscription.
   *
   * @param known settles when the others send publications: no later change of a value is missed
   * @returns settles when all have answered, or after 5 s
   */
  async ask(subscription: Subscription, known: Promise<void>): Promise<void> {
    await withTimeout(known.catch(ignore), 1_000);
    if (subscription.closed || this.#isClosed) return;
    this.#readers.add(subscription);
    const asked = this.#peers().map((id) => this.#ask(id, [subscription]));
    await withTimeout(Promise.all(asked), 5_000);
  }

  forget(subscription: Subscription): void {
    this.#readers.delete(subscription);
  }

  onMember(id: string): void {
    if (this.#isClosed || this.#met.has(id) || !this.#peers().includes(id)) return;
    this.#met.add(id);
    if (this.#lost.delete(id) && this.#answers.has(id)) void this.#send(id, () => AGAIN);
    void this.#ask(id, this.#readers);
  }

  onAgain(from: string): void {
    this.#asked.get(from)?.end();
    void this.#ask(from, this.#readers);
  }

  /** The link to a member lost items. */
  onLost(id: string): void {
    if (this.#isClosed) return;
    if (this.#answers.has(id)) void this.#send(id, () => AGAIN);
    if (this.#asked.has(id)) this.onAgain(id);
  }

  /** It may return, and not have noticed: a node that was removed goes on. */
  onGone(id: string): void {
    this.#met.delete(id);
    const asked = this.#asked.get(id);
    asked?.filters.clear();
    asked?.end();
    if (!this.#answers.has(id)) return;
    this.#lost.add(id);
    this.#answers.set(id, undefined);
    const [oldest = id] = this.#lost;
    if (this.#lost.size > MAX_MEMBERS && this.#lost.delete(oldest)) this.#answers.delete(oldest);
  }

  onEnd(from: string, number: number): void {
    const asked = this.#asked.get(from);
    if (asked?.number === number) asked.end();
  }

  #ask(id: string, readers: Iterable<Subscription>): Promise<void> {
    const known = this.#asked.get(id);
    const asked = known ?? new Asked();
    for (const { filter } of readers) asked.filters.add(filter);
    if (known === undefined) {
      this.#asked.set(id, asked);
      asked.done = this.#askAll(id, asked);
    }
    return asked.done;
  }

  async #askAll(id: string, asked: Asked): Promise<void> {
    for (let some = asked.take(); some.length > 0; some = asked.take()) {
      this.#number = (this.#number + 1) >>> 0;
      const number = this.#number;
      asked.number = number;
      const ended = new Promise<void>((resolve) => {
        asked.end = resolve;
      });
      const question = some;
      if ((await this.#send(id, () => encodeAsk(number, question))) === "sent") await ended;
    }
    this.#asked.delete(id);
  }

  // --- Answering -------------------------------------------------------------------------------------------------------

  onAsk(from: string, question: Question): void {
    this.#answers.set(from, question);
    if (!this.#answering.has(from)) void this.#answerAll(from);
  }

  /** The last question at a time: a member may ask without reading. */
  async #answerAll(to: string): Promise<void> {
    this.#answering.add(to);
    let answered: Question | undefined;
    for (let next = this.#answers.get(to); next !== answered; next = this.#answers.get(to)) {
      answered = next;
      if (next !== undefined) await this.#answer(to, next);
    }
    this.#answering.delete(to);
  }

  async #answer(to: string, question: Question): Promise<void> {
    const { number, filters } = question;
    const isCurrent = (): boolean => this.#answers.get(to) === question;
    for (const topic of [...this.#retained.values.keys()]) {
      if (this.#budget.spend()) await turn();
      if (!isCurrent()) return;
      if (!filters.some((filter) => matches(filter, topic))) continue;
      // Read when there is room: a later publication was sent before.
      const result = await this.#send(to, () => {
        const value = isCurrent() ? this.#retained.values.get(topic) : undefined;
        return value === undefined ? undefined : encodeValue(value);
      });
      if (result === "unreachable") return;
    }
    await this.#send(to, () => (isCurrent() ? encodeEnd(number) : undefined));
  }

  /** Waits for room: a slow peer delays only its own answers. @param item `undefined`: nothing is to be sent */
  #send(to: string, item: () => Buffer | undefined): Promise<WaitResult> {
    const send = (): SendResult => {
      const bytes = item();
      const result = bytes === undefined ? "sent" : this.#links.send(to, MessageKind.RETAINED, bytes);
      if (result === "too-large") this.#onTooLarge(to);
      return result;
    };
    const result = this.#waiting.has(to) ? "full" : send();
    return result === "full" ? this.#waiting.wait(to, 0, -1, send) : Promise.resolve(result);
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.close();
    this.#answers.clear();
    this.#readers.clear();
    for (const { filters, end } of this.#asked.values()) {
      filters.clear();
      end();
    }
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

// --- Items -----------------------------------------------------------------------------------------------------------

export function encodeAsk(question: number, filters: readonly string[]): Buffer {
  out.byte(RetainedItem.ASK);
  out.uint(question);
  out.texts(filters);
  return out.take();
}

export function encodeValue({ item }: Pick<RetainedValue, "item">): Buffer {
  return Buffer.concat([Buffer.of(RetainedItem.VALUE), item]);
}

export function encodeEnd(question: number): Buffer {
  out.byte(RetainedItem.END);
  out.uint(question);
  return out.take();
}

/**
 * @param reader after the question
 * @returns the filters of an ASK; `undefined`: it is malformed
 */
export function readFilters(reader: Reader): string[] | undefined {
  const filters = reader.texts(MAX_ASK_FILTERS, MAX_TOPIC);
  const isWhole = !reader.failed && reader.at === reader.end;
  return isWhole && filters.every((filter) => filterFault(filter) === undefined) ? filters : undefined;
}
