/** Names of threads as rules: several simulated threads whose words arrive in any order between them. */
import { describe, it, test } from "vitest";
import {
  ANSWER_WAIT,
  ThreadNames,
  type ThreadWire,
  type ThreadWord,
} from "../../../../src/engine/zmtp/threads/thread-names.js";
import type { Description, MessagePortLike } from "../../../../src/engine/zmtp/threads/thread-port.js";
import fc from "../../../support/properties.js";
import { expect } from "../../../support/quick-expect.js";

const DESCRIPTION: Description = { socketType: "PULL", identity: new Uint8Array(0), property: undefined };

/** One end of a channel between two threads. */
class FakePort {
  closed = false;
  constructor(readonly owner: FakeThread) {}
  other: FakePort | undefined;
}

/** All threads of a process: words wait until they are delivered. */
class FakeProcess {
  readonly threads: FakeThread[] = [];
  now = 0;
  ids = 0;
  readonly places = new Map<
    string,
    { thread: FakeThread; onPort: (port: MessagePortLike, description: unknown) => void }
  >();
  readonly timers = new Set<{ at: number; run: () => void; thread: FakeThread }>();

  start(isMain = this.threads.length === 0): FakeThread {
    const thread = new FakeThread(this, isMain);
    this.threads.push(thread);
    thread.begin();
    return thread;
  }

  /** Delivers all words and runs timers until nothing is left to do. */
  settle(limit = 5_000): void {
    for (let step = 0; step < limit; step++) {
      const ready = this.threads.filter((thread) => thread.alive && thread.queue.length > 0);
      if (ready.length > 0) {
        for (const thread of ready) thread.turn();
        continue;
      }
      const [next] = [...this.timers].filter(({ thread }) => thread.alive).sort((a, b) => a.at - b.at);
      if (next === undefined) return;
      this.timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    throw new Error("the threads do not come to rest");
  }
}

class FakeThread implements ThreadWire {
  readonly handsOver = true;
  readonly thread: number;
  readonly mayHaveOthers: boolean;
  readonly queue: ThreadWord[] = [];
  readonly bound = new Set<string>();
  /** Ports that came to names bound here. */
  readonly accepted: FakePort[] = [];
  /** Its event loop turns. */
  busy = false;
  alive = true;
  names!: ThreadNames;

  constructor(
    readonly process: FakeProcess,
    isMain: boolean,
  ) {
    this.thread = process.threads.length;
    this.mayHaveOthers = !isMain;
  }

  begin(): void {
    this.names = new ThreadNames(this, {
      isBound: (name) => this.bound.has(name),
      describe: (name) => (this.bound.has(name) ? DESCRIPTION : undefined),
      accepted: (_, port) => this.accepted.push(port as unknown as FakePort),
    });
  }

  /** @returns whether it could */
  bind(name: string, rank?: number): boolean {
    if (this.bound.has(name) || this.names.isTaken(name, rank)) return false;
    this.bound.add(name);
    this.names.announce(name);
    return true;
  }

  /** While the event loop goes on. */
  bindLater(name: string, rank?: number): { bound: boolean | undefined } {
    const outcome: { bound: boolean | undefined } = { bound: undefined };
    const done = (taken: boolean): void => {
      outcome.bound = !taken;
      if (taken) return;
      this.bound.add(name);
      this.names.announce(name);
    };
    this.names.ask(name, done, rank);
    return outcome;
  }

  post(word: ThreadWord): void {
    for (const thread of this.process.threads) if (thread !== this && thread.alive) thread.queue.push(word);
  }

  /** Handles the next word. */
  turn(): void {
    const word = this.queue.shift();
    if (word !== undefined) this.names.receive(word);
  }

  receive(place: string, onPort: (port: MessagePortLike, description: unknown) => void): () => void {
    this.process.places.set(place, { thread: this, onPort });
    return () => this.process.places.delete(place);
  }

  handOver(place: string, description: Description): MessagePortLike | undefined {
    const waiting = this.process.places.get(place);
    if (waiting === undefined || !waiting.thread.alive) return undefined;
    this.process.places.delete(place);
    const [near, far] = [new FakePort(this), new FakePort(waiting.thread)];
    near.other = far;
    far.other = near;
    waiting.onPort(far as unknown as MessagePortLike, description);
    return near as unknown as MessagePortLike;
  }

