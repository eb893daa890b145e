/**
 * The bytes of a STREAM's connections, without greeting and handshake: each received chunk is a message, and an empty
 * message marks the start and the end.
 */
import { allocate } from "../../core/memory.js";
import { LONG_HEADER, writeHeader } from "../frame.js";
import type { StreamFault } from "./codec/in-stream.js";
import { acquire } from "./codec/pooled-buffer.js";
import { DIRECT } from "./codec/split-frame.js";
import type { Mechanism } from "./mechanism/mechanism.js";
import type { DecodedFrames, Framing } from "./transport/transport.js";

const NOTHING = Buffer.alloc(0);
const EMPTY_FRAME = Buffer.alloc(2);

const NO_MECHANISM: Mechanism = {
  name: "NULL",
  asServer: false,
  start: () => ({ done: new Map() }),
  receive: () => ({}),
  authenticated: () => ({}),
};

class RawFraming implements Framing {
  readonly mechanism = "NULL";
  readonly bare = true;
  readonly notice: Buffer;
  readonly closed = false;
  readonly pings = false;
  fault: StreamFault | undefined = undefined;

  /** @param notifies whether the program gets the empty messages */
  constructor(notifies: boolean) {
    this.notice = notifies ? EMPTY_FRAME : NOTHING;
  }

  decode(bytes: Uint8Array, length: number): DecodedFrames {
    try {
      const size = LONG_HEADER + length;
      const pooled = size < DIRECT ? undefined : acquire(size);
      const frame = pooled?.bytes ?? allocate(size);
      const body = writeHeader(frame, 0, 0, length);
      frame.set(bytes.subarray(0, length), body);
      return { bytes: frame, length: body + length, pooled, kept: true };
    } catch {
      this.fault = "no-memory";
      return { bytes: NOTHING, length: 0, pooled: undefined };
    }
  }
}

export const RAW = {
  mechanism: NO_MECHANISM,
  framing: (notifies: boolean): Framing => new RawFraming(notifies),
};

export type RawParts = typeof RAW;
