/**
 * Results on standard output. Printing waits for a slow reader, so nothing accumulates here. A reader that goes away
 * (`head`) ends the command without an error; any other error of standard output is a failure.
 */
import { Failure, hasCode } from "./failure.js";
import type { Format } from "./format.js";
import { unlessAborted } from "./stop.js";
import { terminal } from "./terminal.js";

/** Lines on standard output. */
export class LineOutput {
  readonly #forced: AbortSignal;
  readonly #onGone: () => void;
  readonly #stream = terminal().stdout;
  #gone = false;
  #failure: Failure | undefined;

  /**
   * @param forced ends the wait for a slow reader
   * @param onGone called when nothing can be written any more
   */
  constructor(forced: AbortSignal, onGone: () => void) {
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

  /** Writes what has its line feeds; settles when there is room for more. */
  write(text: string | Buffer): Promise<void> {
    return this.#write(text);
  }

  /** Settles when everything printed was written, or cannot be. @returns whether it was, or the reader is gone */
  async flush(): Promise<boolean> {
    if (this.#gone || this.#stream.writableLength === 0) return true;
    await this.#write(Buffer.alloc(0), true);
    return this.#gone || this.#stream.writableLength === 0;
  }

  /** The command is over: no errors of it are expected. */
  dispose(): void {
    this.#stream.off("error", this.#outputOnError);
  }

  async #write(bytes: string | Buffer, wait = false): Promise<void> {
    if (this.#gone) return;
    const written = new Promise<void>((resolve) => {
      if (this.#stream.write(bytes, () => resolve()) && !wait) resolve();
    });
    await unlessAborted(written, this.#forced);
  }

  #outputOnError = (error: Error): void => {
    if (this.#gone) return;
    this.#gone = true;
    if (!hasCode(error, "EPIPE")) this.#failure = unwritable(error);
    this.#onGone();
  };
}

/** Messages on standard output. */
export class Output extends LineOutput {
  readonly #format: Format;

  /** @param forced, onGone as of {@link LineOutput} */
  constructor(format: Format, forced: AbortSignal, onGone: () => void) {
    super(forced, onGone);
    this.#format = format;
  }

  /** Prints messages; settles when there is room for more. */
  async print(messages: readonly (readonly Buffer[])[]): Promise<void> {
    const pieces: Buffer[] = [];
    for (const frames of messages) this.#format.print(frames, pieces);
    await this.write(Buffer.concat(pieces));
  }
}

/**
 * Prints lines of a command that has nothing else to print.
 *
 * @throws Failure when they cannot be written, but for a reader that has gone away
 */
export function printText(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    terminal().stdout.write(text.endsWith("\n") ? text : `${text}\n`, (error) => {
      if (error && !hasCode(error, "EPIPE")) reject(unwritable(error));
      else resolve();
    });
  });
}

/** Notices that standard output cannot be written, for all that a command writes there without waiting for it. */
export class OutputCheck {
  readonly #stream = terminal().stdout;
  #failure: Failure | undefined;

  constructor() {
    this.#stream.on("error", this.#outputOnError);
  }

  /** @throws Failure when something could not be written, but for a reader that has gone away */
  async check(): Promise<void> {
    // A stream reports an error in a later turn than that of the write.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The command is over. */
  dispose(): void {
    this.#stream.off("error", this.#outputOnError);
  }

  #outputOnError = (error: Error): void => {
    if (!hasCode(error, "EPIPE")) this.#failure ??= unwritable(error);
  };
}

function unwritable(error: Error): Failure {
  return new Failure(`cannot write standard output: ${error.message}`);
}
