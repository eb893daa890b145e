/**
 * Standard input, cut into lines: bytes ended by a line feed, which is no part of
 * them. Nothing else is touched, a carriage return least of all. What follows the
 * last line feed is a line, too, unless it is empty.
 */

/** Bytes of the longest line: what a shoal socket takes as one frame by default. */
export const MAX_LINE = 64 * 1_024 * 1_024;

const LINE_FEED = 0x0a;

export class LineSplitter {
  readonly #max: number;
  /** The pieces of a line that began in an earlier chunk; joined once, when its end comes. */
  #pieces: Buffer[] = [];
  #length = 0;
  #tooLong = false;

  constructor(max: number = MAX_LINE) {
    this.#max = max;
  }

  /** A line exceeded the bound. It and all that follows are thrown away. */
  get tooLong(): boolean {
    return this.#tooLong;
  }

  /** @returns the lines that end in this chunk: views of it, but for the one that began earlier */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    while (!this.#tooLong) {
      const end = chunk.indexOf(LINE_FEED, start);
      const rest = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#length + rest.length > this.#max) {
        this.#tooLong = true;
        this.#take();
        break;
      }
      if (end < 0) {
        if (rest.length > 0) this.#keep(rest);
        break;
      }
      if (this.#length === 0) {
        lines.push(rest);
      } else {
        this.#keep(rest);
        lines.push(this.#take());
      }
      start = end + 1;
    }
    return lines;
  }

  /** The input is over. @returns the line that had no line feed, if there is one */
  end(): Buffer | undefined {
    return this.#length === 0 ? undefined : this.#take();
  }

  #keep(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#length += piece.length;
  }

  #take(): Buffer {
    const line = this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    return line;
  }
}
