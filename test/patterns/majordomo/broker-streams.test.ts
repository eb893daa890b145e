/** A broker's rules for answers in pieces, for what waits for clients, and for peers that leave. */
import { beforeEach, describe, expect, it } from "vitest";
import { type AtBroker, Dialect, type Request } from "../../../src/patterns/majordomo/protocol.js";
import { BrokerRig } from "./broker-rig.js";
import { failureOf, readyOf, replyTo, requestOf } from "./messages.js";

const rig = new BrokerRig();
const { make, idOf, hear, hearFrames, sentTo, toldTo, heardBy, results, queued, ids } = rig;

beforeEach(() => make());

const join = (worker: string, dialect: Dialect = Dialect.Shoal, now = 0): void =>
  hear(worker, readyOf(worker, 4, 4, dialect) as AtBroker, now);
const leave = (worker: string): void => hear(worker, { kind: "disconnect", dialect: Dialect.Shoal });
const ask = (client: string, sequence = 1, now = 0): void => hear(client, requestOf(sequence), now);
const grant = (client: string, bytes: number): void => hear(client, { kind: "credit", number: 1, bytes });
const askPlain = (client: string): void => hearFrames(client, 0, "MDPC02", "\x01", "echo", "x");
const deliveryTo = (worker: string): Request =>
  heardBy(worker).find((input) => input.kind === "request") as Request;
const piece = (worker: string, delivery: Request, number: number, body: string | Buffer): void =>
  hear(worker, replyTo(delivery, false, number, body));
const final = (worker: string, delivery: Request, pieces: number, ...body: string[]): void =>
  hear(worker, replyTo(delivery, true, pieces, ...body));
/** A worker has the request of a client. */
const begin = (): Request => {
  join("w");
  ask("c");
  return deliveryTo("w");
};
const fails = (worker: string, { number }: Request, text: string): void =>
  hear(worker, failureOf(number, "worker-failed", text));

describe("an answer in pieces", () => {
  it("tells a client that repeats its request that the answer was broken off", () => {
    const delivery = begin();
    piece("w", delivery, 1, "x");
    for (let i = 0; i < 2; i++) {
      expect(toldTo("c")).toMatchObject([{ kind: "failure", reason: "incomplete" }]);
      ask("c");
    }
    final("w", delivery, 2);
    expect([rig.rules.stats().failed, rig.balance]).toEqual([1, 0]);
  });

  it("has the credit that its client grants; a plain worker is sent none", () => {
    const delivery = begin();
    grant("c", 5_000);
    expect(heardBy("w")).toEqual([{ kind: "credit", number: delivery.number, bytes: 5_000 }]);
    grant("other", 5_000);
    expect(heardBy("w")).toEqual([]);
    make();
    join("w", Dialect.Mdp02);
    ask("c");
    sentTo("w");
    grant("c", 5_000);
    expect(sentTo("w")).toEqual([]);
  });

  it("is granted and cancelled by the lower half of its number", () => {
    join("w");
    for (const sequence of [2 ** 32 + 5, 2 ** 32 - 1]) hear("c", requestOf(sequence, { oldest: 1 }));
    const [first, second] = heardBy("w") as [Request, Request];
    hear("c", { kind: "credit", number: 5, bytes: 1_000 });
    hear("c", { kind: "cancel", number: 2 ** 32 - 1 });
    expect(heardBy("w")).toEqual([
      { kind: "credit", number: first.number, bytes: 1_000 },
      { kind: "cancel", number: second.number },
    ]);
    final("w", first, 0);
    expect(toldTo("c")).toMatchObject([{ kind: "answer", number: 5 }]);
  });

  it("whose credit cannot be sent makes its worker count as lost, and ends with that error", () => {
    piece("w", begin(), 0, "x");
    results.set("w", "full");
    grant("c", 5_000);
    expect(toldTo("c").at(-1)).toMatchObject({ kind: "failure", reason: "worker-lost" });
    expect(rig.rules.stats()).toMatchObject({ workers: 0, inFlight: 0 });
  });
});

