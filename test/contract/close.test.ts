import { expect, it } from "vitest";
import type { Socket } from "../../src/index.js";
import { LONG } from "../support/long.js";
import { freePort } from "../support/ports.js";
import { describeTransports, describeWired, itIf } from "./support/engines.js";
import { arrives, collect, failure, nextEvent, texts, turn, until, within } from "./support/wait.js";

const BINDS = LONG ? 1_000 : 40;

describeTransports("close", (world) => {
  it("with linger -1 waits until the last message has left, however slow the peer", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.bind(pull);
    await pull.unbind(endpoint);
    push.connect(endpoint);
    for (let i = 0; i < 10; i++) await push.send(String(i));
    let closed = false;
    const closing = push.close({ linger: -1 }).then((result) => {
      closed = true;
      return result;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(closed).toBe(false);
    await pull.bind(endpoint);
    expect(await collect(pull, 10)).toEqual(Array.from({ length: 10 }, (_, i) => String(i)));
    expect(await within(closing, "close")).toEqual({ flushed: 10, discarded: 0, unknown: 0 });
  });

  it("settles for a subscriber of either kind whose publisher closes at the same time", async () => {
    for (let i = 0; i < 8; i++) {
      const [publisher, subscriber, requester] = [world.publisher(), world.subscriber(), world.xSubscriber()];
      const endpoint = await world.bind(publisher);
      subscriber.subscribe("a");
      subscriber.connect(endpoint);
      requester.connect(endpoint);
      await requester.send(Buffer.from("\x01b"));
      await publisher.waitForSubscribers({ count: 2, timeout: 8_000 });
      await within(Promise.all([publisher.close(), subscriber.close(), requester.close()]), "close");
    }
  });

  it("with linger 0 throws away what has not left; every message is in one of the three counts", async () => {
    const push = world.connect(world.push(), world.deadEndpoint());
    for (let i = 0; i < 10; i++) await push.send(String(i));
    const { flushed, discarded, unknown } = await within(push.close({ linger: 0 }), "close");
    expect(flushed).toBe(0);
    expect(discarded + unknown).toBe(10);
  });

  it("covers the sends that wait for room, by its linger or the socket's own; with 0 they end with EAGAIN", async () => {
    for (const linger of [8_000, undefined, 0]) {
      const [push, pull] = [world.push({ sendHighWaterMark: 1 }), world.pull({ receiveHighWaterMark: 1 })];
      await world.link(pull, push);
      const body = Buffer.alloc(262_144);
      const sends: Promise<boolean>[] = [];
      while (push.stats().pendingSends < 5 && sends.length < 500) {
        sends.push(
          push.send([String(sends.length), body]).then(
            () => true,
            (error: { code?: string }) => {
              expect(error.code).toBe("EAGAIN");
              return false;
            },
          ),
        );
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      const reading = (async () => {
        const all: string[] = [];
        try {
          // Without linger nobody knows how many come; otherwise all do, and nothing after them.
          for (;;) {
            const timeout = linger === 0 ? 100 : all.length < sends.length ? 8_000 : 30;
            all.push(String((await pull.receive({ timeout }))[0]));
          }
        } catch {
          return all;
        }
      })();
      const closing = linger === undefined ? push.close() : push.close({ linger });
      const outcomes = await Promise.all(sends);
      const result = await within(closing, "close");
      const taken = outcomes.filter(Boolean).length;
      const read = await reading;
      // What was accepted before a close without linger may be thrown away.
      expect(read).toEqual(Array.from({ length: linger === 0 ? read.length : taken }, (_, i) => String(i)));
      if (linger === 0) {
        expect(taken).toBeLessThan(sends.length);
        expect(result.flushed + result.discarded + result.unknown).toBe(sends.length);
      } else {
        expect(taken).toBe(sends.length);
        expect(result).toEqual({ flushed: taken, discarded: 0, unknown: 0 });
      }
      await pull.close({ linger: 0 });
    }
  });

  it("refuses waiting sends at once where no room can come: no endpoint, or not the socket's turn", async () => {
    const push = world.push();
    const lonely = failure(push.send("nobody"));
    await within(push.close(), "close without an endpoint");
    expect((await lonely).code).toBe("EAGAIN");
    const [reply, request] = await world.linked(world.reply(), world.request());
    await request.send("first");
    const answer = failure(request.receive());
    const second = failure(request.send("second")); // Behind the receive: it may come to be its turn.
    await collect(reply, 1);
    const order: string[] = [];
    const closing = request.close({ linger: 200 });
    const noted = second.then(({ code }) => order.push(String(code)));
    await turn();
    order.push("a turn of the event loop");
    await noted;
    expect(order).toEqual(["EAGAIN", "a turn of the event loop"]);
    await within(closing, "close out of turn");
    expect((await answer).code).toBe("EAGAIN");
  });

  it("rejects what still waits when the linger runs out", async () => {
    const push = world.connect(world.push({ sendHighWaterMark: 1 }), world.deadEndpoint());
    const sends = Array.from({ length: 4 }, (_, i) => push.send(String(i)));
    const outcomes = Promise.allSettled(sends);
    await within(push.close({ linger: 30 }), "close");
    const codes = (await outcomes).map((outcome) =>
      outcome.status === "rejected" ? outcome.reason.code : "sent",
    );
    expect(codes.at(-1)).toBe("EAGAIN");
    expect(new Set(codes)).toEqual(new Set(["sent", "EAGAIN"]));
  });

  it("ends waiting receives with EAGAIN, and loops without an error", async () => {
    const pull = world.pull();
    await world.bind(pull);
    const waits = [pull.receive(), pull.receiveMany(), pull.messages().next()];
    const [one, many, next] = [
      failure(waits[0] as Promise<unknown>),
      failure(waits[1] as Promise<unknown>),
      waits[2],
    ];
    const loop = (async () => {
      for await (const _ of pull);
    })();
    await pull.close({ linger: 0 });
    expect([(await one).code, (await many).code]).toEqual(["EAGAIN", "EAGAIN"]);
    expect(await next).toEqual({ done: true, value: undefined });
    await within(loop, "the loop's end");
  });

  const itCounts = itIf(world.engine, world.engine !== "libzmq", "counts peers by events, which end with it");

  itCounts("a closed socket has no peers any more, whether they have hung up or not", async () => {
    const [router, ...dealers] = await world.linked(world.router(), world.dealer(), world.dealer());
    for (const dealer of dealers) {
      await dealer.send("hello");
      await collect(router, 1);
    }
    await within(router.close({ linger: 1_000 }), "close");
    expect(router.stats().peers).toBe(0);
    await within(dealers[0].close({ linger: 1_000 }), "close");
    expect(dealers[0].stats().peers).toBe(0);
  });

  it("closing twice is closing once, with the same result", async () => {
    const [pull, push] = await world.linked(world.pull(), world.push());
    await push.send("x");
    const first = push.close({ linger: 8_000 });
    const second = push.close({ linger: 0 });
    expect(await collect(pull, 1)).toEqual(["x"]);
    expect(await second).toEqual(await first);
    expect(push.closed).toBe(true);
  });

  it("await using closes with the socket's own linger", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    let outer: Socket;
    const reading = collect(pull, 1);
    {
      await using push = world.push({ linger: 8_000 });
      outer = push;
      push.connect(endpoint);
      await push.send("x");
    }
    expect(outer.closed).toBe(true);
    expect(await reading).toEqual(["x"]);
  });

  it(`an endpoint can be bound again at once, ${BINDS} times in a row`, async () => {
    // Not a port that the system gives connections, one of which may have it while nobody is bound.
    let endpoint = world.overTcp
      ? `${world.transport}://127.0.0.1:${await freePort()}`
      : world.freeEndpoint();
    for (let i = 0; i < BINDS; i++) {
      const pull = world.pull();
      await pull.bind(endpoint);
      endpoint = pull.lastEndpoint as string;
      if (i % 2 === 0) await pull.unbind(endpoint);
      const closed = pull.close({ linger: 0 });
      // zmtp's next bind needs no wait.
      if (i % 3 !== 0 || world.engine === "libzmq") await closed;
    }
    const [pull, push] = [world.pull(), world.push()];
    await pull.bind(endpoint);
    push.connect(endpoint);
    await arrives("still good", push, pull);
  });
});

describeWired("reconnectInterval -1", (world) => {
  it("close waits for no endpoint that was lost", async () => {
    const [push, pull] = [world.push({ reconnectInterval: -1, linger: -1 }), world.pull()];
    await world.link(pull, push);
    await push.ready();
    const left = nextEvent(push, "peer:leave");
    await pull.close({ linger: 0 });
    await left;
    const waiting = failure(push.send("waiting"));
    await within(push.close(), "close");
    expect(await waiting).toMatchObject({ code: "EAGAIN" });
  });

  it("close waits for no endpoint that was never reached", async () => {
    const push = world.connect(world.push({ reconnectInterval: -1, linger: -1 }), world.deadEndpoint());
    await push.send("queued");
    await until(() => !push.trySend("x"), "the end of the endpoint");
    await within(push.close(), "close");
  });

  it("an endpoint that was lost can be connected again", async () => {
    const [dealer, first, second] = [world.dealer({ reconnectInterval: -1 }), world.router(), world.router()];
    const endpoint = await world.link(first, dealer);
    await dealer.ready();
    const left = nextEvent(dealer, "peer:leave");
    await first.close({ linger: 0 });
    await left;
    await second.bind(endpoint);
    dealer.connect(endpoint);
    await dealer.send("again");
    expect(texts(await within(second.receive(), "again"))[1]).toBe("again");
  });
});
