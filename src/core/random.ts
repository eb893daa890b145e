/** A random whole number from 0 to 2^32 - 1, where nobody gains by guessing it: the start of a count of ids. */
export function randomStart(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}

/**
 * The same from the operating system's random source, for what a peer must not guess. Loads `node:crypto` with the
 * first call: it is a fifth of what importing all of shoal would cost.
 */
export function randomSeed(): number {
  return process.getBuiltinModule("node:crypto").randomInt(0x1_0000_0000);
}

/** 128 random bits in hexadecimal, from the same source. */
export function randomId(): string {
  return process.getBuiltinModule("node:crypto").randomBytes(16).toString("hex");
}
