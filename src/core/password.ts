/**
 * A key derived from a password: of a cluster's bus, and of a link.
 *
 *   password --scrypt, salted--> 32 bytes
 *
 * The password is never sent. Who gets something to test guesses against pays for one scrypt each: so the parameters are those that
 * OWASP recommends for stored passwords.
 */
import { InvalidArgumentError } from "./errors.js";

/** Bytes of a password, at least and at most. */
export const MIN_PASSWORD = 8;
export const MAX_PASSWORD = 1_024;

/** scrypt: N, r, p; 32 MiB and some 0.2 s each. */
export const SCRYPT = { cost: 32_768, blockSize: 8, parallelization: 3 } as const;
/** Bytes that scrypt may take: 128 * N * r, and as much again. */
const SCRYPT_MEMORY = 67_108_864;
const OPTIONS = { ...SCRYPT, maxmem: SCRYPT_MEMORY };
const KEY_LENGTH = 32;

/** Derived keys that are remembered: several nodes or links of one process have the same password. */
const MAX_DERIVED = 16;
const derived = new Map<string, Buffer | Promise<Buffer>>();

/** @throws InvalidArgumentError `EINVAL` unless it has 8 to 1,024 bytes of UTF-8 */
export function checkPassword(password: unknown): asserts password is string {
  if (typeof password !== "string")
    throw new InvalidArgumentError(`a password is a text; got ${typeof password}`);
  const length = Buffer.byteLength(password);
  if (length < MIN_PASSWORD || length > MAX_PASSWORD)
    throw new InvalidArgumentError(`a password has ${MIN_PASSWORD} to ${MAX_PASSWORD} bytes; got ${length}`);
}

/**
 * The key of a password. It blocks for some 0.2 s the first time.
 *
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export function passwordKey(password: string, salt: string): Buffer {
  checkPassword(password);
  const name = nameOf(password, salt);
  const known = derived.get(name);
  if (Buffer.isBuffer(known)) return known;
  const { scryptSync } = process.getBuiltinModule("node:crypto");
  const key = scryptSync(password, salt, KEY_LENGTH, OPTIONS);
  remember(name, key);
  return key;
}

/**
 * The same, computed by another thread.
 *
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export async function derivePasswordKey(password: string, salt: string): Promise<Buffer> {
  checkPassword(password);
  const name = nameOf(password, salt);
  const known = derived.get(name);
  if (known !== undefined) return known;
  const { scrypt } = process.getBuiltinModule("node:crypto");
  const deriving = new Promise<Buffer>((resolve, reject) => {
    scrypt(password, salt, KEY_LENGTH, OPTIONS, (error, key) => {
      if (error !== null) {
        derived.delete(name);
        reject(error);
        return;
      }
      if (derived.has(name)) derived.set(name, key);
      resolve(key);
    });
  });
  remember(name, deriving);
  return deriving;
}

function nameOf(password: string, salt: string): string {
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha256").update(`${salt}\0`).update(password).digest("hex");
}

function remember(name: string, key: Buffer | Promise<Buffer>): void {
  for (const oldest of derived.keys()) if (derived.size >= MAX_DERIVED) derived.delete(oldest);
  derived.set(name, key);
}
