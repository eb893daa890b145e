/**
 * A channel of a link as a Node.js stream.
 *
 * Credit is granted for what the program took out of the stream, so the window bounds what waits here. Node's stream asks for more
 * by `_read`; what was pushed before is read then, but for less than its high-water mark.
 *
 * Node's stream counts bytes, not pieces. So that pieces of a byte are not a hundred times their memory, small ones are pushed while its buffer is
 * empty only, and gathered here otherwise, until the program has read, or what it asked for by `read(n)` is there. One that listens to "readable" may
 * wait until `readableLength` is enough, without a `read`: it gets some pieces more.
 *
 *   frames ──> #backlog ──push──> Node's buffer ──> program
 *              |<------ unread: within the window ------>|
 */
import { Duplex } from "node:stream";
import { describe } from "../core/arguments.js";
import { RingBuffer } from "../core/collections/ring-buffer.js";
import { TransportError } from "../core/errors.js";
import { setWriteAhead } from "../core/node-internals.js";
import { COPIED_BYTES } from "./bounds.js";
import { LinkCode } from "./frames.js";
import type { ChannelState, LinkRules } from "./rules.js";

/** Bytes that Node's stream asks for in advance: of those that are read, and of those that are written, at least. */
const READ_AHEAD = 16_384;
const WRITE_AHEAD = 131_072;
/** Bytes of the memory in which small pieces are gathered, at first and at most. */
const FIRST_GATHERED = 256;
const MOST_GATHERED = 8_192;
/** A piece that waits keeps memory that is larger than it, at most so many times its own. */
const MAX_WASTE = 4;
/** Small pieces that Node's buffer gets although it is not empty, for a program that listens to "readable". */
const MAX_SMALL_PIECES = 256;

/** What a channel needs of its link. @internal */
export interface ChannelLink {
  readonly rules: LinkRules;
  now(): number;
  /** Bytes of frames that it would send at once. */
  batchBytes(): number;
  onChannelClosed(channel: LinkChannel): void;
}

type Callback = (error?: Error | null) => void;

/**
 * A channel of a {@link MultiplexLink}: a `Duplex` of bytes, async iterable, with half-close. Backpressure is its own: one that
 * nobody reads stops its sender, and no other channel. `destroy()` ends it at both ends.
 *
 * @example
 * ```ts
 * import { duplexPair } from "node:stream"; // In place of two sockets.
 * import { commence } from "shoal/link";
 *
 * const [here, there] = duplexPair();
 * const password = "correct horse battery staple";
 * const serving = commence(there, { role: "acceptor", password, onChannel: (channel) => channel.pipe(channel) });
 * const link = await commence(here, { role: "dialler", password });
 * const channel = await link.open("echo");
 * channel.end("hello");
 * for await (const piece of channel) console.log(String(piece)); // hello
 * await link.close();
 * await (await serving).close();
 * ```
 */
export class LinkChannel extends Duplex {
  readonly #link: ChannelLink;
  readonly #state: ChannelState;
  /** What came while the program reads nothing. */
  #backlog: RingBuffer<Buffer> | undefined = undefined;
  /** Small pieces that follow it, gathered: each would have a head of its own in memory. */
  #gathered: Buffer | undefined = undefined;
  #gatheredBytes = 0;
  #gatherSize = FIRST_GATHERED;
  /** Whether Node's stream asked for more. */
  #isWanted = false;
  #isDelivering = false;
  /** Bytes that the program asked for, by `read(n)`, when there were fewer; 0: none. */
  #missed = 0;
  /** Small pieces that were pushed since Node's buffer was empty. */
  #smallPieces = 0;
  #isEnded = false;
  /** Bytes that were pushed since it last asked. */
  #pushed = 0;
  /** Of the write, or the end, that is on its way. */
  #callback: Callback | undefined = undefined;
  /** What is written in one turn is gathered, and leaves together. */
  #isGathering = false;

  /** @internal */
  constructor(link: ChannelLink, state: ChannelState) {
    super({
      readableHighWaterMark: Math.min(READ_AHEAD, Math.floor(state.window.size / 4)),
      writableHighWaterMark: WRITE_AHEAD,
    });
    this.#link = link;
    this.#state = state;
    state.owner = this;
  }

