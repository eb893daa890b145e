import { expect, it } from "vitest";
import { Context, Pull, Push } from "../../src/index.js";
import { describeEngines } from "./support/engines.js";
import { thrown } from "./support/wait.js";

describeEngines("contexts", (world) => {
  it("refuse unknown options, wrong types and engines that do not exist", () => {
    for (const options of [
      { unknown: 1 },
      { blocky: 1 },
      { ioThreads: "2" },
      { maxSockets: 1.5 },
      { ipv6: "yes" },
      { engine: "nonsense" },
      { engine: "toString" },
      { engine: 5 },
      { engine: null },
    ] as never[])
      expect(thrown(() => new Context(options)).code, JSON.stringify(options)).toBe("EINVAL");
    expect(new Context({ engine: world.engine }).engine).toBe(world.engine);
  });

  it("keep inproc names apart", async () => {
    const [one, two] = [world.freshContext(), world.freshContext()];
    const pulls = [one, two].map((context) => world.own(new Pull({ context })));
    const pushes = [one, two].map((context) => world.own(new Push({ context })));
    for (const [i, pull] of pulls.entries()) {
      await pull.bind("inproc://same-name");
      pushes[i]?.connect("inproc://same-name");
    }
    for (const [i, push] of pushes.entries()) await push.send(String(i));
    for (const [i, pull] of pulls.entries())
      expect(String(await pull.receive({ timeout: 4_000 }))).toBe(String(i));
  });

  it("limit their sockets", async () => {
    const context = world.freshContext();
    context.maxSockets = 3;
    expect(context.maxSockets).toBe(3);
    const sockets = [1, 2, 3].map(() => world.own(new Push({ context })));
    expect(thrown(() => new Push({ context })).code).toBe("EMFILE");
    await sockets[0]?.close();
    world.own(new Push({ context }));
    expect(thrown(() => new Push({ context })).code).toBe("EMFILE");
    expect(thrown(() => (context.maxSockets = -1)).code).toBe("EINVAL");
    expect(context.maxSockets).toBe(3);
  });
});
