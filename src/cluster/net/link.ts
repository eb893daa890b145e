/**
 * One stream to a node, dialled or accepted (docs/spec/cluster.md, Streams):
 *
 *   hello    magic 4 "SHLK" | version 1 | nonce 32 | address: length 1, text      each end, at once
 *   frame    length 4 | packet                                                    length 0: this end closes on purpose
 *
 *   OPENING ──hello──> GREETED ──a genuine packet──> VERIFIED ──> CLOSED
 *      └─────HELLO_TIMEOUT, junk─────┘──────────────────^
 *
 * Each way has a session made of both hellos (seal.ts), so what is sealed in it was sealed for this very stream. An end of
 * a verified stream without a frame of length 0, or a reset, is evidence that the process is gone.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Sink } from "../../engine/zmtp/transport/reader.js";
import type { Stream } from "../../engine/zmtp/transport/transport.js";
import { MAX_ADDRESS, MAX_STREAM_PACKET } from "../bounds.js";
import { PREFIX } from "../wire/codec.js";
import type { Packet } from "../wire/packets.js";
import { SEAL_OVERHEAD, StreamWay } from "../wire/seal.js";
import { splitIpAddress } from "./addresses.js";
import type { BusCodec } from "./bus-codec.js";

const MAGIC = 0x5348_4c4b;
const LINK_VERSION = 1;
const NONCE_LENGTH = 32;
/** Bytes of a hello before its address. */
const HELLO_HEAD = 4 + 1 + NONCE_LENGTH + 1;
/** Bytes of a frame's length. */
const LENGTH = 4;
/** Bytes of a frame at most. */
const MAX_FRAME = MAX_STREAM_PACKET + PREFIX + SEAL_OVERHEAD;
/** Packets that wait for the other end's hello. */
const MAX_WAITING = 128;
/** Bytes that the other end has not taken: beyond it packets are dropped. */
const MAX_UNSENT_BYTES = 4_194_304;
/** ms in which the other end says hello, and a first genuine packet comes of it. */
const HELLO_TIMEOUT = 3_000;
/** ms in which the other end takes what was sent before the stream closes. */
const CLOSE_TIMEOUT = 1_000;

/** Why a stream ended. */
export type LinkEnd =
  /** By this node, or on purpose by the other one. */
  | "closed"
  /** The process at the other end is gone. */
  | "lost"
  /** The network failed, which proves nothing. */
  | "failed";

/** What a link needs of the node. */
export interface LinkEffects {
  /** Whether this address may be the other end's. */
  accepts(address: string): boolean;
  /** A frame. @returns whether it is a genuine packet; `undefined`: of a bus that is not here */
  onFrame(link: Link, bytes: Buffer): boolean | undefined;
  /** The other end is a node of the cluster. Called once. */
  onVerified(link: Link): void;
  /** Called once. */
  onEnd(link: Link, end: LinkEnd): void;
  count(reason: string): void;
}

export class Link implements Sink {
  readonly isDialled: boolean;
  /** The other node's, where packets go: as dialled, or as it says. Empty before its hello. */
  address: string;
  /** When a packet went or came last. */
  usedAt: number;
  readonly #stream: Stream;
  readonly #effects: LinkEffects;
  readonly #hello: Buffer;
  #waiting: { readonly codec: BusCodec; readonly packet: Packet }[] = [];
  #in: StreamWay | undefined;
  #out: StreamWay | undefined;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Bytes until something is complete. */
  #wanted = HELLO_HEAD;
  #verified = false;
  #ended = false;
  #closing = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param ownAddress of this node @param dialled the address, where this node dialled */
  constructor(stream: Stream, ownAddress: string, dialled: string | undefined, effects: LinkEffects) {
    this.#stream = stream;
    this.#effects = effects;
    this.isDialled = dialled !== undefined;
    this.address = dialled ?? "";
    this.usedAt = performance.now();
    this.#hello = helloOf(ownAddress);
    stream.socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#finish(error.code === "ECONNRESET" || error.code === "EPIPE" ? "lost" : "failed"),
    );
    stream.reader.start(stream.socket, this);
    stream.socket.write(this.#hello);
    this.#timer = setTimeout(() => this.#refuse("link:timeout"), HELLO_TIMEOUT);
    this.#timer.unref();
  }

  /** Whether a genuine packet came over it. */
  get verified(): boolean {
    return this.#verified;
  }

  get ended(): boolean {
    return this.#ended || this.#closing;
  }

  /** One way in, for `onFrame` to open by; there since the hello. */
  get wayIn(): StreamWay {
    return this.#in as StreamWay;
  }

