/** Requests and their handlers as spans of one trace, over Majordomo and in a cluster. */
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { describe, expect, it, vi } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { instrument, observeDrivers, SEMANTIC_CONVENTIONS_VERSION } from "../../src/opentelemetry/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../src/patterns/index.js";
import { failure } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { type Collector, useCollector } from "./support/collector.js";

const own = closeAfterEach();
let collector: Collector;
useCollector((made) => (collector = made));

const VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Handler = (body: unknown, request: { readonly headers: Readonly<Record<string, string>> }) => unknown;

/** Something that asks "work", which a handler answers. */
interface Pair {
  request(body: string, headers?: Record<string, string>): Promise<unknown>;
  stream(body: string): AsyncIterable<unknown>;
  /** A cluster's alone. */
  many?(body: string): Promise<{ readonly replies: readonly unknown[] }>;
}

async function majordomo(handler: Handler): Promise<Pair> {
  const broker = own(new MajordomoBroker());
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const worker = own(new MajordomoWorker(endpoint, "work", handler as never, { concurrency: 4 }));
  const client = own(new MajordomoClient(endpoint));
  await worker.ready();
  return {
    request: async (body, headers) =>
      String(await client.request("work", body, headers === undefined ? undefined : { headers })),
    stream: (body) => client.stream("work", body),
  };
}

async function cluster(handler: Handler): Promise<Pair> {
  const node = own(new ClusterNode({ name: "alone", cluster: `tracing-${process.pid}`, multicast: false }));
  await node.start();
  await node.serve("work", handler as never).ready;
  return {
    request: (body, headers) => node.request("work", body, headers === undefined ? undefined : { headers }),
    stream: (body) => node.requestStream("work", body),
    many: (body) => node.requestMany("work", body),
  };
}

describe.each([
  ["majordomo", majordomo],
  ["cluster", cluster],
] as const)("%s", (system, begin) => {
  it("has the request and its handler in one trace", async () => {
    let inside: string | undefined;
    const pair = await begin(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      inside = trace.getActiveSpan()?.spanContext().spanId;
      return "done";
    });
    expect(await pair.request("x")).toBe("done");
    const [request, process] = [collector.span("request work"), collector.span("process work")];
    expect(request.kind).toBe(SpanKind.PRODUCER);
    expect(process.kind).toBe(SpanKind.CONSUMER);
    expect(process.spanContext().traceId).toBe(request.spanContext().traceId);
    expect(process.parentSpanContext?.spanId).toBe(request.spanContext().spanId);
    expect(inside).toBe(process.spanContext().spanId);
    expect(request.attributes).toEqual({
      "messaging.system.name": "zeromq",
      "messaging.operation.name": "request",
      "messaging.operation.type": "send",
      "messaging.destination.name": "work",
      "shoal.service.system": system,
    });
    expect(request.instrumentationScope).toMatchObject({
      name: "shoal",
      schemaUrl: `https://opentelemetry.io/schemas/${SEMANTIC_CONVENTIONS_VERSION}`,
    });
  });

  it("has a request within a handler as a child of the handler's span", async () => {
    const pair = await begin(async (body): Promise<unknown> => {
      if (String(body) !== "outer") return "inner";
      return pair.request("inner");
    });
    const tracer = collector.tracerProvider.getTracer("test");
    const root = tracer.startSpan("root");
    await context.with(trace.setSpan(context.active(), root), () => pair.request("outer"));
    root.end();
    const of = (what: string) => collector.spans.filter(({ name }) => name === what);
    const [inner, outer, ...more] = of("request work");
    expect(more).toEqual([]);
    expect(outer?.parentSpanContext?.spanId).toBe(root.spanContext().spanId);
    const id = outer?.spanContext().spanId;
    const handler = of("process work").find(({ parentSpanContext }) => parentSpanContext?.spanId === id);
    expect(handler).toBeDefined();
    expect(inner?.parentSpanContext?.spanId).toBe(handler?.spanContext().spanId);
    expect(new Set(collector.spans.map((span) => span.spanContext().traceId)).size).toBe(1);
  });

  it("reports a handler that throws on both sides, and the error's type", async () => {
    const pair = await begin(() => {
      throw Object.assign(new Error("no stock"), { code: "E_STOCK" });
    });
    await failure(pair.request("x"));
    expect(collector.span("process work").attributes["error.type"]).toBe("E_STOCK");
    expect(collector.span("request work").attributes["error.type"]).toBe("worker-failed");
    expect(collector.span("request work").status.code).toBe(SpanStatusCode.ERROR);
  });

  it("has one span for a reply in parts, in which each part is made", async () => {
    const inside: (string | undefined)[] = [];
    const pair = await begin(async function* () {
      for (const part of ["a", "b"]) {
        inside.push(trace.getActiveSpan()?.spanContext().spanId);
        yield part;
      }
    });
    const parts: string[] = [];
    for await (const part of pair.stream("x")) parts.push(String(part));
    expect(parts.slice(0, 2)).toEqual(["a", "b"]);
    const id = collector.span("process work").spanContext().spanId;
    expect(inside).toEqual([id, id]);
    expect(collector.span("request work").attributes["error.type"]).toBeUndefined();
  });

  it.runIf(system === "cluster")("has the handlers of requestMany as children of one request", async () => {
    const pair = await begin(() => "done");
    expect((await pair.many?.("x"))?.replies).toHaveLength(1);
    const request = collector.span("request work").spanContext();
    expect(collector.span("process work").parentSpanContext?.spanId).toBe(request.spanId);
  });

  it("ends the span of a reply in parts of which nobody reads the rest", async () => {
    const pair = await begin(async function* () {
      for (let i = 0; ; i++) yield String(i);
    });
    for await (const part of pair.stream("x")) if (String(part) === "1") break;
    expect(collector.span("request work").ended).toBe(true);
  });

  it("leaves the program's own headers as they are, and is left out where they leave no room", async () => {
    const pair = await begin((_body, { headers }) => JSON.stringify(headers));
    const own = { traceparent: "mine", user: "ü" };
    expect(JSON.parse(String(await pair.request("x", own)))).toEqual(own);
    const large = { user: "u".repeat(8_150) };
    expect(JSON.parse(String(await pair.request("x", large)))).toEqual(large);
    const small = JSON.parse(String(await pair.request("x", { user: "u" })));
    const traceparent = expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(small).toEqual({ user: "u", traceparent });
  });

  it.each([
    ["00-00000000000000000000000000000000-0000000000000000-01", ""],
    ["00-zz", "a=b"],
    ["", ""],
    ["0".repeat(4_000), ""],
    ["\u0000\uffff", "\u0000"],
    [VALID, "x=y,".repeat(400)],
  ])("takes a hostile context for none: %j, %j", async (traceparent, tracestate) => {
    const pair = await begin(() => "done");
    expect(await pair.request("x", { traceparent, tracestate })).toBe("done");
    expect(collector.span("process work").parentSpanContext).toBeUndefined();
  });

  it("has a handler as the child of a context that is valid", async () => {
    const pair = await begin(() => "done");
    expect(await pair.request("x", { traceparent: VALID, tracestate: "x=y" })).toBe("done");
    const remote = { traceId: VALID.slice(3, 35), spanId: VALID.slice(36, 52), isRemote: true };
    expect(collector.span("process work").parentSpanContext).toMatchObject(remote);
  });

  it("counts requests and handlers, and what they take", async () => {
    const pair = await begin((body) => {
      if (String(body) === "bad") throw new TypeError("bad");
      return "done";
    });
    await pair.request("good");
    await failure(pair.request("bad"));
    const common = { "messaging.system.name": "zeromq", "messaging.destination.name": "work" };
    const asked = { ...common, "messaging.operation.name": "request" };
    const handled = { ...common, "messaging.operation.name": "process" };
    for (const [name, attributes, type] of [
      ["messaging.client.operation.duration", asked, "worker-failed"],
      ["messaging.client.sent.messages", asked, "worker-failed"],
      ["messaging.process.duration", handled, "TypeError"],
      ["messaging.client.consumed.messages", handled, "TypeError"],
    ] as const)
      expect(await collector.points(name)).toEqual([
        { attributes, value: 1 },
        { attributes: { ...attributes, "error.type": type }, value: 1 },
      ]);
  });

  it("reports nothing once it is off, and requests go on", async () => {
    const pair = await begin((_body, { headers }) => JSON.stringify(headers));
    collector.off();
    expect(await pair.request("x")).toBe("{}");
    expect(collector.spans).toEqual([]);
  });
});

