/**
 * Credit of an answer in pieces: bytes that its sender may send before the reader grants more. A piece that begins
 * within the window is sent whole.
 *
 *   sender   credit = STREAM_WINDOW - cost of pieces + grants; waits at 0
 *   reader   grants the bytes it has read, once they are half of the window
 */

/** Bytes before the first grant. */
export const STREAM_WINDOW = 65_536;

export class ReadWindow {
  #owed = 0;

  /** Counts bytes read. @returns bytes to grant now; 0: none yet */
  read(bytes: number): number {
    this.#owed += bytes;
    if (2 * this.#owed < STREAM_WINDOW) return 0;
    const grant = this.#owed;
    this.#owed = 0;
    return grant;
  }
}
