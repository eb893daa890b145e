/**
 * Leases for batches of received messages, and flags that a page's build replaces. With SHOAL_CHECK_BATCHES=1 each frame is a
 * copy that fails after its batch was disposed.
 */
import { ClosedError } from "../core/errors.js";
import { allocateTransferable } from "../core/memory.js";
import { Lease } from "../engine/lease.js";

/** Whether messages are taken in groups. These flags are constants, so that a page's build omits the code. */
export const TAKES_MANY = true as boolean;

/** Whether the engine keeps copies of waiting messages. */
export const KEEPS_COPIES = true as boolean;

/** Whether the event loop can be kept awake. */
export const SPINS = true as boolean;

/** Whether the engine passes on frames that the program gives away. */
export const TRANSFERS = true as boolean;

/** Whether sockets have `sendMany`. */
export const SENDS_MANY = true as boolean;

/** Whether there are relays, which wait for messages and room. */
export const READINESS = true as boolean;

const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** The prototype of frames of a disposed batch, which throws. Their memory is detached, so views of them are empty. */
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
      // The program may have transferred it already.
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
