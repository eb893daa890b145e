/**
 * Converts trace contexts to headers and back. Sizes are bounded, and a remote peer's headers never throw.
 *
 * The program's propagator chooses the headers: `traceparent` and `tracestate` for the W3C propagator, OpenTelemetry's
 * default. Baggage is sent only if the propagator includes it.
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

/** Maximum headers of a context. */
const MAX_CONTEXT_HEADERS = 8;

type Headers = Readonly<Record<string, string>>;

/** @returns the headers of a context; `undefined` for none or too many */
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

/** @returns the context in headers, without a local parent; `undefined`: none */
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

/** @returns the context of a valid span */
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
