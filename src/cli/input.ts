/** Messages from standard input. While a message waits to be sent, nothing is read after its chunk. */
import { fstatSync } from "node:fs";
import type { Readable } from "node:stream";
import { FormatError, InputError } from "./failure.js";
import type { Format } from "./format.js";
import { terminal } from "./terminal.js";

/** A socket's default largest message. */
const MAX_LINE = 64 * 1_024 * 1_024;
/** Base64 and escapes are longer than frames. */
const MAX_JSON_LINE = 2 * MAX_LINE;

const LINE_FEED = 0x0a;

export class Input {
  readonly #format: Format;
  readonly #maxLine: number;
  readonly #stop: AbortSignal;
  readonly #terminal = terminal();
  #taken = 0;
  #active = performance.now();

  /** @param stop ends the input without an error */
  constructor(format: Format, json: boolean, stop: AbortSignal) {
    this.#format = format;
    this.#maxLine = json ? MAX_JSON_LINE : MAX_LINE;
    this.#stop = stop;
  }

  get taken(): number {
    return this.#taken;
  }

  /** By `performance.now()`. */
  get lastActive(): number {
    return this.#active;
  }

  /** /dev/null, as for background jobs. */
  get isAbsent(): boolean {
    return this.#terminal.stdin === undefined;
  }

  /** @throws InputError with the line's number, after the lines before it */
  async *messages(): AsyncGenerator<Buffer[], undefined> {
    const { stdin: stream } = this.#terminal;
    if (stream === undefined || this.#stop.aborted) return;
    // Node.js reads a directory as an empty input.
    if (isDirectory(stream)) throw new InputError("cannot read standard input: it is a directory");
    const end = (): void => void stream.destroy();
    this.#stop.addEventListener("abort", end, { once: true });
    try {
      if (this.#format.whole) yield* this.#whole(stream);
      else yield* this.#lines(stream);
    } catch (error) {
      if (this.#stop.aborted) return; // The stream reports `end` as an error.
      throw error instanceof InputError || !isSystemError(error)
        ? error
        : new InputError(`cannot read standard input: ${error.message}`);
    } finally {
      this.#stop.removeEventListener("abort", end);
    }
  }

  async *#lines(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer[], undefined> {
    const splitter = new LineSplitter(this.#maxLine);
    for await (const chunk of stream) {
      for (const line of splitter.push(chunk)) {
        if (this.#stop.aborted) return;
        yield this.#message(line);
      }
      if (splitter.tooLong) {
        throw new InputError(`line ${this.#taken + 1} is longer than ${this.#maxLine} bytes`);
      }
    }
    const last = splitter.end();
    if (last !== undefined) yield this.#message(last);
  }

  async *#whole(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer[], undefined> {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > MAX_LINE) throw new InputError(`with --raw the input has at most ${MAX_LINE} bytes`);
      chunks.push(chunk);
    }
    if (length > 0) yield this.#message(Buffer.concat(chunks));
  }

  #message(bytes: Buffer): Buffer[] {
    this.#active = performance.now();
    try {
      const frames = this.#format.parse(bytes);
      this.#taken += 1;
      return frames;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new InputError(`line ${this.#taken + 1}: ${error.message}`);
    }
  }
}

function isDirectory({ fd }: Readable & { readonly fd?: number }): boolean {
  try {
    return fd !== undefined && fstatSync(fd).isDirectory();
  } catch {
    return false; // The read reports the closed descriptor.
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}

/** Removes line feeds. Bytes after the last one are a line. */
export class LineSplitter {
  readonly #max: number;
  /** Of a line that began in an earlier chunk, joined once. */
  #pieces: Buffer[] = [];
  #length = 0;
  #tooLong = false;

  constructor(max: number = MAX_LINE) {
    this.#max = max;
  }

  /** A line exceeded the bound. It and all later bytes are dropped. */
  get tooLong(): boolean {
    return this.#tooLong;
  }

  /** @returns complete lines: views of the chunk, but for one that began earlier */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    while (!this.#tooLong) {
      const end = chunk.indexOf(LINE_FEED, start);
      const rest = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#length + rest.length > this.#max) {
        this.#tooLong = true;
        this.#take();
        break;
      }
      if (end < 0) {
        if (rest.length > 0) this.#keep(rest);
        break;
      }
      if (this.#length === 0) {
        lines.push(rest);
      } else {
        this.#keep(rest);
        lines.push(this.#take());
      }
      start = end + 1;
    }
    return lines;
  }

  /** @returns the last line if it has no line feed */
  end(): Buffer | undefined {
    return this.#length === 0 ? undefined : this.#take();
  }

  #keep(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#length += piece.length;
  }

  #take(): Buffer {
    const line = this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#length = 0;
    return line;
  }
}
