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
  constructor(
    format: Format,
    json: boolean,
    stop: AbortSignal,
    maxLine: number = json ? MAX_JSON_LINE : MAX_LINE,
  ) {
    this.#format = format;
    this.#maxLine = maxLine;
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

  /** Lines are views of their chunk, unless they began in an earlier one. Bytes after the last line feed are a line. */
  async *#lines(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer[], undefined> {
    let pieces: Buffer[] = [];
    let length = 0;
    const joined = (): Buffer => (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces));
    for await (const chunk of stream) {
      for (let start = 0; ; ) {
        const end = chunk.indexOf(LINE_FEED, start);
        const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
        length += piece.length;
        if (length > this.#maxLine)
          throw new InputError(`line ${this.#taken + 1} is longer than ${this.#maxLine} bytes`);
        if (piece.length > 0) pieces.push(piece);
        if (end < 0) break;
        if (this.#stop.aborted) return;
        yield this.#message(joined());
        pieces = [];
        length = 0;
        start = end + 1;
      }
    }
    if (length > 0) yield this.#message(joined());
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
