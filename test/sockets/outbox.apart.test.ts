import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { frameCost } from "../../src/core/memory.js";
import { OfferResult } from "../../src/engine/engine.js";
import { Context, Push, Router } from "../../src/index.js";
import { collectGarbage } from "../support/collect-garbage.js";
import { FakeEngine } from "../support/fake-engine.js";
import fc, { forAllAsync, type ValueOf } from "../support/properties.js";
import { abortListeners, type Outcome, turn, watch } from "../support/settled.js";

const RUNS = 2_500;
const MAX_PENDING = 4;
const REFUSALS = ["EAGAIN", "ABORT_ERR", "EBADF", "EHOSTUNREACH", "ERR_TOO_MANY_PENDING", "not taken"];

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      timeout: fc.constantFrom(undefined, undefined, -1, 0, 5, 20),
      signal: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("trySend" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.nat(15) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("room" as const), messages: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("verdict" as const),
      result: fc.constantFrom(OfferResult.Unroutable, OfferResult.PeerFull, OfferResult.Mute),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("deliver" as const) }) },
);
const close = fc.record({
  do: fc.constant("close" as const),
  linger: fc.constantFrom(undefined, 0, 10, -1),
});
type Step = ValueOf<typeof step> | ValueOf<typeof close>;
const schedule = fc
  .tuple(
    fc.array(step, { maxLength: 30 }),
    fc.option(close, { nil: undefined }),
    fc.array(step, { maxLength: 6 }),
  )
  .map(([before, end, after]): Step[] => (end === undefined ? before : [...before, end, ...after]));

interface Sent {
  readonly number: number;
  readonly outcome: Outcome<void>;
  readonly controller: AbortController | undefined;
}

/** A socket under a schedule, with what has to hold at every step. */
class Run {
  readonly engine: FakeEngine;
  readonly socket: Router;
  readonly sent: Sent[] = [];
  closing: Outcome<unknown> | undefined;
  #number = 0;

  /** @param onDrop what a listener does in the middle of a drop */
  constructor(
    late: boolean,
    readonly mandatory: boolean,
    sendTimeout: number,
    public onDrop: "nothing" | "abort" | "send" | "close" = "nothing",
  ) {
    this.engine = new FakeEngine(late ? "when-told" : "at-once");
    this.socket = new Router({
      context: new Context({ engine: this.engine }),
      maxPendingSends: MAX_PENDING,
      mandatory,
      sendTimeout,
    });
    this.engine.last.room = 0;
    this.engine.last.peers = 1; // Without a peer or an endpoint no room can come.
    this.socket.events.on("drop", () => this.#dropped());
  }

  #dropped(): void {
    this.checkAccounts();
    if (this.onDrop === "abort") for (const send of this.sent) send.controller?.abort();
    if (this.onDrop === "send" && this.sent.length < 60) this.#send(undefined, false);
    if (this.onDrop === "close") this.#close(0);
  }

  take(step: Step): void {
    const fake = this.engine.last;
    if (step.do === "send") this.#send(step.timeout, step.signal);
    else if (step.do === "trySend") this.#trySend();
    else if (step.do === "abort") this.sent[step.which]?.controller?.abort(new Error("enough"));
    else if (step.do === "pass") vi.advanceTimersByTime(step.ms);
    else if (step.do === "room") fake.room = step.messages;
    else if (step.do === "deliver") this.engine.deliver();
    else if (step.do === "close") this.#close(step.linger);
    else {
      // A mute engine says when it is writable again; a refusal is no such promise.
      fake.verdicts.push(step.result);
      if (fake.room > 0) fake.tellWritable();
    }
  }

