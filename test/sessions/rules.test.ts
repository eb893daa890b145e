/** A client's rules without sockets or clocks. */
import { expect, it } from "vitest";
import { type ClientEffects, SessionClientRules } from "../../src/sessions/client-rules.js";
import { Deliveries, InFlightBytes } from "../../src/sessions/deliveries.js";
import type { ClientMessage, SessionError } from "../../src/sessions/protocol.js";

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
function setUp(window = { window: 1, windowBytes: 1 }) {
  const connects: number[] = [];
  const delays: number[] = [];
  const sent: ClientMessage[] = [];
  /** Numbers of messages. */
  const taken: number[] = [];
  /** Data and numbers that the server takes. */
  const takes = { bytes: Number.POSITIVE_INFINITY };
  let time = 0;
  const effects: ClientEffects = {
    connect: () => connects.push(time),
    lost: (_reason, delay) => delays.push(delay),
    disconnect: () => undefined,
    send: (message) => {
      const { length } = message.kind === "publish" ? message.data : { length: 0 };
      const isTooLarge = (message.kind === "settle" ? 6 * message.numbers.length : length) > takes.bytes;
      if (!isTooLarge) sent.push(message);
      return !isTooLarge;
    },
    opened: () => undefined,
    over: () => undefined,
    message: ({ number }) => taken.push(number),
    dropped: () => undefined,
    closed: () => undefined,
  };
  const rules = new SessionClientRules(
    { ...OPTIONS, open: { ...OPTIONS.open, ...window } },
    ["tcp://a:1"],
    effects,
    () => 0.5,
  );
  return {
    rules,
    connects,
    delays,
    sent,
    taken,
    takes,
    at: (now: number) => {
      time = now;
    },
  };
}

function open(rules: SessionClientRules, now: number, isPresent = true, published = 0): void {
  const rest = { isContinued: isPresent, published, count: 0, maxMessage: -1, life: "l" };
  rules.receive({ kind: "opened", isPresent, ...rest }, now);
}

/** Rules with a session that is open. */
function opened(window?: { window: number; windowBytes: number }) {
  const made = setUp(window);
  made.rules.start(0);
  open(made.rules, 0);
  return made;
}

/** Ends the connection, and opens the session again. */
function openAgain(rules: SessionClientRules, now: number, isPresent: boolean): void {
  rules.disconnected(now);
  rules.tick(rules.nextWakeUp() ?? now);
  open(rules, now, isPresent);
}

function message(rules: SessionClientRules, number: number, bytes: number): void {
  const data = Buffer.alloc(bytes);
  const rest = { redelivered: false, time: 0, topic: "", publisher: "", id: "", data };
  rules.receive({ kind: "message", number, ...rest }, 5);
}

/** The request that was sent last. */
function asked(sent: readonly ClientMessage[]): ClientMessage & { readonly kind: "subscribe" } {
  return sent.at(-1) as ClientMessage & { readonly kind: "subscribe" };
}

const CALL = { resolve: () => undefined, reject: () => undefined };

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

it("asks for the filters that it had before a refusal, and for no others, where the session was lost", () => {
  const { rules, sent } = opened();
  rules.changeFilters("subscribe", ["a"], CALL, 0);
  rules.receive({ kind: "done", request: asked(sent).request }, 1);
  for (const [kind, filters] of [
    ["subscribe", ["a", "b"]],
    ["unsubscribe", ["a"]],
  ] as const) {
    rules.changeFilters(kind, filters, CALL, 1);
    const number = asked(sent).request;
    rules.receive({ kind: "refused", isPublication: false, number, reason: "full", text: "" }, 2);
  }
  openAgain(rules, 3, false);
  expect(asked(sent)).toMatchObject({ kind: "subscribe", filters: ["a"] });
});

it("repeats no change of filters that was given up", () => {
  const { rules, sent } = opened();
  const calls = ["a", "b"].map((filter) => {
    const call = { ...CALL };
    rules.changeFilters("subscribe", [filter], call, 0);
    return call;
  });
  rules.withdraw(calls[0] as (typeof calls)[number]);
  sent.length = 0;
  openAgain(rules, 1, true);
  expect(sent.filter(({ kind }) => kind === "subscribe")).toMatchObject([{ filters: ["b"] }]);
});

it("repeats no publication that was given up, and the later ones with numbers that follow", () => {
  const { rules, sent } = opened();
  const calls = ["a", "b", "c"].map((topic) => {
    const call = { ...CALL };
    rules.publish({ id: "", topic, data: Buffer.from(topic), context: undefined }, call);
    return call;
  });
  rules.withdraw(calls[1] as (typeof calls)[number]);
  expect(rules.publishing).toBe(3);
  sent.length = 0;
  openAgain(rules, 1, true);
  expect(sent.filter(({ kind }) => kind === "publish")).toMatchObject([
    { topic: "a", number: 1 },
    { topic: "c", number: 2 },
  ]);
  expect(rules.publishing).toBe(2);
});

it("tries again, with an event, where the filters of a lost session are refused", () => {
  const { rules, sent, delays } = opened();
  rules.changeFilters("subscribe", ["a"], CALL, 0);
  rules.receive({ kind: "done", request: asked(sent).request }, 1);
  openAgain(rules, 2, false);
  const number = asked(sent).request;
  rules.receive({ kind: "refused", isPublication: false, number, reason: "too-large", text: "" }, 3);
  expect(delays).toHaveLength(2);
  openAgain(rules, 4, true);
  expect(asked(sent)).toMatchObject({ kind: "subscribe", filters: ["a"] });
});

