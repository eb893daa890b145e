/**
 * A channel of a link as a Node.js stream.
 *
 * Credit is granted only for bytes that the program took, so the window bounds unread bytes.
 *
 * A chunk of one byte costs a hundred bytes in Node's stream. Its buffer therefore takes one chunk, or as many bytes as
 * the program asked for with `read(n)`; small chunks behind it are joined.
 *
 *   frames ──> #backlog ──push──> Node's buffer ──> program
 *              |<------ unread: within the window ------>|
 */
import { Duplex } from "node:stream";
import { describe } from "../core/arguments.js";
import { owned } from "../core/bytes.js";
import { RingBuffer } from "../core/collections/queues.js";
import { TransportError } from "../core/errors.js";
import { setWriteAhead } from "../core/node-internals.js";
import { LinkCode } from "./frames.js";
import type { ChannelState, LinkRules } from "./rules.js";

const WRITE_AHEAD = 131_072;

/** @internal */
export interface ChannelLink {
  readonly rules: LinkRules;
  now(): number;
  batchBytes(): number;
  onChannelClosed(channel: LinkChannel): void;
}

type Callback = (error?: Error | null) => void;

/**
 * A channel of a {@link MultiplexLink}: a `Duplex` of bytes, async iterable, with half-close and backpressure. An
 * unread one stops only its sender. `destroy()` ends it at both ends. The link's class has an example.
 */
export class LinkChannel extends Duplex {
  readonly name: string;
  readonly id: number;
  readonly isOwn: boolean;
  /** @internal 0: bytes, 1: messages. */
  readonly kind: number;
  readonly #link: ChannelLink;
  readonly #state: ChannelState;
  #backlog: RingBuffer<Buffer> | undefined = undefined;
  /** Small chunks after the backlog, joined; each such buffer has twice the size, to 8 KiB. */
  #gathered: Buffer | undefined = undefined;
  #gatheredBytes = 0;
  #gatherSize = 256;
  #isWanted = false;
  #isDelivering = false;
  #isEnded = false;
  #pushed = 0;
  #callback: Callback | undefined = undefined;
  #isGathering = false;

  /** @internal */
  constructor(link: ChannelLink, state: ChannelState) {
    super({ readableHighWaterMark: 1, writableHighWaterMark: WRITE_AHEAD });
    this.name = state.name;
    this.id = state.id;
    this.isOwn = state.isOwn;
    this.kind = state.kind;
    this.#link = link;
    this.#state = state;
    state.owner = this;
  }

  /** @internal Whether both directions have ended. */
  get hasAll(): boolean {
    return this.#state.finSent && this.#state.finReceived;
  }

  /**
   * Chunks until the peer's end. This end then stays open for an answer, unlike other streams. A `break` or a throw
   * destroys the channel.
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

  /** @internal */
  endGathering(): void {
    this.#isGathering = false;
    this.uncork();
  }

  /** @internal */
  override _read(): void {
    this.#isWanted = true;
    const read = this.#pushed;
    this.#pushed = 0;
    if (read > 0) this.#link.rules.consumed(this.#state, read, this.#link.now());
    this.#deliver();
  }

  /** @internal */
  receive(bytes: Buffer): void {
    if (this.destroyed) return;
    // A small part of a chunk is copied, so that it does not retain it.
    const isSmall = bytes.length < 4_096;
    if (this.#isWanted && this.#backlog === undefined && this.#gathered === undefined) {
      const isBare = this.readableFlowing === true && this.readableLength === 0;
      this.#push(isSmall ? Buffer.from(bytes) : isBare ? bytes : owned(bytes));
    } else if (isSmall) this.#gather(bytes);
    else {
      this.#closeGathered();
      this.#backlog ??= new RingBuffer<Buffer>(2);
      this.#backlog.push(owned(bytes));
    }
  }

  /** @internal The peer has ended its direction. */
  finish(): void {
    if (this.#isWanted) this.#deliver();
  }

  #gather(bytes: Buffer): void {
    if (this.#gathered !== undefined && this.#gathered.length - this.#gatheredBytes < bytes.length)
      this.#closeGathered();
    if (this.#gathered === undefined) {
      this.#gathered = Buffer.allocUnsafeSlow(Math.max(this.#gatherSize, bytes.length));
      this.#gatherSize = Math.min(2 * this.#gatherSize, 8_192);
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

  /** @internal */
  flushed(): void {
    // A fast stream writes one batch per turn, and a channel waiting for credit no more.
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
    const write = this.#callback;
    this.#callback = undefined;
    if (write !== undefined) {
      const message = `Channel ${describe(this.name)} was closed before what was written had been sent`;
      // Node's stream waits for it.
      process.nextTick(write, error ?? new TransportError("ERR_TRANSPORT", message));
    }
    if (state.finSent && state.finReceived) rules.consumed(state, state.window.unread, this.#link.now());
    const [code, reason] =
      error === null ? [LinkCode.CLOSED, "closed"] : [LinkCode.REFUSED, "the program destroyed the channel"];
    rules.reset(state, code, reason);
    this.#link.onChannelClosed(this);
    callback(error);
  }
}

function endGathering(channel: LinkChannel): void {
  channel.endGathering();
}
