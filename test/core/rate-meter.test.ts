/** The token buckets: what passes in any period, whatever the schedule. */
import { describe, expect, it } from "vitest";
import { RateMeter } from "../../src/core/rate-meter.js";
import fc, { forAll } from "../support/properties.js";

/** Each step waits, and wants so many messages of so many bytes each. */
const schedule = fc.array(fc.tuple(fc.nat(3_000), fc.integer({ min: 1, max: 500 }), fc.nat(2_000)), {
  minLength: 1,
  maxLength: 80,
});
const rate = fc.record({
  messages: fc.option(fc.integer({ min: 1, max: 1_000 }), { nil: undefined }),
  bytes: fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
});

describe("a rate", () => {
  it("is kept in any period, but for one second's worth and one batch of bytes", () => {
    forAll([schedule, rate], { defaultRuns: 25 }, (steps, limit) => {
      let now = 5_000;
      const meter = new RateMeter(limit, now);
      const passed: { at: number; messages: number; bytes: number }[] = [];
      let largest = 0;
      for (const [gap, wanted, size] of steps) {
        now += gap;
        const messages = Math.min(wanted, meter.messages(now));
        if (messages === 0) continue;
        meter.spend(messages, messages * size);
        largest = Math.max(largest, messages * size);
        passed.push({ at: now, messages, bytes: messages * size });
      }
      for (const [from, { at: begin }] of passed.entries()) {
        let messages = 0;
        let bytes = 0;
        for (const each of passed.slice(from)) {
          messages += each.messages;
          bytes += each.bytes;
          const seconds = (each.at - begin) / 1_000 + 1;
          if (limit.messages !== undefined)
            expect(messages).toBeLessThanOrEqual(limit.messages * seconds + 0.01);
          if (limit.bytes !== undefined)
            expect(bytes).toBeLessThanOrEqual(limit.bytes * seconds + largest + 0.01);
        }
      }
    });
  });

  it("is reached: a message that comes again when the wait is over may pass", () => {
    forAll(
      [rate, fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat(5_000)), { maxLength: 40 })],
      {},
      (limit, wants) => {
        let now = 0;
        let messages = 0;
        let bytes = 0;
        const meter = new RateMeter(limit, now);
        for (const [wanted, size] of wants) {
          now += meter.wait(now);
          const allowed = meter.messages(now);
          expect(allowed).toBeGreaterThanOrEqual(1);
          const taken = Math.min(wanted, allowed);
          meter.spend(taken, taken * size);
          messages += taken;
          bytes += taken * size;
        }
        // No slower than the slower of both rates: what passed, and one message more, need no more time than this.
        const needed =
          Math.max(messages / (limit.messages ?? Infinity), bytes / (limit.bytes ?? Infinity)) * 1_000;
        expect(now).toBeLessThanOrEqual(needed + 0.01);
      },
    );
  });

  it("begins with one message, has a second's worth after a rest, and no more after a long one", () => {
    const meter = new RateMeter({ messages: 100 }, 0);
    expect(meter.messages(0)).toBe(1);
    expect(meter.messages(500)).toBe(51);
    expect(meter.messages(3_600_000)).toBe(100);
  });

  it("that changes keeps the debt, and not more than its own second's worth", () => {
    const meter = new RateMeter({ bytes: 1_000 }, 0);
    meter.spend(1, 10_001);
    meter.change({ bytes: 1_000, messages: 5 }, 0);
    expect(Math.round(meter.wait(0))).toBe(10_001);
    meter.change({ bytes: 100_000, messages: 5 }, 0);
    expect(Math.round(meter.wait(0))).toBe(100);
    const rested = new RateMeter({ messages: 1_000 }, 0);
    expect(rested.messages(10_000)).toBe(1_000);
    rested.change({ messages: 3 }, 10_000);
    expect(rested.messages(10_000)).toBe(3);
  });
});
