/**
 * Queue of updates to spread: the latest about each member, least transmitted first, each a limited number of times.
 *
 *   transmitted 0 [ c d ]   1 [ a ]   2 [ ]   3 [ b ]   … limit
 *
 * An update supersedes the previous one with its key. Details and removals have separate keys.
 */
import { MAX_GOSSIP, MAX_UPDATES } from "../bounds.js";
import { NO_UPDATES, type Update, UpdateKind } from "../wire/packets.js";

/** Superseded items beyond the number of current ones. */
const SLACK = 64;

interface Item {
  readonly key: string;
  readonly update: Update;
  superseded: boolean;
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
  #levels: Item[][] = [];
  #places = 0;

  get size(): number {
    return this.#items.size;
  }

  /** Includes superseded updates. */
  get places(): number {
    return this.#places;
  }

  /** @returns whether a full queue dropped the oldest update */
  push(update: Update): boolean {
    const key = keyOf(update);
    const before = this.#items.get(key);
    if (before !== undefined) before.superseded = true;
    // A faulty member may gossip about any number of nonexistent nodes.
    const isFull = before === undefined && this.#items.size >= MAX_GOSSIP;
    const [oldest] = isFull ? this.#items.keys() : [];
    if (oldest !== undefined) this.drop(oldest);
    const item = { key, update, superseded: false };
    this.#items.set(key, item);
    this.#level(0).push(item);
    this.#places += 1;
    // Superseded items would pile up if no member received gossip.
    if (this.#places > 2 * this.#items.size + SLACK) this.#compact();
    return isFull;
  }

  /** Keeps details and removals, which have other keys. */
  drop(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    item.superseded = true;
    this.#items.delete(key);
  }

  /**
   * Takes updates for one packet; each counts as transmitted.
   *
   * @param room bytes
   * @param limit transmissions of an update
   */
  take(room: number, limit: number): readonly Update[] {
    if (this.#items.size === 0) return NO_UPDATES;
    const taken: Update[] = [];
    let left = room;
    const moved: Item[] = [];
    const levels: number[] = [];
    for (let at = 0; at < this.#levels.length && taken.length < MAX_UPDATES - 2; at++) {
      const level = this.#levels[at] as Item[];
      let end = 0;
      // Stops at the first update that does not fit: trying all is expensive when a large cluster starts.
      for (; end < level.length; end++) {
        const item = level[end] as Item;
        if (item.superseded) continue;
        if (item.update.size > left || taken.length >= MAX_UPDATES - 2) break;
        left -= item.update.size;
        taken.push(item.update);
        if (at + 1 >= limit) this.#items.delete(item.key);
        else {
          moved.push(item);
          levels.push(at + 1);
        }
      }
      if (end > 0) level.splice(0, end);
      this.#places -= end;
    }
    for (let i = 0; i < moved.length; i++) this.#level(levels[i] as number).push(moved[i] as Item);
    this.#places += moved.length;
    if (this.#items.size === 0) {
      this.#levels = [];
      this.#places = 0;
    }
    return taken.length === 0 ? NO_UPDATES : taken;
  }

  #compact(): void {
    this.#levels = this.#levels.map((level) => level.filter(({ superseded }) => !superseded));
    this.#places = this.#levels.reduce((sum, { length }) => sum + length, 0);
  }

  #level(at: number): Item[] {
    while (this.#levels.length <= at) this.#levels.push([]);
    return this.#levels[at] as Item[];
  }
}