  send(codec: BusCodec, packet: Packet): void {
    if (this.ended) return;
    this.usedAt = performance.now();
    if (this.#out === undefined) {
      if (this.#waiting.length >= MAX_WAITING) this.#effects.count("link:full");
      else this.#waiting.push({ codec, packet });
      return;
    }
    if (this.#stream.socket.writableLength > MAX_UNSENT_BYTES) {
      this.#effects.count("link:full");
      return;
    }
    const bytes = codec.encodeStream(this.#out, packet);
    const frame = Buffer.allocUnsafe(LENGTH + bytes.length);
    frame.writeUInt32BE(bytes.length, 0);
    bytes.copy(frame, LENGTH);
    this.#stream.socket.write(frame);
  }

  /** Ends it on purpose: the other end takes it for no evidence. */
  close(): void {
    if (this.ended) return;
    this.#closing = true;
    clearTimeout(this.#timer);
    this.#stream.socket.end(Buffer.alloc(this.#out === undefined ? 0 : LENGTH));
    this.#timer = setTimeout(() => this.#finish("closed"), CLOSE_TIMEOUT);
    this.#timer.unref();
  }

  /** Ends it at once. */
  destroy(): void {
    this.#finish("closed");
  }

  sinkMemory(): undefined {
    return undefined;
  }

  sinkInLarge(): boolean {
    return false;
  }

  sinkRelays(): boolean {
    return false;
  }

  sinkFilled(): void {}

  sinkOnEnd(): void {
    this.#finish(this.#closing ? "closed" : "lost");
  }

  sinkOnBytes(bytes: Buffer, length: number, kept: boolean): void {
    if (this.ended) return;
    const chunk = bytes.subarray(0, length);
    this.#pending.push(kept ? chunk : Buffer.from(chunk));
    this.#pendingBytes += length;
    while (this.#pendingBytes >= this.#wanted && !this.ended) {
      const all = this.#pending.length === 1 ? (this.#pending[0] as Buffer) : Buffer.concat(this.#pending);
      const taken = this.#in === undefined ? this.#takeHello(all) : this.#takeFrame(all);
      if (this.ended) break;
      const rest = all.subarray(taken);
      this.#pending = rest.length > 0 ? [rest] : [];
      this.#pendingBytes = rest.length;
      if (taken > 0) continue;
    }
  }

  /** @returns bytes that were taken; 0: `#wanted` has grown */
  #takeHello(bytes: Buffer): number {
    if (bytes.readUInt32BE(0) !== MAGIC || bytes[4] !== LINK_VERSION) {
      this.#refuse("link:hello");
      return 0;
    }
    const size = HELLO_HEAD + (bytes[HELLO_HEAD - 1] as number);
    if (bytes.length < size) {
      this.#wanted = size;
      return 0;
    }
    const hello = bytes.subarray(0, size);
    const address = hello.toString("utf8", HELLO_HEAD);
    if (splitIpAddress(address) === undefined || !this.#effects.accepts(address)) {
      this.#refuse("link:hello");
      return 0;
    }
    if (!this.isDialled) this.address = address;
    const [first, second] = this.isDialled ? [this.#hello, hello] : [hello, this.#hello];
    const sessions = createHash("sha256").update("shoal stream 1").update(first).update(second).digest();
    const [toAcceptor, toDialler] = [
      new StreamWay(sessions.subarray(0, 16)),
      new StreamWay(sessions.subarray(16)),
    ];
    [this.#out, this.#in] = this.isDialled ? [toAcceptor, toDialler] : [toDialler, toAcceptor];
    this.#wanted = LENGTH;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { codec, packet } of waiting) this.send(codec, packet);
    return size;
  }

  #takeFrame(bytes: Buffer): number {
    const length = bytes.readUInt32BE(0);
    if (length === 0) {
      this.#finish("closed");
      return 0;
    }
    if (length > MAX_FRAME) {
      this.#refuse("link:oversized");
      return 0;
    }
    if (bytes.length < LENGTH + length) {
      this.#wanted = LENGTH + length;
      return 0;
    }
    this.#wanted = LENGTH;
    this.usedAt = performance.now();
    const genuine = this.#effects.onFrame(this, bytes.subarray(LENGTH, LENGTH + length));
    if (genuine === false) this.destroy();
    if (genuine === true && !this.#verified && !this.ended) this.#verify();
    return LENGTH + length;
  }

  #verify(): void {
    this.#verified = true;
    clearTimeout(this.#timer);
    this.#effects.onVerified(this);
  }

  #refuse(reason: string): void {
    this.#effects.count(reason);
    this.#finish("failed");
  }

  #finish(end: LinkEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#pending = [];
    this.#stream.socket.destroy();
    this.#effects.onEnd(this, this.#closing ? "closed" : end);
  }
}

function helloOf(address: string): Buffer {
  const hello = Buffer.alloc(HELLO_HEAD + MAX_ADDRESS);
  hello.writeUInt32BE(MAGIC, 0);
  hello.writeUInt8(LINK_VERSION, 4);
  randomBytes(NONCE_LENGTH).copy(hello, 5);
  const length = hello.write(address, HELLO_HEAD);
  hello.writeUInt8(length, HELLO_HEAD - 1);
  return hello.subarray(0, HELLO_HEAD + length);
}
