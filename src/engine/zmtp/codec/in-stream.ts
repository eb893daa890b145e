/**
 * Received data of one pipe: chunks in, whole messages out.
 *
 *   push(chunk) -> scanned for frame borders: counts messages, hands commands
 *                  over, finds faults; bodies stay where they are
 *   take()      -> the next message, its frames views of the chunks
 *
 * Each chunk becomes a run of whole frames. A frame that spans chunks is assembled separately
 * (split-frame.ts). Messages that come as arrays of frames, from a socket of the same thread, are in a queue of arrays;
 * a run counts adjacent ones.
 */
import { constants } from "node:buffer";
import { RingBuffer } from "../../../core/collections/queues.js";
import { allocate, costOf, FRAME_COST, frameCost, MAX_FRAMES, slice } from "../../../core/memory.js";
import { Lease, type TakenMessages } from "../../engine.js";
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
import type { Batches, FrameBatch } from "../../frame-batch.js";
import { acquire, type PooledBuffer } from "./pooled-buffer.js";
import { DIRECT, MAX_EAGER, SplitFrame, type SplitFrameEffects, type StreamFault } from "./split-frame.js";

/** Bytes; SUBSCRIBE with its prefix is the longest command. */
export const MAX_COMMAND = 65_536;

export type { StreamFault };
export type OnCommand = (body: Buffer) => void;

/** Cost of messages that a batch copies from the queue of arrays. */
const MAX_ENCODED = 131_072;

/** Most frames of a message that the fast path scans. */
const FEW_FRAMES = 8;

const NO_BYTES = Buffer.alloc(0);

export class InStream implements SplitFrameEffects {
  messages = 0;
  /** The last messages were taken in encoded form. */
  relayed = false;
  #maxMessageSize = 0;
  readonly maxFrames: number;
  readonly #onCommand: OnCommand;
  readonly #runs = new RingBuffer<Run>(4);
  #head: Run | undefined = undefined;
  #arrays: RingBuffer<Buffer[]> | undefined = undefined;
  /** The last run, if it counts arrays. */
  #arraysRun: Run | undefined = undefined;
  /** Of the incomplete message: frames, and the bytes of their bodies. */
  #frames = 0;
  #size = 0;
  /** Cost of its whole frames (core/memory.ts). */
  #begun = 0;
  /** Cost of all whole frames. */
  #kept = 0;
  #wholeFrames = 0;
  /** The incomplete sealed frame. */
  outer: SplitFrame | undefined = undefined;
  /** Bytes that the transport assembles from fragments. */
  fragments = 0;
  readonly #split: SplitFrame;

  get cost(): number {
    return this.#kept - this.#begun;
  }

  get unfinished(): number {
    return this.#begun + this.#split.bytes + this.fragments + (this.outer?.bytes ?? 0);
  }

  get maxMessageSize(): number {
    return this.#maxMessageSize;
  }

  /** What the incomplete message leaves of it; 0 also where the limit was lowered meanwhile. */
  get room(): number {
    return Math.max(0, this.#maxMessageSize - this.#size);
  }

  /** @param maxMessageSize total bytes of a message's frames; negative: no limit */
  constructor(maxMessageSize: number, onCommand: OnCommand, maxFrames = MAX_FRAMES) {
    this.limit(maxMessageSize);
    this.maxFrames = maxFrames;
    this.#onCommand = onCommand;
    this.#split = new SplitFrame(this);
  }

  /** For frames with headers yet to arrive. */
  limit(maxMessageSize: number): void {
    const most = constants.MAX_LENGTH - LONG_HEADER;
    this.#maxMessageSize = maxMessageSize < 0 ? most : Math.min(most, maxMessageSize);
  }

  /** Keeps a reference to the chunk. @param pooled owner of the chunk */
  push(chunk: Uint8Array, from = 0, to = chunk.length, pooled?: PooledBuffer): StreamFault | undefined {
    return this.#push(chunk, from, to, false, pooled);
  }

  /** The caller reuses the memory after the call, so kept bytes are copied. */
  pushShared(bytes: Uint8Array, length: number): StreamFault | undefined {
    return this.#push(bytes, 0, length, true, undefined);
  }

  /** Takes ownership of the array. */
  pushFrames(frames: Buffer[]): StreamFault | undefined {
    let size = 0;
    let cost = 0;
    for (let i = 0; i < frames.length; i++) {
      const { length } = frames[i] as Buffer;
      size += length;
      cost += frameCost(length);
    }
    if (size > this.#maxMessageSize) return "too-long";
    if (frames.length > this.maxFrames) return "too-many-frames";
    this.#addArray(frames, cost);
    return undefined;
  }

  /** @param cost as from a wire, so that marks mean the same for inproc */
  #addArray(frames: Buffer[], cost: number): void {
    this.#kept += cost;
    this.messages += 1;
    this.#arrays ??= new RingBuffer();
    this.#arrays.push(frames);
    const run = this.#arraysRun ?? this.#beginArrays();
    run.arrays += 1;
    run.cost += cost;
  }

  #beginArrays(): Run {
    const run = new Run(NO_BYTES, 0, 0, undefined, false);
    this.#keep(run);
    this.#arraysRun = run;
    return run;
  }

