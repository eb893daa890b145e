/**
 * Trace contexts as bytes (docs/tracing.md), and their header `traceparent` (W3C Trace Context).
 *
 *   context       (n 1 | name n | length 2 | value)*
 *   traceparent   00-TRACE-SPAN-FLAGS     32, 16 and 2 hexadecimal digits; flags 01: it is sampled
 */

/** Bytes of a context; larger ones are neither sent nor read. */
export const MAX_CONTEXT_BYTES = 1_024;
export const TRACEPARENT = "traceparent";

type Headers = Readonly<Record<string, string>>;

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly trace: string;
  /** 16 hexadecimal digits: the step that sent it. */
  readonly span: string;
  readonly isSampled: boolean;
}

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

const FORM = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

export function parseTraceParent(text: string | undefined): TraceParent | undefined {
  const match = text === undefined || text.length > 512 ? null : FORM.exec(text);
  if (match === null) return undefined;
  const [, version, trace = "", span = "", flags = "", more] = match;
  // Version 00 ends with the flags, ff is invalid (W3C, Versioning of traceparent).
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(trace) || /^0+$/.test(span)) return undefined;
  return { trace, span, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function traceParentOf(context: Uint8Array | undefined): TraceParent | undefined {
  return context === undefined ? undefined : parseTraceParent(decodeContext(context)?.[TRACEPARENT]);
}

export function formatTraceParent(trace: string, span: string): string {
  return `00-${trace}-${span}-01`;
}
