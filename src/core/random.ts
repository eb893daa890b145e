/** From 0 to 2^32 - 1, for ids that need not be secret. */
export function randomStart(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}

/** Unpredictable, from 0 to 2^32 - 1. */
export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}

/** @param length at most 65,536 */
export function randomBytes(length: number): Buffer {
  return crypto.getRandomValues(Buffer.alloc(length));
}

/** 128 unpredictable bits in hexadecimal. */
export function randomId(): string {
  return randomBytes(16).toString("hex");
}
