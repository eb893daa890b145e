/**
 * Programs for the package `zeromq` v6, as its documentation writes them. Each
 * runs on shoal and on the package itself, with only the import changed, so a
 * wrong idea of what the package does fails here, too.
 *
 * What shoal does otherwise on purpose comes last; docs/engines.md has the reasons.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import * as zeromq from "zeromq";
import * as shoal from "../../src/index.js";
import { failure, thrown, until, within } from "./support/wait.js";

type Package = typeof shoal;

const PACKAGES: readonly (readonly [string, Package])[] = [
  ["shoal", shoal],
  ["zeromq", zeromq as unknown as Package],
];

const folder = mkdtempSync(join(tmpdir(), "shoal-compat-"));
const open: { close(options?: { linger?: number }): unknown; linger: number; readonly closed: boolean }[] =
  [];

/** Closed after the test. */
function own<S extends (typeof open)[number]>(socket: S): S {
  open.push(socket);
  return socket;
}

afterEach(async () => {
  for (const socket of open.splice(0)) {
    if (socket.closed) continue;
    socket.linger = 0;
    await socket.close();
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let names = 0;
const inproc = (): string => `inproc://compat-${++names}`;

/** The facts of an error that programs look at. */
const facts = (error: unknown): object => {
  const { code, errno, address } = error as { code: string; errno: number; address?: string };
  return { code, errno, address };
};

describe.each(PACKAGES)("a program for zeromq on %s", (name, zmq) => {
  it("pushes work to a puller that iterates and destructures", async () => {
    const push = own(new zmq.Push());
    await push.bind("tcp://127.0.0.1:*");
    const pull = own(new zmq.Pull());
    pull.connect(push.lastEndpoint as string);
    for (const work of ["one", "two", "three"]) await push.send(work);
    const done: string[] = [];
    for await (const [work] of pull) {
      done.push(String(work));
      if (done.length === 3) break;
    }
    expect(done).toEqual(["one", "two", "three"]);
    expect(pull.closed).toBe(false);
  });

  it("publishes a topic and a body to those who subscribed", async () => {
    const pub = own(new zmq.Publisher());
    await pub.bind("tcp://127.0.0.1:*");
    const sub = own(new zmq.Subscriber());
    sub.connect(pub.lastEndpoint as string);
    sub.subscribe("cats", Buffer.from("dogs"));
    sub.unsubscribe("dogs");
    const news = sub.receive();
    let heard = false;
    void news.then(() => {
      heard = true;
    });
    while (!heard) {
      await pub.send(["dogs", "woof"]);
      await pub.send(["cats", "meow"]);
      await new Promise(setImmediate);
    }
    const [topic, body] = await news;
    expect([String(topic), String(body)]).toEqual(["cats", "meow"]);
  });

  it("asks and answers", async () => {
    const reply = own(new zmq.Reply());
    await reply.bind("tcp://127.0.0.1:*");
    const request = own(new zmq.Request());
    request.connect(reply.lastEndpoint as string);
    const serve = (async () => {
      for await (const [number] of reply) {
        await reply.send(String(2 * Number(number)));
        return;
      }
    })();
    await request.send("4");
    const [result] = await request.receive();
    await serve;
    expect(String(result)).toBe("8");
  });

  it("routes by id between a router and a dealer", async () => {
    const router = own(new zmq.Router({ mandatory: true }));
    await router.bind("tcp://127.0.0.1:*");
    const dealer = own(new zmq.Dealer({ routingId: "worker" }));
    dealer.connect(router.lastEndpoint as string);
    await dealer.send(["", "ready"]);
    const [id, empty, body] = await router.receive();
    expect([String(id), String(empty), String(body)]).toEqual(["worker", "", "ready"]);
    await router.send([id as Buffer, null, "go"]);
    expect((await dealer.receive()).map(String)).toEqual(["", "go"]);
    const error = await failure(router.send(["nobody", "hello"]));
    expect(facts(error)).toMatchObject({ code: "EHOSTUNREACH", errno: constants.errno.EHOSTUNREACH });
  });

  it("lets a router name the peer that it connects to", async () => {
    const dealer = own(new zmq.Dealer());
    await dealer.bind("tcp://127.0.0.1:*");
    const router = own(new zmq.Router({ mandatory: true }));
    router.connect(dealer.lastEndpoint as string, { routingId: "there" });
    await until(() => router.writable, "the router has a peer");
    await router.send(["there", "hello"]);
    expect(String((await dealer.receive())[0])).toBe("hello");
  });

  it("passes subscriptions through XPUB and XSUB as messages", async () => {
    const xpub = own(new zmq.XPublisher({ verbosity: "allSubsUnsubs" }));
    await xpub.bind("tcp://127.0.0.1:*");
    const xsub = own(new zmq.XSubscriber());
    xsub.connect(xpub.lastEndpoint as string);
    await xsub.send(Buffer.from("\u0001a"));
    expect(await xpub.receive()).toEqual([Buffer.from("\u0001a")]);
    await xpub.send(["a", "news"]);
    expect((await xsub.receive()).map(String)).toEqual(["a", "news"]);
    await xsub.send(Buffer.from("\u0000a"));
    expect(await xpub.receive()).toEqual([Buffer.from("\u0000a")]);
  });

  it("talks plain TCP through a stream", async () => {
    const server = createServer((socket) => socket.on("data", (data) => socket.end(`echo ${data}`)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const stream = own(new zmq.Stream());
    stream.connect(`tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
    const [id, connected] = await stream.receive();
    await stream.send([id, "hi"]);
    const [, data] = await stream.receive();
    expect([connected.length, String(data)]).toEqual([0, "echo hi"]);
    await new Promise((resolve) => server.close(resolve));
  });

  it("sends each kind of MessageLike", async () => {
    const [a, b] = [own(new zmq.Pair()), own(new zmq.Pair())];
    const endpoint = inproc();
    await a.bind(endpoint);
    b.connect(endpoint);
    const bytes = new Uint8Array([1, 2, 3, 4]);
    await a.send(["é", 16.5, null, Buffer.from("buf"), bytes, bytes.buffer, new Uint16Array([0x0201])]);
    const received = await b.receive();
    expect(received.every(Buffer.isBuffer)).toBe(true);
    expect(received.map((frame) => frame.toString("hex"))).toEqual([
      "c3a9",
      Buffer.from("16.5").toString("hex"),
      "",
      Buffer.from("buf").toString("hex"),
      "01020304",
      "01020304",
      "0102",
    ]);
  });

  it("gives EAGAIN at once with a time-out of 0, and after a time-out", async () => {
    const push = own(new zmq.Push({ sendTimeout: 0 }));
    expect(facts(await failure(push.send("x")))).toMatchObject({
      code: "EAGAIN",
      errno: constants.errno.EAGAIN,
    });
    push.sendTimeout = 5;
    expect((await failure(push.send("x"))).code).toBe("EAGAIN");
    const pull = own(new zmq.Pull({ receiveTimeout: 0 }));
    expect((await failure(pull.receive())).code).toBe("EAGAIN");
    pull.receiveTimeout = 5;
    expect(facts(await failure(pull.receive()))).toMatchObject({
      code: "EAGAIN",
      errno: constants.errno.EAGAIN,
    });
  });

  it("gives EFSM, not EAGAIN, when a time-out ends a call that was out of turn", async () => {
    const reply = own(new zmq.Reply({ sendTimeout: 5, receiveTimeout: 2_000 }));
    await reply.bind("tcp://127.0.0.1:*");
    const request = own(new zmq.Request({ sendTimeout: 2_000, receiveTimeout: 5 }));
    request.connect(reply.lastEndpoint as string);
    expect((await failure(request.receive())).code).toBe("EFSM");
    expect((await failure(reply.send("too early"))).code).toBe("EFSM");
    await request.send("question");
    request.sendTimeout = 5;
    expect((await failure(request.send("again"))).code).toBe("EFSM");
    await reply.receive();
    reply.receiveTimeout = 5;
    expect((await failure(reply.receive())).code).toBe("EFSM");
    reply.sendTimeout = 2_000;
    await reply.send("answer");
    request.receiveTimeout = 2_000;
    expect(String(await request.receive())).toBe("answer");
  });

  it("gives errors of bind, connect and unbind their code, number and address", async () => {
    const first = own(new zmq.Pull());
    await first.bind("tcp://127.0.0.1:*");
    const taken = first.lastEndpoint as string;
    const second = own(new zmq.Pull());
    const { EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOENT, EPROTONOSUPPORT } = constants.errno;
    const cases: [() => unknown, string, number, string][] = [
      [() => second.bind(taken), "EADDRINUSE", EADDRINUSE, taken],
      [() => second.bind("tcp://203.0.113.7:5"), "EADDRNOTAVAIL", EADDRNOTAVAIL, "tcp://203.0.113.7:5"],
      [() => second.bind("no-endpoint"), "EINVAL", EINVAL, "no-endpoint"],
      [() => second.bind("foo://bar"), "EPROTONOSUPPORT", EPROTONOSUPPORT, "foo://bar"],
      [() => second.unbind("tcp://127.0.0.1:5"), "ENOENT", ENOENT, "tcp://127.0.0.1:5"],
      [() => second.unbind("foo://bar"), "EPROTONOSUPPORT", EPROTONOSUPPORT, "foo://bar"],
      [() => second.connect("no-endpoint"), "EINVAL", EINVAL, "no-endpoint"],
      [() => second.connect("foo://bar"), "EPROTONOSUPPORT", EPROTONOSUPPORT, "foo://bar"],
      [() => second.disconnect("tcp://127.0.0.1:5"), "ENOENT", ENOENT, "tcp://127.0.0.1:5"],
    ];
    for (const [call, code, errno, address] of cases) {
      expect(facts(await settled(call)), code).toEqual({ code, errno, address });
    }
  });

  it("fills wildcards in, and frees an endpoint at unbind", async () => {
    const reply = own(new zmq.Reply());
    expect(reply.lastEndpoint).toBeNull();
    await reply.bind("tcp://127.0.0.1:*");
    const endpoint = reply.lastEndpoint as string;
    expect(endpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    await reply.unbind(endpoint);
    const other = own(new zmq.Reply());
    for (let bound = false; !bound; ) {
      try {
        await other.bind(endpoint);
        bound = true;
      } catch (error) {
        // The package's unbind settles a little before the port is free.
        if (name === "shoal" || (error as { code?: string }).code !== "EADDRINUSE") throw error;
      }
    }
    expect(other.lastEndpoint).toBe(endpoint);
    await reply.bind(`ipc://${folder}/${name}`);
    expect(reply.lastEndpoint).toBe(`ipc://${folder}/${name}`);
    const request = own(new zmq.Request());
    request.connect(endpoint);
    expect(request.lastEndpoint).toBe(endpoint);
    other.bindSync("tcp://127.0.0.1:*");
    expect(other.lastEndpoint).toMatch(/:\d+$/);
  });

  it("sets up CURVE by properties", async () => {
    const server = zmq.curveKeyPair();
    const client = zmq.curveKeyPair();
    const reply = own(new zmq.Reply());
    reply.curveServer = true;
    reply.curvePublicKey = server.publicKey;
    reply.curveSecretKey = server.secretKey;
    await reply.bind("tcp://127.0.0.1:*");
    const request = own(new zmq.Request());
    request.curveServerKey = server.publicKey;
    request.curvePublicKey = client.publicKey;
    request.curveSecretKey = client.secretKey;
    request.connect(reply.lastEndpoint as string);
    await request.send("secret");
    expect(String(await reply.receive())).toBe("secret");
    expect([reply.securityMechanism, request.securityMechanism]).toEqual(["curve", "curve"]);
  });

  it("authenticates PLAIN peers with a ZAP handler and a domain of its own, set as properties", async () => {
    const context = new zmq.Context();
    const handler = own(new zmq.Router({ context }));
    await handler.bind("inproc://zeromq.zap.01");
    const judge = (async () => {
      const asked: string[] = [];
      for (let i = 0; i < 2; i++) {
        const [path, delimiter, version, id, domain, , , , user] = await handler.receive();
        asked.push(`${domain} ${user}`);
        const good = String(user) === "good";
        await handler.send([
          path as Buffer,
          delimiter as Buffer,
          version as Buffer,
          id as Buffer,
          good ? "200" : "400",
          "",
          "",
          "",
        ]);
      }
      return asked;
    })();
    const server = own(new zmq.Reply({ context }));
    server.plainServer = true;
    server.zapDomain = "compat";
    await server.bind("tcp://127.0.0.1:*");
    const bad = own(new zmq.Request({ context }));
    bad.plainUsername = "bad";
    bad.plainPassword = "password";
    const refused = new Promise<{ error: { status: number } }>((resolve) => {
      bad.events.on("handshake:error:auth", resolve);
    });
    bad.connect(server.lastEndpoint as string);
    expect((await within(refused, "the refusal")).error.status).toBe(400);
    bad.linger = 0;
    await bad.close();
    const good = own(new zmq.Request({ context, plainUsername: "good", plainPassword: "password" }));
    good.connect(server.lastEndpoint as string);
    await good.send("hello");
    expect(String(await server.receive())).toBe("hello");
    expect(await judge).toEqual(["compat bad", "compat good"]);
  });

  it("hears events with listeners, and iterates over them until the socket closes", async () => {
    const server = own(new zmq.Reply());
    const iterated: string[] = [];
    const reading = (async () => {
      for await (const event of server.events) iterated.push(event.type);
    })();
    await server.bind("tcp://127.0.0.1:*");
    const client = own(new zmq.Request());
    const connected = new Promise<string>((resolve) => {
      client.events.on("connect", ({ address }) => resolve(address));
    });
    const never = (): never => {
      throw new Error("removed listeners hear nothing");
    };
    client.events.on("connect:delay", never);
    client.events.off("connect:delay", never);
    const ended = new Promise<void>((resolve) => client.events.on("end", () => resolve()));
    const endpoint = server.lastEndpoint as string;
    client.connect(endpoint);
    expect(await within(connected, "connect")).toBe(endpoint);
    await until(() => iterated.includes("handshake"), "the handshake");
    client.close();
    server.close();
    await within(Promise.all([reading, ended]), "the end of the events");
    expect(iterated).toEqual(expect.arrayContaining(["bind", "accept", "handshake", "end"]));
    expect(iterated.at(-1)).toBe("end");
  });

  it("runs a proxy until it is terminated", async () => {
    const proxy = new zmq.Proxy(own(new zmq.Router()), own(new zmq.Dealer()));
    expect(facts(thrown(() => proxy.terminate()))).toMatchObject({ code: "EBADF" });
    expect(facts(await settled(() => proxy.run()))).toMatchObject({ code: "EINVAL" });
    const [front, back] = [inproc(), inproc()];
    await proxy.frontEnd.bind(front);
    await proxy.backEnd.bind(back);
    const running = proxy.run();
    const reply = own(new zmq.Reply());
    reply.connect(back);
    const request = own(new zmq.Request());
    request.connect(front);
    const answer = async (): Promise<void> => reply.send(await reply.receive());
    await Promise.all([request.send("first"), answer()]);
    expect(String(await request.receive())).toBe("first");
    proxy.terminate();
    await within(running, "the proxy's end");
    expect([proxy.frontEnd.closed, proxy.backEnd.closed]).toEqual([true, true]);
    expect((thrown(() => proxy.terminate()) as { code?: string }).code).toBe("EBADF");
  });

  it("changes options after construction, and reads them back", async () => {
    const dealer = own(new zmq.Dealer({ linger: 10, sendHighWaterMark: 5 }));
    dealer.linger = 20;
    dealer.sendTimeout = 30;
    dealer.routingId = Buffer.from("bytes") as never;
    dealer.tcpKeepalive = 1;
    dealer.ipv6 = true;
    expect([dealer.linger, dealer.sendHighWaterMark, dealer.sendTimeout, dealer.routingId]).toEqual([
      20,
      5,
      30,
      "bytes",
    ]);
    expect([dealer.tcpKeepalive, dealer.ipv6, dealer.type, dealer.threadSafe]).toEqual([1, true, 5, false]);
    const pub = own(new zmq.XPublisher());
    pub.noDrop = true;
    expect(() => Object.assign(dealer, { lingr: 1 })).toThrow();
    expect(() => Object.assign(dealer, { linger: "long" })).toThrow();
  });

  it("gives contexts their options", () => {
    const context = new zmq.Context({ ioThreads: 2, ipv6: true });
    expect([context.ioThreads, context.ipv6, context.blocky]).toEqual([2, true, true]);
    context.blocky = false;
    context.maxSockets = 10;
    expect([context.blocky, context.maxSockets]).toEqual([false, 10]);
    expect(context.maxSocketsLimit).toBeGreaterThan(1_000);
    expect(own(new zmq.Dealer({ context })).context).toBe(context);
    expect(own(new zmq.Dealer()).context).toBe(zmq.context);
    expect(() => Object.assign(context, { noSuchOption: 1 })).toThrow();
    expect(() => new zmq.Context(1 as never)).toThrow();
  });

  it("knows whether a socket is readable, writable and closed", async () => {
    const [a, b] = [own(new zmq.Pair()), own(new zmq.Pair())];
    const endpoint = inproc();
    await a.bind(endpoint);
    expect([a.readable, a.writable, a.closed]).toEqual([false, false, false]);
    b.connect(endpoint);
    await b.send("x");
    await until(() => a.readable && a.writable, "readable and writable");
    await a.receive();
    expect(a.readable).toBe(false);
    a.close();
    expect(a.closed).toBe(true);
    a.close();
  });

  it("ends waiting receives with EAGAIN at close, loops quietly, and later calls with EBADF", async () => {
    const pull = own(new zmq.Pull());
    await pull.bind(inproc());
    const waiting = failure(pull.receive());
    pull.close();
    expect((await waiting).code).toBe("EAGAIN");
    expect(((await settled(() => pull.receive())) as { code?: string }).code).toBe("EBADF");
    expect(((await settled(() => pull.bind(inproc()))) as { code?: string }).code).toBe("EBADF");
    const other = own(new zmq.Pull());
    setImmediate(() => other.close());
    for await (const message of other) expect(message).toBeUndefined();
  });

  it("has capability, version and keys", () => {
    expect(zmq.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(zmq.capability.curve).toBe(true);
    expect(Object.values(zmq.capability).every((value) => typeof value === "boolean")).toBe(true);
    const { publicKey, secretKey } = zmq.curveKeyPair();
    expect([publicKey.length, secretKey.length]).toEqual([40, 40]);
  });
});

describe("where shoal differs from zeromq on purpose", () => {
  it("queues calls that would be EBUSY", async () => {
    const [a, b] = [own(new shoal.Pair()), own(new shoal.Pair())];
    const endpoint = inproc();
    const binding = Promise.all([a.bind(endpoint), a.bind("tcp://127.0.0.1:*")]);
    const sending = Promise.all([b.send("1"), b.send("2")]);
    await binding;
    b.connect(endpoint);
    await sending;
    expect((await Promise.all([a.receive(), a.receive()])).flat().map(String)).toEqual(["1", "2"]);
  });

  it("has finite and livelier defaults", () => {
    const { heartbeatInterval, reconnectMaxInterval, maxMessageSize } = own(new shoal.Dealer());
    expect({ heartbeatInterval, reconnectMaxInterval, maxMessageSize }).toEqual({
      heartbeatInterval: 5_000,
      reconnectMaxInterval: 5_000,
      maxMessageSize: 67_108_864,
    });
  });

  it("checks options strictly: no undefined, no bytes for text, no CURVE server without a key", async () => {
    const dealer = own(new shoal.Dealer());
    expect(thrown(() => Object.assign(dealer, { sendTimeout: undefined })).code).toBe("EINVAL");
    expect(thrown(() => Object.assign(dealer, { socksProxy: Buffer.from("x") })).code).toBe("EINVAL");
    dealer.curveServer = true;
    expect((await failure(dealer.bind("tcp://127.0.0.1:*"))).code).toBe("EINVAL");
  });

  it("sends no objects as text", async () => {
    const push = own(new shoal.Push());
    for (const value of [{}, true, undefined, () => 1]) {
      expect((await failure(push.send(value as never))).code).toBe("EINVAL");
    }
  });

  it("keeps what a closed socket knew, and refuses changes with EBADF", async () => {
    const dealer = own(new shoal.Dealer({ linger: 0, sendTimeout: 7 }));
    const result = await dealer.close();
    expect(result).toEqual({ flushed: 0, discarded: 0, unknown: 0 });
    expect([dealer.sendTimeout, dealer.context]).toEqual([7, shoal.context]);
    expect(
      thrown(() => {
        dealer.sendTimeout = 8;
      }).code,
    ).toBe("EBADF");
  });

  it("lets listeners and reading of events go together, and has observers beside each other", async () => {
    const reply = own(new shoal.Reply());
    const second = new shoal.Observer(reply);
    const heard: string[] = [];
    reply.events.on("bind", ({ address }) => heard.push(address));
    const [first, other] = [reply.events.receive(), second.receive()];
    await reply.bind("tcp://127.0.0.1:*");
    expect((await within(first, "an event")).type).toBe("bind");
    expect((await within(other, "an event")).type).toBe("bind");
    expect(heard).toEqual([reply.lastEndpoint]);
    second.close();
    expect([second.closed, reply.events.closed]).toEqual([true, false]);
  });

  it("does what the package means to do: unbindSync unbinds, CURVE keys can be read, a DataView is bytes", async () => {
    const [a, b] = [own(new shoal.Pair()), own(new shoal.Pair())];
    a.bindSync("tcp://127.0.0.1:*");
    const endpoint = a.lastEndpoint as string;
    a.unbindSync(endpoint);
    await b.bind(endpoint);
    expect(thrown(() => a.unbindSync(endpoint)).code).toBe("ENOENT");
    const key = shoal.curveKeyPair().publicKey;
    const client = own(new shoal.Dealer({ curveServerKey: key }));
    expect(client.curveServerKey).toBe(key);
    client.curveServerKey = Buffer.alloc(32);
    expect(client.curveServerKey).toBe("0".repeat(40));
    a.connect(endpoint);
    await a.send(new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 2));
    expect(await b.receive()).toEqual([Buffer.from([2, 3])]);
  });

  // The package's own proxy blocks the event loop when it is resumed with messages waiting.
  it("holds messages back while a proxy is paused, and passes them when it resumes", async () => {
    const proxy = new shoal.Proxy(own(new shoal.Pull()), own(new shoal.Push()));
    const [front, back] = [inproc(), inproc()];
    await proxy.frontEnd.bind(front);
    await proxy.backEnd.bind(back);
    const running = proxy.run();
    const push = own(new shoal.Push());
    push.connect(front);
    const pull = own(new shoal.Pull());
    pull.connect(back);
    await push.send("before");
    expect(String(await pull.receive())).toBe("before");
    proxy.pause();
    await push.send("while");
    const early = await settled(() => pull.receive({ timeout: 100 }));
    proxy.resume();
    expect(String(await pull.receive())).toBe("while");
    expect(early).toMatchObject({ code: "EAGAIN" });
    proxy.terminate();
    await within(running, "the proxy's end");
  });

  it("closes a subscriber at once, though its publisher closes at the same time", async () => {
    for (let round = 0; round < 30; round++) {
      const pub = own(new shoal.Publisher());
      await pub.bind("tcp://127.0.0.1:*");
      const sub = own(new shoal.Subscriber());
      sub.connect(pub.lastEndpoint as string);
      sub.subscribe("news");
      await pub.waitForSubscribers();
      await pub.send("news");
      await sub.receive();
      await within(Promise.all([pub.close(), sub.close()]), `the end of both in round ${round}`, 3_000);
    }
  });

  it("takes conflate of a publisher at construction only, on the engine libzmq", () => {
    const context = new shoal.Context({ engine: "libzmq" });
    const publisher = own(new shoal.Publisher({ context }));
    expect(
      thrown(() => {
        publisher.conflate = true;
      }).code,
    ).toBe("NOT_SUPPORTED");
    expect(own(new shoal.Publisher({ conflate: true })).conflate).toBe(true);
  });

  it("waits, with noDrop, where the package rejects with EAGAIN", async () => {
    const pub = own(new shoal.XPublisher({ noDrop: true, sendHighWaterMark: 1 }));
    const sub = own(new shoal.Subscriber({ receiveHighWaterMark: 1 }));
    const endpoint = inproc();
    await pub.bind(endpoint);
    sub.connect(endpoint);
    sub.subscribe();
    await pub.receive();
    while (pub.trySend("fill"));
    const sent = pub.send("last");
    const received: string[] = [];
    for await (const [frame] of sub) {
      received.push(String(frame));
      if (received.at(-1) === "last") break;
    }
    await sent;
    expect(received.filter((text) => text === "last")).toHaveLength(1);
  });
});

/** The error that a call throws or its promise rejects with, or `undefined`. */
async function settled(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}
