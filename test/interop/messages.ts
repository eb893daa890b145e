/** The test messages, the same as peer.py makes them, and the digest over them. */
import { createHash } from "node:crypto";

const PATTERN = Buffer.alloc(256 * 4097);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = i & 255;

function body(size: number, seed: number): Buffer {
  const start = seed % 256;
  return PATTERN.subarray(start, start + size);
}

/** Single, multipart, empty, and now and then 1 MiB. */
export function message(number: number, seed: number): Buffer[] {
  if (number % 100 === 50) return [Buffer.from(`${number}`), body(1024 * 1024, number + seed)];
  switch (number % 6) {
    case 0:
      return [Buffer.from(`message ${number} of ${seed}`)];
    case 1:
      return [Buffer.alloc(0)];
    case 2:
      return [Buffer.from(`${number}`), Buffer.alloc(0), body(number % 300, number + seed)];
    case 3:
      return Array.from({ length: 10 }, (_, k) => body((number % 17) + k, number + k));
    case 4:
      return [Buffer.alloc(0), Buffer.alloc(0), Buffer.from(`${number + seed}`)];
    default:
      return [body(20_000, number + seed)];
  }
}

export class Digest {
  readonly #hash = createHash("sha256");

  add(frames: readonly Buffer[]): void {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(frames.length);
    this.#hash.update(number);
    for (const frame of frames) {
      number.writeUInt32BE(frame.length);
      this.#hash.update(number);
      this.#hash.update(frame);
    }
  }

  done(): string {
    return this.#hash.digest("hex");
  }
}

/** What has to arrive. */
export function digestOf(count: number, seed: number): string {
  const digest = new Digest();
  for (let number = 0; number < count; number++) digest.add(message(number, seed));
  return digest.done();
}
