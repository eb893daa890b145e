/** From 0 to 2^32 - 1, for ids that need not be secret. */
export function randomStart(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}

/** Unpredictable, from 0 to 2^32 - 1. The first call loads `node:crypto`. */
export function randomSeed(): number {
  return process.getBuiltinModule("node:crypto").randomInt(0x1_0000_0000);
}

export function randomBytes(length: number): Buffer {
  return process.getBuiltinModule("node:crypto").randomBytes(length);
}

/** 128 unpredictable bits in hexadecimal. */
export function randomId(): string {
  return randomBytes(16).toString("hex");
}
