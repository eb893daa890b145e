/** Which of two copies of a map is the newer, and what their servers may do with it. */
import { describe, expect, test } from "vitest";
import { BinaryStarState } from "../../../src/patterns/binary-star/rules.js";
import { EMPTY } from "../../../src/patterns/clone/protocol.js";
import { standingOf } from "../../../src/patterns/clone/replication.js";
import {
  encodePosition,
  encodeStanding,
  NO_MAP,
  orderOf,
  type Position,
  parsePosition,
  parseStanding,
  ServerStanding,
  type Standing,
} from "../../../src/patterns/clone/standing.js";

const { PRIMARY, BACKUP, ACTIVE, PASSIVE } = BinaryStarState;
const MAP: string = "07".repeat(8);
const OTHER: string = "09".repeat(8);

function position(term: number, sequence: number, alone = false, map = MAP): Position {
  return { map, term, sequence, alone, ready: false };
}

test.each([
  ["map", '{"map":"07","term":0,"alone":true}'],
  ["flag", '{"map":"","term":0,"alone":1}'],
  ["term", '{"map":"","term":-1,"alone":true}'],
  ["JSON", '{"map":"","term":'],
  ["object", "null"],
  ["bytes", ""],
])("a standing with a bad %s is none", (_, text) => {
  expect(parseStanding(Buffer.from(text))).toBeUndefined();
  expect(parsePosition(Buffer.from(text))).toBeUndefined();
});

test("a peer's term has later ones: a server that begins to serve would look for one without end", () => {
  const text = (term: number): Buffer =>
    Buffer.from(`{"map":"","term":${term},"alone":true,"sequence":0,"ready":false}`);
  expect(parsePosition(text(2 ** 53 - 1))).toBeUndefined();
  const end = [EMPTY, EMPTY, EMPTY, Buffer.from(`standing=${text(2 ** 53 - 1)}\n`), EMPTY];
  expect(standingOf(end)).toBeUndefined();
  for (const [author, role] of (["primary", "backup"] as const).entries()) {
    const { standing } = server(role);
    expect(standing.compare(PASSIVE, text(2 ** 52), PRIMARY)).toBe("older");
    standing.begin(true);
    expect([standing.wanted.term > 2 ** 52, standing.wanted.term % 3]).toEqual([true, author]);
  }
});

test("the later term is newer, then the later sequence, then the one that served alone", () => {
  expect(orderOf(position(3, 9), position(4, 1))).toBe("older");
  expect(orderOf(position(4, 2), position(4, 1))).toBe("newer");
  expect(orderOf(position(4, 1, true), position(4, 1))).toBe("newer");
  expect(orderOf(position(4, 1), position(4, 1))).toBe("same");
  expect(orderOf(position(4, 1), position(9, 1, false, OTHER))).toBe("foreign");
  expect(orderOf(position(0, 5, false, NO_MAP), position(0, 4, false, NO_MAP))).toBe("newer"); // Of old stores.
  expect(orderOf(position(0, 0, false, NO_MAP), position(1, 0, false, OTHER))).toBe("older"); // A new disk.
});

/** A server's standing at a sequence, with a store whose answers the test gives. */
function server(role: "primary" | "backup" | undefined, sequence = 10) {
  const marks: Standing[] = [];
  const ready: boolean[] = [];
  let unmet = 0;
  let diverged = 0;
  const standing = new ServerStanding(
    {
      ...(role === undefined ? {} : { role }),
      hasStore: true,
      heartbeatInterval: 100,
      token: Buffer.from(MAP, "hex"),
    },
    {
      mark: (bytes) => void marks.push(parseStanding(bytes) as Standing),
      announce: () => void ready.push((parsePosition(standing.position()) as Position).ready),
      event: ({ type }) => {
        if (type === "peer:unmet") unmet += 1;
        else diverged += 1;
      },
    },
    () => sequence,
  );
  return { standing, marks, ready, unmet: () => unmet, diverged: () => diverged };
}

/** Of a primary that has served once. */
const old = (alone: boolean): Buffer => encodeStanding({ map: MAP, term: 3, alone });

describe("a server", () => {
  test("asks a store that refused again, and counts on nothing meanwhile", () => {
    const { standing, marks } = server("primary");
    standing.begin(false);
    standing.markFailed(1_000);
    expect([standing.alone, standing.retryAt]).toEqual([false, 1_100]);
    standing.tick(1_099);
    standing.tick(1_100);
    standing.marked();
    expect([standing.alone, marks.length]).toEqual([true, 2]);
  });

  test("alone, whose store never was one of a pair, writes no term", () => {
    const { standing, marks } = server(undefined);
    standing.begin(false);
    expect([standing.alone, standing.wanted.term, marks.length]).toEqual([true, 0, 0]);
  });

  test.each([
    ["that served last serves again", old(true), true],
    ["that was in step waits for the other one", old(false), false],
    ["that has nothing waits", undefined, false],
  ])("%s, when it starts and nobody is there", (_, bytes, may) => {
    for (const role of ["primary", "backup"] as const) {
      const { standing, unmet } = server(role);
      expect(standing.restore(bytes)).toBe(true);
      expect(standing.mayTakeOver(role === "primary" ? PRIMARY : BACKUP)).toBe(may);
      standing.mayTakeOver(PRIMARY);
      expect(unmet()).toBe(may ? 0 : 1);
    }
  });

  test("that hears of a newer map does not serve again before it has it, though it served last", () => {
    const { standing, marks } = server("primary");
    standing.restore(old(true));
    expect(standing.compare(BACKUP, encodePosition(position(4, 5)), PRIMARY)).toBe("older");
    expect(marks).toMatchObject([{ alone: false }]);
    expect(standing.mayTakeOver(PRIMARY)).toBe(false);
  });

  test("that stands by takes over from one that is in step with it, not from one that serves alone", () => {
    const { standing, ready } = server("backup");
    standing.restore(old(false));
    const hear = (sequence: number, alone: boolean): unknown =>
      standing.compare(ACTIVE, encodePosition(position(3, sequence, alone)), PASSIVE);
    hear(10, false);
    expect(standing.mayTakeOver(PASSIVE)).toBe(true);
    hear(11, false);
    expect(standing.mayTakeOver(PASSIVE)).toBe(false);
    hear(9, true);
    expect(standing.mayTakeOver(PASSIVE)).toBe(false);
    expect(ready).toEqual([true, false]); // The one that serves hears of it at once.
  });

  test("does not understand a peer of another version, and says so", () => {
    const { standing } = server("backup");
    expect(standing.compare(ACTIVE, Buffer.of(2, 0), BACKUP)).toBeUndefined();
    expect(standing.restore(Buffer.of(2, 0))).toBe(false);
  });

  test.each([
    ["that was in step", old(false), 10, 0],
    ["that served alone", old(true), 10, 1],
    ["with the map of a server without a pair", undefined, 10, 1],
    ["with a new store", undefined, 0, 0],
  ])("%s, at the other one's map", (_, bytes, sequence, events) => {
    const theirs = { map: MAP, term: 4, alone: true };
    const { standing, diverged } = server("primary", sequence);
    standing.restore(bytes);
    standing.adopt(theirs);
    standing.adopt(theirs);
    expect(diverged()).toBe(events);
  });

  test("of a pair that starts without it begins a term above those of a lost server, once", () => {
    const { standing } = server(undefined);
    standing.restore(old(false));
    standing.begin(false);
    const { term } = standing.wanted;
    expect(term).toBeGreaterThan(3_000_000);
    standing.begin(false);
    expect(standing.wanted.term).toBe(term + 3);
  });
});