describe("what waits for a client", () => {
  it("is bounded in bytes, or one answer: a further one, and one in pieces, is refused past that, and the worker goes on", () => {
    make({ maxClientBytes: 10_000 });
    join("w");
    for (const sequence of [1, 2, 3]) ask("c", sequence);
    const [first, second, third] = heardBy("w") as Request[];
    final("w", first as Request, 0, "x".repeat(6_000));
    queued.set("c", 6_000);
    final("w", second as Request, 0, "y".repeat(6_000));
    expect(toldTo("c")).toMatchObject([
      { kind: "answer" },
      { kind: "failure", number: 2, reason: "slow-reader" },
    ]);
    piece("w", third as Request, 0, "a");
    piece("w", third as Request, 1, "z".repeat(6_000));
    expect(toldTo("c")).toMatchObject([
      { final: false },
      { kind: "failure", number: 3, reason: "slow-reader" },
    ]);
    expect(heardBy("w")).toMatchObject([{ kind: "cancel" }]);
    final("w", third as Request, 2);
    expect(toldTo("c")).toEqual([]);
    expect([rig.rules.stats(), rig.balance]).toMatchObject([
      { answered: 1, failed: 2, repliesDropped: 2, inFlight: 0 },
      0,
    ]);
    queued.set("c", 0);
    ask("c", 4);
    final("w", deliveryTo("w"), 0, "x".repeat(20_000));
    expect(toldTo("c")).toMatchObject([{ kind: "answer", final: true }]);
  });

  it("is bounded in bytes for answers that are repeated, and comes when there is room", () => {
    make({ maxClientBytes: 10_000 });
    final("w", begin(), 0, "x".repeat(6_000));
    expect(toldTo("c")).toMatchObject([{ kind: "answer" }]);
    queued.set("c", 6_000);
    ask("c");
    expect(toldTo("c")).toMatchObject([{ kind: "failure", number: 1, reason: "slow-reader" }]);
    expect(rig.events.at(-1)).toEqual({ type: "reply:dropped", service: "echo", reason: "client-full" });
    queued.set("c", 0);
    ask("c");
    expect(toldTo("c")).toMatchObject([{ kind: "answer" }]);
    expect([rig.rules.stats(), rig.balance]).toMatchObject([
      { requests: 1, answered: 1, repliesDropped: 1 },
      0,
    ]);
  });

  it("is bounded in bytes for the broker's own answers, but for small ones", () => {
    make({ maxClientBytes: 10_000 });
    for (let i = 0; i < 20; i++) {
      const service = Buffer.from(`service ${i}`);
      hear(`w${i}`, { ...readyOf(`w${i}`, 4), service } as AtBroker);
    }
    queued.set("c", 10_000);
    hearFrames("c", 0, "", "MDPC01", "mmi.services", "");
    expect(sentTo("c").map((frames) => frames.slice(-3, -1).map(String))).toEqual([
      ["shoal.error", "slow-reader"],
    ]);
    expect(rig.events.at(-1)).toEqual({
      type: "reply:dropped",
      service: "mmi.services",
      reason: "client-full",
    });
    hearFrames("c", 0, "", "MDPC01", "mmi.service", "service 1");
    expect(String(sentTo("c")[0]?.at(-1))).toBe("200");
    queued.set("c", 0);
    hearFrames("c", 0, "", "MDPC01", "mmi.services", "");
    expect(sentTo("c")[0]?.length).toBeGreaterThan(60);
  });

  it("has no room for one of the broker's own answers: that is counted", () => {
    results.set("c", "full");
    hearFrames("c", 0, "", "MDPC01", "mmi.stats", "");
    expect(rig.events).toEqual([{ type: "reply:dropped", service: "mmi.stats", reason: "client-full" }]);
  });

  it("has no room for a failure: that is counted", () => {
    const delivery = begin();
    piece("w", delivery, 0, "a");
    results.set("c", "full");
    fails("w", delivery, "no such fish");
    expect(rig.events).toContainEqual({ type: "reply:dropped", service: "echo", reason: "client-full" });
    expect([rig.rules.stats(), rig.balance]).toMatchObject([{ failed: 1, repliesDropped: 1 }, 0]);
  });
});

