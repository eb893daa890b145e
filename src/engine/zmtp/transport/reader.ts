/**
 * Reads a stream, and chooses the memory for received bytes:
 *
 *   a small read                --> memory shared by all streams of the thread; the sink copies what it keeps
 *   a read after a large one    --> dedicated memory, kept by the sink
 *   rest of a large frame       --> the frame's memory, in place
 *   the read behind its end     --> a small part of the shared memory
 *   full TLS records            --> dedicated memory, contiguous, until it is full or the turn ends
 *                                   (1 KiB: 1.2 times as many a second as without; 64 B and 64 KiB the same)
 *
 * A stream of node:net would allocate 64 KiB for each read.
 *
 *   reading --pause--> ahead: keeps reading, so that a hang-up is noticed
 *      ^                 |  READ_AHEAD
 *      +---- resume -----+--> stopped
 */

import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { allocate, copyRange } from "../../../core/memory.js";
import { readInto, readsInto } from "../../../core/node-internals.js";
import { loopTurned } from "../../../core/turn-budget.js";
import { acquire, type PooledBuffer } from "../codec/pooled-buffer.js";

/** What the engine needs of a stream: one of node:net, of node:tls, or a Duplex. */
export interface ByteStream {
  /** Written bytes that the layer beneath has not taken. */
  readonly writableLength: number;
  readonly errored: Error | null;
  /** `false` once ended on either side. */
  readonly writable: boolean;
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
  /** Collects writes until `uncork`. */
  cork(): void;
  uncork(): void;
  /** @param done called when all bytes are taken, or none can be */
  end(done?: () => void): unknown;
  end(last: Uint8Array): unknown;
  destroy(error?: Error): unknown;
  pause(): unknown;
  resume(): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end" | "close", listener: () => void): unknown;
}

const READ_BYTES = 65_536;
/** For a relay: each read costs two callbacks. */
const RELAY_READ_BYTES = 262_144;
/** For the next frame's header. */
const READ_BEHIND_LARGE = 8_192;

const BULK_READ = 16_384;
/** Bytes of a full TLS record (RFC 8446, Record Layer). */
const RECORD = 16_384;
/** A write of 64 KiB with its last record. */
const GATHERED_BYTES = 81_920;
/** Bytes buffered before a paused connection stops reading. */
const READ_AHEAD = 65_536;

let shared: Buffer | undefined;
let behindLarge: Buffer | undefined;

export interface ReadTarget {
  /** Exact destination; undefined: any memory. */
  memory(): Uint8Array | undefined;
  /** Whether a large frame lacks too few bytes for a direct read. */
  readonly inLarge: boolean;
  readonly relayed: boolean;
}

