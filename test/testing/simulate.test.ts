/** What simulate() does with a story: repeats it by its seed, reports what fails, makes it smaller, keeps its bounds. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, it } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { SimulationError, simulate, type World } from "../../src/testing/index.js";
import { gate } from "../support/gate.js";
import { LONG } from "../support/long.js";

async function errorOf(run: Promise<unknown>): Promise<SimulationError> {
  const error: unknown = await run.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(SimulationError);
  return error as SimulationError;
}

/** Messages between two nodes on a bad network, with faults that the seed chooses. */
async function busy(world: World): Promise<number> {
  const [a, b] = [world.node("a"), world.node("b")];
  let got = 0;
  const serve = async (): Promise<void> => {
    const socket = new Pull();
    await socket.bind("tcp://*:1");
    for await (const _ of socket) got += 1;
  };
  void a.start(serve);
  void b.start(async () => {
    const socket = new Push();
    socket.connect("tcp://a:1");
    for (;;) {
      await socket.send(String(Math.random()));
      await new Promise((resolve) => setTimeout(resolve, 100 * Math.random()));
    }
  });
  for (let i = 0; i < 3; i++) {
    await world.advance(world.random.integer(0, 1_500));
    const act = world.random.pick(["cut", "crash", "stall"] as const);
    if (act === "cut") world.cut(a, b);
    else if (act === "stall") a.stall(500);
    else a.crash();
    await world.advance(world.random.integer(100, 1_000));
    world.heal();
    if (!a.running) void a.start(serve);
    a.resume();
  }
  return got;
}

it("a seed does the same each time, and another does not", async () => {
  const run = (seed: number) =>
    simulate({ seed, network: { latency: [0.1, 30], loss: 0.05 }, traceLines: 10_000 }, busy);
  const { digest, trace, events, value } = await run(7);
  expect(value).toBeGreaterThan(10);
  for (let i = 0; i < (LONG ? 100 : 3); i++)
    expect(await run(7)).toMatchObject({ digest, trace, events, value });
  expect((await run(8)).digest).not.toBe(digest);
}, 120_000);

it("several simulations at once do not disturb each other", async () => {
  const alone = await simulate({ seed: 3 }, busy);
  const both = await Promise.all([3, 3, 4].map((seed) => simulate({ seed }, busy)));
  expect(both.map(({ digest }) => digest === alone.digest)).toEqual([true, true, false]);
});

it("one that begins when timers were put back, as a test runner does after a story that it gave up, has its own", async () => {
  const { setTimeout: before } = globalThis;
  const { passed: begun, open: begin } = gate();
  const { passed: ended, open: end } = gate();
  const givenUp = simulate({}, (world) => {
    begin();
    return world.hold(ended);
  });
  await begun;
  globalThis.setTimeout = before;
  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60_000));
  expect((await simulate({ shrink: false }, wait)).time).toBeGreaterThanOrEqual(60_000);
  end();
  await givenUp;
  expect(globalThis.setTimeout).toBe(before);
});

it("what is not simulated is found when determinism is checked", async () => {
  let run = 0;
  const error = await errorOf(
    simulate({ checkDeterminism: true }, async (world) => {
      run += 1;
      await world.advance(10);
      world.note(`run ${run}`);
    }),
  );
  expect(error.message).toMatch(/^Seed 1: two runs differ, first here:\n.*run 1\n.*run 2\n/);
  await simulate({ checkDeterminism: true, seed: 9 }, busy);
});

it("a failure has its seed, its cause, and a smaller schedule that fails in the same way", async () => {
  const planted = async (world: World): Promise<void> => {
    const nodes = ["a", "b", "c"].map((name) => world.node(name));
    for (const node of nodes) void node.start(() => undefined);
    for (let i = world.random.integer(5, 30); i > 0; i--) {
      await world.advance(world.random.integer(0, 1_000));
      const node = world.random.pick(nodes);
      if (world.random.chance(0.5)) node.stall(world.random.integer(0, 100));
      else {
        node.crash();
        if (node.name === "c") throw new Error(`c crashed at ${world.now}`);
        void node.start(() => undefined);
      }
      await world.advance(200);
    }
  };
  const error = await errorOf(simulate({ runs: 50 }, planted));
  expect(error.code).toBe("ERR_SIMULATION");
  expect(error.cause).toMatchObject({ message: expect.stringMatching(/^c crashed at \d+/) });
  expect(error.message).toMatch(
    /^Seed \d+: c crashed at [\d.]+\nRepeat it with SHOAL_SEED=\d+ in the environment\.\nShrunk from \d+ choices to \d+/,
  );
  const [, from, to] = /from (\d+) choices to (\d+)/.exec(error.message) ?? [];
  expect(Number(to)).toBeLessThan(Number(from));
  expect(Number(to)).toBeLessThanOrEqual(8);
  expect(error.trace.match(/crashes|stalls/g)?.length).toBeLessThanOrEqual(2);
  const again = await errorOf(simulate({ runs: 50 }, planted));
  expect(again.message).toBe(error.message);
  process.env.SHOAL_SEED = String(error.seed);
  try {
    let runs = 0;
    const asked = await errorOf(
      simulate({ runs: 50, shrink: false }, (world) => {
        runs += 1;
        return planted(world);
      }),
    );
    expect(runs).toBe(1);
    expect(asked.seed).toBe(error.seed);
    expect((asked.cause as Error).message).toBe((error.cause as Error).message);
  } finally {
    delete process.env.SHOAL_SEED;
  }
});

