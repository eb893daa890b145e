/** A client's rules, one at a time, without a network. */
import { expect, test } from "vitest";
import { ClientRules } from "../../../src/patterns/clone/client-rules.js";
import { encodeGoodbye, sequenceFrame } from "../../../src/patterns/clone/protocol.js";

interface Rig {
  readonly rules: ClientRules;
  readonly done: string[];
}

/** @param random for the jitter */
function rig(servers: readonly string[], random = 1): Rig {
  const done: string[] = [];
  const rules = new ClientRules(
    {
      servers,
      subtree: Buffer.alloc(0),
      heartbeatInterval: 1_000,
      liveness: 2,
      attemptTimeout: 3_000,
      retryDelay: 50,
      maxRetryDelay: 1_000,
      random: () => random,
      maxPending: 10,
      maxPendingBytes: 1_000_000,
      maxBytes: 1_000,
      token: Buffer.alloc(8, 1),
    },
    {
      open: (attempt, server) => done.push(`open ${attempt} ${server}`),
      ask: (attempt) => done.push(`ask ${attempt}`),
      sendSet: () => true,
      watching: false,
      changed: () => undefined,
      synced: () => done.push("synced"),
      event: ({ type }) => done.push(type),
    },
    0,
  );
  return { rules, done };
}

test("a client that is closed asks nobody, whatever its sockets still report", () => {
  const { rules, done } = rig(["a", "b"]);
  rules.start(0);
  rules.close(1);
  rules.connected(1, 2);
  rules.disconnected(1, true, 3);
  rules.tick(10_000);
  expect(done).toEqual(["open 1 0", "state:changed"]);
  expect(rules.nextWakeUp()).toBeUndefined();
});

test("what a server acknowledged that was gone before its map was whole is not settled by the next one's map", () => {
  const { rules } = rig(["a", "b"]);
  const [key, value, empty] = [Buffer.from("k"), Buffer.from("v"), Buffer.alloc(0)];
  const uuid = Buffer.alloc(16, 1, "binary");
  uuid.fill(0, 8).writeUInt32BE(1, 12);
  let settled = 0;
  const settle = (): void => {
    settled += 1;
  };
  rules.start(0);
  rules.connected(1, 0);
  rules.set({ key, properties: empty, value, conditional: false, timeout: 0 }, settle, () => undefined, 0);
  rules.update(1, [key, sequenceFrame(1), uuid, empty, value], 0); // While the map is on its way.
  rules.disconnected(1, false, 10);
  for (let now = 20; now < 2_000; now += 100) rules.tick(now);
  rules.connected(2, 2_000);
  rules.snapshot(2, encodeGoodbye(0, empty), 2_000); // The next server has not got it.
  expect([rules.state, settled, rules.stats(2_000).inFlight]).toEqual(["live", 0, 1]);
  rules.update(2, [key, sequenceFrame(1), uuid, empty, value], 2_001);
  expect([settled, rules.stats(2_001).inFlight]).toEqual([1, 0]);
});

test.each([
  [0, [25, 50, 100]],
  [0.5, [37.5, 75, 150]],
])("a client that is refused waits by chance for as little as half of that (%d)", (random, waits) => {
  const { rules } = rig(["a"], random);
  let now = 0;
  rules.start(now);
  for (const [n, wait] of waits.entries()) {
    rules.disconnected(n + 1, true, now);
    expect((rules.nextWakeUp() as number) - now).toBe(wait);
    now += wait;
    rules.tick(now);
  }
});

test("a client that is refused tries again less and less often, until it has a map", () => {
  const { rules, done } = rig(["a"]);
  let now = 0;
  let attempt = 1;
  const refused = (): number => {
    rules.disconnected(attempt, true, now);
    const pause = (rules.nextWakeUp() as number) - now;
    now += pause;
    rules.tick(now);
    attempt += 1;
    expect(done.at(-1)).toBe(`open ${attempt} 0`);
    return pause;
  };
  rules.start(now);
  expect(Array.from({ length: 7 }, refused)).toEqual([50, 100, 200, 400, 800, 1_000, 1_000]);
  rules.connected(attempt, now);
  rules.snapshot(attempt, encodeGoodbye(7, Buffer.alloc(0)), now);
  expect(done).toContain("synced");
  expect([refused(), refused()]).toEqual([50, 100]);
});

test.each([
  [0, 1_000],
  [0.5, 1_250],
  [1, 1_500],
])("an update that is not acknowledged is sent again after a time that is in part by chance (%d)", (random, at) => {
  const { rules } = rig(["a"], random);
  const [key, value, empty] = [Buffer.from("k"), Buffer.from("v"), Buffer.alloc(0)];
  rules.start(0);
  rules.connected(1, 0);
  rules.snapshot(1, encodeGoodbye(0, empty), 0);
  rules.collectorReady(0, 0);
  rules.set(
    { key, properties: empty, value, conditional: false, timeout: 0 },
    () => undefined,
    () => undefined,
    0,
  );
  const resent = (now: number): number => {
    rules.update(1, [Buffer.from("HUGZ"), sequenceFrame(0), empty, empty, empty], now);
    rules.tick(now);
    return rules.stats(now).resent;
  };
  expect([resent(at - 1), rules.nextWakeUp(), resent(at)]).toEqual([0, at, 1]);
});
