/**
 * Credit of an answer in pieces: the bytes that its sender may send before the reader grants more. A piece that begins
 * within the window is sent whole, so at most the window and one piece are unread.
 *
 *   sender   credit = STREAM_WINDOW - cost of pieces + grants; waits at 0
 *   reader   grants the bytes it has read, once they are half of the window
 */

/** Bytes of pieces that may be sent before the first grant. */
export const STREAM_WINDOW = 65_536;

/** The reader's side. */
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