describe("a connection that ends", () => {
  it("of a worker that is back under the same routing id is not that of the new one", () => {
    join("w");
    const former = idOf("w");
    rig.rules.peerLeft(former, 1);
    ids.delete("w");
    join("w");
    rig.rules.peerLeft(former, 2);
    expect(rig.rules.stats().workers).toBe(1);
  });

  it("of a client cancels its answer in pieces at once, and the rest when it has not come back", () => {
    join("w");
    ask("c", 1);
    ask("c", 2);
    const [first] = heardBy("w") as Request[];
    piece("w", first as Request, 0, "a");
    rig.rules.peerLeft(idOf("c"), 10);
    expect(heardBy("w")).toEqual([{ kind: "cancel", number: (first as Request).number }]);
    rig.rules.tick(759);
    expect(heardBy("w")).toEqual([]);
    expect(rig.rules.nextWakeUp()).toBe(760);
    rig.rules.tick(760);
    expect(heardBy("w")).toMatchObject([{ kind: "cancel" }]);
    expect(rig.rules.stats().clients).toBe(0);
  });

  it("of a client that comes back and asks again does not have it handled again", () => {
    const delivery = begin();
    rig.rules.peerLeft(idOf("c"), 10);
    ask("c'", 1, 20);
    rig.rules.tick(5_000);
    expect(heardBy("w").filter(({ kind }) => kind !== "heartbeat")).toEqual([]);
    final("w", delivery, 0, "y");
    expect(toldTo("c'")).toMatchObject([{ kind: "answer", final: true }]);
  });

  it("of a client that comes back under its routing id forgets that it left", () => {
    join("w");
    ask("c");
    rig.rules.peerLeft(idOf("c"), 10);
    ids.delete("c");
    ask("c", 1, 20);
    sentTo("w");
    rig.rules.tick(1_500);
    expect(heardBy("w").filter(({ kind }) => kind === "cancel")).toEqual([]);
    expect(rig.rules.stats().clients).toBe(1);
  });

  it("of a plain client drops what it has in the queue", () => {
    askPlain("gone");
    askPlain("here");
    rig.rules.peerLeft(idOf("gone"), 1);
    join("w");
    expect(heardBy("w")).toHaveLength(1);
    expect([rig.rules.stats(), rig.balance]).toMatchObject([{ abandoned: 1, inFlight: 1, queued: 0 }, 0]);
  });
});

it("a worker that cannot be reached was no delivery", () => {
  make({ maxDeliveries: 2 });
  for (let i = 0; i < 3; i++) {
    join(`gone${i}`);
    results.set(`gone${i}`, i === 1 ? "full" : "gone");
  }
  ask("c");
  expect(rig.rules.stats()).toMatchObject({ workers: 0, queued: 1, redelivered: 0, failed: 0 });
  join("w1");
  leave("w1");
  join("w2");
  expect(heardBy("w2")).toMatchObject([{ kind: "request" }]);
  expect(rig.rules.stats().redelivered).toBe(1);
  leave("w2");
  expect(toldTo("c").at(-1)).toMatchObject({ kind: "failure", reason: "worker-lost" });
});

it("a cancelled answer in pieces ends as abandoned, whatever its worker still says", () => {
  const delivery = begin();
  piece("w", delivery, 0, "a");
  hear("c", { kind: "cancel", number: 1 });
  piece("w", delivery, 5, "b");
  final("w", delivery, 9);
  expect([rig.rules.stats(), rig.balance]).toMatchObject([{ abandoned: 1, failed: 0, inFlight: 0 }, 0]);
});

it("an answer of which a part went to an earlier connection of its client ends as a duplicate, and is cancelled", () => {
  const delivery = begin();
  piece("w", delivery, 0, "x");
  ask("c again");
  expect(toldTo("c again")).toMatchObject([{ kind: "failure", number: 1, reason: "duplicate" }]);
  expect(heardBy("w")).toEqual([{ kind: "cancel", number: delivery.number }]);
});
