// @ts-check
/** OpenTelemetry: orders ask payments, and the console exporter prints one trace of both. Needs the packages of an SDK. */
import assert from "node:assert/strict";
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  ConsoleSpanExporter,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
import { instrument } from "shoal/opentelemetry";

// The program's SDK. In earnest it is in a file of its own (node --import), with an exporter that sends to a collector.
const memory = new InMemorySpanExporter();
const provider = new BasicTracerProvider({
  spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter()), new SimpleSpanProcessor(memory)],
});
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
const instrumentation = instrument();

const broker = new MajordomoBroker();
const endpoint = await broker.bind("tcp://127.0.0.1:*");

const payments = new MajordomoWorker(endpoint, "payments", ([amount]) => `paid ${String(amount)}`);
const toPayments = new MajordomoClient(endpoint);
const orders = new MajordomoWorker(endpoint, "orders", async ([item]) => {
  // Within the span of the handler: this request is its child.
  const [receipt] = await toPayments.request("payments", item === undefined ? "0" : "40");
  return `${String(item)}: ${String(receipt)}`;
});

const shop = new MajordomoClient(endpoint);
const [reply] = await shop.request("orders", "chair");
assert.equal(String(reply), "chair: paid 40");

instrumentation.disable();
const spans = memory.getFinishedSpans();
assert.deepEqual(
  spans.map(({ name }) => name),
  ["process payments", "request payments", "process orders", "request orders"],
);
assert.equal(new Set(spans.map((span) => span.spanContext().traceId)).size, 1);
for (const [i, { parentSpanContext }] of spans.entries())
  assert.equal(parentSpanContext?.spanId, spans[i + 1]?.spanContext().spanId);

await Promise.all([shop, toPayments, orders, payments].map((each) => each.close()));
await broker.close();
await provider.shutdown();
