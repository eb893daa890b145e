/** Messages of sessions as spans: one trace from the publisher to the acknowledgement, however long the store has it. */
import { SpanKind, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { beforeEach, describe, expect, it } from "vitest";
import { encodeContext } from "../../src/core/message-operations.js";
import { contextOf, processMessage } from "../../src/opentelemetry/index.js";
import { MemorySessionStore, SessionClient, SessionServer } from "../../src/sessions/index.js";
import type { ClientMessage } from "../../src/sessions/protocol.js";
import { RawClient } from "../sessions/raw-client.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { type Collector, useCollector } from "./support/collector.js";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const CONTEXT = Buffer.from(encodeContext({ traceparent: `00-${TRACE}-${SPAN}-01` }) as Uint8Array);

let collector: Collector;
let endpoint = "";
const own = closeAfterEach();

useCollector((made) => (collector = made), { messages: true });

beforeEach(async () => {
  const server = own(new SessionServer({ store: new MemorySessionStore(), pollInterval: 60_000 }));
  endpoint = await server.bind("tcp://127.0.0.1:0");
});

function client(id: string, at = endpoint): SessionClient {
  return own(new SessionClient(at, { id }));
}

function expectLinked(span: ReadableSpan, producer: ReadableSpan): void {
  expect(span.spanContext().traceId).toBe(producer.spanContext().traceId);
  expect(span.links.map(({ context }) => context.spanId)).toEqual([producer.spanContext().spanId]);
}

describe("a session's messages", () => {
  it("are one trace, from the publisher to the acknowledgement, though the reader was away", async () => {
    const before = client("reader");
    await before.subscribe("orders/+/new");
    await before.close();
    await client("writer").publish("orders/7/new", "soup");
    const reader = client("reader");
    const message = await reader.receive({ timeout: 10_000 });
    processMessage(message, () => message.acknowledge());
    message.acknowledge();

    const producer = collector.span("publish orders/#");
    expect(producer.kind).toBe(SpanKind.PRODUCER);
    expect(producer.attributes).toMatchObject({
      "messaging.operation.type": "send",
      "messaging.destination.name": "orders/7/new",
      "messaging.destination.template": "orders/#",
      "messaging.message.body.size": 4,
      "shoal.service.system": "sessions",
      "shoal.message.recipients": 1,
    });
    const receive = collector.span("receive orders/#");
    expectLinked(receive, producer);
    expect(receive.parentSpanContext?.spanId).toBe(producer.spanContext().spanId);
    expect(receive.attributes).toMatchObject({
      "shoal.session.publisher": "writer",
      "shoal.service.system": "sessions",
    });
    expect(trace.getSpanContext(contextOf(message) as never)?.spanId).toBe(producer.spanContext().spanId);
    // Of the server, until its store has it; and of the reader's program.
    const [kept, handled] = collector.spans.filter(({ name }) => name === "process orders/#");
    expectLinked(kept as ReadableSpan, producer);
    expect(handled?.parentSpanContext?.spanId).toBe(producer.spanContext().spanId);
    const acknowledge = collector.span("acknowledge orders/#");
    expect(acknowledge.kind).toBe(SpanKind.CLIENT);
    expect(acknowledge.attributes["messaging.operation.type"]).toBe("settle");
    expectLinked(acknowledge, producer);
    expect(acknowledge.parentSpanContext?.spanId).toBe(handled?.spanContext().spanId);
    expect((await collector.points("messaging.client.sent.messages")).map(({ value }) => value)).toEqual([1]);
  });

  it("make a bounded number of series, whatever topics clients choose", async () => {
    const writer = client("writer");
    const publish = (topic: string): Promise<unknown> => writer.publish(topic, "x");
    for (let n = 0; n < 1_030; n += 103)
      await Promise.all(Array.from({ length: 103 }, (_, i) => publish(`level-${n + i}/x`)));
    await publish("level-0/y");
    for (const metric of ["messaging.process.duration", "messaging.client.sent.messages"]) {
      const points = await collector.points(metric);
      const template = "messaging.destination.template";
      const counts = points.map(({ attributes, value }) => [attributes[template], value]);
      expect(counts.length).toBe(1_025);
      expect(Object.fromEntries(counts)).toMatchObject({ "level-0/#": 2, "level-1023/#": 1, _OTHER: 6 });
    }
  });

  it("have the error of a publication that a session refuses, at the client and at the server", async () => {
    const full = own(new SessionClient(endpoint, { id: "full", drop: "refuse", maxQueue: 1 }));
    await full.subscribe("t");
    await full.publish("t", "1");
    await expect(full.publish("t", "2")).rejects.toMatchObject({ reason: "full" });
    const failed = collector.spans.filter(({ attributes }) => attributes["error.type"] === "full");
    expect(failed.map(({ name }) => name).sort()).toEqual(["process t", "publish t"]);
  });
});

it("contexts come with messages, unless they are too long", async () => {
  collector.off();
  const [reader, writer] = [own(new RawClient(endpoint)), own(new RawClient(endpoint))];
  for (const [raw, id] of [
    [reader, "reader"],
    [writer, "writer"],
  ] as const) {
    await raw.open(id);
    expect(await raw.answer()).toMatchObject({ kind: "opened" });
  }
  await reader.ask({ kind: "subscribe", request: 1, filters: ["t"] });
  const publish = (number: number, context: Buffer): ClientMessage => {
    const data = Buffer.from(String(number));
    return { kind: "publish", number, id: "", topic: "t", data, context };
  };
  expect(await writer.ask(publish(1, CONTEXT))).toMatchObject({ kind: "published", sessions: 1 });
  expect(await reader.answer()).toMatchObject({ kind: "message", context: CONTEXT });
  expect(await writer.ask(publish(2, Buffer.alloc(1_025, 1)))).toMatchObject({ kind: "published" });
  expect(await reader.answer()).toMatchObject({ number: 1, context: undefined });
});
