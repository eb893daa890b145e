/**
 * The name a stored request goes by (9/TSP, Status Frames).
 *
 *   6 bytes  ms since 1970, big-endian        so that names are in order of time
 *   2 bytes  counter within the millisecond
 *   8 bytes  random                           so that nobody guesses another's
 *
 * On the wire it is 32 hexadecimal digits in upper case; lower case is accepted.
 * Names in order of time make a store's tree grow at its end: with random ones
 * each commit rewrites as many pages as it has records, and the rate falls as
 * the store fills.
 */
import { randomFillSync } from "node:crypto";

/** Bytes of a UUID in a store. */
export const UUID_BYTES = 16;

const TEXT = /^[0-9a-fA-F]{32}$/;
const COUNTER_LIMIT = 0x1_0000;
/** Random bytes fetched at once: a call for each UUID would cost more than the UUID. */
const POOL = 8 * 512;

/** Makes UUIDs, each greater than the one before, even when the clock is set back. */
export class UuidSource {
  readonly #pool = Buffer.alloc(POOL);
  #used = POOL;
  #time = 0;
  #counter = 0;

  /** @param now ms since 1970 */
  next(now: number): Buffer {
    const time = Math.floor(now);
    if (time > this.#time) {
      this.#time = time;
      this.#counter = 0;
    } else if (++this.#counter === COUNTER_LIMIT) {
      this.#time += 1;
      this.#counter = 0;
    }
    if (this.#used === POOL) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const uuid = Buffer.allocUnsafeSlow(UUID_BYTES);
    uuid.writeUIntBE(this.#time, 0, 6);
    uuid.writeUInt16BE(this.#counter, 6);
    this.#pool.copy(uuid, 8, this.#used, this.#used + 8);
    this.#used += 8;
    return uuid;
  }
}

/** A UUID as it stands on the wire. */
export function formatUuid(uuid: Uint8Array): string {
  return Buffer.from(uuid.buffer, uuid.byteOffset, uuid.byteLength).toString("hex").toUpperCase();
}

/**
 * The UUID that a peer named, or `undefined` for anything but 32 hexadecimal
 * digits. The Guide's titanic opens the file that the text names, `../` included;
 * here the text never leaves this function.
 */
export function parseUuid(frame: Uint8Array | string): Buffer | undefined {
  if (frame.length !== 2 * UUID_BYTES) return undefined;
  const text = typeof frame === "string" ? frame : Buffer.from(frame).toString("latin1");
  return TEXT.test(text) ? Buffer.from(text, "hex") : undefined;
}
