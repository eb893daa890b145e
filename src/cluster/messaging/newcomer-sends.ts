/**
 * Messages for new members, whose interest is not known yet. Messages are kept in order, once for all such members,
 * until a member's interest is known: then it gets those of its topics, before any later one. Bounded in counts and
 * bytes; the routes bound the time.
 *
 *   publish ──> members whose interest is known: at once
 *           └─> kept ── interest of a member is known ──> those of its topics to that member, in order
 */
import type { TopicPlan } from "./topic-plan.js";

export class KeptPublish {
  readonly plan: TopicPlan;
  readonly item: Buffer;
  readonly bytes: number;
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
    this.bytes = item.length;
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

export interface NewcomerSendsEffects {
  /** Current ids of the members with interest. */
  targets(plan: TopicPlan): readonly string[];
  send(to: string, message: KeptPublish): void;
}

export class NewcomerSends {
  readonly #most: number;
  readonly #mostBytes: number;
  readonly #effects: NewcomerSendsEffects;
  /** By awaited member: the number of the first message kept for it. */
  readonly #members = new Map<string, number>();
  /** Awaited members whose interest is known now. */
  readonly #settled = new Set<string>();
  readonly #kept: KeptPublish[] = [];
  /** The number of the first kept message. */
  #first = 0;
  #bytes = 0;

  constructor(most: number, mostBytes: number, effects: NewcomerSendsEffects) {
    this.#most = most;
    this.#mostBytes = mostBytes;
    this.#effects = effects;
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
    let isNew = false;
    for (const id of unsettled.keys()) {
      if (this.#members.has(id)) continue;
      this.#members.set(id, this.#first + this.#kept.length);
      isNew = true;
    }
    return isNew;
  }

  /** Keeps a message for all awaited members. */
  keep(message: KeptPublish): void {
    message.missing = this.#members.size;
    this.#kept.push(message);
    this.#bytes += message.bytes;
  }

  /**
   * A member's interest is known, or it is gone, or time is up. Several members that settle in one turn go together.
   */
  onSettled(id: string): void {
    if (!this.#members.has(id)) return;
    if (this.#settled.size === 0) queueMicrotask(() => this.#flush());
    this.#settled.add(id);
  }

  /** Ends all waits. */
  close(): void {
    for (const id of this.#members.keys()) this.#settled.add(id);
    this.#flush();
  }

  #flush(): void {
    if (this.#settled.size === 0) return;
    const begins = [...this.#settled].map((id) => this.#members.get(id) as number).sort((a, b) => a - b);
    let begun = 0;
    for (let i = Math.max(0, (begins[0] as number) - this.#first); i < this.#kept.length; i++) {
      const number = this.#first + i;
      while (begun < begins.length && (begins[begun] as number) <= number) begun += 1;
      const message = this.#kept[i] as KeptPublish;
      if (!message.isOver)
        for (const id of this.#effects.targets(message.plan))
          if (this.#settled.has(id) && (this.#members.get(id) as number) <= number)
            this.#effects.send(id, message);
      message.missing -= begun;
      if (message.missing === 0) message.end();
    }
    for (const id of this.#settled) this.#members.delete(id);
    this.#settled.clear();
    this.#release();
  }

  /** Drops messages without an awaited member. */
  #release(): void {
    let next = this.#first + this.#kept.length;
    for (const begin of this.#members.values()) next = Math.min(next, begin);
    for (const { bytes } of this.#kept.splice(0, next - this.#first)) this.#bytes -= bytes;
    this.#first = next;
  }
}
