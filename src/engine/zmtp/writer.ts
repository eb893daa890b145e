/**
 * The writing half of a link over a byte stream: what waits in the pipe goes to the
 * kernel, as much as it takes.
 *
 *   flush -> taken at once: confirmed, the next
 *         -> not all: blocked, until the stream has called back
 *         -> nothing left: writerOnEmpty
 */
import type { Segment } from "./codec/out-queue.js";
import type { Pipe } from "./pipe.js";
import { pinSegments, writePlain } from "./plain-write.js";
import type { ByteStream } from "./transport/byte-stream.js";
import type { Framing } from "./transport/framing.js";

/** Bytes handed to the kernel at once, and so what is in flight when a connection is lost. */
const MAX_WRITE = 262_144;
/**
 * How long a connection that has sent everything waits for the peer to hang up, in ms. A peer that reads slowly has not
 * got everything yet, and if it sends something to a closed connection, the kernel throws the rest away.
 */
export const HANG_UP_TIMEOUT = 30_000;

/** What a writer reports. */
export interface WriterEffects {
  /** Nothing is left to write. */
  writerOnEmpty(): void;
  /** What waits cannot be written; called in a turn of its own, once. */
  writerOnFault(error: Error): void;
}

export class PipeWriter {
  readonly #socket: ByteStream;
  readonly #pipe: Pipe;
  readonly #seal: ((segments: readonly Segment[]) => Uint8Array) | undefined;
  readonly #framing: Framing | undefined;
  readonly #effects: WriterEffects;
  #blocked = false;
  #stopped = false;
  /** Messages have gone to the kernel. */
  wrote = false;

  /**
   * @param seal what goes on the wire for whole plain frames; absent: they go as they are
   */
  constructor(
    socket: ByteStream,
    pipe: Pipe,
    seal: ((segments: readonly Segment[]) => Uint8Array) | undefined,
    framing: Framing | undefined,
    effects: WriterEffects,
  ) {
    this.#socket = socket;
    this.#pipe = pipe;
    this.#seal = seal;
    this.#framing = framing;
    this.#effects = effects;
  }

  /** The kernel, or the peer by its limit, has not taken yet what was written. */
  get blocked(): boolean {
    return this.#blocked;
  }

  flush(): void {
    if (this.#blocked || this.#stopped) return;
    const { out } = this.#pipe;
    if (out.messages > 0) this.wrote = true;
    while (out.length > 0) {
      if (!this.#socket.writable) {
        // The peer has hung up, and what it had sent before is not read yet: what waits is for the next connection.
        this.#blocked = true;
        return;
      }
      if (!this.#write()) return;
      // A write that failed leaves nothing behind in the stream, either; its messages are lost when it closes.
      if (this.#isFull()) {
        this.#blocked = true;
        this.#pin();
        return;
      }
      out.confirm();
      this.#framing?.release();
    }
    this.#effects.writerOnEmpty();
  }

  /** What is not of the pipe and goes out now, behind what the kernel has not taken yet: whole frames. */
  writeControl(bytes: Uint8Array): void {
    if (!this.#stopped) this.#socket.write(bytes, this.#socketOnWritten);
  }

  /** Nothing is written any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** @returns whether it could be done: one connection's failure does not concern the others that are flushed in the same turn */
  #write(): boolean {
    try {
      const segments = this.#pipe.takeOut(MAX_WRITE);
      // None: all had been transferred.
      if (segments.length > 0) this.#give(segments);
      return true;
    } catch (error) {
      this.#stopped = true;
      this.#blocked = true;
      // Not now: the caller is in the middle of choosing a pipe.
      setImmediate(() => this.#effects.writerOnFault(error as Error));
      return false;
    }
  }

  #give(segments: readonly Segment[]): void {
    if (this.#seal === undefined) writePlain(this.#socket, segments, this.#socketOnWritten);
    else this.#socket.write(this.#seal(segments), this.#socketOnWritten);
  }

  #pin(): void {
    if (this.#seal === undefined) pinSegments(this.#pipe.out.inFlight);
  }

  #isFull(): boolean {
    const { writableLength, errored } = this.#socket;
    // A batch that failed is called back without its error: the stream has it.
    return writableLength > 0 || errored !== null || (this.#framing?.excess ?? 0) > 0;
  }

  /** Goes on if there is room again; called when the peer may have raised its limit. */
  relieve(): void {
    if (!this.#blocked || this.#stopped || this.#isFull()) return;
    this.#blocked = false;
    this.#pipe.out.confirm();
    this.#framing?.release();
    this.flush();
    if (this.#blocked) this.#pipe.relieved(); // Else writerOnEmpty has done so.
  }

  #socketOnWritten = (): void => this.relieve();
}