  /** Those that are not busy handle what came meanwhile; this one what cannot reach the program. */
  standStill(memory: Int32Array, seen: number, ms: number): void {
    for (const thread of this.process.threads) {
      if (thread === this || !thread.alive || thread.busy) continue;
      while (thread.queue.length > 0) thread.turn();
    }
    const later: ThreadWord[] = [];
    for (const word of this.queue.splice(0)) {
      if (word.kind === "ask" || word.kind === "hello" || word.kind === "here") this.names.receive(word);
      else later.push(word);
    }
    this.queue.unshift(...later);
    if (Atomics.load(memory, 0) === seen) this.process.now += Math.min(1, ms);
  }

  now(): number {
    return this.process.now;
  }

  setTimer(onTime: () => void, ms: number): () => void {
    const timer = { at: this.process.now + ms, run: onTime, thread: this };
    this.process.timers.add(timer);
    return () => this.process.timers.delete(timer);
  }

  newId(): string {
    this.process.ids += 1;
    return String(this.process.ids);
  }
}

/** A socket that looks for a name. */
function seek(thread: FakeThread, name: string): { readonly ports: FakePort[]; readonly cancel: () => void } {
  const ports: FakePort[] = [];
  return { ports, cancel: thread.names.seek(name, (port) => ports.push(port as unknown as FakePort), true) };
}

describe("a name", () => {
  it("that another thread has bound is found, and one that is bound later, too", () => {
    const process = new FakeProcess();
    const [main, worker, other] = [process.start(), process.start(), process.start()];
    expect(main.bind("a")).toBe(true);
    const [early, late] = [seek(worker, "a"), seek(other, "b")];
    process.settle();
    expect(early.ports.map(({ other }) => other?.owner)).toEqual([main]);
    expect(late.ports).toEqual([]);
    expect(worker.bind("b")).toBe(true);
    process.settle();
    expect(late.ports.map(({ other }) => other?.owner)).toEqual([worker]);
    expect(worker.accepted).toHaveLength(1);
  });

  it("that is bound is refused to other threads, and free when it is unbound", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    expect(main.bind("a")).toBe(true);
    expect(worker.bind("a")).toBe(false);
    main.bound.delete("a");
    expect(worker.bind("a")).toBe(true);
    process.settle();
    expect(main.bind("a")).toBe(false);
  });

  it("is bound without asking in a program of one thread", () => {
    const process = new FakeProcess();
    expect(process.start().bind("a")).toBe(true);
    expect(process.now).toBe(0);
  });

  it("is not waited for longer than a while where a thread is busy, and no more once it has ended", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    worker.busy = true;
    expect(main.bind("a")).toBe(true);
    expect(process.now).toBe(ANSWER_WAIT);
    worker.alive = false;
    // Others may be there that make themselves known meanwhile.
    expect(main.bind("b")).toBe(true);
    expect(process.now).toBe(2 * ANSWER_WAIT);
    expect(main.bind("c")).toBe(true);
    expect(process.now).toBe(2 * ANSWER_WAIT);
  });

  it("that another thread has bound is refused right after a bind that a third thread, which had ended, did not answer", () => {
    const process = new FakeProcess();
    const [main, ended, other] = [process.start(), process.start(), process.start()];
    process.settle();
    expect(other.bind("b")).toBe(true);
    ended.alive = false;
    expect(main.bind("a")).toBe(true);
    expect(main.bind("b")).toBe(false);
  });

  it("that a slow thread has bound is refused to a new thread whose first bind another one refused at once", () => {
    const process = new FakeProcess();
    const [main, slow] = [process.start(), process.start()];
    process.settle();
    main.bound.add("a");
    slow.bound.add("b");
    slow.busy = true;
    const worker = process.start();
    expect(worker.bind("a")).toBe(false);
    const still = worker.standStill.bind(worker);
    worker.standStill = (memory, seen, ms) => {
      still(memory, seen, ms);
      slow.busy = false; // From the second look on it answers.
    };
    expect(worker.bind("b")).toBe(false);
  });

