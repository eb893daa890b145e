/**
 * The key of a bus, derived from a password (docs/spec/cluster.md, Passwords).
 *
 *   password --scrypt, salted with the bus's name--> 32 bytes, used as the bus's key in every way
 *
 * The password is never sent, and one password gives another key on each bus. Who recorded a packet can try passwords
 * against it, each for the time of one scrypt: so the parameters are those that OWASP recommends for stored passwords.
 */
import { InvalidArgumentError } from "../../core/errors.js";
import { encodeZ85 } from "../../core/z85.js";

/** Bytes of a password, at least and at most. */
export const MIN_PASSWORD = 8;
export const MAX_PASSWORD = 1_024;

/** scrypt: N, r, p; 32 MiB and some 0.2 s each. */
export const SCRYPT = { cost: 32_768, blockSize: 8, parallelization: 3 } as const;
/** Bytes that scrypt may take: 128 * N * r, and as much again. */
const SCRYPT_MEMORY = 67_108_864;
/** What is before the bus's name in the salt. */
const LABEL = "shoal cluster password 1 ";
const KEY_LENGTH = 32;

/** Derived keys that are remembered: several nodes of one process have the same password. */
const MAX_DERIVED = 16;
const derived = new Map<string, string>();

/**
 * The key of a bus, as 40 characters of Z85. It blocks for some 0.2 s the first time.
 *
 * @param password 8 to 1,024 bytes of UTF-8, as they are
 * @param bus the bus's name
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export function keyOfPassword(password: string, bus: string): string {
  const length = Buffer.byteLength(password);
  if (length < MIN_PASSWORD || length > MAX_PASSWORD)
    throw new InvalidArgumentError(`a password has ${MIN_PASSWORD} to ${MAX_PASSWORD} bytes; got ${length}`);
  const { createHash, scryptSync } = process.getBuiltinModule("node:crypto");
  const name = createHash("sha256").update(`${bus}\0`).update(password).digest("hex");
  const known = derived.get(name);
  if (known !== undefined) return known;
  const key = encodeZ85(scryptSync(password, LABEL + bus, KEY_LENGTH, { ...SCRYPT, maxmem: SCRYPT_MEMORY }));
  for (const oldest of derived.keys()) if (derived.size >= MAX_DERIVED) derived.delete(oldest);
  derived.set(name, key);
  return key;
}
