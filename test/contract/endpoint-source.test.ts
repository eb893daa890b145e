/** Sockets that are connected to a source of endpoints. */
import { describe, expect, it, vi } from "vitest";
import type { EndpointSource, Socket } from "../../src/index.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";
import { describeTransports, itIf } from "./support/engines.js";
import {
  arrives,
  collect,
  failure,
  nextEvent,
  nextRequest,
  texts,
  thrown,
  turn,
  until,
  within,
} from "./support/wait.js";
import { World } from "./support/world.js";

/** A source of these endpoints, which the socket is connected to. */
function connectTo(socket: Socket, ...list: string[]): ListedEndpoints {
  const source = new ListedEndpoints(list);
  socket.connect(source);
  return source;
}

/** The same, once the socket has them. */
async function connected(socket: Socket, ...list: string[]): Promise<ListedEndpoints> {
  const source = connectTo(socket, ...list);
  await nextEvent(socket, "source:changed");
  return source;
}

/** The source has other endpoints, and the socket has them, too. */
async function change(socket: Socket, source: ListedEndpoints, ...list: string[]): Promise<void> {
  source.set(...list);
  await nextEvent(socket, "source:changed");
}

describeTransports("a source", (world) => {
  const isOurs = world.engine !== "libzmq";
  const itReplaces = itIf(world.engine, isOurs, "libzmq ignores a second peer while the first is there");

  it("is connected to as it changes", async () => {
    const [push, one, two] = [world.push(), world.pull(), world.pull()];
    const source = new ListedEndpoints();
    push.connect(source);
    const sent = push.send("first"); // Nobody is there yet.
    const first = await world.bind(one);
    const changed = nextEvent(push, "source:changed");
    source.set(first);
    expect(await changed).toMatchObject({ endpoints: [first] });
    await within(sent, "the first message");
    expect(await collect(one, 1)).toEqual(["first"]);
    const second = await world.bind(two);
    await change(push, source, second);
    await arrives("second", push, two);
  });

  it("is left, and ends, with disconnect", async () => {
    const [push, pull] = [world.push({ sendTimeout: 0 }), world.pull()];
    const endpoint = await world.bind(pull);
    const source = connectTo(push, endpoint);
    push.connect(source); // Twice is once.
    await nextEvent(push, "source:changed");
    expect(source.reads).toBe(1);
    push.disconnect(source);
    await until(() => source.readers === 0, "the end of the source");
    await expect(push.send("lost")).rejects.toMatchObject({ code: "EAGAIN" });
    expect(thrown(() => push.disconnect(source))).toMatchObject({ code: "ENOENT" });
  });

  it("ends with the socket", async () => {
    const push = world.push();
    const source = connectTo(push);
    await until(() => source.readers === 1, "a reader");
    await push.close();
    await until(() => source.readers === 0, "the end of the source");
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("no end");
      },
    ],
    ["returns nothing", () => undefined],
  ])("whose iterator %s at its end, ends all the same", async (_, end) => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.bind(pull);
    let lists = 0;
    const next = () =>
      lists++ === 0 ? Promise.resolve({ value: [endpoint] }) : new Promise<never>(() => undefined);
    const source = { endpoints: () => ({ [Symbol.asyncIterator]: () => ({ next, return: end }) }) };
    push.connect(source as unknown as EndpointSource);
    await nextEvent(push, "source:changed");
    // An uncaught exception would end the tests.
    push.disconnect(source as unknown as EndpointSource);
    expect((await push.close()).discarded).toBe(0);
  });

  it("that is an async function in place of an async generator fails with the reason", async () => {
    const push = world.push();
    const source = { endpoints: () => Promise.reject(new Error("no list")) };
    push.connect(source as unknown as EndpointSource);
    // A rejection that nobody handles would end the tests.
    const { error } = await nextEvent(push, "source:failed");
    expect(error.message).toContain("async iterable");
    await push.close();
  });

  it("leaves alone what the program connected to itself, and what another source has", async () => {
    const [push, pull, other] = [world.push(), world.pull(), world.pull()];
    const [own, shared] = [await world.bind(pull), await world.bind(other)];
    push.connect(own);
    const one = await connected(push, own, shared);
    await connected(push, shared);
    await change(push, one);
    for (let i = 0; i < 4; i++) await push.send(String(i));
    const got = [...(await collect(pull, 2)), ...(await collect(other, 2))];
    expect(got.sort()).toEqual(["0", "1", "2", "3"]);
  });

  it("leaves alone what another source has connected since the program disconnected it", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.bind(pull);
    const one = await connected(push, endpoint);
    push.disconnect(endpoint);
    await connected(push, endpoint);
    await change(push, one);
    await arrives("still there", push, pull);
  });

  itReplaces("moves a Pair to another peer", async () => {
    const [pair, one, two] = [world.pair(), world.pair(), world.pair()];
    const [first, second] = [await world.bind(one), await world.bind(two)];
    const source = connectTo(pair, first);
    await arrives("first", pair, one);
    await change(pair, source, second);
    await arrives("second", pair, two);
    await arrives("from the second", two, pair);
  });

  it("sends an endpoint that went nothing more, until it comes back, and hears its replies", async () => {
    // A ROUTER refuses a second peer with the routing id of one that is there.
    const dealer = world.dealer(isOurs ? { routingId: "ana" } : {});
    const [one, two] = [world.router(), world.router()];
    const [first, second] = [await world.bind(one), await world.bind(two)];
    const source = connectTo(dealer, first);
    await dealer.send(["", "question"]);
    const { envelope } = await nextRequest(one);
    await change(dealer, source, second);
    await dealer.send(["", "another"]);
    await dealer.send(["", "and another"]);
    expect(await nextRequest(two)).toMatchObject({ body: "another" });
    expect(await nextRequest(two)).toMatchObject({ body: "and another" });
    // libzmq throws away what comes from a peer that it leaves.
    if (isOurs) {
      await one.send([...envelope, "answer"]);
      expect(texts(await within(dealer.receive(), "the reply"))).toEqual(["", "answer"]);
    }
    await change(dealer, source, first, second);
    await dealer.send(["", "third"]);
    await dealer.send(["", "fourth"]);
    await nextRequest(one);
  });
});

