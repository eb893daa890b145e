/** What a node's process has of its own: timers, clocks, random numbers, disk, and what becomes of them in each fault. */
import { createHash, randomBytes, randomInt, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep, setInterval as ticks } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { type SimulatedNode, simulate, type World } from "../../src/testing/index.js";

const START = Date.UTC(2026, 0, 1);

/** A test that is a story of a quiet world. */
const story = (title: string, tell: (world: World) => Promise<void>): void =>
  void it(title, async () => void (await simulate({}, tell)));

/** Counts the ticks of a timer on a node, of 100 ms each. */
function beat(node: SimulatedNode): { count: number; at: number[] } {
  const beats = { count: 0, at: [] as number[] };
  void node.start(() => {
    setInterval(() => {
      beats.count += 1;
      beats.at.push(performance.now());
    }, 100);
  });
  return beats;
}

it("an hour passes at once, for every kind of timer and clock", async () => {
  await simulate({ limit: 10_000_000 }, async (world) => {
    const node = world.node("a");
    const happened: string[] = [];
    const took = await node.start(async () => {
      const [began, day, hr] = [performance.now(), Date.now(), process.hrtime.bigint()];
      expect(day).toBe(START);
      expect(new Date().toISOString()).toBe("2026-01-01T00:00:00.000Z");
      expect(new Date() instanceof Date && new Date(0).getTime() === 0).toBe(true);
      const timers: [string, Promise<unknown>][] = [
        ["setTimeout", new Promise((resolve) => setTimeout(resolve, 3_600_000, "x"))],
        ["promises", sleep(3_600_000)],
        ["promisify", promisify(setTimeout)(3_600_000)],
        [
          "AbortSignal",
          new Promise((resolve) => AbortSignal.timeout(3_600_000).addEventListener("abort", resolve)),
        ],
      ];
      await Promise.all(timers.map(([name, timer]) => timer.then(() => happened.push(name))));
      expect(Number(process.hrtime.bigint() - hr) / 1e6).toBeCloseTo(3_600_000, 0);
      expect(Date.now() - day).toBe(3_600_000);
      expect(new Date().getUTCHours()).toBe(1);
      expect(process.uptime()).toBeCloseTo(3_600, 2);
      let count = 0;
      for await (const value of ticks(1_000, "v")) {
        expect(value).toBe("v");
        if (++count === 3) break;
      }
      return performance.now() - began;
    });
    expect(took).toBeCloseTo(3_603_000, 0);
    expect(happened).toEqual(["setTimeout", "promises", "promisify", "AbortSignal"]);
    expect(world.now).toBeCloseTo(3_603_000, 0);
  });
});

story("timers are cleared, refreshed, ordered and repeated as those of Node.js", async (world) => {
  const log: string[] = [];
  void world.node("a").start(() => {
    const cleared = setTimeout(() => log.push("never"), 10);
    const byNumber = setTimeout(() => log.push("never"), 10);
    clearTimeout(cleared);
    clearTimeout(Number(byNumber));
    const late = setTimeout(() => log.push("refreshed"), 10);
    setTimeout(() => late.refresh(), 8);
    setImmediate(() => log.push("immediate"));
    clearImmediate(setImmediate(() => log.push("never")));
    queueMicrotask(() => log.push("microtask"));
    process.nextTick(() => log.push("tick"));
    setTimeout(() => log.push("1"), 15);
    setTimeout(() => log.push("2"), 15);
    let count = 0;
    const interval = setInterval(() => {
      log.push(`interval ${++count}`);
      if (count === 2) clearInterval(interval);
    }, 20);
    const controller = new AbortController();
    sleep(1_000, undefined, { signal: controller.signal }).catch(({ name, code }) =>
      log.push(`${name} ${code}`),
    );
    setTimeout(() => controller.abort(), 50);
  });
  await world.advance(2_000);
  expect(log.slice(0, 3).sort()).toEqual(["immediate", "microtask", "tick"]);
  expect(log.slice(2)).toEqual([
    "immediate",
    "1",
    "2",
    "refreshed",
    "interval 1",
    "interval 2",
    "AbortError ABORT_ERR",
  ]);
});

