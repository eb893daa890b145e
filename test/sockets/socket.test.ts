import { describe, expect, test, vi } from "vitest";
import { OfferResult } from "../../src/engine/engine.js";
import {
  Context,
  Dealer,
  Envelope,
  json,
  Observer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  type Socket,
  SocketType,
  Stream,
  Subscriber,
  TransportError,
  XPublisher,
  XSubscriber,
} from "../../src/index.js";
import { FakeEngine, typeNameOf } from "../support/fake-engine.js";
import { turn, watch } from "../support/settled.js";

const CLASSES = {
  Pair,
  Publisher,
  Subscriber,
  Request,
  Reply,
  Dealer,
  Router,
  Pull,
  Push,
  XPublisher,
  XSubscriber,
  Stream,
};
type AnyClass = new (options?: object) => Socket & Record<string, unknown>;
const ROWS = Object.entries(CLASSES) as unknown as [keyof typeof CLASSES, AnyClass][];
const NO_RECEIVE = ["Publisher", "Push"];
const NO_SEND = ["Subscriber", "Pull"];

function world(notify?: "at-once" | "when-told") {
  const engine = new FakeEngine(notify);
  return { engine, context: new Context({ engine }) };
}

describe("a second engine behind the seam carries", () => {
  test("work from a Push to a Pull, with back-pressure and in order", async () => {
    const { context } = world();
    const pull = new Pull({ context, receiveHighWaterMark: 3 });
    const push = new Push({ context });
    await pull.bind("inproc://work");
    push.connect("inproc://work");
    const sends = Array.from({ length: 10 }, (_, i) => push.send(String(i)));
    expect(push.stats()).toMatchObject({ sent: 10, delivered: 3, queued: 7 });
    expect(push.trySend("x")).toBe(false);
    const got: string[] = [];
    for await (const [frame] of pull) if (got.push(String(frame)) === 10) break;
    await Promise.all(sends);
    expect(got).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    expect(push.stats()).toMatchObject({ delivered: 10, queued: 0 });
    await Promise.all([push.close(), pull.close()]);
  });

  test("values of one type from a Publisher to the Subscribers of their topic", async () => {
    const { context } = world();
    const publisher = new Publisher({ context, codec: json<{ n: number }>() });
    const [some, all] = [1, 2].map(() => new Subscriber({ context, codec: json<{ n: number }>() }));
    publisher.bindSync("inproc://news");
    some?.subscribe("b");
    some?.connect("inproc://news");
    all?.connect("inproc://news");
    const ready = publisher.waitForSubscribers({ topic: "b", count: 2, timeout: 1_000 });
    all?.subscribe();
    await ready;
    await publisher.send(["a", { n: 1 }]);
    await publisher.send(["b", { n: 2 }]);
    expect(await some?.receive()).toEqual([Buffer.from("b"), { n: 2 }]);
    expect(await all?.receiveMany()).toEqual([
      [Buffer.from("a"), { n: 1 }],
      [Buffer.from("b"), { n: 2 }],
    ]);
  });

  test("questions from Dealers to a Router and the answers back to each", async () => {
    const { context } = world();
    const router = new Router({ context });
    await router.bind("inproc://ask");
    const dealers = ["one", "two"].map((routingId) => {
      const dealer = new Dealer({ context, routingId });
      dealer.connect("inproc://ask");
      return dealer;
    });
    for (const dealer of dealers) await dealer.send(["", `from ${dealer.routingId}`]);
    for (let i = 0; i < 2; i++) {
      const { envelope, body } = Envelope.parse(await router.receive());
      await router.reply(envelope, [`to ${envelope.routingId}`, ...body]);
    }
    for (const dealer of dealers) {
      const id = dealer.routingId;
      expect((await dealer.receive()).map(String)).toEqual(["", `to ${id}`, `from ${id}`]);
    }
  });

  test("the coming and going of peers, to listeners, loops and ready", async () => {
    const { context } = world();
    const pull = new Pull({ context });
    const joined = vi.fn();
    pull.events.on("peer:join", joined);
    await pull.bind("inproc://work");
    const push = new Push({ context });
    push.connect("inproc://work");
    await push.ready({ timeout: 1_000 });
    expect(joined).toHaveBeenCalledTimes(1);
    expect(pull.stats().peers).toBe(1);
    const left = new Promise((resolve) => pull.events.once("peer:leave", resolve));
    await push.close();
    expect(await left).toMatchObject({ reason: "local" });
  });

  test("an address in use and an endpoint where nothing is, as errors that name it", async () => {
    const { context } = world();
    const pull = new Pull({ context });
    await pull.bind("inproc://here");
    await expect(new Pull({ context }).bind("inproc://here")).rejects.toMatchObject({
      code: "EADDRINUSE",
      address: "inproc://here",
    });
    await pull.unbind("inproc://here");
    await expect(pull.unbind("inproc://here")).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe.each(ROWS)("%s", (name, SocketClass) => {
  test("opens a socket of its type with complete options", () => {
    const { engine, context } = world();
    const socket = new SocketClass({ context, linger: 5 });
    expect(typeNameOf(engine.last.type)).toBe(name);
    expect(socket.type).toBe(SocketType[name]);
    expect(engine.last.options).toMatchObject({ linger: 5, backlog: 100 });
    expect(socket.context).toBe(context);
  });

  test("has the methods of its directions at run time, and no others", () => {
    const socket = new SocketClass({ context: world().context });
    for (const method of ["receive", "receiveMany", "messages", Symbol.asyncIterator])
      expect(typeof (socket as never)[method], String(method)).toBe(
        NO_RECEIVE.includes(name) ? "undefined" : "function",
      );
    for (const method of ["send", "trySend"])
      expect(typeof socket[method], method).toBe(NO_SEND.includes(name) ? "undefined" : "function");
  });

  test("reads and sets its options as properties, and refuses misspelt and bad ones", () => {
    const { engine, context } = world();
    const socket = new SocketClass({ context });
    socket.linger = 7;
    expect(socket.linger).toBe(7);
    expect(engine.last.options.linger).toBe(7);
    const secret = Buffer.alloc(32, 1);
    Object.assign(socket, { curveSecretKey: secret });
    secret.fill(2);
    expect(engine.last.options.curveSecretKey).toEqual(Buffer.alloc(32, 1));
    expect(() => {
      socket.linger = -2;
    }).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(socket.linger).toBe(7);
    expect(() => {
      socket.sendHighWatermark = 5;
    }).toThrow(TypeError);
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

  test("after close refuses every call with EBADF, and closing twice is closing once", async () => {
    const { engine, context } = world();
    const socket = new SocketClass({ context });
    const first = socket.close();
    expect(socket.closed).toBe(true);
    expect(socket.close()).toBe(first);
    expect(await first).toEqual({ flushed: 0, discarded: 0, unknown: 0 });
    expect(engine.last.closes).toEqual([-1]);
    const ebadf = expect.objectContaining({ code: "EBADF" });
    expect(() => socket.connect("inproc://x")).toThrow(ebadf);
    expect(() => socket.bindSync("inproc://x")).toThrow(ebadf);
    expect(() => {
      socket.linger = 1;
    }).toThrow(ebadf);
    await expect(socket.bind("inproc://x")).rejects.toEqual(ebadf);
    await expect(socket.ready()).rejects.toEqual(ebadf);
    for (const method of ["send", "receive", "receiveMany"]) {
      const call = socket[method] as ((message: string[]) => Promise<unknown>) | undefined;
      if (call !== undefined) await expect(call.call(socket, ["a", "b"])).rejects.toEqual(ebadf);
    }
    expect([socket.readable, socket.writable]).toEqual([false, false]);
    expect(socket.stats()).toMatchObject({ sent: 0 });
    expect(new Observer(socket).closed).toBe(true);
  });
});

test("sockets whose messages are frames by nature take no codec", () => {
  const { context } = world();
  for (const SocketClass of [XPublisher, XSubscriber, Stream] as unknown as AnyClass[])
    expect(() => new SocketClass({ context, codec: json() })).toThrow(/has no option codec/);
});

describe("a message that does not pass the codec", () => {
  test("is a count and an event, and the next one takes its place", async () => {
    const { engine, context } = world();
    const pull = new Pull({ context, codec: json() });
    const heard = vi.fn();
    pull.events.on("invalid", heard);
    engine.last.arrive([Buffer.from("{")], [Buffer.from("1"), Buffer.from("2")], [Buffer.from("3")]);
    expect(await pull.receive()).toEqual([3]);
    expect(pull.stats()).toMatchObject({
      received: 1,
      bytesReceived: 1,
      invalid: { codec: 1, frames: 1, schema: 0, full: 0, tooLarge: 0 },
    });
    expect(heard.mock.calls.map(([event]) => event.reason)).toEqual(["codec", "frames"]);
  });

  test("is an error for the one who sends it, and nothing is sent or counted", async () => {
    const { engine, context } = world();
    const push = new Push({ context, codec: json<unknown>() });
    await expect(push.send(undefined)).rejects.toMatchObject({ code: "ERR_INVALID_MESSAGE" });
    expect(() => push.trySend(1n)).toThrow(expect.objectContaining({ code: "ERR_INVALID_MESSAGE" }));
    expect(engine.last.accepted).toEqual([]);
    expect(push.stats().sent).toBe(0);
  });
});

describe("an unroutable message", () => {
  test.each([
    [OfferResult.Unroutable, "unroutable", "EHOSTUNREACH"],
    [OfferResult.PeerFull, "peer-full", "EAGAIN"],
  ] as const)("(%i) is a counted drop, with mandatory an error too, and always one for reply", async (verdict, reason, code) => {
    const { engine, context } = world();
    for (const mandatory of [false, true]) {
      const router = new Router({ context, mandatory });
      const heard = vi.fn();
      router.events.on("drop", heard);
      engine.last.verdicts.push(verdict, verdict, verdict);
      const sent = watch(router.send(["id", "body"]));
      const replied = watch(router.reply(new Envelope(["id"]), "body"));
      const tried = watch((async () => router.trySend(["id", "body"]))());
      await turn();
      expect(sent.code).toBe(mandatory ? code : undefined);
      expect(replied.code).toBe(code);
      expect(tried.code).toBe(mandatory ? code : undefined);
      expect(heard.mock.calls.map(([event]) => event)).toEqual(
        Array(3).fill({ type: "drop", reason, messages: 1, routingId: Buffer.from("id") }),
      );
      expect(router.stats()).toMatchObject({ sent: 3, delivered: 0, dropped: { [reason]: 3 } });
    }
  });
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

  test("the time-out of ready has the last failure of each endpoint that is still connected to, the latest last", async () => {
    const { engine, context } = world();
    const there = [new Pull({ context }), new Pull({ context }), new Pull({ context })];
    const [first = "", second = "", gone = ""] = await Promise.all(
      there.map((pull, at) => pull.bind(`tcp://127.0.0.1:${at + 1}`)),
    );
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
    expect((late.error as { cause?: AggregateError }).cause?.errors).toEqual([two, one]);
    engine.last.listener.engineOnEvent({ type: "handshake", address: first });
    const later = watch(push.ready({ peers: 10, timeout: 1 }));
    await expect.poll(() => later.code).toBe("ETIMEDOUT");
    expect((later.error as Error).cause).toBe(two);
    for (let i = 0; i < 20; i++) fails(`tcp://127.0.0.1:${100 + i}`, `${i}`);
    const last = watch(push.ready({ peers: 10, timeout: 1 }));
    await expect.poll(() => last.code).toBe("ETIMEDOUT");
    expect((last.error as { cause?: AggregateError }).cause?.errors).toHaveLength(16);
  });

  test("ready ends with the reason when a peer refuses for good, and with EAGAIN when the socket closes", async () => {
    const { engine, context } = world();
    const pull = new Pull({ context });
    const refused = watch(pull.ready({ peers: 1 }));
    const error = Object.assign(new Error("no"), { code: "ERR_AUTHENTICATION", status: 400 });
    engine.last.listener.engineOnEvent({ type: "handshake:error:auth", address: "a", error: error as never });
    const closed = watch(pull.ready({ peers: 1 }));
    await pull.close();
    await turn();
    expect(refused.error).toBe(error);
    expect(closed.code).toBe("EAGAIN");
  });
});

describe("Request.request", () => {
  test("retries with the same message, gives up with ETIMEDOUT, and is ready for the next", async () => {
    const { engine, context } = world();
    const request = new Request({ context });
    const failed = watch(request.request("q", { attemptTimeout: 5, retries: 2 }));
    await expect.poll(() => failed.state).toBe("rejected");
    expect(failed).toMatchObject({
      code: "ETIMEDOUT",
      error: { message: expect.stringContaining("3 attempts") },
    });
    expect(engine.last.accepted).toEqual(["q", "q", "q"]);
    expect([request.correlate, request.relaxed]).toEqual([true, true]);
    const next = request.request("r");
    await turn();
    engine.last.arrive([Buffer.from("a")]);
    expect((await next).map(String)).toEqual(["a"]);
  });

  test("does not take a reply that was there before the request for its own", async () => {
    const { engine, context } = world();
    const request = new Request({ context });
    engine.last.incoming.push([Buffer.from("late")]);
    const reply = request.request("q");
    await turn();
    engine.last.arrive([Buffer.from("own")]);
    expect((await reply).map(String)).toEqual(["own"]);
    expect(request.stats().late).toBe(1);
  });

  test("calls take their turn in order, and an aborted one does not hold up the next", async () => {
    const { engine, context } = world();
    const request = new Request({ context });
    const controller = new AbortController();
    const [first, second, third] = ["1", "2", "3"].map((body, i) =>
      watch(request.request(body, i === 1 ? { signal: controller.signal } : {})),
    );
    await turn();
    controller.abort();
    expect(engine.last.accepted).toEqual(["1"]);
    engine.last.arrive([Buffer.from("reply 1")]);
    await turn();
    expect(engine.last.accepted).toEqual(["1", "3"]);
    engine.last.arrive([Buffer.from("reply 3")]);
    await turn();
    expect([first?.value, second?.code, third?.value].map(String)).toEqual([
      "reply 1",
      "ABORT_ERR",
      "reply 3",
    ]);
  });

  test.each([
    { timeout: -2 },
    { timeout: "5" },
    { timeout: 2 ** 31 },
    { retries: -1 },
    { retries: 0.5 },
    { signal: {} },
  ])("refuses %j and sends nothing", async (options) => {
    const { engine, context } = world();
    const request = new Request({ context });
    await expect(request.request("q", options as object)).rejects.toMatchObject({ code: "EINVAL" });
    expect(engine.last.accepted).toEqual([]);
  });
});

describe("close", () => {
  test("with a linger lets waiting sends leave first, and refuses new ones meanwhile", async () => {
    const { engine, context } = world("when-told");
    const push = new Push({ context });
    engine.last.room = 0;
    engine.last.peers = 1;
    const waiting = watch(push.send("a"));
    const closing = watch(push.close({ linger: -1 }));
    const late = watch(push.send("b"));
    engine.last.room = 5;
    engine.deliver();
    await turn();
    expect(waiting.state).toBe("fulfilled");
    expect(late.code).toBe("EBADF");
    expect(closing.value).toEqual({ flushed: 1, discarded: 0, unknown: 0 });
  });

  test("without one refuses what waits with EAGAIN, and reports it", async () => {
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

  test.each([
    -2,
    0.5,
    "1",
    Number.NaN,
  ])("refuses the linger %j, and the socket stays open", async (linger) => {
    const push = new Push({ context: world().context });
    await expect(push.close({ linger: linger as number })).rejects.toMatchObject({ code: "EINVAL" });
    expect(push.closed).toBe(false);
  });
});