it("passes no context on to a broker that passes no headers on, and asks it all the same", async () => {
  // A handler of the protocol's first level: mdp 0.1 has no place for headers.
  const broker = own(new MajordomoBroker());
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const worker = own(new MajordomoWorker(endpoint, "work", () => "done"));
  const client = own(new MajordomoClient(endpoint, { protocol: "0.1" }));
  await worker.ready();
  expect(String(await client.request("work", "x"))).toBe("done");
  expect(collector.span("process work").parentSpanContext).toBeUndefined();
});

it("is on once at a time", () => {
  expect(() => instrument()).toThrow(expect.objectContaining({ code: "EFSM" }));
  expect(() => instrument({ tracer: 1 } as never)).toThrow(expect.objectContaining({ code: "EINVAL" }));
});

it("exports the statistics of drivers under the names of the metrics page", async () => {
  const broker = own(new MajordomoBroker());
  await broker.bind("tcp://127.0.0.1:*");
  const observation = observeDrivers({ orders: broker }, { meterProvider: collector.meterProvider });
  expect(await collector.points("shoal_majordomo_workers")).toEqual([
    { attributes: { broker: "orders" }, value: 0 },
  ]);
  const stats = vi.spyOn(broker, "stats");
  await collector.points("shoal_majordomo_workers");
  expect(stats).toHaveBeenCalledTimes(1);
  observation.stop();
  await collector.points("shoal_majordomo_workers");
  expect(stats).toHaveBeenCalledTimes(1);
  expect(() => observeDrivers({ x: {} as never })).toThrow(expect.objectContaining({ code: "EINVAL" }));
});

it("exports the statistics of the others while a source is silent, which is not asked again until it has answered", async () => {
  const broker = own(new MajordomoBroker());
  const stats = vi.fn(() => new Promise<object>(() => undefined));
  const sources = { silent: { kind: "queue", stats }, orders: broker } as const;
  const observation = observeDrivers(sources, { meterProvider: collector.meterProvider });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    for (let n = 0; n < 2; n++) {
      let isOver = false;
      const points = collector.points("shoal_majordomo_workers").finally(() => (isOver = true));
      while (!isOver) await vi.advanceTimersByTimeAsync(1_000);
      expect(await points).toEqual([{ attributes: { broker: "orders" }, value: 0 }]);
    }
    expect(stats).toHaveBeenCalledTimes(1);
  } finally {
    vi.useRealTimers();
    observation.stop();
  }
});
