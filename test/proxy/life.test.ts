/** How a proxy starts, pauses, fails and ends. */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Dealer, Pull, Push, Reply } from "../../src/index.js";
import { ForwarderProxy, QueueProxy, SocketProxy, StreamerProxy } from "../../src/proxy/index.js";
import { collect, failure, thrown, turn, until } from "../contract/support/wait.js";
import { LONG } from "../support/long.js";
import { ANY, back, ENGINES, eventsOf, front, useWorld } from "./support.js";

describe.each(ENGINES)("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  it("refuses unknown options of close and drain, and unknown events, and says whether it is closed", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const message = "StreamerProxy.close has no option lingr; did you mean linger?";
    expect(await failure(proxy.close({ lingr: 0 } as object))).toMatchObject({ code: "EINVAL", message });
    expect((await failure(proxy.drain({ time: 1 } as object))).code).toBe("EINVAL");
    expect(thrown(() => proxy.events.on("drop" as never, () => undefined)).code).toBe("EINVAL");
    expect([proxy.closed, proxy.state]).toEqual([false, "running"]);
    const closing = proxy.close({ linger: 0 });
    expect(proxy.closed).toBe(true);
    expect(proxy.close()).toBe(closing);
    await closing;
  });

  it("reports its life in events, and keeps its statistics after its end", async () => {
    const proxy = new StreamerProxy(sides);
    const told: string[] = [];
    const life = ["proxy:started", "proxy:paused", "proxy:resumed", "drain:started", "drain:ended"] as const;
    for (const type of [...life, "proxy:stopped"] as const) proxy.events.on(type, () => told.push(type));
    expect([proxy.state, proxy.endpoints.frontend]).toEqual(["idle", []]);
    expect(proxy.stats()).toMatchObject({ state: "idle", frontend: { in: { messages: 0 } } });
    await world.start(proxy);
    const push = world.peer(new Push({ context }), front(proxy));
    const pull = world.peer(new Pull({ context }), back(proxy));
    await push.send("one");
    await collect(pull, 1);
    proxy.pause();
    proxy.pause();
    expect(proxy.state).toBe("paused");
    await push.send("two");
    await until(() => proxy.stats().frontend.in.queued === 1 || engine === "libzmq", "the second");
    for (let i = 0; i < 20; i++) await turn();
    expect(proxy.stats().backend.out.messages).toBe(1);
    proxy.resume();
    expect(await collect(pull, 1)).toEqual(["two"]);
    expect(await proxy.drain()).toEqual({ drained: true, received: 0, queued: 0, unanswered: 0 });
    expect(proxy.state).toBe("drained");
    await Promise.all([proxy.close(), proxy.close()]);
    await proxy.close();
    expect(told).toEqual([...life, "proxy:stopped"]);
    const frontend = { in: { messages: 2, bytes: 6 } };
    expect(proxy.stats()).toMatchObject({ state: "stopped", frontend, drain: { drained: true } });
  });

  it.each(["drain", "close"] as const)("a listener of the start of a drain may call %s", async (call) => {
    const proxy = await world.start(new StreamerProxy(sides));
    const calls: Promise<unknown>[] = [];
    proxy.events.on("drain:started", () => calls.length < 9 && calls.push(proxy[call]()));
    const result = await proxy.drain();
    // Of a closed socket of libzmq nobody can say that it is empty.
    if (call === "drain" || engine !== "libzmq")
      expect(result).toEqual({ drained: true, received: 0, queued: 0, unanswered: 0 });
    expect(await Promise.all(calls)).toEqual([call === "drain" ? result : undefined]);
    await proxy.close();
    expect(proxy.state).toBe("stopped");
  });

  it("closes once, though a listener of a peer that left within the close closes, too", async () => {
    const bind = "inproc://closes-once";
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend: { bind } }));
    world.peer(new Push({ context }), bind);
    await until(() => proxy.stats().frontend.peers === 1 || engine === "libzmq", "the peer");
    const closes: Promise<void>[] = [];
    proxy.events.on("peer:left", () => closes.length < 9 && closes.push(proxy.close({ linger: 0 })));
    const closing = proxy.close({ linger: 0 });
    for (const close of closes) expect(close).toBe(closing);
    await closing;
    expect(closes).toHaveLength(engine === "libzmq" ? 0 : 1);
  });

  it("refuses what does not fit its state", async () => {
    const proxy = new QueueProxy(sides);
    const message = "A proxy that is idle cannot pause; it has to be running or paused";
    expect(thrown(() => proxy.pause())).toMatchObject({ code: "EFSM", message });
    expect((await failure(proxy.drain())).code).toBe("EFSM");
    await world.start(proxy);
    expect((await failure(proxy.start())).code).toBe("EFSM");
    expect((await failure(proxy.drain({ timeout: 1.5 }))).code).toBe("EINVAL");
    expect((await failure(proxy.close({ linger: -2 }))).code).toBe("EINVAL");
    expect(proxy.state).toBe("running");
    await proxy.close();
    expect((await failure(proxy.start())).code).toBe("EFSM");
    expect(thrown(() => proxy.resume()).code).toBe("EFSM");
  });

  it("stops in any state, also in the middle of its start and of a drain", async () => {
    const idle = new QueueProxy(sides);
    await idle.close();
    expect(idle.state).toBe("stopped");
    const starting = new QueueProxy(sides);
    const started = failure(starting.start());
    await starting.close();
    expect(await started).toMatchObject({ name: "ClosedError" });
    expect(starting.state).toBe("stopped");
    const draining = await world.start(new StreamerProxy(sides));
    const push = world.peer(new Push({ context }), front(draining));
    await push.send("nobody wants it");
    const arrived = (): number => draining.stats().frontend.in.messages + draining.stats().frontend.in.queued;
    await until(() => arrived() === 1, "the message");
    const drained = draining.drain();
    await turn();
    await draining.close();
    expect((await drained).drained).toBe(false);
  });

  it("counts each message that it took, also one that is in flight when it is closed", async () => {
    const backend = { bind: `inproc://in-flight-${engine}`, sendHighWaterMark: 1 };
    const proxy = await world.start(new StreamerProxy({ ...sides, backend }));
    const push = world.peer(new Push({ context }), front(proxy));
    world.peer(new Pull({ context, receiveHighWaterMark: 1 }), back(proxy));
    proxy.pause();
    for (let i = 0; i < 100; i++) await push.send(`${i}`);
    if (engine === "zmtp") await until(() => proxy.stats().frontend.in.queued === 100, "the messages");
    proxy.resume();
    const taken = (): number => proxy.stats().frontend.in.messages;
    await until(() => taken() > proxy.stats().backend.out.messages, "one in flight");
    await proxy.close({ linger: 0 });
    const { frontend, backend: end } = proxy.stats();
    expect(end.out.messages + end.out.dropped.closed + frontend.in.dropped.stopped).toBe(taken());
  });

  it("that cannot start says where, and leaves nothing open", async () => {
    const first = await world.start(new QueueProxy(sides));
    const taken = front(first);
    const second = new QueueProxy({ ...sides, backend: { bind: taken } });
    expect(await failure(second.start())).toMatchObject({ code: "EADDRINUSE", endpoint: taken });
    expect(second.state).toBe("stopped");
    const bad = new QueueProxy({ ...sides, backend: { bind: "tcp://nowhere" } });
    expect((await failure(bad.start())).message).toContain("tcp://nowhere");
    await first.close();
    const third = await world.start(new QueueProxy({ ...sides, frontend: { bind: taken } }));
    expect(front(third)).toBe(taken);
  });

  it("that leads to itself is refused, and names the endpoint", async () => {
    const name = `inproc://loop-${engine}`;
    for (const options of [
      { frontend: { bind: name }, backend: { connect: name } },
      { frontend: { connect: name, bind: ANY }, backend: { bind: name } },
    ]) {
      for (const Kind of [QueueProxy, ForwarderProxy, StreamerProxy]) {
        const error = await failure(new Kind({ ...options, context }).start());
        expect(error).toMatchObject({ code: "EINVAL", endpoint: name });
      }
    }
    const probe = await world.start(new QueueProxy(sides));
    const port = front(probe).split(":").at(-1);
    await probe.close();
    const everywhere = new StreamerProxy({
      frontend: { bind: `tcp://*:${port}` },
      backend: { connect: `tcp://localhost:${port}` },
      context,
    });
    expect((await failure(everywhere.start())).message).toContain(`tcp://localhost:${port}`);
  });

  it("a loop by way of another is cut, counted and reported", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const loops = eventsOf(proxy, "loop:detected");
    // Its backend's only worker gives everything to its frontend.
    const frontend = { type: "dealer", connect: back(proxy) } as const;
    const backend = { type: "dealer", connect: front(proxy) } as const;
    const detour = await world.start(new SocketProxy({ frontend, backend, context }));
    const client = world.peer(new Dealer({ context }), front(proxy));
    await client.send(["", "round and round"]);
    await until(() => proxy.stats().frontend.in.dropped.loop === 1, "the end of it");
    expect(loops).toContainEqual({ type: "loop:detected", side: "frontend", loops: 1 });
    expect(proxy.stats().frontend.in.messages).toBeLessThan(100);
    await detour.close();
  });

  it("starts and stops leave no descriptor open", async () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const cycle = async (): Promise<void> => {
      const more = LONG ? { capture: { type: "pub" as const, bind: ANY }, control: { bind: ANY } } : {};
      const proxy = new QueueProxy({ ...sides, ...more });
      await proxy.start();
      await proxy.close();
    };
    for (let i = 0; i < 20; i++) await cycle();
    const before = descriptors();
    for (let i = 0; i < (LONG ? 1_000 : 100); i++) await cycle();
    await until(() => descriptors() <= before + 4, "their closing");
  }, 60_000);
});

