/** The link is cut at every byte of a handshake, and in the middle of messages, in both directions; or it swallows all. */
import { describe, expect, it } from "vitest";
import { CURVE_SERVER, curveClient, plain } from "../../contract/support/keys.js";
import { collect, nextEvent, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { LONG } from "../../support/long.js";
import { type Direction, Relay } from "../../support/relay.js";

const world = new World("zmtp", "tcp");
const authenticate = (): boolean => true;

const MECHANISMS = {
  NULL: [{}, {}],
  PLAIN: [{ plainServer: true, authenticate }, plain("u", "p")],
  CURVE: [{ ...CURVE_SERVER, authenticate }, curveClient()],
} as const;

async function relayTo(endpoint: string): Promise<Relay> {
  const relay = await Relay.to(endpoint);
  world.after(() => relay.close());
  return relay;
}

describe.each(Object.entries(MECHANISMS))("a %s link", (name, [server, client]) => {
  describe.each<Direction>(["up", "down"])("that is cut on its way %s", (direction) => {
    it("at any byte of the handshake comes back", async () => {
      const pull = world.pull(server);
      const relay = await relayTo(await world.bind(pull));
      const measure = world.push(client);
      measure.connect(relay.endpoint);
      await measure.ready();
      await until(() => pull.stats().peers === 1, "the peer");
      const length = relay.passed[direction];
      expect(length).toBeGreaterThan(64);
      await measure.close({ linger: 0 });

      // Every byte; in the default run by leaps, longer ones over the hundreds of random bytes of CURVE.
      const leap = (at: number): number => (LONG ? 1 : at > 90 && name === "CURVE" ? 37 : 7);
      for (let at = 0; at < length; at += leap(at)) {
        const push = world.push({ ...client, reconnectInterval: 1, reconnectMaxInterval: 2 });
        relay.cutAfter(direction, at);
        push.connect(relay.endpoint);
        // A message that goes out right behind READY may be lost with the link: PUSH promises no more. So another
        // follows, when the one before has left.
        let back = false;
        const received = (async () => {
          while ((await collect(pull, 1))[0] !== `after ${at}`);
          back = true;
        })();
        await until(() => {
          if (!back && push.stats().queued === 0) push.trySend(`after ${at}`);
          return back;
        }, `a message after the cut at ${at}`);
        await received;
        await push.close({ linger: 0 });
      }
      expect(relay.cuts).toBeGreaterThan(LONG ? 64 : 9);
      await until(() => pull.stats().peers === 0, "no peers");
    });
  });

  it("that is cut in the middle of messages never delivers half of one, nor one twice, nor out of order", async () => {
    const pull = world.pull({ ...server, receiveHighWaterMark: 100 });
    const relay = await relayTo(await world.bind(pull));
    const push = world.push({
      ...client,
      reconnectInterval: 1,
      reconnectMaxInterval: 2,
      sendHighWaterMark: 100,
    });
    const CUTS = LONG ? 12 : 3;
    /** Messages from one cut to the next: more than a link passes, and than the kernel holds. */
    const MESSAGES = 90;
    const sizes = [1, 300, 20_000, 90_000, 200_000];
    let left = 0;
    const cutNext = (): void => relay.cutAfter("up", 900_000 + 12_345 * (left % 10));
    cutNext();
    push.events.on("peer:leave", () => {
      left += 1;
      if (left < CUTS) cutNext();
    });
    push.connect(relay.endpoint);
    let dropped = 0;
    push.events.on("drop", ({ messages }) => {
      dropped += messages;
    });
    const sending = (async () => {
      for (let i = 0; i < MESSAGES * CUTS; i++) {
        const body = Buffer.alloc(sizes[i % sizes.length] as number, `${i}.`);
        await push.send([
          `${i}`,
          body,
          "",
          Buffer.alloc(sizes[(i + 2) % sizes.length] as number, `${i};`),
          `end ${i}`,
        ]);
        if ((i + 1) % MESSAGES === 0) await until(() => MESSAGES * left > i, "a cut");
      }
      await push.send("done");
    })();
    let last = -1;
    let received = 0;
    for (;;) {
      const frames = await pull.receive({ timeout: 8_000 });
      if (frames.length === 1 && String(frames[0]) === "done") break;
      const number = Number(String(frames[0]));
      expect(frames.length).toBe(5);
      expect(number).toBeGreaterThan(last);
      expect(String(frames[4])).toBe(`end ${number}`);
      expect(frames[1]?.equals(Buffer.alloc(sizes[number % sizes.length] as number, `${number}.`))).toBe(
        true,
      );
      expect(frames[3]?.length).toBe(sizes[(number + 2) % sizes.length]);
      last = number;
      received += 1;
    }
    await sending;
    expect(relay.cuts).toBe(CUTS);
    // What did not come was in flight: the kernel had it, or it was counted.
    const { sent, delivered, queued } = push.stats();
    expect(delivered + queued + push.stats().dropped.disconnected).toBe(sent);
    expect(dropped).toBe(push.stats().dropped.disconnected);
    expect(dropped).toBeGreaterThan(0);
    expect(received).toBeGreaterThan(0);
  });
});

it("subscriptions are there again after each cut", async () => {
  const publisher = world.publisher();
  const relay = await relayTo(await world.bind(publisher));
  const subscriber = world.subscriber({ reconnectInterval: 1, reconnectMaxInterval: 2 });
  subscriber.subscribe("a", "b");
  subscriber.connect(relay.endpoint);
  for (let round = 0; round < (LONG ? 30 : 5); round++) {
    await publisher.waitForSubscribers({ timeout: 8_000 });
    const message = subscriber.receive({ timeout: 8_000 });
    let got = false;
    void message.then(() => {
      got = true;
    });
    await until(() => {
      void publisher.send(["b", String(round)]);
      return got;
    }, "a message after the cut");
    while (subscriber.stats().receiveQueued > 0) await subscriber.receive();
    const left = nextEvent(publisher, "peer:leave");
    relay.cut();
    await left;
  }
  expect(publisher.stats().peers).toBeLessThanOrEqual(1);
});

const PEERS = LONG ? 100 : 30;

it(`a storm of reconnects of ${PEERS} peers, cut again and again, ends with all of them back`, async () => {
  const router = world.router({ backlog: 512 });
  const relay = await relayTo(await world.bind(router));
  const dealers = Array.from({ length: PEERS }, (_, i) =>
    world.dealer({ routingId: `dealer-${i}`, reconnectInterval: 1, reconnectMaxInterval: 4 }),
  );
  for (const dealer of dealers) dealer.connect(relay.endpoint);
  await until(() => router.stats().peers === PEERS, "all peers");
  for (let storm = 0; storm < (LONG ? 15 : 5); storm++) {
    const links = relay.links;
    relay.cut();
    await until(() => relay.links >= links + PEERS / 2, "half of them on their way back");
  }
  await until(() => router.stats().peers === PEERS, "all peers again");
  const answers = dealers.map(async (dealer, i) => {
    await dealer.send(`from ${i}`);
    expect(await collect(dealer, 1)).toEqual([`to ${i}`]);
  });
  for (let i = 0; i < dealers.length; i++) {
    const [id, body] = await router.receive({ timeout: 8_000 });
    expect(String(id).slice(7)).toBe(String(body).slice(5));
    await router.send([id as Buffer, `to ${String(body).slice(5)}`]);
  }
  await Promise.all(answers);
});

const INTERVAL = 150;

describe.each([
  ["NULL", {}, {}],
  ["CURVE", CURVE_SERVER, curveClient()],
])("a black-holed %s link", (_, server, client) => {
  it.each(["idle", "sending"])("is noticed by both sides, %s, and made again", async (how) => {
    const pull = world.pull({ ...server, heartbeatInterval: INTERVAL, heartbeatTimeout: INTERVAL });
    const relay = await Relay.to(await world.bind(pull));
    world.after(() => relay.close());
    const push = world.push({
      ...client,
      heartbeatInterval: INTERVAL,
      heartbeatTimeout: INTERVAL,
      reconnectInterval: 5,
      sendHighWaterMark: 10,
    });
    push.connect(relay.endpoint);
    await push.send("before");
    expect(await collect(pull, 1)).toEqual(["before"]);

    const noticed = [pull, push].map((socket) => nextEvent(socket, "disconnect"));
    relay.blackHole(true);
    if (how === "sending") await push.send("into the hole");
    for (const { reason } of await Promise.all(noticed)) expect(reason).toBe("heartbeat");
    expect([pull.stats().peers, push.stats().peers]).toEqual([0, 0]);

    relay.cut();
    relay.blackHole(false);
    await push.send("after");
    expect((await collect(pull, 1))[0]).toBe("after");
  });
});
