import { forbidTransfer } from "../../core/memory.js";
import type { Segment } from "./codec/out-queue.js";
import type { ByteStream } from "./transport/byte-stream.js";

export function writePlain(
  socket: ByteStream,
  segments: readonly Segment[],
  onWritten: (error?: Error | null) => void,
): void {
  const last = segments.length - 1;
  if (last > 0) socket.cork();
  for (let i = 0; i <= last; i++) {
    const { bytes, start, end } = segments[i] as Segment;
    socket.write(bytes.subarray(start, end), i === last ? onWritten : undefined);
  }
  if (last > 0) socket.uncork();
}

/** Forbids transfers of memory the kernel still reads: freed memory could hold other data when sent. */
export function pinSegments(segments: readonly Segment[]): void {
  for (const { memory, bytes } of segments) if (memory === undefined) forbidTransfer(bytes);
}
