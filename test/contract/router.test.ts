import { expect, it } from "vitest";
import { Envelope, type Socket } from "../../src/index.js";
import { describeEngines, describeTransports } from "./support/engines.js";
import { failure, nextEvent, texts, thrown, turn, until } from "./support/wait.js";

/** Sends until the router learns of its peer, which on no transport is at once. */
async function hello(
  dealer: { send(text: string): Promise<void> },
  router: { receive(o: object): Promise<Buffer[]> },
) {
  await dealer.send("hello");
  return (await router.receive({ timeout: 8_000 }))[0] as Buffer;
}

describeTransports("router", (world) => {
  it("keeps its peers apart by routing id, made up or their own", async () => {
    const router = world.router();
    const dealers = [world.dealer({ routingId: "named" }), world.dealer(), world.dealer()];
    await world.link(router, ...dealers);
    const ids = [];
    for (const dealer of dealers) ids.push(await hello(dealer, router));
    expect(String(ids[0])).toBe("named");
    expect(ids[1]?.[0]).toBe(0);
    expect(ids[1]).not.toEqual(ids[2]);
    for (const [i, id] of ids.entries()) await router.send([id, `to ${i}`]);
    for (const [i, dealer] of dealers.entries())
      expect(texts(await dealer.receive({ timeout: 8_000 }))).toEqual([`to ${i}`]);
  });

  it("knows its peers by their ids, whatever a program writes to those that it got", async () => {
    const router = world.router({ mandatory: true });
    const [one, other] = [world.dealer({ routingId: "one" }), world.dealer({ routingId: "two" })];
    const joined: Buffer[] = [];
    router.events.on("peer:join", ({ routingId }) => joined.push(routingId as Buffer));
    await world.link(router, one, other);
    const id = await hello(one, router);
    await hello(other, router);
    id.write("two");
    for (const each of joined) each?.fill(0);
    // The bytes count, not the object that they came in.
    await router.send([id, "answer"]);
    expect(texts(await other.receive({ timeout: 8_000 }))).toEqual(["answer"]);
    const next = await hello(one, router);
    expect(String(next)).toBe("one");
    next.fill(0);
    await router.send(["one", "again"]);
    expect(texts(await one.receive({ timeout: 8_000 }))).toEqual(["again"]);
    await one.close();
    await until(() => router.tryDeliver(["one", "late"]) === "gone", "its name to be free");
  });

  it("drops what it cannot route, with an event and a count", async () => {
    const router = world.router();
    await world.bind(router);
    const dropped = nextEvent(router, "drop");
    await router.send(["nobody", "", "body"]);
    expect(router.trySend(["nobody", "body"])).toBe(true);
    expect(await dropped).toMatchObject({
      reason: "unroutable",
      messages: 1,
      routingId: Buffer.from("nobody"),
    });
    expect(router.stats()).toMatchObject({ sent: 2, delivered: 0, queued: 0, dropped: { unroutable: 2 } });
  });

  it("with mandatory refuses what it cannot route, with EHOSTUNREACH", async () => {
    const router = world.router({ mandatory: true });
    const dealer = world.dealer({ routingId: "there" });
    await world.link(router, dealer);
    await hello(dealer, router);
    expect((await failure(router.send(["nobody", "body"]))).code).toBe("EHOSTUNREACH");
    expect(thrown(() => router.trySend(["nobody", "body"])).code).toBe("EHOSTUNREACH");
    await router.send(["there", "body"]);
    expect(texts(await dealer.receive({ timeout: 8_000 }))).toEqual(["body"]);
    expect(router.stats()).toMatchObject({ sent: 3, delivered: 1, dropped: { unroutable: 2 } });
  });

  it("reply follows the envelope, and rejects with EHOSTUNREACH when the peer is gone", async () => {
    const [router, request] = [world.router(), world.request()];
    const endpoint = await world.link(router, request);
    await request.send(["question", "two"]);
    const { envelope, body } = Envelope.parse(await router.receive({ timeout: 8_000 }));
    expect(texts(body)).toEqual(["question", "two"]);
    await router.reply(envelope, ["answer", ""]);
    expect(texts(await request.receive({ timeout: 8_000 }))).toEqual(["answer", ""]);
    request.disconnect(endpoint);
    await until(() => {
      // The peer is gone when its id no longer routes; there is no event for that with inproc.
      router.mandatory = true;
      try {
        router.trySend([envelope.routingId, "", "gone?"]);
        return false;
      } catch {
        return true;
      } finally {
        router.mandatory = false;
      }
    }, "the peer to be gone");
    const dropped = nextEvent(router, "drop");
    const error = await failure(router.reply(envelope, "nobody hears"));
    expect(error).toMatchObject({ name: "UnroutableError", code: "EHOSTUNREACH" });
    expect((await dropped).reason).toBe("unroutable");
    expect((await failure(router.reply({} as never, "x"))).code).toBe("EINVAL");
  });

  it("a full peer: a counted drop, with mandatory EAGAIN; other peers go on", async () => {
    const router = world.router({ sendHighWaterMark: 2 });
    const slow = world.dealer({ routingId: "slow", receiveHighWaterMark: 2 });
    const quick = world.dealer({ routingId: "quick" });
    await world.link(router, slow, quick);
    await hello(slow, router);
    await hello(quick, router);
    const body = Buffer.alloc(65_536);
    let sent = 0;
    while (router.stats().dropped["peer-full"] === 0 && sent < 5_000) {
      await router.send(["slow", body]);
      sent += 1;
      await turn();
    }
    expect(router.stats().dropped["peer-full"]).toBe(1);
    router.mandatory = true;
    // Between two sends the kernel may still have taken one.
    await until(() => {
      try {
        router.trySend(["slow", body]);
        return false;
      } catch (error) {
        expect((error as { code?: string }).code).toBe("EAGAIN");
        return true;
      }
    }, "EAGAIN");
    await router.send(["quick", "still here"]);
    expect(texts(await quick.receive({ timeout: 8_000 }))).toEqual(["still here"]);
    const { delivered, queued, dropped, sent: total } = router.stats();
    expect(total).toBe(delivered + queued + dropped["peer-full"]);
    for (let i = 0; i < delivered + queued - 1; i++) await slow.receive({ timeout: 8_000 });
    expect((await failure(slow.receive({ timeout: 20 }))).code).toBe("EAGAIN");
  });

  it("tryDeliver says sent, full or gone, never throws for a peer, and counts only what is sent", async () => {
    const router = world.router({ sendHighWaterMark: 2 });
    const slow = world.dealer({ routingId: "slow", receiveHighWaterMark: 2 });
    await world.link(router, slow);
    await hello(slow, router);
    const body = Buffer.alloc(65_536);
    let drops = 0;
    router.events.on("drop", () => (drops += 1));
    expect(router.tryDeliver(["nobody", body])).toBe("gone");
    for (let i = 0; i < 5_000 && router.tryDeliver(["slow", body]) === "sent"; i++) await turn();
    await until(() => router.tryDeliver(["slow", body]) === "full", "a full peer");
    const { sent, delivered, queued, dropped } = router.stats();
    expect(sent).toBe(delivered + queued);
    expect(dropped).toMatchObject({ unroutable: 0, "peer-full": 0 });
    for (let i = 0; i < sent; i++) await slow.receive({ timeout: 8_000 });
    expect((await failure(slow.receive({ timeout: 20 }))).code).toBe("EAGAIN");
    expect(router.tryDeliver(["slow", "again"])).toBe("sent");
    expect(texts(await slow.receive({ timeout: 8_000 }))).toEqual(["again"]);
    expect(thrown(() => router.tryDeliver(["slow", {}] as never)).code).toBe("EINVAL");
    // TLS reports a write in a later turn, when the message may have arrived.
    await until(() => router.stats().queued === 0, "the last one counted as delivered");
    await router.close({ linger: 0 });
    expect(router.tryDeliver(["slow", body])).toBe("gone");
    expect(drops).toBe(0);
  });

  it("a newcomer with a routing id in use stays outside; with handover it takes the id over", async () => {
    for (const handover of [false, true]) {
      const router = world.router({ handover, mandatory: true });
      // Back at once, it would take the routing id over in its turn.
      const first = world.dealer({ routingId: "name", reconnectInterval: 60_000 });
      const endpoint = await world.link(router, first);
      await hello(first, router);
      const second = world.connect(world.dealer({ routingId: "name" }), endpoint);
      await second.send("from the second");
      if (handover)
        expect(texts(await router.receive({ timeout: 8_000 }))).toEqual(["name", "from the second"]);
      else expect((await failure(router.receive({ timeout: 60 }))).code).toBe("EAGAIN");
      const [hears, hearsNot] = handover ? [second, first] : [first, second];
      for (let i = 0; i < 20; i++) {
        await router.send(["name", `for whom ${i}`]);
        expect(texts(await hears.receive({ timeout: 8_000 }))).toEqual([`for whom ${i}`]);
      }
      expect((await failure(hearsNot.receive({ timeout: 20 }))).code).toBe("EAGAIN");
      await Promise.all([router, first, second].map((socket: Socket) => socket.close({ linger: 0 })));
    }
  });

  it("connect with routingId names the peer before it has said anything", async () => {
    const [router, dealer] = [world.router({ mandatory: true }), world.dealer()];
    const endpoint = await world.bind(dealer);
    router.connect(endpoint, { routingId: "server" });
    await router.send(["server", "hello"]);
    expect(texts(await dealer.receive({ timeout: 8_000 }))).toEqual(["hello"]);
    await dealer.send("back");
    expect(texts(await router.receive({ timeout: 8_000 }))).toEqual(["server", "back"]);
  });

  it("probeRouter introduces a socket with an empty message", async () => {
    const router = world.router();
    const endpoint = await world.bind(router);
    const [dealer, other] = [
      world.dealer({ probeRouter: true, routingId: "prober" }),
      world.router({ probeRouter: true, routingId: "router" }),
    ];
    other.connect(endpoint);
    expect(texts(await router.receive({ timeout: 8_000 }))).toEqual(["router", ""]);
    dealer.connect(endpoint);
    expect(texts(await router.receive({ timeout: 8_000 }))).toEqual(["prober", ""]);
    await router.send(["prober", "welcome"]);
    expect(texts(await dealer.receive({ timeout: 8_000 }))).toEqual(["welcome"]);
  });
});

describeEngines("router", (world) => {
  it("a routing id with nothing behind it is an unroutable message, not a delivered one", async () => {
    const [router, dealer] = await world.linked(world.router(), world.dealer({ routingId: "there" }));
    await hello(dealer, router);
    await router.send("there");
    await router.send(["there"]);
    expect(router.stats()).toMatchObject({ sent: 2, delivered: 0, dropped: { unroutable: 2 } });
  });

  it("refuses an invalid routing id", async () => {
    const router = world.router();
    for (const routingId of ["", 5, "x".repeat(256), "\0zero"] as never[])
      expect(thrown(() => router.connect("tcp://127.0.0.1:1", { routingId })).code, String(routingId)).toBe(
        "EINVAL",
      );
    expect(router.lastEndpoint).toBeNull();
  });
});
