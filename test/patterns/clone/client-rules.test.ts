/** A client's rules, one at a time, without a network. */
import { expect, test } from "vitest";
import type { CloneCall } from "../../../src/patterns/clone/client-calls.js";
import type { ClientRules } from "../../../src/patterns/clone/client-rules.js";
import { encodeGoodbye, encodeHugz, sequenceFrame } from "../../../src/patterns/clone/protocol.js";
import { EMPTY, KEY, resultOf, rig, VALUE } from "./client-rig.js";

/** The UUID of the client's update of this number. */
function uuidOf(number: number): Buffer {
  const uuid = Buffer.alloc(16, 1);
  uuid.fill(0, 8).writeUInt32BE(number, 12);
  return uuid;
}

const HUGZ = encodeHugz(0);

test("a client that is closed asks nobody, whatever its sockets still report", () => {
  const { rules, start, done } = rig(["a", "b"]);
  start(0);
  rules.close(1);
  rules.connected(1, 2);
  rules.disconnected(1, true, 3);
  rules.tick(10_000);
  expect(done).toEqual(["open 1 a", "state:changed"]);
  expect(rules.nextWakeUp()).toBe(Number.POSITIVE_INFINITY);
});

test.each([
  ["state:changed", 1],
  ["server:failed-over", 1],
  ["update:missed", 9],
])("a client that its program closes within %s stays closed, and opens nothing", (type, latest) => {
  const { rules, begin, done, listeners } = rig(["a", "b"]);
  begin(1);
  listeners.set(type, () => {
    listeners.clear();
    rules.close(2);
  });
  rules.update(1, encodeHugz(latest), 2);
  rules.tick(10_000);
  expect(done).toContain(type);
  expect(rules.state).toBe("closed");
  expect(done.filter((what) => what.startsWith("open"))).toEqual(["open 1 a"]);
});

test("a message that is no snapshot's is reported, and the rest of the snapshot counts", () => {
  const { rules, start, done } = rig(["a"]);
  start(0);
  rules.connected(1, 0);
  rules.snapshot(1, [Buffer.from("k"), Buffer.from("short")], 0);
  expect([done.at(-1), rules.stats(0).faults]).toEqual(["message:invalid", 1]);
  rules.snapshot(1, encodeGoodbye(0, EMPTY), 0);
  expect(rules.state).toBe("live");
});

test("updates that wait for room are bounded, and no repetition joins them", () => {
  const { rules, begin, set, unsent } = rig(["a"], { mute: true });
  begin();
  rules.collector(1, true, 0);
  const calls = Array.from({ length: 12 }, (_, n) => set(Buffer.from(`k${n}`)));
  expect([unsent.length, unsent[9]]).toEqual([10, "k9"]);
  rules.update(1, HUGZ, 1_900);
  rules.tick(2_000);
  expect(unsent.length).toBe(10);
  // They leave, one was given up meanwhile, and the rest is sent again: only now the last two.
  unsent.splice(0);
  rules.calls.abort(calls[0] as CloneCall, 2_100);
  rules.update(1, HUGZ, 3_900);
  rules.tick(4_000);
  expect(unsent.slice(0, 10)).toEqual(["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k10"]);
});

test("a client that misses updates again and again asks for the map less and less often, until one comes in its turn", () => {
  const { rules, begin, done } = rig(["a", "b"]);
  let now = 0;
  let last = 0;
  let attempt = 1;
  const update = (sequence: number): void => {
    last = sequence;
    rules.update(attempt, [KEY, sequenceFrame(sequence), Buffer.alloc(16, 9), EMPTY, VALUE], now);
  };
  /** @returns ms from the loss of an update to the next attempt */
  const miss = (): number => {
    const before = now;
    update(last + 2);
    now = rules.nextWakeUp() as number;
    rules.tick(now);
    attempt += 1;
    expect(done.at(-1)).toBe(`open ${attempt} a`); // The other one stands by.
    rules.connected(attempt, now);
    rules.snapshot(attempt, encodeGoodbye(last, EMPTY), now);
    return now - before;
  };
  begin();
  expect([miss(), miss(), miss(), miss()]).toEqual([50, 100, 200, 400]);
  update(last + 1);
  expect([miss(), miss()]).toEqual([50, 100]);
});

