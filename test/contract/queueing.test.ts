import { expect, it } from "vitest";
import { blockThread } from "../support/block.js";
import { LONG } from "../support/long.js";
import { describeEngines, describeTransports } from "./support/engines.js";
import { arrives, collect, failure, texts, turn, within } from "./support/wait.js";

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

describeTransports("concurrent calls", (world) => {
  it("any number of sends at once keep their order", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const sends = numbers(3_000).map((text) => push.send(text)); // Nobody there yet: all of them wait.
    expect(push.stats().pendingSends).toBe(3_000);
    await world.link(pull, push);
    expect(await collect(pull, 3_000)).toEqual(numbers(3_000));
    await within(Promise.all(sends), "all sends");
    expect(push.stats()).toMatchObject({ sent: 3_000, delivered: 3_000, queued: 0, pendingSends: 0 });
  });

  it("any number of receives at once get messages in the order of the calls", async () => {
    const [pull, push] = await world.linked(world.pull(), world.push());
    const received = numbers(3_000).map(() => pull.receive());
    expect(pull.stats().pendingReceives).toBe(3_000);
    for (const text of numbers(3_000)) await push.send(text);
    expect((await within(Promise.all(received), "all receives")).map(String)).toEqual(numbers(3_000));
    expect(pull.stats().pendingReceives).toBe(0);
  });

  it.runIf(LONG)(
    "a look at readable and writable does not keep a waiting receive from its message",
    async () => {
      const [a, b] = [world.dealer({ sendHighWaterMark: 1 }), world.dealer({ receiveHighWaterMark: 1 })];
      await world.link(a, b);
      await within(b.ready({ timeout: 4_000 }), "the connection");
      const body = Buffer.alloc(262_144);
      for (let idle = 0; idle < 20; ) {
        idle = a.trySend(body) ? 0 : idle + 1;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      for (let i = 0; i < 15; i++) {
        const waiting = a.receive();
        await turn();
        await b.send(String(i));
        // One look of one kind at a time: each takes the engine's attention in its own way.
        const look = [() => a.trySend("mute"), () => a.readable, () => a.writable][i % 3] as () => boolean;
        const seen = look();
        if (world.inProcess) expect(seen).toBe(false); // Kernels have room at whim.
        expect(texts(await within(waiting, "the message"))).toEqual([String(i)]);
      }
    },
  );
});

describeEngines("bounds of waiting calls", (world) => {
  it("a send past maxPendingSends says so; the others are sent", async () => {
    const [push, pull] = [world.push({ maxPendingSends: 3 }), world.pull()];
    const sends = numbers(3).map((text) => push.send(text));
    const error = await failure(push.send("one too many"));
    expect(error.code).toBe("ERR_TOO_MANY_PENDING");
    expect(error.message).toContain("maxPendingSends");
    expect(push.trySend("nor this")).toBe(false);
    expect(push.stats()).toMatchObject({ sent: 3, pendingSends: 3 });
    await world.link(pull, push);
    await within(Promise.all(sends), "the sends in time");
    await push.send("last");
    expect(await collect(pull, 4)).toEqual([...numbers(3), "last"]);
  });

  it("a receive past maxPendingReceives says so; the others get messages", async () => {
    const [pull, push] = await world.linked(world.pull({ maxPendingReceives: 2 }), world.push());
    const received = [pull.receive(), pull.receiveMany()];
    for (const call of [() => pull.receive(), () => pull.receiveMany()]) {
      const error = await failure(call());
      expect(error.code).toBe("ERR_TOO_MANY_PENDING");
      expect(error.message).toContain("maxPendingReceives");
    }
    await push.send("0");
    expect(String(await received[0])).toBe("0");
    await push.send("1");
    expect(String(await received[1])).toBe("1");
  });

  it("a changed bound holds from the next call on", async () => {
    const push = world.push({ maxPendingSends: 1 });
    const first = push.send("0").catch(() => undefined);
    expect((await failure(push.send("1"))).code).toBe("ERR_TOO_MANY_PENDING");
    push.maxPendingSends = 2;
    const second = push.send("1").catch(() => undefined);
    expect(push.stats().pendingSends).toBe(2);
    await push.close({ linger: 0 });
    await Promise.all([first, second]);
  });
});

describeTransports("trySend", (world) => {
  it("says true when the message is taken, false when nobody has room, and false while sends wait", async () => {
    const [push, pull] = [world.push(), world.pull()];
    expect(push.trySend("nobody is there")).toBe(false);
    expect(push.stats()).toMatchObject({ sent: 0, bytesSent: 0 });
    const waiting = push.send("0");
    expect(push.trySend("must not overtake")).toBe(false);
    await world.link(pull, push);
    await within(waiting, "the waiting send");
    expect(push.trySend("1")).toBe(true);
    expect(push.trySend(["2", "2"])).toBe(true);
    expect(await collect(pull, 3)).toEqual(["0", "1", "2|2"]);
    expect(push.stats().sent).toBe(3);
  });
});

