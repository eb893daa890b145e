/**
 * The memory of a batch of received messages is the batch's until that is disposed. While batches are checked each frame is a copy
 * that fails after that.
 */
import { ClosedError } from "../core/errors.js";
import { allocateTransferable } from "../core/memory.js";
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
