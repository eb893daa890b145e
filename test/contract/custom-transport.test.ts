/** A transport that a program registers: pairs of Duplexes, with no kernel between them. */
import { once } from "node:events";
import { Duplex, type DuplexOptions, Transform } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  Context,
  InvalidArgumentError,
  Pull,
  Push,
  Reply,
  Request,
  registerTransport,
  Stream,
  Subscriber,
  type Transport,
  type TransportAcceptor,
  XPublisher,
  XSubscriber,
} from "../../src/index.js";
import { Dish, Radio } from "../../src/sockets/draft/index.js";
import { Pump } from "../../src/sockets/pump.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ENGINES } from "../support/engines.js";
import { CURVE_SERVER, curveClient } from "./support/keys.js";
import { nextEvent, turn, until } from "./support/wait.js";

type Done = (error?: Error | null) => void;

/** One end of a pair: what is written at one comes out of the other. */
class End extends Duplex {
  other: End | undefined;
  #waiting: Done | undefined;

  constructor(options: DuplexOptions = {}) {
    super({ allowHalfOpen: false, ...options });
  }

  override _read(): void {
    const done = this.other === undefined ? undefined : this.other.#waiting;
    if (this.other !== undefined) this.other.#waiting = undefined;
    done?.();
  }

  override _write(chunk: Buffer, _: string, done: Done): void {
    if (this.other?.push(Buffer.from(chunk)) === true) done();
    else this.#waiting = done;
  }

  override _final(done: Done): void {
    this.other?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.other?.push(null);
    done(error);
  }
}

/** As `End`, but a reader gets bytes within the write. */
class Through extends Transform {
  other: Through | undefined;

  override _transform(chunk: Buffer, _: string, done: Done): void {
    this.other?.push(Buffer.from(chunk));
    done();
  }
}

const listening = new Map<string, TransportAcceptor>();
const accepted: Duplex[] = [];

const memory: Transport = {
  scheme: "memory",
  check(endpoint) {
    if (!/^memory:\/\/\w+$/.test(endpoint))
      throw new InvalidArgumentError(`${endpoint}: expected memory://NAME`);
  },
  async listen(endpoint, acceptor) {
    if (listening.has(endpoint)) throw Object.assign(new Error("taken"), { code: "EADDRINUSE" });
    listening.set(endpoint, acceptor);
    return {
      endpoint,
      async close() {
        listening.delete(endpoint);
      },
    };
  },
  async dial(endpoint) {
    const acceptor = listening.get(endpoint);
    if (acceptor === undefined) throw Object.assign(new Error("nobody"), { code: "ECONNREFUSED" });
    const [a, b] = [new End(), new End()];
    a.other = b;
    b.other = a;
    accepted.push(b);
    setImmediate(() => acceptor.accepted({ stream: b, remote: "memory://peer", address: "somebody" }));
    return { stream: a, remote: endpoint };
  },
};
registerTransport(memory);

/** A scheme of any endpoints, which dials by `dial`. */
function registerDial(scheme: string, dial: Transport["dial"]): void {
  registerTransport({ ...memory, scheme, check() {}, dial });
}

const keep = closeAfterEach();
afterEach(() => void accepted.splice(0));

const context = new Context({ engine: "zmtp" });

/** Sends within the next writes of these ends, so many times. */
function withinWrites(ends: readonly End[], times: number, send: () => void): void {
  let left = times;
  for (const end of ends) {
    const write = end._write.bind(end);
    end._write = (chunk, encoding, done) => {
      write(chunk, encoding, done);
      if (left-- > 0) send();
    };
  }
}