describeEngines("time-outs", (world) => {
  it("sendTimeout ends a send without room with EAGAIN, and its message is never sent", async () => {
    const [push, pull] = [world.push({ sendTimeout: 20 }), world.pull()];
    expect((await failure(push.send("late"))).code).toBe("EAGAIN");
    expect(push.stats()).toMatchObject({ sent: 1, delivered: 0, queued: 0, dropped: { timeout: 1 } });
    push.sendTimeout = 0;
    expect((await failure(push.send("not at all"))).code).toBe("EAGAIN");
    push.sendTimeout = -1;
    await world.link(pull, push);
    await arrives("first", push, pull);
  });

  it("receiveTimeout ends receive, receiveMany and a loop with EAGAIN; later messages come", async () => {
    const [pull, push] = await world.linked(world.pull({ receiveTimeout: 20 }), world.push());
    expect((await failure(pull.receive())).code).toBe("EAGAIN");
    expect((await failure(pull.receiveMany())).code).toBe("EAGAIN");
    const loop = (async () => {
      for await (const _ of pull) throw new Error("nothing was sent");
    })();
    expect((await failure(loop)).code).toBe("EAGAIN");
    await push.send("here");
    pull.receiveTimeout = 8_000;
    expect(await collect(pull, 1)).toEqual(["here"]);
  });

  it("a loop that calls receive again whenever it fails leaves the event loop its turns", async () => {
    const [busy, closed] = [world.pull({ maxPendingReceives: 1 }), world.pull()];
    const waiting = busy.receive();
    await closed.close();
    const refused: (() => Promise<unknown>)[] = [
      () => busy.receive(),
      () => busy.receiveMany({ max: 0 }),
      () => busy.receive({ signal: AbortSignal.abort() }),
      () => closed.receive(),
      () => closed.receiveMany({ timeout: 0 }),
    ];
    for (const receive of refused) {
      let turned = false;
      setImmediate(() => setImmediate(() => (turned = true)));
      for (let calls = 0; !turned; calls++) {
        expect(calls).toBeLessThan(10);
        await failure(receive());
      }
    }
    await Promise.all([busy.close(), failure(waiting)]);
  });

  it("a call's own timeout goes before the socket's, for longer and for shorter", async () => {
    const [push, pull] = [world.push({ sendTimeout: 20 }), world.pull({ receiveTimeout: 20 })];
    const patientSend = push.send("0", { timeout: 8_000 });
    const patientReceive = pull.receive({ timeout: 8_000 });
    expect((await failure(push.send("1"))).code).toBe("EAGAIN");
    await world.link(pull, push);
    await within(patientSend, "the patient send");
    expect(texts(await patientReceive)).toEqual(["0"]);
    pull.receiveTimeout = -1;
    expect((await failure(pull.receive({ timeout: 10 }))).code).toBe("EAGAIN");
    expect((await failure(pull.receive({ timeout: 0 }))).code).toBe("EAGAIN");
    expect((await failure(pull.receiveMany({ timeout: 0 }))).code).toBe("EAGAIN");
  });

  it("timeout 0 gives a message that is there, even after a long computation", async () => {
    const [push, pull] = [world.push(), world.pull()];
    await pull.bind("inproc://timeout-0"); // Where a message is there as soon as it is sent.
    push.connect("inproc://timeout-0");
    expect((await failure(pull.receive({ timeout: 5 }))).code).toBe("EAGAIN");
    for (let i = 0; i < 20; i++) {
      await push.send(String(i));
      blockThread(10);
      expect(texts(await pull.receive({ timeout: 0 }))).toEqual([String(i)]);
    }
  });

  it("an invalid timeout is refused before anything happens", async () => {
    const [push, pull] = [world.push(), world.pull()];
    for (const timeout of [-2, Number.NaN, 2 ** 31, "10", null, {}] as never[]) {
      expect((await failure(push.send("x", { timeout }))).code).toBe("EINVAL");
      expect((await failure(pull.receive({ timeout }))).code).toBe("EINVAL");
      expect((await failure(pull.receiveMany({ timeout }))).code).toBe("EINVAL");
      expect((await failure(pull.ready({ timeout }))).code).toBe("EINVAL");
    }
    for (const max of [0, -1, 1.5, Number.NaN, "5"] as never[])
      expect((await failure(pull.receiveMany({ max }))).code).toBe("EINVAL");
    expect(push.stats()).toMatchObject({ sent: 0, pendingSends: 0 });
    expect(pull.stats().pendingReceives).toBe(0);
  });
});
