/**
 * Whole messages as they are on the wire (37/ZMTP, Framing), one after the other, with no commands between them: what a
 * proxy relays without decoding it. Framing is part of the seam: every engine that relays speaks it (frame.ts).
 *
 *   takeBatch(max)    -> some messages, out of one chunk that was received
 *   offerBatch(batch) -> takes from its front what there is room for; the rest stays in it
 */
import { allocate, slice } from "../core/memory.js";
import { bodyAt, frameEnd, MORE, tallyOf } from "./frame.js";

/** Memory that an engine uses again when nothing refers to it any more. */
export interface Pooled {
  /** How many refer to it. */
  refs: number;
  /** One that referred to it no longer does. */
  release(): void;
  /** Something refers to it that will never release it. */
  pin(): void;
}

/** What a batch had when it was made, `first` not counted. */
export interface BatchTally {
  /** Bytes of all frames' bodies, and the number of frames. */
  readonly bodyBytes: number;
  readonly frames: number;
  /** Frames of the message that has most of them. */
  readonly mostFrames: number;
}

/** Gets where the body of a message's first frame is, where the message ends, and the bytes of all its bodies. */
export type MessageVisitor = (
  bytes: Uint8Array,
  body: number,
  bodyEnd: number,
  end: number,
  bodyBytes: number,
) => void;

export class FrameBatch {
  readonly bytes: Uint8Array;
  /** Of the first message, in `bytes`; moves on as messages are taken from the front. */
  start: number;
  /** After the last message. */
  readonly end: number;
  /** How many there are, 1 or more; then how many are left. */
  messages: number;
  /** Frames of those, `first` not counted. */
  frames: number;
  readonly tally: BatchTally;
  /** A frame that stands in front of each message: the routing id of the sender, from a ROUTER. */
  readonly first: Uint8Array | undefined;
  /** The memory of the bytes, where that is used again: released when no message in it is needed any more. */
  pooled: Pooled | undefined;
  /** Nothing else refers to these bytes: taking messages from the front may move the others. */
  readonly own: boolean;
  /** Bytes of the bodies of messages that were taken from the front while others stayed, `first` not counted. */
  takenBytes = 0;
  /** Where the message begins that was refused last, which ends at `start`; `first` aside. What stands before it may have moved. */
  refusedAt = 0;

