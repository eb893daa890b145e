/** Frames that a program transfers to a thread: what it received, and what it has sent by reference. */
import { MessageChannel } from "node:worker_threads";
import { afterAll, describe, expect, it } from "vitest";
import { CURVE_SERVER, curveClient } from "../../contract/support/keys.js";
import { nextEvent, turn, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { decodeFrames } from "./codec/support.js";
import { mutePull, RawServer } from "./support/raw-server.js";

const channel = new MessageChannel();
afterAll(() => channel.port1.close());

/** Node.js 21 and later refuse what is marked, Node.js 20 copies it. */
function transfer(bytes: Uint8Array): void {
  try {
    channel.port1.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
  } catch (error) {
    expect((error as Error).name).toBe("DataCloneError");
  }
}

const overTcp = new World("zmtp", "tcp");
const body = (number: number, size: number): Buffer => Buffer.alloc(size, number % 251);

describe.each([
  ["tcp", {}, {}],
  ["ipc", {}, {}],
  ["inproc", {}, {}],
  ["tcp", CURVE_SERVER, curveClient()],
] as const)("a received frame over %s that is transferred", (transport, server, client) => {
  const world = new World("zmtp", transport);

  it.each([
    1, 100, 3_000, 10_000, 40_000, 300_000,
  ])("takes nothing from other messages (%i bytes)", async (size) => {
    const pull = world.pull(server);
    const push = world.push(client);
    await world.link(pull, push);
    const count = size > 100_000 ? 12 : 60;
    const sending = (async () => {
      for (let i = 0; i < count; i++) await push.send([body(i, size), body(i + 1, 7)]);
    })();
    for (let i = 0; i < count; i++) {
      const frames = await pull.receive({ timeout: 8_000 });
      expect(frames.map(({ length }) => length)).toEqual([size, 7]);
      // Two of one message have one memory, or not; both are given away.
      for (const [at, frame] of frames.entries()) {
        expect(frame.equals(body(i + at, at === 0 ? size : 7))).toBe(true);
        transfer(frame);
      }
    }
    await sending;
  });

  it("is a peer's routing id, and the peer is known by it as before", async () => {
    const router = world.router(server);
    const dealer = world.dealer(client);
    await world.link(router, dealer);
    for (let i = 0; i < 3; i++) {
      await dealer.send("question");
      const [id] = await router.receive({ timeout: 8_000 });
      transfer(id as Buffer);
      await router.send([id as Buffer, "answer"]);
      expect(String(await dealer.receive({ timeout: 8_000 }))).toBe("answer");
    }
  });

  it("is a subscription's topic or a publisher's message, and other subscribers have theirs", async () => {
    const publisher = world.publisher(server);
    const subscribers = [world.subscriber(client), world.subscriber(client)];
    await world.link(publisher, ...subscribers);
    for (const subscriber of subscribers) subscriber.subscribe("");
    publisher.events.on("subscribe", ({ topic }) => transfer(topic));
    await publisher.waitForSubscribers({ count: 2 });
    for (let i = 0; i < 10; i++) await publisher.send(body(i, 5_000));
    for (let i = 0; i < 10; i++) {
      for (const subscriber of subscribers) {
        const [frame] = await subscriber.receive({ timeout: 8_000 });
        expect(frame?.equals(body(i, 5_000))).toBe(true);
        transfer(frame as Buffer);
      }
    }
  });
});

describe.each([
  "tcp",
  "ipc",
  "inproc",
] as const)("a body sent by reference over %s that is transferred before it went out", (transport) => {
  const world = new World("zmtp", transport);
  /** Sent by reference, and three of them wait for the end of the turn. */
  const LARGE = 20_000;

  it("is dropped, counted and reported; the messages around it and other sockets' arrive", async () => {
    const [pull, push, otherPull, other] = [world.pull(), world.push(), world.pull(), world.push()];
    await world.link(pull, push);
    await world.link(otherPull, other);
    await Promise.all([push.ready({ timeout: 8_000 }), other.ready({ timeout: 8_000 })]).catch(
      () => undefined,
    );
    const gone = [body(1, LARGE), body(2, LARGE)];
    const dropped = nextEvent(push, "drop");
    expect(push.trySend("before")).toBe(true);
    expect(push.trySend(["head", gone[0] as Buffer, "tail"])).toBe(true);
    expect(push.trySend(["between", body(3, LARGE)])).toBe(true);
    expect(push.trySend(gone[1] as Buffer)).toBe(true);
    expect(push.trySend("after")).toBe(true);
    expect(other.trySend("elsewhere")).toBe(true);
    for (const bytes of gone) channel.port1.postMessage(0, [bytes.buffer as ArrayBuffer]);
    expect(gone.map(({ length }) => length)).toEqual([0, 0]);
    expect(String(await otherPull.receive({ timeout: 8_000 }))).toBe("elsewhere");
    const got: string[] = [];
    for (let i = 0; i < 3; i++) got.push(String((await pull.receive({ timeout: 8_000 }))[0]));
    expect(got).toEqual(["before", "between", "after"]);
    expect((await dropped).reason).toBe("detached");
    const stats = push.stats();
    expect(stats).toMatchObject({ sent: 5, delivered: 3, queued: 0, dropped: { detached: 2 } });
    expect(stats.reconnects).toBe(0);
  });

  it("is missed by each of a publisher's subscribers, and nothing else is", async () => {
    const publisher = world.publisher();
    const subscribers = [world.subscriber(), world.subscriber()];
    await world.link(publisher, ...subscribers);
    for (const subscriber of subscribers) subscriber.subscribe("");
    await publisher.waitForSubscribers({ count: 2 });
    const gone = body(1, LARGE);
    publisher.trySend(gone);
    publisher.trySend("next");
    channel.port1.postMessage(0, [gone.buffer as ArrayBuffer]);
    for (const subscriber of subscribers)
      expect(String(await subscriber.receive({ timeout: 8_000 }))).toBe("next");
    expect(publisher.stats().copies).toMatchObject({ queued: 0, dropped: 2 });
  });
});

it("a body sent by reference whose peer does not read is not taken from under the kernel", async () => {
  const server = new RawServer(mutePull);
  const push = overTcp.push({ heartbeatInterval: 0, sendHighWaterMark: 5 });
  push.connect(await server.listen(overTcp));
  await push.ready({ timeout: 8_000 });
  const bodies: Buffer[] = [];
  const whole = Buffer.alloc(1_000_000, 7);
  for (;;) {
    const next = Buffer.allocUnsafeSlow(whole.length).fill(7);
    if (!push.trySend(next)) {
      // It may only be that this turn's messages are many.
      await turn();
      if (!push.trySend(next)) break;
    }
    bodies.push(next);
  }
  for (const bytes of bodies) transfer(bytes);
  // What the kernel has, or is reading, arrives as it was; what waited behind it is dropped.
  const before = push.stats();
  expect(before.queued).toBeGreaterThan(1);
  const reader = await server.first();
  const chunks: Buffer[] = [];
  let came = 0;
  reader.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    came += chunk.length;
  });
  reader.resume();
  // Greeting and READY, which may come apart.
  const opening = (): number => 66 + (Buffer.concat(chunks.slice(0, 3))[65] as number);
  const isAll = (): boolean =>
    chunks.length > 0 && came === opening() + push.stats().delivered * (9 + 1_000_000);
  await until(() => push.stats().queued === 0 && isAll(), "the rest");
  const frames = decodeFrames(Buffer.concat(chunks).subarray(opening()));
  const bad = frames.filter(({ flags, body }) => flags !== 0 || !whole.equals(body)).length;
  const { delivered, dropped, sent } = push.stats();
  expect([bad, frames.length]).toEqual([0, delivered]);
  expect(dropped.detached).toBeGreaterThan(0);
  expect(delivered + dropped.detached).toBe(sent);
  const taken = bodies.filter(({ length }) => length === 0).length;
  // Of those that the kernel had, some may still have been in one write with what it was reading.
  expect(taken).toBeGreaterThanOrEqual(dropped.detached);
  expect(taken).toBeLessThanOrEqual(before.delivered + dropped.detached);
  expect(push.stats().reconnects).toBe(0);
});

it("a piece of a stream that is transferred before it went out ends that connection with an event, and no other", async () => {
  const server = overTcp.stream();
  const endpoint = await overTcp.bind(server);
  const client = overTcp.stream();
  const left = nextEvent(client, "disconnect");
  client.connect(endpoint);
  const [id] = await client.receive({ timeout: 8_000 });
  const gone = body(1, 50_000);
  const [pull, push] = [overTcp.pull(), overTcp.push()];
  await overTcp.link(pull, push);
  await client.send([id as Buffer, gone]);
  channel.port1.postMessage(0, [gone.buffer as ArrayBuffer]);
  push.trySend("elsewhere");
  const { reason, error } = await left;
  expect([reason, error?.message]).toEqual(["local", expect.stringContaining("transferred")]);
  expect(String(await pull.receive({ timeout: 8_000 }))).toBe("elsewhere");
});
