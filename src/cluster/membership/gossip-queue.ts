/**
 * Updates that wait to be spread: the latest about each member, the least transmitted first, each a limited number of times.
 *
 *   transmitted 0 [ c d ]   1 [ a ]   2 [ ]   3 [ b ]   … limit
 *
 * One about a member supersedes the one before of the same key; details and removals have keys of their own.
 */
import { MAX_GOSSIP, MAX_UPDATES } from "../bounds.js";
import { NO_UPDATES, type Update, UpdateKind } from "../wire/packets.js";

/** Superseded items that are kept, beyond as many as there are others. */
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
  /** By how often it was transmitted. */
  #levels: Item[][] = [];
  /** Items in the levels, superseded ones included. */
  #places = 0;

  get size(): number {
    return this.#items.size;
  }

  /** Updates that are held, superseded ones included. */
  get places(): number {
    return this.#places;
  }

  /** @returns whether the oldest was dropped for it, because too many wait */
  push(update: Update): boolean {
    const key = keyOf(update);
    const before = this.#items.get(key);
    if (before !== undefined) before.superseded = true;
    // A member may speak of nodes that were forgotten since, and of ever more that never were.
    const isFull = before === undefined && this.#items.size >= MAX_GOSSIP;
    const [oldest] = isFull ? this.#items.keys() : [];
    if (oldest !== undefined) this.drop(oldest);
    const item = { key, update, superseded: false };
    this.#items.set(key, item);
    this.#level(0).push(item);
    this.#places += 1;
    // Where nobody is there to take them, what is superseded would pile up.
    if (this.#places > 2 * this.#items.size + SLACK) this.#compact();
    return isFull;
  }

  /** What is said about a member is not said any more. @param key its id: details and removals stay */
  drop(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    item.superseded = true;
    this.#items.delete(key);
  }

  /**
   * Updates for one packet; each counts as transmitted once more.
   *
   * @param room bytes
   * @param limit transmissions after which a piece is dropped
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
      // In order, up to the first that does not fit: a walk through all would cost a large cluster's start dearly.
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
