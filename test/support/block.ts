/** A thread that stands still, as in a long computation, but leaves the processor to others. */

const NEVER = new Int32Array(new SharedArrayBuffer(4));

/** @param ms for which nothing else of this thread runs */
export function blockThread(ms: number): void {
  Atomics.wait(NEVER, 0, 0, ms);
}

/** The same, `block(ms)`, for the text of a program that runs as a process of its own. */
export const BLOCK =
  "const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);";
