/** A client whose connections end: what it asks again, where, and how often. */
import { describe, expect, it } from "vitest";
import { Call, type CallSink, type Taken } from "../../../src/patterns/majordomo/client-calls.js";
import type { MajordomoClientEvent } from "../../../src/patterns/majordomo/client-options.js";
import { ClientRules } from "../../../src/patterns/majordomo/client-rules.js";
import { type AtClient, Body, Dialect, encode } from "../../../src/patterns/majordomo/protocol.js";
import { answerOf, failureOf } from "./messages.js";

const BEAT = 100;
const LIMITS = {
  heartbeatInterval: BEAT,
  liveness: 3,
  maxInFlight: 10,
  maxPending: 10,
  maxPendingBytes: 1_000_000_000,
};
const ECHO = { name: "echo", frame: Buffer.from("echo"), isKnown: false };

function clientOf(endpoints: string[], dialect?: Dialect, limits: Partial<typeof LIMITS> = {}) {
  /** Connections, and what is said over each: `+1 a`, `-1`, `1 text of the last frame`. */
  const log: string[] = [];
  const events: MajordomoClientEvent[] = [];
  /** Bytes of each credit, and "cancel". */
  const told: (number | string)[] = [];
  let listener: (event: MajordomoClientEvent) => void = () => undefined;
  const rules = new ClientRules(
    { ...LIMITS, ...limits, endpoints, dialect },
    {
      open: (connection, endpoint) => log.push(`+${connection} ${endpoint}`),
      close: (connection) => log.push(`-${connection}`),
      send: (connection, message) => {
        if (message.kind === "credit") told.push(message.bytes);
        if (message.kind === "cancel") told.push("cancel");
        const last = String(encode("client", message).at(-1));
        log.push(`${connection} ${/^[a-z0-9.]+$/.test(last) ? last : "?"}`);
        return true;
      },
      event: (event) => {
        events.push(event);
        listener(event);
      },
    },
    Buffer.alloc(8),
  );
  rules.start(0);
  const ended: string[] = [];
  const negotiate = (connection: number, now = 0): void => {
    const input = { kind: "negotiated", extended: true, heartbeatInterval: BEAT };
    rules.receive(connection, input as AtClient, now);
  };
  const ask = (text: string, retries: number, now = 0): Call => {
    const terms = { timeout: 10_000, retries, total: 0, headers: Buffer.alloc(0) };
    const call = new Call(ECHO, [text], terms, {
      answer: () => {
        ended.push(`${text} answered`);
        return "read";
      },
      failed: (error) => ended.push(`${text} ${"reason" in error ? error.reason : error.code}`),
    });
    rules.submit(call, now);
    return call;
  };
  /** Its first broker is there, and is asked. */
  const begin = (retries: number, ...texts: string[]): void => {
    negotiate(1);
    for (const text of texts) ask(text, retries);
    log.length = 0;
  };
  return {
    rules,
    ended,
    told,
    negotiate,
    ask,
    begin,
    listen: (each: typeof listener) => {
      listener = each;
    },
    left: () => events.flatMap((event) => (event.type === "broker:left" ? [event.reason] : [])),
    said: () => log.splice(0),
  };
}

