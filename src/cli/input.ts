/**
 * Messages from standard input. Reading is pulled: while a message waits to be
 * sent, nothing more is read than the chunk it came in.
 */
import { fstatSync } from "node:fs";
import { FormatError, InputError } from "./failure.js";
import type { Format } from "./format.js";
import { LineSplitter, MAX_LINE } from "./lines.js";

/** A message of JSON is longer than its frames: base64, escapes. */
const MAX_JSON_LINE = 2 * MAX_LINE;

export class Input {
  readonly #format: Format;
  readonly #maxLine: number;
  readonly #stop: AbortSignal;
  #taken = 0;
  #active = performance.now();

  /** @param stop ends the input as if it were over */
  constructor(format: Format, json: boolean, stop: AbortSignal) {
    this.#format = format;
    this.#maxLine = json ? MAX_JSON_LINE : MAX_LINE;
    this.#stop = stop;
  }

  /** The number of the message that was handed out last, 1 or more. */
  get taken(): number {
    return this.#taken;
  }

  /** When something was last read or handed out, as `performance.now()` has it. */
  get lastActive(): number {
    return this.#active;
  }

  /** Whether there is none: /dev/null, which jobs in the background get. An empty pipe or file is an input that ends. */
  static isAbsent(): boolean {
    try {
      return fstatSync(0).isCharacterDevice() && process.stdin.isTTY !== true;
    } catch {
      return true;
    }
  }

  /**
   * The messages, until the input ends or `stop` is aborted.
   *
   * @throws InputError with the line's number, after the messages before it
   */
  async *messages(): AsyncGenerator<Buffer[], undefined> {
    if (this.#stop.aborted) return;
    // Node takes a directory for an empty input.
    if (isDirectory()) throw new InputError("cannot read standard input: it is a directory");
    const stream = process.stdin;
    const end = (): void => void stream.destroy();
    this.#stop.addEventListener("abort", end, { once: true });
    try {
      if (this.#format.whole) yield* this.#whole(stream);
      else yield* this.#lines(stream);
    } catch (error) {
      if (this.#stop.aborted) return; // Its own end, which the stream takes for an accident.
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

function isDirectory(): boolean {
  try {
    return fstatSync(0).isDirectory();
  } catch {
    return false;
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}
