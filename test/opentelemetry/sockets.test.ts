/** Messages of sockets as spans, and their contexts over every way that carries them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { trace } from "@opentelemetry/api";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeContext, encodeContext } from "../../src/core/trace-context.js";
import {
  curveKeyPair,
  Dealer,
  json,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  type Socket,
  Subscriber,
} from "../../src/index.js";
import {
  contextOf,
  type Instrumentation,
  instrument,
  processMessage,
  traceSocket,
} from "../../src/opentelemetry/index.js";
import { SocketProxy } from "../../src/proxy/index.js";
import { greeting, RawPeer } from "../contract/support/zmtp-peer.js";
import { type Certificates, makeCertificates } from "../support/certificates.js";
import fc from "../support/properties.js";
import { Collector } from "./support/collector.js";

const open: Socket[] = [];
let collector: Collector;
let instrumentation: Instrumentation;
let folder: string | undefined;

Collector.install();

beforeEach(() => {
  collector = new Collector();
  instrumentation = instrument(collector);
});

afterEach(async () => {
  instrumentation.disable();
  await Promise.all(open.splice(0).map((socket) => socket.close({ linger: 0 })));
  await collector.close();
  if (folder !== undefined) rmSync(folder, { recursive: true });
  folder = undefined;
});

function own<S extends Socket>(socket: S): S {
  open.push(socket);
  return socket;
}

const traced = <S extends Socket>(socket: S): S => traceSocket(own(socket), "orders");

function endpointOf(transport: string): string {
  if (transport !== "ipc") return `${transport}://127.0.0.1:*`;
  folder = mkdtempSync(join(tmpdir(), "shoal-tracing-"));
  return `ipc://${join(folder, "socket")}`;
}

const keys = curveKeyPair();
const client = curveKeyPair();
const CURVE_SERVER = { curveServer: true, curveSecretKey: keys.secretKey };
const CURVE_CLIENT = {
  curveServerKey: keys.publicKey,
  curvePublicKey: client.publicKey,
  curveSecretKey: client.secretKey,
};

const certificates = makeCertificates(mkdtempSync(join(tmpdir(), "shoal-tracing-tls-")));
afterAll(() => rmSync(dirname(certificates.ca), { recursive: true }));
const pem = (name: keyof Certificates): string => readFileSync(certificates[name], "latin1");
const TLS_SERVER = { tlsCert: pem("serverCert"), tlsKey: pem("serverKey") };
const TLS_CLIENT = { tlsCa: pem("ca") };

describe.each([
  ["tcp", {}, {}],
  ["ipc", {}, {}],
  ["ws", CURVE_SERVER, CURVE_CLIENT],
  ["tls", TLS_SERVER, TLS_CLIENT],
  ["wss", { ...TLS_SERVER, ...CURVE_SERVER }, { ...TLS_CLIENT, ...CURVE_CLIENT }],
  ["tcp", CURVE_SERVER, CURVE_CLIENT],
  ["tcp", { plainServer: true, authenticate: () => true }, { plainUsername: "u", plainPassword: "p" }],
] as const)("over %s", (transport, bound, connected) => {
  it("has send, receive and process in one trace", async () => {
    const pull = traced(new Pull(bound));
    const push = traced(new Push(connected));
    push.connect(await pull.bind(endpointOf(transport)));
    await push.ready();
    await push.send("an order");
    const message = await pull.receive();
    expect(message.map(String)).toEqual(["an order"]);
    const inside = processMessage(message, () => trace.getActiveSpan()?.spanContext().spanId);
    const [send, receive, process] = ["send orders", "receive orders", "process orders"].map((name) =>
      collector.span(name),
    );
    const sender = send?.spanContext();
    expect(receive?.links.map(({ context }) => context.spanId)).toEqual([sender?.spanId]);
    for (const span of [receive, process])
      expect(span?.parentSpanContext).toMatchObject({ traceId: sender?.traceId, spanId: sender?.spanId });
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
});

/** The ids of the senders' spans that messages came with. */
const senderOf = (message: unknown): string | undefined => {
  const context = contextOf(message);
  return context === undefined ? undefined : trace.getSpanContext(context)?.spanId;
};
const sends = (): string[] =>
  collector.spans.filter(({ name }) => name === "send orders").map((span) => span.spanContext().spanId);

