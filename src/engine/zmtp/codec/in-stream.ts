/**
 * What was received on one pipe: chunks in, whole messages out.
 *
 *   push(chunk) -> scanned for frame borders: counts messages, hands commands
 *                  over, finds faults; bodies stay where they are
 *   take()      -> the next message, its frames views of the chunks
 *
 * Scanning on arrival costs a few ns a frame. It lets a PING be answered while
 * the program does not read, and gives the high-water mark its count, without an
 * object for each message that waits.
 *
 * A chunk is kept as a run of whole frames. The frame that a chunk ends in the
 * middle of is put together in memory of its own (split-frame.ts).
 *
 * Messages that come as their frames, from a socket of the same thread, wait as they are, in lists (frame-list.ts): a run has one
 * each, and a receive for many gets the very list.
 */
import { constants } from "node:buffer";
import { RingBuffer } from "../../../core/collections/ring-buffer.js";
import { costOf, FRAME_COST, frameCost, MAX_FRAMES } from "../../../core/frame-cost.js";
import { allocate, slice } from "../../../core/memory.js";
import type { TakenMessages } from "../../engine.js";
import {
  bodyAt,
  COMMAND,
  frameEnd,
  LONG,
  LONG_HEADER,
  MORE,
  messageBytes,
  messageEnd,
  RESERVED,
  readLongSize,
  SHORT_HEADER,
} from "../../frame.js";
import { FrameBatch } from "../../frame-batch.js";
import { Lease } from "../../lease.js";
import { FrameList } from "./frame-list.js";
import { acquire, type PooledBuffer } from "./pooled-buffer.js";
import { DIRECT, MAX_EAGER, SplitFrame, type SplitFrameEffects } from "./split-frame.js";
import { encodeMessage, encodeMessages } from "./take-front.js";

/** Bytes of a command: the longest there is, a SUBSCRIBE, has a topic prefix. */
export const MAX_COMMAND = 65_536;

/** Why a stream of frames cannot be read on. */
export type StreamFault = "reserved-bits" | "too-long" | "too-many-frames" | "command-too-long" | "no-memory";

/** Hears of the commands among the frames. */
export type OnCommand = (body: Buffer) => void;

/** What messages that came as frames cost after which a batch takes no more of them: they are copied into it. */
const MAX_ENCODED = 131_072;

/** Frames of a message that are looked at together. */
const FEW_FRAMES = 8;

const NO_BYTES = Buffer.alloc(0);

export class InStream implements SplitFrameEffects<StreamFault> {
  /** Whole messages that wait. */
  messages = 0;
  /** Whether messages were last taken as they came, to be passed on. */
  relayed = false;
  #maxMessageSize = 0;
  readonly #onCommand: OnCommand;
  readonly #runs = new RingBuffer<Run>(4);
  #head: Run | undefined = undefined;
  /** What the next message that comes as frames belongs to, unless it is full: the last run's list. */
  #list: FrameList | undefined = undefined;
  #listsAreLarge = false;
  /** Of the message whose frames are arriving: their number, and the bytes of their bodies. */
  #frames = 0;
  #size = 0;
  /** What those frames cost (core/frame-cost.ts). */
  #begun = 0;
  /** The cost of frames that are kept: of whole messages, and of the one whose frames are arriving. */
  #kept = 0;
  /** Frames of the message that `#wholeAt` found last. */
  #wholeFrames = 0;
  /** What frames come out of, where they come sealed: what it has of the next counts here. */
  outer: InStream | undefined = undefined;
  /** Bytes of a frame that the transport puts together of fragments. */
  fragments = 0;
  readonly #split: SplitFrame<StreamFault>;

  /** What whole messages that wait cost. */
  get cost(): number {
    return this.#kept - this.#begun;
  }

  /** What the message that is still arriving costs. */
  get unfinished(): number {
    const outer = this.outer === undefined ? 0 : this.outer.unfinished;
    return this.#begun + this.#split.bytes + this.fragments + outer;
  }

  /** Bytes that the frame which is arriving lacks at least; 0: none is. */
  get lacks(): number {
    return this.#split.lacks;
  }

  /** Bytes; negative: no limit. */
  get maxMessageSize(): number {
    return this.#maxMessageSize;
  }

