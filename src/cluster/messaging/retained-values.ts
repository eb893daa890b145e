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
