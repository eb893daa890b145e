/**
 * What an XPUB's program has not read yet of what its peers have sent, in order. Pure.
 *
 * A peer that leaves takes back what it has said in vain, since peers that come and go must not fill the queue of a program that
 * does not read: an echo, and a subscription together with its end. Messages stay, as many as the queue holds.
 *
 * What is taken back stays in the queue, marked, until it is more than half of it: peers that leave cost what they have said,
 * and not what all have.
 */
import { RingBuffer } from "../../../core/collections/ring-buffer.js";
import { costOf } from "../../../core/frame-cost.js";
import { keyOf } from "../../../core/memory.js";

export const SUBSCRIBE = 1;
export const CANCEL = 0;

/** Marked ones that stay in any case. */
const SLACK = 32;

/**
 * `change`: a subscription or cancellation that changed what is asked for; `echo`: one that changed nothing, which the program is
 * to get all the same; `message`: anything else; `left`: a message whose peer has gone; `void`: taken back.
 */
export type NoticeKind = "change" | "echo" | "message" | "left" | "void";

/** A message for the program. */
export interface Notice<P> {
  readonly frames: Buffer[];
  /** Who caused it; undefined once that peer has gone. */
  peer: P | undefined;
  kind: NoticeKind;
  /** Of a change or an echo: one character a byte. */
  readonly prefix: string | undefined;
  /** Of its frames (core/frame-cost.ts). */
  readonly cost: number;
}

export class Notices<P> {
  readonly #queue = new RingBuffer<Notice<P>>();
  /** Those of each peer, and the changes and echoes of each prefix: in order, marked ones among them. */
  readonly #byPeer = new Map<P, RingBuffer<Notice<P>>>();
  readonly #byPrefix = new Map<string, RingBuffer<Notice<P>>>();
  #cost = 0;
  #voided = 0;
  /** Messages of peers that have gone. */
  #left = 0;
  #leftCost = 0;

  get length(): number {
    return this.#queue.length - this.#voided;
  }

  get cost(): number {
    return this.#cost;
  }

  push(frames: Buffer[], peer: P | undefined, kind: NoticeKind): void {
    const cost = costOf(frames);
    const prefix = kind === "message" ? undefined : keyOf(frames[0] as Buffer, 1);
    const notice = { frames, peer, kind, prefix, cost };
    this.#queue.push(notice);
    this.#cost += cost;
    this.#list(notice);
  }

  /** A cancellation of what peers that have gone had asked for. */
  pushEnd(prefix: string): void {
    this.push([Buffer.concat([Buffer.of(CANCEL), Buffer.from(prefix, "latin1")])], undefined, "change");
  }

