/**
 * Trace contexts as bytes (docs/tracing.md).
 *
 *   context       (n 1 | name n | length 2 | value)*
 */

/** Bytes of a context; larger ones are neither sent nor read. */
export const MAX_CONTEXT_BYTES = 1_024;

type Headers = Readonly<Record<string, string>>;

/** @returns `undefined` if there are no headers, or too many */
export function encodeContext(headers: Headers): Uint8Array | undefined {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const [nameBytes, valueBytes] = [Buffer.from(name), Buffer.from(value)];
    if (nameBytes.length === 0 || nameBytes.length > 255) return undefined;
    const length = Buffer.allocUnsafe(2);
    length.writeUInt16BE(valueBytes.length);
    parts.push(Buffer.of(nameBytes.length), nameBytes, length, valueBytes);
  }
  const encoded = Buffer.concat(parts);
  return encoded.length > 0 && encoded.length <= MAX_CONTEXT_BYTES ? encoded : undefined;
}

export function decodeContext(context: Uint8Array): Headers | undefined {
  if (context.length > MAX_CONTEXT_BYTES) return undefined;
  const bytes = Buffer.from(context.buffer, context.byteOffset, context.length);
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (let at = 0; at < bytes.length; ) {
    const valueAt = at + 1 + (bytes[at] as number) + 2;
    if (valueAt > bytes.length) return undefined;
    const end = valueAt + bytes.readUInt16BE(valueAt - 2);
    if (end > bytes.length) return undefined;
    headers[bytes.toString("utf8", at + 1, valueAt - 2)] = bytes.toString("utf8", valueAt, end);
    at = end;
  }
  return headers;
}
