/**
 * Runs: small requests of one client, or their answers, that leave in one turn as one message of level 4.
 *
 *   from a client    SHLC01 | 0e | id 16 | span 4 | n 1 | service n | time 4    index: (low 4 | length 2)*                     bodies
 *   to a client      SHLC01 | 0f | id 16                                        index: (low 4 | length 2)*                     bodies
 *   to a worker      SHLW01 | 0e | id 16 | span 4                               index: (tag 4 | low 4 | time 4 | length 2)*    bodies
 *   from a worker    SHLW01 | 0f                                                index: (tag 4 | length 2)*                     bodies
 *
 * The head's id is that of the first member: its client's key and its sequence number. Of the others the index has the lower
 * half of the number; the upper half is the first one's. The bodies stand one behind the other, one frame of each member,
 * so that members that came one behind the other go on in one piece.
 *
 * A run is nothing but a way to write its members: each is handled as if it had come alone.
 */

import { EMPTY, type Frames } from "./protocol.js";

/** Bytes of a body that goes in a run. What is larger gains nothing by it. */
export const MAX_RUN_BODY = 1_024;

/** Bytes of a run's bodies; engines copy so much within the call that sends it. */
export const MAX_RUN_BYTES = 15_360;

/** Members of a run. */
export const MAX_RUN_MEMBERS = 512;

/** Bytes of the message that a run makes, at most: an end that takes no message of that size takes no runs. */
export const MAX_RUN_MESSAGE = 32_768;

/** Bytes of one member in the index. */
export const RunEntry = { Request: 6, Answer: 6, Delivery: 14, Reply: 6 } as const;

/**
 * Whether index and bodies fit each other. A run is handled in one go, and each member that waits holds all bodies: so larger ones than
 * ends send are none.
 *
 * @param entry bytes of one member in the index, its length in the last two
 */
export function isRun(frames: readonly Buffer[], at: number, entry: number): boolean {
  if (frames.length !== at + 2) return false;
  const index = frames[at] as Buffer;
  const { length } = index;
  if (length === 0 || length % entry !== 0 || length > MAX_RUN_MEMBERS * entry) return false;
  if ((frames[at + 1] as Buffer).length > MAX_RUN_BYTES) return false;
  let bytes = 0;
  for (let end = entry; end <= length; end += entry)
    bytes += ((index[end - 2] as number) << 8) | (index[end - 1] as number);
  return bytes === (frames[at + 1] as Buffer).length;
}

/** A run that is being written. Its memory is used again when the call that sends it has copied it. */
export class RunWriter {
  members = 0;
  /** Bytes of the bodies. */
  bytes = 0;
  #index: Buffer = Buffer.allocUnsafeSlow(MAX_RUN_MEMBERS * RunEntry.Delivery);
  #view = viewOf(this.#index);
  #at = 0;
  #bodies: Buffer = Buffer.allocUnsafeSlow(MAX_RUN_BYTES);
  /** Bytes of `#bodies` that are written. */
  #used = 0;
  /** What follows them: bytes that are not copied yet, since more may follow them where they came from. */
  #source: Buffer = EMPTY;
  #from = 0;
  #to = 0;

  /** Whether one more body of so many bytes has room. */
  hasRoom(length: number): boolean {
    return this.members < MAX_RUN_MEMBERS && this.bytes + length <= MAX_RUN_BYTES;
  }

  /** A member's number in the index; its length follows with the body. */
  number(value: number): void {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  /** A member's body, bytes of a run that came. */
  slice(source: Buffer, from: number, to: number): void {
    this.#length(to - from);
    if (source === this.#source && from === this.#to) {
      this.#to = to;
      return;
    }
    this.#close();
    this.#source = source;
    this.#from = from;
    this.#to = to;
  }

  /** A member's body, copied now. */
  body(frame: Uint8Array | string): void {
    if (this.#source !== EMPTY) this.#close();
    const used = this.#used;
    if (typeof frame === "string") this.#used += this.#bodies.write(frame, used);
    else {
      this.#bodies.set(frame, used);
      this.#used += frame.length;
    }
    this.#length(this.#used - used);
  }

  /** The message. Its frames are valid until the writer is used again. @param before the frames in front of the index */
  message(before: Frames): Frames {
    before.push(this.#index.subarray(0, this.#at), this.#joined());
    return before;
  }

  /** The body of the only member. */
  only(): Buffer {
    return this.#joined();
  }

  /** Who sends the message keeps its frames. */
  giveAway(): void {
    this.#index = Buffer.allocUnsafeSlow(MAX_RUN_MEMBERS * RunEntry.Delivery);
    this.#view = viewOf(this.#index);
    this.#bodies = Buffer.allocUnsafeSlow(MAX_RUN_BYTES);
  }

  clear(): void {
    this.members = 0;
    this.bytes = 0;
    this.#at = 0;
    this.#used = 0;
    this.#source = EMPTY;
    this.#from = 0;
    this.#to = 0;
  }

  #length(bytes: number): void {
    this.#view.setUint16(this.#at, bytes);
    this.#at += 2;
    this.members += 1;
    this.bytes += bytes;
  }

  #joined(): Buffer {
    // One piece as it came.
    if (this.#used === 0 && this.#source !== EMPTY) return this.#source.subarray(this.#from, this.#to);
    this.#close();
    return this.#bodies.subarray(0, this.#used);
  }

  #close(): void {
    if (this.#source === EMPTY) return;
    this.#bodies.set(this.#source.subarray(this.#from, this.#to), this.#used);
    this.#used += this.#to - this.#from;
    this.#source = EMPTY;
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Writers that nobody uses, kept for all ends of this process. */
const MAX_POOLED = 16;

const pooled: RunWriter[] = [];

export function takeWriter(): RunWriter {
  return pooled.pop() ?? new RunWriter();
}

export function giveWriterBack(writer: RunWriter): void {
  writer.clear();
  if (pooled.length < MAX_POOLED) pooled.push(writer);
}

/** Workers' connections, and services of clients, of this process that gather at once: thousands would have 22 KiB each. */
const MAX_BORROWED = 64;

let borrowed = 0;

/** A writer for a turn; `undefined`: too many have one, and what is to be sent goes alone. */
export function borrowWriter(): RunWriter | undefined {
  if (borrowed >= MAX_BORROWED) return undefined;
  borrowed += 1;
  return takeWriter();
}

/** @param writer from {@link borrowWriter} */
export function returnWriter(writer: RunWriter): void {
  borrowed -= 1;
  giveWriterBack(writer);
}

/** Whether a body goes in a run, as far as it alone decides. A text is measured as if each unit had three bytes. */
export function fitsRun(body: readonly (Uint8Array | string)[]): boolean {
  if (body.length !== 1) return false;
  const frame = body[0] as Uint8Array | string;
  return typeof frame === "string" ? frame.length * 3 <= MAX_RUN_BODY : frame.length <= MAX_RUN_BODY;
}

/** Bytes that a body of {@link fitsRun} takes at most. */
export function runBytes(frame: Uint8Array | string): number {
  return typeof frame === "string" ? frame.length * 3 : frame.length;
}
