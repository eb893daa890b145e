/** A byte stream without ZMTP (STREAM): every piece is a message, and the beginning and the end are empty ones. */
import type { Socket } from "node:net";
import type { DisconnectReason } from "../events.js";
import { LONG_HEADER, writeHeader } from "./codec/frame.js";
import type { CloseReason, Link, Pipe } from "./pipe.js";
import { HANG_UP, PipeWriter } from "./pipe-writer.js";

const EMPTY_FRAME = Buffer.alloc(2);

export class RawConnection implements Link {
  readonly socket: Socket;
  readonly #pipe: Pipe;
  readonly #notifies: boolean;
  readonly #onEnd: (reason: DisconnectReason) => void;
  readonly #writer: PipeWriter;
  #finishing = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined = undefined;
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
    this.#writer = new PipeWriter(socket, pipe, undefined, this.#writerOnEmpty);
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
    return this.#writer.blocked;
  }

  flush(): void {
    this.#writer.flush();
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

  #writerOnEmpty = (): void => {
    if (this.#finishing) this.#hangUp();
    else this.#pipe.relieved();
  };

  #hangUp(): void {
    this.socket.end();
    this.socket.resume();
    this.#timer = setTimeout(() => this.#end("local"), HANG_UP).unref();
    this.#onSaid();
  }

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
    clearTimeout(this.#timer);
    this.#writer.stop();
    this.socket.destroy();
    if (this.#notifies) this.#notify();
    this.#onEnd(reason);
  }
}

function ignore(): void {}
