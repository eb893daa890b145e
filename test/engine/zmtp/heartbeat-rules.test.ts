/** The rules of a heartbeat, against generated schedules of a peer that is busy, and of a link that is cut. No clock. */
import { describe, expect, it } from "vitest";
import { Heartbeat, type WriteState } from "../../../src/engine/zmtp/heartbeat.js";
import { acknowledges, type SendState } from "../../../src/engine/zmtp/system-silence.js";
import fc from "../../support/properties.js";

const INTERVAL = 1_000;
const TIMEOUT = 1_000;
/** A step of the simulation, in ms. */
const TICK = 10;
/** The kernel's first retransmission, and its first probe, in ms. */
const RTO = 200;
/** Linux answers a probe once in so many ms. */
const PROBE_LIMIT = 500;

/** What a peer does from some time on. */
type Mode = "answers" | "busy" | "mute" | "gone";

/** A kernel, its link and the peer's, with the heartbeat of the program above. */
class World {
  now = 0;
  mode: Mode = "answers";
  /** The program that heartbeats does not read. */
  paused = false;
  endedAt: number | undefined;
  pings = 0;
  samples = 0;
  readonly #rules: Heartbeat;
  readonly #sees: boolean;
  readonly link = { blocked: false, taken: 0 };
  /** Bytes that the kernel has and the peer's system has not acknowledged. */
  #unacknowledged = 0;
  #unanswered = 0;
  #due = 0;
  #rto = RTO;
  #lastAnswer = -PROBE_LIMIT;
  #answers: number[] = [];

