import { expect, it } from "vitest";
import { Context, Pull, Push } from "../../src/index.js";
import { describeEngines } from "./support/engines.js";
import { failure, nextEvent, thrown, within } from "./support/wait.js";

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

  it("with blocky false give new sockets the linger 0, unless they have one of their own", async () => {
    const context = world.freshContext();
    context.blocky = false;
    const [push, patient] = [world.own(new Push({ context })), world.own(new Push({ context, linger: 500 }))];
    expect([push.linger, patient.linger]).toEqual([0, 500]);
    push.connect("tcp://127.0.0.1:1");
    await push.send("nobody");
    expect((await within(push.close(), "close", 2_000)).flushed).toBe(0);
    const other = new Context({ engine: world.engine, blocky: false });
    expect(world.own(new Push({ context: other })).linger).toBe(0);
  });

  it("give new sockets their ipv6 and maxMessageSize", async () => {
    const context = new Context({ engine: world.engine, ipv6: true, maxMessageSize: 1_000 });
    const [push, pull] = [world.own(new Push({ context })), world.own(new Pull({ context }))];
    expect([push.ipv6, pull.ipv6, pull.maxMessageSize]).toEqual([true, true, 1_000]);
    expect(world.own(new Pull({ context, ipv6: false, maxMessageSize: -1 })).maxMessageSize).toBe(-1);
    await pull.bind("tcp://127.0.0.1:*");
    push.connect(pull.lastEndpoint as string);
    expect((await failure(push.send("x".repeat(1_001)))).code).toBe("EINVAL");
    expect(thrown(() => push.trySend(["x".repeat(1_000), "y"])).code).toBe("EINVAL");
    expect(push.stats().sent).toBe(0);
    await push.send("x".repeat(1_000));
    expect((await pull.receive())[0]?.length).toBe(1_000);
    const large = world.own(new Push({ context: world.freshContext(), ipv6: true }));
    const refused = nextEvent(pull, "disconnect");
    large.connect(pull.lastEndpoint as string);
    await large.send("x".repeat(1_001));
    await refused;
    context.ipv6 = false;
    expect([world.own(new Push({ context })).ipv6, push.ipv6]).toEqual([false, true]);
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
