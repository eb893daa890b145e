/**
 * Queue of updates to spread: the latest about each member, least transmitted first, each a limited number of times.
 *
 *   transmitted 0 { c d }   1 { a }   2 { }   3 { b }   … limit
 *
 * An update supersedes the previous one with its key. Details and removals have separate keys.
 */
import { MAX_GOSSIP, MAX_UPDATES } from "../bounds.js";
import { NO_UPDATES, type Update, UpdateKind } from "../wire/packets.js";

interface Item {
  readonly key: string;
  readonly update: Update;
  transmitted: number;
}

function keyOf(update: Update): string {
  switch (update.kind) {
    case UpdateKind.DETAILS:
      return `d${update.id}`;
    case UpdateKind.REMOVAL:
      return `r${update.id}`;
    default:
      return update.id;
  }
}

export class GossipQueue {
  readonly #items = new Map<string, Item>();
  readonly #levels: Set<Item>[] = [];

  get size(): number {
    return this.#items.size;
  }

  /** @returns whether a full queue dropped the oldest update */
  push(update: Update): boolean {
    const key = keyOf(update);
    // A faulty member may gossip about any number of nonexistent nodes.
    const isFull = this.#items.size >= MAX_GOSSIP && !this.#items.has(key);
    const [oldest] = isFull ? this.#items.keys() : [];
    this.drop(oldest ?? key);
    const item = { key, update, transmitted: 0 };
    this.#items.set(key, item);
    this.#level(0).add(item);
    return isFull;
  }

  /** Keeps details and removals, which have other keys. */
  drop(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#items.delete(key);
    this.#level(item.transmitted).delete(item);
  }

  /**
   * Takes updates for one packet; each counts as transmitted.
   *
   * @param room bytes
   * @param limit transmissions of an update
   */
  take(room: number, limit: number): readonly Update[] {
    if (this.#items.size === 0) return NO_UPDATES;
    const taken: Item[] = [];
    let left = room;
    for (const level of this.#levels)
      for (const item of level) {
        // Stops at the first update that does not fit: trying all is expensive when a large cluster starts.
        if (item.update.size > left || taken.length >= MAX_UPDATES - 2) break;
        left -= item.update.size;
        taken.push(item);
      }
    for (const item of taken) {
      this.#level(item.transmitted).delete(item);
      item.transmitted += 1;
      if (item.transmitted < limit) this.#level(item.transmitted).add(item);
      else this.#items.delete(item.key);
    }
    return taken.length === 0 ? NO_UPDATES : taken.map(({ update }) => update);
  }

  #level(at: number): Set<Item> {
    while (this.#levels.length <= at) this.#levels.push(new Set());
    return this.#levels[at] as Set<Item>;
  }
}