story("a stalled process learns that it is to stop when it goes on", async (world) => {
  const heard: number[] = [];
  const hear = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const signalOnAbort = (): void => {
        heard.push(world.now);
        resolve();
      };
      signal.addEventListener("abort", signalOnAbort);
    });
  const [waits, returns, dies] = [world.node("a"), world.node("b"), world.node("c")];
  void waits.start(({ signal }) => hear(signal));
  for (const node of [returns, dies]) void node.start(({ signal }) => void hear(signal));
  for (const node of [waits, returns, dies]) node.stall(500);
  const stopping = dies.stop();
  dies.kill();
  await Promise.all([waits.stop(), returns.stop(), stopping]);
  expect(heard).toEqual([500, 500]);
});

it("code outside of a simulation has the real timers, clocks and random numbers meanwhile", async () => {
  const { setTimeout: before, Date: date } = globalThis;
  let outside: [number, number] | undefined;
  const real = new Promise<void>((resolve) => {
    before(() => {
      outside = [Date.now(), performance.now()];
      resolve();
    }, 1);
  });
  await simulate({}, async (world) => {
    await world.hold(real);
    await world.advance(1_000);
  });
  expect(Math.abs((outside?.[0] ?? 0) - date.now())).toBeLessThan(60_000);
  expect(globalThis.setTimeout).toBe(before);
  expect(globalThis.Date).toBe(date);
});

it("random numbers are a node's own, and the same for a seed", async () => {
  const draw = async (seed: number): Promise<string> => {
    const { value } = await simulate({ seed }, async (world) => {
      const of = (name: string): Promise<string> =>
        world.node(name).start(() => {
          const bytes = crypto.getRandomValues(new Uint8Array(4));
          return [Math.random(), randomBytes(8).toString("hex"), randomInt(1_000), randomUUID(), bytes].join(
            " ",
          );
        });
      return [await of("a"), await of("b")];
    });
    expect(new Set(value).size).toBe(2);
    return createHash("sha256").update(value.join()).digest("hex");
  };
  expect(await draw(1)).toBe(await draw(1));
  expect(await draw(1)).not.toBe(await draw(2));
});

story("in a suspend only the wall clock goes on, and nothing answers", async (world) => {
  const a = world.node("a");
  const beats = beat(a);
  let left = 0;
  void world.node("b").start(() => {
    const socket = new Push({ heartbeatInterval: 500, heartbeatTimeout: 500 });
    socket.events.on("disconnect", () => {
      left += 1;
    });
    socket.connect("tcp://a:1");
  });
  void a.run(() => new Pull().bind("tcp://*:1"));
  await world.advance(1_050);
  expect(beats.count).toBe(10);
  const clocks = (): Promise<[number, number]> => a.run(() => [performance.now(), Date.now()]);
  const [mono, wall] = await clocks();
  a.suspend();
  await world.advance(60_000);
  expect(beats.count).toBe(10);
  expect(left).toBeGreaterThan(0);
  a.resume();
  await world.advance(100);
  expect(beats.count).toBe(11);
  const [monoAfter, wallAfter] = await clocks();
  expect(monoAfter - mono).toBeCloseTo(100, 0);
  expect(wallAfter - wall).toBe(60_100);
});

story(
  "a timer that was due in a stall fires once afterwards, and not if one before it prevents it",
  async (world) => {
    const a = world.node("a");
    const fired: string[] = [];
    void a.start(() => {
      const note = (name: string) => () => void fired.push(`${name} ${Math.round(performance.now())}`);
      const cancelled = setTimeout(note("cancelled"), 200);
      const refreshed = setTimeout(note("refreshed"), 200);
      setTimeout(() => {
        note("first")();
        clearTimeout(cancelled);
        refreshed.refresh();
      }, 100);
      setTimeout(note("second"), 300);
    });
    await world.advance(50);
    a.stall(1_000);
    await world.advance(5_000);
    expect(fired).toEqual(["first 1050", "second 1050", "refreshed 1250"]);
  },
);

story(
  "a clock that runs fast makes timers early, and one that is set only changes the date",
  async (world) => {
    const [a, b] = [world.node("a"), world.node("b")];
    const [fast, right] = [beat(a), beat(b)];
    a.clock.rate = 1.1;
    b.clock.jump(-86_400_000);
    await world.advance(10_010);
    expect(right.count).toBe(100);
    expect(fast.count).toBe(110);
    expect(await b.run(() => new Date().getUTCDate())).toBe(31);
    expect(await a.run(() => Date.now() - START)).toBe(11_011);
    a.clock.rate = 0.5;
    await world.advance(10_000);
    expect(right.count).toBe(200);
    expect(fast.count).toBe(160);
  },
);