export interface Sink {
  /** Destination of the next bytes; undefined or absent: any. */
  readTarget?(): ReadTarget | undefined;
  sinkFilled?(length: number): void;
  /**
   * @param kept whether the sink owns `bytes`; else they are overwritten after the call
   * @param pooled owner of `bytes`; later references are counted in it, or pin it
   */
  sinkOnBytes(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void;
  /** Once, after all bytes. */
  sinkOnEnd(): void;
}

export interface StreamReader {
  start(socket: ByteStream, sink: Sink): void;
  pause(): void;
  resume(): void;
}

export class Reader implements StreamReader {
  #socket: ByteStream | undefined = undefined;
  #sink: Sink | undefined = undefined;
  #given: Uint8Array | undefined = undefined;
  #large = false;
  #bulk = false;
  /** Memory for a bulk read. */
  #own: PooledBuffer | undefined = undefined;
  /** For a relay; follows the size of reads. */
  #ownBytes = READ_BYTES;
  #gathers = false;
  #gathered = 0;
  #gathering = false;
  #paused = false;
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #ended = false;
  #reportedEnd = false;
  readonly #attaches: boolean;
  /** As the option of `net.connect`. */
  readonly onread = {
    buffer: (): Uint8Array => {
      if (this.#gathered > 0) return (this.#own as PooledBuffer).bytes.subarray(this.#gathered);
      shared ??= allocate(READ_BYTES);
      behindLarge ??= shared.subarray(0, READ_BEHIND_LARGE);
      const target = this.#sink?.readTarget?.();
      this.#given = this.#paused || this.#aheadBytes > 0 ? undefined : target?.memory();
      if (this.#given !== undefined) return this.#given;
      // The next frame's beginning follows, which is copied except for its header.
      if (this.#large || target?.inLarge === true) return behindLarge;
      if (!this.#bulk) return shared;
      this.#own ??= acquire(
        this.#gathers ? GATHERED_BYTES : target?.relayed === true ? this.#ownBytes : READ_BYTES,
      );
      return this.#own.bytes;
    },
    callback: (length: number, bytes: Uint8Array): boolean => {
      // Records of a TLS session may have been read earlier.
      if (!this.#gathers) loopTurned();
      if (this.#gathered > 0 || (this.#gathers && bytes === this.#own?.bytes)) {
        this.#gather(length);
        return true;
      }
      this.#large = this.#given !== undefined;
      if (this.#large) {
        this.#sink?.sinkFilled?.(length);
        return true;
      }
      const own = this.#own;
      // Memory less than half full is reused.
      const kept = bytes === own?.bytes && length * 2 >= bytes.length;
      if (length === bytes.length) this.#ownBytes = Math.min(RELAY_READ_BYTES, 2 * this.#ownBytes);
      else if (length * 2 < this.#ownBytes) this.#ownBytes = Math.max(READ_BYTES, this.#ownBytes / 2);
      this.#bulk = length >= BULK_READ;
      const done = kept || !this.#bulk;
      if (done) this.#own = undefined;
      this.#came(bytes as Buffer, length, kept, kept ? own : undefined);
      if (done) own?.release();
      return true;
    },
  };

  /** @param attaches `false`: the socket calls `onread` by itself */
  constructor(attaches = true) {
    this.#attaches = attaches;
  }

  start(socket: ByteStream, sink: Sink): void {
    this.#sink = sink;
    this.#socket = socket;
    this.#gathers = isEncrypted(socket);
    socket.on("end", () => {
      this.#handGathered();
      this.#ended = true;
      this.#reportEnd();
    });
    socket.on("close", () => {
      this.#handGathered();
      // Bytes before the peer's regular end are still delivered.
      if (!this.#ended) this.#drop();
      this.#ended = true;
      this.#reportEnd();
    });
    if (this.#attaches) this.#attach(socket as Duplex);
  }

  /** Sockets of Node.js are read into the reader's memory. Events would cost 17 to 39 % more processor time over ws. */
  #attach(socket: Duplex): void {
    if (readsInto(socket)) {
      // Bytes may have arrived with an upgrade, or before this call.
      if (socket.readableLength > 0) {
        const early: Buffer = socket.read();
        this.#ahead.push(early);
        this.#aheadBytes += early.length;
      }
      readInto(socket, this.onread);
    } else socket.on("data", (chunk: Buffer) => this.#came(chunk, chunk.length, true));
    socket.resume();
    if (this.#aheadBytes > 0) process.nextTick(() => this.#handOver());
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // The stream may have ended behind the bytes that paused this again.
    if (this.#aheadBytes === 0 && !this.#ended) this.#socket?.resume();
    else process.nextTick(() => this.#handOver()); // The caller of `resume` is taking a message.
  }

  #gather(length: number): void {
    this.#large = false;
    this.#gathered += length;
    this.#bulk = length >= RECORD;
    const room = (this.#own as PooledBuffer).bytes.length - this.#gathered;
    if (!this.#bulk || room < RECORD) this.#handGathered();
    else if (!this.#gathering) {
      this.#gathering = true;
      setImmediate(() => this.#gatheringOnEnd());
    }
  }

  #gatheringOnEnd(): void {
    this.#gathering = false;
    this.#handGathered();
  }

  #handGathered(): void {
    const length = this.#gathered;
    if (length === 0) return;
    this.#gathered = 0;
    const own = this.#own as PooledBuffer;
    const { bytes } = own;
    const kept = length * 2 >= bytes.length;
    const done = kept || !this.#bulk;
    if (done) this.#own = undefined;
    this.#came(bytes, length, kept, kept ? own : undefined);
    if (done) own.release();
  }

  #came(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void {
    if (!this.#paused && this.#aheadBytes === 0) {
      this.#sink?.sinkOnBytes(bytes, length, kept, pooled);
      return;
    }
    pooled?.pin();
    this.#ahead.push(kept ? bytes.subarray(0, length) : copyRange(bytes, 0, length));
    this.#aheadBytes += length;
    if (this.#aheadBytes >= READ_AHEAD) this.#socket?.pause();
  }

  #handOver(): void {
    while (!this.#paused) {
      const bytes = this.#ahead.shift();
      if (bytes === undefined) break;
      this.#aheadBytes -= bytes.length;
      this.#sink?.sinkOnBytes(bytes, bytes.length, true);
    }
    if (this.#paused) return;
    this.#socket?.resume();
    this.#reportEnd();
  }

  #reportEnd(): void {
    if (!this.#ended || this.#reportedEnd || this.#aheadBytes > 0) return;
    this.#reportedEnd = true;
    this.#sink?.sinkOnEnd();
  }

  #drop(): void {
    this.#ahead = [];
    this.#aheadBytes = 0;
  }
}

/** Bun's class for encrypted sockets differs. */
export function isEncrypted(socket: object): boolean {
  return (socket as Partial<TLSSocket>).encrypted === true;
}
