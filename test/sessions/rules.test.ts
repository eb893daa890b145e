/** A client's rules without sockets or clocks. */
import { expect, it } from "vitest";
import { type ClientEffects, SessionClientRules } from "../../src/sessions/client-rules.js";

const HEARTBEAT = 5_000;
const OPTIONS = {
  clean: false,
  openTimeout: 5_000,
  heartbeatInterval: HEARTBEAT,
  reconnectInterval: 100,
  reconnectMaxInterval: 10_000,
  open: {
    id: "a",
    instance: "i",
    token: "",
    expiry: -1,
    maxQueue: 1,
    maxQueueBytes: 1,
    maxAge: -1,
    drop: "oldest",
    window: 1,
    windowBytes: 1,
  },
} as const;

/** Rules with one server; what they did is in the two lists. */
function setUp(): {
  rules: SessionClientRules;
  connects: number[];
  delays: number[];
  at: (now: number) => void;
} {
  const connects: number[] = [];
  const delays: number[] = [];
  let time = 0;
  const effects: ClientEffects = {
    connect: () => connects.push(time),
    lost: (_reason, delay) => delays.push(delay),
    disconnect: () => undefined,
    send: () => undefined,
    opened: () => undefined,
    over: () => undefined,
    message: () => undefined,
    dropped: () => undefined,
    closed: () => undefined,
  };
  const rules = new SessionClientRules(OPTIONS, 1, effects, () => 0.5);
  return {
    rules,
    connects,
    delays,
    at: (now) => {
      time = now;
    },
  };
}

function open(rules: SessionClientRules, now: number): void {
  const [isPresent, isContinued] = [true, true];
  rules.receive({ kind: "opened", isPresent, isContinued, published: 0, count: 0, life: "l" }, now);
}

it("waits longer each time before it opens a session again that ends as soon as it is open", () => {
  const { rules, connects, delays, at } = setUp();
  rules.start(0);
  for (let now = 0; now < 60_000; now = rules.nextWakeUp() ?? Number.POSITIVE_INFINITY) {
    at(now);
    rules.tick(now);
    open(rules, now);
    rules.receive({ kind: "ended", reason: "unavailable", text: "" }, now);
  }
  expect(connects.length).toBeLessThan(20);
  expect(delays.at(-1)).toBeGreaterThan(OPTIONS.reconnectMaxInterval / 2);
});

it("opens it at once after one that was open for a heartbeat's interval", () => {
  const { rules, delays } = setUp();
  rules.start(0);
  for (let now = 0; now < 10 * HEARTBEAT; now += 2 * HEARTBEAT) {
    rules.tick(now);
    open(rules, now);
    rules.tick(now + HEARTBEAT);
    rules.receive({ kind: "ended", reason: "stopping", text: "" }, now + HEARTBEAT);
  }
  expect(delays).toEqual([0, 0, 0, 0, 0]);
});
