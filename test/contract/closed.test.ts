import { expect, it } from "vitest";
import { SOCKET_CLASSES } from "../support/socket-classes.js";
import { describeEngines } from "./support/engines.js";
import { failure } from "./support/wait.js";

describeEngines("a closed socket", (world) => {
  it("answers every call with EBADF, and every property with what it was", async () => {
    for (const [, of] of SOCKET_CLASSES) {
      const socket = world.make(of);
      await socket.close({ linger: 0 });
      const calls: Record<string, () => unknown> = {
        bind: () => socket.bind("tcp://127.0.0.1:*"),
        bindSync: () => socket.bindSync("tcp://127.0.0.1:*"),
        unbind: () => socket.unbind("tcp://127.0.0.1:1"),
        connect: () => socket.connect("tcp://127.0.0.1:1"),
        disconnect: () => socket.disconnect("tcp://127.0.0.1:1"),
        ready: () => socket.ready({ peers: 1 }),
        revoke: () => socket.revoke(() => true),
        set: () => {
          socket.linger = 5;
        },
      };
      const own = socket as unknown as Record<string, ((...args: unknown[]) => unknown) | undefined>;
      for (const [name, ...args] of [
        ["send", ["a", "b"]],
        ["trySend", ["a", "b"]],
        ["receive"],
        ["receiveMany"],
        ["request", ["a", "b"]],
        ["waitForSubscribers"],
        ["subscribe", "a"],
        ["unsubscribe", "a"],
      ] as const)
        if (typeof own[name] === "function") calls[name] = () => own[name]?.(...args);
      for (const [name, call] of Object.entries(calls)) {
        const { code } = await failure((async () => call())());
        expect(code, `${socket.constructor.name}.${name}`).toBe("EBADF");
      }
      expect(socket.closed).toBe(true);
      expect([socket.readable, socket.writable]).toEqual([false, false]);
      expect(socket.linger).toBe(-1);
      expect(socket.stats().sent).toBe(0);
    }
  });

  it("loops end at once", async () => {
    const pull = world.pull();
    await pull.close();
    for await (const _ of pull) throw new Error("nothing to read");
    expect(await pull.messages().next()).toEqual({ done: true, value: undefined });
  });

  it("close refuses an invalid linger, and has not closed then", async () => {
    const push = world.push();
    for (const linger of [-2, 1.5, Number.NaN, 2 ** 31, "1", null] as never[])
      expect((await failure(push.close({ linger }))).code, String(linger)).toBe("EINVAL");
    expect(push.closed).toBe(false);
    expect(await push.close({ linger: 2 ** 31 - 1 })).toMatchObject({ discarded: 0 });
  });
});