  it("of a thread that was busy is known again when it is no longer", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    worker.bound.add("b");
    worker.busy = true;
    main.bind("a");
    worker.busy = false;
    process.settle();
    expect(main.bind("b")).toBe(false);
  });

  it.each([
    ["before", true],
    ["after", false],
  ])("of a thread that ended before it handed over is looked for again; bound %s the seeker knows", (_, before) => {
    const process = new FakeProcess();
    const [main, worker, other] = [process.start(), process.start(), process.start()];
    worker.bind("a");
    process.settle();
    const seeker = seek(main, "a");
    // seek, then offer: the acceptance finds nobody.
    while (!main.queue.some(({ kind }) => kind === "offer")) for (const each of [worker, other]) each.turn();
    while (main.queue.length > 0) main.turn();
    worker.alive = false;
    if (!before) process.settle();
    expect(seeker.ports).toEqual([]);
    other.bind("a");
    process.settle();
    expect(seeker.ports.map((port) => port.other?.owner)).toEqual([other]);
  });

  it("whose port was handed over leaves no timer behind, in neither thread", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    main.bind("a");
    process.settle();
    const seeker = seek(worker, "a");
    // seek, offer, accept.
    for (let step = 0; step < 3; step++) for (const each of [main, worker]) each.turn();
    expect(seeker.ports).toHaveLength(1);
    expect(process.timers.size).toBe(0);
  });

  it("that two threads offer is handed over by one", () => {
    const process = new FakeProcess();
    const [main, worker, other] = [process.start(), process.start(), process.start()];
    worker.bound.add("a");
    other.bound.add("a");
    const seeker = seek(main, "a");
    process.settle();
    expect(seeker.ports).toHaveLength(1);
    expect(worker.accepted.length + other.accepted.length).toBe(1);
  });

  it("is not looked for any more once the seek is cancelled, at any step", () => {
    for (let steps = 0; steps < 12; steps++) {
      const process = new FakeProcess();
      const [main, worker] = [process.start(), process.start()];
      main.bind("a");
      const { ports, cancel } = seek(worker, "a");
      for (let i = 0; i < steps; i++) [main, worker][i % 2]?.turn();
      const before = ports.length;
      cancel();
      process.settle();
      expect(ports).toHaveLength(before);
      expect(process.places.size).toBe(0);
    }
  });
});

test("of two threads that ask at the same time one gets the name", () => {
  for (const [mine, theirs] of [
    [0.25, 0.75],
    [0.75, 0.25],
    [0.5, 0.5], // The ids decide: "1" is the main thread's.
  ] as const) {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    let other: boolean | undefined;
    // The worker asks while main stands still.
    const still = main.standStill.bind(main);
    main.standStill = (memory, seen, ms) => {
      if (other === undefined) {
        other = worker.names.isTaken("a", theirs);
        if (!other) worker.bound.add("a");
      }
      still(memory, seen, ms);
    };
    const own = main.names.isTaken("a", mine);
    expect([own, other]).toEqual([mine > theirs, theirs >= mine]);
  }
});

