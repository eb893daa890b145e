/**
 * Where the kernel puts what comes on a stream:
 *
 *   little                     --> memory that all streams of the thread share; the sink copies what it keeps
 *   much, as the last read was --> memory of its own, which the sink keeps
 *   the rest of a large frame  --> the frame's memory, where it stays
 *   its last bytes, the next   --> a little of the memory that is shared
 *   full records of TLS        --> memory of their own, one behind the other, until it is full or the turn ends
 *
 * A stream of node:net makes memory of 64 KiB for each read, however little comes, and
 * a large frame is put together by copying it once more. A connection that is idle has
 * no memory here.
 *
 *   reading --pause--> ahead: keeps what comes, so that a hang-up is noticed
 *      ^                 |  READ_AHEAD
 *      +---- resume -----+--> stopped
 */
import { allocate } from "../../../core/memory.js";
import { loopTurned } from "../../../core/turn-budget.js";
import { acquire, type PooledBuffer } from "../codec/pooled-buffer.js";
import type { ByteStream } from "./byte-stream.js";

/** Bytes of one read at most, except for the rest of a large frame, and for a relay. */
const READ_BYTES = 65_536;
/** The same for a relay: nobody keeps a part of it for long, and each read costs two callbacks. */
const RELAY_READ_BYTES = 262_144;
/** The same behind a large frame: as a rule the next one is as large, and only its header is wanted here. */
const READ_BEHIND_LARGE = 8_192;

/** Bytes of a bulk read: the next is expected to bring as many. */
const BULK_READ = 16_384;
/** Bytes of a full record of TLS (RFC 8446, Record Layer): as a rule others follow in the same read. */
const RECORD = 16_384;
/** Bytes that are gathered of them: what a write of 64 KiB has become, its last record included. */
const GATHERED_BYTES = 81_920;
/** Bytes that are kept while the connection takes none, until the stream is no longer read. */
const READ_AHEAD = 65_536;

let shared: Buffer | undefined;
let behindLarge: Buffer | undefined;

/** What the next bytes are put into as they are. */
export interface ReadTarget {
  /** The memory that they are to be in; undefined: any. */
  memory(): Uint8Array | undefined;
  /** Whether the end of a large frame is to come, too little for memory of its own. */
  readonly inLarge: boolean;
  /** Whether what comes is relayed as it is. */
  readonly relayed: boolean;
}

