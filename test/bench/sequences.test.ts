import { describe, expect, it } from "vitest";
import { Bodies, Checker, expectedChecksum } from "../../bench/bodies.js";
import type { SideReport } from "../../bench/contract.js";
import { Receiving, type Stream } from "../../bench/peers/node/receiving.js";
import type { Side } from "../../bench/peers/node/side.js";
import { MESSAGES, streamsOf } from "../../bench/scenarios/kit.js";
import { OnceChecker, StrideChecker, sumOfChecksums } from "../../bench/sequences.js";
import fc from "../support/properties.js";

const SIZE = 16;
const bodies = new Bodies(SIZE);

/** Streams of n senders, mixed: each sender's in order, the senders in any. */
function mixed(total: number, senders: number, picks: readonly number[]): number[] {
  const next = Array.from({ length: senders }, (_, sender) => sender);
  const order: number[] = [];
  for (let i = 0; order.length < total; i++) {
    const open = next.filter((k) => k < total);
    const k = open[(picks[i % picks.length] as number) % open.length] as number;
    order.push(k);
    next[k % senders] = k + senders;
  }
  return order;
}

describe("messages of several senders", () => {
  it("pass when each sender's are in order, however the senders mix", () => {
    const picks = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 50 });
    const [senders, count] = [fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 80 })];
    fc.assert(
      fc.property(senders, fc.nat(20), count, picks, (n, w, c, p) => {
        const checker = new StrideChecker(SIZE, w, c, n);
        for (const k of mixed(w + c, n, p)) checker.take(bodies.make(k));
        expect(checker.ordered).toBe(true);
        expect(checker.checksum).toBe(expectedChecksum(SIZE, w, c));
      }),
    );
  });

  it("fail when one sender's are swapped, lost, doubled, or beyond the end", () => {
    for (const order of ["2013", "012", "0122", "0124"]) {
      const checker = new StrideChecker(SIZE, 0, 4, 2);
      for (const k of order) checker.take(bodies.make(Number(k)));
      expect(checker.ordered).toBe(false);
    }
  });

  it("have to be long enough for their counter", () => {
    expect(() => new StrideChecker(3, 0, 1, 2)).toThrow("at least 4 bytes; got 3");
    expect(() => new OnceChecker(16, 0, 1).take(Buffer.alloc(15))).toThrow("15 bytes instead of 16");
  });
});

describe("messages that came several ways", () => {
  it("pass in any order", () => {
    const checker = new OnceChecker(SIZE, 1, 3);
    for (const k of [3, 0, 2, 1]) checker.take(bodies.make(k));
    expect(checker.ordered).toBe(true);
    expect(checker.checksum).toBe(expectedChecksum(SIZE, 1, 3));
  });

  it("fail when one is lost, or comes twice", () => {
    for (const order of ["302", "3022"]) {
      const checker = new OnceChecker(SIZE, 1, 3);
      for (const k of order) checker.take(bodies.make(Number(k)));
      expect(checker.ordered).toBe(false);
    }
  });
});

it("the checksum of many streams is the sum of theirs, modulo 2^32", () => {
  expect(sumOfChecksums(["ffffffff", "00000003"])).toBe("00000002");
  const one = expectedChecksum(64, 5, 100);
  expect(streamsOf(500, 64, 5, 100)).toEqual({
    messages: 50_000,
    bytes: 3_200_000,
    checksum: sumOfChecksums(Array.from({ length: 500 }, () => one)),
    ordered: true,
  });
});

it("the deliveries of a fan-out rehearse once, and count what of the warm-up comes after the first warm socket has begun the clock", () => {
  const told: string[] = [];
  const side = {
    size: SIZE,
    warmup: 10,
    count: 3,
    begin: (isRehearsal = false) => told.push(isRehearsal ? "rehearse" : "begin"),
    end: () => told.push("end"),
  };
  const checkers = [0, 1].map(() => new Checker(SIZE, 10));
  const receiving = new Receiving(side as unknown as Side, checkers);
  const [first, second] = receiving.streams as [Stream, Stream];
  const take = (stream: Stream, count: number) => {
    for (let k = stream.seen, end = k + count; k < end; k++) stream.take(bodies.make(k));
  };
  take(second, 4);
  take(first, 9);
  expect([told, first.room, second.room]).toEqual([["rehearse"], 1, 6]);
  take(first, 4);
  expect([told, second.room]).toEqual([["rehearse", "begin"], 6]);
  take(second, 9);
  expect(told).toEqual(["rehearse", "begin", "end"]);
  const checksum = sumOfChecksums([expectedChecksum(SIZE, 10, 3), expectedChecksum(SIZE, 10, 3)]);
  expect(receiving.outcome()).toMatchObject({ messages: 6, checksum, ordered: true, extra: { late: 6 } });
  const costs = { cpuSeconds: 1, peakRss: 0, gcSeconds: null };
  const done = (role: string, messages: number, seconds: number, late = 0): SideReport => {
    const extra = late === 0 ? {} : { extra: { late } };
    return { type: "done", role, index: 0, messages, bytes: messages * SIZE, seconds, ...costs, ...extra };
  };
  const reports = [done("subscriber", 100, 2, 60), done("subscriber", 100, 1), done("publisher", 50, 4)];
  const chosen = { transport: "tcp", size: SIZE, parameters: {} } as const;
  expect(MESSAGES.result(reports, chosen)).toMatchObject({ messagesPerSecond: 130 });
});
