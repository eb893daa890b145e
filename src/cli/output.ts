/**
 * Results on standard output. Printing waits for a slow reader, so nothing accumulates here. A reader that goes away
 * (`head`) ends the command without an error; any other error of standard output is a failure, by {@link OutputCheck}.
 */
import { Failure, hasCode } from "./failure.js";
import type { Format } from "./format.js";
import { Stop, unlessAborted } from "./stop.js";
import { terminal } from "./terminal.js";

/** Lines on standard output, until a signal. */
export class LineOutput {
  readonly #stop: Stop;
  readonly #stream = terminal().stdout;
  #gone = false;

  /** @param stop is requested when nothing can be written any more; forced, it ends the wait for a slow reader */
  constructor(stop: Stop) {
    this.#stop = stop;
    this.#stream.on("error", this.#outputOnError);
  }

  /** Whether the reader is gone. */
  get gone(): boolean {
    return this.#gone;
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
    await unlessAborted(written, this.#stop.forced);
  }

  #outputOnError = (): void => {
    if (this.#gone) return;
    this.#gone = true;
    this.#stop.request();
  };
}

/** Messages on standard output. */
export class Output extends LineOutput {
  readonly #format: Format;

  constructor(format: Format, stop: Stop) {
    super(stop);
    this.#format = format;
  }

  /** Prints messages; settles when there is room for more. */
  async print(messages: readonly (readonly Buffer[])[]): Promise<void> {
    const pieces: Buffer[] = [];
    for (const frames of messages) this.#format.print(frames, pieces);
    await this.write(Buffer.concat(pieces));
  }
}

/** Lines that are formatted already. */
export const LINES: Format = {
  whole: false,
  parse: (bytes) => [bytes],
  print: (frames, pieces) => void pieces.push(...frames),
};

/**
 * Runs a command that prints until its work is done or a signal comes.
 *
 * @throws Failure when not everything was printed; what `work` throws
 */
export async function printing(
  format: Format,
  work: (output: Output, stop: Stop) => Promise<void>,
): Promise<void> {
  const stop = new Stop().listen();
  const output = new Output(format, stop);
  try {
    await work(output, stop);
    if (!(await output.flush())) throw new Failure("stopped before everything was printed");
  } finally {
    await output.flush();
    output.dispose();
    stop.dispose();
  }
}

/** Prints lines of a command that has nothing else to print. */
export function printText(text: string): Promise<void> {
  return new Promise((resolve) => {
    terminal().stdout.write(text.endsWith("\n") ? text : `${text}\n`, () => resolve());
  });
}

/** Notices that standard output cannot be written, for every command. */
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
    if (!hasCode(error, "EPIPE"))
      this.#failure ??= new Failure(`cannot write standard output: ${error.message}`);
  };
}