/** Takes what comes. */
export interface Sink {
  /** Bytes of its own that a bulk read of `size` bytes has in front, in the same memory; absent: none. */
  headroom?(size: number): number;
  /** Where the next bytes belong; undefined, or absent: the sink copies what it keeps. */
  readTarget?(): ReadTarget | undefined;
  /** So many bytes are in the memory that the target gave. */
  sinkFilled?(length: number): void;
  /**
   * The first `length` of `bytes` have come.
   *
   * @param kept they are the sink's; else they are others' after the call
   * @param pooled their memory, where it is used again: what refers to it after the call is counted in it, or pins it
   */
  sinkOnBytes(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void;
  /** Nothing more comes: the peer has said all it had, and it was handed on, or the stream is gone. Called once. */
  sinkOnEnd(): void;
}

/** Reads a stream for one sink at a time. */
export interface StreamReader {
  /** Begins, or goes on with another sink. */
  start(socket: ByteStream, sink: Sink): void;
  /** Gives back what a sink took and was not its own: the next sink gets it first. @param bytes are kept */
  giveBack(bytes: Buffer): void;
  pause(): void;
  resume(): void;
}

/** A stream that gives memory of its own. */
export interface DataSource {
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
}

export class Reader implements StreamReader {
  #socket: ByteStream | undefined = undefined;
  #sink: Sink | undefined = undefined;
  /** Memory of the sink's that the next bytes go to. */
  #given: Uint8Array | undefined = undefined;
  /** The last bytes were the end of a large frame. */
  #large = false;
  /** The last read was a bulk read. */
  #bulk = false;
  /** Memory for a bulk read, and what of it the kernel fills. */
  #own: PooledBuffer | undefined = undefined;
  #ownTarget: Buffer | undefined = undefined;
  /** Bytes of the next such memory, for a relay: as many as come at once. */
  #ownBytes = READ_BYTES;
  /** Full records of TLS are gathered: so many bytes of them are in it, which the sink has not got yet. */
  #gathers = false;
  #gathered = 0;
  /** They are handed on at the end of the turn. */
  #gathering = false;
  #paused = false;
  /** What came meanwhile. */
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #ended = false;
  #reportedEnd = false;
  /** The option of that name of `net.connect`. */
  readonly onread = {
    buffer: (): Uint8Array => {
      // The sink does not know of those yet, nor where what is behind them belongs.
      if (this.#gathered > 0) return (this.#ownTarget as Buffer).subarray(this.#gathered);
      shared ??= allocate(READ_BYTES);
      behindLarge ??= shared.subarray(0, READ_BEHIND_LARGE);
      const target = this.#sink?.readTarget?.();
      this.#given = this.#paused || this.#aheadBytes > 0 ? undefined : target?.memory();
      if (this.#given !== undefined) return this.#given;
      // The rest of a large frame brings the beginning of the next: more of it than its header would have to be copied.
      if (this.#large || target?.inLarge === true) return behindLarge;
      if (!this.#bulk) return shared;
      if (this.#own === undefined)
        this.#acquire(
          this.#gathers ? GATHERED_BYTES : target?.relayed === true ? this.#ownBytes : READ_BYTES,
        );
      return this.#ownTarget as Buffer;
    },
    callback: (length: number, bytes: Uint8Array): boolean => {
      // Of a TLS session records may come that were read before.
      if (!this.#gathers) loopTurned();
      if (this.#gathered > 0 || (this.#gathers && bytes === this.#ownTarget)) {
        this.#gather(length);
        return true;
      }
      this.#large = this.#given !== undefined;
      if (this.#large) {
        this.#sink?.sinkFilled?.(length);
        return true;
      }
      const own = this.#own;
      // Memory that is not even half full is used again.
      const kept = own !== undefined && bytes === this.#ownTarget && length * 2 >= bytes.length;
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

  /** The same for a socket of TLS. */
  onrecord(): Reader["onread"] {
    this.#gathers = true;
    return this.onread;
  }

  /** Begins, or goes on with another sink. @param socket that was made with `onread`, or is one that it follows */
  start(socket: ByteStream, sink: Sink): void {
    this.#sink = sink;
    if (this.#socket !== undefined) return;
    this.#socket = socket;
    socket.on("end", () => {
      this.#handGathered();
      this.#ended = true;
      this.#reportEnd();
    });
    socket.on("close", () => {
      this.#handGathered();
      // What was read before the peer's regular end is handed on all the same.
      if (!this.#ended) this.#drop();
      this.#ended = true;
      this.#reportEnd();
    });
  }

  pause(): void {
    this.#paused = true;
  }

  giveBack(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#ahead.unshift(bytes);
    this.#aheadBytes += bytes.length;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#aheadBytes === 0) this.#socket?.resume();
    else process.nextTick(() => this.#handOver()); // Not now: the caller of resume is taking a message.
  }

  /** Reads a stream that gives memory of its own. */
  follow(stream: DataSource): void {
    stream.on("data", (chunk: Buffer) => this.#came(chunk, chunk.length, true));
  }

  /** A record has come into memory of its own, behind those that are there. */
  #gather(length: number): void {
    this.#large = false;
    this.#gathered += length;
    this.#bulk = length >= RECORD;
    const room = (this.#ownTarget as Buffer).length - this.#gathered;
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
    const bytes = this.#ownTarget as Buffer;
    // Memory that is not even half full is used again.
    const kept = length * 2 >= bytes.length;
    const done = kept || !this.#bulk;
    if (done) this.#own = undefined;
    this.#came(bytes, length, kept, kept ? own : undefined);
    if (done) own.release();
  }

  #acquire(size: number): void {
    const headroom = this.#sink?.headroom?.(size) ?? 0;
    this.#own = acquire(headroom + size);
    const { bytes } = this.#own;
    this.#ownTarget = headroom === 0 ? bytes : bytes.subarray(headroom);
  }

  #came(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void {
    if (!this.#paused && this.#aheadBytes === 0) {
      this.#sink?.sinkOnBytes(bytes, length, kept, pooled);
      return;
    }
    pooled?.pin();
    this.#ahead.push(kept ? bytes.subarray(0, length) : copyOf(bytes, length));
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

function copyOf(bytes: Uint8Array, length: number): Buffer {
  const copy = allocate(length);
  copy.set(bytes.subarray(0, length));
  return copy;
}
