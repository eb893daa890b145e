/**
 * Results on standard output. Printing waits for a slow reader. A lost reader (`head`) ends the command without an
 * error; program.ts reports other errors.
 */
import { Failure } from "./failure.js";
import type { Format } from "./format.js";
import { Stop, terminal, unlessAborted } from "./terminal.js";

/** Formatted lines. */
export const LINES: Format = {
  whole: false,
  parse: (bytes) => [bytes],
  print: (frames, pieces) => void pieces.push(...frames),
};

export class Output {
  readonly #format: Format;
  readonly #stop: Stop;
  readonly #stream = terminal().stdout;
  #gone = false;

  /** @param stop requested when the reader leaves; forced, it ends the wait for a slow reader */
  constructor(format: Format, stop: Stop) {
    this.#format = format;
    this.#stop = stop;
    this.#stream.on("error", this.#outputOnError);
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Settles when there is room for more. */
  async print(messages: readonly (readonly Buffer[])[]): Promise<void> {
    const pieces: Buffer[] = [];
    for (const frames of messages) this.#format.print(frames, pieces);
    await this.write(Buffer.concat(pieces));
  }

  /** Settles when there is room for more; with `isLast` when everything is written. */
  async write(bytes: string | Buffer, isLast = false): Promise<void> {
    if (this.#gone) return;
    const written = new Promise<void>((resolve) => {
      if (this.#stream.write(bytes, () => resolve()) && !isLast) resolve();
    });
    await unlessAborted(written, this.#stop.forced);
  }

  /** @returns whether everything was written or the reader has left */
  async flush(): Promise<boolean> {
    if (this.#stream.writableLength > 0) await this.write(Buffer.alloc(0), true);
    return this.#gone || this.#stream.writableLength === 0;
  }

  dispose(): void {
    this.#stream.off("error", this.#outputOnError);
  }

  #outputOnError = (): void => {
    if (this.#gone) return;
    this.#gone = true;
    this.#stop.request();
  };
}

/** Runs a command that prints. @throws Failure for unprinted output; errors of `work` */
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

export function printText(text: string): Promise<void> {
  return new Promise((resolve) => {
    terminal().stdout.write(text.endsWith("\n") ? text : `${text}\n`, () => resolve());
  });
}
