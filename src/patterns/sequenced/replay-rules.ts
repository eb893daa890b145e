/**
 * Asking publishers for messages again, a page at a time. Pure.
 *
 *   request ──ask──> asked ──END more──> asked for the next page
 *                      │ ├──END done, or the stream is gone──> settled
 *                      │ ├──END another publisher──> the next link, or settled without a message
 *                      │ └──silent for `retryInterval`──> asked again from where it is
 *                      └── `timeout`──> failed
 *
 * Which link leads to which publisher is learned from their answers: a new one is
 * asked for on all links in turn.
 */

import { Link } from "../../core/collections/linked-list.js";
import { Deadlines, type Due } from "../../core/deadlines.js";
import { EndStatus, encodeRequest, Kind, parseAnswer, parseEnd, parseMeta } from "./protocol.js";
import type { SequenceRange } from "./stream-table.js";

/** What replays are bounded by. */
export interface ReplayRulesOptions {
  /** ms of silence after which the same page is asked for again. */
  readonly retryInterval: number;
  /** Replays under way at once. */
  readonly maxReplays: number;
}

/** A replayed message: its sequence, time and body. */
export interface ReplayedFrames {
  readonly sequence: number;
  /** ms since 1970 by the publisher's clock. */
  readonly time: number;
  readonly body: Buffer[];
}

/** Why a replay ended. */
export type ReplayOutcome =
  /** All that the publisher still has of the range. */
  | "done"
  /** The publisher has forgotten the topic. */
  | "gone"
  /** No link leads to this publisher: it has ended, or has another replay endpoint. */
  | "unknown-publisher"
  | "timeout";

/** What replays do to the world. */
export interface ReplayOutbox {
  send(link: number, frames: Buffer[]): void;
  settled(call: number, outcome: ReplayOutcome, messages: ReplayedFrames[]): void;
}

/** Accounts of replays. */
export interface ReplayStats {
  readonly requests: number;
  readonly replayed: number;
  readonly retries: number;
  readonly pending: number;
  /** Answers to requests that nobody waits for any more, and answers that are none. */
  readonly late: number;
  readonly invalid: number;
}

interface Call extends Due {
  readonly id: number;
  readonly range: SequenceRange;
  readonly publisher: string;
  readonly topic: Buffer;
  readonly end: number;
  readonly messages: ReplayedFrames[];
  /** Links that lead to other publishers. */
  readonly wrong: Set<number>;
  /** The next sequence that is missing. */
  next: number;
  link: number;
  /** Of the request under way: an answer to an earlier one is late. */
  number: number;
}

export class ReplayRules {
  readonly #options: ReplayRulesOptions;
  readonly #outbox: ReplayOutbox;
  readonly #calls = new Map<number, Link<Call>>();
  readonly #byNumber = new Map<number, Link<Call>>();
  readonly #deadlines = new Deadlines<Call>();
  /** The publisher that answered on each link last, one character a byte. */
  readonly #publishers: (string | undefined)[] = [];
  #numbers = 0;
  #requests = 0;
  #replayed = 0;
  #retries = 0;
  #late = 0;
  #invalid = 0;

  constructor(options: ReplayRulesOptions, outbox: ReplayOutbox) {
    this.#options = options;
    this.#outbox = outbox;
  }

  /** Another replay endpoint. @returns its number */
  addLink(): number {
    return this.#publishers.push(undefined) - 1;
  }

  get room(): number {
    return this.#options.maxReplays - this.#calls.size;
  }

  /**
   * @param id what `settled` will name; nobody else's. It may do so before this returns
   * @param timeout ms of all pages together
   */
  request(id: number, range: SequenceRange, timeout: number, now: number): void {
    const call: Call = {
      id,
      range,
      publisher: Buffer.from(range.publisher, "hex").toString("latin1"),
      topic: range.topic,
      end: now + timeout,
      messages: [],
      wrong: new Set(),
      next: range.from,
      link: -1,
      number: 0,
      deadline: 0,
    };
    const link = new Link(call);
    this.#calls.set(call.id, link);
    this.#requests += 1;
    this.#choose(link, now);
  }

