/** Answers to one-to-one messages: those that are lost with a node that only stood still are given again. */
import { expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { MAX_DIRECT_FAULTS, MAX_UNREAD_FAULTS } from "../../../src/cluster/messaging/bounds.js";
import { DirectResults, DirectSends } from "../../../src/cluster/messaging/direct-sends.js";
import { DirectFault, encodeResult, ItemReader } from "../../../src/cluster/messaging/items.js";
import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import { simulate } from "../../../src/testing/index.js";

const KEY = "01234567890123456789012345678901234567ab";

/** A link to a node that may have no room. */
class Room {
  isFull = false;
  isGone = false;
  dropped = 0;
  readonly answers: Buffer[] = [];
  readonly waiting: { send: () => SendResult; over: (value: unknown) => void }[] = [];
  readonly results = new DirectResults({
    send: (_, item) => {
      if (this.isGone) return "unreachable";
      if (this.isFull) return "full";
      this.answers.push(item);
      return "sent";
    },
    mustWait: () => this.waiting.length > 0,
    wait: (_, send) => new Promise((over) => this.waiting.push({ send, over })),
    dropped: () => {
      this.dropped += 1;
    },
  });

  make(): void {
    this.isFull = false;
    for (const { send, over } of this.waiting.splice(0)) over(send());
  }
}

/** Gives a sender an answer as it came. */
function give(sends: DirectSends, item: Buffer | undefined): void {
  const reader = new ItemReader();
  reader.start(item as Buffer, 1);
  expect(sends.onResult("b", reader)).toBe(true);
}

it("an answer that was lost with its node is given again when that is back, with what failed, once", async () => {
  const answers: Buffer[] = [];
  const results = new DirectResults({
    send: (_, item) => {
      answers.push(item);
      return "sent";
    },
    mustWait: () => false,
    wait: () => Promise.reject(new Error("there is room")),
    dropped: () => undefined,
  });
  const sends = new DirectSends();
  const arrived = sends.add("b", Infinity, () => undefined);
  const failed = expect(sends.add("b", Infinity, () => undefined)).rejects.toMatchObject({
    code: "EHOSTUNREACH",
  });
  results.handled("a", 1, 0);
  results.handled("a", 2, DirectFault.CLOSED);
  await Promise.resolve();
  expect(answers.splice(0)).toHaveLength(1);
  results.found("a");
  results.lost("a");
  expect(answers).toEqual([]);
  results.found("a");
  results.found("a");
  expect(answers).toHaveLength(1);
  give(sends, answers[0]);
  await arrived;
  await failed;
  // The sender has forgotten this node since, and begins again.
  sends.forget("b");
  void sends.add("b", Infinity, () => undefined);
  give(sends, answers[0]);
  expect(sends.count).toBe(1);
});

it("one answer waits for a node that reads none, and says all of them when it goes: what failed as well, however many", async () => {
  const room = new Room();
  const sends = new DirectSends();
  const settled: Promise<string>[] = [];
  room.isFull = true;
  const expected: string[] = [];
  for (let number = 1; number <= 3_000; number++) {
    const sent = sends.add("b", Infinity, () => undefined);
    settled.push(
      sent.then(
        () => "",
        ({ code }: { code: string }) => code,
      ),
    );
    const isFailed = number > 10 && number % 50 !== 0;
    expected.push(isFailed ? "EHOSTUNREACH" : "");
    room.results.handled("a", number, isFailed ? DirectFault.CLOSED : 0);
    if (number % 7 === 0) await Promise.resolve();
  }
  await Promise.resolve();
  expect(room.waiting).toHaveLength(1);
  room.make();
  expect(room.answers).toHaveLength(3);
  for (const answer of room.answers.splice(0)) give(sends, answer);
  expect(await Promise.all(settled)).toEqual(expected);
  expect([sends.count, room.dropped]).toEqual([0, 0]);
  // It has room again, within the same turn.
  room.results.handled("a", 3_001, 0);
  await Promise.resolve();
  expect(room.answers).toHaveLength(1);
});

it("failures that a node does not read are kept up to a bound, the latest, and those past it are counted", async () => {
  const room = new Room();
  room.isFull = true;
  for (let number = 1; number <= 2 * MAX_UNREAD_FAULTS; number++)
    room.results.handled("a", number, DirectFault.CLOSED);
  expect(room.dropped).toBe(MAX_UNREAD_FAULTS / MAX_DIRECT_FAULTS);
  room.make();
  expect(room.answers).toHaveLength(MAX_UNREAD_FAULTS / MAX_DIRECT_FAULTS);
});

it("an answer that waited, and was given up with the link, is given when the node is back", async () => {
  const room = new Room();
  room.isFull = true;
  room.results.handled("a", 1, DirectFault.CLOSED);
  await Promise.resolve();
  // It is back before the wait has settled.
  room.results.lost("a");
  room.results.found("a");
  expect(room.answers).toEqual([]);
  room.isFull = false;
  for (const { over } of room.waiting.splice(0)) over("unreachable");
  await Promise.resolve();
  expect(room.answers).toHaveLength(1);
  // And the same where it is back afterwards.
  room.isFull = true;
  room.results.handled("a", 2, DirectFault.CLOSED);
  await Promise.resolve();
  room.isGone = true;
  room.results.lost("a");
  for (const { over } of room.waiting.splice(0)) over("unreachable");
  await Promise.resolve();
  expect(room.answers).toHaveLength(1);
  room.isGone = false;
  room.isFull = false;
  room.results.found("a");
  expect(room.answers[1]).toEqual(encodeResult(2, [1, DirectFault.CLOSED, 2, DirectFault.CLOSED]));
});

it("a message of a node that stood still, and was lost by the recipient's alone, settles when it goes on", async () => {
  await simulate({ seed: 1 }, async (world) => {
    const nodes: ClusterNode[] = [];
    for (const name of ["a", "b"])
      await world.node(name).start(async () => {
        const made = new ClusterNode({ name, scope: "link", key: KEY });
        nodes.push(made);
        await made.start();
      });
    const [a, b] = nodes as [ClusterNode, ClusterNode];
    await world.until(() => a.members().length === 2 && b.members().length === 2, 2_000);
    // The links are idle, and close.
    await world.advance(100_000);
    const states: string[] = [];
    for (const type of ["lost", "back"] as const) {
      a.events.on(type, () => void states.push(`a ${type}`));
      b.events.on(type, () => void states.push(`b ${type}`));
    }
    const settled = world.node("a").run(async () => {
      await a.sendTo(a.resolve("b@b")[0] as never, "x", { timeout: 60_000 });
      states.push("settled");
    });
    // The recipient's node has it, and dials to answer.
    await world.until(() => b.stats().messaging?.links.peers[0]?.state === "connecting", 100);
    world.node("a").stall();
    await world.until(() => states.length === 1, 10_000);
    world.node("a").resume();
    await world.until(() => states.length === 3, 2_000);
    expect(states).toEqual(["b lost", "b back", "settled"]);
    await settled;
  });
});
