/**
 * What becomes of the memory that messages were received in:
 *
 *   lendBatch()   it is the batch's until that is disposed; while batches are checked each frame is a copy that fails after that
 *   COPYING       frames are copied out of memory that they would keep although they are a small part of it
 */
import { ClosedError } from "../core/errors.js";
import { allocate, allocateTransferable, slice } from "../core/memory.js";
import { Lease } from "../engine/lease.js";

/** Whether messages are taken of the engine together: a constant, so that a page's build has none of it. */
export const TAKES_MANY = true as boolean;

/** Whether the engine keeps copies of messages that wait, likewise. */
export const KEEPS_COPIES = true as boolean;

/** Whether the event loop can be kept from sleeping, likewise. */
export const SPINS = true as boolean;

/** Whether the engine hands on messages that the program gives away, likewise. */
export const TRANSFERS = true as boolean;

/** Whether sockets send arrays of messages, likewise. */
export const SENDS_MANY = true as boolean;

/** Whether something moves messages without calls for each, and waits for what is there, or for room: relays. */
export const READINESS = true as boolean;

/** Bytes of memory that copies of small frames share: what one that is kept holds on to. */
const COPIES = 4_096;
/** Bytes of a frame up to which its copy shares memory with others. */
const MAX_SHARED = 1_024;

let copies: Buffer | undefined;
let used = 0;

/** Copies a frame, unless it is half of its memory or more. */
function compact(frame: Buffer): Buffer {
  const { length } = frame;
  if (length > MAX_SHARED) {
    if (frame.buffer.byteLength <= 2 * length) return frame;
    const own = allocate(length);
    own.set(frame);
    return own;
  }
  if (copies === undefined || used + length > COPIES) {
    copies = allocate(COPIES);
    used = 0;
  }
  copies.set(frame, used);
  used += length;
  return slice(copies.buffer, copies.byteOffset + used - length, length);
}

class CopyingLease extends Lease {
  override get plain(): boolean {
    return false;
  }

  override received(frames: Buffer[]): Buffer[] {
    const copied = new Array<Buffer>(frames.length);
    let all = true;
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Buffer;
      const copy = compact(frame);
      if (copy === frame) all = false;
      copied[i] = copy;
    }
    if (all) this.release();
    else this.keep();
    return copied;
  }
}

/** Of receives with `copy`. It has no state between two messages. */
export const COPYING: Lease = new CopyingLease();

const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** The prototype of frames after their batch: what is asked of them throws. Their memory is gone, too, so that views of them are empty. */
const DISPOSED = new Proxy(Object.create(Buffer.prototype) as object, {
  get(_, key) {
    if (key === INSPECT) return () => "[frame of a disposed batch]";
    throw new ClosedError("EBADF", `The batch of this frame is disposed: ${String(key)} was asked of it`);
  },
});

class CheckedLease extends Lease {
  #frames: Buffer[] = [];

  override get plain(): boolean {
    return false;
  }

  override received(frames: Buffer[]): Buffer[] {
    const copied = frames.map((frame) => {
      const copy = allocateTransferable(frame.length);
      copy.set(frame);
      return copy;
    });
    this.#frames.push(...copied);
    return copied;
  }

  override release(): void {
    super.release();
    for (const frame of this.#frames) {
      // The program may have transferred it to another thread already.
      if (frame.buffer.byteLength > 0)
        structuredClone(frame.buffer, { transfer: [frame.buffer as ArrayBuffer] });
      Object.setPrototypeOf(frame, DISPOSED);
    }
    this.#frames = [];
  }

  override keep(): void {
    super.keep();
    this.#frames = [];
  }
}

/** A lease for the messages of one batch. */
export function lendBatch(): Lease {
  return process.env.SHOAL_CHECK_BATCHES === "1" ? new CheckedLease() : new Lease();
}
