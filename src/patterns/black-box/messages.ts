/**
 * Messages between a Black Box and its worker threads.
 *
 *   BlackBox ──batch, CLOSE──> worker thread ──ready, finished batches──> BlackBox
 *
 * A batch is a transferred ArrayBuffer.
 */

export interface WorkerData {
  /** URL. */
  readonly module: string;
  readonly shard: number;
  readonly shards: number;
}

export interface Failure {
  /** First frame of the message, perhaps cut off. */
  readonly topic: Uint8Array;
  /** Without the class and code of the handler's, which a structured clone loses. */
  readonly error: Error;
}

export type FromWorker =
  | { readonly type: "ready" }
  /** A batch, with so many failed messages and the first of them. */
  | { readonly type: "finished"; readonly failed: number; readonly first: Failure | undefined };

/** No more batches. */
export const CLOSE = "close";

/**
 * Batch of messages as one ArrayBuffer, transferred without a copy.
 *
 *   @0  4  number of messages
 *   @4     each message: number of frames 4 | each frame: length 4 | bytes
 *
 * Numbers are little-endian: both ends are threads of one process.
 */
export function pack(messages: readonly (readonly Buffer[])[]): ArrayBuffer {
  let total = 4 + 4 * messages.length;
  for (const frames of messages) for (const { length } of frames) total += 4 + length;
  // A pooled buffer cannot be transferred.
  const memory = new ArrayBuffer(total);
  const target = Buffer.from(memory);
  let offset = target.writeUInt32LE(messages.length, 0);
  for (const frames of messages) {
    offset = target.writeUInt32LE(frames.length, offset);
    for (const frame of frames) {
      offset = target.writeUInt32LE(frame.length, offset);
      target.set(frame, offset);
      offset += frame.length;
    }
  }
  return memory;
}

/** Frames are views of the batch. */
export function unpack(memory: ArrayBuffer): Buffer[][] {
  const source = Buffer.from(memory);
  const messages = new Array<Buffer[]>(source.readUInt32LE(0));
  let offset = 4;
  for (let m = 0; m < messages.length; m++) {
    const frames = new Array<Buffer>(source.readUInt32LE(offset));
    offset += 4;
    for (let i = 0; i < frames.length; i++) {
      const end = offset + 4 + source.readUInt32LE(offset);
      frames[i] = source.subarray(offset + 4, end);
      offset = end;
    }
    messages[m] = frames;
  }
  return messages;
}
