/** Batches of messages in memory that is used again once they are disposed, and `copy`. */
import { expect, it } from "vitest";
import type { Pull, Push } from "../../src/index.js";
import { describeTransports } from "./support/engines.js";
import { IN_PAGE } from "./support/page.js";
import { arrives, collect, failure, thrown, turn, until, within } from "./support/wait.js";

/** Of all ways that bytes come: many in a read, one and a half, larger than a read. */
const SIZES = [0, 10, 300, 20_000, 65_536, 200_000];

/** A body whose number can be seen. */
function bodyOf(index: number): Buffer {
  return Buffer.alloc(SIZES[index % SIZES.length] as number, (index % 251) + 1);
}

function isBodyOf(frame: Buffer, index: number): boolean {
  return frame.equals(bodyOf(index));
}

describeTransports("batches", (world) => {
  if (IN_PAGE) {
    it("are not had in a page, which uses no memory again", () => undefined);
    return;
  }

  async function linked(): Promise<[Push, Pull]> {
    const [pull, push] = await world.linked(world.pull({ receiveTimeout: 8_000 }), world.push());
    return [push, pull];
  }

  async function send(push: Push, count: number, from = 0): Promise<void> {
    for (let i = from; i < from + count; i++) await push.send([bodyOf(i), String(i)]);
  }

  it("are sent on whole with `copy`, although each is disposed while its frames wait", async () => {
    const [push, pull] = await linked();
    const [next, sink] = await linked();
    const total = 120;
    const sending = send(push, total);
    let passed = 0;
    for await (using batch of pull.batches({ max: 5 })) {
      for (const frames of batch) await next.send(frames, { copy: true });
      passed += batch.length;
      if (passed === total) break;
    }
    await sending;
    for (let i = 0; i < total; i++) {
      const [body, number] = await sink.receive();
      expect([String(number), isBodyOf(body as Buffer, i)]).toEqual([String(i), true]);
    }
  });

  it("have all messages once, in order and whole, whether each is disposed, kept or neither", async () => {
    const [push, pull] = await linked();
    const total = 200;
    const sending = send(push, total);
    const kept: Buffer[][] = [];
    let seen = 0;
    for await (using batch of pull.batches({ max: 7 })) {
      expect(batch.length).toBeLessThanOrEqual(7);
      expect(batch.messages.length).toBe(batch.length);
      let index = seen;
      for (const [body, number] of batch) {
        expect(String(number)).toBe(String(index));
        expect(isBodyOf(body as Buffer, index)).toBe(true);
        index += 1;
      }
      if (seen % 3 === 0) kept.push(...batch.keep());
      seen = index;
      if (seen === total) break;
    }
    await sending;
    const undisposed: Buffer[][] = [];
    const again = send(push, total);
    for await (const batch of pull.batches()) {
      undisposed.push(...batch);
      if (undisposed.length === total) break;
    }
    await again;
    for (const [body, number] of [...kept, ...undisposed])
      expect(isBodyOf(body as Buffer, Number(number))).toBe(true);
  });

  it("leave what other calls received alone, and what is in another batch", async () => {
    const [push, pull] = await linked();
    const total = 120;
    const sending = send(push, total);
    const own: Buffer[][] = [];
    const iterator = pull.batches({ max: 2 });
    let last: { messages: readonly Buffer[][]; [Symbol.dispose](): void } | undefined;
    for (let seen = 0; seen < total; ) {
      own.push(await pull.receive());
      seen += 1;
      if (seen === total) break;
      const { value: batch } = await iterator.next();
      if (batch === undefined) throw new Error("the loop ended");
      seen += batch.length;
      // The batch before is there until now.
      for (const [body, number] of last?.messages ?? [])
        expect(isBodyOf(body as Buffer, Number(number))).toBe(true);
      last?.[Symbol.dispose]();
      last = batch;
    }
    await sending;
    for (const [body, number] of own) expect(isBodyOf(body as Buffer, Number(number))).toBe(true);
  });

  it("end with the socket, and what the program has of them stays until it gives it back", async () => {
    const [push, pull] = await linked();
    await send(push, SIZES.length);
    const iterator = pull.batches({ max: 3 });
    const { value: batch } = await within(iterator.next(), "a batch");
    const waiting = (async () => {
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next());
      return "ended";
    })();
    await pull.close();
    expect(await within(waiting, "the loop's end")).toBe("ended");
    const messages = batch?.messages ?? [];
    expect(messages.length).toBeGreaterThan(0);
    for (const [body, number] of messages) expect(isBodyOf(body as Buffer, Number(number))).toBe(true);
    batch?.[Symbol.dispose]();
    batch?.[Symbol.dispose]();
    for (const use of [
      () => batch?.messages,
      () => batch?.length,
      () => batch?.keep(),
      () => [...(batch ?? [])],
    ])
      expect(thrown(use)).toMatchObject({ name: "ClosedError", code: "EBADF" });
  });

  it("lose no message by an abort, and the loop ends with it", async () => {
    const [push, pull] = await linked();
    const stop = new AbortController();
    const loop = (async () => {
      for await (using _ of pull.batches({ signal: stop.signal }));
    })();
    await turn();
    stop.abort();
    expect(await failure(loop)).toMatchObject({ name: "AbortError", code: "ABORT_ERR" });
    await arrives("after", push, pull);
    const aborted = pull.batches({ signal: stop.signal });
    await push.send("stays");
    await until(() => pull.stats().receiveQueued > 0 || world.engine === "libzmq", "a message");
    expect(await failure(aborted.next())).toMatchObject({ code: "ABORT_ERR" });
    expect(await collect(pull, 1)).toEqual(["stays"]);
  });

  it("are of subscriptions, too, and of a router with its routing ids", async () => {
    const [publisher, subscriber] = [world.publisher(), world.subscriber()];
    subscriber.subscribe("a");
    await world.link(publisher, subscriber);
    await within(publisher.waitForSubscribers({ topic: "a" }), "a subscriber");
    const total = 50;
    for (let i = 0; i < total; i++) await publisher.send([i % 2 === 0 ? "a" : "b", bodyOf(i), String(i)]);
    let seen = 0;
    for await (using batch of subscriber.batches()) {
      for (const [topic, body, number] of batch) {
        expect([String(topic), isBodyOf(body as Buffer, Number(number))]).toEqual(["a", true]);
        seen += 1;
      }
      if (seen === total / 2) break;
    }
    const [router, dealer] = await world.linked(world.router(), world.dealer({ routingId: "me" }));
    for (let i = 0; i < total; i++) await dealer.send([bodyOf(i), String(i)]);
    seen = 0;
    for await (using batch of router.batches()) {
      for (const [id, body, number] of batch) {
        expect([String(id), isBodyOf(body as Buffer, Number(number))]).toEqual(["me", true]);
        seen += 1;
      }
      if (seen === total) break;
    }
  });

  it("refuse what is no option", async () => {
    const [, pull] = await linked();
    for (const wrong of [{ max: 0 }, { max: 1.5 }, { timeout: 1 }, 7]) {
      expect(
        thrown(() => pull.batches(wrong as object)),
        JSON.stringify(wrong),
      ).toMatchObject({ code: "EINVAL" });
    }
  });
});