  /** As the end that opened it named it. */
  get name(): string {
    return this.#state.name;
  }

  /** Its number on the link. */
  get id(): number {
    return this.#state.id;
  }

  /** 0 to 7: a channel with a smaller one is sent first. Chosen by the end that opened it. */
  get urgency(): number {
    return this.#state.urgency;
  }

  /** Whether this end opened it. */
  get isOwn(): boolean {
    return this.#state.isOwn;
  }

  /** Bytes that the other end may send before some are read: the window's present size. */
  get window(): number {
    return this.#state.window.size;
  }

  /** @internal 0: bytes, 1: messages. */
  get kind(): number {
    return this.#state.kind;
  }

  /** @internal Whether it has ended in both directions: what came is all, and needs no link to be read. */
  get hasAll(): boolean {
    return this.#state.finSent && this.#state.finReceived;
  }

  /**
   * The pieces that come, to the other end's end. Unlike that of other streams, it leaves this end open then: the program may answer. Left
   * before, by `break` or a throw, it destroys the channel.
   */
  override async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, undefined> {
    let hasEnded = false;
    try {
      for await (const piece of this.iterator({ destroyOnReturn: false })) yield piece as Buffer;
      hasEnded = true;
      return undefined;
    } finally {
      if (!hasEnded) this.destroy();
    }
  }

  /** As that of every stream. What is written in one turn goes in as few frames as it fits. */
  override write(chunk: unknown, callback?: (error: Error | null | undefined) => void): boolean;
  override write(
    chunk: unknown,
    encoding: BufferEncoding,
    callback?: (error: Error | null | undefined) => void,
  ): boolean;
  override write(chunk: unknown, ...rest: unknown[]): boolean {
    if (!this.#isGathering) {
      this.#isGathering = true;
      this.cork();
      process.nextTick(endGathering, this);
    }
    return super.write(chunk, ...(rest as [BufferEncoding]));
  }

  /** @internal The turn is over. */
  endGathering(): void {
    this.#isGathering = false;
    this.uncork();
  }

