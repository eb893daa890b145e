/** A message that is sent, for which the process has no memory: the call fails with a code, and nothing of it stays behind. */
import { afterEach, expect, it, vi } from "vitest";
import type { Pull, Push } from "../../../src/index.js";
import { until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

const world = new World("zmtp", "tcp");
const MIB = 1_048_576;
const LARGE = Buffer.alloc(2 * MIB);
const NO_MEMORY = { name: "TransportError", code: "ENOMEM" };

afterEach(() => void vi.restoreAllMocks());

/** What is larger than a mebibyte finds no memory, while `during` runs. */
async function withoutMemory<T>(during: () => T | Promise<T>): Promise<T> {
  const { allocUnsafeSlow, from } = Buffer;
  const fail = (): never => {
    throw new RangeError("Array buffer allocation failed");
  };
  const slow = vi
    .spyOn(Buffer, "allocUnsafeSlow")
    .mockImplementation((size) => (size > MIB ? fail() : allocUnsafeSlow(size)));
  const copies = vi
    .spyOn(Buffer, "from")
    .mockImplementation(((value: string | Uint8Array, ...rest: []) =>
      value.length > MIB ? fail() : from(value as string, ...rest)) as typeof Buffer.from);
  try {
    return await during();
  } finally {
    slow.mockRestore();
    copies.mockRestore();
  }
}

async function receiveTexts(pull: Pull, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) texts.push(String((await pull.receive({ timeout: 8_000 }))[0]));
  return texts;
}

function counts(push: Push) {
  const { sent, bytesSent, delivered, queued, pendingSends } = push.stats();
  return { sent, bytesSent, accepted: delivered + queued, pendingSends };
}

it("a copy that finds none rejects send and throws from trySend; the next message is whole", async () => {
  const [pull, push] = [world.pull(), world.push()];
  await world.link(pull, push);
  await push.send("first");
  await withoutMemory(async () => {
    let sending: Promise<void> | undefined;
    expect(() => {
      sending = push.send(["head", LARGE], { copy: true });
    }).not.toThrow();
    await expect(sending).rejects.toMatchObject(NO_MEMORY);
    expect(() => push.trySend(["head", LARGE], { copy: true })).toThrow(expect.objectContaining(NO_MEMORY));
  });
  expect(counts(push)).toEqual({ sent: 1, bytesSent: 5, accepted: 1, pendingSends: 0 });
  await push.send("next");
  expect(await receiveTexts(pull, 2)).toEqual(["first", "next"]);
});

it("one that would have to wait is refused, and holds no place, no time-out and no signal", async () => {
  const push = world.push();
  const { signal } = new AbortController();
  await withoutMemory(() =>
    expect(push.send(LARGE, { copy: true, signal, timeout: 10_000 })).rejects.toMatchObject(NO_MEMORY),
  );
  expect(counts(push)).toEqual({ sent: 0, bytesSent: 0, accepted: 0, pendingSends: 0 });
});

it("one that waited for its peer is refused when the peer comes, and those behind it go", async () => {
  const push = world.push();
  const text = "x".repeat(2 * MIB);
  const sends = ["first", text, "next"].map((message) => push.send(message));
  const ends = Promise.allSettled(sends);
  expect(push.stats().pendingSends).toBe(3);
  const pull = world.pull();
  const [, refused] = await withoutMemory(async () => {
    await world.link(pull, push);
    return ends;
  });
  expect(refused).toMatchObject({ status: "rejected", reason: NO_MEMORY });
  expect(counts(push)).toEqual({ sent: 2, bytesSent: 9, accepted: 2, pendingSends: 0 });
  expect(await receiveTexts(pull, 2)).toEqual(["first", "next"]);
});

it("a reply that finds none leaves the request to be answered", async () => {
  const [reply, request] = [world.reply(), world.request()];
  await world.link(reply, request);
  await request.send("question");
  await reply.receive({ timeout: 8_000 });
  await withoutMemory(() => expect(reply.send(LARGE, { copy: true })).rejects.toMatchObject(NO_MEMORY));
  await reply.send("answer");
  expect(String(await request.receive({ timeout: 8_000 }))).toBe("answer");
});

it("a newer message that finds none does not take the place of the one that waits", async () => {
  const push = world.push({ conflate: true });
  const pull = world.pull();
  const endpoint = await world.bind(pull);
  push.connect(endpoint);
  await push.send("older");
  await withoutMemory(() => expect(push.send(LARGE, { copy: true })).rejects.toMatchObject(NO_MEMORY));
  await until(() => push.stats().delivered === 1, "the older one to be delivered");
  expect(await receiveTexts(pull, 1)).toEqual(["older"]);
  expect(push.stats().dropped.conflated).toBe(0);
});
