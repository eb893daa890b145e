/**
 * The writing half of a link over a byte stream.
 *
 *   flush -> taken at once: confirmed, the next
 *         -> not all: blocked, until the stream has called back
 *         -> nothing left: writerOnEmpty
 */

import { forbidTransfer } from "../../core/memory.js";
import type { FramePiece } from "../frame.js";
import type { Segment } from "./codec/out-queue.js";
import type { Pipe } from "./pipe.js";
import type { ByteStream } from "./transport/reader.js";
import type { Framing } from "./transport/transport.js";

/** Bytes per write, and so in flight when a connection is lost. */
const MAX_WRITE = 262_144;
/**
 * ms to wait for the peer's hang-up: the kernel discards unread bytes if a slow peer sends to a closed
 * connection.
 */
export const HANG_UP_TIMEOUT = 30_000;

export type Seal = (pieces: readonly FramePiece[]) => readonly FramePiece[];

export interface WriterEffects {
  writerOnEmpty(): void;
  /** Called once, in a later turn. */
  writerOnFault(error: Error): void;
}

export class PipeWriter {
  readonly #socket: ByteStream;
  readonly #pipe: Pipe;
  readonly #seal: Seal | undefined;
  readonly #framing: Framing | undefined;
  readonly #effects: WriterEffects;
  /** The kernel or the peer's limit has not taken all written bytes. */
  blocked = false;
  #stopped = false;
  /** A listener of dropped messages may send within a write, which must not write the bytes in flight again. */
  #isWriting = false;
  wrote = false;
  given = 0;

  constructor(
    socket: ByteStream,
    pipe: Pipe,
    seal: Seal | undefined,
    framing: Framing | undefined,
    effects: WriterEffects,
  ) {
    this.#socket = socket;
    this.#pipe = pipe;
    this.#seal = seal;
    this.#framing = framing;
    this.#effects = effects;
  }

  flush(): void {
    if (this.blocked || this.#stopped || this.#isWriting) return;
    const { out } = this.#pipe;
    if (out.messages > 0) this.wrote = true;
    while (out.length > 0) {
      if (!this.#socket.writable) {
        // The peer has hung up, so the queue is for the next connection.
        this.blocked = true;
        return;
      }
      if (!this.#write()) return;
      // A failed write's messages are lost when the stream closes.
      if (this.#isFull()) {
        this.blocked = true;
        this.#pin();
        return;
      }
      out.confirm();
      this.#framing?.release?.();
    }
    this.#effects.writerOnEmpty();
  }

  writeControl(bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.given += bytes.length;
    this.#socket.write(bytes, this.#socketOnWritten);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** @returns `false` after a failure, which must not affect other connections */
  #write(): boolean {
    this.#isWriting = true;
    try {
      const segments = this.#pipe.takeOut(MAX_WRITE);
      if (segments.length > 0) this.#give(this.#seal?.(segments) ?? segments);
      return true;
    } catch (error) {
      this.#stopped = true;
      this.blocked = true;
      // The caller may be choosing a pipe.
      setImmediate(() => this.#effects.writerOnFault(error as Error));
      return false;
    } finally {
      this.#isWriting = false;
    }
  }

  #give(pieces: readonly FramePiece[]): void {
    const socket = this.#socket;
    const last = pieces.length - 1;
    if (last > 0) socket.cork();
    for (let i = 0; i <= last; i++) {
      const { bytes, start, end } = pieces[i] as FramePiece;
      this.given += end - start;
      socket.write(bytes.subarray(start, end), i === last ? this.#socketOnWritten : undefined);
    }
    if (last > 0) socket.uncork();
  }

  #pin(): void {
    if (this.#seal === undefined) pinSegments(this.#pipe.out.inFlight);
  }

  #isFull(): boolean {
    const { writableLength, errored } = this.#socket;
    // Only `errored` shows the failure of a batch; its callback gets no error.
    return writableLength > 0 || errored !== null || (this.#framing?.excess ?? 0) > 0;
  }

  relieve(): void {
    if (!this.blocked || this.#stopped || this.#isFull()) return;
    this.blocked = false;
    this.#pipe.out.confirm();
    this.#framing?.release?.();
    this.flush();
    if (this.blocked) this.#pipe.relieved(); // Otherwise writerOnEmpty has done so.
  }

  #socketOnWritten = (): void => this.relieve();
}

/** Forbids transfers of memory the kernel still reads: freed memory could hold other data when sent. */
function pinSegments(segments: readonly Segment[]): void {
  for (const { memory, bytes } of segments) if (memory === undefined) forbidTransfer(bytes);
}