it("a smaller schedule fails in the same way, not in another", async () => {
  const error = await errorOf(
    simulate({ runs: 20 }, async (world) => {
      const size = world.random.integer(0, 99);
      await world.advance(size);
      throw new Error(size >= 50 ? `large: ${size}` : `small: ${size}`);
    }),
  );
  // The simplest choice, 0, fails in the other way.
  expect(error.message).toMatch(/^Seed \d+: large: \d+\n/);
  expect(error.message).toMatch(/\nShrunk from .*: large: 5\d\n/);
});

it("a program that throws, a timer that throws, and a rejection that nobody looks at fail the simulation", async () => {
  const fail = (what: () => unknown): Promise<SimulationError> =>
    errorOf(
      simulate({ shrink: false }, async (world) => {
        void world.node("a").start(what);
        await world.advance(1_000);
      }),
    );
  const thrown = await fail(() => {
    throw new Error("by the program");
  });
  expect(thrown.message).toContain("by the program");
  expect(thrown.trace).toContain("a FAILED: by the program");
  const later = await fail(() => {
    setTimeout(() => {
      throw new Error("by a timer");
    }, 500);
  });
  expect(later.trace).toMatch(/500\.\d {2}a FAILED: by a timer/);
});

it("bounds of time and events, and a story that waits for nothing, are failures", async () => {
  const forever = new Promise<never>(() => undefined);
  const late = await errorOf(
    simulate({ limit: 1_000, shrink: false }, async (world) => {
      void world.node("a").start(() => void setInterval(() => undefined, 100));
      await forever;
    }),
  );
  expect(late.message).toContain("has not ended within 1000 virtual ms");
  const many = await errorOf(
    simulate({ maxEvents: 100, shrink: false }, async (world) => {
      void world.node("a").start(() => void setInterval(() => undefined, 1));
      await forever;
    }),
  );
  expect(many.message).toContain("More than 100 events");
  const stuck = await errorOf(simulate({ shrink: false }, () => forever));
  expect(stuck.message).toContain("The story is stuck");
  const unmet = await errorOf(simulate({ shrink: false }, (world) => world.until(() => false, 500)));
  expect(unmet.message).toContain("Not within 500 ms");
}, 30_000);

it("a condition is checked in virtual time, and what it throws comes to who waits for it", async () => {
  await simulate({ startTime: 1 }, async (world) => {
    setInterval(() => undefined, 10);
    await world.until(() => Date.now() >= 1_000);
    expect(world.now).toBeLessThan(1_010);
    const fails = world.until(() => {
      if (world.now > 2_000) throw new Error("no such member");
      return false;
    });
    await expect(fails).rejects.toThrow("no such member");
  });
});

it("wrong options and calls are refused", async () => {
  const refused = expect.objectContaining({ code: "EINVAL" });
  await expect(simulate({ sed: 1 } as object, () => undefined)).rejects.toThrow("did you mean seed?");
  await expect(simulate({ seed: -1 }, () => undefined)).rejects.toEqual(refused);
  await expect(simulate({ runs: 0 }, () => undefined)).rejects.toEqual(refused);
  await expect(simulate({}, undefined as never)).rejects.toEqual(refused);
  await expect(simulate({ network: { loss: 2 } }, () => undefined)).rejects.toEqual(refused);
  await expect(simulate({ network: { latency: [5, 1] } }, () => undefined)).rejects.toEqual(refused);
  await expect(simulate({ network: { latency: 5 } as object }, () => undefined)).rejects.toEqual(refused);
  await simulate({}, async (world) => {
    expect(() => world.node("not a name")).toThrow(refused);
    expect(() => world.node("test")).toThrow(refused);
    await expect(world.advance(-1)).rejects.toEqual(refused);
    await expect(world.until(() => false, Number.NaN)).rejects.toEqual(refused);
    const a = world.node("a");
    void a.start(() => undefined);
    expect(() => a.start(() => undefined)).toThrow(expect.objectContaining({ code: "EFSM" }));
    expect(() => a.stall(-1)).toThrow(refused);
    expect(() => world.network({ los: 1 } as object)).toThrow("did you mean loss?");
  });
});

it("a simulation that ends while a connection opens leaves real connections alone", async () => {
  for (let end = 0; end < 3; end += 0.05)
    await simulate({ seed: 5, network: { latency: [0.5, 0.5] } }, async (world) => {
      void world.node("a").start(() => new Pull().bind("tcp://*:1"));
      void world.node("b").start(async () => new Push().connect("tcp://a:1"));
      await world.advance(end);
    });
  const socket = new Pull();
  const { port } = new URL(await socket.bind("tcp://127.0.0.1:*"));
  const peer = connect(Number(port), "127.0.0.1");
  // It says nothing before the greeting.
  const [greeting] = await once(peer, "data");
  expect(greeting[0]).toBe(0xff);
  peer.destroy();
  await socket.close();
});