describe("options", () => {
  const world = useWorld();
  const good = { frontend: { bind: ANY }, backend: { bind: ANY } };

  it.each([
    [undefined, /options of QueueProxy must be an object/],
    [{ ...good, captures: 1 }, /QueueProxy has no option captures/],
    [{ ...good, context: {} }, /Context/],
    [{ ...good, name: "two words" }, /name of QueueProxy must be a name of at most 64/],
    [{ ...good, name: "" }, /name of QueueProxy/],
    [{ ...good, name: 7 }, /name of QueueProxy/],
    [{ backend: good.backend }, /frontend must be an object/],
    [{ ...good, frontend: ANY }, /frontend must be an object such as/],
    [{ ...good, backend: {} }, /backend needs an endpoint/],
    [{ ...good, backend: { bind: [1] } }, /bind of backend must be a string/],
    [{ ...good, backend: { bind: ["ipc://a", "ipc://a"] } }, /names ipc:\/\/a twice/],
    [{ ...good, backend: { bind: ANY, sendHighWaterMark: -1 } }, /sendHighWaterMark of Dealer/],
    [{ ...good, frontend: { bind: ANY, manual: true } }, /frontend has no option manual/],
    [{ ...good, frontend: { bind: ANY, mandatory: true } }, /no option mandatory: what cannot be routed/],
    [{ ...good, frontend: { bind: ANY, subscribe: "a" } }, /no option subscribe/],
    [{ ...good, backend: { bind: ANY, conflate: true } }, /no option conflate/],
    [{ ...good, frontend: { bind: ANY, authenticate: true } }, /authenticate of frontend must be a function/],
    [{ ...good, capture: { bind: ANY } }, /type of capture must be one of pub, push/],
    [{ ...good, capture: { type: "sub", bind: ANY } }, /type of capture/],
    [{ ...good, control: { type: "router", bind: ANY } }, /type of control must be one of rep, pair, sub/],
    [{ ...good, frontend: { type: "pull", bind: ANY } }, /cannot stand between pull and dealer/],
  ])("%j are refused before anything is opened", (options, why) => {
    const error = thrown(() => new QueueProxy(options as never));
    expect(error.code).toBe("EINVAL");
    expect(error.message).toMatch(why);
  });

  it("name the pairs that are legal", () => {
    const options = { frontend: { type: "router", bind: ANY }, backend: { type: "router", bind: ANY } };
    expect(thrown(() => new SocketProxy(options as never)).message).toContain("router/dealer");
    expect(thrown(() => new SocketProxy({ ...good } as never)).message).toContain("type of frontend");
  });

  it("peers can be put out", async () => {
    const proxy = new QueueProxy(good);
    expect(thrown(() => proxy.revoke("frontend", () => true)).code).toBe("EBADF");
    await world.start(proxy);
    world.peer(new Reply({ reconnectInterval: -1 }), back(proxy));
    await until(() => proxy.stats().backend.peers === 1, "the worker");
    const left = new Promise<unknown>((resolve) => proxy.events.on("peer:left", resolve));
    expect(proxy.revoke("backend", () => true)).toBe(1);
    expect(await left).toMatchObject({ side: "backend", reason: "local" });
  });
});