  /** Call `filled` after a read into it. */
  memory(): Uint8Array | undefined {
    return this.#split.memory();
  }

  get inLarge(): boolean {
    return this.#split.isLarge;
  }

  /** @returns the fault in the bytes behind the frame */
  filled(length: number): StreamFault | undefined {
    const behind = this.#split.filled(length);
    return behind === undefined ? undefined : this.pushShared(behind, behind.length);
  }

  splitOnHeader(flags: number, size: number): StreamFault | undefined {
    return this.#check(flags, size);
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
    let frames = 0;
    /** Of the incomplete message; -1: in an earlier chunk, or before a command. */
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
      // Fast path: a lone short frame.
      if (flags === 0 && this.#frames === 0 && size <= this.#maxMessageSize) {
        if (body + size > to) break;
        this.messages += 1;
        frames += 1;
        position = body + size;
        begin = position;
        continue;
      }
      // Fast path: a whole message of a few short frames. Of two frames, 8 of 73 ns.
      if (flags === MORE && this.#frames === 0 && this.maxFrames >= FEW_FRAMES) {
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
        // A large body is kept with its envelope, so that one range is relayed undecoded: 0.83 of a proxy's processor time
        // for 64 KiB behind an envelope.
        const large = (flags & COMMAND) === 0 && size >= DIRECT && body + size - begin <= MAX_EAGER;
        if (large && begin >= 0 && begin < position) {
          this.#keepRange(chunk, start, begin, frames - this.#frames, to - from, isShared, pooled);
          this.#kept += position - begin + FRAME_COST * this.#frames;
          return split.beginBehind(chunk, begin, position, to, body + size - begin);
        }
        break;
      }
      if ((flags & COMMAND) !== 0) {
        // A listener may take messages.
        this.#keepRange(chunk, start, position, frames, to - from, isShared, pooled);
        position = body + size;
        start = position;
        frames = 0;
        begin = this.#frames === 0 ? position : -1;
        pooled?.pin(); // The listener may keep the body.
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

  /** The message must exist. @param first a frame to put in front */
  take(first?: Buffer, lease?: Lease): Buffer[] {
    let run = this.#head as Run;
    const { bytes } = run;
    const { position } = run;
    this.relayed = false;
    if (run.pooled !== undefined) run.handOver(lease);
    else if (run.arrays > 0) {
      const taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
      this.#takeArrays(run, taken, 1, 1, first);
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
      frames.push(slice(run.memory, run.base + body, size));
      this.#kept -= body + size - run.position + FRAME_COST;
      run.position = body + size;
      if (run.position === run.end) this.#nextRun(run);
      if ((flags & MORE) === 0) break;
    }
    this.messages -= 1;
    return frames;
  }

  #takeArrays(run: Run, taken: TakenMessages, max: number, maxCost: number, first: Buffer | undefined): void {
    const { messages } = taken;
    const arrays = this.#arrays as RingBuffer<Buffer[]>;
    const most = Math.min(max - messages.length, run.arrays);
    const costOfFirst = first === undefined ? 0 : frameCost(first.length);
    let count = 0;
    let size = 0;
    let cost = 0;
    while (count < most && taken.cost + cost + count * costOfFirst < maxCost) {
      const frames = arrays.shift() as Buffer[];
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
    run.arrays -= count;
    // A sender may still have transferred a frame to a thread, which empties it.
    const gone = run.arrays === 0 ? run.cost : cost;
    run.cost -= gone;
    this.#kept -= gone;
    if (run.arrays === 0) this.#nextRun(run);
    taken.bytes += size + (first === undefined ? 0 : count * first.length);
    taken.cost += cost + count * costOfFirst;
  }

  /** Takes messages of one chunk; the next must exist. */
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
    else if (run.arrays > 0) {
      this.#takeArrays(run, taken, max, maxCost, first);
      return;
    }
    const { bytes, memory, base, end, position: start } = run;
    const { messages } = taken;
    const most = max - messages.length;
    const mostCost = maxCost - taken.cost;
    const costOfFirst = first === undefined ? 0 : frameCost(first.length);
    let position = start;
    let count = 0;
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
        if (border === undefined) break; // Frames of the message span chunks.
        const next = frameEnd(bytes, position);
        if (next < border && frameEnd(bytes, next) === border) {
          // Fast path for a head and a body, 20 of 80 ns: `push` reserves 17 more places.
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

  /** As `takeMany`, in encoded form. @param batches of a relay, without which nothing loads them */
  takeBatch(batches: Batches, max: number, first: Buffer | undefined): FrameBatch {
    const run = this.#head as Run;
    if (run.arrays > 0) {
      const taken: TakenMessages = { messages: [], bytes: 0, cost: 0 };
      this.#takeArrays(run, taken, max, MAX_ENCODED, undefined);
      return batches.encodeMessages(taken.messages, first);
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
      // A message that spans chunks is copied; the lease keeps their memory from the program.
      const lease = new Lease();
      const batch = batches.encodeMessages([this.take(undefined, lease)], first);
      lease.release();
      return batch;
    }
    this.relayed = true;
    run.position = border;
    const { pooled, own } = run;
    // The batch takes the run's reference if the run ends here, else a new one.
    if (border === end) this.#head = this.#runs.shift();
    else if (pooled !== undefined) pooled.refs += 1;
    this.messages -= messages;
    this.#kept -= border - start + FRAME_COST * counted;
    const tally = { bodyBytes, frames: counted, mostFrames };
    return new batches.FrameBatch(bytes, start, border, messages, tally, first, pooled, own);
  }

  #nextRun(done: Run): void {
    done.pooled?.release(); // Lent memory, or none.
    if (done === this.#arraysRun) this.#arraysRun = undefined;
    if (this.#arrays?.length === 0) this.#arrays.clear(); // A burst's memory.
    this.#head = this.#runs.shift();
  }

  /** Drops a lost connection's incomplete message. */
  cut(): void {
    this.#split.drop();
    this.outer?.drop();
    this.outer = undefined;
    this.fragments = 0;
    if (this.#frames === 0) return;
    // The next connection's frames must not complete those of the incomplete message.
    const whole: [frames: Buffer[], cost: number][] = [];
    while (this.messages > 0) {
      const before = this.#kept;
      const frames = this.take();
      whole.push([frames, before - this.#kept]);
    }
    this.#frames = 0;
    this.#size = 0;
    this.#begun = 0;
    this.clear();
    for (const [frames, cost] of whole) this.#addArray(frames, cost);
  }

  /** An incomplete message continues. @returns the number of dropped messages */
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
    this.#arrays?.clear();
    this.#arraysRun = undefined;
    return messages;
  }

  /** Copies if a view would retain more than twice the frames' size. */
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

  /** Small copies share Buffer's pool of 8 KiB. */
  #keepCopy(chunk: Uint8Array, start: number, end: number): void {
    const size = end - start;
    const pooled = size < DIRECT ? undefined : acquire(size);
    const copy = pooled?.bytes ?? (size < Buffer.poolSize >>> 1 ? Buffer.allocUnsafe(size) : allocate(size));
    copy.set(chunk.subarray(start, end));
    this.#keep(new Run(copy, 0, size, pooled, true));
  }

  #keep(run: Run): void {
    this.#arraysRun = undefined;
    if (this.#head === undefined) this.#head = run;
    else this.#runs.push(run);
  }

  /** 0: longer, incomplete or faulty. */
  #wholeAt(chunk: Uint8Array, start: number, to: number): number {
    let position = start;
    for (let frames = 1; frames <= FEW_FRAMES; frames++) {
      const flags = chunk[position] as number;
      position += SHORT_HEADER + (chunk[position + 1] as number);
      // The next header must be in the chunk, too.
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
    if ((flags & COMMAND) !== 0) return size > MAX_COMMAND ? "command-too-long" : undefined;
    if (this.#size + size > this.#maxMessageSize) return "too-long";
    if (this.#frames >= this.maxFrames) return "too-many-frames";
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

/** Adjacent whole frames in the memory of their chunk, or a number of messages in the queue of arrays. */
export class Run {
  readonly memory: ArrayBufferLike;
  readonly bytes: Uint8Array;
  readonly base: number;
  position: number;
  readonly end: number;
  /** Messages in the queue of arrays, and their cost. */
  arrays = 0;
  cost = 0;
  pooled: PooledBuffer | undefined;
  /** The bytes have no other reader. */
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

  /** To the program, until the lease ends. */
  handOver(lease: Lease | undefined): void {
    const pooled = this.pooled as PooledBuffer;
    if (lease !== undefined) {
      lease.add(pooled);
      return;
    }
    pooled.pin();
    this.pooled = undefined;
  }
}