test("a value that replaces another counts once against the bound, and a change past it is reported: the next snapshot has it", () => {
  const { rules, start, done } = rig(["a"], { watching: true });
  const value = Buffer.alloc(600, "x");
  start(0);
  rules.connected(1, 0);
  rules.snapshot(1, [Buffer.from("a"), sequenceFrame(1), EMPTY, EMPTY, value], 0);
  rules.snapshot(1, encodeGoodbye(1, EMPTY), 0);
  for (const sequence of [2, 3])
    rules.update(1, [Buffer.from("a"), sequenceFrame(sequence), EMPTY, EMPTY, value], 1);
  expect([rules.state, done.includes("message:invalid")]).toEqual(["live", false]);
  rules.update(1, [Buffer.from("b"), sequenceFrame(4), EMPTY, EMPTY, value], 1);
  expect(rules.state).not.toBe("live");
  expect(done).toContain("changed b");
});

test.each([
  [1, [50, 100, 200, 400, 800, 1_000, 1_000]],
  [0.5, [37.5, 75, 150, 300, 600, 750, 750]],
  [0, [25, 50, 100, 200, 400, 500, 500]],
])("a client that is refused tries again less and less often, by chance as soon as after half of that (%d), until it has a map", (random, waits) => {
  const { rules, start, done } = rig(["a"], { random });
  let now = 0;
  let attempt = 1;
  const refused = (): number => {
    rules.disconnected(attempt, true, now);
    const pause = (rules.nextWakeUp() as number) - now;
    now += pause;
    rules.tick(now);
    attempt += 1;
    expect(done.at(-1)).toBe(`open ${attempt} a`);
    return pause;
  };
  start(now);
  expect(waits.map(refused)).toEqual(waits);
  rules.connected(attempt, now);
  rules.snapshot(attempt, encodeGoodbye(7, EMPTY), now);
  expect(done).toContain("synced");
  rules.update(attempt, HUGZ, now);
  expect([refused(), refused()]).toEqual(waits.slice(0, 2));
});

test.each([
  [0, 1_000],
  [0.5, 1_250],
  [1, 1_500],
])("an update that is not acknowledged is sent again after a time that is in part by chance (%d)", (random, at) => {
  const { rules, begin, set } = rig(["a"], { random });
  begin();
  rules.collector(1, true, 0);
  set();
  const resent = (now: number): number => {
    rules.update(1, HUGZ, now);
    rules.tick(now);
    return rules.stats(now).resent;
  };
  expect([resent(at - 1), rules.nextWakeUp(), resent(at)]).toEqual([0, at, 1]);
});

test("an update is not sent again to a server that is as slow with others", () => {
  const { rules, begin } = rig(["a"]);
  begin();
  rules.collector(1, true, 0);
  const set = (key: string, now: number): void => {
    const update = { key: Buffer.from(key), properties: EMPTY, value: VALUE, timeout: -1 };
    rules.calls.add({ ...update, conditional: false }, resultOf(), now);
  };
  const resent = (now: number): number => {
    for (let time = now - 3_000; time <= now; time += 500) {
      rules.update(1, HUGZ, time);
      rules.tick(time);
    }
    return rules.stats(now).resent;
  };
  set("k", 0);
  set("l", 500);
  rules.update(1, [KEY, sequenceFrame(1), uuidOf(1), EMPTY, VALUE], 900);
  set("m", 1_000);
  rules.update(1, [Buffer.from("l"), sequenceFrame(2), uuidOf(2), EMPTY, VALUE], 3_500); // In 3 s.
  const before = rules.stats(3_500).resent;
  expect(resent(6_900) - before).toBe(0);
  expect(resent(9_000) - before).toBe(1);
});

/** A client that has the map of the server that it is at, and hears of it each second up to a time. */
function live(rules: ClientRules, attempt: number, from: number, to: number): void {
  rules.connected(attempt, from);
  rules.snapshot(attempt, encodeGoodbye(0, EMPTY), from);
  hear(rules, attempt, from, to);
}

