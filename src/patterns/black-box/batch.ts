/**
 * Messages on their way from one thread to another: one ArrayBuffer a batch, which is handed over, not copied.
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

/** @param bytes of all frames together */
export function pack(messages: readonly (readonly Buffer[])[], bytes: number): ArrayBuffer {
  let total = 4 + 4 * messages.length + bytes;
  for (const frames of messages) total += 4 * frames.length;
  // A pool would hand out pieces of a buffer that others use: this one is to be given away.
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

/** Takes the messages of a batch out, one by one; their frames are views of its memory. */
export class Unpacker {
  readonly #source: Buffer;
  #left: number;
  #offset = 4;

  constructor(memory: ArrayBuffer) {
    this.#source = Buffer.from(memory);
    this.#left = this.#source.readUInt32LE(0);
  }

  next(): Buffer[] | undefined {
    if (this.#left === 0) return undefined;
    this.#left -= 1;
    const source = this.#source;
    const count = source.readUInt32LE(this.#offset);
    let lengths = this.#offset + 4;
    let offset = lengths + 4 * count;
    const frames = new Array<Buffer>(count);
    for (let i = 0; i < count; i++) {
      const end = offset + source.readUInt32LE(lengths);
      frames[i] = source.subarray(offset, end);
      lengths += 4;
      offset = end;
    }
    this.#offset = offset;
    return frames;
  }
}