it.each([
  "inproc://traced",
  "ws://127.0.0.1:*",
])("begins a trace at the receiver over %s, which has no handshake", async (endpoint) => {
  const pull = traced(new Pull());
  const push = traced(new Push());
  push.connect(await pull.bind(endpoint));
  await push.send("an order");
  const message = await pull.receive();
  const [send, receive] = ["send orders", "receive orders"].map((name) => collector.span(name));
  expect(receive?.links).toEqual([]);
  expect(receive?.spanContext().traceId).not.toBe(send?.spanContext().traceId);
  expect(senderOf(message)).toBe(receive?.spanContext().spanId);
});

it("passes a proxy without its context, and every frame of it", async () => {
  const proxy = new SocketProxy({
    frontend: { type: "pull", bind: "tcp://127.0.0.1:*" },
    backend: { type: "push", bind: "tcp://127.0.0.1:*" },
  });
  await proxy.start();
  const pull = traced(new Pull());
  const push = traced(new Push());
  push.connect(proxy.endpoints.frontend[0] as string);
  pull.connect(proxy.endpoints.backend[0] as string);
  await push.send(["an", "order"]);
  const message = await pull.receive();
  expect(message.map(String)).toEqual(["an", "order"]);
  const [send, receive] = ["send orders", "receive orders"].map((name) => collector.span(name));
  expect(receive?.links).toEqual([]);
  expect(receive?.spanContext().traceId).not.toBe(send?.spanContext().traceId);
  await proxy.close();
});

it("carries contexts of requests and replies, of routed messages, and of a codec's", async () => {
  const reply = traced(new Reply());
  const request = traced(new Request());
  request.connect(await reply.bind("tcp://127.0.0.1:*"));
  await request.ready();
  const answer = request.request("ping");
  const asked = await reply.receive();
  await reply.send("pong");
  expect([senderOf(asked), senderOf(await answer)]).toEqual(sends());

  const router = traced(new Router({ codec: json() }));
  const dealer = traced(new Dealer({ codec: json() }));
  dealer.connect(await router.bind("tcp://127.0.0.1:*"));
  await dealer.ready();
  await dealer.send({ a: 1 });
  const routed = await router.receive();
  expect(routed[1]).toEqual({ a: 1 });
  await router.send([routed[0], { b: 2 }]);
  const back = await dealer.receive();
  expect(back).toEqual([{ b: 2 }]);
  expect([senderOf(routed), senderOf(back)]).toEqual(sends().slice(2));

  const [one, two] = [traced(new Pair()), traced(new Pair())];
  two.connect(await one.bind("tcp://127.0.0.1:*"));
  await two.ready();
  expect(one.trySend(["many", Buffer.alloc(100_000), "frames"])).toBe(true);
  expect([senderOf(await two.receive())]).toEqual(sends().slice(4));
});

it("publishes to subscribers with and without contexts", async () => {
  const pub = traced(new Publisher());
  const endpoint = await pub.bind("tcp://127.0.0.1:*");
  const subscribers = [traced(new Subscriber()), own(new Subscriber())];
  for (const sub of subscribers) {
    const subscribed = new Promise((resolve) => pub.events.once("subscribe", resolve));
    sub.subscribe("");
    sub.connect(endpoint);
    await subscribed;
  }
  await pub.send(["topic", "1"]);
  await pub.send(["topic", "2"]);
  const [with_, without] = await Promise.all(
    subscribers.map(async (sub) => [await sub.receive(), await sub.receive()]),
  );
  expect(with_?.map(senderOf)).toEqual(sends());
  expect(without?.map((message) => message.map(String))).toEqual([
    ["topic", "1"],
    ["topic", "2"],
  ]);
  expect(without?.map(senderOf)).toEqual([undefined, undefined]);
});

/** A READY with a property more. */
function readyWith(socketType: string, value?: string): Buffer {
  const properties = [
    ["Socket-Type", socketType],
    ...(value === undefined ? [] : [["X-Trace-Context", value]]),
  ];
  const parts = properties.flatMap(([name = "", text = ""]) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return [Buffer.of(name.length), Buffer.from(name), length, Buffer.from(text)];
  });
  const body = Buffer.concat([Buffer.from("\u0005READY"), ...parts]);
  return Buffer.concat([Buffer.of(4, body.length), body]);
}

async function rawPeer(endpoint: string, socketType: string, value?: string, minor = 1): Promise<RawPeer> {
  const peer = await RawPeer.connect(endpoint);
  peer.write(greeting("NULL", minor));
  await peer.receive(64);
  peer.write(readyWith(socketType, value));
  const size = (await peer.receive(66))[65] as number;
  await peer.receive(66 + size);
  return peer;
}

