/**
 * Connects diagnostics channels to OpenTelemetry: spans of requests and handlers, linked by headers.
 *
 *   request ── span ── headers: traceparent ──> handler ── span, its child
 */

import type { Channel } from "node:diagnostics_channel";
import {
  context,
  diag,
  type MeterProvider,
  metrics,
  ROOT_CONTEXT,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { checkKeys, invalidArgument } from "../core/arguments.js";
import {
  MESSAGE_ACKNOWLEDGE,
  MESSAGE_PROCESS,
  MESSAGE_RECEIVE,
  MESSAGE_SEND,
  type Operation,
  PROCESS,
  type ProcessOperation,
  REQUEST,
  type RequestOperation,
} from "../core/diagnostics.js";
import { InvalidStateError } from "../core/errors.js";
import type {
  MessageProcessOperation,
  MessageSendOperation,
  ObservedMessage,
} from "../core/message-operations.js";
import { SHOAL_MESSAGE_RECIPIENTS, SHOAL_SERVICE_METHOD, SHOAL_SERVICE_SYSTEM } from "./conventions.js";
import {
  beginMessageSend,
  beginReceived,
  reportMessageAcknowledge,
  reportMessageReceive,
} from "./messages.js";
import {
  activeTelemetry,
  extracted,
  injected,
  type Running,
  setActiveTelemetry,
  Telemetry,
} from "./telemetry.js";

export interface InstrumentOptions {
  /** Default: the global provider. */
  readonly tracerProvider?: TracerProvider;
  /** Default: the global provider. */
  readonly meterProvider?: MeterProvider;
  /**
   * Reports messages of clusters (`publish`, `sendTo`, `sendToNodes`, `send` and `query`, their handlers and readers)
   * and session clients (publish, receive, acknowledge). A function decides by topic: "self" for one-to-one messages,
   * "channel/N" for messages to services; an error counts as `false`. Default `false`, since a span costs more than a
   * message.
   */
  readonly messages?: boolean | ((destination: string) => boolean);
}

export interface Instrumentation extends Disposable {
  /** Spans in flight do not end. Further calls do nothing. */
  disable(): void;
}

const OPTIONS: readonly (keyof InstrumentOptions)[] = ["tracerProvider", "meterProvider", "messages"];

/**
 * Reports requests to services (clusters, Majordomo) and their handlers as spans and metrics by the messaging
 * conventions.
 *
 * The program's propagator puts a request's context into at most 8 headers and 1,024 bytes. A broker or node that does
 * not forward headers loses it. `messages` adds messages between cluster nodes, whose receivers get the context.
 *
 * @throws InvalidArgumentError `EINVAL` for an invalid option
 * @throws InvalidStateError `EFSM` for a second active instrumentation
 */
export function instrument(options: InstrumentOptions = {}): Instrumentation {
  checkKeys("instrument", options, OPTIONS);
  if (activeTelemetry() !== undefined)
    throw new InvalidStateError("EFSM", "An instrumentation is active already");
  const { tracerProvider = trace.getTracerProvider(), meterProvider = metrics.getMeterProvider() } = options;
  const { messages = false } = options;
  if (typeof messages !== "boolean" && typeof messages !== "function")
    throw invalidArgument("messages must be true, false or a function", messages);
  const of = new Telemetry(tracerProvider, meterProvider);
  const unsubscribe = observe(of, messages);
  setActiveTelemetry(of);
  const disable = (): void => {
    if (activeTelemetry() !== of) return;
    setActiveTelemetry(undefined);
    unsubscribe();
  };
  return { disable, [Symbol.dispose]: disable };
}

type Subscription = readonly [Channel, (message: unknown) => void];

/** @returns ends it */
function observe(of: Telemetry, messages: boolean | ((destination: string) => boolean)): () => void {
  const running = new WeakMap<Operation, Running>();
  const isWanted = typeof messages === "function" ? messages : () => messages;
  const started = (operation: Operation, begun: Running): void => {
    running.set(operation, begun);
    operation.wrap((run) => context.with(begun.context, run));
  };
  const ended = (operation: Operation): void => {
    running.get(operation)?.end(operation.error);
    running.delete(operation);
  };
  const onServices = [
    guarded<RequestOperation>(REQUEST.start, (operation) => {
      const { service } = operation;
      const begun = of.begin("request", service, context.active(), serviceAttributes(operation));
      started(operation, begun);
      for (const [name, value] of Object.entries(injected(begun.context) ?? {}))
        operation.setHeader(name, value);
    }),
    guarded(REQUEST.end, ended),
    guarded<ProcessOperation>(PROCESS.start, (operation) => {
      // The active context belongs to the call that triggered the read.
      const parent = extracted(operation.headers) ?? ROOT_CONTEXT;
      const attributes = serviceAttributes(operation);
      started(operation, of.begin("process", operation.service, parent, attributes));
    }),
    guarded(PROCESS.end, ended),
  ];
  const onMessages = [
    guarded<MessageSendOperation>(MESSAGE_SEND.start, (each) => {
      if (isWanted(each.destination)) started(each, beginMessageSend(of, each));
    }),
    guarded<MessageSendOperation>(MESSAGE_SEND.end, (each) => {
      running.get(each)?.set(SHOAL_MESSAGE_RECIPIENTS, each.recipients);
      ended(each);
    }),
    guarded<MessageProcessOperation>(MESSAGE_PROCESS.start, (each) => {
      const { received } = each;
      if (isWanted(received.destination)) started(each, beginReceived(of, "process", received));
    }),
    guarded(MESSAGE_PROCESS.end, ended),
    guarded<ObservedMessage>(MESSAGE_RECEIVE, (each) => {
      if (isWanted(each.destination)) reportMessageReceive(of, each);
    }),
    guarded<ObservedMessage>(MESSAGE_ACKNOWLEDGE, (each) => {
      if (isWanted(each.destination)) reportMessageAcknowledge(of, each);
    }),
  ];
  const subscribed = messages === false ? onServices : [...onServices, ...onMessages];
  for (const [channel, listener] of subscribed) channel.subscribe(listener);
  return () => {
    for (const [channel, listener] of subscribed) channel.unsubscribe(listener);
  };
}

function serviceAttributes({ system, method }: RequestOperation | ProcessOperation): Record<string, string> {
  return { [SHOAL_SERVICE_SYSTEM]: system, ...(method !== "" && { [SHOAL_SERVICE_METHOD]: method }) };
}

/** Errors of exporters and propagators must not reach the program. */
function guarded<T>(channel: Channel, listener: (message: T) => void): Subscription {
  return [
    channel,
    (message) => {
      try {
        listener(message as T);
      } catch (error) {
        diag.error("shoal: an operation could not be reported", error);
      }
    },
  ];
}
