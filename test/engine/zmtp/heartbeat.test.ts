/** The heartbeat's timers, on its driver; its rules with generated schedules are in heartbeat-rules.test.ts. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseCommand } from "../../../src/engine/zmtp/codec/command.js";
import { HeartbeatDriver, type HeartbeatOptions, pongCommand } from "../../../src/engine/zmtp/heartbeat.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function make(options: Partial<HeartbeatOptions> = {}) {
  const pings: Buffer[] = [];
  let silences = 0;
  const link = {
    blocked: false,
    taken: 0,
    sendPing: (ping: Buffer) => void pings.push(ping),
    heartbeatOnGone: () => {
      silences += 1;
      heartbeat.stop();
    },
  };
  const heartbeat: HeartbeatDriver = new HeartbeatDriver(
    { interval: 100, timeout: 250, timeToLive: 0, ...options },
    link,
  );
  return { heartbeat, pings, link, silences: () => silences };
}

const ping = (tenths: number, context = ""): Buffer => {
  const data = Buffer.alloc(2 + context.length);
  data.writeUInt16BE(tenths);
  data.write(context, 2, "latin1");
  return data;
};

test("what came while this side was busy counts, when it is read in the turn after", async () => {
  const { heartbeat, silences } = make();
  vi.advanceTimersByTime(350); // The time-out has passed; the event loop reads now.
  heartbeat.heard();
  await vi.advanceTimersByTimeAsync(50);
  expect(silences()).toBe(0);
  heartbeat.stop();
});

test("the time to live begins again with each traffic, before its end, too", async () => {
  const { heartbeat, silences } = make({ interval: 0 });
  heartbeat.ping(ping(10));
  for (let i = 0; i < 5; i++) {
    await vi.advanceTimersByTimeAsync(900);
    heartbeat.heard();
  }
  await vi.advanceTimersByTimeAsync(990);
  expect(silences()).toBe(0);
  await vi.advanceTimersByTimeAsync(20);
  expect(silences()).toBe(1);
});

test("a PING without a time to live takes back the one before", async () => {
  const { heartbeat, silences } = make({ interval: 0 });
  heartbeat.ping(ping(10));
  heartbeat.heard();
  heartbeat.ping(ping(0));
  await vi.advanceTimersByTimeAsync(50_000);
  expect([silences(), vi.getTimerCount()]).toEqual([0, 0]);
});

test("what a full kernel took in the turn after counts, too", async () => {
  const { heartbeat, link, silences } = make();
  link.blocked = true;
  vi.advanceTimersByTime(350);
  link.taken += 1;
  await vi.advanceTimersByTimeAsync(50);
  expect(silences()).toBe(0);
  heartbeat.stop();
});

test("what came in the very turn of the time to live's end counts, and starts it again", async () => {
  const { heartbeat, pings, silences } = make({ interval: 0 });
  heartbeat.ping(ping(10));
  vi.advanceTimersByTime(1_000);
  heartbeat.heard();
  await vi.advanceTimersByTimeAsync(990);
  expect(silences()).toBe(0);
  await vi.advanceTimersByTimeAsync(20);
  expect([silences(), pings.length]).toEqual([1, 0]);
});

test("a pause in the very turn of the time-out counts", async () => {
  const { heartbeat, silences } = make();
  vi.advanceTimersByTime(350);
  heartbeat.pause();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(silences()).toBe(0);
  heartbeat.stop();
});

test("stopped, it leaves no timer behind", async () => {
  const { heartbeat, pings, silences } = make();
  heartbeat.ping(ping(5));
  await vi.advanceTimersByTimeAsync(120);
  heartbeat.stop();
  expect(vi.getTimerCount()).toBe(0);
  await vi.advanceTimersByTimeAsync(5_000);
  expect([pings.length, silences()]).toEqual([1, 0]);
});

describe("PONG", () => {
  test.each([
    ["", ""],
    ["abc", "abc"],
    ["x".repeat(16), "x".repeat(16)],
    ["x".repeat(17), "x".repeat(16)],
    ["x".repeat(3_000), "x".repeat(16)],
  ])("answers the context, at most 16 bytes of it", (context, answered) => {
    const command = parseCommand(pongCommand(ping(7, context)) as Buffer);
    expect([command?.name, command?.data.toString()]).toEqual(["PONG", answered]);
  });

  test("is not sent for a PING cut short", () => {
    for (const size of [0, 1]) expect(pongCommand(Buffer.alloc(size))).toBeUndefined();
  });
});
