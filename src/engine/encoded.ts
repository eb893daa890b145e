/**
 * Whole messages as they are on the wire (37/ZMTP, Framing), one behind the other and
 * with no commands between them: what a proxy passes on without looking into it.
 *
 *   takeEncoded(max)  -> some, out of one chunk that came
 *   offerEncoded(it)  -> takes from its front what there is room for; the rest stays in it
 */
import { bodyAt, bodyBytes, frameEnd } from "./zmtp/codec/borders.js";
import { MORE } from "./zmtp/codec/frame.js";
import type { Loan } from "./zmtp/codec/loan.js";
import { allocate } from "./zmtp/codec/memory.js";
import { slice } from "./zmtp/codec/slice.js";

/** What there was in the beginning, `first` not counted. */
export interface EncodedTally {
  /** Bytes of all frames' bodies. */
  readonly bodyBytes: number;
  /** Frames of the message that has most of them. */
  readonly mostFrames: number;
}

/** Told where the body of a message's first frame is, where the message ends, and the bytes of all its bodies. */
export type MessageVisitor = (
  bytes: Uint8Array,
  body: number,
  bodyEnd: number,
  end: number,
  bodyBytes: number,
) => void;

export class EncodedMessages {
  readonly bytes: Uint8Array;
  /** Of the first message, in `bytes`; moves on as messages are taken from the front. */
  start: number;
  /** Behind the last message. */
  readonly end: number;
  /** How many there are, 1 or more; then how many are left. */
  messages: number;
  readonly tally: EncodedTally;
  /** A frame that stands in front of each: the routing id of who sent them, from a ROUTER. */
  readonly first: Uint8Array | undefined;
  /** Where the bytes are, if that memory is used again: it is released when nothing of them is wanted any more. */
  loan: Loan | undefined;
  /** Nobody else refers to these bytes: who takes messages from the front may move them. */
  readonly own: boolean;
  /** Bytes of the bodies of those that were taken from the front while others stayed, `first` not counted. */
  takenBytes = 0;

  /** @param loan counted for this one already */
  constructor(
    bytes: Uint8Array,
    start: number,
    end: number,
    messages: number,
    tally: EncodedTally,
    first: Uint8Array | undefined,
    loan?: Loan,
    own = false,
  ) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.messages = messages;
    this.tally = tally;
    this.first = first;
    this.loan = loan;
    this.own = own;
  }

  /** All of them were passed on, or are not wanted. */
  release(): void {
    this.loan?.release();
    this.loan = undefined;
  }

  /** Somebody refers to the bytes from now on. */
  #keep(): void {
    this.loan?.keep();
    this.loan = undefined;
  }

  /** The same messages, to be taken by somebody else; the bytes are shared. */
  copy(): EncodedMessages {
    this.#keep();
    return new EncodedMessages(this.bytes, this.start, this.end, this.messages, this.tally, this.first);
  }

  /** Whether each message that is left has a first frame of more than 0 bytes, and another behind it; `first` aside. */
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
   * Those that `keeps` wants by their first frame, `first` aside, in memory of their own; all of them: this itself.
   *
   * @param keeps told where that frame's body is
   * @returns `undefined` for none
   */
  sift(keeps: (bytes: Uint8Array, start: number, end: number) => boolean): EncodedMessages | undefined {
    const { bytes } = this;
    let sifted: Sifted | undefined;
    // Kept ones behind the last that was not: they are copied together.
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
      sifted ??= new Sifted(this);
      sifted.add(begin, start, messages);
      begin = end;
      messages = 0;
    }
    if (sifted === undefined) return this;
    sifted.add(begin, this.end, messages);
    return sifted.messages();
  }

  /** Tells of each message that is left, `first` aside, without an object for any. Who is told may keep the bytes. */
  visit(visitor: MessageVisitor): void {
    this.#keep();
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

  /** What is left, as messages of frames: views of the bytes. */
  decode(): Buffer[][] {
    this.#keep();
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

/** What is kept of messages: copied into memory of its own as it is found. */
class Sifted {
  readonly #from: EncodedMessages;
  readonly #bytes: Buffer;
  #end = 0;
  #messages = 0;

  constructor(from: EncodedMessages) {
    this.#from = from;
    this.#bytes = allocate(from.end - from.start);
  }

  /** Neighbours, from `start` to `end`. */
  add(start: number, end: number, messages: number): void {
    this.#bytes.set(this.#from.bytes.subarray(start, end), this.#end);
    this.#end += end - start;
    this.#messages += messages;
  }

  messages(): EncodedMessages | undefined {
    if (this.#messages === 0) return undefined;
    const { first, tally } = this.#from;
    const { mostFrames } = tally; // Of all: no more than that, at any rate.
    const tallied = { bodyBytes: bodyBytes(this.#bytes, 0, this.#end), mostFrames };
    return new EncodedMessages(this.#bytes, 0, this.#end, this.#messages, tallied, first);
  }
}
