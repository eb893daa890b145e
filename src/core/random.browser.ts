/** Replaces core/random.ts, without node:crypto. */

export function randomStart(): number {
  return Math.floor(Math.random() * 0x1_0000_0000);
}

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}

export function randomBytes(length: number): Buffer {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(length)));
}

export function randomId(): string {
  return randomBytes(16).toString("hex");
}