  #send(timeout: number | undefined, signal: boolean): void {
    const controller = signal ? new AbortController() : undefined;
    const number = this.#number++;
    const options = {
      ...(timeout === undefined ? {} : { timeout }),
      ...(controller === undefined ? {} : { signal: controller.signal }),
    };
    this.sent.push({
      number,
      controller,
      outcome: watch(this.socket.send(["peer", String(number)], options)),
    });
  }

  #trySend(): void {
    const number = this.#number++;
    const outcome: Outcome<void> = { state: "rejected", code: "not taken" };
    try {
      if (this.socket.trySend(["peer", String(number)])) outcome.state = "fulfilled";
    } catch (error) {
      outcome.code = (error as { code: string }).code;
    }
    this.sent.push({ number, controller: undefined, outcome });
  }

  #close(linger: number | undefined): void {
    this.closing ??= watch(this.socket.close(linger === undefined ? undefined : { linger }));
  }

  accepted(): number[] {
    return this.engine.last.accepted.map((message) => Number((message as string[])[1]));
  }

  checkAccounts(): void {
    const stats = this.socket.stats();
    const dropped = Object.values(stats.dropped).reduce((sum, count) => sum + count, 0);
    expect(stats.sent).toBe(stats.delivered + stats.queued + dropped);
    expect(stats.queued).toBeGreaterThanOrEqual(0);
    expect(stats.queued).toBeLessThanOrEqual(MAX_PENDING);
    expect(stats.delivered).toBe(this.engine.last.accepted.length);
  }

  async checkStep(): Promise<void> {
    this.checkAccounts();
    await turn();
    const accepted = this.accepted();
    for (let i = 1; i < accepted.length; i++) expect(accepted[i]).toBeGreaterThan(accepted[i - 1] as number);
    const last = accepted.at(-1) ?? -1;
    const waiting = this.sent.filter((send) => send.outcome.state === "pending");
    expect(waiting).toHaveLength(this.socket.stats().queued);
    for (const send of waiting) expect(send.number).toBeGreaterThan(last);
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const one of steps) {
      this.take(one);
      await this.checkStep();
    }
    this.onDrop = "nothing";
    this.engine.last.room = Number.POSITIVE_INFINITY;
    this.engine.deliver();
    vi.advanceTimersByTime(100);
    this.#close(0);
    await turn();
    vi.advanceTimersByTime(100);
    await turn();
    const accepted = new Set(this.accepted());
    let ruled = 0;
    for (const { number, outcome, controller } of this.sent) {
      expect(outcome.state, `send ${number}`).not.toBe("pending");
      if (outcome.state === "rejected") {
        expect(REFUSALS).toContain(outcome.code);
        expect(accepted.has(number), `send ${number}: ${outcome.code}, and sent`).toBe(false);
      } else if (!accepted.has(number)) ruled += 1;
      if (controller !== undefined) expect(abortListeners(controller.signal)).toBe(0);
    }
    const { dropped } = this.socket.stats();
    expect(ruled).toBe(this.mandatory ? 0 : dropped.unroutable + dropped["peer-full"]);
    expect(this.closing?.state).toBe("fulfilled");
    expect(vi.getTimerCount()).toBe(0);
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

test("messages leave in the order of their sends, each once, and every promise settles", async () => {
  await forAllAsync(
    [schedule, fc.boolean(), fc.boolean(), fc.constantFrom(-1, 0, 7)],
    { numRuns: RUNS, defaultRuns: 180 },
    (steps, late, mandatory, timeout) => new Run(late, mandatory, timeout).play(steps),
  );
});

test("a listener that sends, aborts or closes in the middle of a drop upsets nothing", async () => {
  await forAllAsync(
    [schedule, fc.boolean(), fc.constantFrom("abort" as const, "send" as const, "close" as const)],
    { numRuns: 500, defaultRuns: 100 },
    (steps, mandatory, onDrop) => new Run(false, mandatory, -1, onDrop).play(steps),
  );
});