it("refuses what the next server does not take, and asks without data about what the last one kept", () => {
  const { rules, sent, takes } = opened();
  const refused: string[] = [];
  for (const [topic, bytes] of [
    ["kept", 9],
    ["large", 9],
    ["small", 1],
  ] as const) {
    const reject = ({ reason }: SessionError): void => void refused.push(`${topic}: ${reason}`);
    rules.publish({ id: "", topic, data: Buffer.alloc(bytes) }, { resolve: () => undefined, reject });
  }
  takes.bytes = 5;
  sent.length = 0;
  rules.disconnected(1);
  rules.tick(rules.nextWakeUp() ?? 1);
  open(rules, 1, true, 1);
  expect(refused).toEqual(["large: too-large"]);
  expect(sent.filter(({ kind }) => kind === "publish")).toMatchObject([
    { number: 1, topic: "kept", data: Buffer.alloc(0) },
    { number: 2, topic: "small", data: Buffer.alloc(1) },
  ]);
});

it("has whole bytes of room, since databases take no others", () => {
  const all = new InFlightBytes(1_000_000, () => 3);
  const window = { window: 100, windowBytes: 1_000_000 };
  const [one, other] = [new Deliveries(window, all, 0), new Deliveries(window, all, 0)];
  one.sent(0, 1_000_000);
  expect(other.roomBytes).toBe(333_333);
});

it("leaves a server that sends more than its window, and takes all from one that does not", () => {
  const { rules, taken, delays } = opened({ window: 3, windowBytes: 100 });
  for (let number = 0; number < 3; number++) message(rules, number, 30);
  rules.acknowledge(1, 1);
  message(rules, 3, 70); // One may be larger.
  expect(delays).toEqual([]);
  openAgain(rules, 1, true);
  for (const number of [0, 2, 3]) message(rules, number, 30);
  rules.acknowledge(3, 1);
  message(rules, 4, 1);
  expect(taken).toEqual([0, 1, 2, 3, 4]);
  expect(delays).toHaveLength(1);
  for (let number = 5; number < 100; number++) message(rules, number, 1);
  expect(delays).toHaveLength(2);
  expect(rules.held).toBeLessThan(10);
});

it("holds no messages that the session has dropped while it was away", () => {
  const { rules, taken, sent } = opened({ window: 3, windowBytes: 1_000 });
  for (let first = 0; first < 100; first += 10) {
    for (const number of [first, first + 1, first + 2]) message(rules, number, 1);
    openAgain(rules, 1, true);
  }
  expect(taken).toHaveLength(30);
  message(rules, 91, 1);
  expect(rules.held).toBe(2);
  expect(rules.acknowledge(90, 1)).toBe(false);
  expect(rules.acknowledge(92, 1)).toBe(true);
  rules.flush();
  expect(sent.at(-1)).toEqual({ kind: "settle", low: 91, numbers: [92] });
});

it("holds no messages that the session drops while it repeats others", () => {
  const { rules, delays } = opened({ window: 4, windowBytes: 1_000 });
  for (const number of [0, 1, 2, 3]) message(rules, number, 1);
  openAgain(rules, 1, true);
  for (const number of [0, 3, 4, 5]) message(rules, number, 1);
  expect(rules.held).toBe(4);
  expect(delays).toHaveLength(1);
});

it("leaves a server that sends more bytes than its window", () => {
  const { rules, taken, delays } = opened({ window: 1_000, windowBytes: 100 });
  for (let number = 0; number < 100; number++) message(rules, number, 60);
  expect(taken).toEqual([0, 1]);
  expect(delays).toHaveLength(1);
});

it("reports acknowledgements in messages that its server takes", () => {
  const { rules, sent, takes } = opened({ window: 1_000, windowBytes: 1_000_000 });
  takes.bytes = 90;
  for (let number = 0; number < 32; number++) message(rules, number, 0);
  for (let number = 1; number < 32; number++) rules.acknowledge(number, 1);
  rules.flush();
  const reported = sent.flatMap((each) => (each.kind === "settle" ? each.numbers : []));
  expect(reported).toEqual(Array.from({ length: 31 }, (_, i) => i + 1));
});

it("acknowledges again what comes again, as its acknowledgement was lost with the connection", () => {
  const { rules, sent, taken } = opened({ window: 10, windowBytes: 1_000 });
  for (const number of [0, 1, 2, 3]) message(rules, number, 1);
  for (const number of [0, 2, 3]) rules.acknowledge(number, 1);
  rules.flush();
  openAgain(rules, 1, true);
  sent.length = 0;
  for (const number of [0, 1, 2, 3, 4]) message(rules, number, 1);
  expect(taken).toEqual([0, 1, 2, 3, 4]);
  expect(sent).toEqual([
    { kind: "settle", low: 1, numbers: [] },
    { kind: "settle", low: 1, numbers: [2] },
    { kind: "settle", low: 1, numbers: [3] },
  ]);
});

it("reports no more acknowledgements at once than a server takes, whatever was acknowledged since one is held", () => {
  const { rules, sent } = opened({ window: 8_192, windowBytes: 1_000_000 });
  for (let number = 0; number < 8_192; number++) message(rules, number, 0);
  for (let number = 1; number < 8_192; number++) rules.acknowledge(number, 1);
  rules.flush();
  for (let number = 8_192; number < 16_383; number++) message(rules, number, 0);
  rules.disconnected(2);
  for (let number = 8_192; number < 16_383; number++) rules.acknowledge(number, 1);
  rules.tick(rules.nextWakeUp() ?? 2);
  sent.length = 0;
  open(rules, 2);
  const reported = sent.flatMap((each) => (each.kind === "settle" ? [each] : []));
  for (const { low, numbers } of reported) {
    expect(low).toBe(0);
    expect(numbers.length).toBeLessThanOrEqual(8_192);
  }
  expect(new Set(reported.flatMap(({ numbers }) => numbers)).size).toBe(8_191);
});