  /** @param maxMessageSize bytes of a message's frames together at most; negative: no limit */
  constructor(maxMessageSize: number, onCommand: OnCommand) {
    this.limit(maxMessageSize);
    this.#onCommand = onCommand;
    this.#split = new SplitFrame<StreamFault>(this);
  }

  /** Another `maxMessageSize`, for frames whose header has not come yet. */
  limit(maxMessageSize: number): void {
    const most = constants.MAX_LENGTH - LONG_HEADER; // What one Buffer can hold.
    this.#maxMessageSize = maxMessageSize < 0 ? most : Math.min(most, maxMessageSize);
  }

  /**
   * Takes what came from the peer; keeps a reference to it.
   *
   * @param pooled of the chunk's memory, if that is used again
   * @returns what is wrong with it
   */
  push(chunk: Uint8Array, from = 0, to = chunk.length, pooled?: PooledBuffer): StreamFault | undefined {
    return this.#push(chunk, from, to, false, pooled);
  }

  /** The same for the first `length` of memory that is another's when the call is over: what is kept is copied. */
  pushShared(bytes: Uint8Array, length: number): StreamFault | undefined {
    return this.#push(bytes, 0, length, true, undefined);
  }

  /** Takes a whole message of one frame, which is the program's from then on. @returns what is wrong with it */
  pushFrame(frame: Buffer): StreamFault | undefined {
    const size = frame.length;
    if (size > this.#maxMessageSize) return "too-long";
    this.#addFramed([frame], size, frameCost(size));
    return undefined;
  }

  /** The same of any message; the array of its frames is kept, too. */
  pushFrames(frames: Buffer[]): StreamFault | undefined {
    let size = 0;
    let cost = 0;
    for (let i = 0; i < frames.length; i++) {
      const { length } = frames[i] as Buffer;
      size += length;
      cost += frameCost(length);
    }
    if (size > this.#maxMessageSize) return "too-long";
    if (frames.length > MAX_FRAMES) return "too-many-frames";
    this.#addFramed(frames, size, cost);
    return undefined;
  }

  /** @param cost the same as of frames that come on a wire: the marks are the same however a message comes */
  #addFramed(frames: Buffer[], size: number, cost: number): void {
    this.#kept += cost;
    this.messages += 1;
    const list = this.#list;
    if (list === undefined || list.full) this.#beginList(frames, size, cost);
    else list.push(frames, size, cost);
  }

  #beginList(frames: Buffer[], size: number, cost: number): void {
    const run = new Run(NO_BYTES, 0, 0, undefined, false);
    run.list = new FrameList(frames, size, cost, this.#listsAreLarge);
    this.#keep(run);
    this.#list = run.list;
  }

  /** The memory that the next bytes belong in, where that is a large frame's; `filled` reports what came. */
  memory(): Uint8Array | undefined {
    return this.#split.memory();
  }

  /** Whether a large frame is arriving. */
  get inLarge(): boolean {
    return this.#split.isLarge;
  }

  /** So many bytes are in what `memory` gave. @returns what is wrong with those behind the frame */
  filled(length: number): StreamFault | undefined {
    const behind = this.#split.filled(length);
    return behind === undefined ? undefined : this.pushShared(behind, behind.length);
  }

  splitOnHeader(flags: number, size: number): StreamFault | undefined {
    return this.#check(flags, size);
  }

  splitOnNoMemory(): StreamFault {
    return "no-memory";
  }

  splitOnWhole(bytes: Buffer, at: number, end: number, pooled: PooledBuffer | undefined): void {
    const flags = bytes[at] as number;
    const header = (flags & LONG) === 0 ? SHORT_HEADER : LONG_HEADER;
    this.#tally(flags, end - at - header);
    if ((flags & COMMAND) === 0) {
      this.#kept += end - at + FRAME_COST;
      this.#keep(new Run(bytes, 0, end, pooled, true));
    } else this.#onCommand(slice(bytes.buffer, bytes.byteOffset + header, end - header));
  }

  #push(
    chunk: Uint8Array,
    from: number,
    to: number,
    isShared: boolean,
    pooled: PooledBuffer | undefined,
  ): StreamFault | undefined {
    let position = from;
    const split = this.#split;
    while (split.active && position < to) {
      const fault = split.continue(chunk, position, to);
      if (typeof fault === "string") return fault;
      position = fault;
    }
    let start = position;
    /** From there on. */
    let frames = 0;
    /** Where the message that is arriving begins in this chunk; -1: before it, or before a command. */
    let begin = this.#frames === 0 ? position : -1;
    let fault: StreamFault | undefined;
    while (position < to) {
      const flags = chunk[position] as number;
      let body: number;
      let size: number;
      if ((flags & LONG) === 0) {
        if (to - position < SHORT_HEADER) break;
        size = chunk[position + 1] as number;
        body = position + SHORT_HEADER;
      } else {
        if (to - position < LONG_HEADER) break;
        size = readLongSize(chunk, position + 1);
        body = position + LONG_HEADER;
      }
      // A lone short frame, the most frequent of all: nothing to check but its size.
      if (flags === 0 && this.#frames === 0 && size <= this.#maxMessageSize) {
        if (body + size > to) break;
        this.messages += 1;
        frames += 1;
        position = body + size;
        begin = position;
        continue;
      }
      // One of several short frames that is here as a whole: its frames are counted together.
      if (flags === MORE && this.#frames === 0) {
        const next = this.#wholeAt(chunk, position, to);
        if (next > 0) {
          this.messages += 1;
          frames += this.#wholeFrames;
          position = next;
          begin = position;
          continue;
        }
      }
      fault = this.#check(flags, size);
      if (fault !== undefined) break;
      if (body + size > to) {
        // A large body behind its envelope: together, so that the message is one range of bytes and can be relayed without decoding.
        const large = (flags & COMMAND) === 0 && size >= DIRECT && body + size - begin <= MAX_EAGER;
        if (large && begin >= 0 && begin < position) {
          this.#keepRange(chunk, start, begin, frames - this.#frames, to - from, isShared, pooled);
          this.#kept += position - begin + FRAME_COST * this.#frames;
          return split.beginBehind(chunk, begin, position, to, body + size - begin);
        }
        break;
      }
      if ((flags & COMMAND) !== 0) {
        // Commands are dealt with and not kept, however many there are; what came before them is kept first, since
        // a listener of one may take messages.
        this.#keepRange(chunk, start, position, frames, to - from, isShared, pooled);
        position = body + size;
        start = position;
        frames = 0;
        begin = this.#frames === 0 ? position : -1;
        pooled?.pin(); // A listener may keep it.
        this.#onCommand(slice(chunk.buffer, chunk.byteOffset + body, size));
        continue;
      }
      this.#tally(flags, size);
      frames += 1;
      position = body + size;
      if ((flags & MORE) === 0) begin = position;
    }
    this.#keepRange(chunk, start, position, frames, to - from, isShared, pooled);
    if (fault !== undefined) return fault;
    if (position < to) return split.begin(chunk, position, to);
    return undefined;
  }

