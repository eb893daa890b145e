import { describe, expect, test } from "vitest";
import {
  Context,
  json,
  Observer,
  Pull,
  Push,
  Socket,
  Stream,
  TransportError,
  XPublisher,
  XSubscriber,
} from "../../src/index.js";
import { Datagram } from "../../src/sockets/draft/index.js";
import { FakeEngine } from "../support/fake-engine.js";
import { watch } from "../support/settled.js";
import { SOCKET_CLASSES } from "../support/socket-classes.js";

type AnyClass = new (options?: object) => Socket & Record<string, unknown>;
const NO_RECEIVE = ["Publisher", "Push"];
const NO_SEND = ["Subscriber", "Pull"];

function world(notify?: "at-once" | "when-told") {
  const engine = new FakeEngine(notify);
  return { engine, context: new Context({ engine }) };
}

describe.each(SOCKET_CLASSES as unknown as [string, AnyClass][])("%s", (name, SocketClass) => {
  test("has the methods of its directions at run time, and no others", () => {
    const socket = new SocketClass({ context: world().context });
    for (const method of ["receive", "receiveMany", "messages", Symbol.asyncIterator])
      expect(typeof (socket as never)[method], String(method)).toBe(
        NO_RECEIVE.includes(name) ? "undefined" : "function",
      );
    for (const method of ["send", "trySend"])
      expect(typeof socket[method], method).toBe(NO_SEND.includes(name) ? "undefined" : "function");
  });

  test("refuses bad construction before the engine opens anything", () => {
    const { engine, context } = world();
    for (const bad of [
      { nonsense: 1 },
      { linger: "1" },
      { authenticate: true },
      { codec: "json" },
      { context: {} },
      { context: null },
    ]) {
      expect(() => new SocketClass({ context, ...bad }), JSON.stringify(bad)).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    }
    expect(engine.sockets).toEqual([]);
  });
});

test("a key that a program sets is copied, as one that it gives at construction", () => {
  const { engine, context } = world();
  const key = Buffer.alloc(32, 1);
  new Push({ context }).curveSecretKey = key;
  key.fill(2);
  expect(engine.last.options.curveSecretKey).toEqual(Buffer.alloc(32, 1));
});

test("a socket is of a class of its type", () => {
  const Base = Socket as unknown as new (type: number) => Socket;
  expect(() => new Base(5)).toThrow(/such as Dealer/);
});

test("sockets whose messages are frames by nature take no codec", () => {
  const { context } = world();
  for (const SocketClass of [XPublisher, XSubscriber, Stream, Datagram] as unknown as AnyClass[])
    expect(() => new SocketClass({ context, codec: json() })).toThrow(/has no option codec/);
});

test("the newest 1,000 events are kept for a slow reader, and those that it loses are counted", async () => {
  const { engine, context } = world();
  const pull = new Pull({ context });
  expect(pull.events.closed).toBe(false); // From here on they are kept.
  for (let i = 0; i < 1_005; i++)
    engine.last.listener.engineOnEvent({ type: "connect:delay", address: String(i) });
  expect(pull.stats().eventsLost).toBe(5);
  expect(await pull.events.receive()).toMatchObject({ address: "5" });
  for (let i = 0; i < 999; i++) await pull.events.receive();
  expect(watch(pull.events.receive()).state).toBe("pending");
  pull.events.close();
  expect(pull.stats().eventsLost).toBe(5);
});

describe("what keeps the process alive", () => {
  test("is a listener, and not an observer that was closed without one", async () => {
    const { engine, context } = world();
    const pull = new Pull({ context });
    pull.events.close();
    const second = new Observer(pull);
    second.on("drop", () => undefined);
    expect(engine.last.holding).toBe(true);
    second.close();
    expect(engine.last.holding).toBe(false);
  });

  test("is a wait for peers until it ends, however it ends", async () => {
    const { engine, context } = world();
    const pull = new Pull({ context });
    const controller = new AbortController();
    const waits = [
      watch(pull.ready({ peers: 1, signal: controller.signal })),
      watch(pull.ready({ peers: 1, timeout: 1 })),
    ];
    expect(engine.last.holding).toBe(true);
    controller.abort();
    await expect.poll(() => waits.map(({ code }) => code)).toEqual(["ABORT_ERR", "ETIMEDOUT"]);
    expect(engine.last.holding).toBe(false);
    await expect(pull.ready({ peers: 1, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
      code: "ABORT_ERR",
    });
  });

  test("the time-out of ready has the last failure of an endpoint that is still connected to", async () => {
    const { engine, context } = world();
    const [first, second, gone] = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3"] as const;
    const push = new Push({ context });
    const fails = (address: string, message: string): Error => {
      const error = new TransportError("ECONNREFUSED", message, { endpoint: address });
      engine.last.listener.engineOnEvent({ type: "connect:retry", address, interval: 1, error });
      return error;
    };
    for (const endpoint of [first, second, gone]) push.connect(endpoint);
    fails(first, "old");
    const two = fails(second, "two");
    const one = fails(first, "one");
    fails(gone, "three");
    push.disconnect(gone);
    const late = watch(push.ready({ peers: 10, timeout: 1 }));
    await expect.poll(() => late.code).toBe("ETIMEDOUT");
    expect((late.error as Error).message).toContain("; last: one");
    expect((late.error as Error).cause).toBe(one);
    engine.last.listener.engineOnEvent({ type: "handshake", address: first });
    const later = watch(push.ready({ peers: 10, timeout: 1 }));
    await expect.poll(() => later.code).toBe("ETIMEDOUT");
    expect((later.error as Error).cause).toBe(two);
  });
});

test("close without one refuses what waits with EAGAIN, and reports it", async () => {
  const { engine, context } = world();
  const push = new Push({ context });
  const heard: unknown[] = [];
  push.events.on("drop", (event) => heard.push(event));
  push.events.on("end", (event) => heard.push(event));
  engine.last.room = 0;
  const waiting = watch(push.send("a"));
  expect(await push.close()).toEqual({ flushed: 0, discarded: 1, unknown: 0 });
  expect(waiting.code).toBe("EAGAIN");
  expect(push.stats()).toMatchObject({ sent: 1, queued: 0, dropped: { closed: 1 } });
  expect(heard).toEqual([{ type: "drop", reason: "closed", messages: 1 }, { type: "end" }]);
});