describe("while the event loop goes on", () => {
  it("a name that another thread has bound is refused, and one that is free is bound", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    expect(main.bind("a")).toBe(true);
    const [taken, free] = [worker.bindLater("a"), worker.bindLater("b")];
    expect([worker.names.isAsking("a"), worker.names.isAsking("b")]).toEqual([true, true]);
    process.settle();
    expect([taken, free]).toEqual([{ bound: false }, { bound: true }]);
    expect(worker.names.isAsking("b")).toBe(false);
    // The worker has just begun: it does not know how many there are.
    expect(process.now).toBe(ANSWER_WAIT);
  });

  it("a thread that does not answer is not waited for longer than a while", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    worker.alive = false;
    const outcome = main.bindLater("a");
    process.settle();
    expect(outcome).toEqual({ bound: true });
    expect(process.now).toBe(ANSWER_WAIT);
  });

  it("a thread that asks after it has let another have the name does not get it, whatever their ranks", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    const first = main.bindLater("a", 0.9);
    worker.turn();
    const second = worker.bindLater("a", 0.1);
    process.settle();
    expect([first, second]).toEqual([{ bound: true }, { bound: false }]);
  });

  it("a thread that looks at the answers too late asks again: another one may have the name by now", () => {
    const process = new FakeProcess();
    const [main, worker] = [process.start(), process.start()];
    process.settle();
    const late = main.bindLater("a", 0.9);
    worker.turn();
    process.now += 2 * ANSWER_WAIT; // Its event loop stands still.
    expect(worker.bind("a", 0.1)).toBe(true);
    process.settle();
    expect(late).toEqual({ bound: false });
  });

  it("three threads that ask at the same time do not refuse each other in a ring", () => {
    const process = new FakeProcess();
    const threads = [process.start(), process.start(), process.start()] as const;
    process.settle();
    const outcomes = [threads[0].bindLater("a", 0.4), threads[1].bindLater("a", 0.2)];
    threads[2].turn(); // It lets the first have the name, and then asks itself, at random before the second.
    outcomes.push(threads[2].bindLater("a", 0.1));
    process.settle();
    expect(outcomes.map(({ bound }) => bound)).toEqual([false, true, false]);
  });

  it("in every schedule one of those that ask gets the name, and no two have it", () => {
    const step = fc.record({
      how: fc.constantFrom("bind", "later", "later", "turn", "turn", "turn", "timer", "unbind"),
      name: fc.constantFrom("x", "y"),
      who: fc.integer({ min: 0, max: 3 }),
      rank: fc.integer({ min: 1, max: 999 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 45 }), (steps) => {
        const process = new FakeProcess();
        for (let i = 0; i < 4; i++) process.start();
        process.settle();
        const owners = (name: string) => process.threads.filter(({ bound }) => bound.has(name)).length;
        const asked = { x: false, y: false };
        for (const { how, name, who, rank } of steps) {
          const thread = process.threads[who] as FakeThread;
          // What InprocNames sees to.
          const mayAsk = !thread.bound.has(name) && !thread.names.isAsking(name);
          if (how === "turn") thread.turn();
          else if (how === "unbind") thread.bound.delete(name);
          else if (how === "timer") {
            const [next] = [...process.timers].sort((a, b) => a.at - b.at);
            if (next === undefined) continue;
            process.timers.delete(next);
            process.now = Math.max(process.now, next.at);
            next.run();
          } else if (mayAsk) {
            if (how === "bind") thread.bind(name, rank / 1_000);
            else thread.bindLater(name, rank / 1_000);
            asked[name as "x" | "y"] = true;
          }
          for (const each of ["x", "y"]) expect(owners(each)).toBeLessThanOrEqual(1);
        }
        process.settle();
        for (const each of ["x", "y"]) expect(owners(each)).toBeLessThanOrEqual(1);
        const unbound = steps.some(({ how }) => how === "unbind");
        for (const each of ["x", "y"] as const) if (asked[each] && !unbound) expect(owners(each)).toBe(1);
      }),
      { numRuns: 2_000, defaultRuns: 350 },
    );
  });
});

test("in every schedule of binds, seeks and ends, who seeks a bound name finds it, exactly once", () => {
  const step = fc.record({
    how: fc.constantFrom("bind", "unbind", "seek", "cancel", "turn", "turn", "turn", "end", "start"),
    name: fc.constantFrom("x", "y"),
    who: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const process = new FakeProcess();
      process.start();
      process.start();
      const seeks: {
        thread: FakeThread;
        name: string;
        ports: FakePort[];
        cancel: () => void;
        over: boolean;
      }[] = [];
      for (const { how, name, who } of steps) {
        const thread = process.threads[who % process.threads.length] as FakeThread;
        if (how === "start" && process.threads.length < 5) process.start();
        if (!thread.alive) continue;
        if (how === "bind") {
          const has = process.threads.some(({ alive, bound }) => alive && bound.has(name));
          // None is busy, so what others have is known.
          expect(thread.bind(name)).toBe(!has);
        } else if (how === "unbind") thread.bound.delete(name);
        else if (how === "seek") seeks.push({ thread, name, over: false, ...seek(thread, name) });
        else if (how === "turn") thread.turn();
        else if (how === "end" && who > 0) thread.alive = false;
        else if (how === "cancel") {
          const found = seeks.find((each) => each.thread === thread && !each.over);
          found?.cancel();
          if (found !== undefined) found.over = true;
        }
      }
      process.settle();
      for (const { thread, name, ports, over } of seeks) {
        expect(ports.length).toBeLessThanOrEqual(1);
        if (over || !thread.alive || ports.length > 0) continue;
        // Its own thread's names are found without words.
        const elsewhere = process.threads.some(
          (each) => each !== thread && each.alive && each.bound.has(name),
        );
        expect(elsewhere).toBe(false);
      }
      const handed = process.threads.flatMap(({ accepted }) => accepted).length;
      expect(handed).toBe(seeks.flatMap(({ ports }) => ports).length);
    }),
    { numRuns: 2_000, defaultRuns: 330 },
  );
});
