/**
 * Programs for the package `zeromq` v6, on shoal and on the package itself: errors,
 * options, events, and the end of a socket.
 */
import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { failure, until, within } from "./support/wait.js";
import { facts, folder, inproc, own, PACKAGES, settled, usePrograms } from "./support/zeromq-programs.js";

usePrograms();

let files = 0;

describe.each(PACKAGES)("a program for zeromq on %s", (name, zmq) => {
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

  it.each([
    "tcp",
    "ipc",
    "inproc",
  ])("closes during a bind or unbind over %s, and is closed when that has ended", async (transport) => {
    const fresh = { tcp: () => "tcp://127.0.0.1:*", ipc: () => `ipc://${folder}/closing-${++files}`, inproc }[
      transport
    ] as () => string;
    const states: boolean[] = [];
    const closing = async (
      socket: InstanceType<typeof zmq.Dealer>,
      call: Promise<unknown>,
    ): Promise<unknown> => {
      socket.close();
      states.push(socket.closed);
      const error = await settled(() => within(call, "the end of the call"));
      states.push(socket.closed);
      return error;
    };
    const binds = own(new zmq.Dealer());
    // shoal may report that the bind came to nothing; the package binds, and closes then.
    const nothing = await closing(binds, binds.bind(fresh()));
    if (nothing !== undefined) expect([name, nothing]).toMatchObject(["shoal", { code: "EADDRNOTAVAIL" }]);
    const unbinds = own(new zmq.Dealer());
    await unbinds.bind(fresh());
    expect(await closing(unbinds, unbinds.unbind(unbinds.lastEndpoint as string))).toBeUndefined();
    const [twice, endpoint] = [own(new zmq.Dealer()), fresh()];
    await twice.bind(endpoint);
    // The endpoint is in use, or has just become free with the socket.
    await closing(twice, twice.bind(twice.lastEndpoint as string));
    const never = own(new zmq.Dealer());
    expect(await closing(never, never.unbind(fresh()))).toBeInstanceOf(Error);
    expect(states).toEqual(Array(4).fill([false, true]).flat());
  });

  it("runs a loop of receives over a Request that has not sent yet, and over a Reply that answers later", async () => {
    const reply = own(new zmq.Reply());
    await reply.bind("tcp://127.0.0.1:*");
    const request = own(new zmq.Request());
    request.connect(reply.lastEndpoint as string);
    const heard: string[] = [];
    const loops = [
      (async () => {
        for await (const [frame] of reply) setImmediate(() => void reply.send(frame as Buffer));
      })(),
      (async () => {
        for await (const [frame] of request) heard.push(String(frame));
      })().catch(() => undefined),
    ];
    for (const text of ["a", "b", "c"]) {
      await request.send(text);
      await until(() => heard.at(-1) === text, "the reply");
    }
    expect(heard).toEqual(["a", "b", "c"]);
    request.close();
    reply.close();
    await Promise.all(loops);
  });

  it("has capability, version and keys", () => {
    expect(zmq.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(zmq.capability.curve).toBe(true);
    expect(Object.values(zmq.capability).every((value) => typeof value === "boolean")).toBe(true);
    const { publicKey, secretKey } = zmq.curveKeyPair();
    expect([publicKey.length, secretKey.length]).toEqual([40, 40]);
  });
});
