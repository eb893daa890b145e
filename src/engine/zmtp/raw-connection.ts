/** A byte stream without ZMTP (STREAM): every piece is a message, and the beginning and the end are empty ones. */
import type { Socket } from "node:net";
import type { DisconnectReason } from "../events.js";
import { LONG_HEADER, writeHeader } from "./codec/frame.js";
import type { Segment } from "./codec/out-queue.js";
import type { CloseReason, Link, Pipe } from "./pipe.js";

const MAX_WRITE = 262_144;
/** How long the end of a connection may take, in ms. */
const HANG_UP = 1_000;

const EMPTY_FRAME = Buffer.alloc(2);

export class RawConnection implements Link {
  readonly socket: Socket;
  readonly #pipe: Pipe;
  readonly #notifies: boolean;
  readonly #onEnd: (reason: DisconnectReason) => void;
  #blocked = false;
  #finishing = false;
  #ended = false;
  readonly #onSaid: () => void;

  /** @param onSaid after `finish`: all has been handed to the kernel */
  constructor(
    socket: Socket,
    pipe: Pipe,
    notifies: boolean,
    onSaid: () => void,
    onEnd: (reason: DisconnectReason) => void,
  ) {
    this.socket = socket;
    this.#pipe = pipe;
    this.#notifies = notifies;
    this.#onSaid = onSaid;
    this.#onEnd = onEnd;
  }

  /** Begins to read; the pipe has its link then. */
  start(): void {
    if (this.#notifies) this.#notify();
    this.socket.on("data", this.#socketOnData);
    this.socket.on("error", ignore);
    this.socket.on("end", () => this.#end("remote"));
    this.socket.on("close", () => this.#end("remote"));
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  flush(): void {
    const { out } = this.#pipe;
    while (!this.#blocked && !this.#ended && out.length > 0) {
      const segments = out.take(MAX_WRITE);
      this.socket.cork();
      for (const segment of segments) this.#write(segment);
      this.socket.uncork();
      if (this.socket.writableLength > 0 || this.socket.errored !== null) {
        this.#blocked = true;
        return;
      }
      out.confirm();
    }
    if (this.#blocked) return;
    if (this.#finishing) this.#hangUp();
    else this.#pipe.relieved();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  close(_reason: CloseReason): void {
    this.#end("local");
  }

  finish(): void {
    if (this.#ended || this.#finishing) return;
    this.#finishing = true;
    this.flush();
  }

  #write({ bytes, start, end }: Segment): void {
    this.socket.write(bytes.subarray(start, end), this.#socketOnWritten);
  }

  #hangUp(): void {
    this.socket.end();
    this.socket.resume();
    setTimeout(() => this.#end("local"), HANG_UP).unref();
    this.#onSaid();
  }

  #socketOnWritten = (): void => {
    // A batch that failed is called back without its error: the stream has it.
    if (!this.#blocked || this.#ended || this.socket.writableLength > 0 || this.socket.errored !== null)
      return;
    this.#blocked = false;
    this.#pipe.out.confirm();
    this.flush();
    if (this.#blocked) this.#pipe.relieved(); // Else `flush` has told.
  };

  #socketOnData = (chunk: Buffer): void => {
    if (this.#ended || this.#finishing) return;
    const header = Buffer.allocUnsafe(LONG_HEADER);
    const size = writeHeader(header, 0, 0, chunk.length);
    this.#pipe.in.push(header, 0, size);
    this.#pipe.in.push(chunk);
    this.#pipe.arrived();
  };

  #notify(): void {
    this.#pipe.in.push(EMPTY_FRAME);
    this.#pipe.arrived();
  }

  #end(reason: DisconnectReason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.socket.destroy();
    if (this.#notifies) this.#notify();
    this.#onEnd(reason);
  }
}

function ignore(): void {}
