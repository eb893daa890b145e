/** Messages between the nodes of a cluster as spans: one producer, a span at each node that gets it, linked to the producer. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { SpanKind, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type ClusterMessage, ClusterNode } from "../../src/cluster/index.js";
import { contextOf, instrument, processMessage } from "../../src/opentelemetry/index.js";
import { failure } from "../contract/support/wait.js";
import { freePort } from "../support/ports.js";
import { type Collector, useCollector } from "./support/collector.js";

let nodes: ClusterNode[] = [];
let collector: Collector;

useCollector((made) => (collector = made), { messages: true });

beforeAll(async () => {
  const port = await freePort();
  nodes = ["a", "b", "c"].map(
    (name) =>
      new ClusterNode({ name, cluster: `spans-${process.pid}`, multicast: { port }, registry: false }),
  );
  const seesBoth = (node: ClusterNode): Promise<void> =>
    new Promise((resolve) => {
      let seen = 0;
      node.events.on("joined", () => ++seen === 2 && resolve());
    });
  const all = nodes.map(seesBoth);
  await Promise.all(nodes.map((node) => node.start()));
  await Promise.all(all);
});

afterAll(() => Promise.all(nodes.map((node) => node.close({ linger: 0 }))));

const [a, b, c] = [0, 1, 2].map((index) => () => nodes[index]) as [() => Node, () => Node, () => Node];
type Node = ClusterNode;

/** Subscribed until the test is over. */
async function subscribed(node: Node, filter: string, handler?: (message: ClusterMessage) => unknown) {
  const subscription = handler === undefined ? node.subscribe(filter) : node.subscribe(filter, handler);
  onTestFinished(() => void subscription.close());
  await subscription.ready;
  return subscription;
}

/** A handler, and the messages that it got: so many. */
function got<M>(count: number): { readonly handler: (message: M) => void; readonly all: Promise<M[]> } {
  const messages: M[] = [];
  let resolve!: (all: M[]) => void;
  const all = new Promise<M[]>((done) => (resolve = done));
  const handler = (message: M): void => {
    messages.push(message);
    if (messages.length === count) resolve(messages);
  };
  return { handler, all };
}

function of(name: string): readonly ReadableSpan[] {
  return collector.spans.filter((span) => span.name === name);
}

/** Each is a child of the producer, in its trace, and linked to it. */
function expectLinked(spans: readonly ReadableSpan[], producer: ReadableSpan): void {
  for (const span of spans) {
    expect(span.kind).toBe(SpanKind.CONSUMER);
    expect(span.spanContext().traceId).toBe(producer.spanContext().traceId);
    expect(span.parentSpanContext?.spanId).toBe(producer.spanContext().spanId);
    expect(span.links.map((link) => link.context.spanId)).toEqual([producer.spanContext().spanId]);
  }
}

describe("topics", () => {
  it("have one producer for all nodes that get a message, and each handler is its child", async () => {
    const { handler, all } = got<ClusterMessage>(3);
    for (const node of nodes) await subscribed(node, "sensors/+/heat", handler);
    expect(await a().publish("sensors/3/heat", "21.5")).toBe(3);
    await all;
    const producer = collector.span("publish sensors/#");
    expect(producer.kind).toBe(SpanKind.PRODUCER);
    expect(producer.attributes).toEqual({
      "messaging.system.name": "zeromq",
      "messaging.operation.name": "publish",
      "messaging.operation.type": "send",
      "messaging.destination.name": "sensors/3/heat",
      "messaging.destination.template": "sensors/#",
      "messaging.message.body.size": 4,
      "shoal.service.system": "cluster",
      "shoal.message.recipients": 3,
    });
    const processes = of("process sensors/+/heat");
    expect(processes).toHaveLength(3);
    expectLinked(processes, producer);
    expect(processes[0]?.attributes).toMatchObject({
      "messaging.destination.name": "sensors/3/heat",
      "messaging.destination.subscription.name": "sensors/+/heat",
      "shoal.cluster.sender": a().id,
    });
    // A name of few values in metrics.
    const [point] = await collector.points("messaging.client.sent.messages");
    expect(point?.attributes).toEqual({
      "messaging.system.name": "zeromq",
      "messaging.operation.name": "publish",
      "messaging.destination.template": "sensors/#",
    });
  });

  it("go on by alias with their contexts, and what a handler publishes is of the same trace", async () => {
    const { handler, all } = got<ClusterMessage>(20);
    await subscribed(a(), "reply", handler);
    await subscribed(b(), "order", () => b().publish("reply", "done"));
    for (let i = 0; i < 20; i++) await a().publish("order", `${i}`);
    await all;
    const traces = new Set(collector.spans.map((span) => span.spanContext().traceId));
    expect(traces.size).toBe(20);
    expectLinked(of("process order").slice(0, 1), of("publish order")[0] as ReadableSpan);
    expect(of("process reply")).toHaveLength(20);
  });

  it("have the context of a message that a program reads, and its function in the trace", async () => {
    const subscription = await subscribed(b(), "read");
    await a().publish("read", "x");
    for await (const message of subscription) {
      const producer = collector.span("publish read").spanContext();
      const known = contextOf(message);
      expect(known && trace.getSpanContext(known)).toMatchObject({ spanId: producer.spanId, isRemote: true });
      const inside = processMessage(message, () => trace.getActiveSpan()?.spanContext());
      expect(inside?.traceId).toBe(producer.traceId);
      break;
    }
    expect(collector.span("receive read").kind).toBe(SpanKind.CLIENT);
    expect(collector.span("process read").parentSpanContext?.spanId).toBe(
      collector.span("publish read").spanContext().spanId,
    );
  });

  it("report a handler that fails, and a publish that is refused", async () => {
    const failed = new Promise((resolve) => b().events.once("subscription:failed", resolve));
    await subscribed(b(), "fails", () => Promise.reject(new RangeError("no")));
    await a().publish("fails", "x");
    await failed;
    expect(collector.span("process fails").attributes["error.type"]).toBe("RangeError");
    await failure(a().publish("fails/#", "x"));
    expect(collector.span("publish fails/#").attributes["error.type"]).toBe("EINVAL");
  });
});

