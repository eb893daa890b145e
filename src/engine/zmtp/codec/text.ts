/** Bytes as a string of one character a byte: a key for tables, equal exactly where the bytes are. */
export function keyOf(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  return Buffer.prototype.toString.call(bytes, "latin1", start, end);
}