describe("a client of shoal's broker whose connection ends", () => {
  it("sends again to a broker that had given it up, over the same connection", () => {
    const { rules, begin, said, ended, left } = clientOf(["a", "b"]);
    begin(2, "one", "two");
    rules.receive(1, { kind: "forgotten" }, 5);
    expect(said()).toEqual(["1 one", "1 two"]);
    expect([ended, left()]).toEqual([[], ["forgotten"]]);
  });

  it("sends again to its broker when an attempt is over: the request, or its answer, may be lost", () => {
    const { rules, begin, said, ended } = clientOf(["a"]);
    begin(1, "one");
    rules.receive(1, { kind: "client-heartbeat" }, 12_000);
    rules.tick(12_000);
    expect([said().filter((line) => line !== "1 ?"), ended]).toEqual([["1 one"], []]);
  });

  it("sends again what a worker got later by a broker that it has left, while attempts are left", () => {
    const { rules, begin, said, ended } = clientOf(["a"]);
    begin(1, "one");
    rules.receive(1, failureOf(1, "duplicate"), 5);
    expect([said(), ended]).toEqual([["1 one"], []]);
    rules.receive(1, failureOf(1, "duplicate"), 6);
    expect([said(), ended]).toEqual([[], ["one duplicate"]]);
  });

  it("opens nothing more when a listener of its end closes the client", () => {
    for (const end of ["disconnected", "refused", "setEndpoints"] as const) {
      const { rules, negotiate, said, listen } = clientOf(["a", "b"]);
      if (end !== "refused") negotiate(1);
      said();
      listen(() => rules.close(() => undefined));
      if (end === "setEndpoints") rules.setEndpoints(["c"], 10);
      else rules[end](1, 10);
      expect(said()).toEqual(["-1"]);
    }
  });

  it("gives the next one what a listener of its end asks", () => {
    const { rules, begin, ask, negotiate, said, ended, listen } = clientOf(["a", "b"]);
    begin(0);
    listen(({ type }) => type === "broker:left" && void ask("new", 0, 10));
    rules.disconnected(1, 10);
    negotiate(2, 20);
    expect([said(), ended]).toEqual([["-1", "+2 b", "2 ?", "2 new"], []]);
  });

  it("reports what cannot be sent again", () => {
    const { rules, ask, negotiate, ended } = clientOf(["a"]);
    negotiate(1);
    ask("once", 0);
    ask("again", 1);
    rules.disconnected(1, 5);
    expect(ended).toEqual(["once broker-lost"]);
    expect(rules.stats()).toMatchObject({ failed: 1, pending: 1 });
  });

  it("asks another one what a broker that stops refuses, and waits for what it had taken", () => {
    const { rules, begin, negotiate, said, ended, left } = clientOf(["a", "b"]);
    const stops = (connection: number, sequence: number, now: number) =>
      rules.receive(connection, failureOf(sequence, "stopping"), now);
    begin(1, "taken", "refused", "refused.too");
    stops(1, 2, 5);
    stops(1, 3, 5);
    expect(said()).toEqual(["+2 b", "2 ?"]);
    negotiate(2, 6);
    expect(said().sort()).toEqual(["2 refused", "2 refused.too"]);
    expect([ended, left()]).toEqual([[], ["stopping"]]);
    // The second one stops, too, and the first one was asked already: the caller gets to know it.
    stops(2, 2, 7);
    expect(ended).toEqual(["refused stopping"]);
    rules.disconnected(1, 8);
    expect(said()).toContain("2 taken");
  });

  it("leaves each broker once in an interval, however often it is hung up on", () => {
    const { rules, ask, negotiate, said, left } = clientOf(["a", "b"]);
    ask("x", 100);
    for (let connection = 1; connection <= 3; connection++) {
      negotiate(connection, connection);
      rules.disconnected(connection, connection);
    }
    expect(said().filter((line) => line.startsWith("+"))).toEqual(["+1 a", "+2 b", "+3 a"]);
    expect(left()).toEqual(["disconnected", "disconnected", "disconnected"]);
    rules.tick(BEAT);
    expect(said()).toEqual([]);
    expect(rules.nextWakeUp()).toBe(BEAT + 1);
    rules.tick(BEAT + 1);
    expect(said()).toEqual(["+4 b", "4 ?"]);
  });
});

it("a client whose requests may not wait sends those for which there is room", () => {
  const { negotiate, ask, said } = clientOf(["a"], undefined, { maxPending: 0, maxInFlight: 1 });
  expect(() => ask("early", 0)).toThrow("maxPending");
  negotiate(1);
  ask("one", 0);
  expect(() => ask("two", 0)).toThrow("maxPending");
  expect(said().slice(2)).toEqual(["1 one"]);
});

it("a client without requests asks again, too, when a broker does not answer, or hangs up again and again", () => {
  const { rules, said, left } = clientOf(["a", "b"]);
  rules.tick(BEAT);
  expect([said(), left()]).toEqual([["+1 a", "1 ?", "-1", "+2 b", "2 ?"], ["no-answer"]]);
  const alone = clientOf(["a"]);
  alone.rules.disconnected(1, 1);
  alone.rules.disconnected(2, 2); // Its socket reconnects, but the broker had the question.
  alone.rules.tick(alone.rules.nextWakeUp() ?? 0);
  expect(alone.said().slice(-3)).toEqual(["-2", "+3 a", "3 ?"]);
  alone.negotiate(3, 2 * BEAT);
  expect(alone.rules.nextWakeUp()).toBeUndefined();
});