describe("a registered transport", () => {
  it("has mechanisms, and its address in the authenticate hook", async () => {
    const asked: string[] = [];
    const reply = keep(
      new Reply({
        context,
        plainServer: true,
        authenticate: ({ username, address }) => {
          asked.push(`${username} ${address}`);
          return true;
        },
      }),
    );
    const request = keep(new Request({ context, plainUsername: "me", plainPassword: "secret" }));
    await reply.bind("memory://plain");
    request.connect("memory://plain");
    await request.send("question");
    expect(String((await reply.receive())[0])).toBe("question");
    await reply.send("answer");
    expect(String((await request.receive())[0])).toBe("answer");
    expect(asked).toEqual(["me somebody"]);
  });

  it("is dialled again after a loss, with what waits", async () => {
    const pull = keep(new Pull({ context }));
    const push = keep(new Push({ context, reconnectInterval: 1 }));
    push.connect("memory://later");
    await push.send("waits");
    await pull.bind("memory://later");
    expect(String((await pull.receive())[0])).toBe("waits");
    const left = new Promise((resolve) => push.events.on("peer:leave", resolve));
    accepted[0]?.destroy();
    await left;
    await push.send("again");
    expect(String((await pull.receive())[0])).toBe("again");
  });

  it("lets a peer that does not read wait, and close ends it", async () => {
    const pull = keep(new Pull({ context, receiveHighWaterMark: 10 }));
    const push = keep(new Push({ context, sendHighWaterMark: 10, sendTimeout: 50 }));
    await pull.bind("memory://full");
    push.connect("memory://full");
    const body = Buffer.alloc(100_000);
    let sent = 0;
    await expect(
      (async () => {
        for (;;) {
          await push.send(body);
          sent += 1;
        }
      })(),
    ).rejects.toMatchObject({ code: "EAGAIN" });
    for (let i = 0; i < sent; i++) expect((await pull.receive())[0]?.length).toBe(body.length);
    await push.close();
    await until(() => accepted.every((stream) => stream.destroyed), "the ends");
  });

  it("waits for a raw peer that it hangs up on as long as that reads", async () => {
    const stream = keep(new Stream({ context }));
    await stream.bind("memory://raw");
    const { stream: peer } = await memory.dial("memory://raw", new AbortController().signal);
    const [id] = await stream.receive();
    const left = nextEvent(stream, "disconnect");
    const all = 40 * 200_000;
    let got = 0;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      for (let i = 0; i < 40; i++) stream.trySend([id, Buffer.alloc(200_000)]);
      stream.trySend([id, ""]);
      for (let i = 0; i < 80 && got < all / 2; i++) {
        await turn();
        vi.advanceTimersByTime(20_000);
        got += peer.read()?.length ?? 0;
      }
      expect(got).toBeGreaterThanOrEqual(all / 2);
      await turn();
      // What it does not read any more is dropped.
      for (let i = 0; i < 2; i++) vi.advanceTimersByTime(30_000);
    } finally {
      vi.useRealTimers();
    }
    expect((await left).reason).toBe("local");
    expect(stream.stats().dropped.disconnected).toBeGreaterThan(0);
  });

  it("writes each byte once, in order, where the program sends within a write", async () => {
    const [pull, push] = [keep(new Pull({ context })), keep(new Push({ context }))];
    await pull.bind("memory://within");
    push.connect("memory://within");
    await push.send("first");
    expect(String(await pull.receive())).toBe("first");
    let sent = 0;
    const send = (): void => void push.trySend(Buffer.alloc(300_000, ++sent));
    withinWrites([(accepted[0] as End).other as End], 4, send);
    send();
    const got: number[] = [];
    while (got.length < 5) {
      const [body] = (await pull.receive({ timeout: 4_000 })) as [Buffer];
      expect(body.equals(Buffer.alloc(300_000, body[0]))).toBe(true);
      got.push(body[0] as number);
    }
    expect(got).toEqual([1, 2, 3, 4, 5]);
    expect(push.stats()).toMatchObject({ sent: 6, peers: 1 });
  });

  it("gives every subscriber each message once where the program publishes within a write", async () => {
    const publisher = keep(new XPublisher({ context }));
    const subscribers = [keep(new Subscriber({ context })), keep(new Subscriber({ context }))];
    await publisher.bind("memory://publishes");
    for (const [at, subscriber] of subscribers.entries()) {
      // Different prefixes, so that the list of matching peers is made anew for each message.
      subscriber.subscribe(at === 0 ? "" : "t");
      subscriber.connect("memory://publishes");
      await publisher.receive();
    }
    let sent = 0;
    const send = (): void => void publisher.trySend(["t", Buffer.alloc(300_000, ++sent)]);
    withinWrites(accepted as End[], 1, send);
    send();
    for (const subscriber of subscribers) {
      const got: number[] = [];
      while (got.length < 2) {
        const [, body] = (await subscriber.receive({ timeout: 4_000 })) as [Buffer, Buffer];
        expect(body.equals(Buffer.alloc(300_000, body[0]))).toBe(true);
        got.push(body[0] as number);
      }
      expect(got.sort()).toEqual([1, 2]);
    }
  });

  it("gives every Dish each message where the program sends to another group within a write", async () => {
    const radio = keep(new Radio({ context }));
    const dishes = [keep(new Dish({ context })), keep(new Dish({ context }))];
    await radio.bind("memory://radio");
    for (const [at, dish] of dishes.entries()) {
      dish.join("all", ...(at === 0 ? ["first"] : []));
      dish.connect("memory://radio");
      await nextEvent(radio, "subscribe");
    }
    withinWrites(accepted as End[], 1, () => radio.trySend("within", { group: "first" }));
    radio.trySend(Buffer.alloc(300_000, 1), { group: "all" });
    const texts: string[] = [];
    for (const dish of [...dishes, dishes[0] as Dish]) {
      const [body, { group }] = await dish.receive({ timeout: 4_000 });
      texts.push(`${group} ${body.length}`);
    }
    expect(texts).toEqual(["all 300000", "all 300000", "first 6"]);
  });

  it("gives every subscriber each relayed message where the program publishes within a write", async () => {
    const [source, from] = [keep(new XPublisher({ context })), keep(new XSubscriber({ context }))];
    await source.bind("memory://source");
    from.connect("memory://source");
    await from.ready();
    await from.send(Buffer.from("\u0001"));
    await source.receive();
    const to = keep(new XPublisher({ context, verbosity: "allSubs" }));
    const subscribers = [keep(new Subscriber({ context })), keep(new Subscriber({ context }))];
    await to.bind("memory://relays");
    accepted.length = 0;
    for (const [at, subscriber] of subscribers.entries()) {
      subscriber.subscribe("all", ...(at === 0 ? ["first"] : []));
      subscriber.connect("memory://relays");
      for (let i = at; i < 2; i++) await to.receive();
    }
    withinWrites(accepted as End[], 1, () => to.trySend(["first", "within"]));
    const failures: unknown[] = [];
    const pump = new Pump(from, to, {
      refused: () => undefined,
      failed: (error) => failures.push(error),
    });
    const running = pump.run();
    await source.send(["all", Buffer.alloc(300_000, 1)]);
    const texts: string[] = [];
    for (const subscriber of [...subscribers, subscribers[0] as Subscriber]) {
      const [topic, body] = (await subscriber.receive({ timeout: 4_000 })) as [Buffer, Buffer];
      texts.push(`${topic} ${body.length}`);
    }
    expect(texts).toEqual(["all 300000", "all 300000", "first 6"]);
    expect(failures).toEqual([]);
    pump.end();
    await running;
  });

  it("reports its own refusals", async () => {
    const push = keep(new Push({ context }));
    expect(() => push.connect("memory://not a name")).toThrow("expected memory://NAME");
    const [one, two] = [keep(new Pull({ context })), keep(new Pull({ context }))];
    await one.bind("memory://taken");
    await expect(two.bind("memory://taken")).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(() => two.bindSync("memory://sync")).toThrow(expect.objectContaining({ code: "NOT_SUPPORTED" }));
    await one.unbind("memory://taken");
    await two.bind("memory://taken");
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("still there");
      },
    ],
    ["rejects", () => Promise.reject(new Error("still there"))],
  ])("whose listener %s when it is closed is an event, or the error of unbind", async (how, close) => {
    const scheme = `listener-${how}`;
    registerTransport({ ...memory, scheme, check() {}, listen: async (endpoint) => ({ endpoint, close }) });
    const pull = keep(new Pull({ context }));
    const failed: string[] = [];
    pull.events.on("close:error", ({ address, error }) => failed.push(`${address} ${error.code}`));
    await pull.bind(`${scheme}://a`);
    await expect(pull.unbind(`${scheme}://a`)).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
    await pull.bind(`${scheme}://sync`);
    pull.unbindSync(`${scheme}://sync`);
    await pull.bind(`${scheme}://b`);
    const behind = await pull.bind("tcp://127.0.0.1:*");
    expect(await pull.close()).toMatchObject({ discarded: 0 });
    expect(failed).toEqual([`${scheme}://sync ERR_TRANSPORT`, `${scheme}://b ERR_TRANSPORT`]);
    await keep(new Pull({ context })).bind(behind);
  });

  /** `stream` throws instead of the write that comes after `before` of them. */
  function unplugAfter(stream: Duplex, before: number): void {
    const write = stream._write.bind(stream);
    let writes = 0;
    stream._write = (chunk, encoding, done) => {
      if (writes++ >= before) throw new Error("unplugged");
      write(chunk, encoding, done);
    };
  }

  const curve = { client: curveClient(), server: { ...CURVE_SERVER, authenticate: () => true } };
  const none = { client: {}, server: {} };

  it.each([
    ["NULL greeting", 0, "null", none],
    ["CURVE greeting", 0, "curve", curve],
    ["HELLO", 1, "curve", curve],
    ["INITIATE", 2, "curve", curve],
  ] as const)("whose stream throws at the %s is dialled again, with the reason", async (at, before, mechanism, keys) => {
    const streams: Duplex[] = [];
    const scheme = `throws-${before}-${mechanism}`;
    const name = `memory://throws${before}${mechanism}`;
    registerDial(scheme, async (_, signal) => {
      const { stream } = await memory.dial(name, signal);
      if (streams.length === 0) unplugAfter(stream, before);
      streams.push(stream);
      return { stream, remote: `${scheme}://a` };
    });
    const pull = keep(new Pull({ context, ...keys.server }));
    await pull.bind(name);
    const push = keep(new Push({ context, reconnectInterval: 1, ...keys.client }));
    const retried = nextEvent(push, "connect:retry");
    push.connect(`${scheme}://a`);
    await push.send(at);
    expect((await retried).error).toMatchObject({
      code: "ERR_HANDSHAKE",
      message: `Handshake at ${scheme}://a failed: the stream threw: unplugged`,
      cause: { message: "unplugged" },
    });
    expect(streams[0]?.destroyed).toBe(true);
    expect(String(await pull.receive())).toBe(at);
    expect(streams).toHaveLength(2);
  });

  it.each([
    ["greeting", 0, none, true],
    ["greeting, before the peer's", 0, none, false],
    ["WELCOME", 1, curve, true],
    ["READY", 2, curve, true],
  ] as const)("whose accepted stream throws at the %s loses only that peer", async (_, before, keys, greets) => {
    const pull = keep(new Pull({ context, ...keys.server }));
    const name = `memory://accepts${before}${greets}`;
    await pull.bind(name);
    const failed = nextEvent(pull, "handshake:error:other");
    const left = nextEvent(pull, "disconnect");
    const { accepted: accept, ...acceptor } = listening.get(name) as TransportAcceptor;
    listening.set(name, {
      ...acceptor,
      accepted(given) {
        if (accepted.length === 1) unplugAfter(given.stream, before);
        accept(given);
      },
    });
    const push = keep(new Push({ context, reconnectInterval: 1, ...keys.client }));
    if (greets) push.connect(name);
    else await memory.dial(name, new AbortController().signal);
    expect((await failed).error).toMatchObject({
      code: "ERR_HANDSHAKE",
      message: `Handshake at ${name} failed: the stream threw: unplugged`,
    });
    expect((await left).reason).toBe("local");
    expect(accepted[0]?.destroyed).toBe(true);
    if (!greets) push.connect(name);
    await push.send("hello");
    expect(String(await pull.receive())).toBe("hello");
    expect(pull.stats()).toMatchObject({ received: 1, peers: 1 });
  });

  it.each([
    ["with a peer", true],
    ["before its greeting has left", false],
  ])("whose stream throws when it is ended is destroyed: a socket that closes %s", async (_, peers) => {
    const [name, scheme] = [`memory://unended${peers}`, `unended-${peers}`];
    const pull = keep(new Pull({ context }));
    await pull.bind(name);
    let stream: Duplex | undefined;
    registerDial(scheme, async (_, signal) => {
      const dialled = await memory.dial(name, signal);
      stream = dialled.stream;
      if (!peers) stream.cork();
      stream.end = () => {
        throw new Error("unplugged");
      };
      return { stream, remote: `${scheme}://a` };
    });
    const push = keep(new Push({ context }));
    push.connect(`${scheme}://a`);
    if (peers) await push.send("last");
    await until(() => stream !== undefined && stream.writableLength > 0 !== peers, "its first write");
    expect(await push.close()).toMatchObject({ discarded: 0 });
    await until(() => stream?.destroyed === true, "its end");
    if (peers) expect(String(await pull.receive())).toBe("last");
  });

  it.each([
    ["is in object mode", () => new End({ objectMode: true })],
    ["has an encoding", () => new End().setEncoding("utf8")],
    ["is none", () => undefined],
  ])("whose dialled stream %s is dialled again, with the reason", async (how, streamOf) => {
    const scheme = `dials-${how.replaceAll(" ", "-")}`;
    registerDial(scheme, async (remote) => ({ stream: streamOf() as Duplex, remote }));
    const push = keep(new Push({ context }));
    const failed = nextEvent(push, "connect:retry");
    push.connect(`${scheme}://a`);
    expect((await failed).error).toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining("the stream must be"),
    });
  });

  it("that was read before it was given, and paused, is read on", async () => {
    const pull = keep(new Pull({ context, receiveTimeout: 8_000 }));
    await pull.bind("memory://tunnel");
    registerDial("tunnel", async (_, signal) => {
      const dialled = await memory.dial("memory://tunnel", signal);
      (dialled.stream as End).push("welcome");
      await once(dialled.stream, "data");
      dialled.stream.pause();
      return dialled;
    });
    const push = keep(new Push({ context }));
    push.connect("tunnel://a");
    await push.send("through it");
    expect(String(await pull.receive())).toBe("through it");
  });

  it.each([
    ["NULL", none],
    ["CURVE", curve],
  ] as const)("whose streams pass bytes on within the write has the handshake of %s", async (mechanism, keys) => {
    const name = `memory://within${mechanism}`;
    const pull = keep(new Pull({ context, receiveTimeout: 8_000, ...keys.server }));
    await pull.bind(name);
    const scheme = `within-${mechanism.toLowerCase()}`;
    registerDial(scheme, async (remote) => {
      const ends = [new Through(), new Through()] as const;
      ends[0].other = ends[1];
      ends[1].other = ends[0];
      listening.get(name)?.accepted({ stream: ends[1], remote: "memory://peer" });
      return { stream: ends[0], remote };
    });
    const push = keep(new Push({ context, ...keys.client }));
    push.connect(`${scheme}://a`);
    await push.send("hello");
    expect(String(await pull.receive())).toBe("hello");
  });

  it.runIf(ENGINES.includes("libzmq"))("is not the native engine's", async () => {
    const pull = keep(new Pull({ context: new Context({ engine: "libzmq" }) }));
    await expect(pull.bind("memory://native")).rejects.toMatchObject({ code: "EPROTONOSUPPORT" });
  });
});

it.each([
  ["a scheme of shoal's", { ...memory, scheme: "tcp" }, /tcp is taken/],
  ["one that is registered", memory, /memory is taken/],
  ["an invalid scheme", { ...memory, scheme: "A b" }, /lower-case letter/],
  ["no scheme", { ...memory, scheme: undefined }, /lower-case letter/],
  ["a missing method", { ...memory, scheme: "other", dial: undefined }, /no method dial/],
  ["nothing", undefined, /lower-case letter/],
  ["null", null, /lower-case letter/],
])("registerTransport refuses %s", (_, transport, message) => {
  expect(() => registerTransport(transport as Transport)).toThrow(InvalidArgumentError);
  expect(() => registerTransport(transport as Transport)).toThrow(message);
});
