/** Reads frames out of segments. A frame may cross segments. */
import { slice } from "../../../core/memory.js";
import { LONG, LONG_HEADER, readLongSize, SHORT_HEADER } from "../../frame.js";
import type { Segment } from "./out-queue.js";

export interface Frame {
  /** MORE and COMMAND; never LONG. */
  readonly flags: number;
  readonly body: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export class FrameReader {
  /** A partial frame, or a header whose body is in the next segment. */
  #open: Uint8Array = NOTHING;

  get open(): boolean {
    return this.#open.length > 0;
  }

  read(segments: readonly Segment[]): Frame[] {
    const frames: Frame[] = [];
    for (const segment of segments) {
      let bytes = segment.bytes.subarray(segment.start, segment.end);
      if (this.#open.length > 0) {
        const isHeader = this.#open.length === LONG_HEADER && ((this.#open[0] as number) & LONG) !== 0;
        if (isHeader && sizeOf(this.#open) === bytes.length) {
          frames.push({ flags: (this.#open[0] as number) & ~LONG, body: bytes });
          this.#open = NOTHING;
          continue;
        }
        bytes = Buffer.concat([this.#open, bytes]);
        this.#open = NOTHING;
      }
      for (let position = 0; position < bytes.length; ) {
        const flags = bytes[position] as number;
        const header = (flags & LONG) === 0 ? SHORT_HEADER : LONG_HEADER;
        if (bytes.length - position < header) {
          this.#open = Buffer.from(bytes.subarray(position)); // The segment may be rewritten.
          break;
        }
        const size =
          header === SHORT_HEADER ? (bytes[position + 1] as number) : readLongSize(bytes, position + 1);
        const body = position + header;
        if (body + size > bytes.length) {
          this.#open = Buffer.from(bytes.subarray(position));
          break;
        }
        frames.push({ flags: flags & ~LONG, body: slice(bytes.buffer, bytes.byteOffset + body, size) });
        position = body + size;
      }
    }
    return frames;
  }
}

function sizeOf(header: Uint8Array): number {
  return ((header[0] as number) & LONG) === 0 ? (header[1] as number) : readLongSize(header, 1);
}
