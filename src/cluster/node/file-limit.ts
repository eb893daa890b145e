/**
 * Detects that the process can open no more files, which the system does not report: libuv accepts new connections and
 * closes them at once.
 *
 *   open /dev/null ──fails with EMFILE or ENFILE──> exhausted, once ──opens again──> available
 */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { type ShoalError, TransportError } from "../../core/errors.js";

/**
 * @param onChange gets `undefined` when files can be opened again
 * @returns stops
 */
export function watchFileLimit(onChange: (error: ShoalError | undefined) => void): () => void {
  let isExhausted = false;
  // One check takes about 10 µs.
  const timer = setInterval(() => {
    const cause = fault();
    if ((cause !== undefined) === isExhausted) return;
    isExhausted = cause !== undefined;
    const whose = cause?.code === "EMFILE" ? "this process" : "the system";
    onChange(cause && new TransportError("EMFILE", `${whose} can open no more files`, { cause }));
  }, 1_000).unref();
  return () => clearInterval(timer);
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