  /** The next message; only when there is one. @param first a frame to put before it, such as a routing id @param lease as of the socket */
  take(first?: Buffer, lease?: Lease): Buffer[] {
    let run = this.#head as Run;
    const { bytes } = run;
    const { position } = run;
    this.relayed = false;
    if (run.pooled !== undefined) run.handOver(lease);
    else if (run.list !== undefined) {
      const taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
      this.#takeFramed(run, run.list, taken, 1, 1, first);
      return taken.messages[0] as Buffer[];
    }
    if (bytes[position] === 0) {
      const size = bytes[position + 1] as number;
      const frame = slice(run.memory, run.base + position + SHORT_HEADER, size);
      run.position = position + SHORT_HEADER + size;
      if (run.position === run.end) this.#nextRun(run);
      this.messages -= 1;
      this.#kept -= SHORT_HEADER + size + FRAME_COST;
      return first === undefined ? [frame] : [first, frame];
    }
    const frames = first === undefined ? [] : [first];
    for (;;) {
      run = this.#head as Run;
      if (run.pooled !== undefined) run.handOver(lease);
      const flags = run.bytes[run.position] as number;
      const long = (flags & LONG) !== 0;
      const size = long ? readLongSize(run.bytes, run.position + 1) : (run.bytes[run.position + 1] as number);
      const body = run.position + (long ? LONG_HEADER : SHORT_HEADER);
      if ((flags & COMMAND) === 0) frames.push(slice(run.memory, run.base + body, size));
      this.#kept -= body + size - run.position + FRAME_COST;
      run.position = body + size;
      if (run.position === run.end) this.#nextRun(run);
      if ((flags & (COMMAND | MORE)) === 0) break;
    }
    this.messages -= 1;
    return frames;
  }

