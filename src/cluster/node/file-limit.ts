/**
 * Detects that the process can open no more files, which the system does not report: libuv accepts new connections and
 * closes them at once.
 *
 *   open /dev/null ──fails with EMFILE or ENFILE──> exhausted, once ──opens again──> available
 */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { type ShoalError, TransportError } from "../../core/errors.js";

export class FileLimit {
  readonly #onChange: (error: ShoalError | undefined) => void;
  readonly #timer: NodeJS.Timeout;
  #isExhausted = false;

  /** @param onChange gets `undefined` when files can be opened again */
  constructor(onChange: (error: ShoalError | undefined) => void) {
    this.#onChange = onChange;
    // One check takes about 10 µs.
    this.#timer = setInterval(() => this.#look(), 1_000).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const cause = fault();
    const isExhausted = cause !== undefined;
    if (isExhausted === this.#isExhausted) return;
    this.#isExhausted = isExhausted;
    const whose = cause?.code === "EMFILE" ? "this process" : "the system";
    this.#onChange(cause && new TransportError("EMFILE", `${whose} can open no more files`, { cause }));
  }
}

function fault(): NodeJS.ErrnoException | undefined {
  try {
    closeSync(openSync(devNull, "r"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EMFILE" || code === "ENFILE") return error as NodeJS.ErrnoException;
  }
  return undefined;
}
