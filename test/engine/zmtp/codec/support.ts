/** Frames made and read the simple way, to compare the codec with. */
import fc from "../../../support/properties.js";

export interface PlainFrame {
  readonly flags: number;
  readonly body: Uint8Array;
}

/** One frame's bytes, written for reading, not for speed. @param long the 8-byte size, needed or not */
export function encodeFrame({ flags, body }: PlainFrame, long = body.length > 255): Buffer {
  if (!long) return Buffer.concat([Buffer.of(flags, body.length), body]);
  const header = Buffer.alloc(9);
  header[0] = flags | 2;
  header.writeBigUInt64BE(BigInt(body.length), 1);
  return Buffer.concat([header, body]);
}

/** All frames of whole bytes, and where they are. */
export function decodeFrames(
  bytes: Buffer,
): (PlainFrame & { readonly start: number; readonly end: number })[] {
  const frames: ReturnType<typeof decodeFrames> = [];
  for (let start = 0; start < bytes.length; ) {
    const flags = bytes.readUInt8(start);
    const long = (flags & 2) !== 0;
    const size = long ? Number(bytes.readBigUInt64BE(start + 1)) : bytes.readUInt8(start + 1);
    const from = start + (long ? 9 : 2);
    const end = from + size;
    frames.push({ flags: flags & ~2, body: bytes.subarray(from, end), start, end });
    start = end;
  }
  return frames;
}

/** Messages and commands, as their hex. */
export function decodeStream(bytes: Buffer): { messages: string[][]; commands: string[] } {
  const messages: string[][] = [];
  const commands: string[] = [];
  let frames: string[] = [];
  for (const { flags, body } of decodeFrames(bytes)) {
    const text = Buffer.from(body).toString("hex");
    if ((flags & 4) !== 0) commands.push(text);
    else {
      frames.push(text);
      if ((flags & 1) === 0) {
        messages.push(frames);
        frames = [];
      }
    }
  }
  return { messages, commands };
}

const body: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer({ min: 250, max: 260 }).map((size) => new Uint8Array(size).fill(7)) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5_000 }).map((size) => new Uint8Array(size).fill(8)) },
  // From 16 KiB on the rest of a split frame is read where it belongs.
  {
    weight: 1,
    arbitrary: fc.integer({ min: 16_300, max: 16_500 }).map((size) => new Uint8Array(size).fill(9)),
  },
);

/** A message of 1 to 4 frames, with commands between them; some sizes longer than they need be. */
const unit: fc.Arbitrary<Uint8Array[]> = fc.oneof(
  { weight: 4, arbitrary: fc.array(body, { minLength: 1, maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constant<Uint8Array[]>([]) },
);

/** The bytes of a random stream of whole messages and commands. */
export const frameStream: fc.Arbitrary<Buffer> = fc
  .array(
    fc.record({ bodies: unit, command: fc.option(body, { freq: 3 }), at: fc.nat(3), long: fc.boolean() }),
    { maxLength: 12 },
  )
  .map((units) => {
    const parts: Buffer[] = [];
    for (const { bodies, command, at, long } of units) {
      const frames = bodies.map((bytes, i) =>
        encodeFrame(
          { flags: i < bodies.length - 1 ? 1 : 0, body: bytes },
          bytes.length > 255 || (long && i === 0),
        ),
      );
      if (command !== null)
        frames.splice(Math.min(at, frames.length), 0, encodeFrame({ flags: 4, body: command }));
      parts.push(...frames);
    }
    return Buffer.concat(parts);
  });
