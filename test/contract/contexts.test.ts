import { expect, it } from "vitest";
import { Context, Pull, Push, Reply, Request } from "../../src/index.js";
import { describeEngines } from "./support/engines.js";
import { failure, nextEvent, thrown, within } from "./support/wait.js";

describeEngines("contexts", (world) => {
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

  it.runIf(world.engine === "zmtp")("poll with lowLatency, and round trips are as ever", async () => {
    const context = world.freshContext();
    expect(context.lowLatency).toBe(false);
    context.lowLatency = true;
    expect(context.lowLatency).toBe(true);
    const reply = world.own(new Reply({ context }));
    const request = world.own(new Request({ context }));
    await reply.bind("tcp://127.0.0.1:*");
    request.connect(reply.lastEndpoint as string);
    for (let n = 0; n < 200; n++) {
      await request.send(String(n));
      const [asked] = await reply.receive();
      await reply.send(asked as Buffer);
      expect(String((await request.receive())[0])).toBe(String(n));
    }
    expect((await failure(request.receive({ timeout: 0 }))).code).toBe("EFSM");
    await request.send("last");
    await reply.receive();
    const closed = failure(request.receive());
    await request.close({ linger: 0 });
    expect((await closed).code).toBe("EAGAIN");
  });

  it.runIf(world.engine === "libzmq")("refuse lowLatency where they cannot have it", () => {
    const context = world.freshContext();
    context.lowLatency = false;
    world.own(new Push({ context }));
    expect(thrown(() => (context.lowLatency = true)).code).toBe("NOT_SUPPORTED");
    expect(context.lowLatency).toBe(false);
  });
});
