/**
 * Messages for new members, whose interest is not known yet: kept once for all such members, in order. A member whose
 * interest is known gets those of its topics, before any later one. Bounded in counts and bytes; the routes bound the
 * time.
 */
import { RingBuffer } from "../../core/collections/ring-buffer.js";
import type { TopicPlan } from "./topic-plan.js";

export class KeptPublish {
  readonly plan: TopicPlan;
  readonly item: Buffer;
  /** Whether a copy waits for room (`onFull: "wait"`), and until when; infinite: no limit. */
  readonly waits: boolean;
  readonly deadline: number;
  /** Copies that wait for room. */
  readonly copies: Promise<boolean>[] = [];
  /** Members that took it. */
  sent = 0;
  /** Members whose interest it awaits. */
  missing = 0;
  /** Given up: no further member gets it. */
  isOver = false;
  done: (() => void) | undefined = undefined;

  constructor(plan: TopicPlan, item: Buffer, waits: boolean, deadline: number) {
    this.plan = plan;
    this.item = item;
    this.waits = waits;
    this.deadline = deadline;
  }

  /** No more members will get it. */
  end(): void {
    this.isOver = true;
    this.done?.();
    this.done = undefined;
  }
}

export class NewcomerSends {
  readonly #most: number;
  readonly #mostBytes: number;
  /** By awaited member: the number of the first message kept for it. */
  readonly #members = new Map<string, number>();
  readonly #kept = new RingBuffer<KeptPublish>();
  /** The number of the first kept message. */
  #first = 0;
  #bytes = 0;

  constructor(most: number, mostBytes: number) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  get count(): number {
    return this.#kept.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get members(): Iterable<string> {
    return this.#members.keys();
  }

  /** Whether messages for a member are kept, which later ones must not pass. */
  has(id: string): boolean {
    return this.#members.has(id);
  }

  /** Whether one more of this size is too much. */
  isFull(bytes: number): boolean {
    return this.#kept.length >= this.#most || this.#bytes + bytes > this.#mostBytes;
  }

  /** Keeps messages for these members from now on. @returns whether one of them is new */
  meet(unsettled: ReadonlyMap<string, unknown>): boolean {
    const before = this.#members.size;
    for (const id of unsettled.keys())
      if (!this.#members.has(id)) this.#members.set(id, this.#first + this.#kept.length);
    return this.#members.size > before;
  }

  /** Keeps a message for all awaited members. */
  keep(message: KeptPublish): void {
    message.missing = this.#members.size;
    this.#kept.push(message);
    this.#bytes += message.item.length;
  }

  /** A member's interest is known, or it is gone, or time is up. @param send called with each message for it */
  onSettled(id: string, send: (message: KeptPublish) => void): void {
    const first = this.#members.get(id);
    if (first === undefined) return;
    this.#members.delete(id);
    // A listener of drops may publish: what is kept then is not for this member.
    const end = this.#kept.length;
    for (let i = first - this.#first; i < end; i++) {
      const message = this.#kept.at(i) as KeptPublish;
      if (!message.isOver) send(message);
      message.missing -= 1;
      if (message.missing === 0) message.end();
    }
    // Earlier messages await no more members than later ones.
    while (this.#kept.peek()?.missing === 0) {
      this.#bytes -= (this.#kept.shift() as KeptPublish).item.length;
      this.#first += 1;
    }
  }
}
