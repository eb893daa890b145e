/**
 * Results on standard output. Who writes waits while the reader is slow, so
 * nothing piles up here. A reader that goes away (`head`) ends the command
 * quietly; any other fault is a failure.
 */
import { Failure, hasCode } from "./failure.js";
import type { Format } from "./format.js";
import { unlessAborted } from "./signals.js";

export class Output {
  readonly #format: Format;
  readonly #forced: AbortSignal;
  readonly #onGone: () => void;
  #gone = false;
  #failure: Failure | undefined;

  /**
   * @param forced ends the waiting for a slow reader
   * @param onGone nothing can be written any more
   */
  constructor(format: Format, forced: AbortSignal, onGone: () => void) {
    this.#format = format;
    this.#forced = forced;
    this.#onGone = onGone;
    process.stdout.on("error", this.#outputOnError);
  }

  /** Whether nobody reads any more. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Why nothing can be written, where that is a failure. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** Prints messages; settles when there is room for more. */
  async print(messages: readonly (readonly Buffer[])[]): Promise<void> {
    const pieces: Buffer[] = [];
    for (const frames of messages) this.#format.print(frames, pieces);
    await this.#write(Buffer.concat(pieces));
  }

  /** Settles when all that was printed has left, or will not. @returns whether it has, as far as anybody wanted it */
  async flush(): Promise<boolean> {
    if (this.#gone || process.stdout.writableLength === 0) return true;
    await this.#write(Buffer.alloc(0), true);
    return this.#gone || process.stdout.writableLength === 0;
  }

  async #write(bytes: Buffer, wait = false): Promise<void> {
    if (this.#gone) return;
    const written = new Promise<void>((resolve) => {
      if (process.stdout.write(bytes, () => resolve()) && !wait) resolve();
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
