/** Generated schedules of an inbox. They end with no timer left, so no other file may make one in this process. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Context, Pull, text } from "../../src/index.js";
import { FakeEngine } from "../support/fake-engine.js";
import fc, { forAllAsync, type ValueOf } from "../support/properties.js";
import { abortListeners, type Outcome, turn, watch } from "../support/settled.js";

const RUNS = 2_500;
const MAX_PENDING = 4;
/** A frame that is no UTF-8: the text codec refuses it. */
const INVALID = Buffer.from([0xff]);

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("arrive" as const),
      messages: fc.array(
        fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("receive" as const),
      max: fc.nat(3),
      timeout: fc.constantFrom(undefined, undefined, -1, 0, 5, 20),
      signal: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.nat(15) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("deliver" as const) }) },
);
type Step = ValueOf<typeof step> | { do: "close" };
const schedule = fc
  .tuple(fc.array(step, { maxLength: 30 }), fc.boolean(), fc.array(step, { maxLength: 5 }))
  .map(([before, closes, after]): Step[] => (closes ? [...before, { do: "close" }, ...after] : before));

interface Received {
  readonly outcome: Outcome<unknown>;
  readonly controller: AbortController | undefined;
  readonly max: number;
}

class Run {
  readonly engine: FakeEngine;
  readonly socket: Pull<string>;
  readonly calls: Received[] = [];
  readonly arrived: number[] = [];
  #number = 0;

  /** @param onInvalid what a listener does when it hears of an invalid message */
  constructor(
    late: boolean,
    receiveTimeout: number,
    public onInvalid: "nothing" | "abort" | "receive" | "close" = "nothing",
  ) {
    this.engine = new FakeEngine(late ? "when-told" : "at-once");
    this.socket = new Pull({
      context: new Context({ engine: this.engine }),
      codec: text(),
      maxPendingReceives: MAX_PENDING,
      receiveTimeout,
    });
    this.socket.events.on("invalid", () => {
      if (this.onInvalid === "abort") for (const call of this.calls) call.controller?.abort();
      if (this.onInvalid === "receive" && this.calls.length < 60) this.#receive(1, undefined, false);
      if (this.onInvalid === "close") void this.socket.close();
    });
  }

  take(step: Step): void {
    if (step.do === "arrive")
      this.engine.last.arrive(...step.messages.map((valid) => [valid ? this.#valid() : INVALID]));
    else if (step.do === "receive") this.#receive(step.max, step.timeout, step.signal);
    else if (step.do === "abort") this.calls[step.which]?.controller?.abort();
    else if (step.do === "pass") vi.advanceTimersByTime(step.ms);
    else if (step.do === "deliver") this.engine.deliver();
    else void this.socket.close();
  }

  #valid(): Buffer {
    this.arrived.push(this.#number);
    return Buffer.from(String(this.#number++));
  }

  #receive(max: number, timeout: number | undefined, signal: boolean): void {
    const controller = signal ? new AbortController() : undefined;
    const options = {
      ...(timeout === undefined ? {} : { timeout }),
      ...(controller === undefined ? {} : { signal: controller.signal }),
    };
    const promise: Promise<unknown> =
      max === 0 ? this.socket.receive(options) : this.socket.receiveMany({ ...options, max });
    this.calls.push({ outcome: watch(promise), controller, max });
  }

  /** What the calls got, in the order of the calls. */
  got(): number[] {
    return this.calls.flatMap(({ outcome, max }) => {
      if (outcome.state !== "fulfilled") return [];
      const messages = (max === 0 ? [outcome.value] : outcome.value) as [string][];
      expect(messages.length).toBeLessThanOrEqual(Math.max(1, max));
      expect(messages.length).toBeGreaterThan(0);
      return messages.map(([body]) => Number(body));
    });
  }

  async check(): Promise<void> {
    await turn();
    // What a listener called in that turn is refused in the next.
    if (this.onInvalid === "receive") await turn();
    const left = this.engine.last.incoming
      .filter(([frame]) => frame !== INVALID)
      .map((frames) => Number(frames[0]));
    expect([...this.got(), ...left]).toEqual(this.arrived);
    const stats = this.socket.stats();
    const pending = this.calls.filter(({ outcome }) => outcome.state === "pending");
    expect(stats.pendingReceives).toBe(pending.length);
    expect(pending.length).toBeLessThanOrEqual(MAX_PENDING);
    expect(stats.received).toBe(this.arrived.length - left.length);
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const one of steps) {
      this.take(one);
      await this.check();
    }
    this.onInvalid = "nothing";
    this.engine.deliver();
    await this.check();
    vi.advanceTimersByTime(100);
    await this.socket.close();
    await turn();
    for (const [index, { outcome, controller }] of this.calls.entries()) {
      expect(outcome.state, `call ${index}`).not.toBe("pending");
      if (outcome.state === "rejected")
        expect(["EAGAIN", "ABORT_ERR", "EBADF", "ERR_TOO_MANY_PENDING"]).toContain(outcome.code);
      if (controller !== undefined) expect(abortListeners(controller.signal)).toBe(0);
    }
    expect(vi.getTimerCount()).toBe(0);
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

test("calls get all messages once and in order, and what is aborted or late loses none", async () => {
  await forAllAsync(
    [schedule, fc.boolean(), fc.constantFrom(-1, 0, 7)],
    { numRuns: RUNS, defaultRuns: 130 },
    (steps, late, timeout) => new Run(late, timeout).play(steps),
  );
});

test("a listener that receives, aborts or closes on an invalid message loses none", async () => {
  await forAllAsync(
    [schedule, fc.boolean(), fc.constantFrom("abort" as const, "receive" as const, "close" as const)],
    { numRuns: 500, defaultRuns: 60 },
    (steps, late, onInvalid) => new Run(late, -1, onInvalid).play(steps),
  );
});
