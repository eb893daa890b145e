/**
 * A link to a socket in another thread, over a MessagePort. Both ends share one queue, bounded by the sum of both
 * high-water marks, as they were when the link was made.
 *
 *   out:  queued messages, copied once into memory to transfer: one post per turn
 *   in:   this memory as it is: frames are views of it
 *
 *   open --close, or the other end is gone--> closed
 *    +-----halfClose--> half-closed: receives until the other has closed, or was silent ---^
 *
 * The words on the port, both ways:
 *
 *   ArrayBuffer, transferred     messages: 4 bytes, their number, 4 bytes, that of their frames, then these (37/ZMTP, Framing)
 *   [TAKEN, messages, cost]      totals that the program has taken, the cost as in core/memory.ts
 *   [HALF_CLOSED]                the sender sends nothing more, and receives until the other has closed
 *   [CLOSED]                     the sender neither sends nor receives
 *
 * All threads of the process are one program, so words are not checked.
 */
import { allocateTransferable, FRAME_COST, forbidTransfer } from "../../../core/memory.js";
import type { Segment } from "../codec/out-queue.js";
import { tooLargeText } from "../errors.js";
import { type CloseReason, type Link, limitOf, type Pipe, type ReceiveMarks } from "../pipe.js";
import { HANG_UP_TIMEOUT } from "../writer.js";

const Word = { Taken: 3, HalfClosed: 4, Closed: 5 } as const;

const BATCH_HEADER = 8;

/** A socket, for another thread. */
export interface Description {
  readonly socketType: string;
  /** Routing id; empty: unset. */
  readonly identity: Uint8Array;
  readonly marks: ReceiveMarks;
}

export interface MessagePortLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: ((event: unknown) => void) | null;
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  addEventListener(type: "close", listener: () => void): void;
  close(): void;
  /** Present if the port keeps the process alive. */
  unref?(): void;
}

/** Bytes; the last message of a post may go beyond them. */
const MAX_POST = 1_048_576;
/** Taken messages are reported per quarter of the high-water mark. */
const TAKEN_PART = 4;
/** Without a high-water mark. */
const UNBOUNDED_TAKEN = 1_024;
const UNBOUNDED_TAKEN_BYTES = 4_194_304;