story("a call in a process that goes down fails, though its program has returned", async (world) => {
  const a = world.node("a");
  for (const end of [() => a.kill(), () => a.crash(), () => void a.stop()]) {
    await a.start(() => undefined);
    const call = a.run(() => sleep(1_000));
    void a.run(() => sleep(1_000)); // Nobody waits for it.
    await world.advance(1);
    end();
    await expect(call).rejects.toMatchObject({ code: "ERR_SIMULATION" });
  }
});

story("a killed process loses its memory and timers, and finds all that it wrote", async (world) => {
  const a = world.node("a");
  let late = false;
  const first = a.start(async ({ disk }) => {
    disk.write("log", "one ");
    disk.append("log", "two");
    setTimeout(() => {
      late = true;
    }, 100);
    await sleep(1_000);
  });
  await world.advance(50);
  a.kill();
  await expect(first).rejects.toMatchObject({ code: "ERR_SIMULATION" });
  expect(() => a.kill()).toThrow(expect.objectContaining({ code: "EFSM" }));
  await world.advance(5_000);
  expect(late).toBe(false);
  expect(await a.start(({ disk }) => String(disk.read("log")))).toBe("one two");
});

it("a crash keeps what was synced, and of the rest some first writes; without its disk nothing", async () => {
  const found = new Map<string, number>();
  await simulate({ runs: 60 }, async (world) => {
    const a = world.node("a");
    const log = ({ disk }: { disk: SimulatedNode["disk"] }): string => String(disk.read("log") ?? "");
    void a.start(async ({ disk }) => {
      disk.append("log", "1");
      disk.write("gone", "x");
      await disk.sync();
      disk.append("log", "2");
      disk.append("log", "3");
      disk.remove("gone");
      await disk.sync().then(() => expect.fail("it crashed before"));
    });
    await world.until(() => String(a.disk.read("log")) === "123");
    a.crash();
    const kept = await a.start(log);
    expect(["1", "12", "123"]).toContain(kept);
    found.set(kept, (found.get(kept) ?? 0) + 1);
    a.crash({ disk: false });
    expect(await a.start(log)).toBe("");
    expect(a.disk.list()).toEqual([]);
  });
  expect([...found.keys()].sort()).toEqual(["1", "12", "123"]);
});

story("a disk that fails or is full refuses, and works again", async (world) => {
  await world.node("a").start(async ({ disk }) => {
    disk.write("a", "x");
    disk.fail("ENOSPC");
    expect(() => disk.write("a", "y")).toThrow(expect.objectContaining({ code: "ENOSPC" }));
    await expect(disk.sync()).rejects.toMatchObject({ code: "ENOSPC" });
    expect(String(disk.read("a"))).toBe("x");
    disk.fail("EIO");
    expect(() => disk.read("a")).toThrow(expect.objectContaining({ code: "EIO" }));
    disk.fail(undefined);
    disk.write("a", "z");
    await disk.sync();
    expect(String(disk.read("a"))).toBe("z");
  });
});

story("stop lets a program end by itself", async (world) => {
  const a = world.node("a");
  const log: string[] = [];
  void a.start(async ({ signal }) => {
    await sleep(1_000_000, undefined, { signal }).catch(() => log.push("asked"));
    await sleep(500);
    log.push("ended");
  });
  await world.advance(10);
  await a.stop();
  expect(log).toEqual(["asked", "ended"]);
  expect(world.now).toBeCloseTo(510, 0);
  expect(a.running).toBe(false);
});

story("hold lets real work finish while virtual time stands still", async (world) => {
  const beats = beat(world.node("a"));
  await world.advance(1_050);
  const text = await world.hold(readFile(new URL(import.meta.url), "utf8"));
  expect(text).toContain("virtual time stands still");
  expect(beats.count).toBe(10);
});

story("a loop that polls the clock, yields or sends without end does not stop the world", async (world) => {
  const a = world.node("a");
  void a.start(async () => {
    const end = performance.now() + 1;
    while (performance.now() < end);
    const socket = new Push({ sendTimeout: 0, linger: 0 });
    socket.connect("tcp://b:1");
    for (;;) {
      await socket.send("x").catch(() => undefined);
      if (Date.now() > START + 50) break;
    }
    for (const begin = performance.now(); performance.now() < begin + 10; )
      await new Promise((resolve) => setImmediate(resolve));
  });
  void world.node("b").start(async () => {
    const socket = new Pull();
    await socket.bind("tcp://*:1");
    for await (const _ of socket);
  });
  await world.advance(100);
});