  shift(): Notice<P> | undefined {
    for (;;) {
      const notice = this.#queue.shift();
      if (notice === undefined) return undefined;
      if (notice.kind === "void") {
        this.#voided -= 1;
        continue;
      }
      this.#forget(notice);
      if (notice.peer !== undefined) unlist(this.#byPeer, notice.peer, notice);
      if (notice.prefix !== undefined) unlist(this.#byPrefix, notice.prefix, notice);
      if (this.length === 0) this.#clear();
      return notice;
    }
  }

  /**
   * A peer has gone: its echoes go, and its messages past a bound; one message stays, however large.
   *
   * @param each the program gets the changes of each peer, and not of all together: what this one has changed is settled
   * @param maxMessages of all peers that have gone
   * @param maxCost of those
   * @returns the prefixes that it had changed, one character a byte, and how many messages were dropped
   */
  leave(
    peer: P,
    each: boolean,
    maxMessages: number,
    maxCost: number,
  ): { changed: Set<string>; dropped: number } {
    const changed = new Set<string>();
    let dropped = 0;
    const notices = this.#byPeer.get(peer);
    this.#byPeer.delete(peer);
    for (let notice = notices?.shift(); notice !== undefined; notice = notices?.shift()) {
      notice.peer = undefined;
      if (notice.kind === "change") {
        const prefix = notice.prefix as string;
        if (each && (changed.has(prefix) || !isEnd(notice))) this.#void(notice);
        changed.add(prefix);
      } else if (notice.kind === "echo") this.#void(notice);
      else if (notice.kind === "message") {
        const { cost } = notice;
        if (this.#left >= maxMessages || (this.#left > 0 && this.#leftCost + cost > maxCost)) {
          dropped += 1;
          this.#void(notice);
          continue;
        }
        notice.kind = "left";
        this.#left += 1;
        this.#leftCost += cost;
      }
    }
    this.#compact();
    return { changed, dropped };
  }

  /**
   * Takes back what is unread of prefixes and comes to nothing. The first unread notice shows what the program believes: where
   * that is how it is, all changes go; else one stays. Echoes of peers that are there stay where they say how it is.
   *
   * @param isAsked whether anybody has a prefix now
   * @returns the prefixes of which there was any change
   */
  settle(prefixes: Iterable<string>, isAsked: (prefix: string) => boolean): Set<string> {
    const settled = new Set<string>();
    for (const prefix of prefixes) {
      const notices = this.#byPrefix.get(prefix);
      if (notices === undefined) continue;
      this.#byPrefix.delete(prefix);
      const asked = isAsked(prefix);
      let believed: boolean | undefined;
      let stays = false;
      for (let notice = notices.shift(); notice !== undefined; notice = notices.shift()) {
        if (notice.kind === "void") continue;
        const isChange = notice.kind === "change";
        // A subscription that changes nothing is one of what somebody has, a cancellation one of what nobody has.
        believed ??= isChange === isEnd(notice);
        if (isChange) settled.add(prefix);
        // Of changes the first: echoes of it come behind it.
        if (isEnd(notice) === asked || (isChange && (believed === asked || stays))) this.#void(notice);
        else {
          stays ||= isChange;
          enlist(this.#byPrefix, prefix, notice);
        }
      }
    }
    this.#compact();
    return settled;
  }

  #list(notice: Notice<P>): void {
    if (notice.peer !== undefined) enlist(this.#byPeer, notice.peer, notice);
    if (notice.prefix !== undefined) enlist(this.#byPrefix, notice.prefix, notice);
  }

  /** It is in the queue no more, or as if it were not. */
  #forget({ kind, cost }: Notice<P>): void {
    this.#cost -= cost;
    if (kind !== "left") return;
    this.#left -= 1;
    this.#leftCost -= cost;
  }

  #void(notice: Notice<P>): void {
    this.#forget(notice);
    notice.kind = "void";
    this.#voided += 1;
  }

  #compact(): void {
    if (this.length === 0) this.#clear();
    if (this.#voided <= SLACK || this.#voided <= this.length) return;
    this.#byPeer.clear();
    this.#byPrefix.clear();
    this.#queue.retain((notice) => {
      if (notice.kind === "void") return false;
      this.#list(notice);
      return true;
    });
    this.#voided = 0;
  }

  /** Nothing is unread. */
  #clear(): void {
    this.#queue.clear();
    this.#byPeer.clear();
    this.#byPrefix.clear();
    this.#voided = 0;
  }
}

function listOf<P>(notice: Notice<P>): RingBuffer<Notice<P>> {
  const list = new RingBuffer<Notice<P>>(2);
  list.push(notice);
  return list;
}

function enlist<K, P>(lists: Map<K, RingBuffer<Notice<P>>>, key: K, notice: Notice<P>): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, listOf(notice));
  else list.push(notice);
}

/** Of a list the first that is not marked was read: those before it go, too. */
function unlist<K, P>(lists: Map<K, RingBuffer<Notice<P>>>, key: K, read: Notice<P>): void {
  const list = lists.get(key);
  if (list === undefined) return;
  while (list.length > 0 && list.shift() !== read);
  if (list.length === 0) lists.delete(key);
}

function isEnd({ frames }: Notice<unknown>): boolean {
  return (frames[0] as Buffer)[0] === CANCEL;
}
