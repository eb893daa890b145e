/**
 * A trace's context as headers, and back: what goes out and what is read is bounded, and what a remote peer sends never throws.
 *
 * Which headers there are is the program's propagator's: `traceparent` and `tracestate` with that of the W3C, which is
 * OpenTelemetry's own. Baggage goes out only where the program's propagator has it.
 */
import {
  type Context,
  diag,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type SpanContext,
  trace,
} from "@opentelemetry/api";

/** Headers of a context at most. */
export const MAX_CONTEXT_HEADERS = 8;
/** Bytes of their names and values together; a context with more is neither sent nor read. */
export const MAX_CONTEXT_BYTES = 1_024;

type Headers = Readonly<Record<string, string>>;

/** @returns the headers of a context; `undefined`: it has none, or too many */
export function injected(context: Context): Headers | undefined {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  try {
    propagation.inject(context, headers);
  } catch (error) {
    diag.error("shoal: the propagator failed", error);
    return undefined;
  }
  return isSmall(headers) ? headers : undefined;
}

/** @returns the context that came as headers, as a child of nothing of this process; `undefined`: none */
export function extracted(headers: Headers | undefined): Context | undefined {
  if (headers === undefined) return undefined;
  try {
    const own: Record<string, string> = Object.create(null) as Record<string, string>;
    for (const name of propagation.fields()) {
      const value = headers[name];
      if (Object.hasOwn(headers, name) && typeof value === "string") own[name] = value;
    }
    if (!isSmall(own)) return undefined;
    const context = propagation.extract(ROOT_CONTEXT, own);
    return spanContextOf(context) === undefined ? undefined : context;
  } catch (error) {
    diag.error("shoal: a context that came could not be read", error);
    return undefined;
  }
}

/** @returns that of a valid span in a context */
export function spanContextOf(context: Context | undefined): SpanContext | undefined {
  const found = context === undefined ? undefined : trace.getSpanContext(context);
  return found !== undefined && isSpanContextValid(found) ? found : undefined;
}

/** The headers of a context in bytes, which go with a message (docs/spec/trace-context.md): (n 1 | name n | length 2 | value)*. */
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

/** @returns the headers in a context that came; `undefined`: it is malformed */
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

function isSmall(headers: Headers): boolean {
  const entries = Object.entries(headers);
  let bytes = 0;
  for (const [name, value] of entries) {
    if (typeof value !== "string") return false;
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return entries.length > 0 && entries.length <= MAX_CONTEXT_HEADERS && bytes <= MAX_CONTEXT_BYTES;
}