describe("a client whose connection is refused", () => {
  it("tries the others at once, each once in an interval, and keeps its retries", () => {
    const { rules, ask, said, negotiate, left } = clientOf(["a", "b", "c"]);
    ask("x", 0);
    for (let connection = 1; connection <= 4; connection++) rules.refused(connection, connection);
    expect(said().filter((line) => line.startsWith("+"))).toEqual(["+1 a", "+2 b", "+3 c", "+4 a"]);
    negotiate(4, 5);
    expect(said()).toEqual(["4 x"]);
    expect(left()).toEqual(["refused", "refused", "refused"]);
  });

  it("has longer for each after some in a row that were slow, until one answers", () => {
    const { rules, ask, negotiate, said, ended } = clientOf(["a", "b"]);
    ask("one", 9);
    // What each broker takes to answer what it is: longer than an interval.
    const late = 2.5 * BEAT;
    const patience: number[] = [];
    let now = 0;
    let asked = 1;
    let openedAt = 0;
    said();
    while (rules.stats().broker === undefined && now < 100 * BEAT) {
      const next = rules.nextWakeUp() ?? Number.POSITIVE_INFINITY;
      if (next > openedAt + late) {
        now = openedAt + late;
        negotiate(asked, now);
        continue;
      }
      now = next;
      rules.tick(now);
      const opened = said().filter((line) => line.startsWith("+")).length;
      if (opened === 0) continue;
      patience.push(now - openedAt);
      openedAt = now;
      asked += opened;
    }
    expect(patience).toEqual([1, 1, 1, 2, 2, 2].map((intervals) => intervals * BEAT));
    expect(said()).toEqual([`${asked} one`]);
    rules.receive(asked, answerOf(1), now);
    expect(ended).toEqual(["one answered"]);
    // One that answered is no reason for patience with the next.
    ask("two", 9, now);
    rules.disconnected(asked, now);
    expect(rules.nextWakeUp()).toBe(now + BEAT);
  });
});

it("a client of plain brokers closes the connection of a cancelled request, whose answer might be taken for the next one's", () => {
  const { rules, ask, said, ended } = clientOf(["a", "b"], Dialect.Mdp01);
  const call = ask("one", 1);
  ask("two", 1);
  rules.cancel(call, 1);
  expect(said()).toEqual(["+1 a", "1 one", "-1", "+2 a", "2 two"]);
  rules.receive(1, answerOf(undefined, { address: [ECHO.frame] }), 2);
  expect(ended).toEqual([]);
});

it("a client that goes over to shoal's asks that in time for what a plain one has not answered, once, and closes the other", () => {
  const { rules, ask, said, negotiate, ended } = clientOf(["a"]);
  rules.receive(1, { kind: "negotiated", extended: false } as AtClient, 0);
  ask("one", 1);
  rules.setEndpoints(["b"], 1);
  negotiate(2, 2);
  said();
  rules.receive(2, { kind: "client-heartbeat" }, 12_000);
  rules.tick(12_000);
  expect(said().filter((line) => line !== "2 ?")).toEqual(["-1", "2 one"]);
  rules.receive(2, answerOf(1), 12_001);
  expect([ended, rules.stats().inFlight]).toEqual([["one answered"], 0]);
});

describe("an answer in pieces", () => {
  const piece = (sequence: number, pieces: number, size: number, final = false): AtClient =>
    answerOf(sequence, { final, pieces, body: Body.of(final ? [] : [Buffer.alloc(size)]) });

  function streaming() {
    const { rules, negotiate, told } = clientOf(["a"]);
    negotiate(1);
    const ended: string[] = [];
    const sink = {
      taken: "kept" as Taken,
      unread: false,
      answer: (_: Buffer[], final: boolean): Taken => {
        if (final) ended.push("end");
        return sink.taken;
      },
      failed: (error: Error & { reason?: string; code?: string }) =>
        ended.push(error.reason ?? `${error.code}`),
    };
    const ask = () => {
      const terms = { timeout: 1_000, retries: 0, total: 1_000, headers: Buffer.alloc(0) };
      const call = new Call(ECHO, ["x"], terms, sink as CallSink);
      rules.submit(call, 0);
      return call;
    };
    return { rules, sink, told, ended, ask };
  }

  it("is granted what was read, in halves of its window", () => {
    const { rules, told, ask } = streaming();
    const call = ask();
    rules.receive(1, piece(1, 0, 40_000), 1);
    rules.read(call, 30_000, 2);
    expect(told).toEqual([]);
    rules.read(call, 3_000, 2);
    expect(told).toEqual([33_000]);
  });

  it.each([
    ["in the middle", piece(1, 2, 1)],
    ["at the end", piece(1, 2, 0, true)],
  ])("fails as incomplete when a piece is missing %s", (_, next) => {
    const { rules, ended, told, ask } = streaming();
    ask();
    rules.receive(1, piece(1, 0, 1), 1);
    rules.receive(1, next, 1);
    expect([ended, told]).toEqual([["incomplete"], ["cancel"]]);
    rules.receive(1, piece(1, 3, 1), 1);
    expect(rules.stats()).toMatchObject({ failed: 1, late: 1, inFlight: 0 });
  });

  it("is not late while its reader has pieces to read, and is cancelled when it is", () => {
    const { rules, sink, ended, told, ask } = streaming();
    const call = ask();
    rules.receive(1, piece(1, 0, 1), 1);
    sink.unread = true;
    for (let now = 100; now < 5_000; now += 100) {
      rules.receive(1, { kind: "client-heartbeat" }, now);
      rules.tick(now);
    }
    expect(ended).toEqual([]);
    sink.unread = false;
    rules.read(call, 65, 5_000);
    rules.receive(1, { kind: "client-heartbeat" }, 5_900);
    rules.tick(5_900);
    expect(ended).toEqual([]);
    rules.tick(6_200);
    expect([ended, told.at(-1)]).toEqual([["ETIMEDOUT"], "cancel"]);
  });
});

