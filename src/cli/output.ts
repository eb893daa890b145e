/**
 * Results on standard output. Printing waits for a slow reader, so nothing accumulates here. A reader that goes away
 * (`head`) ends the command without an error; any other error of standard output is a failure.
 */
import { Failure, hasCode } from "./failure.js";
import type { Format } from "./format.js";
import { unlessAborted } from "./stop.js";
import { terminal } from "./terminal.js";

export class Output {
  readonly #format: Format;
  readonly #forced: AbortSignal;
  readonly #onGone: () => void;
  readonly #stream = terminal().stdout;
  #gone = false;
  #failure: Failure | undefined;

  /**
   * @param forced ends the wait for a slow reader
   * @param onGone called when nothing can be written any more
   */
  constructor(format: Format, forced: AbortSignal, onGone: () => void) {
    this.#format = format;
    this.#forced = forced;
    this.#onGone = onGone;
    this.#stream.on("error", this.#outputOnError);
  }

  /** Whether the reader is gone. */
  get gone(): boolean {
    return this.#gone;
  }

  /** The error of standard output, unless its reader just went away. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** Prints messages; settles when there is room for more. */
  async print(messages: readonly (readonly Buffer[])[]): Promise<void> {
    const pieces: Buffer[] = [];
    for (const frames of messages) this.#format.print(frames, pieces);
    await this.#write(Buffer.concat(pieces));
  }

  /** Settles when everything printed was written, or cannot be. @returns whether it was, or the reader is gone */
  async flush(): Promise<boolean> {
    if (this.#gone || this.#stream.writableLength === 0) return true;
    await this.#write(Buffer.alloc(0), true);
    return this.#gone || this.#stream.writableLength === 0;
  }

  async #write(bytes: Buffer, wait = false): Promise<void> {
    if (this.#gone) return;
    const written = new Promise<void>((resolve) => {
      if (this.#stream.write(bytes, () => resolve()) && !wait) resolve();
    });
    await unlessAborted(written, this.#forced);
  }

  #outputOnError = (error: Error): void => {
    if (this.#gone) return;
    this.#gone = true;
    if (!hasCode(error, "EPIPE"))
      this.#failure = new Failure(`cannot write standard output: ${error.message}`);
    this.#onGone();
  };
}

/** Prints lines of a command that has nothing else to print. @throws Failure when they cannot be written */
export function printText(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    terminal().stdout.write(text.endsWith("\n") ? text : `${text}\n`, (error) => {
      if (error) reject(new Failure(`cannot write standard output: ${error.message}`));
      else resolve();
    });
  });
}