export class PortLink implements Link {
  blocked = true;
  /** Posted and untaken messages, and their cost. */
  ahead = 0;
  aheadBytes = 0;
  readonly #port: MessagePortLike;
  readonly #pipe: Pipe;
  readonly #onEnd: (reason: CloseReason | "remote", tooLarge?: string) => void;
  readonly #theirs: ReceiveMarks;
  /** Messages and bytes that the program takes between two reports. */
  readonly #part: number;
  readonly #partBytes: number;
  #sent = 0;
  #sentCost = 0;
  #came = 0;
  #cameCost = 0;
  #postAt: number;
  #postAtBytes: number;
  #closed = false;
  /** Of a half-closed link. */
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param theirs marks of the other end's socket @param onEnd called once */
  constructor(
    port: MessagePortLike,
    pipe: Pipe,
    marks: ReceiveMarks,
    theirs: ReceiveMarks,
    onEnd: (reason: CloseReason | "remote", tooLarge?: string) => void,
  ) {
    this.#pipe = pipe;
    this.#theirs = theirs;
    this.#onEnd = onEnd;
    this.#part = partOf(marks.receiveHighWaterMark, UNBOUNDED_TAKEN);
    this.#partBytes = partOf(marks.receiveHighWaterMarkBytes, UNBOUNDED_TAKEN_BYTES);
    this.#postAt = this.#part;
    this.#postAtBytes = this.#partBytes;
    this.#port = port;
    port.addEventListener("close", () => this.#end("remote"));
    // Later words would follow a gap.
    port.onmessageerror = () => this.#end("remote");
    port.onmessage = ({ data }) => {
      if (this.#closed) return;
      if (Array.isArray(data)) this.#portOnWord(data);
      else this.#portOnMemory(data as ArrayBuffer);
    };
    port.unref?.();
  }

  open(): void {
    if (this.#closed) return;
    this.blocked = false;
    this.flush();
  }

  get room(): number {
    return limitOf(this.#theirs.receiveHighWaterMark);
  }

  get roomBytes(): number {
    return limitOf(this.#theirs.receiveHighWaterMarkBytes);
  }

  flush(): void {
    if (this.blocked) return;
    const pipe = this.#pipe;
    const { out } = pipe;
    if (out.length === 0) return;
    while (out.length > 0) {
      const segments = pipe.takeOut(MAX_POST);
      if (segments.length > 0) this.#post(segments);
      out.confirm();
    }
    pipe.relieved();
  }

  resume(): void {
    this.#reportTaken();
  }

  drain(): void {
    this.close("local");
  }

  halfClose(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.flush();
    this.blocked = true;
    this.#say([Word.HalfClosed]);
    this.#timer = setTimeout(() => this.close("local"), HANG_UP_TIMEOUT).unref();
  }

  close(reason: CloseReason, tooLarge?: string): void {
    if (this.#closed) return;
    this.flush();
    this.#say([Word.Closed]);
    this.#end(reason, tooLarge);
  }

  #portOnMemory(memory: ArrayBuffer): void {
    const bytes = Buffer.from(memory);
    // Frames share this memory.
    forbidTransfer(bytes);
    const header = new DataView(memory);
    this.#came += header.getUint32(0, true);
    this.#cameCost += bytes.length - BATCH_HEADER + FRAME_COST * header.getUint32(4, true);
    const pipe = this.#pipe;
    const fault = pipe.in.push(bytes, BATCH_HEADER);
    this.#timer?.refresh();
    pipe.arrived();
    if (fault !== undefined) this.close("protocol", tooLargeText(fault, pipe.in));
    else this.#reportTaken();
  }

  #portOnWord([word, first, second]: readonly unknown[]): void {
    switch (word) {
      case Word.Taken:
        this.ahead = this.#sent - (first as number);
        this.aheadBytes = this.#sentCost - (second as number);
        this.#pipe.relieved();
        break;
      case Word.HalfClosed:
        // The half-closed end still receives.
        this.flush();
        this.#say([Word.Closed]);
        this.#end("remote");
        break;
      case Word.Closed:
        this.#end("remote");
        break;
      default:
    }
  }

  #say(word: readonly unknown[]): void {
    if (!this.#closed) this.#port.postMessage(word);
  }

  #post(segments: readonly Segment[]): void {
    let size = BATCH_HEADER;
    let messages = 0;
    let frames = 0;
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i] as Segment;
      size += segment.end - segment.start;
      messages += segment.messages;
      frames += segment.frames;
    }
    const memory = allocateTransferable(size);
    const header = new DataView(memory.buffer);
    header.setUint32(0, messages, true);
    header.setUint32(4, frames, true);
    let at = BATCH_HEADER;
    for (let i = 0; i < segments.length; i++) {
      const { bytes, start, end } = segments[i] as Segment;
      memory.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), at);
      at += end - start;
    }
    this.#sent += messages;
    const cost = size - BATCH_HEADER + FRAME_COST * frames;
    this.#sentCost += cost;
    this.ahead += messages;
    this.aheadBytes += cost;
    const buffer = memory.buffer as ArrayBuffer;
    this.#port.postMessage(buffer, [buffer]);
  }

  #reportTaken(): void {
    if (this.#closed) return;
    const { in: queue } = this.#pipe;
    const taken = this.#came - queue.messages;
    const takenCost = this.#cameCost - queue.cost - queue.unfinished;
    if (taken >= this.#postAt || takenCost >= this.#postAtBytes) {
      this.#postAt = taken + this.#part;
      this.#postAtBytes = takenCost + this.#partBytes;
      this.#say([Word.Taken, taken, takenCost]);
    }
    if (queue.messages > 0) this.#pipe.watch();
  }

  #end(reason: CloseReason | "remote", tooLarge?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.blocked = true;
    clearTimeout(this.#timer);
    this.#port.close();
    this.#onEnd(reason, tooLarge);
  }
}

function partOf(mark: number, unbounded: number): number {
  return mark === 0 ? unbounded : Math.max(1, Math.floor(mark / TAKEN_PART));
}
