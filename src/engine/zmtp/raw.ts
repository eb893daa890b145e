/** Raw byte streams (STREAM): each chunk is a message; empty messages mark the start and the end. */
import { ignore } from "../../core/ignore.js";
import type { DisconnectReason } from "../events.js";
import { LONG_HEADER, writeHeader } from "../frame.js";
import type { Dialer } from "./dialer.js";
import { disconnectError, lostError, noMemory } from "./errors.js";
import type { Peers } from "./peers.js";
import type { CloseReason, Link, Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";
import type { ByteStream } from "./transport/byte-stream.js";
import type { Sink, StreamReader } from "./transport/reader.js";
import type { Stream } from "./transport/transport.js";
import { HANG_UP_TIMEOUT, PipeWriter, type WriterEffects } from "./writer.js";

const EMPTY_FRAME = Buffer.alloc(2);

const RAW_PEER = { socketType: "", identity: Buffer.alloc(0), commands: false } as const;

export function openRaw(
  state: SocketState,
  peers: Peers,
  stream: Stream,
  endpoint: string,
  dialling: Dialer | undefined,
  onEnd: () => void,
): void {
  const { effects, options } = state;
  // Messages sent while connecting wait in the endpoint's pipe.
  const waiting = dialling?.pipe;
  const pipe: Pipe = waiting ?? peers.make(endpoint, false);
  pipe.out.inPieces = true;
  if (dialling?.routingId !== undefined) pipe.routingId = Buffer.from(dialling.routingId);
  const raw = new RawConnection(
    stream,
    pipe,
    options.notify !== false,
    () => effects.changed(),
    (reason, cause) => {
      onEnd();
      const error = disconnectError(cause, reason, stream);
      peers.left(pipe, reason, error);
      dialling?.lost(() => error ?? lostError(reason, stream.remote));
      effects.changed();
    },
  );
  pipe.linked(raw, RAW_PEER);
  if (waiting === undefined) peers.add(pipe);
  if (dialling !== undefined) {
    dialling.pipe = pipe;
    dialling.connected();
  }
  peers.joined(pipe);
  raw.start();
  raw.flush();
  if (state.closing || pipe.leaving !== undefined) setImmediate(() => raw.drain());
}

class RawConnection implements Link, Sink, WriterEffects {
  readonly socket: ByteStream;
  readonly #stream: Stream;
  readonly #reader: StreamReader;
  readonly #pipe: Pipe;
  readonly #notifies: boolean;
  readonly #onEnd: (reason: DisconnectReason, error: Error | undefined) => void;
  readonly #writer: PipeWriter;
  #finishing = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined = undefined;
  readonly #onFlushed: () => void;
  #error: Error | undefined = undefined;

  constructor(
    stream: Stream,
    pipe: Pipe,
    notifies: boolean,
    onFlushed: () => void,
    onEnd: (reason: DisconnectReason, error: Error | undefined) => void,
  ) {
    this.socket = stream.socket;
    this.#stream = stream;
    this.#reader = stream.reader;
    this.#pipe = pipe;
    this.#notifies = notifies;
    this.#onFlushed = onFlushed;
    this.#writer = new PipeWriter(stream.socket, pipe, undefined, undefined, this);
    this.#onEnd = onEnd;
  }

  start(): void {
    if (this.#notifies) this.#notify();
    this.#reader.start(this.socket, this);
    this.socket.on("error", ignore);
  }

  get blocked(): boolean {
    return this.#writer.blocked;
  }

  get taken(): number {
    return this.#writer.given - this.#stream.pending();
  }

  flush(): void {
    this.#writer.flush();
  }

  pause(): void {
    this.#reader.pause();
  }

  resume(): void {
    this.#reader.resume();
  }

  close(_reason: CloseReason): void {
    this.#end("local");
  }

  /** Closing does not wait for a hang-up. */
  readonly draining = false;

  halfClose(): void {
    this.#end("local");
  }

  /** @param timeout 0: the program has hung up; otherwise the linger applies */
  drain(timeout?: number): void {
    if (this.#ended || this.#finishing) return;
    this.#finishing = true;
    if (timeout === 0) this.#awaitProgress();
    // The peer's end is only noticed behind its input.
    this.#reader.resume();
    this.flush();
  }

  #awaitProgress(): void {
    const { taken } = this;
    this.#timer = setTimeout(() => {
      if (this.taken > taken) this.#awaitProgress();
      else this.#end("local");
    }, HANG_UP_TIMEOUT).unref();
  }

  writerOnEmpty(): void {
    if (this.#finishing) this.#hangUp();
    else this.#pipe.relieved();
  }

  writerOnFault(error: Error): void {
    this.#error = error;
    this.#end("local");
  }

  #hangUp(): void {
    this.socket.end();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end("local"), HANG_UP_TIMEOUT).unref();
    this.#onFlushed();
  }

  sinkOnEnd(): void {
    this.#end("remote");
  }

  sinkOnBytes(bytes: Buffer, length: number): void {
    if (this.#ended || this.#finishing) return;
    const header = Buffer.allocUnsafe(LONG_HEADER);
    const size = writeHeader(header, 0, 0, length);
    const stream = this.#pipe.in;
    const fault = stream.push(header, 0, size) ?? stream.pushShared(bytes, length);
    if (fault === undefined) this.#pipe.arrived();
    else {
      // The end's empty message must not complete this frame.
      stream.cut();
      this.#error = noMemory();
      this.#end("local");
    }
  }

  #notify(): void {
    this.#pipe.in.push(EMPTY_FRAME);
    this.#pipe.arrived();
  }

  #end(reason: DisconnectReason): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#writer.stop();
    this.socket.destroy();
    if (this.#notifies) this.#notify();
    this.#onEnd(reason, this.#error);
  }
}
