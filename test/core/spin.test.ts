import { describe, expect, test } from "vitest";
import { Spin } from "../../src/core/spin.js";

/** A loop whose turns take `turnTime` ms of processor time, and a system that gives it a share of the core. */
class Loop {
  now = 1_000;
  turns = 0;
  share = 1;
  #used = 0;
  #due: (() => void)[] = [];
  readonly #turnTime: number;
  readonly spin = new Spin({
    now: () => this.now,
    nextTurn: (callback) => void this.#due.push(callback),
    processorTime: () => this.#used,
  });

  constructor(turnTime = 0.005) {
    this.#turnTime = turnTime;
  }

  get isPolling(): boolean {
    return this.#due.length > 0;
  }

  /** Time passes; the loop polls as long as it wants to. @returns ms for which it did */
  pass(ms: number): number {
    const [end, before] = [this.now + ms, this.turns];
    while (this.isPolling && this.now < end) {
      this.now += this.#turnTime / this.share;
      this.#used += this.#turnTime;
      this.turns += 1;
      for (const callback of this.#due.splice(0)) callback();
    }
    this.now = Math.max(this.now, end);
    return ((this.turns - before) * this.#turnTime) / this.share;
  }

  /** A message comes after `gap` ms of waiting. @returns ms for which the loop polled */
  message(gap: number): number {
    this.spin.waits();
    const polled = this.pass(gap);
    this.spin.came();
    return polled;
  }
}

describe("a loop that polls", () => {
  test("does so without a break while messages come at short intervals, and ends a millisecond after the last", () => {
    const loop = new Loop();
    for (let n = 0; n < 1_000; n++) {
      loop.message(0.05);
      expect(loop.isPolling).toBe(true);
    }
    loop.spin.waits();
    expect(loop.pass(1_000)).toBeLessThan(1.1);
    expect(loop.isPolling).toBe(false);
  });

  test("costs nothing where messages come seldom, and polls again once one came soon", () => {
    const loop = new Loop();
    for (let n = 0; n < 3; n++) loop.message(10);
    let polled = 0;
    for (let n = 0; n < 1_000; n++) polled += loop.message(10);
    expect(polled).toBe(0);
    expect(loop.message(0.1)).toBe(0);
    expect(loop.message(0.1)).toBeGreaterThan(0.09);
  });

  test("costs nothing where waits end without a message, as by a time-out, and polls again once one came soon", () => {
    const loop = new Loop();
    let polled = 0;
    for (let n = 0; n < 1_000; n++) {
      loop.spin.waits();
      polled += loop.pass(10);
    }
    expect(polled).toBeLessThan(5);
    loop.message(0.1);
    expect(loop.message(0.1)).toBeGreaterThan(0.09);
  });

  test("leaves a core that others want for a second after 50 ms, and comes back when it is free", () => {
    const loop = new Loop();
    loop.share = 0.5;
    let polled = 0;
    const rounds = 200_000;
    for (let n = 0; n < rounds; n++) polled += loop.message(0.1);
    expect(polled).toBeGreaterThan(0);
    expect(polled / (rounds * 0.1)).toBeLessThan(0.06);
    loop.share = 1;
    for (let n = 0; n < 100_000; n++) loop.message(0.1);
    expect(loop.message(0.1)).toBeGreaterThan(0.09);
  });

  test("goes on where the system needs the core for a moment now and then", () => {
    const loop = new Loop();
    loop.share = 0.97;
    let polled = 0;
    for (let n = 0; n < 20_000; n++) polled += loop.message(0.1);
    expect(polled).toBeGreaterThan(20_000 * 0.09);
  });
});
