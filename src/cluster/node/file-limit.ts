/**
 * Detects that the process can open no more files, which the system does not report: libuv accepts new connections and
 * closes them at once.
 *
 *   open /dev/null ──fails with EMFILE or ENFILE──> exhausted, once ──opens again──> available
 */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { type ShoalError, TransportError } from "../../core/errors.js";

/** One check takes about 10 µs. */
const FILE_LIMIT_INTERVAL = 1_000;

export interface FileLimitEffects {
  exhausted(error: ShoalError): void;
  available(): void;
}

export class FileLimit {
  readonly #effects: FileLimitEffects;
  readonly #timer: NodeJS.Timeout;
  #isExhausted = false;

  constructor(effects: FileLimitEffects) {
    this.#effects = effects;
    this.#timer = setInterval(() => this.#look(), FILE_LIMIT_INTERVAL).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const cause = fault();
    const isExhausted = cause !== undefined;
    if (isExhausted === this.#isExhausted) return;
    this.#isExhausted = isExhausted;
    if (cause === undefined) {
      this.#effects.available();
      return;
    }
    const whose = cause.code === "EMFILE" ? "this process" : "the system";
    this.#effects.exhausted(new TransportError("EMFILE", `${whose} can open no more files`, { cause }));
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