  /** @param pooled acquired for this batch already */
  constructor(
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    tally: BatchTally,
    first: Uint8Array | undefined,
    pooled?: Pooled,
    own = false,
  ) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.messages = messages;
    this.frames = tally.frames;
    this.tally = tally;
    this.first = first;
    this.pooled = pooled;
    this.own = own;
  }

  /** All messages were passed on, or are not wanted. */
  release(): void {
    this.pooled?.release();
    this.pooled = undefined;
  }

  /** Something outside refers to the bytes from now on. */
  #pin(): void {
    this.pooled?.pin();
    this.pooled = undefined;
  }

  /** The same messages, for another socket; the bytes are shared. */
  copy(): FrameBatch {
    this.#pin();
    const tally = { ...this.tally, frames: this.frames };
    return new FrameBatch(this.bytes, this.start, this.end, this.messages, tally, this.first);
  }

  /** Whether each message that is left has a first frame of more than 0 bytes, and another after it; `first` aside. */
  allHaveAddress(): boolean {
    let begins = true;
    for (let position = this.start; position < this.end; ) {
      const end = frameEnd(this.bytes, position);
      const more = ((this.bytes[position] as number) & MORE) !== 0;
      if (begins && (!more || end === bodyAt(this.bytes, position))) return false;
      begins = !more;
      position = end;
    }
    return true;
  }

  /**
   * The messages whose first frame, `first` aside, `keeps` accepts, in memory of their own.
   *
   * @param keeps gets where that frame's body is
   * @returns this batch itself when it accepts all, `undefined` when it accepts none
   */
  filter(keeps: (bytes: Uint8Array, start: number, end: number) => boolean): FrameBatch | undefined {
    const { bytes } = this;
    let filtered: FilteredBatch | undefined;
    // Kept ones after the last that was not: they are copied together.
    let begin = this.start;
    let messages = 0;
    for (let position = this.start; position < this.end; ) {
      const start = position;
      let end = frameEnd(bytes, position);
      const kept = keeps(bytes, bodyAt(bytes, position), end);
      while (((bytes[position] as number) & MORE) !== 0) {
        position = end;
        end = frameEnd(bytes, position);
      }
      position = end;
      if (kept) {
        messages += 1;
        continue;
      }
      filtered ??= new FilteredBatch(this);
      filtered.add(begin, start, messages);
      begin = end;
      messages = 0;
    }
    if (filtered === undefined) return this;
    filtered.add(begin, this.end, messages);
    return filtered.messages();
  }

  /** Visits each message that is left, `first` aside, without an object for any. The visitor may keep the bytes. */
  visit(visitor: MessageVisitor): void {
    this.#pin();
    const { bytes } = this;
    for (let position = this.start; position < this.end; ) {
      let more = ((bytes[position] as number) & MORE) !== 0;
      const body = bodyAt(bytes, position);
      const bodyEnd = frameEnd(bytes, position);
      let bodyBytes = bodyEnd - body;
      position = bodyEnd;
      while (more) {
        more = ((bytes[position] as number) & MORE) !== 0;
        const end = frameEnd(bytes, position);
        bodyBytes += end - bodyAt(bytes, position);
        position = end;
      }
      visitor(bytes, body, bodyEnd, position, bodyBytes);
    }
  }

  /** The frames of the message that was refused last: views of the bytes. */
  refused(): Buffer[] {
    const frames = this.messageAt(this.refusedAt, this.start);
    return this.first === undefined ? frames : [Buffer.from(this.first), ...frames];
  }

  /** The frames of the message between two positions of this batch, `first` aside: views of the bytes. */
  messageAt(start: number, end: number): Buffer[] {
    this.#pin();
    return framesBetween(this.bytes, start, end);
  }

  /** What is left, as messages of frames: views of the bytes. */
  decode(): Buffer[][] {
    this.#pin();
    const { buffer, byteOffset } = this.bytes;
    const messages: Buffer[][] = [];
    for (let position = this.start; position < this.end; ) {
      const frames: Buffer[] = this.first === undefined ? [] : [Buffer.from(this.first)];
      let more = true;
      while (more) {
        const body = bodyAt(this.bytes, position);
        const end = frameEnd(this.bytes, position);
        more = ((this.bytes[position] as number) & MORE) !== 0;
        frames.push(slice(buffer, byteOffset + body, end - body));
        position = end;
      }
      messages.push(frames);
    }
    return messages;
  }
}

/** The bodies of the frames between two positions: views of the bytes. */
export function framesBetween(bytes: Uint8Array, start: number, end: number): Buffer[] {
  const frames: Buffer[] = [];
  for (let position = start; position < end; ) {
    const body = bodyAt(bytes, position);
    const next = frameEnd(bytes, position);
    frames.push(slice(bytes.buffer, bytes.byteOffset + body, next - body));
    position = next;
  }
  return frames;
}

/** The messages that a filter keeps: copied into memory of their own as they are found. */
class FilteredBatch {
  readonly #from: FrameBatch;
  readonly #bytes: Buffer;
  #end = 0;
  #messages = 0;

  constructor(from: FrameBatch) {
    this.#from = from;
    this.#bytes = allocate(from.end - from.start);
  }

  /** Messages one after the other, from `start` to `end`. */
  add(start: number, end: number, messages: number): void {
    this.#bytes.set(this.#from.bytes.subarray(start, end), this.#end);
    this.#end += end - start;
    this.#messages += messages;
  }

  messages(): FrameBatch | undefined {
    if (this.#messages === 0) return undefined;
    const { first, tally } = this.#from;
    const { mostFrames } = tally; // Of all: no more than that, at any rate.
    const tallied = { ...tallyOf(this.#bytes, 0, this.#end), mostFrames };
    return new FrameBatch(this.#bytes, 0, this.#end, this.#messages, tallied, first);
  }
}
