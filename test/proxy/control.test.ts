import { describe, expect, it } from "vitest";
import { Dealer, Pair, Publisher, Pull, Push, Request } from "../../src/index.js";
import { StreamerProxy } from "../../src/proxy/index.js";
import { until } from "../contract/support/wait.js";
import { ANY, back, ENGINES, front, LIMIT, useWorld } from "./support.js";

describe.each(ENGINES)("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  async function steered(type: "rep" | "pair" | "sub") {
    const proxy = await world.start(new StreamerProxy({ ...sides, control: { type, bind: ANY } }));
    const push = world.peer(new Push({ context }), front(proxy));
    const pull = world.peer(new Pull({ context }), back(proxy));
    return { proxy, push, pull, control: proxy.endpoints.control[0] as string };
  }

  it("a REP answers typed commands with JSON", async () => {
    const { proxy, push, pull, control } = await steered("rep");
    const controller = world.peer(new Request({ context }), control);
    const ask = async (command: object) =>
      JSON.parse(String(await controller.request(JSON.stringify(command), { timeout: LIMIT })));
    await push.send("x");
    await pull.receive({ timeout: LIMIT });
    expect(await ask({ command: "status" })).toMatchObject({
      ok: true,
      state: "running",
      endpoints: { frontend: [front(proxy)], control: [control] },
      frontend: { type: "pull", in: { messages: 1, bytes: 1 } },
      control: { commands: 0, refused: 0 },
    });
    expect(await ask({ command: "pause" })).toEqual({ ok: true, command: "pause" });
    expect(await ask({ command: "resume" })).toMatchObject({ ok: true });
    expect(await ask({ command: "drain", timeout: 5_000 })).toMatchObject({ ok: true });
    expect(await ask({ command: "pause" })).toMatchObject({ ok: false, error: { code: "EFSM" } });
    await until(() => proxy.stats().drain !== undefined, "the drain");
    expect(await ask({ command: "status" })).toMatchObject({ state: "drained", drain: { drained: true } });
    const stopped = new Promise((resolve) => proxy.events.on("proxy:stopped", resolve));
    expect(await ask({ command: "kill" })).toEqual({ ok: true, command: "kill" });
    await stopped;
  });

  it.each([
    [undefined, 65_536],
    [1_000, 1_000],
  ])("a frame of more than 64 KiB, or the socket's maxMessageSize (%s), ends its connection", async (own, most) => {
    const control = { bind: ANY, ...(own === undefined ? {} : { maxMessageSize: own }) };
    const proxy = await world.start(new StreamerProxy({ ...sides, control }));
    const endpoint = proxy.endpoints.control[0] as string;
    const vandal = world.peer(new Dealer({ context, reconnectInterval: -1 }), endpoint);
    await vandal.send(["", "x".repeat(most)]);
    const [, reply] = await vandal.receive({ timeout: LIMIT });
    expect(JSON.parse(String(reply))).toMatchObject({ ok: false, error: { code: "EINVAL" } });
    const left = new Promise((resolve) => vandal.events.on("disconnect", resolve));
    await vandal.send(["", "x".repeat(most + 1)]);
    await left;
    const controller = world.peer(new Request({ context }), endpoint);
    expect(await controller.request("STATISTICS", { timeout: LIMIT })).toHaveLength(8);
    expect(proxy.stats().control?.refused).toBe(1);
  });

  it("a PAIR answers STATISTICS, commands and garbage, and no other word", async () => {
    const { proxy, control } = await steered("pair");
    const controller = world.peer(new Pair({ context }), control);
    await controller.send("PAUSE");
    await controller.send("STATISTICS");
    expect(await controller.receive({ timeout: LIMIT })).toHaveLength(8);
    expect(proxy.state).toBe("paused");
    await controller.send("nonsense");
    expect(JSON.parse(String(await controller.receive({ timeout: LIMIT })))).toMatchObject({ ok: false });
    const stopped = new Promise((resolve) => proxy.events.on("proxy:stopped", resolve));
    await controller.send("KILL");
    await stopped;
  });

  it("a SUB does what it hears, and answers nothing", async () => {
    const { proxy, control } = await steered("sub");
    const controller = world.peer(new Publisher({ context }), control);
    await controller.waitForSubscribers({ timeout: LIMIT });
    await controller.send("nonsense");
    await controller.send("PAUSE");
    await until(() => proxy.state === "paused", "the pause");
    await controller.send("STATISTICS");
    await controller.send("RESUME");
    await until(() => proxy.state === "running", "the going on");
    expect(proxy.stats().control).toEqual({ commands: 3, refused: 1 });
  });
});
