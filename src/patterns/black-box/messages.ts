/**
 * Messages between a Black Box and its worker threads.
 *
 *   BlackBox ──batch, CLOSE──> worker thread ──ready or unusable, finished batches──> BlackBox
 *
 * A batch is a transferred ArrayBuffer.
 */
import { thrownText } from "../../core/arguments.js";

export interface WorkerData {
  /** URL. */
  readonly module: string;
  readonly shard: number;
  readonly shards: number;
}

export interface Failure {
  /** First frame of the message, perhaps cut off. */
  readonly topic: Uint8Array;
  readonly error: PlainError;
}

export type FromWorker =
  | { readonly type: "ready" }
  | { readonly type: "unusable"; readonly error: PlainError }
  /** A batch, with so many failed messages and the first of them. */
  | { readonly type: "finished"; readonly failed: number; readonly first: Failure | undefined };

/** No more batches. */
export const CLOSE = "close";

/** Structured clone loses an error's class and code. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
}

export function toPlain(error: unknown): PlainError {
  const message = thrownText(error);
  try {
    if (error instanceof Error) {
      const { code, stack, name } = error as NodeJS.ErrnoException;
      return {
        name: String(name),
        message,
        stack: typeof stack === "string" ? stack : undefined,
        code: typeof code === "string" ? code : undefined,
      };
    }
  } catch {
    // Only the message is kept.
  }
  return { name: "Error", message, stack: undefined, code: undefined };
}

export function fromPlain({ name, message, stack, code }: PlainError): Error {
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  if (code !== undefined) Object.assign(error, { code });
  return error;
}

/**
 * Batch of messages as one ArrayBuffer, transferred without a copy.
 *
 *   offset  bytes
 *        0      4  n, how many messages
 *   then for each message
 *        0      4  f, how many frames
 *        4    4 f  their lengths
 *            …     the frames, one after the other
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
  for (let m = 0; m < messages.length; m++) {
    const frames = messages[m] as readonly Buffer[];
    offset = target.writeUInt32LE(frames.length, offset);
    for (let i = 0; i < frames.length; i++)
      offset = target.writeUInt32LE((frames[i] as Buffer).length, offset);
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Buffer;
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
    let lengths = offset + 4;
    offset = lengths + 4 * frames.length;
    for (let i = 0; i < frames.length; i++) {
      const end = offset + source.readUInt32LE(lengths);
      frames[i] = source.subarray(offset, end);
      lengths += 4;
      offset = end;
    }
    messages[m] = frames;
  }
  return messages;
}
