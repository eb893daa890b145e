/**
 * What was received on one pipe of a page: chunks in, whole messages out. The build puts it in the place of
 * engine/zmtp/codec/in-stream.ts (rolldown.config.js), whose chunks are memory that is used again, filled by the kernel and
 * relayed as it is; a message of a WebSocket is memory of its own.
 *
 *   push(chunk) -> scanned for frame borders: counts messages, hands commands over, finds faults
 *   take()      -> the next message, its frames views of the chunks
 *
 * The frame that a chunk ends in the middle of is put together in memory of its own, which grows as it arrives.
 */
import { RingBuffer } from "../core/collections/ring-buffer.js";
import { FRAME_COST, MAX_FRAMES } from "../core/frame-cost.js";
import { slice } from "../core/memory.js";
import {
  bodyAt,
  COMMAND,
  frameEnd,
  LONG,
  LONG_HEADER,
  MORE,
  RESERVED,
  SHORT_HEADER,
} from "../engine/frame.js";
import { MAX_COMMAND, type OnCommand, type StreamFault } from "../engine/zmtp/codec/in-stream.js";
import { MAX_EAGER } from "../engine/zmtp/codec/split-frame.js";

export type { StreamFault };

/** Bytes of a frame at most: what one ArrayBuffer of a browser can hold. */
const MAX_FRAME = 2_147_483_647;

/** Whole frames, one behind the other, without commands. */
interface Run {
  readonly bytes: Uint8Array;
  position: number;
  end: number;
}

export class InStream {
  /** Whole messages that wait. */
  messages = 0;
  #maxMessageSize = 0;
  readonly #onCommand: OnCommand;
  readonly #runs = new RingBuffer<Run>(4);
  /** Of the message whose frames are arriving: their number, the bytes of their bodies, and what they cost. */
  #frames = 0;
  #size = 0;
  #begun = 0;
  /** The cost of frames that are kept (core/frame-cost.ts): of whole messages, and of the one whose frames are arriving. */
  #kept = 0;
  /** The frame that goes on in the next chunk: what has come of it, and after how many bytes it is read on. */
  #split: Buffer | undefined = undefined;
  #have = 0;
  #need = 0;
  /** What frames come out of, where they come sealed: what it has of the next counts here. */
  outer: InStream | undefined = undefined;

  /** @param maxMessageSize bytes of a message's frames together at most; negative: no limit */
  constructor(maxMessageSize: number, onCommand: OnCommand) {
    this.limit(maxMessageSize);
    this.#onCommand = onCommand;
  }

  /** What whole messages that wait cost. */
  get cost(): number {
    return this.#kept - this.#begun;
  }

  /** What the message that is still arriving costs. */
  get unfinished(): number {
    return this.#begun + this.#have + (this.outer?.unfinished ?? 0);
  }

  /** Bytes; negative: no limit. */
  get maxMessageSize(): number {
    return this.#maxMessageSize;
  }

  /** Another `maxMessageSize`, for frames whose header has not come yet. */
  limit(maxMessageSize: number): void {
    const most = MAX_FRAME - LONG_HEADER;
    this.#maxMessageSize = maxMessageSize < 0 ? most : Math.min(most, maxMessageSize);
  }

