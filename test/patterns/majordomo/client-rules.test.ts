/** A client whose connections end: what it asks again, where, and how often. */
import { describe, expect, it } from "vitest";
import type { ClientEvent } from "../../../src/patterns/majordomo/client-events.js";
import { ClientRules } from "../../../src/patterns/majordomo/client-rules.js";
import { Dialect } from "../../../src/patterns/majordomo/protocol.js";
import type { ClientInput } from "../../../src/patterns/majordomo/protocol-client.js";

const BEAT = 100;
const LIMITS = { heartbeatInterval: BEAT, liveness: 3, maxInFlight: 10, maxPending: 10, maxConnections: 2 };
const INCARNATION = Buffer.from("12345678");

function clientOf(endpoints: string[], dialect?: Dialect) {
  /** Connections, and what is said over each: `+1 a`, `-1`, `1 text of the last frame`. */
  const log: string[] = [];
  const events: ClientEvent[] = [];
  const rules = new ClientRules(
    { ...LIMITS, endpoints, dialect },
    {
      open: (connection, endpoint) => log.push(`+${connection} ${endpoint}`),
      close: (connection) => log.push(`-${connection}`),
      send: (connection, message) => {
        const last = String(message.at(-1));
        log.push(`${connection} ${/^[a-z0-9.]+$/.test(last) ? last : "?"}`);
        return true;
      },
      event: (event) => events.push(event),
    },
    Buffer.alloc(8),
  );
  rules.start(0);
  const ended: string[] = [];
  return {
    rules,
    ended,
    left: () => events.flatMap((event) => (event.type === "broker:leave" ? [event.reason] : [])),
    said: () => log.splice(0),
    negotiate: (connection: number, now = 0) => {
      const input = { kind: "negotiated", extended: true, incarnation: INCARNATION, heartbeatInterval: BEAT };
      rules.receive(connection, input as ClientInput, now);
    },
    ask: (text: string, retries: number, now = 0) =>
      rules.submit(
        rules.service("echo"),
        [text],
        { all: false, timeout: 10_000, retries },
        {
          answer: () => ended.push(`${text} answered`),
          failed: (error) => ended.push(`${text} ${"reason" in error ? error.reason : error.code}`),
        },
        now,
      ),
  };
}

describe("a client of shoal's broker whose connection ends", () => {
  it("asks the next one at once, and sends again what was not answered, in its order", () => {
    const { rules, ask, negotiate, said, ended, left } = clientOf(["a", "b"]);
    negotiate(1);
    ask("one", 1);
    ask("two", 1);
    expect(said().slice(2)).toEqual(["1 one", "1 two"]);
    rules.disconnected(1, 5);
    expect(said()).toEqual(["-1", "+2 b", "2 ?"]);
    expect(rules.stats()).toMatchObject({ pending: 2, inFlight: 0, broker: undefined });
    negotiate(2, 6);
    expect(said()).toEqual(["2 one", "2 two"]);
    expect([ended, left()]).toEqual([[], ["disconnected"]]);
  });

  it("is told what cannot be sent again", () => {
    const { rules, ask, negotiate, ended } = clientOf(["a"]);
    negotiate(1);
    ask("once", 0);
    ask("again", 1);
    rules.disconnected(1, 5);
    expect(ended).toEqual(["once broker-lost"]);
    expect(rules.stats()).toMatchObject({ failed: 1, pending: 1 });
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

  it("asks again after its rest though nobody wants anything now", () => {
    const { rules, negotiate, said } = clientOf(["a"]);
    negotiate(1);
    rules.disconnected(1, 1);
    negotiate(2, 2);
    rules.disconnected(2, 2);
    said();
    rules.tick(BEAT + 1);
    expect(said()).toEqual(["+3 a", "3 ?"]);
  });

  it("does not mind the end of a connection that it has given up", () => {
    const { rules, negotiate, said } = clientOf(["a", "b"]);
    negotiate(1);
    rules.disconnected(1, 1);
    said();
    rules.disconnected(1, 2);
    rules.refused(1, 2);
    expect(said()).toEqual([]);
  });
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

  it("waits where it has only one", () => {
    const { rules, said } = clientOf(["a"]);
    said();
    rules.refused(1, 1);
    expect(said()).toEqual([]);
  });
});

describe("a client of plain brokers", () => {
  const first = ["+1 a"];

  it("sends what was on a connection that ended to the next broker, and nothing more to the former", () => {
    const { rules, ask, said, ended } = clientOf(["a", "b"], Dialect.Mdp01);
    ask("one", 1);
    ask("two", 1);
    ask("three", 1);
    expect(said()).toEqual([...first, "1 one", "+2 a", "2 two"]);
    rules.disconnected(1, 1);
    rules.disconnected(2, 1);
    // Both were of one broker: that is one step on.
    expect(said()).toEqual(["-1", "+3 b", "3 one", "-2", "+4 b", "4 two"]);
    expect(ended).toEqual([]);
  });

  it("closes a connection to the former broker as soon as its answer is there", () => {
    const { rules, ask, said, ended } = clientOf(["a", "b"], Dialect.Mdp01);
    ask("one", 1);
    ask("two", 1);
    rules.disconnected(1, 1);
    said();
    const answer = { kind: "answer", sequence: -1, final: true, service: Buffer.from("echo"), body: [] };
    rules.receive(2, answer as unknown as ClientInput, 2);
    expect([said(), ended]).toEqual([["-2"], ["two answered"]]);
    ask("three", 1, 3);
    expect(said()).toEqual(["+4 b", "4 three"]);
  });

  it("is told what cannot be sent again, and makes a new connection for the next request", () => {
    const { rules, ask, said, ended } = clientOf(["a"], Dialect.Mdp01);
    ask("once", 0);
    rules.disconnected(1, 1);
    expect(ended).toEqual(["once broker-lost"]);
    ask("next", 0, 2);
    expect(said()).toEqual([...first, "1 once", "-1", "+2 a", "2 next"]);
  });

  it("does not use an idle connection that has ended", () => {
    const { rules, ask, said } = clientOf(["a"], Dialect.Mdp01);
    rules.disconnected(1, 1);
    ask("x", 0, 2);
    expect(said()).toEqual([...first, "-1", "+2 a", "2 x"]);
  });
});
