/** Sockets over inproc: names, what they share, and their ends. */
import { describe, expect, it } from "vitest";
import { collect, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

describe("inproc", () => {
  const world = new World("zmtp", "inproc");

  it("a ROUTER knows everybody from the first message on, also one that waited with a full queue", async () => {
    const [dealer, router] = [world.dealer(), world.router()];
    const endpoint = world.freeEndpoint();
    dealer.connect(endpoint);
    const sends = Array.from({ length: 2_500 }, (_, i) => dealer.send([String(i), Buffer.alloc(100)]));
    const receives = Array.from({ length: 2_500 }, () => router.receive({ timeout: 8_000 }));
    await router.bind(endpoint);
    const got = await Promise.all(receives);
    expect(got.every((message) => message.length === 3)).toBe(true);
    expect(got.map(([, number]) => Number(number))).toEqual(got.map((_, i) => i));
    await Promise.all(sends);
  });

  it("a name that is bound again is found, and the connection counts as made again", async () => {
    const push = world.push({ reconnectInterval: 1 });
    const endpoint = world.freeEndpoint();
    push.connect(endpoint);
    for (const reconnects of [0, 1, 2]) {
      const pull = world.pull();
      await pull.bind(endpoint);
      await until(() => push.stats().peers === 1, "the connection");
      expect(push.stats().reconnects).toBe(reconnects);
      await pull.close({ linger: 0 });
      expect(push.stats().peers).toBe(0);
    }
  });

  it("close in connect, accept and peer:join leaves nobody joined", async () => {
    for (const type of ["connect", "peer:join"] as const) {
      const [push, pull] = [world.push(), world.pull()];
      const endpoint = await world.bind(pull);
      push.events.on(type, () => void push.close({ linger: 0 }));
      push.connect(endpoint);
      await push.close();
      await until(() => pull.stats().peers === 0, "nobody");
      const other = world.connect(world.push(), endpoint);
      await other.send("x");
      expect(await collect(pull, 1)).toEqual(["x"]);
    }
  });
});
