/** A program's side of a simulated connection, like a `net.Socket` with `onread`. */
import { Duplex } from "node:stream";
import type { Reader } from "../engine/zmtp/transport/reader.js";
import type { LinkEnd } from "./machine.js";

type Done = (error?: Error | null) => void;

export class SimulatedStream extends Duplex {
  readonly #end: LinkEnd;
  readonly #reader: Reader;
  #reading = false;
  #finished = false;
  #rest: Buffer | undefined = undefined;
  #taken = 0;
  #unwritten: { bytes: Uint8Array; readonly done: Done } | undefined = undefined;

  constructor(end: LinkEnd, reader: Reader) {
    super({ allowHalfOpen: false, autoDestroy: true });
    this.#end = end;
    this.#reader = reader;
    end.listener = this;
  }

  begin(): void {
    this.#reading = true;
    this.endOnReadable();
  }

  get pending(): number {
    return this.writableLength - this.#taken;
  }

  /** Nothing here keeps the process alive. */
  unref(): this {
    return this;
  }

  /** Waiting data is sent first. */
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }

  override pause(): this {
    this.#reading = false;
    return this;
  }

  override resume(): this {
    if (this.#reading) return this;
    this.#reading = true;
    process.nextTick(() => this.endOnReadable());
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: Done): void {
    this.#put(chunk, done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: Done): void {
    this.#put(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: Done): void {
    this.#end.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    if (this.#unwritten !== undefined) process.nextTick(this.#unwritten.done, error);
    this.#unwritten = undefined;
    // Data that the program has not read is untaken.
    this.#end.close(this.#rest !== undefined);
    done(error);
  }

  endOnReadable(): void {
    const { onread } = this.#reader;
    while (this.#reading && !this.destroyed) {
      const bytes = this.#rest ?? this.#end.take();
      this.#rest = undefined;
      if (bytes === undefined) break;
      const memory = onread.buffer();
      const length = Math.min(bytes.length, memory.length);
      memory.set(bytes.subarray(0, length));
      if (length < bytes.length) this.#rest = bytes.subarray(length);
      onread.callback(length, memory);
    }
    if (this.destroyed) return;
    const { failure } = this.#end;
    if (failure !== undefined) this.destroy(failure);
    else if (this.#end.ended && this.#rest === undefined && !this.#finished) {
      this.#finished = true;
      this.push(null);
      this.read(0);
    }
  }

  endOnWritable(): void {
    const waiting = this.#unwritten;
    if (waiting === undefined || this.destroyed) return;
    this.#unwritten = undefined;
    this.#put(waiting.bytes, waiting.done);
  }

  #put(bytes: Uint8Array, done: Done): void {
    const length = this.#end.write(bytes);
    if (length === bytes.length) {
      this.#taken = 0;
      done();
    } else {
      this.#taken += length;
      this.#unwritten = { bytes: bytes.subarray(length), done };
    }
  }
}