  /** As that of every stream. */
  override read(size?: number): unknown {
    const bytes: unknown = super.read(size);
    // Node's stream itself calls with 0.
    if (size !== 0) this.#missed = bytes === null && this.readableLength > 0 ? (size ?? 0) : 0;
    // It asked for more before, and asks again only after a push.
    const waits = this.#gathered !== undefined || this.#backlog !== undefined;
    if (waits && this.#isWanted && (this.readableLength === 0 || this.#hasMissed())) this.#deliver();
    return bytes;
  }

  /** @internal */
  override _read(): void {
    this.#isWanted = true;
    const read = this.#pushed;
    this.#pushed = 0;
    if (read > 0) this.#link.rules.consumed(this.#state, read, this.#link.now());
    this.#deliver();
  }

  /** @internal Bytes came. */
  receive(bytes: Buffer): void {
    if (this.destroyed) return;
    const isSmall = bytes.length < COPIED_BYTES;
    const isNext = this.#isWanted && this.#backlog === undefined && this.#gathered === undefined;
    const isBare = this.readableLength === 0;
    if (isBare) this.#smallPieces = 0;
    if (isNext && (isBare || !isSmall || this.#mayLook())) {
      if (isSmall) {
        this.#smallPieces += 1;
        this.#push(Buffer.from(bytes));
      } else this.#push(isBare && this.readableFlowing === true ? bytes : owned(bytes));
      return;
    }
    if (isSmall) {
      this.#gather(bytes);
      if (this.#isWanted && this.#hasMissed()) this.#deliver();
      return;
    }
    this.#closeGathered();
    this.#backlog ??= new RingBuffer<Buffer>(2);
    this.#backlog.push(owned(bytes));
    // What was gathered waits for the program to read; this does not.
    if (this.#isWanted) this.#deliver();
  }

  /** @internal Nothing more comes. */
  finish(): void {
    if (this.#isWanted) this.#deliver();
  }

  /** Whether the program may wait for more than Node's buffer has, without having read. */
  #mayLook(): boolean {
    return this.#smallPieces < MAX_SMALL_PIECES && this.listenerCount("readable") > 0;
  }

  /** Whether what the program asked for in vain is there, with what waits here. What is in the backlog are no small pieces. */
  #hasMissed(): boolean {
    if (this.#missed === 0) return false;
    return this.#backlog !== undefined || this.readableLength + this.#gatheredBytes >= this.#missed;
  }

  #gather(bytes: Buffer): void {
    if (this.#gathered !== undefined && this.#gathered.length - this.#gatheredBytes < bytes.length)
      this.#closeGathered();
    if (this.#gathered === undefined) {
      this.#gathered = Buffer.allocUnsafeSlow(Math.max(this.#gatherSize, bytes.length));
      this.#gatherSize = Math.min(2 * this.#gatherSize, MOST_GATHERED);
    }
    bytes.copy(this.#gathered, this.#gatheredBytes);
    this.#gatheredBytes += bytes.length;
  }

  #closeGathered(): void {
    if (this.#gathered === undefined) return;
    this.#backlog ??= new RingBuffer<Buffer>(2);
    this.#backlog.push(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
  }

  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#isWanted && !this.destroyed) {
      if (this.#backlog === undefined) this.#closeGathered();
      const bytes = this.#backlog?.shift();
      if (this.#backlog?.length === 0) this.#backlog = undefined;
      if (bytes === undefined) break;
      this.#push(bytes);
    }
    this.#isDelivering = false;
    const isEmpty = this.#backlog === undefined && this.#gathered === undefined;
    if (!isEmpty || !this.#state.finReceived || this.#isEnded || this.destroyed) return;
    this.#isEnded = true;
    this.push(null);
  }

  #push(bytes: Buffer): void {
    this.#pushed += bytes.length;
    // Before the push, in which `_read` may be called.
    this.#isWanted = false;
    if (this.push(bytes)) this.#isWanted = true;
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#writeAll([chunk], callback);
  }

  /** @internal */
  override _writev(chunks: { readonly chunk: Buffer }[], callback: Callback): void {
    this.#writeAll(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  #writeAll(pieces: Buffer[], callback: Callback): void {
    if (pieces.every(({ length }) => length === 0)) {
      callback();
      return;
    }
    this.#callback = callback;
    this.#link.rules.write(this.#state, pieces);
  }

  /** @internal */
  override _final(callback: Callback): void {
    this.#callback = callback;
    this.#link.rules.end(this.#state);
  }

  /** @internal What was written has left. */
  flushed(): void {
    // As much as leaves at once: a program whose stream is fast writes a batch in a turn, and one that waits for credit holds no more.
    const ahead = Math.max(WRITE_AHEAD, Math.min(this.#link.batchBytes(), this.#state.credit));
    if (ahead !== this.writableHighWaterMark) setWriteAhead(this, ahead);
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.();
  }

  /** @internal */
  override _destroy(error: Error | null, callback: Callback): void {
    const { rules } = this.#link;
    const state = this.#state;
    this.#backlog = undefined;
    this.#gathered = undefined;
    failWrite(this.#callback, error, `Channel ${describe(this.name)}`);
    this.#callback = undefined;
    // What is in Node's buffer is not read any more.
    if (state.finSent && state.finReceived) rules.consumed(state, state.window.unread, this.#link.now());
    const [code, reason] =
      error === null ? [LinkCode.CLOSED, "closed"] : [LinkCode.REFUSED, "the program destroyed the channel"];
    rules.reset(state, code, reason);
    this.#link.onChannelClosed(this);
    callback(error);
  }
}

/**
 * Fails the write in flight of a stream that is destroyed: Node's stream fails those that it has buffered, and waits for the callback of this
 * one. The program's callback never runs inside the frame or the call that destroyed the stream.
 *
 * @internal
 */
export function failWrite(callback: Callback | undefined, error: Error | null, subject: string): void {
  if (callback === undefined) return;
  const message = `${subject} was closed before what was written had been sent`;
  process.nextTick(callback, error ?? new TransportError("ERR_TRANSPORT", message));
}

/** A piece that waits: it keeps no memory that is much larger than it. */
function owned(bytes: Buffer): Buffer {
  return bytes.buffer.byteLength > MAX_WASTE * bytes.length ? Buffer.from(bytes) : bytes;
}

/** One function for all channels: an idle one has none of its own. */
function endGathering(channel: LinkChannel): void {
  channel.endGathering();
}
