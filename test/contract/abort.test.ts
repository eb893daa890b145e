import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { AbortedError, type Pull } from "../../src/index.js";
import fc from "../support/properties.js";
import { describeEngines, describeTransports } from "./support/engines.js";
import { collect, failure, turn, until, within } from "./support/wait.js";

const isAbort = (error: unknown): boolean => (error as { code?: string }).code === "ABORT_ERR";

describeTransports("an abort", (world) => {
  it("of receives loses no message, doubles none, and keeps the order", async () => {
    const [pull, push] = await world.linked(world.pull(), world.push());
    const total = 5_000;
    const received: string[] = [];
    const sending = (async () => {
      for (let i = 0; i < total; i++) {
        await push.send(String(i));
        // The receiver is ahead now and then, and waits.
        while (i > received.length + 96) await turn();
      }
    })();
    let aborted = 0;
    let seed = 12_345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    while (received.length < total) {
      const stop = new AbortController();
      const call =
        random(2) === 0
          ? pull.receive({ signal: stop.signal, timeout: 8_000 }).then((message) => [message])
          : pull.receiveMany({ max: 1 + random(40), signal: stop.signal, timeout: 8_000 });
      const how = random(4);
      if (how === 0) stop.abort();
      else if (how === 1) queueMicrotask(() => stop.abort());
      else if (how === 2) setImmediate(() => stop.abort());
      try {
        received.push(...(await call).map(String));
      } catch (error) {
        if (!isAbort(error)) throw error;
        aborted += 1;
      }
    }
    await sending;
    expect(aborted).toBeGreaterThan(20);
    expect(received).toEqual(Array.from({ length: total }, (_, i) => String(i)));
    expect((await failure(pull.receive({ timeout: 20 }))).code).toBe("EAGAIN");
  });

  it("of sends: what resolved arrives once and in order, what was aborted never", async () => {
    const property = fc.asyncProperty(
      fc.array(fc.constantFrom("now", "microtask", "turn", "never"), { minLength: 20, maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      async (plan, highWaterMark) => {
        const push = world.push({ sendHighWaterMark: highWaterMark });
        const pull = world.pull({ receiveHighWaterMark: highWaterMark });
        const outcomes = plan.map((when, i) => {
          const stop = new AbortController();
          const send = push.send([String(i), "second frame"], { signal: stop.signal });
          if (when === "now") stop.abort();
          else if (when === "microtask") queueMicrotask(() => stop.abort());
          else if (when === "turn") setImmediate(() => stop.abort());
          return send.then(
            () => true,
            (error: unknown) => {
              if (isAbort(error)) return false;
              throw error;
            },
          );
        });
        await world.link(pull, push);
        const arrived: string[] = [];
        const end = push.send("end");
        for (let text = ""; text !== "end"; ) {
          [text] = (await collect(pull, 1)) as [string];
          if (text !== "end") arrived.push(text);
        }
        await end;
        const sent = (await Promise.all(outcomes)).flatMap((ok, i) => (ok ? [`${i}|second frame`] : []));
        expect(arrived).toEqual(sent);
        // TLS reports a write in a later turn, when the message may have arrived.
        await until(() => push.stats().queued === 0, "the last one counted as delivered");
        const { sent: count, delivered, dropped } = push.stats();
        expect(count).toBe(delivered + dropped.aborted);
        await Promise.all([push.close({ linger: 0 }), pull.close({ linger: 0 })]);
      },
    );
    await fc.assert(property, { numRuns: 15 });
  });

  it("of messages() ends the loop with AbortError; a new loop goes on where it ended", async () => {
    const [pull, push] = await world.linked(world.pull(), world.push());
    for (let i = 0; i < 100; i++) await push.send(String(i));
    const received: string[] = [];
    const stop = new AbortController();
    const loop = (async () => {
      for await (const message of pull.messages({ signal: stop.signal })) {
        received.push(String(message));
        if (received.length === 40) stop.abort(new Error("enough"));
      }
    })();
    const error = await failure(loop);
    expect(error).toBeInstanceOf(AbortedError);
    expect(error).toMatchObject({ name: "AbortError", code: "ABORT_ERR", cause: new Error("enough") });
    expect(received.length).toBe(40);
    for await (const message of pull) {
      received.push(String(message));
      if (received.length === 70) break;
    }
    received.push(...(await collect(pull, 30)));
    expect(received).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
  });
});

describeEngines("an abort", (world) => {
  it("ends every wait with the same error, and an aborted signal begins none", async () => {
    const reason = { why: "because" };
    const [push, pull, publisher, request] = [world.push(), world.pull(), world.publisher(), world.request()];
    const waits: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      send: (signal) => push.send("x", { signal }),
      receive: (signal) => pull.receive({ signal }),
      receiveMany: (signal) => pull.receiveMany({ signal }),
      messages: (signal) => pull.messages({ signal }).next(),
      waitForSubscribers: (signal) => publisher.waitForSubscribers({ signal }),
      ready: (signal) => pull.ready({ signal }),
      request: (signal) => request.request("x", { signal }),
      event: (signal) => pull.events.receive({ signal }),
    };
    for (const [name, wait] of Object.entries(waits)) {
      for (const when of ["before", "after"]) {
        const stop = new AbortController();
        if (when === "before") stop.abort(reason);
        const waiting = failure(wait(stop.signal));
        if (when === "after") setImmediate(() => stop.abort(reason));
        const error = await within(waiting, name);
        expect(error, `${name}, aborted ${when}`).toBeInstanceOf(AbortedError);
        expect(error, `${name}, aborted ${when}`).toMatchObject({ name: "AbortError", code: "ABORT_ERR" });
        expect(error.cause, `${name}, aborted ${when}`).toBe(reason);
      }
    }
    expect(push.stats().pendingSends).toBe(0);
    expect(pull.stats().pendingReceives).toBe(0);
  });
});

describeTransports("an iterator that is left while it waits", (world) => {
  it.each([
    ["messages", (pull: Pull) => pull.messages()],
    ["batches", (pull: Pull) => pull.batches()],
    ["a stream of Node.js", (pull: Pull) => Readable.from(pull)],
  ] as const)("takes no message (%s)", async (_, make) => {
    const [pull, push] = await world.linked(world.pull(), world.push());
    const reader = make(pull);
    if (reader instanceof Readable) {
      reader.resume();
      await until(() => pull.stats().pendingReceives === 1, "the stream reads");
      reader.destroy();
    } else {
      const next = reader.next();
      await reader.return?.();
      expect(await next).toEqual({ value: undefined, done: true });
    }
    await until(() => pull.stats().pendingReceives === 0, "the call has ended");
    await push.send("kept");
    expect(String(await pull.receive())).toBe("kept");
  });
});
