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
import { LatestMap, MAX_MEMBERS } from "../bounds.js";
import { type Reader, Writer } from "../compact.js";
import { MAX_ASK_FILTERS, MAX_TOPIC } from "./bounds.js";
import { MessageKind, type SendResult } from "./parts.js";
import type { RetainedValue } from "./retained-values.js";
import type { MessagingState } from "./state.js";
import type { Subscription } from "./subscription.js";
import { filterFault, matches } from "./topics.js";

export const RetainedItem = { ASK: 0x11, VALUE: 0x12, END: 0x13, AGAIN: 0x14 } as const;

const AGAIN = Buffer.from([RetainedItem.AGAIN]);
/** Reused for one item at a time. */
const out = new Writer();

interface Question {
  readonly number: number;
  readonly filters: readonly string[];
}

/** A member, with the questions to it, one at a time, and those that it asked. */
class Peer {
  /** Whether it was asked for the readers' filters when it was met. */
  isMet = false;
  /** To be asked for. */
  readonly filters = new Set<string>();
  /** Settles when all questions have ended; `undefined`: none is open. */
  asking: Promise<void> | undefined = undefined;
  /** Of the current question. */
  number = 0;
  end: () => void = ignore;
  hasAsked: boolean;
  /** Its last question, until it is answered. */
  question: Question | undefined = undefined;
  isAnswering = false;

  constructor(hasAsked: boolean) {
    this.hasAsked = hasAsked;
  }

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
  readonly #messaging: MessagingState;
  readonly #readers = new Set<Subscription>();
  readonly #peers = new Map<string, Peer>();
  /** Lost or gone members that have asked: they may return without having noticed. */
  readonly #gone = new LatestMap<string, true>(MAX_MEMBERS);
  /** ms of answers between turns of the event loop. */
  readonly #budget = new TurnBudget(1);
  #number = 0;
  #isClosed = false;

  constructor(messaging: MessagingState) {
    this.#messaging = messaging;
  }

  #peerOf(id: string): Peer {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      peer = new Peer(this.#gone.has(id));
      this.#peers.set(id, peer);
    }
    return peer;
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
    const asked = this.#messaging.peers().map((id) => this.#ask(id, [subscription]));
    await withTimeout(Promise.all(asked), 5_000);
  }

  forget(subscription: Subscription): void {
    this.#readers.delete(subscription);
  }

  onMember(id: string): void {
    if (this.#isClosed || this.#peers.get(id)?.isMet || !this.#messaging.peers().includes(id)) return;
    this.#peerOf(id).isMet = true;
    if (this.#gone.delete(id)) void this.#send(id, () => AGAIN);
    void this.#ask(id, this.#readers);
  }

  onAgain(from: string): void {
    this.#peers.get(from)?.end();
    void this.#ask(from, this.#readers);
  }

  /** The link to a member lost items. */
  onLost(id: string): void {
    const peer = this.#peers.get(id);
    if (this.#isClosed || peer === undefined) return;
    if (peer.hasAsked) void this.#send(id, () => AGAIN);
    if (peer.asking !== undefined) this.onAgain(id);
  }

  onGone(id: string): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#peers.delete(id);
    if (peer.hasAsked) this.#gone.set(id, true);
    this.#drop(peer);
  }

  #drop(peer: Peer): void {
    peer.question = undefined;
    peer.filters.clear();
    peer.end();
  }

  onEnd(from: string, number: number): void {
    const peer = this.#peers.get(from);
    if (peer?.number === number) peer.end();
  }

  #ask(id: string, readers: Iterable<Subscription>): Promise<void> {
    const peer = this.#peerOf(id);
    for (const { filter } of readers) peer.filters.add(filter);
    if (peer.filters.size === 0) return Promise.resolve();
    peer.asking ??= this.#askAll(id, peer);
    return peer.asking;
  }

  async #askAll(id: string, peer: Peer): Promise<void> {
    for (let some = peer.take(); some.length > 0; some = peer.take()) {
      this.#number = (this.#number + 1) >>> 0;
      const question = encodeAsk(this.#number, some);
      peer.number = this.#number;
      const ended = new Promise<void>((resolve) => {
        peer.end = resolve;
      });
      if ((await this.#send(id, () => question)) === "sent") await ended;
    }
    peer.asking = undefined;
  }

  // --- Answering -------------------------------------------------------------------------------------------------------

  onAsk(from: string, question: Question): void {
    const peer = this.#peerOf(from);
    peer.hasAsked = true;
    peer.question = question;
    if (!peer.isAnswering) void this.#answerAll(from, peer);
  }

  /** The last question at a time: a member may ask without reading. */
  async #answerAll(to: string, peer: Peer): Promise<void> {
    peer.isAnswering = true;
    for (let next = peer.question; next !== undefined; next = peer.question) {
      await this.#answer(to, peer, next);
      if (peer.question === next) peer.question = undefined;
    }
    peer.isAnswering = false;
  }

  async #answer(to: string, peer: Peer, question: Question): Promise<void> {
    const { number, filters } = question;
    const { values } = this.#messaging.retained;
    const isCurrent = (): boolean => peer.question === question;
    for (const topic of [...values.keys()]) {
      if (this.#budget.spend()) await new Promise((resolve) => setImmediate(resolve));
      if (!isCurrent()) return;
      if (!filters.some((filter) => matches(filter, topic))) continue;
      // Read when there is room: a later publication was sent before.
      const result = await this.#send(to, () => {
        const value = isCurrent() ? values.get(topic) : undefined;
        return value === undefined ? undefined : encodeValue(value);
      });
      if (result === "unreachable") return;
    }
    await this.#send(to, () => (isCurrent() ? encodeEnd(number) : undefined));
  }

  /** Waits for room: a slow peer delays only its own answers. @param item `undefined`: nothing is to be sent */
  async #send(to: string, item: () => Buffer | undefined): Promise<SendResult> {
    const { links, drops } = this.#messaging;
    for (;;) {
      const bytes = item();
      const result = bytes === undefined ? "sent" : links.send(to, MessageKind.RETAINED, bytes);
      if (result === "too-large") drops.dropped("size", to, "$retained");
      if (result !== "full") return result;
      if (this.#isClosed || !(await links.room(to, bytes?.length))) return "unreachable";
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#readers.clear();
    for (const peer of this.#peers.values()) this.#drop(peer);
  }
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
