/**
 * What an XPUB's program has not read yet of what its peers have sent, in order. Pure.
 *
 * A peer that leaves takes back what it has said in vain, since peers that come and go must not fill the queue of a program that
 * does not read: an echo, and a subscription together with its end. Messages stay, as many as the queue holds.
 */
import { RingBuffer } from "../../../core/collections/ring-buffer.js";
import { keyOf } from "../../../core/memory.js";

export const SUBSCRIBE = 1;
export const CANCEL = 0;

/**
 * `change`: a subscription or cancellation that changed what is asked for; `echo`: one that changed nothing, which the program is
 * to get all the same; `message`: anything else; `left`: a message whose peer has gone.
 */
export type NoticeKind = "change" | "echo" | "message" | "left";

/** A message for the program. */
export interface Notice<P> {
  readonly frames: Buffer[];
  /** Who caused it; undefined once that peer has gone. */
  peer: P | undefined;
  kind: NoticeKind;
}

export class Notices<P> {
  readonly #queue = new RingBuffer<Notice<P>>();
  #bytes = 0;
  /** Messages of peers that have gone. */
  #left = 0;
  #leftBytes = 0;

  get length(): number {
    return this.#queue.length;
  }

  /** Of all frames. */
  get bytes(): number {
    return this.#bytes;
  }

  push(frames: Buffer[], peer: P | undefined, kind: NoticeKind): void {
    const notice = { frames, peer, kind };
    this.#queue.push(notice);
    this.#bytes += bytesOf(notice);
  }

  /** A cancellation of what peers that have gone had asked for. */
  pushEnd(prefix: string): void {
    this.push([Buffer.concat([Buffer.of(CANCEL), Buffer.from(prefix, "latin1")])], undefined, "change");
  }

  shift(): Notice<P> | undefined {
    const notice = this.#queue.shift();
    if (notice !== undefined) this.#forget(notice);
    return notice;
  }

  /**
   * A peer has gone: its echoes go, and its messages past a bound.
   *
   * @param each the program gets the changes of each peer, and not of all together: what this one has changed is settled
   * @param maxMessages of all peers that have gone
   * @param maxBytes of those
   * @returns the prefixes that it had changed, one character a byte, and how many messages were dropped
   */
  leave(
    peer: P,
    each: boolean,
    maxMessages: number,
    maxBytes: number,
  ): { changed: Set<string>; dropped: number } {
    const changed = new Set<string>();
    let dropped = 0;
    this.#retain((notice) => {
      if (notice.peer !== peer) return true;
      notice.peer = undefined;
      if (notice.kind === "change") {
        const settles = each && (changed.has(prefixOf(notice)) || !isEnd(notice));
        changed.add(prefixOf(notice));
        return !settles;
      }
      if (notice.kind === "echo") return false;
      const bytes = bytesOf(notice);
      if (this.#left >= maxMessages || this.#leftBytes + bytes > maxBytes) {
        dropped += 1;
        return false;
      }
      notice.kind = "left";
      this.#left += 1;
      this.#leftBytes += bytes;
      return true;
    });
    return { changed, dropped };
  }

  /**
   * Takes back what is unread of prefixes that nobody has any more. The first unread change shows what the program believes: if
   * it is an end, that stays, and the rest says nothing.
   *
   * @returns the prefixes of which there was anything
   */
  settle(prefixes: ReadonlySet<string>): Set<string> {
    const settled = new Set<string>();
    if (prefixes.size === 0) return settled;
    this.#retain((notice) => {
      if (notice.kind !== "change" || !prefixes.has(prefixOf(notice))) return true;
      const stays = isEnd(notice) && !settled.has(prefixOf(notice));
      settled.add(prefixOf(notice));
      return stays;
    });
    return settled;
  }

  #retain(keep: (notice: Notice<P>) => boolean): void {
    this.#queue.retain((notice) => {
      const kept = keep(notice);
      if (!kept) this.#forget(notice);
      return kept;
    });
  }

  /** It is in the queue no more. */
  #forget(notice: Notice<P>): void {
    const bytes = bytesOf(notice);
    this.#bytes -= bytes;
    if (notice.kind !== "left") return;
    this.#left -= 1;
    this.#leftBytes -= bytes;
  }
}

/** Of a change: one character a byte. */
function prefixOf({ frames }: Notice<unknown>): string {
  return keyOf(frames[0] as Buffer, 1);
}

function isEnd({ frames }: Notice<unknown>): boolean {
  return (frames[0] as Buffer)[0] === CANCEL;
}

function bytesOf({ frames }: Notice<unknown>): number {
  let bytes = 0;
  for (const { length } of frames) bytes += length;
  return bytes;
}