function hear(rules: ClientRules, attempt: number, from: number, to: number): void {
  for (let now = from; now <= to; now += 500) {
    rules.update(attempt, HUGZ, now);
    rules.tick(now);
  }
}

test("a client without a server waits, and sends what was set meanwhile to the first", () => {
  const { rules, start, set, done } = rig([]);
  start(0);
  expect([done, rules.nextWakeUp(), rules.stats(0).server]).toEqual([[], Number.POSITIVE_INFINITY, ""]);
  set();
  rules.tick(100_000);
  rules.setServers(["a"], 100_000);
  expect(done).toEqual(["open 1 a"]);
  live(rules, 1, 100_000, 100_000);
  rules.collector(1, true, 100_001);
  expect(rules.stats(100_001)).toMatchObject({ server: "a", inFlight: 1, resent: 1 });
});

test("a working server that is not listed any more is left after 5 s, a failing one at once, and none without others, or listed again", () => {
  const { rules, start, done } = rig(["a", "b"]);
  start(0);
  live(rules, 1, 0, 1_000);
  done.length = 0;
  rules.setServers(["b"], 1_000);
  hear(rules, 1, 1_000, 5_500);
  expect(done).toEqual([]);
  hear(rules, 1, 6_000, 6_000);
  expect(done.splice(0)).toEqual(["state:changed", "server:failed-over", "open 2 b"]);
  live(rules, 2, 6_000, 7_000);
  done.length = 0;
  rules.setServers([], 8_000);
  hear(rules, 2, 8_000, 60_000); // There is no other: it stays, and is dialled again.
  expect(done).toEqual([]);
  rules.disconnected(2, false, 60_000);
  rules.tick(60_100);
  expect(done.splice(0)).toEqual(["state:changed", "open 3 b"]);
  live(rules, 3, 60_100, 60_100);
  done.length = 0;
  rules.setServers(["c"], 61_000); // Not in the list for longer than 5 s.
  expect(done).toEqual([]);
  hear(rules, 3, 61_000, 61_000);
  expect(done.splice(0)).toEqual(["state:changed", "server:failed-over", "open 4 c"]);
  live(rules, 4, 61_000, 62_000);
  done.length = 0;
  rules.setServers(["d"], 62_000);
  rules.disconnected(4, false, 62_100);
  rules.tick(62_200);
  expect(done.splice(0)).toEqual(["state:changed", "server:failed-over", "open 5 d"]);
  live(rules, 5, 62_200, 63_000);
  done.length = 0;
  rules.setServers(["e"], 63_000);
  rules.setServers(["e", "d"], 64_000);
  hear(rules, 5, 64_000, 100_000);
  expect(done).toEqual([]);
});

test("a client's map has no key that is none or of another subtree, and says so", () => {
  const { rules, start, done } = rig(["a"], { subtree: "/x/" });
  const update = (key: Buffer): Buffer[] => [key, sequenceFrame(2), EMPTY, EMPTY, VALUE];
  start(0);
  rules.connected(1, 0);
  const long = Buffer.alloc(256, "/x/");
  for (const key of [long, Buffer.from("/y/k")]) rules.snapshot(1, update(key), 0);
  rules.snapshot(1, encodeGoodbye(1, Buffer.from("/x/")), 0);
  rules.update(1, update(long), 0);
  expect(done.filter((type) => type === "message:invalid")).toHaveLength(3);
  expect(rules.stats(0)).toMatchObject({ state: "live", entries: 0, faults: 3 });
});

test.each([
  "snapshot",
  "update",
] as const)("a client leaves a server from which more than its bound comes before its map is whole (%s)", (from) => {
  const { rules, start } = rig(["a"]);
  start(0);
  rules.connected(1, 0);
  for (const [n, key] of ["k", "l"].entries())
    rules[from](1, [Buffer.from(key), sequenceFrame(n + 1), EMPTY, EMPTY, Buffer.alloc(600)], 0);
  rules.snapshot(1, encodeGoodbye(from === "snapshot" ? 2 : 0, EMPTY), 0);
  expect(rules.stats(0)).toMatchObject({ state: "syncing", entries: 0, snapshots: 0 });
});
