/**
 * Spans and metrics of one instrumentation, and the headers that carry a span's context.
 *
 * The program's propagator chooses the headers: `traceparent` and `tracestate` for W3C's, OpenTelemetry's default. Only
 * some propagators send baggage.
 */
import {
  type Attributes,
  type Context,
  type Counter,
  diag,
  type Histogram,
  isSpanContextValid,
  type Link,
  type Meter,
  type MeterProvider,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { thrownText } from "../core/arguments.js";
import { MAX_CONTEXT_BYTES } from "../core/message-operations.js";
import {
  CONSUMED_MESSAGES,
  DURATION_BUCKETS,
  ERROR_TYPE,
  MESSAGING_DESTINATION_NAME,
  MESSAGING_DESTINATION_TEMPLATE,
  MESSAGING_OPERATION_NAME,
  MESSAGING_OPERATION_TYPE,
  MESSAGING_SYSTEM,
  OPERATION_DURATION,
  PROCESS_DURATION,
  SCHEMA_URL,
  SENT_MESSAGES,
  SYSTEM,
} from "./conventions.js";

/** Begins a span's name; the destination follows. */
export type OperationName = "send" | "publish" | "query" | "receive" | "request" | "process" | "acknowledge";

/** Types and span kinds of the conventions. */
const OPERATIONS = {
  send: { type: "send", kind: SpanKind.PRODUCER },
  publish: { type: "send", kind: SpanKind.PRODUCER },
  query: { type: "send", kind: SpanKind.PRODUCER },
  request: { type: "send", kind: SpanKind.PRODUCER },
  receive: { type: "receive", kind: SpanKind.CLIENT },
  process: { type: "process", kind: SpanKind.CONSUMER },
  acknowledge: { type: "settle", kind: SpanKind.CLIENT },
} as const;

/** Characters of an error's message. */
const MAX_ERROR_TEXT = 256;

const MAX_CONTEXT_HEADERS = 8;

/** Each topic is a series of every metric until the process ends. */
const MAX_TEMPLATES = 1_024;
/** Further topics, as in OpenTelemetry's conventions. */
const OTHER = "_OTHER";

/** An operation in flight. */
export interface Running {
  /** Parent of nested calls. */
  readonly context: Context;
  /** Known only at the end. */
  set(attribute: string, value: number): void;
  /** @param error undefined: success */
  end(error: unknown): void;
}

export class Telemetry {
  readonly #tracer: Tracer;
  readonly #duration: Histogram;
  readonly #process: Histogram;
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #templates = new Set<string>();

  constructor(tracers: TracerProvider, meters: MeterProvider) {
    this.#tracer = tracers.getTracer("shoal", undefined, { schemaUrl: SCHEMA_URL });
    const meter: Meter = meters.getMeter("shoal", undefined, { schemaUrl: SCHEMA_URL });
    const durations = { unit: "s", advice: { explicitBucketBoundaries: DURATION_BUCKETS } };
    this.#duration = meter.createHistogram(OPERATION_DURATION, {
      ...durations,
      description: "Duration of sends and requests, from the call to the outcome",
    });
    this.#process = meter.createHistogram(PROCESS_DURATION, {
      ...durations,
      description: "Duration of handlers",
    });
    this.#sent = meter.createCounter(SENT_MESSAGES, {
      unit: "{message}",
      description: "Messages sent, and requests made",
    });
    this.#consumed = meter.createCounter(CONSUMED_MESSAGES, {
      unit: "{message}",
      description: "Messages received, and requests passed to handlers",
    });
  }

  /** Bounded, because other programs choose topics. */
  boundedTemplate(name: string): string {
    if (this.#templates.has(name)) return name;
    if (this.#templates.size >= MAX_TEMPLATES) return OTHER;
    this.#templates.add(name);
    return name;
  }

  /**
   * @param parent with the span's parent
   * @param attributes of the span alone; metrics need low cardinality
   * @param template replaces a high-cardinality destination in names and metrics
   */
  begin(
    name: OperationName,
    destination: string,
    parent: Context,
    attributes: Attributes,
    links: Link[] = [],
    template?: string,
  ): Running {
    const { type, kind } = OPERATIONS[name];
    const common: Attributes = {
      [MESSAGING_SYSTEM]: SYSTEM,
      [MESSAGING_OPERATION_NAME]: name,
      ...(template === undefined
        ? { [MESSAGING_DESTINATION_NAME]: destination }
        : { [MESSAGING_DESTINATION_TEMPLATE]: template }),
    };
    const span = this.#tracer.startSpan(
      `${name} ${template ?? destination}`,
      {
        kind,
        links,
        attributes: {
          ...common,
          [MESSAGING_DESTINATION_NAME]: destination,
          [MESSAGING_OPERATION_TYPE]: type,
          ...attributes,
        },
      },
      parent,
    );
    const started = performance.now();
    return {
      context: trace.setSpan(parent, span),
      set: (attribute, value) => {
        span.setAttribute(attribute, value);
      },
      end: (error) => {
        const failed = error === undefined ? common : { ...common, [ERROR_TYPE]: errorType(error) };
        fail(span, error);
        span.end();
        const seconds = (performance.now() - started) / 1_000;
        if (type === "process") this.#process.record(seconds, failed);
        else if (type === "send") this.#duration.record(seconds, failed);
        if (type === "process" || type === "receive") this.#consumed.add(1, failed);
        else if (type === "send") this.#sent.add(1, failed);
      },
    };
  }
}

function fail(span: Span, error: unknown): void {
  if (error === undefined) return;
  span.setAttribute(ERROR_TYPE, errorType(error));
  const message = thrownText(error).slice(0, MAX_ERROR_TEXT);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

/** A service error's reason, else the code, else the class: low cardinality. */
function errorType(error: unknown): string {
  if (typeof error !== "object" || error === null) return typeof error;
  const { reason, code, name } = error as { reason?: unknown; code?: unknown; name?: unknown };
  for (const each of [reason, code, name]) if (typeof each === "string" && each !== "") return each;
  return "Error";
}

let active: Telemetry | undefined;

export function activeTelemetry(): Telemetry | undefined {
  return active;
}

export function setActiveTelemetry(telemetry: Telemetry | undefined): void {
  active = telemetry;
}

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

/** A remote peer's headers never throw. @returns the context without a local parent, if any */
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