describe("messages to nodes and services", () => {
  it("have one-to-one messages in the sender's trace", async () => {
    const { handler, all } = got<ClusterMessage>(2);
    await subscribed(b(), "self", handler);
    await a().sendTo(a().addressOf(b().id), "to one");
    await a().sendToNodes("to all");
    await all;
    const [one, many] = of("send self") as [ReadableSpan, ReadableSpan];
    const [first, second] = of("process self") as [ReadableSpan, ReadableSpan];
    expectLinked([first], one);
    expectLinked([second], many);
  });

  it("have a message to services, and a query with its answers", async () => {
    const { handler, all } = got<unknown>(2);
    const services = [b(), c()];
    for (const node of services) {
      onTestFinished(node.onMessage(handler));
      onTestFinished(node.onQuery(() => trace.getActiveSpan()?.spanContext().spanId ?? ""));
    }
    const { sent } = await a().send({ members: services.map(({ id }) => id), data: "x" });
    expect(sent).toHaveLength(2);
    await all;
    const send = collector.span("send channel/0");
    expect(send.attributes["shoal.message.recipients"]).toBe(2);
    expectLinked(of("process channel/0"), send);
    const { replies } = await a()
      .query({ members: services.map(({ id }) => id), data: "who" })
      .collect();
    const query = collector.span("query channel/0");
    expect(query.attributes["shoal.message.recipients"]).toBe(2);
    const handled = of("process channel/0").slice(2);
    expectLinked(handled, query);
    expect(replies.map(({ data }) => String(data)).sort()).toEqual(
      handled.map((span) => span.spanContext().spanId).sort(),
    );
  });

  it("have a message that goes by one datagram, and a hook of sending changes nothing of it", async () => {
    const { handler, all } = got<unknown>(2);
    for (const node of [b(), c()]) onTestFinished(node.onMessage(handler));
    onTestFinished(a().hook("protocol:send", (payload) => ({ ...payload, data: "other" })));
    const { means } = await a().send({ broadcast: true, data: "x" });
    expect(means).toBe("datagram");
    expect((await all).map((message) => (message as { data: string }).data)).toEqual(["other", "other"]);
    expectLinked(of("process channel/0"), collector.span("send channel/0"));
  });

  it("has a query that nobody answers in time as an error", async () => {
    const { handler, all } = got<unknown>(1);
    onTestFinished(
      b().onQuery((query) => {
        handler(query);
        return new Promise<string>(() => undefined);
      }),
    );
    const query = a().query({ members: [b().id], timeout: 50 });
    await all;
    await query.collect();
    expect(collector.span("query channel/0").attributes["error.type"]).toBe("ETIMEDOUT");
  });
});

describe("without being asked", () => {
  it("are not reported, and carry nothing", async () => {
    collector.on({});
    const { handler, all } = got<ClusterMessage>(1);
    await subscribed(b(), "quiet", handler);
    await a().publish("quiet", "x");
    await all;
    expect(collector.spans).toEqual([]);
  });

  it("are those that a function chooses", async () => {
    collector.on({
      messages: (destination) => {
        if (destination === "throws") throw new Error("a mistake of the program");
        return destination === "wanted";
      },
    });
    const { handler, all } = got<ClusterMessage>(3);
    await subscribed(b(), "#", handler);
    for (const topic of ["unwanted", "throws", "wanted"]) await a().publish(topic, "x");
    await all;
    expect(collector.spans.map(({ name }) => name).sort()).toEqual(["process #", "publish wanted"]);
  });

  it("refuses what is neither true, false nor a function", () => {
    collector.off();
    const invalid = expect.objectContaining({ code: "EINVAL" });
    expect(() => instrument({ messages: "all" as never })).toThrow(invalid);
  });

  it("ignores contexts that are malformed", async () => {
    // After the instrumentation's own.
    const set = (operation: unknown): void => {
      (operation as { context: unknown }).context = Buffer.from("\u00ff junk");
    };
    const contexts: (Uint8Array | undefined)[] = [];
    const seen = (operation: unknown): void => {
      contexts.push((operation as { received: { context?: Uint8Array } }).received.context);
    };
    subscribe("shoal.message.send.start", set);
    subscribe("shoal.message.process.start", seen);
    onTestFinished(() => void unsubscribe("shoal.message.send.start", set));
    onTestFinished(() => void unsubscribe("shoal.message.process.start", seen));
    const { handler, all } = got<ClusterMessage>(1);
    await subscribed(b(), "junk", handler);
    await a().publish("junk", "x");
    await all;
    expect(contexts).toHaveLength(1);
    expect(collector.span("process junk").parentSpanContext).toBeUndefined();
  });
});
