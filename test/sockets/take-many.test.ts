/** Receives that take messages of the engine together. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { InStream } from "../../src/engine/zmtp/codec/in-stream.js";
import { Context, Dealer, Pair, Publisher, Pull, Push, Router, Subscriber } from "../../src/index.js";

const COUNT = 400;
const BODY = "x".repeat(64);

let context: Context;
const sockets: { close(options: { linger: number }): Promise<unknown> }[] = [];
let takes: { mock: { calls: unknown[] } };
let takesMany: { mock: { calls: unknown[] } };

beforeEach(() => {
  context = new Context({ engine: "zmtp" });
  takes = vi.spyOn(InStream.prototype, "take");
  takesMany = vi.spyOn(InStream.prototype, "takeMany");
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
});

function own<T extends (typeof sockets)[number]>(socket: T): T {
  sockets.push(socket);
  return socket;
}

interface Sends {
  connect(endpoint: string): unknown;
  send(message: string | string[]): Promise<void>;
}
interface Receives {
  bind(endpoint: string): Promise<string>;
  receiveMany(options?: { max?: number; copy?: boolean }): Promise<unknown[][]>;
  stats(): { received: number; bytesReceived: number };
}

/** Receives COUNT messages that are all there. @returns them, and calls of the stream for each */
async function receiveAll(
  from: Sends,
  to: Receives,
  message: string | string[],
  receive = (): Promise<unknown[][]> => to.receiveMany(),
): Promise<{ received: unknown[][]; takes: number; takesMany: number }> {
  for (let i = 0; i < COUNT; i++) await from.send(message);
  const received: unknown[][] = [];
  while (received.length < COUNT) received.push(...(await receive()));
  return { received, takes: takes.mock.calls.length, takesMany: takesMany.mock.calls.length };
}

async function linked<T extends Receives>(to: T, from: Sends): Promise<void> {
  await to.bind("inproc://take-many");
  from.connect("inproc://take-many");
}

test.each<[string, (message: string[]) => string[]]>([
  ["as their frames", (message) => message],
  ["encoded", (message) => ["topic", ...message]],
])("a receive for many stops by what frames cost, the empty ones too: %s", async (how, make) => {
  const encoded = how === "encoded";
  const from = own(encoded ? new Publisher({ context }) : new Push({ context }));
  const to = own(encoded ? new Subscriber({ context }) : new Pull({ context }));
  if (to instanceof Subscriber) to.subscribe("");
  await linked(to, from);
  const message = make(Array.from({ length: 2_500 }, () => ""));
  for (let i = 0; i < 20; i++) await from.send(message);
  const sizes: number[] = [];
  for (let count = 0; count < 20; count += sizes.at(-1) as number)
    sizes.push((await to.receiveMany()).length);
  // 524,288 bytes: four times 165,000, of which the last may go past them.
  expect(Math.max(...sizes)).toBe(4);
});

test("one that takes them one by one stops there, too", async () => {
  const listener = (): void => undefined;
  subscribe("shoal.receive", listener);
  const [from, to] = [own(new Push({ context })), own(new Pull({ context }))];
  await linked(to, from);
  for (let i = 0; i < 20; i++) await from.send(Array.from({ length: 2_500 }, () => ""));
  const sizes: number[] = [];
  const batches = to.batches();
  for (let count = 0; count < 20; count += sizes.at(-1) as number)
    sizes.push((await batches.next()).value?.length ?? 0);
  unsubscribe("shoal.receive", listener);
  expect(Math.max(...sizes)).toBe(4);
});

describe("together: a call for many messages, and none for each", () => {
  test.each<[string, () => [Sends, Receives], string | string[]]>([
    ["PULL", () => [own(new Push({ context })), own(new Pull({ context }))], BODY],
    [
      "PULL, several frames",
      () => [own(new Push({ context })), own(new Pull({ context }))],
      ["topic", "", BODY],
    ],
    ["DEALER", () => [own(new Dealer({ context })), own(new Dealer({ context }))], BODY],
    ["PAIR", () => [own(new Pair({ context })), own(new Pair({ context }))], BODY],
    [
      "ROUTER",
      () => [own(new Dealer({ context, routingId: "id" })), own(new Router({ context }))],
      ["", BODY],
    ],
  ])("%s", async (_, make, message) => {
    const [from, to] = make();
    await linked(to, from);
    const { received, takes, takesMany } = await receiveAll(from, to, message);
    const frames = [message].flat();
    const expected = to instanceof Router ? ["id", ...frames] : frames;
    for (const each of received) expect(each.map(String)).toEqual(expected);
    expect(to.stats()).toMatchObject({ received: COUNT, bytesReceived: COUNT * expected.join("").length });
    expect(takes).toBeLessThan(COUNT / 10); // One whose frames came in two chunks.
    expect(takesMany).toBeLessThan(COUNT / 10);
  });

  test("SUB, with what it did not subscribe to between", async () => {
    const publisher = own(new Publisher({ context, noDrop: true }));
    const subscriber = own(new Subscriber({ context }));
    await publisher.bind("inproc://take-many");
    subscriber.connect("inproc://take-many");
    for (const topic of ["a", "b"]) subscriber.subscribe(topic);
    await publisher.waitForSubscribers({ count: 2, timeout: 5_000 });
    const sending = {
      connect: () => undefined,
      send: async (message: string | string[]) => {
        await publisher.send(message);
        await publisher.send(["c", BODY]);
      },
    };
    const { received, takes, takesMany } = await receiveAll(sending, subscriber as unknown as Receives, [
      "a topic",
      BODY,
    ]);
    for (const each of received) expect(each.map(String)).toEqual(["a topic", BODY]);
    expect(subscriber.stats()).toMatchObject({ received: COUNT, bytesReceived: COUNT * (7 + 64) });
    expect(takes).toBeLessThan(COUNT / 10);
    expect(takesMany).toBeLessThan(COUNT / 10);
  });

  test("batches, whose memory is lent", async () => {
    const [push, pull] = [own(new Push({ context })), own(new Pull({ context }))];
    await linked(pull, push);
    const batches = pull.batches({ max: 100 });
    const { received, takes, takesMany } = await receiveAll(push, pull, BODY, async () => {
      const { value } = await batches.next();
      return [...(value?.messages ?? [])];
    });
    for (const each of received) expect(String(each[0])).toBe(BODY);
    expect(takes).toBeLessThan(COUNT / 10);
    expect(takesMany).toBeLessThan(COUNT / 10);
  });
});
