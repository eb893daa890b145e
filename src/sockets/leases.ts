/**
 * Leases for batches of received messages, and constant flags that let a page's build omit code. With
 * SHOAL_CHECK_BATCHES=1 each frame is a copy that fails once its batch is disposed.
 */
import { ClosedError } from "../core/errors.js";
import { allocateTransferable } from "../core/memory.js";
import { Lease } from "../engine/lease.js";

/** Whether messages are taken in groups. */
export const TAKES_MANY = true as boolean;

/** Whether the engine copies waiting messages. */
export const KEEPS_COPIES = true as boolean;

export const SPINS = true as boolean;

/** Whether the engine passes on frames given away. */
export const TRANSFERS = true as boolean;

export const READINESS = true as boolean;

const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** Makes frames of a disposed batch throw. Their memory is detached, so their views are empty. */
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
      // The program may have transferred it.
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

export function lendBatch(): Lease {
  return process.env.SHOAL_CHECK_BATCHES === "1" ? new CheckedLease() : new Lease();
}
