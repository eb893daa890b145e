/**
 * Z85, the text form of CURVE keys (32/Z85, Formal Specification).
 *
 *   4 bytes, big-endian  <->  5 characters of the alphabet, most significant first
 */
import { isBytes } from "./bytes.js";
import { InvalidArgumentError } from "./errors.js";

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/** @param bytes a length divisible by 4, not 0 @throws InvalidArgumentError `EINVAL` */
export function encodeZ85(bytes: Uint8Array): string {
  if (!isBytes(bytes)) {
    throw new InvalidArgumentError(`Z85 encodes bytes; got ${typeof bytes}`);
  }
  if (bytes.length === 0 || bytes.length % 4 !== 0) {
    throw new InvalidArgumentError(
      `Z85 encodes a multiple of 4 bytes, at least 4; got ${bytes.length} bytes`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) {
    let value = view.getUint32(at);
    let group = "";
    for (let i = 0; i < 5; i++) {
      group = ALPHABET.charAt(value % 85) + group;
      value = Math.floor(value / 85);
    }
    text += group;
  }
  return text;
}

/**
 * @throws InvalidArgumentError `EINVAL` for a length not divisible by 5, a foreign character or a group above
 * 0xFFFFFFFF. The message never quotes the text, which may be a secret key.
 */
export function decodeZ85(text: string): Buffer {
  if (typeof text !== "string") {
    throw new InvalidArgumentError(`Z85 text must be a string; got ${typeof text}`);
  }
  if (text.length === 0 || text.length % 5 !== 0) {
    throw new InvalidArgumentError(
      `Z85 text has a multiple of 5 characters, at least 5; got ${text.length} characters`,
    );
  }
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let at = 0; at < text.length; at += 5) {
    let value = 0;
    for (let i = at; i < at + 5; i++) {
      const code = text.charCodeAt(i);
      const digit = code < 128 ? (VALUES[code] ?? -1) : -1;
      if (digit < 0) {
        throw new InvalidArgumentError(`Z85 text has a character outside its alphabet at ${i}`);
      }
      value = value * 85 + digit;
    }
    if (value > 0xffff_ffff) {
      throw new InvalidArgumentError(`Z85 text has a group above 4 bytes at ${at}`);
    }
    bytes.writeUInt32BE(value, (at / 5) * 4);
  }
  return bytes;
}

/** Whether a value is a CURVE key: 40 characters of Z85. */
export function isKey(text: unknown): text is string {
  try {
    return decodeZ85(text as string).length === 32;
  } catch {
    return false; // The caller's error says where the key is.
  }
}