  constructor(stallTimeout: number, sees = true, whenIdle = true) {
    this.#rules = new Heartbeat(
      { interval: INTERVAL, whenIdle, timeout: TIMEOUT, stallTimeout, timeToLive: 0 },
      0,
    );
    this.#sees = sees;
  }

  pause(on: boolean): void {
    if (on === this.paused) return;
    this.paused = on;
    if (on) this.#rules.pause();
    else this.#rules.resume(this.now);
  }

  /** The program sends more than the kernel takes. */
  fill(): void {
    this.#give(1_000_000);
    this.link.blocked = true;
  }

  /** The program sends a message, which the peer answers where it does. */
  send(): void {
    if (this.#rules.awaitsSends) this.#rules.sent(this.now);
    if (this.link.blocked) return;
    this.#give(9);
    this.#answers.push(this.now);
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end && this.endedAt === undefined; this.now += TICK) {
      this.#kernel();
      this.#program();
    }
  }

  #give(bytes: number): void {
    if (this.#unacknowledged === 0) this.#due = this.now + this.#rto;
    this.#unacknowledged += bytes;
    this.link.taken += bytes;
  }

  #kernel(): void {
    if (this.#unacknowledged === 0) return;
    const isOpen = this.mode === "answers" || (this.mode === "busy" && !this.link.blocked);
    if (isOpen) {
      // A round trip of less than a tick.
      this.#unacknowledged = 0;
      this.#unanswered = 0;
      this.#rto = RTO;
      if (this.link.blocked) {
        this.link.blocked = false;
        this.link.taken += 1;
      }
      return;
    }
    if (this.now < this.#due) return;
    // A retransmission, or a probe of a closed window: answered by a system that is there, if not too often.
    this.#unanswered += 1;
    this.#rto = Math.min(120_000, this.#rto * 2);
    this.#due = this.now + this.#rto;
    if (this.mode === "gone" || this.now < this.#lastAnswer + PROBE_LIMIT) return;
    this.#lastAnswer = this.now;
    this.#unanswered = 0;
  }

  #state(): SendState | undefined {
    if (!this.#sees) return undefined;
    return {
      unacknowledged: this.#unacknowledged,
      probing: this.link.blocked,
      unanswered: this.#unanswered,
      due: this.#unacknowledged === 0 ? 0 : this.#due - this.now,
    };
  }

  #program(): void {
    const link: WriteState = this.link;
    if (this.mode === "answers") {
      for (const at of this.#answers.splice(0)) if (!this.paused && at <= this.now) this.#rules.heard(0);
    }
    // As the driver does: only when something is due.
    while (this.now >= this.#rules.next) {
      const step = this.#rules.step(this.now, link);
      if (step === undefined) return;
      if (step === "gone") {
        this.endedAt = this.now;
        return;
      }
      if (step === "ping") {
        this.pings += 1;
        if (!link.blocked) {
          this.#give(9);
          this.#answers.push(this.now + TICK);
        }
        this.#rules.pinged(this.now, link);
      } else {
        this.samples += 1;
        this.#rules.sampled(this.now, this.#state());
      }
    }
  }
}

/** Periods in which the peer is what it is and the program reads or does not. */
const life = fc.array(
  fc.record({
    ms: fc.integer({ min: 1, max: 900 }).map((tens) => tens * TICK),
    mode: fc.constantFrom<Mode>("answers", "busy"),
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
  }
  world.pause(false);
}

describe("the rules of a heartbeat", () => {
  it("never give up a peer that answers or is busy, with or without full buffers, for less than the stall time-out", () => {
    fc.assert(
      fc.property(life, (stretches) => {
        const world = new World(9_000 * stretches.length + 1);
        live(world, stretches);
        expect(world.endedAt).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it("give up a host that is gone within two intervals, whatever was before", () => {
    fc.assert(
      fc.property(life, fc.integer({ min: 0, max: 99 }), (stretches, wait) => {
        const world = new World(1_000_000);
        live(world, stretches);
        world.mode = "answers";
        world.run(2_000 + wait * TICK);
        world.mode = "gone";
        const cut = world.now;
        world.run(20_000);
        // Ticks, and a sample that came before the first retransmission.
        expect((world.endedAt ?? Number.POSITIVE_INFINITY) - cut).toBeLessThanOrEqual(
          INTERVAL + TIMEOUT + 10 * TICK,
        );
      }),
      { numRuns: 300 },
    );
  });

  it("give up a host that is gone while its window was closed after as long again, and a little", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_000 }), (tens) => {
        const world = new World(1_000_000);
        world.run(3_000);
        world.mode = "busy";
        world.fill();
        world.run(tens * TICK);
        world.mode = "gone";
        const cut = world.now;
        world.run(200_000);
        const late = (world.endedAt ?? Number.POSITIVE_INFINITY) - cut;
        expect(late).toBeLessThanOrEqual(2 * RTO + tens * TICK + INTERVAL + TIMEOUT + 1_200 + TIMEOUT);
      }),
      { numRuns: 100 },
    );
  });

  it("give up a peer that is busy for longer than the stall time-out, not before", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.integer({ min: 200, max: 3_000 }), (fills, sees, tens) => {
        const stall = tens * TICK;
        const world = new World(stall, sees);
        world.run(3_500);
        world.mode = "busy";
        if (fills) world.fill();
        const since = world.now;
        world.run(100_000);
        const late = (world.endedAt ?? Number.POSITIVE_INFINITY) - since;
        // Where the kernel reports nothing, six time-outs are the most.
        const bound = sees ? stall : Math.min(stall, 6 * TIMEOUT);
        expect(late).toBeGreaterThanOrEqual(bound);
        expect(late).toBeLessThanOrEqual(bound + INTERVAL + TIMEOUT);
      }),
      { numRuns: 100 },
    );
  });

  it("do not run while this side does not read, and start again when it does", () => {
    const world = new World(2_000);
    world.run(1_500);
    world.pause(true);
    world.mode = "busy";
    world.run(60_000);
    expect([world.endedAt, world.samples]).toEqual([undefined, 0]);
    expect(world.pings).toBeGreaterThan(58);
    world.pause(false);
    const since = world.now;
    world.run(10_000);
    expect((world.endedAt as number) - since).toBeGreaterThanOrEqual(2_000);
  });

  it("a PING that was not taken starts nothing but a wait for the kernel, and what the kernel takes ends that", () => {
    const world = new World(3_000);
    world.run(500);
    world.mode = "mute";
    world.fill();
    // A little is taken each two seconds: slow, but alive, for longer than the stall time-out.
    for (let i = 0; i < 10; i++) {
      world.run(2_000);
      world.link.taken += 1;
    }
    expect(world.endedAt).toBeUndefined();
    world.run(10_000);
    expect(world.endedAt).toBeDefined();
  });
});

