/** Which requests a broker lets wait at a worker, beyond those that the worker handles. */
import { beforeEach, describe, expect, it } from "vitest";
import { type AtBroker, Dialect, type Request } from "../../../src/patterns/majordomo/protocol.js";
import { workerSettings } from "../../../src/patterns/majordomo/worker-options.js";
import { BrokerRig } from "./broker-rig.js";
import { readyOf, replyTo } from "./messages.js";

const rig = new BrokerRig();
const { hear } = rig;
/** What each worker holds, in the order in which it came. */
const held = new Map<string, Request[]>();

beforeEach(() => {
  rig.make();
  held.clear();
});

function join(worker: string, concurrency: number, capacity: number): void {
  held.set(worker, []);
  hear(worker, readyOf(worker, concurrency, capacity) as AtBroker);
}

function heldBy(worker: string): Request[] {
  const all = held.get(worker) as Request[];
  all.push(...rig.heardBy(worker).filter((message) => message.kind === "request"));
  return all;
}

function ask(body: string, now = 0): void {
  rig.hearFrames("client", now, "", "MDPC01", "echo", body);
}

/** The worker answers the oldest that it holds. */
function answer(worker: string, now: number): void {
  hear(worker, replyTo(heldBy(worker).shift() as Request, true, 0, "done"), now);
}

/** Every worker has answered so often, each time at once, that it counts as quick. */
function quicken(): void {
  for (let i = 0; i < 100; i++) {
    for (const _ of held) ask("warm");
    for (const worker of held.keys()) if (heldBy(worker).length > 0) answer(worker, 0);
  }
}

const bodiesAt = (worker: string): string[] => heldBy(worker).map(({ body }) => String(body.frames[0]));

describe("a request waits at a worker", () => {
  it("only when no worker has a handler free", () => {
    join("w1", 1, 3);
    join("w2", 1, 3);
    quicken();
    for (const body of ["a", "b", "c", "d", "e", "f", "g"]) ask(body);
    expect(bodiesAt("w1")).toEqual(["a", "c", "e"]);
    expect(bodiesAt("w2")).toEqual(["b", "d", "f"]);
    expect(rig.rules.stats().queued).toBe(1);
    // One has become free: it is preferred to the other, that has room to wait.
    answer("w2", 0);
    answer("w2", 0);
    answer("w2", 0);
    expect(bodiesAt("w2")).toEqual(["g"]);
    ask("h");
    expect(bodiesAt("w1")).toEqual(["a", "c", "e"]);
  });

  it("not where an answer takes long, and again where it does not any more", () => {
    join("w1", 1, 3);
    quicken();
    let now = 0;
    const turn = (ms: number): void => {
      now += ms;
      ask("next", now);
      answer("w1", now);
    };
    ask("first");
    ask("second");
    for (let i = 0; i < 20; i++) turn(50);
    // It has handled what waited there; now one at a time.
    expect(bodiesAt("w1")).toHaveLength(1);
    expect(rig.rules.stats().queued).toBe(1);
    for (let i = 0; i < 500; i++) turn(0.05);
    expect(bodiesAt("w1").length).toBeGreaterThan(1);
  });

  it("for a few ms only: the quicker the worker is, the more of them", () => {
    const waitingAt = (gap: number): number => {
      rig.make();
      held.clear();
      join("w1", 1, 101);
      quicken();
      let now = 0;
      ask("first");
      for (let i = 0; i < 500; i++) {
        ask("next", now);
        now += gap;
        answer("w1", now);
      }
      for (let i = 0; i < 200; i++) ask("burst", now);
      return bodiesAt("w1").length - 1;
    };
    expect(waitingAt(0.2)).toBeGreaterThan(10);
    expect(waitingAt(0.2)).toBeLessThan(30);
    expect(waitingAt(0.01)).toBe(100);
  });

  it("and goes to another when that one is lost, which was no delivery of it", () => {
    rig.make({ maxDeliveries: 1 });
    join("w1", 1, 3);
    quicken();
    for (const body of ["poison", "b", "c"]) ask(body);
    expect(bodiesAt("w1")).toEqual(["poison", "b", "c"]);
    hear("w1", { kind: "disconnect", dialect: Dialect.Shoal });
    expect(rig.events.filter(({ type }) => type === "request:failed")).toHaveLength(1);
    join("w2", 2, 2);
    expect(bodiesAt("w2")).toEqual(["b", "c"]);
  });
});

it("prefetch is 100, or as many as handlers", () => {
  const of = (given: object): number => workerSettings(given).prefetch;
  expect(of({ concurrency: 1 })).toBe(100);
  expect(of({ concurrency: 500 })).toBe(500);
  expect(of({ concurrency: 16, prefetch: 0 })).toBe(0);
  expect(of({ concurrency: 1, prefetch: 8 })).toBe(8);
  expect(() => of({ prefetch: 65_536 })).toThrow("prefetch of MajordomoWorker must be a whole number from 0");
});
