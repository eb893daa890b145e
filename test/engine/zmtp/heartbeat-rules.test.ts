/** The rules of a heartbeat, against generated schedules of a peer that answers, drains slowly or is silent. No clock. */
import { describe, expect, it } from "vitest";
import { Heartbeat, type WriteState } from "../../../src/engine/zmtp/heartbeat.js";
import fc, { forAll } from "../../support/properties.js";

const INTERVAL = 1_000;
const TIMEOUT = 6_000;
/** A step of the simulation, in ms. */
const TICK = 10;

/** What a peer does from some time on: `drains` takes a little of what the kernel holds now and then, and answers nothing. */
type Mode = "answers" | "drains" | "silent";

/** A kernel, its link and the peer's, with the heartbeat of the program above. */
class World {
  now = 0;
  mode: Mode = "answers";
  /** The program that heartbeats does not read. */
  paused = false;
  endedAt: number | undefined;
  pings = 0;
  readonly #rules: Heartbeat;
  readonly link = { blocked: false, taken: 0 };
  #answers: number[] = [];

  constructor(timeout = TIMEOUT) {
    this.#rules = new Heartbeat({ interval: INTERVAL, timeout, timeToLive: 0 }, 0);
  }

  pause(on: boolean): void {
    if (on === this.paused) return;
    this.paused = on;
    if (on) this.#rules.pause();
    else this.#rules.resume(this.now);
  }

  /** The program sends more than the kernel takes. */
  fill(): void {
    this.link.taken += 1_000_000;
    this.link.blocked = true;
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end && this.endedAt === undefined; this.now += TICK) {
      this.#peer();
      this.#program();
    }
  }

  #give(): void {
    if (!this.link.blocked) this.link.taken += 9;
  }

  #peer(): void {
    if (this.mode === "drains" && this.link.blocked && this.now % (TIMEOUT / 2) === 0) this.link.taken += 1;
    if (this.mode !== "answers") return;
    if (this.link.blocked) this.link.taken += 1_000;
    this.link.blocked = false;
    for (const at of this.#answers.splice(0)) if (!this.paused && at <= this.now) this.#rules.heard(this.now);
  }

  #program(): void {
    const link: WriteState = this.link;
    // As the driver does: only when something is due.
    while (this.now >= this.#rules.next) {
      const step = this.#rules.step(this.now, link);
      if (step === undefined) return;
      if (step === "gone") {
        this.endedAt = this.now;
        return;
      }
      this.pings += 1;
      this.#give();
      this.#answers.push(this.now + TICK);
      this.#rules.pinged(this.now, link);
    }
  }
}

/** Periods in which the peer is what it is and the program reads or does not; silence in less than a timeout. */
const life = fc.array(
  fc.record({
    ms: fc.integer({ min: 1, max: 250 }).map((tens) => tens * TICK),
    mode: fc.constantFrom<Mode>("answers", "drains", "silent"),
    fills: fc.boolean(),
    pauses: fc.boolean(),
  }),
  { maxLength: 12 },
);

function live(world: World, stretches: typeof life extends fc.Arbitrary<infer T> ? T : never): void {
  for (const { ms, mode, fills, pauses } of stretches) {
    world.mode = mode;
    world.pause(pauses);
    if (fills) world.fill();
    world.run(ms);
    world.mode = "answers";
    world.run(INTERVAL + 2 * TICK);
  }
  world.pause(false);
}

describe("the rules of a heartbeat", () => {
  it("never give up a peer that is heard of again before the timeout", () => {
    forAll([life], { numRuns: 300, defaultRuns: 100 }, (stretches) => {
      const world = new World();
      live(world, stretches);
      expect(world.endedAt).toBeUndefined();
    });
  });

  it("give up a silent peer one timeout after a PING, whatever was before, with or without full buffers", () => {
    fc.assert(
      fc.property(life, fc.integer({ min: 0, max: 99 }), fc.boolean(), (stretches, wait, fills) => {
        const world = new World();
        live(world, stretches);
        world.mode = "answers";
        world.run(2 * INTERVAL + wait * TICK);
        world.mode = "silent";
        if (fills) world.fill();
        const silent = world.now;
        world.run(10 * TIMEOUT);
        const after = (world.endedAt ?? Number.POSITIVE_INFINITY) - silent;
        // What came last may have answered the PING just before.
        expect(after).toBeGreaterThanOrEqual(TIMEOUT - 2 * TICK);
        expect(after).toBeLessThanOrEqual(INTERVAL + TIMEOUT + 2 * TICK);
      }),
      { numRuns: 300, defaultRuns: 100 },
    );
  });

  it("keep a peer for as long as it takes some of what waits for it, and not longer", () => {
    const world = new World();
    world.run(INTERVAL / 2);
    world.mode = "drains";
    world.fill();
    world.run(100 * TIMEOUT);
    expect(world.endedAt).toBeUndefined();
    world.mode = "silent";
    const silent = world.now;
    world.run(10 * TIMEOUT);
    expect((world.endedAt as number) - silent).toBeLessThanOrEqual(INTERVAL + TIMEOUT);
  });

  it("send no PING to a peer that is heard more often, unless it counts on them", () => {
    const pingsOf = (timeToLive: number): number => {
      const rules = new Heartbeat({ interval: INTERVAL, timeout: TIMEOUT, timeToLive }, 0);
      const link = { blocked: false, taken: 0 };
      let pings = 0;
      for (let now = TICK; now <= 10 * INTERVAL; now += TICK) {
        if (now % (INTERVAL / 2) === 0) rules.heard(now);
        if (now < rules.next || rules.step(now, link) !== "ping") continue;
        rules.pinged(now, link);
        pings += 1;
      }
      return pings;
    };
    expect([pingsOf(0), pingsOf(TIMEOUT)]).toEqual([0, 10]);
  });

  it("never give up a peer with a timeout of 0", () => {
    const world = new World(0);
    world.mode = "silent";
    world.run(100 * TIMEOUT);
    expect([world.endedAt, world.pings]).toEqual([undefined, (100 * TIMEOUT) / INTERVAL - 1]);
  });
});
