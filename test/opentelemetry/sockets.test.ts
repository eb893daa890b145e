/** Messages of sockets as spans, and contexts as bytes. */
import { readFileSync } from "node:fs";
import { trace } from "@opentelemetry/api";
import { expect, it } from "vitest";
import { decodeContext, encodeContext } from "../../src/core/message-operations.js";
import { Pull, Push, type Socket } from "../../src/index.js";
import { contextOf, processMessage, traceSocket } from "../../src/opentelemetry/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import fc from "../support/properties.js";
import { type Collector, useCollector } from "./support/collector.js";

const own = closeAfterEach();
let collector: Collector;
useCollector((made) => (collector = made));

const traced = <S extends Socket>(socket: S): S => traceSocket(own(socket), "orders");

it("has a span of each send and receive, and process below what was received", async () => {
  const pull = traced(new Pull());
  const push = traced(new Push());
  push.connect(await pull.bind("tcp://127.0.0.1:*"));
  await push.send("an order");
  const message = await pull.receive();
  expect(message.map(String)).toEqual(["an order"]);
  const inside = processMessage(message, () => trace.getActiveSpan()?.spanContext().spanId);
  const [send, receive, process] = ["send", "receive", "process"].map((name) =>
    collector.span(`${name} orders`),
  );
  const received = receive?.spanContext();
  expect(receive?.parentSpanContext).toBeUndefined();
  expect(process?.parentSpanContext).toMatchObject({ traceId: received?.traceId, spanId: received?.spanId });
  expect(contextOf(message)).toBeDefined();
  expect(inside).toBe(process?.spanContext().spanId);
  expect(send?.attributes).toEqual({
    "messaging.system.name": "zeromq",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": "orders",
    "messaging.message.body.size": 8,
    "shoal.socket.type": "Push",
  });
});

it("reads any bytes as headers or as none", () => {
  expect({ ...decodeContext(Buffer.from("\u0001a\0\u0002bc")) }).toEqual({ a: "bc" });
  for (const cut of ["\u0001", "\u0001a\0", "\u0001a\0\u0002b", "\u0001a\0\u0002bc\u0001"])
    expect(decodeContext(Buffer.from(cut))).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_100 }), (bytes) => {
      const headers = decodeContext(bytes);
      if (headers === undefined || bytes.length === 0) return;
      for (const value of Object.values(headers)) expect(typeof value).toBe("string");
    }),
  );
  const dictionary = fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 20 }));
  fc.assert(
    fc.property(dictionary, (headers) => {
      const encoded = encodeContext(headers);
      if (encoded !== undefined) expect({ ...decodeContext(encoded) }).toEqual({ ...headers });
    }),
  );
});

it("makes no context of a value that is longer than its length can say", () => {
  expect(encodeContext({ baggage: "x".repeat(65_536) })).toBeUndefined();
});

it("has the hex of the specification", () => {
  const page = readFileSync(new URL("../../docs/tracing.md", import.meta.url), "utf8");
  const [, hex = ""] = /^```text\n(0b[\s\S]*?)```$/m.exec(page) ?? [];
  const context = encodeContext({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  expect(hex.trim().split(/\s+/).join("")).toBe(Buffer.from(context as Uint8Array).toString("hex"));
});

it("reports a send that fails, and names nothing that is not traced", async () => {
  const push = traced(new Push({ sendTimeout: 0 }));
  await expect(push.send("x")).rejects.toMatchObject({ code: "EAGAIN" });
  expect(push.trySend("x")).toBe(false);
  expect(collector.spans.map(({ attributes }) => attributes["error.type"])).toEqual(["EAGAIN", "EAGAIN"]);
  expect(() => traceSocket({} as never, "x")).toThrow(expect.objectContaining({ code: "EINVAL" }));
  for (const name of ["", "x".repeat(129), 1 as never])
    expect(() => traceSocket(push, name)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  const pull = own(new Pull());
  const other = own(new Push());
  other.connect(await pull.bind("tcp://127.0.0.1:*"));
  await other.send("y");
  const message = await pull.receive();
  expect(processMessage(message, ([frame]) => String(frame))).toBe("y");
  expect(collector.spans).toHaveLength(2);
});

it("passes a handler's error on and reports it", async () => {
  const [push, pull] = [traced(new Push()), traced(new Pull())];
  push.connect(await pull.bind("tcp://127.0.0.1:*"));
  const throws = () => {
    throw new TypeError("no");
  };
  for (const handle of [throws, async () => throws()]) {
    await push.send("x");
    const message = await pull.receive();
    await expect((async () => processMessage(message, handle))()).rejects.toThrow("no");
  }
  const processes = collector.spans.filter(({ name }) => name === "process orders");
  expect(processes.map(({ attributes }) => attributes["error.type"])).toEqual(["TypeError", "TypeError"]);
});
