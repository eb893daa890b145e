/**
 * Peers in the same context: no bytes on a wire, but the same queues, marks and
 * events. A message is written once, into the sender's slab, and read where it
 * lies; a slab that was handed over is never written again.
 *
 * Sender and receiver have one queue together, of both high-water marks.
 */
import { allocate } from "./codec/memory.js";
import { type CloseReason, type Link, limitOf, type Peer, type Pipe, type ReceiveMarks } from "./pipe.js";

/** Who sends one encoded message to many. */
const FANS_OUT: readonly string[] = ["PUB", "XPUB"];

/** One end of a link between two pipes. */
export class InprocLink implements Link {
  /** Until both sides know each other: a ROUTER must not get what it has no name for. */
  blocked = true;
  readonly #pipe: Pipe;
  #other: InprocLink | undefined = undefined;
  readonly #onEnd: (reason: CloseReason | "remote") => void;
  #marks: ReceiveMarks;

  /** @param marks of the pipe's own socket @param onEnd the link is over; told once */
  constructor(pipe: Pipe, marks: ReceiveMarks, onEnd: (reason: CloseReason | "remote") => void) {
    this.#pipe = pipe;
    this.#marks = marks;
    this.#onEnd = onEnd;
  }

  /** Joins two ends; both pipes are linked then. */
  static join(one: InprocLink, onePeer: Peer, other: InprocLink, otherPeer: Peer): void {
    one.#other = other;
    other.#other = one;
    one.#pipe.linked(one, otherPeer);
    other.#pipe.linked(other, onePeer);
  }

  /** Both sides have joined: what waits goes. */
  static open(one: InprocLink, other: InprocLink): void {
    one.blocked = false;
    other.blocked = false;
    one.flush();
    other.flush();
  }

  get #far(): Pipe | undefined {
    return this.#other === undefined ? undefined : this.#other.#pipe;
  }

  get ahead(): number {
    return this.#far?.in.messages ?? 0;
  }

  get room(): number {
    return limitOf(this.#other === undefined ? 0 : this.#other.#marks.receiveHighWaterMark);
  }

  get aheadBytes(): number {
    return this.#far?.in.bytes ?? 0;
  }

  get roomBytes(): number {
    return limitOf(this.#other === undefined ? 0 : this.#other.#marks.receiveHighWaterMarkBytes);
  }

  marksChanged(marks: ReceiveMarks): void {
    this.#marks = marks;
    this.#far?.roomChanged();
  }

  flush(): void {
    const other = this.#far;
    const { out } = this.#pipe;
    if (other === undefined || this.blocked || out.length === 0) return;
    // What a publisher sends, several get: each has a copy of its own, since a received frame may be written to.
    const shared = FANS_OUT.includes(other.peer?.socketType ?? "");
    let fault: string | undefined;
    for (const { bytes, start, end } of this.#pipe.takeOut(Number.POSITIVE_INFINITY)) {
      fault ??= shared ? other.in.push(copyOf(bytes, start, end)) : other.in.push(bytes, start, end);
    }
    out.handOver();
    other.arrived();
    if (fault !== undefined) this.#other?.close("protocol");
  }

  /** The queue is one for both: what is not read counts on the sender's side. */
  pause(): void {}

  resume(): void {
    this.#far?.relieved();
  }

  /** The sender found no room: it wants to know when the receiver has taken some. */
  awaitRoom(): void {
    this.#far?.watch();
  }

  close(reason: CloseReason): void {
    const other = this.#other;
    if (other === undefined) return;
    this.flush();
    this.#other = undefined;
    other.#other = undefined;
    this.#onEnd(reason);
    other.#onEnd("remote");
  }
}

function copyOf(bytes: Uint8Array, start: number, end: number): Buffer {
  const copy = allocate(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}