describe("an outbox", () => {
  function push(options: object = {}): { socket: Push; engine: FakeEngine } {
    const engine = new FakeEngine();
    return { socket: new Push({ context: new Context({ engine }), ...options }), engine };
  }

  /** One without room, but with a peer. */
  function full() {
    const { socket, engine } = push();
    const fake = engine.last;
    fake.room = 0;
    fake.peers = 1;
    return { socket, fake, offer: fake.offer.bind(fake) };
  }

  test("refuses one whose bytes are more than may wait; one alone may wait, and who leaves makes room", async () => {
    const { socket, engine } = push({ maxPendingSendBytes: 2 * frameCost(50) });
    engine.last.room = 0;
    const abort = new AbortController();
    const [large, more] = [Buffer.alloc(250), Buffer.alloc(50)];
    const outcomes = [watch(socket.send(large, { signal: abort.signal })), watch(socket.send("x"))];
    await turn();
    expect(outcomes.map((outcome) => outcome.code)).toEqual([undefined, "ERR_TOO_MANY_PENDING"]);
    abort.abort();
    await turn();
    outcomes.push(watch(socket.send(more)), watch(socket.send(more)), watch(socket.send("x")));
    await turn();
    expect(outcomes.slice(2).map((outcome) => outcome.code)).toEqual([
      undefined,
      undefined,
      "ERR_TOO_MANY_PENDING",
    ]);
    engine.last.room = 1;
    engine.last.listener.engineOnWritable();
    outcomes.push(watch(socket.send(more)));
    await turn();
    expect(outcomes.at(-1)?.code).toBeUndefined();
    expect(socket.stats()).toMatchObject({ pendingSends: 2 });
    await socket.close();
  });

  test("counts each frame of what waits, the empty ones too", async () => {
    const { socket, engine } = push({ maxPendingSendBytes: 100_000 });
    engine.last.room = 0;
    const message = Array.from({ length: 1_000 }, () => "");
    const outcomes = [watch(socket.send(message)), watch(socket.send(message))];
    await turn();
    expect(outcomes.map((outcome) => outcome.code)).toEqual([undefined, "ERR_TOO_MANY_PENDING"]);
    await socket.close({ linger: 0 });
  });

  test("waits for room and for the engine within one linger together", async () => {
    const { socket, fake } = full();
    const sent = watch(socket.send("late"));
    const closing = watch(socket.close({ linger: 100 }));
    vi.advanceTimersByTime(60);
    await turn();
    expect(fake.closes).toEqual([]);
    fake.room = 1;
    await turn();
    expect(sent.state).toBe("fulfilled");
    expect(fake.closes).toEqual([40]);
    expect(closing.value).toEqual({ flushed: 1, discarded: 0, unknown: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("keeps no more withdrawn messages than it would waiting ones, behind a send that waits", async () => {
    const { socket, engine } = push();
    const fake = engine.last;
    fake.room = 0;
    const first = watch(socket.send("first"));
    const bodies: WeakRef<object>[] = [];
    for (let i = 0; i < 1_000; i++) {
      const body = Buffer.alloc(1);
      bodies.push(new WeakRef(body));
      watch(socket.send(body, { timeout: 1 }));
      vi.advanceTimersByTime(2);
      await turn();
    }
    const last = watch(socket.send("last"));
    await turn();
    collectGarbage();
    expect(bodies.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(100);
    fake.room = 2;
    await turn();
    expect(fake.accepted).toEqual(["first", "last"]);
    expect([first.state, last.state]).toEqual(["fulfilled", "fulfilled"]);
  });

  test("counts a waiting send once that is given up while the engine takes it, and sends the next", async () => {
    const { socket, fake, offer } = full();
    const controller = new AbortController();
    const given = watch(socket.send("a", { signal: controller.signal }));
    const next = watch(socket.send("b"));
    fake.offer = (message) => {
      const result = offer(message);
      controller.abort();
      return result;
    };
    fake.room = 2;
    await turn();
    expect([given.code, next.state]).toEqual(["ABORT_ERR", "fulfilled"]);
    expect(fake.accepted.map(String)).toEqual(["a", "b"]);
    expect(socket.stats().pendingSends).toBe(0);
  });

  test("counts a message that the engine took as delivered, though its send was given up within the offer", async () => {
    const { socket, fake, offer } = full();
    const controller = new AbortController();
    const given = watch(socket.send("a", { signal: controller.signal }));
    fake.offer = (message) => {
      controller.abort();
      return offer(message);
    };
    fake.room = 1;
    await turn();
    expect(given.code).toBe("ABORT_ERR");
    expect(socket.stats()).toMatchObject({ sent: 1, delivered: 1, dropped: { aborted: 0 } });
  });

  test("a message that leaves while its socket closes counts as flushed", async () => {
    const { socket, fake, offer } = full();
    const given = watch(socket.send("a"));
    let closing = Promise.resolve<unknown>(undefined);
    fake.offer = (message) => {
      closing = socket.close({ linger: 0 });
      return offer(message);
    };
    fake.room = 1;
    await turn();
    expect(given.code).toBe("EAGAIN");
    expect(await closing).toEqual({ flushed: 1, discarded: 0, unknown: 0 });
    expect(socket.stats()).toMatchObject({ sent: 1, delivered: 1, dropped: { closed: 0 } });
  });

  test("offers a waiting message once, though a listener within the offer sends and finds room", async () => {
    const { socket, fake, offer } = full();
    const sends = ["a", "b"].map((message) => watch(socket.send(message)));
    fake.offer = (message) => {
      if (message === "a" && sends.length === 2) {
        sends.push(watch(socket.send("c")));
        fake.tellWritable();
      }
      return offer(message);
    };
    fake.room = 4;
    await turn();
    expect(fake.accepted.map(String)).toEqual(["a", "b", "c"]);
    expect(sends.map(({ state }) => state)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    expect(socket.stats()).toMatchObject({ sent: 3, delivered: 3, pendingSends: 0 });
  });

  test("gives up a send whose signal a listener aborts within a refused offer", async () => {
    const { socket, fake, offer } = full();
    const controller = new AbortController();
    fake.offer = (message) => {
      controller.abort();
      return offer(message);
    };
    const outcome = watch(socket.send("a", { signal: controller.signal }));
    await turn();
    expect(outcome.code).toBe("ABORT_ERR");
    expect(socket.stats().pendingSends).toBe(0);
  });

  test("says that it does not know what became of messages when the engine cannot count them", async () => {
    const { socket, engine } = push();
    engine.last.closing = { drained: false, discarded: undefined };
    await socket.send("a");
    expect(await socket.close({ linger: 5 })).toEqual({ flushed: 0, discarded: 0, unknown: 1 });
    expect(engine.last.closes).toEqual([5]);
  });
});
