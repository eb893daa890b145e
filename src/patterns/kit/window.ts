/**
 * The credit of an answer in pieces: how many bytes its sender may send before the reader has read some. One fixed window
 * for all; a piece that begins within it is sent whole, so what is unread is at most the window and one piece.
 *
 *   sender   credit = STREAM_WINDOW - the cost of each piece + what is granted; at 0 it waits
 *   reader   grants what was read when that is half of the window
 */

/** Bytes of pieces that may be sent before anything is granted. */
export const STREAM_WINDOW = 65_536;

/** The reader's side. */
export class ReadWindow {
  #owed = 0;

  /** The reader has read so many bytes. @returns bytes to grant now; 0: not yet */
  read(bytes: number): number {
    this.#owed += bytes;
    if (2 * this.#owed < STREAM_WINDOW) return 0;
    const grant = this.#owed;
    this.#owed = 0;
    return grant;
  }
}
