/**
 * Converts trace contexts to bounded headers and back; a remote peer's headers never throw.
 *
 * The program's propagator chooses the headers: `traceparent` and `tracestate` for W3C's, OpenTelemetry's default. Only
 * some propagators send baggage.
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
import { MAX_CONTEXT_BYTES } from "../core/trace-context.js";

const MAX_CONTEXT_HEADERS = 8;

type Headers = Readonly<Record<string, string>>;

/** @returns `undefined` for no headers, or too many */
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

/** @returns the context without a local parent, if any */
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
    diag.error("shoal: a received context could not be read", error);
    return undefined;
  }
}

/** @returns that of a valid span */
export function spanContextOf(context: Context | undefined): SpanContext | undefined {
  const found = context === undefined ? undefined : trace.getSpanContext(context);
  return found !== undefined && isSpanContextValid(found) ? found : undefined;
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
