/** A byte stream without ZMTP (STREAM): every piece is a message, and the beginning and the end are empty ones. */
import type { DisconnectReason } from "../events.js";
import { LONG_HEADER, writeHeader } from "../frame.js";
import { disconnectError, lostError, noMemory } from "./errors.js";
import type { Fault } from "./mechanism/mechanism.js";
import type { Peers } from "./peers.js";
import type { CloseReason, Link, Pipe } from "./pipe.js";
import type { Dialling, SocketState } from "./socket-state.js";
import type { ByteStream } from "./transport/byte-stream.js";
import type { Sink, StreamReader } from "./transport/reader.js";
import type { Stream } from "./transport/transport.js";
import { HANG_UP_TIMEOUT, PipeWriter, type WriterEffects } from "./writer.js";

const EMPTY_FRAME = Buffer.alloc(2);

/** A raw stream names no peer. */
const RAW_PEER = { socketType: "", identity: Buffer.alloc(0), commands: false } as const;

/** A stream that is a peer from its first byte on: its transport has no handshake, or has completed it. @param onEnd it is over */
export function openRaw(
  state: SocketState,
  peers: Peers,
  stream: Stream,
  endpoint: string,
  dialling: Dialling | undefined,
  onEnd: () => void,
): void {
  const { effects, options } = state;
  // What was sent while it was being connected waits in the endpoint's own.
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

/** What an opening reports. */
export interface RawOpeningEffects {
  connectionOnFault(opening: RawOpening, fault: Fault): void;
  connectionOnEnd(opening: RawOpening, reason: DisconnectReason): void;
}

/**
 * A stream whose transport shakes hands first (TLS). Its peer is one once that is complete: whom the transport does not let
 * in, the program does not hear of.
 */
export class RawOpening implements Sink {
  readonly stream: Stream;
  readonly address: string;
  readonly remote: string;
  /** As a connection that carries no pipe yet. */
  readonly draining = false;
  readonly tooLarge = undefined;
  readonly credentials = undefined;
  readonly error = undefined;
  readonly #effects: RawOpeningEffects;
  readonly #timer: NodeJS.Timeout | undefined;
  #over = false;

  /** @param interval ms that it may take; 0: no limit @param onOpen called once, unless it ends before */
  constructor(stream: Stream, interval: number, effects: RawOpeningEffects, onOpen: () => void) {
    this.stream = stream;
    this.address = stream.address;
    this.remote = stream.remote;
    this.#effects = effects;
    const { reader } = stream;
    // What comes directly behind the transport's handshake is for the connection.
    reader.pause();
    reader.start(stream.socket, this);
    stream.onceOpen?.(() => {
      if (this.#over) return;
      this.#finish();
      reader.resume();
      onOpen();
    });
    const late = `the transport's handshake did not end within ${interval} ms`;
    this.#timer = interval > 0 ? setTimeout(() => this.#fail(late), interval).unref() : undefined;
  }

  close(_reason: CloseReason): void {
    this.#end("local");
  }

  sinkOnBytes(): void {}

  sinkOnEnd(): void {
    if (this.#over) return;
    const fault = this.stream.fault?.(true);
    if (fault === undefined) this.#fail("the peer hung up during the transport's handshake");
    else {
      this.#effects.connectionOnFault(this, fault);
      this.#end("remote");
    }
  }

  #fail(message: string): void {
    this.#effects.connectionOnFault(this, { kind: "other", code: "ERR_HANDSHAKE", message });
    this.#end("local");
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #end(reason: DisconnectReason): void {
    if (this.#over) return;
    this.#finish();
    this.stream.socket.destroy();
    this.#effects.connectionOnEnd(this, reason);
  }
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

  /** @param onFlushed after `drain`: all has been handed to the kernel */
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

  /** Begins to read; the pipe has its link then. */
  start(): void {
    if (this.#notifies) this.#notify();
    this.#reader.start(this.socket, this);
    this.socket.on("error", ignore);
  }

  get blocked(): boolean {
    return this.#writer.blocked;
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

  /** A raw peer need not hang up: a socket that ends does not wait for it. */
  readonly draining = false;

  halfClose(): void {
    this.#end("local");
  }

  /** @param patience 0: the program has hung up; else a linger bounds it */
  drain(patience?: number): void {
    if (this.#ended || this.#finishing) return;
    this.#finishing = true;
    if (patience === 0) this.#awaitProgress();
    // What comes from now on is thrown away: behind what nobody took its end would not be noticed.
    this.#reader.resume();
    this.flush();
  }

  /** A peer that reads nothing of what waits for so long gets no more of it: there are no heartbeats that would notice. */
  #awaitProgress(): void {
    const taken = this.#stream.taken();
    this.#timer = setTimeout(() => {
      if (this.#stream.taken() > taken) this.#awaitProgress();
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
      // Pieces are of any size: memory is all that can lack. The notice of the end must not be read as the rest of this one.
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

function ignore(): void {}