  /** As `takeMany`, of messages that came as their frames. */
  #takeFramed(
    run: Run,
    list: FrameList,
    taken: TakenMessages,
    max: number,
    maxCost: number,
    first: Buffer | undefined,
  ): void {
    const { messages } = taken;
    const most = Math.min(max - messages.length, list.waiting);
    const costOfFirst = first === undefined ? 0 : frameCost(first.length);
    let count = 0;
    let size = 0;
    let cost = 0;
    while (count < most && taken.cost + cost + count * costOfFirst < maxCost) {
      const frames = list.shift();
      count += 1;
      for (let i = 0; i < frames.length; i++) {
        const { length } = frames[i] as Buffer;
        size += length;
        cost += frameCost(length);
      }
      if (first !== undefined) frames.unshift(first);
      messages.push(frames);
    }
    this.messages -= count;
    this.#kept -= list.taken(size, cost);
    if (list.waiting === 0) this.#nextRun(run);
    taken.bytes += size + (first === undefined ? 0 : count * first.length);
    taken.cost += cost + count * costOfFirst;
  }

  /**
   * The next messages as the list that they came in, which is the caller's; `undefined` where they did not come as frames, or some
   * of them are taken.
   *
   * @param max, maxCost as of the socket: not of a list that has more
   */
  takeList(max: number, maxCost: number): FrameList | undefined {
    const run = this.#head;
    const list = run?.list;
    if (list === undefined || !list.fits(max, maxCost)) return undefined;
    this.relayed = false;
    this.messages -= list.waiting;
    this.#kept -= list.cost;
    this.#nextRun(run as Run);
    return list;
  }

  /**
   * Takes the next messages of one chunk, one at least; only when there is one.
   *
   * @param taken, max, maxCost as of the socket @param first, lease as of `take`
   */
  takeMany(
    taken: TakenMessages,
    max: number,
    maxCost: number,
    first: Buffer | undefined,
    lease: Lease | undefined,
  ): void {
    const run = this.#head as Run;
    this.relayed = false;
    if (run.pooled !== undefined) run.handOver(lease);
    else if (run.list !== undefined) {
      this.#takeFramed(run, run.list, taken, max, maxCost, first);
      return;
    }
    const { bytes, memory, base, end, position: start } = run;
    const { messages } = taken;
    const most = max - messages.length;
    const mostCost = maxCost - taken.cost;
    const costOfFirst = first === undefined ? 0 : frameCost(first.length);
    let position = start;
    let count = 0;
    /** Of the messages without `first`. */
    let size = 0;
    let frames = 0;
    while (
      count < most &&
      position < end &&
      position - start + FRAME_COST * frames + count * costOfFirst < mostCost
    ) {
      if (bytes[position] === 0) {
        const length = bytes[position + 1] as number;
        const frame = slice(memory, base + position + SHORT_HEADER, length);
        messages.push(first === undefined ? [frame] : [first, frame]);
        position += SHORT_HEADER + length;
        size += length;
        frames += 1;
      } else {
        const border = messageEnd(bytes, position, end);
        if (border === undefined) break; // Its frames came in several chunks.
        const next = frameEnd(bytes, position);
        if (next < border && frameEnd(bytes, next) === border) {
          // A head and a body, as most have: an array that grows by `push` has room for 17 more.
          const at = bodyAt(bytes, position);
          const head = slice(memory, base + at, next - at);
          const body = bodyAt(bytes, next);
          const rest = slice(memory, base + body, border - body);
          messages.push(first === undefined ? [head, rest] : [first, head, rest]);
          size += next - at + border - body;
          frames += 2;
          position = border;
        } else {
          const message = first === undefined ? [] : [first];
          while (position < border) {
            const body = bodyAt(bytes, position);
            position = frameEnd(bytes, position);
            message.push(slice(memory, base + body, position - body));
            size += position - body;
            frames += 1;
          }
          messages.push(message);
        }
      }
      count += 1;
    }
    if (count === 0) {
      const message = this.take(first, lease);
      messages.push(message);
      taken.bytes += messageBytes(message);
      taken.cost += costOf(message);
      return;
    }
    const cost = position - start + FRAME_COST * frames;
    run.position = position;
    if (position === end) this.#nextRun(run);
    this.messages -= count;
    this.#kept -= cost;
    taken.bytes += size + (first === undefined ? 0 : count * first.length);
    taken.cost += cost + count * costOfFirst;
  }

  /** The next messages as they came, up to `max` of one chunk; only when there is one. @param first as of `take` */
  takeBatch(max: number, first: Buffer | undefined): FrameBatch {
    const run = this.#head as Run;
    if (run.list !== undefined) {
      const taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
      this.#takeFramed(run, run.list, taken, max, MAX_ENCODED, undefined);
      return encodeMessages(taken.messages, first);
    }
    const { bytes, position: start, end } = run;
    const most = Math.min(max, this.messages);
    let position = start;
    let border = start;
    let messages = 0;
    let size = 0;
    let bodyBytes = 0;
    let frames = 0;
    let counted = 0;
    let mostFrames = 0;
    while (messages < most && position < end) {
      const flags = bytes[position] as number;
      const long = (flags & LONG) !== 0;
      const body = long ? readLongSize(bytes, position + 1) : (bytes[position + 1] as number);
      position += (long ? LONG_HEADER : SHORT_HEADER) + body;
      size += body;
      frames += 1;
      if ((flags & MORE) !== 0) continue;
      messages += 1;
      border = position;
      bodyBytes = size;
      if (frames - counted > mostFrames) mostFrames = frames - counted;
      counted = frames;
    }
    if (messages === 0) {
      // Its frames came in several chunks. They are copied: the chunks' memory is not the program's for that.
      const lease = new Lease();
      const batch = encodeMessage(this.take(undefined, lease), first);
      lease.release();
      return batch;
    }
    this.relayed = true;
    run.position = border;
    const { pooled, own } = run;
    // Taken over from the run that ends, or one more.
    if (border === end) this.#head = this.#runs.shift();
    else if (pooled !== undefined) pooled.refs += 1;
    this.messages -= messages;
    this.#kept -= border - start + FRAME_COST * counted;
    const tally = { bodyBytes, frames: counted, mostFrames };
    return new FrameBatch(bytes, start, border, messages, tally, first, pooled, own);
  }

  #nextRun(done: Run): void {
    done.pooled?.release(); // It was lent.
    if (done.list !== undefined) {
      this.#listsAreLarge = done.list.wasLarge;
      if (done.list === this.#list) this.#list = undefined;
    }
    this.#head = this.#runs.shift();
  }

  /** The connection is gone: what is incomplete is dropped. */
  cut(): void {
    this.#split.drop();
    this.outer?.cut();
    this.outer = undefined;
    this.fragments = 0;
    this.#kept -= this.#begun;
    this.#frames = 0;
    this.#size = 0;
    this.#begun = 0;
    if (this.messages === 0) this.clear();
    else this.#dropTail();
  }

  /** Throws the whole messages away; one that is still arriving goes on. @returns how many */
  clear(): number {
    const { messages } = this;
    if (this.#frames > 0) {
      while (this.messages > 0) this.take();
      return messages;
    }
    this.messages = 0;
    this.#kept = 0;
    this.#head = undefined;
    this.#runs.clear();
    this.#list = undefined;
    return messages;
  }

  /** Frames behind the last whole message: another connection's must not be read as their end. */
  #dropTail(): void {
    const runs: Run[] = [];
    let left = this.messages;
    for (let run = this.#head; run !== undefined; run = this.#runs.shift()) {
      let position = run.position;
      if (run.list !== undefined) {
        left -= run.list.waiting;
        runs.push(run);
        continue;
      }
      while (left > 0 && position < run.end) {
        const flags = run.bytes[position] as number;
        position +=
          (flags & LONG) !== 0
            ? LONG_HEADER + readLongSize(run.bytes, position + 1)
            : SHORT_HEADER + (run.bytes[position + 1] as number);
        if ((flags & (COMMAND | MORE)) === 0) left -= 1;
      }
      if (position > run.position) runs.push(position === run.end ? run : run.before(position));
    }
    this.#head = undefined;
    for (const run of runs) this.#keep(run);
  }

  /** Keeps frames of a chunk: as a view, or as a copy where that would hold on to more than twice their size. */
  #keepRange(
    chunk: Uint8Array,
    start: number,
    end: number,
    frames: number,
    size: number,
    isShared: boolean,
    pooled: PooledBuffer | undefined,
  ): void {
    if (end === start) return;
    this.#kept += end - start + FRAME_COST * frames;
    if (isShared || (end - start) * 2 < size) this.#keepCopy(chunk, start, end);
    else {
      if (pooled !== undefined) pooled.refs += 1;
      this.#keep(new Run(chunk, start, end, pooled, pooled !== undefined));
    }
  }

  /** Little goes into a pool of 8 KiB (Buffer.poolSize): memory of its own for each would cost more than the rest. */
  #keepCopy(chunk: Uint8Array, start: number, end: number): void {
    const size = end - start;
    const pooled = size < DIRECT ? undefined : acquire(size);
    const copy = pooled?.bytes ?? (size < Buffer.poolSize >>> 1 ? Buffer.allocUnsafe(size) : allocate(size));
    copy.set(chunk.subarray(start, end));
    this.#keep(new Run(copy, 0, size, pooled, true));
  }

  #keep(run: Run): void {
    this.#list = undefined;
    if (this.#head === undefined) this.#head = run;
    else this.#runs.push(run);
  }

  /** Where a message of a few short frames ends that is whole; 0: it is another, or something is wrong with it. */
  #wholeAt(chunk: Uint8Array, start: number, to: number): number {
    let position = start;
    for (let frames = 1; frames <= FEW_FRAMES; frames++) {
      const flags = chunk[position] as number;
      position += SHORT_HEADER + (chunk[position + 1] as number);
      // The next header is looked at, too.
      if (position > to || flags > MORE) return 0;
      if (flags === 0) {
        this.#wholeFrames = frames;
        return position - start - frames * SHORT_HEADER <= this.#maxMessageSize ? position : 0;
      }
      if (position + SHORT_HEADER > to) return 0;
    }
    return 0;
  }

  #check(flags: number, size: number): StreamFault | undefined {
    if ((flags & RESERVED) !== 0) return "reserved-bits";
    if ((flags & COMMAND) !== 0) {
      if (size > this.#maxMessageSize) return "too-long";
      return size > MAX_COMMAND ? "command-too-long" : undefined;
    }
    if (this.#size + size > this.#maxMessageSize) return "too-long";
    if (this.#frames >= MAX_FRAMES) return "too-many-frames";
    return undefined;
  }

  #tally(flags: number, size: number): void {
    if ((flags & COMMAND) !== 0) return;
    if ((flags & MORE) !== 0) {
      this.#frames += 1;
      this.#size += size;
      this.#begun += size + ((flags & LONG) === 0 ? SHORT_HEADER : LONG_HEADER) + FRAME_COST;
      return;
    }
    this.#frames = 0;
    this.#size = 0;
    this.#begun = 0;
    this.messages += 1;
  }
}

