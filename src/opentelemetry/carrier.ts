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
import { MAX_CONTEXT_BYTES } from "../core/trace-context.js";

/** Headers of a context at most. */
export const MAX_CONTEXT_HEADERS = 8;

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

function isSmall(headers: Headers): boolean {
  const entries = Object.entries(headers);
  let bytes = 0;
  for (const [name, value] of entries) {
    if (typeof value !== "string") return false;
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return entries.length > 0 && entries.length <= MAX_CONTEXT_HEADERS && bytes <= MAX_CONTEXT_BYTES;
}