it.each([
  ["that does not", 1, undefined],
  ["of ZMTP 3.0, which knows no commands", 0, "1"],
] as const)("announces contexts in the handshake, and sends none to a peer %s", async (_, minor, announced) => {
  const push = traced(new Push());
  const endpoint = await push.bind("tcp://127.0.0.1:*");
  const plain = await rawPeer(endpoint, "PULL", announced, minor);
  const handshake = (await plain.receive(66)).length;
  expect((await plain.receive(66)).toString("latin1")).toContain("X-Trace-Context\0\0\0\u00011");
  await push.ready({ peers: 1 });
  await push.send("x");
  expect((await plain.receive(handshake + 3)).subarray(handshake).toString("latin1")).toBe("\0\u0001x");
  plain.destroy();
  await plain.closed;
  while (push.stats().peers !== 0) await new Promise((resolve) => push.events.once("peer:leave", resolve));

  const peer = await rawPeer(endpoint, "PULL", "1");
  await push.ready({ peers: 1 });
  const before = (await peer.receive(66)).length;
  await push.send("y");
  const bytes = (await peer.receive(before + 77 + 3)).subarray(before);
  expect(bytes.subarray(0, 8).toString("latin1")).toBe("\u0004K\u0005TRACE");
  expect(bytes.subarray(8, 22).toString("latin1")).toBe("\u000btraceparent\0\u0037");
  expect(bytes.subarray(77).toString("latin1")).toBe("\0\u0001y");
  peer.destroy();
});

it("does not announce contexts for a socket that is not traced", async () => {
  const push = own(new Push());
  const peer = await rawPeer(await push.bind("tcp://127.0.0.1:*"), "PULL", "1");
  expect((await peer.receive(66)).toString("latin1")).not.toContain("X-Trace");
  await push.ready({ peers: 1 });
  const before = (await peer.receive(66)).length;
  await push.send("x");
  expect((await peer.receive(before + 3)).subarray(before).toString("latin1")).toBe("\0\u0001x");
  peer.destroy();
});

it("is not impressed by hostile contexts", async () => {
  const pull = traced(new Pull());
  const peer = await rawPeer(await pull.bind("tcp://127.0.0.1:*"), "PUSH", "1");
  const context = (bytes: Uint8Array): Buffer => {
    const body = Buffer.concat([Buffer.from("\u0005TRACE"), bytes]);
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(body.length));
    return Buffer.concat([Buffer.of(6), size, body]);
  };
  const valid = encodeContext({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  const contexts = [
    Buffer.alloc(0),
    Buffer.alloc(60_000, 1),
    Buffer.alloc(1_024, 255),
    Buffer.from("\u000btraceparent\0\u0005hello"),
    Buffer.from("\u000btraceparent\u00ff\u00ffhello", "latin1"),
    Buffer.from("\u0009__proto__\0\u0002{}"),
    valid as Uint8Array,
  ];
  for (const bytes of contexts)
    peer.write(...Array.from({ length: 50 }, () => context(bytes)), Buffer.from("\0\u0001m"));
  const senders: (string | undefined)[] = [];
  for (const _ of contexts) {
    const message = await pull.receive();
    expect(String(message[0])).toBe("m");
    senders.push(collector.spans.at(-1)?.links[0]?.context.spanId);
  }
  expect(senders).toEqual([...Array(6).fill(undefined), "b7ad6b7169203331"]);
  expect(pull.stats().peers).toBe(1);
  peer.destroy();
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
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), fc.string({ maxLength: 20 })),
      (headers) => {
        const encoded = encodeContext(headers);
        if (encoded !== undefined) expect({ ...decodeContext(encoded) }).toEqual({ ...headers });
      },
    ),
  );
});

it("has the hex of the specification", () => {
  const page = readFileSync(new URL("../../docs/spec/trace-context.md", import.meta.url), "utf8");
  const [, hex = ""] = /^```text\n(04 4b [\s\S]*?)```$/m.exec(page) ?? [];
  const context = encodeContext({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  const command = Buffer.concat([Buffer.from("\u0004K\u0005TRACE"), context as Uint8Array]);
  expect(hex.trim().split(/\s+/).join("")).toBe(command.toString("hex"));
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
  for (const handle of [
    () => {
      throw new TypeError("no");
    },
    async () => Promise.reject(new TypeError("no")),
  ]) {
    await push.send("x");
    const message = await pull.receive();
    await expect((async () => processMessage(message, handle))()).rejects.toThrow("no");
  }
  const processes = collector.spans.filter(({ name }) => name === "process orders");
  expect(processes.map(({ attributes }) => attributes["error.type"])).toEqual(["TypeError", "TypeError"]);
});