describe("whether a peer's system acknowledges", () => {
  const state = (change: Partial<SendState>): SendState => ({
    unacknowledged: 100,
    probing: false,
    unanswered: 0,
    due: 1_000,
    ...change,
  });

  it.each<[string, SendState | undefined, SendState, number, string]>([
    ["all is acknowledged", undefined, state({ unacknowledged: 0 }), 0, "yes"],
    ["the window is closed and the last probe answered", undefined, state({ probing: true }), 0, "yes"],
    ["something is on its way", undefined, state({}), 0, "unsure"],
    ["it was sent again, once seen", undefined, state({ unanswered: 3 }), 0, "unsure"],
    ["it is still on its way", state({}), state({}), 900, "unsure"],
    ["it is on its way for too long not to have been sent again", state({}), state({}), 1_000, "yes"],
    [
      "less is on its way",
      state({ unanswered: 1 }),
      state({ unacknowledged: 99, unanswered: 1 }),
      100,
      "yes",
    ],
    ["it was sent again more often", state({ unanswered: 1 }), state({ unanswered: 2 }), 100, "no"],
    ["it was sent again, then acknowledged", state({ unanswered: 2 }), state({ unanswered: 1 }), 100, "yes"],
    [
      "the cable is out, and what was probed for is now sent again",
      state({ probing: true, unanswered: 2 }),
      state({}),
      2_000,
      "unsure",
    ],
    ["the timer runs on", state({ unanswered: 1 }), state({ unanswered: 1, due: 900 }), 100, "no"],
    [
      "its cable is out at this end: each try starts again",
      state({ unanswered: 1, due: 40 }),
      state({ unanswered: 1, due: 500 }),
      100,
      "no",
    ],
    [
      "a probe was answered, and the next was not yet",
      state({ probing: true, unanswered: 1, due: 50 }),
      state({ probing: true, unanswered: 1, due: 1_600 }),
      100,
      "yes",
    ],
    [
      "a probe has no answer yet",
      state({ probing: true, unanswered: 1, due: 800 }),
      state({ probing: true, unanswered: 1, due: 700 }),
      100,
      "no",
    ],
  ])("%s", (_, before, now, elapsed, answer) => {
    expect(acknowledges(before, now, elapsed)).toBe(answer);
  });
});

describe("a heartbeat that sends no PINGs while nothing is sent", () => {
  const quiet = (stallTimeout: number): World => new World(stallTimeout, true, false);

  it("sends none at rest nor while what is sent is answered, and one after the last message", () => {
    const world = quiet(-1);
    world.run(20 * INTERVAL);
    for (let i = 0; i < 30; i++) {
      world.send();
      world.run(INTERVAL / 3);
    }
    expect(world.pings).toBe(0);
    world.run(20 * INTERVAL);
    expect(world.pings).toBe(1);
    expect(world.endedAt).toBeUndefined();
  });

  it("asks a peer that answers a message late, once an interval, until it does", () => {
    const world = quiet(-1);
    world.mode = "busy";
    world.send();
    world.run(4 * INTERVAL + TICK);
    expect(world.pings).toBe(4);
    world.mode = "answers";
    world.run(20 * INTERVAL);
    expect(world.pings).toBe(4);
    expect(world.endedAt).toBeUndefined();
  });

  it("gives up a host that is gone within two intervals of a message, whatever was before, and keeps any other", () => {
    fc.assert(
      fc.property(life, fc.boolean(), (stretches, sends) => {
        const world = quiet(9_000 * stretches.length + 20 * INTERVAL);
        live(world, stretches);
        world.mode = "answers";
        world.send();
        world.run(2 * INTERVAL);
        expect(world.endedAt).toBeUndefined();
        world.mode = "gone";
        const from = world.now;
        if (sends) world.send();
        world.run(4 * INTERVAL);
        if (sends)
          expect((world.endedAt ?? Number.POSITIVE_INFINITY) - from).toBeLessThanOrEqual(
            2 * INTERVAL + RTO + TICK,
          );
        else expect(world.endedAt).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it("gives up one that is gone since an answer, for the message after that", () => {
    const world = quiet(-1);
    world.send();
    world.run(INTERVAL / 2);
    world.mode = "gone";
    world.send();
    world.run(4 * INTERVAL);
    expect(world.endedAt).toBeLessThanOrEqual(3 * INTERVAL);
  });

  it("gives it up, too, where what came after a message answers an earlier one", () => {
    const world = quiet(-1);
    world.send();
    world.mode = "gone";
    world.send();
    world.mode = "answers";
    world.run(TICK);
    world.mode = "gone";
    world.run(4 * INTERVAL);
    expect(world.endedAt).toBeLessThanOrEqual(2 * INTERVAL + RTO + TICK);
  });

  it("asks after a pause of this side's, since what was owed before is not known", () => {
    const world = quiet(-1);
    world.mode = "gone";
    world.send();
    world.pause(true);
    world.run(INTERVAL / 2);
    world.pause(false);
    world.run(4 * INTERVAL);
    expect(world.endedAt).toBeDefined();
  });
});

it("has what a peer owes from a PING on, until something comes", () => {
  const options = { interval: INTERVAL, whenIdle: true, timeout: TIMEOUT, stallTimeout: -1, timeToLive: 0 };
  const rules = new Heartbeat(options, 0);
  const link = { blocked: false, taken: 10 };
  expect(rules.owedSince).toBeUndefined();
  expect(rules.step(INTERVAL, link)).toBe("ping");
  rules.pinged(INTERVAL, link);
  expect(rules.owedSince).toBe(INTERVAL);
  rules.heard(0);
  expect(rules.owedSince).toBeUndefined();
});