describe("a client whose brokers come and go", () => {
  it("stays with its broker while that is listed, whatever comes before it, and after a failure with the next one", () => {
    const { rules, begin, ask, negotiate, said, left } = clientOf(["b"]);
    begin(0);
    rules.setEndpoints(["a", "b"], 1);
    ask("one", 1, 2);
    expect([said(), left()]).toEqual([["1 one"], []]);
    rules.disconnected(1, 3);
    expect(said()).toEqual(["-1", "+2 a", "2 ?"]);
    negotiate(2, 4);
    rules.receive(2, answerOf(1), 4);
    said();
    rules.setEndpoints(["b", "a"], 5);
    rules.tick(100 * BEAT);
    expect([said().filter((line) => line.startsWith("+")), rules.stats().broker]).toEqual([[], "a"]);
  });

  it("beats to the broker that it has left until that has answered, and then closes the connection", () => {
    const { rules, begin, negotiate, said, ended } = clientOf(["b"]);
    begin(1, "one");
    rules.setEndpoints(["a"], 1);
    negotiate(2, 1);
    said();
    for (let now = 1 + BEAT; now < 1_000; now += BEAT) {
      expect(rules.nextWakeUp()).toBe(now);
      rules.tick(now);
      expect(said()).toEqual(["1 ?"]);
      rules.receive(1, { kind: "client-heartbeat" }, now + 1);
    }
    rules.receive(1, answerOf(1), 1_000);
    expect([said(), ended]).toEqual([["-1"], ["one answered"]]);
    expect(rules.nextWakeUp()).toBeUndefined();
  });

  it("asks again what a broker that it has left dropped, or is silent about", () => {
    for (const isSilent of [false, true]) {
      const { rules, ask, negotiate, said, ended } = clientOf(["b"]);
      negotiate(1);
      ask("one", 1);
      rules.setEndpoints(["a"], 1);
      negotiate(2, 2);
      said();
      if (isSilent) for (let now = BEAT; now < 5 * BEAT; now += 10) rules.tick(now);
      else rules.receive(1, { kind: "forgotten" }, 10);
      expect(said().filter((line) => !line.endsWith("?"))).toEqual(["-1", "2 one"]);
      expect(ended).toEqual([]);
    }
  });

  it("does not fail by the second refusal of a request that it has sent twice", () => {
    const { rules, ask, negotiate, said, ended } = clientOf(["a", "b"]);
    negotiate(1);
    ask("one", 5);
    ask("taken", 5);
    rules.receive(1, { kind: "forgotten" }, 1);
    expect(said().filter((line) => line === "1 one")).toHaveLength(2);
    for (const now of [2, 3]) rules.receive(1, failureOf(1, "stopping"), now);
    negotiate(2, 4);
    expect([said(), ended]).toEqual([["+2 b", "2 ?", "2 one"], []]);
  });
});

it("a plain broker's greeting fails many waiting calls with headers, which it cannot have", () => {
  const { rules } = clientOf(["a"], undefined, { maxPending: 20_000 });
  const terms = { timeout: 0, retries: 0, total: 0, headers: Buffer.from("h") };
  let failed = 0;
  for (let i = 0; i < 20_000; i++)
    rules.submit(new Call(ECHO, ["x"], terms, { answer: () => "read", failed: () => void failed++ }), 0);
  rules.receive(1, { kind: "negotiated", extended: false, heartbeatInterval: 0 } as AtClient, 1);
  expect(failed).toBe(20_000);
});