describe("a source that is wrong", () => {
  const world = new World("zmtp", "tcp");

  it("is read again after it threw, and its last list stands", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const source = await connected(push, await world.bind(pull));
    const failed = nextEvent(push, "source:failed");
    const again = failed.then(() => nextEvent(push, "source:changed"));
    const cause = new Error("the registry is down");
    source.fail(cause);
    const { error, interval } = await failed;
    expect(error).toMatchObject({ code: "ERR_SOURCE", cause });
    expect(interval).toBeLessThanOrEqual(100);
    await arrives("still there", push, pull);
    await again;
    expect(source.reads).toBe(2);
  });

  it("leaves its last list in use when it ends, and is not read again", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.bind(pull);
    let reads = 0;
    push.connect({
      async *endpoints() {
        reads += 1;
        yield [endpoint];
      },
    });
    await push.ready();
    await arrives("hello", push, pull);
    expect(reads).toBe(1);
  });

  it("has its invalid endpoints refused, counted and reported once; the others are used", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.bind(pull);
    const refused: string[] = [];
    push.events.on("endpoint:refused", ({ address, error }) => {
      expect(error.code).toMatch(/^(EINVAL|EPROTONOSUPPORT|ENOCOMPATPROTO)$/);
      refused.push(address);
    });
    const junk = ["tcp://", "udp://x:1", 7 as unknown as string, "", "tcp://*:1"];
    const source = connectTo(push, ...junk, endpoint, endpoint);
    expect(await nextEvent(push, "source:changed")).toMatchObject({ endpoints: [endpoint] });
    expect(refused).toEqual(junk.map(String));
    await change(push, source, ...junk, endpoint);
    expect(refused).toHaveLength(5);
    expect(push.stats().endpointsRefused).toBe(5);
    await arrives("hello", push, pull);
  });

  it.each([
    "endpoint:refused",
    "connect:delay",
  ] as const)("has no endpoint connected once a listener of %s has disconnected it", async (event) => {
    const [push, one, two] = [world.push(), world.pull(), world.pull()];
    const endpoints = [await world.bind(one), await world.bind(two)];
    const source = new ListedEndpoints(["nonsense", ...endpoints]);
    // Only this engine reports a dial, within the call, and inproc has none.
    const isReported = world.engine === "zmtp" && !world.inProcess;
    let calls = 0;
    push.events.on(event === "connect:delay" && !isReported ? "endpoint:refused" : event, () => {
      calls += 1;
      if (calls === 1) push.disconnect(source);
    });
    push.connect(source);
    await until(() => calls > 0 && source.readers === 0, "the end of the source");
    for (const endpoint of endpoints)
      expect(thrown(() => push.disconnect(endpoint))).toMatchObject({ code: "ENOENT" });
  });

  it("releases its endpoints where a listener closes the socket meanwhile", async () => {
    const [push, one, two] = [world.push(), world.pull(), world.pull()];
    const source = await connected(push, await world.bind(one), await world.bind(two));
    const isReported = world.engine === "zmtp";
    if (isReported) await until(() => push.stats().peers === 2, "both peers");
    const closed = new Promise((resolve) => {
      push.events.on(isReported ? "peer:leave" : "source:changed", () => resolve(push.close()));
    });
    source.set();
    await within(closed, "the end of the socket");
    await until(() => source.readers === 0, "the end of the source");
  });

  it("connects to 1,024 endpoints at most", async () => {
    const push = world.push({ reconnectInterval: -1 });
    const list = Array.from({ length: 2_000 }, (_, i) => `tcp://127.0.0.1:${1 + i}`);
    const refused = nextEvent(push, "endpoint:refused");
    const changed = nextEvent(push, "source:changed");
    push.connect(new ListedEndpoints(list));
    expect((await refused).error).toMatchObject({ code: "ERR_SOURCE" });
    const { endpoints } = await changed;
    expect(endpoints).toHaveLength(1_024);
  });

  it("looks at 1,024 invalid endpoints at most, and lets the event loop turn while it gives lists without end", async () => {
    const push = world.push();
    let lists = 0;
    const source: EndpointSource = {
      async *endpoints(signal) {
        while (!signal.aborted) {
          lists += 1;
          yield Array.from({ length: 5_000 }, (_, i) => `junk-${i}`);
        }
      },
    };
    push.connect(source);
    await until(() => lists > 3, "some lists");
    expect(push.stats().endpointsRefused).toBe(1_024);
    push.disconnect(source);
    const before = lists;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(lists).toBeLessThanOrEqual(before + 1);
  });

  it("may give what is no list: it has failed then", async () => {
    const push = world.push();
    const failed = nextEvent(push, "source:failed");
    push.connect({
      async *endpoints() {
        yield "tcp://127.0.0.1:1" as unknown as string[];
      },
    });
    expect((await failed).error.cause).toMatchObject({ code: "EINVAL" });
    const thrown = Object.create(null);
    const other = world.push();
    const again = nextEvent(other, "source:failed");
    other.connect({
      endpoints() {
        throw thrown;
      },
    });
    expect((await again).error.cause).toBe(thrown);
    const late = nextEvent(push, "source:failed");
    push.connect({ endpoints: () => 7 } as unknown as EndpointSource);
    expect((await late).error).toMatchObject({ code: "ERR_SOURCE" });
  });

  it("that gave what is no list is ended before it is read again", async () => {
    let reads = 0;
    let ends = 0;
    world.push().connect({
      async *endpoints() {
        reads += 1;
        try {
          yield "no list" as unknown as string[];
        } finally {
          ends += 1;
        }
      },
    });
    await until(() => reads === 2, "another read");
    expect(ends).toBeGreaterThanOrEqual(1);
  });

  it("is left by a Request with a request in flight after 30 s without a reply", async () => {
    const [request, reply] = [world.request({ linger: 0 }), world.reply()];
    const source = await connected(request, await world.bind(reply));
    await request.send("question");
    await within(reply.receive(), "the request");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      await change(request, source);
      vi.advanceTimersByTime(29_999);
      expect(request.stats().peers).toBe(1);
      vi.advanceTimersByTime(1);
      expect(request.stats().peers).toBe(0);
      vi.advanceTimersByTime(60_000);
      await turn();
      expect(request.stats().peers).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([
    [10_000, 10_000],
    [-1, 30_000],
  ])("leaves unsent messages of an endpoint that went the linger, %d ms", async (linger, time) => {
    const push = world.push({ linger });
    const source = await connected(push, world.deadEndpoint());
    await push.send("unsent");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      await change(push, source);
      vi.advanceTimersByTime(time - 1);
      expect(push.stats()).toMatchObject({ queued: 1, dropped: { disconnected: 0 } });
      vi.advanceTimersByTime(1);
      expect(push.stats()).toMatchObject({ queued: 0, dropped: { disconnected: 1 } });
    } finally {
      vi.useRealTimers();
    }
  });

  it("is waited for by ready until it has a peer", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const source = connectTo(push);
    expect(await failure(push.ready({ timeout: 50 }))).toMatchObject({ code: "ETIMEDOUT" });
    const ready = push.ready();
    const dead = world.pull();
    const gone = await world.bind(dead);
    await dead.close();
    source.set(gone, await world.bind(pull));
    await within(ready, "the first peer");
  });

  it("does not name the peers of a Router", () => {
    const router = world.router();
    expect(thrown(() => router.connect(new ListedEndpoints([]), { routingId: "a" }))).toMatchObject({
      code: "EINVAL",
    });
  });

  it("is refused where it has no method endpoints, and by a closed socket", async () => {
    const push = world.push();
    expect(thrown(() => push.connect({} as EndpointSource))).toMatchObject({ code: "EINVAL" });
    await push.close();
    expect(thrown(() => push.connect(new ListedEndpoints([])))).toMatchObject({ code: "EBADF" });
  });
});
