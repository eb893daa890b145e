/**
 * Keys derived from passwords, for a cluster's namespace and for links, by salted scrypt with OWASP's parameters.
 * The password is never sent.
 */
import { InvalidArgumentError } from "./errors.js";

/** Bytes. */
export const MIN_PASSWORD = 8;
export const MAX_PASSWORD = 1_024;

/** scrypt N, r and p: 32 MiB and some 0.2 s. */
export const SCRYPT = { cost: 32_768, blockSize: 8, parallelization: 3 } as const;
/** Bytes: 128 * N * r, doubled. */
const SCRYPT_MEMORY = 67_108_864;
const OPTIONS = { ...SCRYPT, maxmem: SCRYPT_MEMORY };
const KEY_LENGTH = 32;

const MAX_DERIVED = 16;
const derived = new Map<string, Buffer>();

/** @throws InvalidArgumentError `EINVAL` unless the password has 8 to 1,024 bytes of UTF-8 */
export function checkPassword(password: unknown): asserts password is string {
  if (typeof password !== "string")
    throw new InvalidArgumentError(`a password must be a text; got ${typeof password}`);
  const length = Buffer.byteLength(password);
  if (length < MIN_PASSWORD || length > MAX_PASSWORD)
    throw new InvalidArgumentError(`a password has ${MIN_PASSWORD} to ${MAX_PASSWORD} bytes; got ${length}`);
}

/** Blocks for some 0.2 s unless cached. @throws InvalidArgumentError as `checkPassword` */
export function passwordKey(password: string, salt: string): Buffer {
  checkPassword(password);
  const { createHash, scryptSync } = process.getBuiltinModule("node:crypto");
  const name = createHash("sha256").update(`${salt}\0`).update(password).digest("hex");
  const known = derived.get(name);
  if (known !== undefined) return known;
  const key = scryptSync(password, salt, KEY_LENGTH, OPTIONS);
  for (const oldest of derived.keys()) if (derived.size >= MAX_DERIVED) derived.delete(oldest);
  derived.set(name, key);
  return key;
}