  /** The caller waits no more. */
  cancel(id: number): void {
    const link = this.#calls.get(id);
    if (link !== undefined) this.#remove(link);
  }

  /** Something came over a link. */
  receive(from: number, frames: readonly Buffer[], now: number): void {
    const head = frames[0] as Buffer;
    const end = frames.length === 1 ? parseEnd(head) : undefined;
    const number = end?.number ?? parseAnswer(head);
    if (number === undefined) {
      this.#invalid += 1;
      return;
    }
    const link = this.#byNumber.get(number);
    if (link === undefined || link.value.link !== from) {
      this.#late += 1;
      return;
    }
    if (end === undefined) this.#message(link, frames, now);
    else {
      this.#publishers[from] = end.publisher;
      this.#ended(link, end.status, now);
    }
  }

  tick(now: number): void {
    for (const call of this.#deadlines.take(now)) {
      const link = this.#calls.get(call.id) as Link<Call>;
      if (now >= call.end) {
        this.#settle(link, "timeout");
        continue;
      }
      this.#retries += 1;
      this.#ask(link, now);
    }
  }

  nextWakeUp(): number | undefined {
    return this.#deadlines.next();
  }

  stats(): ReplayStats {
    return {
      requests: this.#requests,
      replayed: this.#replayed,
      retries: this.#retries,
      pending: this.#calls.size,
      late: this.#late,
      invalid: this.#invalid,
    };
  }

  #message(link: Link<Call>, frames: readonly Buffer[], now: number): void {
    const call = link.value;
    const [, topic, second, ...body] = frames;
    const meta = second === undefined ? undefined : parseMeta(second);
    const fits =
      meta?.kind === Kind.MESSAGE &&
      meta.publisher === call.publisher &&
      meta.stream === call.range.stream &&
      topic?.equals(call.topic) === true &&
      body.length > 0 &&
      meta.sequence >= call.next &&
      meta.sequence <= call.range.to;
    if (!fits) {
      this.#invalid += 1;
      return;
    }
    this.#replayed += 1;
    call.messages.push({ sequence: meta.sequence, time: meta.time / 1_000, body });
    call.next = meta.sequence + 1;
    this.#arm(link, now);
  }

  #ended(link: Link<Call>, status: EndStatus, now: number): void {
    const call = link.value;
    if (status === EndStatus.OTHER_PUBLISHER) {
      call.wrong.add(call.link);
      this.#choose(link, now);
    } else if (status === EndStatus.MORE && call.next <= call.range.to) this.#ask(link, now);
    else this.#settle(link, status === EndStatus.GONE ? "gone" : "done");
  }

  /** Asks on the link that led to the publisher last, or on the next that was not asked yet. */
  #choose(link: Link<Call>, now: number): void {
    const call = link.value;
    const known = this.#publishers.indexOf(call.publisher);
    const untried = this.#publishers.findIndex((_, index) => !call.wrong.has(index));
    call.link = known >= 0 && !call.wrong.has(known) ? known : untried;
    if (call.link < 0) this.#settle(link, "unknown-publisher");
    else this.#ask(link, now);
  }

  #ask(link: Link<Call>, now: number): void {
    const call = link.value;
    this.#byNumber.delete(call.number);
    this.#numbers = (this.#numbers + 1) >>> 0;
    call.number = this.#numbers;
    this.#byNumber.set(call.number, link);
    this.#arm(link, now);
    const { publisher, next, number } = call;
    const { stream, to } = call.range;
    this.#outbox.send(call.link, [encodeRequest({ publisher, stream, from: next, to, number }), call.topic]);
  }

  #arm(link: Link<Call>, now: number): void {
    const left = Math.max(link.value.end - now, 0);
    this.#deadlines.set(link, now, Math.min(this.#options.retryInterval, left));
  }

  #settle(link: Link<Call>, outcome: ReplayOutcome): void {
    this.#remove(link);
    this.#outbox.settled(link.value.id, outcome, link.value.messages);
  }

  #remove(link: Link<Call>): void {
    link.unlink();
    this.#calls.delete(link.value.id);
    this.#byNumber.delete(link.value.number);
  }
}
