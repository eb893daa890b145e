/**
 * Memory that frames of several messages share, such as a chunk that came or a slab that leaves.
 *
 * A program that transfers one frame to a thread, `postMessage(frame, [frame.buffer])`, would take it from all the others:
 * they would be empty, and reading or writing them would throw. So it is marked: Node.js 21 and later throw a
 * `DataCloneError` at whoever tries, Node.js 20 copies. Its own pool of small buffers is marked the same way.
 *
 * A mark costs some 100 ns, where the memory itself costs 2 to 20 µs, and is made once for it. Bun has none.
 */
import threads from "node:worker_threads";

type Mark = (memory: object) => void;

function findMark(): Mark {
  const { markAsUntransferable } = threads as { markAsUntransferable?: Mark };
  try {
    markAsUntransferable?.(new ArrayBuffer(1));
    return markAsUntransferable ?? ignore;
  } catch {
    return ignore; // There by name only.
  }
}

function ignore(): void {}

const mark = findMark();

/** Memory of its own; what is in it is anything. */
export function allocate(size: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(size);
  mark(bytes.buffer);
  return bytes;
}

/** The memory of `bytes` stays where it is, for good: the kernel reads it, whoever has it by then. */
export function pin({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) mark(buffer);
}