/** Whole frames, one behind the other, in the memory they came in; or messages that came as their frames. */
export class Run {
  readonly memory: ArrayBufferLike;
  readonly bytes: Uint8Array;
  /** Of `bytes` in `memory`. */
  readonly base: number;
  position: number;
  readonly end: number;
  /** Messages that came as their frames; undefined: it has bytes. */
  list: FrameList | undefined = undefined;
  /** Of the memory, if that is used again; counted for this run. */
  pooled: PooledBuffer | undefined;
  /** Nobody else refers to these bytes: they may be moved. */
  readonly own: boolean;

  constructor(
    bytes: Uint8Array,
    position: number,
    end: number,
    pooled: PooledBuffer | undefined,
    own: boolean,
  ) {
    this.memory = bytes.buffer;
    this.bytes = bytes;
    this.base = bytes.byteOffset;
    this.position = position;
    this.end = end;
    this.pooled = pooled;
    this.own = own;
  }

  /** The program gets views of it, for good where they are not lent. */
  handOver(lease: Lease | undefined): void {
    const pooled = this.pooled as PooledBuffer;
    if (lease !== undefined) {
      lease.add(pooled);
      return;
    }
    pooled.pin();
    this.pooled = undefined;
  }

  /** Those before `end`, from where this one has been taken to. */
  before(end: number): Run {
    return new Run(this.bytes, this.position, end, this.pooled, this.own);
  }
}
