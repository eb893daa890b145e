/** Frames that pass within a thread by the short way: what they cost in steps, and that all rules of the long way hold. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { InStream } from "../../src/engine/zmtp/codec/in-stream.js";
import { Context, Dealer, Pair, Pull, Push, text } from "../../src/index.js";
import { Outbox } from "../../src/sockets/outbox.js";

const FROZEN = Object.freeze({ transfer: true });
const NAME = "inproc://transfer-lane";
const COUNT = 2_500;
const OUT = { sendHighWaterMark: 2_000 };
const IN = { receiveHighWaterMark: 2_000 };

let context: Context;
const sockets: { close(options: { linger: number }): Promise<unknown> }[] = [];

beforeEach(() => {
  context = new Context({ engine: "zmtp" });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
});

function own<T extends (typeof sockets)[number]>(socket: T): T {
  sockets.push(socket);
  return socket;
}

async function linked(): Promise<[Push, Pull]> {
  const [push, pull] = [own(new Push({ context, ...OUT })), own(new Pull({ context, ...IN }))];
  await pull.bind(NAME);
  push.connect(NAME);
  return [push, pull];
}

const bodies = Array.from({ length: COUNT }, (_, i) => Buffer.from(`${i}`));
const bytes = bodies.reduce((sum, { length }) => sum + length, 0);

test.each<[string, () => [Push | Dealer | Pair, Pull | Dealer | Pair]]>([
  ["PUSH, PULL", () => [own(new Push({ context, ...OUT })), own(new Pull({ context, ...IN }))]],
  [
    "DEALER",
    () => [own(new Dealer({ context, ...OUT, ...IN })), own(new Dealer({ context, ...OUT, ...IN }))],
  ],
  ["PAIR", () => [own(new Pair({ context, ...OUT, ...IN })), own(new Pair({ context, ...OUT, ...IN }))]],
])("%s: no step of the long way for each message, and the same counts", async (_, make) => {
  const [from, to] = make();
  await to.bind(NAME);
  from.connect(NAME);
  from.trySend("first, whose options are checked", FROZEN);
  await to.receive();
  const long = [
    vi.spyOn(Outbox.prototype, "trySend"),
    vi.spyOn(InStream.prototype, "take"),
    vi.spyOn(InStream.prototype, "takeMany"),
  ];
  for (const body of bodies) expect(from.trySend(body, FROZEN)).toBe(true);
  const received: Buffer[] = [];
  const sizes: number[] = [];
  while (received.length < COUNT) {
    const batch = await to.receiveMany();
    sizes.push(batch.length);
    for (const [frame] of batch) received.push(frame as Buffer);
  }
  expect(received.every((frame, i) => frame === bodies[i])).toBe(true);
  expect(sizes).toEqual([1_000, 1_000, 500]);
  for (const calls of long) expect(calls.mock.calls.length).toBeLessThan(10);
  const before = "first, whose options are checked".length;
  expect(from.stats()).toMatchObject({ sent: COUNT + 1, delivered: COUNT + 1, bytesSent: bytes + before });
  expect(to.stats()).toMatchObject({ received: COUNT + 1, bytesReceived: bytes + before, receiveQueued: 0 });
});

test("all ways to receive may take turns, and what a program does to its batch is its own affair", async () => {
  const [push, pull] = await linked();
  for (const body of bodies) push.trySend(body, FROZEN);
  const received: Buffer[] = [];
  for (let i = 0; received.length < COUNT; i++) {
    const batch =
      i % 3 === 0 ? [await pull.receive()] : await pull.receiveMany({ max: i % 3 === 1 ? 7 : 1_000 });
    received.push(...batch.map(([frame]) => frame as Buffer));
    batch.length = 0;
    batch.push([Buffer.from("not sent")]);
    // One more, which goes behind all others.
    push.trySend(bodies[i] as Buffer, FROZEN);
  }
  expect(received.slice(0, COUNT).every((frame, i) => frame === bodies[i])).toBe(true);
  expect(received.slice(COUNT).every((frame, i) => frame === bodies[i])).toBe(true);
});

test("a batch ends at its bytes, and a frame may be larger than that", async () => {
  const [push, pull] = await linked();
  const sizes = [200_000, 200_000, 200_000, 900_000, 10, 10];
  for (const size of sizes) push.trySend(Buffer.alloc(size), FROZEN);
  const batches: number[][] = [];
  while (batches.flat().length < sizes.length)
    batches.push((await pull.receiveMany()).map(([frame]) => frame?.length ?? 0));
  expect(batches).toEqual([[200_000, 200_000, 200_000], [900_000], [10, 10]]);
});

test("lists that follow long ones are other memory", async () => {
  const [push, pull] = await linked();
  const batches: (readonly Buffer[][])[] = [];
  for (let round = 0; round < 3; round++) {
    const start = 800 * round;
    for (let i = 0; i < 800; i++) push.trySend(bodies[start + i] as Buffer, FROZEN);
    batches.push(await pull.receiveMany());
  }
  expect(batches.map(({ length }) => length)).toEqual([800, 800, 800]);
  expect(batches.flat().every(([frame], i) => frame === bodies[i])).toBe(true);
});

test("the marks in bytes are free again after each batch", async () => {
  const push = own(new Push({ context, sendHighWaterMarkBytes: 50_000 }));
  const pull = own(new Pull({ context, receiveHighWaterMarkBytes: 50_000 }));
  await pull.bind(NAME);
  push.connect(NAME);
  push.trySend("", FROZEN);
  await pull.receive();
  for (let round = 0; round < 3; round++) {
    let sent = 0;
    while (push.trySend(Buffer.alloc(9_991), FROZEN)) sent += 1;
    expect(sent).toBe(10); // With its header of 9 bytes each is a tenth of both marks.
    expect((await pull.receiveMany()).length).toBe(sent);
  }
});

test("a message behind others that wait is refused, and so is one past the marks: nothing has changed", async () => {
  const push = own(new Push({ context, sendHighWaterMark: 1 }));
  const pull = own(new Pull({ context, receiveHighWaterMark: 1 }));
  await pull.bind(NAME);
  push.connect(NAME);
  push.trySend("", FROZEN);
  push.trySend(Buffer.from("a"), FROZEN);
  expect(push.trySend(Buffer.from("refused"), FROZEN)).toBe(false);
  const sent = push.send("b");
  await pull.receive();
  expect(push.trySend(Buffer.from("refused"), FROZEN)).toBe(false);
  expect(push.stats()).toMatchObject({ sent: 3, bytesSent: 2, pendingSends: 1 });
  expect([String((await pull.receive())[0]), String((await pull.receive())[0])]).toEqual(["a", "b"]);
  await sent;
});

test("nothing overtakes a send that waits for half of the marks", async () => {
  const [from, to] = [
    own(new Pair({ context, sendHighWaterMark: 4 })),
    own(new Pair({ context, receiveHighWaterMark: 4 })),
  ];
  await to.bind(NAME);
  from.connect(NAME);
  for (let i = 0; i < 8; i++) from.trySend(bodies[i] as Buffer, FROZEN);
  const waits = from.send(bodies[8] as Buffer);
  await to.receive();
  expect(from.trySend(bodies[9] as Buffer, FROZEN)).toBe(false);
  for (let i = 1; i < 9; i++) expect(String((await to.receive())[0])).toBe(String(i));
  await waits;
});

test("several peers have one message each in turn, and are received from in turn", async () => {
  const push = own(new Push({ context }));
  const pulls = [own(new Pull({ context })), own(new Pull({ context }))] as const;
  for (const [i, pull] of pulls.entries()) {
    await pull.bind(`${NAME}-${i}`);
    push.connect(`${NAME}-${i}`);
  }
  push.trySend("", FROZEN);
  push.trySend("", FROZEN);
  for (let i = 0; i < 6; i++) push.trySend(bodies[i] as Buffer, FROZEN);
  for (const [i, pull] of pulls.entries()) {
    const messages = (await pull.receiveMany()).map(String);
    expect(messages).toEqual(["", `${i}`, `${i + 2}`, `${i + 4}`]);
  }
  const [one, other, pull] = [
    own(new Push({ context })),
    own(new Push({ context })),
    own(new Pull({ context })),
  ];
  await pull.bind(NAME);
  for (const [i, from] of [one, other].entries()) {
    from.connect(NAME);
    for (let j = 0; j < 3; j++) from.trySend(Buffer.from(`${i}${j}`), { transfer: true });
    for (let j = 3; j < 5; j++) from.trySend(Buffer.from(`${i}${j}`), FROZEN);
  }
  await new Promise(setImmediate); // Both are announced.
  const turns: string[] = [];
  while (turns.length < 10) turns.push(...(await pull.receiveMany()).map(String));
  expect(turns).toEqual(["00", "10", "01", "11", "02", "12", "03", "13", "04", "14"]);
});

test("a codec, a limit of the context, an observer, a third argument and a closed socket have their say", async () => {
  const limited = new Context({ engine: "zmtp", maxMessageSize: 10 });
  const push = own(new Push({ context: limited }));
  const pull = own(new Pull({ context: limited }));
  await pull.bind(NAME);
  push.connect(NAME);
  push.trySend(Buffer.from("x"), FROZEN);
  expect(() => push.trySend(Buffer.alloc(11), FROZEN)).toThrow(/maxMessageSize/);
  const call = push.trySend.bind(push) as (...given: unknown[]) => boolean;
  expect(() => call(Buffer.alloc(1), FROZEN, "more")).toThrow(/one message/);
  const observed: number[] = [];
  const observer = (operation: unknown): void => {
    observed.push((operation as { bytes: number }).bytes);
  };
  subscribe("shoal.send.start", observer);
  try {
    expect(push.trySend(Buffer.from("seen"), FROZEN)).toBe(true);
  } finally {
    unsubscribe("shoal.send.start", observer);
  }
  expect(observed).toEqual([4]);
  expect((await pull.receiveMany()).map(String)).toEqual(["x", "seen"]);
  await push.close();
  expect(() => push.trySend(Buffer.from("x"), FROZEN)).toThrow(/closed/);

  const coded = own(new Push({ context, codec: text() }));
  expect(() => coded.trySend(Buffer.from("x") as never, FROZEN)).toThrow();
});