  /** Takes what came from the peer; keeps a reference to it. @returns what is wrong with it */
  push(chunk: Uint8Array, from = 0, to = chunk.length): StreamFault | undefined {
    let position = from;
    while (this.#split !== undefined) {
      const end = Math.min(to, position + this.#need - this.#have);
      this.#append(chunk, position, end);
      position = end;
      if (this.#have < this.#need) return undefined;
      const whole = this.#scan(this.#split, 0, this.#have, 0);
      if (typeof whole === "string") return whole;
      if (whole > 0) this.#drop();
    }
    const rest = this.#scan(chunk, position, to, to - from);
    if (typeof rest === "string") return rest;
    if (rest < to) this.#append(chunk, rest, to);
    return undefined;
  }

  /** The same for bytes that are another's when the call is over. */
  pushShared(bytes: Uint8Array, length: number): StreamFault | undefined {
    return this.push(Buffer.from(bytes.subarray(0, length)));
  }

  /** The next message; only when there is one. @param first a frame to put before it, such as a routing id */
  take(first?: Buffer): Buffer[] {
    this.messages -= 1;
    const [frame, more] = this.#takeFrame();
    // A lone frame, the most frequent of all: a list that grows would have room for many.
    if (first === undefined && !more) return [frame];
    const frames = first === undefined ? [frame] : [first, frame];
    for (let goesOn = more; goesOn; ) {
      const [next, another] = this.#takeFrame();
      frames.push(next);
      goesOn = another;
    }
    return frames;
  }

  /** @returns the next frame, and whether more of its message follow */
  #takeFrame(): [Buffer, boolean] {
    const run = this.#runs.peek() as Run;
    const { bytes, position } = run;
    const body = bodyAt(bytes, position);
    const end = frameEnd(bytes, position);
    this.#kept -= end - position + FRAME_COST;
    run.position = end;
    if (end === run.end) this.#runs.shift();
    const frame = slice(bytes.buffer, bytes.byteOffset + body, end - body);
    return [frame, ((bytes[position] as number) & MORE) !== 0];
  }

  /** The connection is gone: what is incomplete is dropped. Another connection's frames must not be read as its end. */
  cut(): void {
    let left = this.#kept - this.#begun;
    this.#runs.retain((run) => {
      let end = run.position;
      while (left > 0 && end < run.end) {
        const next = frameEnd(run.bytes, end);
        left -= next - end + FRAME_COST;
        end = next;
      }
      run.end = end;
      return end > run.position;
    });
    this.#kept -= this.#begun;
    this.#frames = 0;
    this.#size = 0;
    this.#begun = 0;
    this.outer = undefined;
    this.#drop();
  }

  /** Throws the whole messages away; one that is still arriving goes on. @returns how many */
  clear(): number {
    const { messages } = this;
    while (this.messages > 0) this.take();
    return messages;
  }

  /**
   * Counts whole frames and keeps them.
   *
   * @param held bytes that a view of them would hold on to
   * @returns where the first frame begins that is not whole, whose next bytes `#need` says; or what is wrong
   */
  #scan(chunk: Uint8Array, from: number, to: number, held: number): number | StreamFault {
    let position = from;
    let start = from;
    /** From there on. */
    let frames = 0;
    let fault: StreamFault | undefined;
    while (position < to) {
      const flags = chunk[position] as number;
      // A lone short frame, the most frequent of all: nothing to check but its size.
      const size = chunk[position + 1] as number;
      if (
        flags === 0 &&
        this.#frames === 0 &&
        position + SHORT_HEADER + size <= to &&
        size <= this.#maxMessageSize
      ) {
        this.messages += 1;
        frames += 1;
        position += SHORT_HEADER + size;
        continue;
      }
      const header = (flags & LONG) === 0 ? SHORT_HEADER : LONG_HEADER;
      this.#need = header;
      if (to - position < header) break;
      const body = position + header;
      const end = frameEnd(chunk, position);
      fault = this.#check(flags, end - body);
      if (fault !== undefined) break;
      this.#need = end - position;
      if (end > to) break;
      position = end;
      if ((flags & COMMAND) !== 0) {
        // What came before it is kept first, since a listener may take messages.
        this.#keep(chunk, start, body - header, frames, held);
        start = end;
        frames = 0;
        this.#onCommand(slice(chunk.buffer, chunk.byteOffset + body, end - body));
        continue;
      }
      frames += 1;
      if ((flags & MORE) !== 0) {
        this.#frames += 1;
        this.#size += end - body;
        this.#begun += end - body + header + FRAME_COST;
      } else {
        this.#frames = 0;
        this.#size = 0;
        this.#begun = 0;
        this.messages += 1;
      }
    }
    this.#keep(chunk, start, position, frames, held);
    return fault ?? position;
  }

  /** Keeps frames of a chunk: as a view, or as a copy where that would hold on to more than twice their size. */
  #keep(chunk: Uint8Array, start: number, end: number, frames: number, size: number): void {
    if (end === start) return;
    this.#kept += end - start + FRAME_COST * frames;
    if ((end - start) * 2 >= size) this.#runs.push({ bytes: chunk, position: start, end });
    else this.#runs.push({ bytes: Buffer.from(chunk.subarray(start, end)), position: 0, end: end - start });
  }

  #check(flags: number, size: number): StreamFault | undefined {
    if ((flags & RESERVED) !== 0) return "reserved-bits";
    const isCommand = (flags & COMMAND) !== 0;
    if ((isCommand ? 0 : this.#size) + size > this.#maxMessageSize) return "too-long";
    if (isCommand) return size > MAX_COMMAND ? "command-too-long" : undefined;
    return this.#frames >= MAX_FRAMES ? "too-many-frames" : undefined;
  }

  /** More of the split frame. It has memory for 1 MiB at once, for more only as it arrives. */
  #append(chunk: Uint8Array, start: number, end: number): void {
    const have = this.#have;
    const size = have + end - start;
    let split = this.#split;
    if (split === undefined || size > split.length) {
      split = Buffer.allocUnsafe(Math.max(size, Math.min(this.#need, Math.max(MAX_EAGER, size * 2))));
      if (this.#split !== undefined) split.set(this.#split);
      this.#split = split;
    }
    split.set(chunk.subarray(start, end), have);
    this.#have = size;
  }

  #drop(): void {
    this.#split = undefined;
    this.#have = 0;
  }
}
